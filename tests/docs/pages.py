"""What a page tells its reader to do: files to write and commands to type, in the order in which they stand.

``% needs: WORD`` before a console block says what its commands need that the quick tests do not have;
``% file: NAME`` before any other block says under which name a reader saves it.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md")])
PROMPT = "$ "
#: what commands need that are not run by the quick tests, and why
NEEDS = {
    "daemon": "a daemon that works: the slow tests run it",
    "server": "the HTTP server, and somebody who logs in",
    "network": "a package index or another computer",
    "device": "a device, a cluster, or the program that drives it",
    "service": "a database server, a message broker, or the right to restart them",
    "minutes": "more time than a quick test has; tested elsewhere",
    "data": "files that are published elsewhere",
}
BLOCK = re.compile(
    r"^(?P<indent> *)(?:% (?P<key>needs|file): (?P<word>[^\n]+)\n\s*)?^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """A command to type (``needs`` is empty where it runs anywhere), or a file to write."""

    text: str
    needs: str = ""
    file: str = ""


def read_steps(page: Path) -> list[Step]:
    """Return what a page asks for, in order.

    :raises ValueError: when a command needs what is no word of :data:`NEEDS`.
    """
    steps: list[Step] = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        text, word = textwrap.dedent(block["text"]), block["word"] or ""
        if block["key"] == "file":
            steps.append(Step(text, file=word))
        elif block["language"] == "console":
            if word and word not in NEEDS:
                raise ValueError(f"{page.name} needs {word!r}, known are {', '.join(NEEDS)}")
            steps += [Step(line, needs=word) for line in read_commands(text)]
    return steps


def read_commands(text: str) -> list[str]:
    """Return the commands of a console block; those over several lines are joined."""
    joined = re.sub(r"\\\n>? *", " ", text)
    return [line.removeprefix(PROMPT) for line in joined.splitlines() if line.startswith(PROMPT)]
