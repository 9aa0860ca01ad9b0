"""The graph of a profile on disk, and questions to it, as programs that can be ended when they take too long.

They are::

    python -m aiida_finales.fair.query.store make PROFILE FOLDER [CLOSED]
    python -m aiida_finales.fair.query.store turtle FOLDER
    python -m aiida_finales.fair.query.store ask FOLDER FORM < question > answer

CLOSED are the pks of campaigns that are not in it, as a list in JSON. Exit status 1 and a message on standard error
when what was given cannot be accepted. A question may come from anybody who may log in to a server: an unbounded one
would take all memory and never end, and the library cannot be interrupted.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.fair.graph.triples import load_store, open_store, write_turtle
from aiida_finales.fair.query.ask import write_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STORE, LINKED, TURTLE = "store", "graph.jsonld", "graph.ttl"
#: bytes of an answer, some hundred thousand rows: one process holds it in memory to send it
LARGEST_ANSWER = 20_000_000
#: bytes of address space; sorting what joins everything with everything takes whatever there is
MOST_MEMORY = 2 * 2**30
#: s of CPU after which a question ends by itself, should who asked have ended before it
MOST_CPU = 120
#: lower than that of a server and a daemon, which must answer meanwhile
NICENESS = 5


def make_store(folder: Path, closed: Iterable[int] = ()) -> None:
    """Write the graph of the loaded profile, without what is confidential, into a folder.

    :param closed: pks of campaigns that are not in it.
    """
    from aiida_finales.fair.graph.terms import load_context
    from aiida_finales.fair.package.openness import describe_profile
    from aiida_finales.schemas.access import Openness

    descriptions = describe_profile(Openness.RESTRICTED, closed)
    load_store(descriptions, folder / STORE)
    with (folder / LINKED).open("w", encoding="utf-8") as stream:
        json.dump({"@context": load_context(), "@graph": descriptions}, stream, ensure_ascii=False)


def make_turtle(folder: Path) -> None:
    """Write the graph in a folder as Turtle beside it."""
    descriptions = json.loads((folder / LINKED).read_text(encoding="utf-8"))["@graph"]
    part = folder / f"{TURTLE}.part"
    part.write_text(write_turtle(descriptions), encoding="utf-8")
    part.rename(folder / TURTLE)


def answer_question(folder: Path, form: str) -> None:
    """Write the answer to the question on standard input to standard output, within bounds.

    :raises InputError: when it cannot be understood, or the answer is too long.
    """
    text = sys.stdin.buffer.read().decode(errors="replace")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU, MOST_CPU))
    output = _Bounded(sys.stdout.buffer)
    try:
        write_answer(open_store(folder / STORE), text, form, output)
    except OSError as error:
        if output.is_full:
            raise InputError(
                f"the answer is longer than {LARGEST_ANSWER // 10**6} MB: ask for less of it at a time, with LIMIT and "
                "OFFSET"
            ) from error
        raise


class _Bounded(io.RawIOBase):
    """A stream that takes no more than :data:`LARGEST_ANSWER` bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._n_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it refused something."""
        return self._n_bytes > LARGEST_ANSWER

    def writable(self) -> bool:
        """Return that it takes something."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes.

        :raises OSError: when it is full.
        """
        self._n_bytes += len(data)
        if self.is_full:
            raise OSError("full")
        return int(self._stream.write(data))


def _make(profile: str, folder: str, closed: str = "[]") -> None:
    from aiida import load_profile

    load_profile(profile)
    make_store(Path(folder), json.loads(closed))


COMMANDS: dict[str, Callable[..., None]] = {
    "make": _make,
    "turtle": lambda folder: make_turtle(Path(folder)),
    "ask": lambda folder, form: answer_question(Path(folder), form),
}


def main() -> None:
    """Do what the arguments say."""
    os.nice(NICENESS)
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except FinalesError as error:
        sys.stdout.flush()
        sys.exit(str(error))


if __name__ == "__main__":
    main()
