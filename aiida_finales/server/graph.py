"""The graph of meanings beside the server: made and asked by programs that end, while others are served.

It is a copy of the profile. It is made when somebody asks for the first time, and again when the profile has changed,
but at most so often that making it takes a tenth of the time; who cannot wait asks for a fresh one.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.fair.query import store as graph_store
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.server.orm_thread import OrmThread

#: s that making the graph may take; 10,000 results take one minute on two busy cores
MAKE_TIMEOUT = 1800.0
#: s that a question may take
ASK_TIMEOUT = 30.0
#: how many times longer the graph stays than it took to make
PATIENCE = 10.0
#: questions at the same time; the others wait
MOST_AT_ONCE = 2
_PROGRAM = (sys.executable, "-m", "aiida_finales.fair.query.store")
#: what changes with any change of nodes, extras, statuses and campaigns
_STATE = """
SELECT (SELECT max(id) FROM db_dbnode), (SELECT count(*) FROM db_dbnode), (SELECT max(mtime) FROM db_dbnode),
       (SELECT max(id) FROM db_dblog), (SELECT count(*) FROM db_dbgroup_dbnodes)
"""


@dataclass(frozen=True)
class Graph:
    """A graph on disk.

    :param state: of the profile before it was read.
    :param moment: at which it was read.
    """

    folder: Path
    state: tuple[Any, ...]
    moment: datetime


class GraphKeeper:
    """Keeps the graph of the profile of one server, in a folder that nobody else may read and that ends with it."""

    def __init__(self, orm_thread: OrmThread) -> None:
        self._orm = orm_thread
        self._home = tempfile.TemporaryDirectory(prefix="finales-graph-")
        self._making = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._asking = asyncio.Semaphore(MOST_AT_ONCE)
        self._askers: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._graph: Graph | None = None
        self._n_made = 0
        self._due = 0.0

    def close(self) -> None:
        """Remove the graph."""
        self._home.cleanup()

    async def get(self, *, is_fresh: bool = False) -> Graph:
        """Return the graph.

        :param is_fresh: it has everything that is in the profile now.
        """
        if self._graph is not None and not is_fresh and (self._making.locked() or time.monotonic() < self._due):
            return self._graph
        async with self._making:
            if self._graph is None or is_fresh or time.monotonic() >= self._due:
                self._graph = await self._renew(self._graph)
            return self._graph

    async def ask(self, graph: Graph, text: str, form: str, who: str) -> bytes:
        """Return the answer to a question; one user asks one after the other.

        :param form: a key of :data:`aiida_finales.fair.query.ask.ANSWER_FORMS`.
        :raises InputError: when it cannot be understood, takes too long, or too much memory.
        """
        async with self._askers[who], self._asking:
            status, answer, said = await _run(ASK_TIMEOUT, "ask", str(graph.folder), form, given=text.encode())
        if status is None or status < 0:
            raise InputError(
                f"the question takes more than {ASK_TIMEOUT:.0f} s or {graph_store.MOST_MEMORY >> 30} GiB of memory: "
                "ask for less, or write the graph to a file (GET /v1/graph) and ask it there"
            )
        if status:
            raise InputError(said)
        return answer

    async def write_turtle(self, graph: Graph) -> Path:
        """Return the file of the graph in Turtle."""
        path = graph.folder / graph_store.TURTLE
        async with self._writing:
            if not path.exists():
                await _demand(MAKE_TIMEOUT, "turtle", str(graph.folder))
        return path

    async def _renew(self, present: Graph | None) -> Graph:
        state, profile = await self._orm.call(_read_state)
        if present is not None and state == present.state:
            return present
        began, moment = time.monotonic(), datetime.now(UTC)
        folder = Path(self._home.name) / str(self._n_made)
        self._n_made += 1
        folder.mkdir()
        try:
            await _demand(MAKE_TIMEOUT, "make", profile, str(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._due = time.monotonic() + PATIENCE * (time.monotonic() - began)
        # the one before may still be sent to somebody
        shutil.rmtree(Path(self._home.name) / str(self._n_made - 3), ignore_errors=True)
        return Graph(folder, state, moment)


def _read_state() -> tuple[tuple[Any, ...], str]:
    """Return what changes with every change of the profile, and its name."""
    row = open_session().execute(sa.text(_STATE)).one()
    return tuple(row), loaded_profile().name


async def _demand(timeout: float, *arguments: str) -> None:
    status, _, said = await _run(timeout, *arguments)
    if status != 0:
        raise FinalesError(f"the graph cannot be made: {said or f'it took more than {timeout:.0f} s, or was killed'}")


async def _run(timeout: float, *arguments: str, given: bytes = b"") -> tuple[int | None, bytes, str]:
    """Run the program; return its exit status, ``None`` when it took too long, what it wrote, and its last words."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*_PROGRAM, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        answer, said = await asyncio.wait_for(program.communicate(given), timeout)
    except TimeoutError:
        return None, b"", ""
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    words = said.decode(errors="replace").strip().splitlines()
    return program.returncode, answer, words[-1] if words else ""
