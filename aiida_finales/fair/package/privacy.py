"""E-mail addresses, host names and absolute paths in what would leave, and how to take them out.

What cannot be seen: what is compressed or encrypted inside a file. Names of people in histories stay: they say who
decided.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.archive import DATABASE, REPOSITORY, extract_database
from aiida_finales.schemas.words import count

#: findings that a message names; the rest is counted
SHOWN = 12
#: table and what says whose row it is
_TABLES = {
    "db_dbuser": "email",
    "db_dbcomputer": "uuid",
    "db_dbgroup": "label",
    "db_dbnode": "uuid",
    "db_dblink": "label",
    "db_dblog": "uuid",
    "db_dbcomment": "uuid",
}


#: top-level domain that never exists (RFC 2606)
NOWHERE = "scrubbed.invalid"
SCRUBBED_FOLDER = "/scrubbed"
#: paths that are the same on every computer say nothing about anybody
_SYSTEM = ("/bin/", "/dev/", "/etc/", "/lib", "/proc/", "/sbin/", "/sys/", "/usr/", f"{SCRUBBED_FOLDER}/")
#: a path begins a word, also after an escaped line break of JSON; said of its first slash, because what begins with a
#: letter is looked for much faster
_BEGIN = r"/(?:(?<=^/)|(?<=[\s\"'`=(\[<>,:;|]/)|(?<=\\n/)|(?<=\\t/)|(?<=file:///))"
_EMAIL = re.compile(r"[\w.+-]{2,}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_PATH = re.compile(rf"{_BEGIN}(?!/)[\w.@%+~{{}}-]+(?:/[\w.@%+~{{}}-]+)+")
_WINDOWS = re.compile(r"(?<![\w])[A-Za-z]:(?:\\{1,2}[\w.@%+~ -]+){2,}")
#: in what is no text, words must be longer: chance makes short ones
_BINARY_EMAIL = re.compile(rb"[\w.+-]{4,}@[\w-]{3,}(?:\.[\w-]{2,})*\.[a-z]{2,4}\b")
_BINARY_PATH = re.compile(rb"(?<![\w/:.])/(?:[\w.@%+~-]{3,}/)+[\w.@%+~-]{3,}")
_SEPARATOR = re.compile(r"[/\\]+")
#: names of hosts that are the same for everybody
_COMMON_HOSTS = {"localhost", "127.0.0.1", "::1", "localhost.localdomain", ""}


@dataclass(frozen=True, order=True)
class Finding:
    """Something private.

    :param kind: ``e-mail``, ``host name`` or ``path``.
    :param place: where it was found first.
    :param can_scrub: false in what is no text: replacing there would break the file.
    """

    kind: str
    text: str
    place: str
    can_scrub: bool = True


class Privacy:
    """Finds and replaces what is private; what was found gets numbers in alphabetical order, so that order is stable.

    :param hosts: names of computers to look for; that of this one is added.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        names = {name.strip() for name in (*hosts, socket.gethostname())} - _COMMON_HOSTS
        self.hosts = sorted(names, key=lambda name: (-len(name), name))
        words = "|".join(re.escape(name) for name in self.hosts)
        self._host = re.compile(rf"(?<![\w.@-])(?:{words})(?![\w-])") if words else None
        self._found: dict[tuple[str, str], Finding] = {}
        self._numbers: dict[tuple[str, str], int] = {}

    @property
    def findings(self) -> list[Finding]:
        """What was found, sorted."""
        return sorted(self._found.values())

    def look(self, text: str, place: str) -> None:
        """Look at a text."""
        for kind, pattern in self._patterns(text):
            for match in pattern.finditer(text):
                if _is_private(kind, match.group()):
                    self._add(kind, match.group(), place)

    def look_at_bytes(self, content: bytes, place: str) -> None:
        """Look at the content of a file."""
        text = as_text(content)
        if text is not None:
            self.look(text, place)
            return
        for kind, pattern in (("e-mail", _BINARY_EMAIL), ("path", _BINARY_PATH)):
            for found in pattern.findall(content):
                word = found.decode("latin-1")
                if _is_private(kind, word):
                    self._add(kind, word, place, can_scrub=False)

    def scrub(self, text: str) -> str:
        """Return a text with everything private replaced."""
        for kind, pattern in list(self._patterns(text)):
            text = pattern.sub(lambda match, kind=kind: self._replace(kind, match.group()), text)  # type: ignore[misc]
        return text

    def _patterns(self, text: str) -> Iterator[tuple[str, re.Pattern[str]]]:
        """Yield what may be found in a text: letters that a pattern needs are looked for in no time."""
        if "@" in text:
            yield "e-mail", _EMAIL
        if "/" in text:
            yield "path", _PATH
        if ":\\" in text:
            yield "path", _WINDOWS
        if self._host and any(name in text for name in self.hosts):
            yield "host name", self._host

    def _add(self, kind: str, text: str, place: str, *, can_scrub: bool = True) -> None:
        before = self._found.get((kind, text))
        if before is None or (before.can_scrub and not can_scrub):
            self._found[kind, text] = Finding(kind, text, place, can_scrub)
            self._numbers.clear()

    def _replace(self, kind: str, text: str) -> str:
        if not _is_private(kind, text):
            return text
        if kind == "path":
            return f"{SCRUBBED_FOLDER}/{_SEPARATOR.split(text)[-1]}"
        number = self._number(kind, text)
        return f"person-{number}@{NOWHERE}" if kind == "e-mail" else f"host-{number}"

    def _number(self, kind: str, text: str) -> int:
        if not self._numbers:
            for name in ("e-mail", "host name"):
                words = sorted(word for found, word in self._found if found == name)
                self._numbers |= {(name, word): place for place, word in enumerate(words, start=1)}
        return self._numbers.get((kind, text), 0)


def as_text(content: bytes) -> str | None:
    """Return bytes as text, or ``None`` where they are none."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _is_private(kind: str, text: str) -> bool:
    if kind == "e-mail":
        return not text.endswith(f"@{NOWHERE}")
    return not (kind == "path" and text.startswith(_SYSTEM))


def look_for_private(archive: Path) -> Privacy:
    """Return what is private in an archive: users, computers, nodes, logs, comments, and the files of nodes."""
    with tempfile.TemporaryDirectory() as folder:
        extract_database(archive, Path(folder) / DATABASE)
        connection = sqlite3.connect(Path(folder) / DATABASE)
        connection.row_factory = sqlite3.Row
        privacy = Privacy(row["hostname"] for row in connection.execute("SELECT hostname FROM db_dbcomputer"))
        for table, name in _TABLES.items():
            # of half a million links a thousand have labels of their own
            columns = "DISTINCT label, type" if table == "db_dblink" else "*"
            for row in connection.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608 - names of our own
                words = "\n".join(cell for cell in tuple(row) if isinstance(cell, str))
                privacy.look(words, f"{table.removeprefix('db_db')} {row[name]} in the archive")
        connection.close()
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            if name.startswith(REPOSITORY) and not name.endswith("/"):
                privacy.look_at_bytes(bundle.read(name), f"file {name} in the archive")
    return privacy


def demand_privacy(findings: list[Finding], *, is_accepted: bool, is_scrubbed: bool) -> None:
    """Refuse to let something private leave, unless it is accepted or can be replaced.

    :raises InputError: naming what was found, where, and what to do.
    """
    if is_accepted or not findings:
        return
    if not is_scrubbed:
        raise InputError(
            f"{count(len(findings), 'private thing')} would leave with the package, nothing was written: "
            f"{tell(findings)}. Replace them with --scrub, or let them go with --accept-privacy"
        )
    stuck = [item for item in findings if not item.can_scrub]
    if stuck:
        raise InputError(
            f"{count(len(stuck), 'private thing')} cannot be replaced, being in files that are no text: "
            f"{tell(stuck)}. Nothing was written; let them go with --accept-privacy, or mark their nodes confidential"
        )


def tell(findings: list[Finding]) -> str:
    """Return findings in words, the first of them with their places."""
    shown = "; ".join(f"{item.kind} {item.text} ({item.place})" for item in findings[:SHOWN])
    return shown if len(findings) <= SHOWN else f"{shown}; and {len(findings) - SHOWN} more"
