"""Whether it is worth to look at the store again, at the least cost.

A worker looks every few seconds after what it waits for. In a laboratory at night nothing happens for hours, and a
statement costs a thousand times as much as two looks at the files that SQLite writes.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from typing import Any

from aiida.manage import get_manager

#: s after which all is looked at though nothing changed: what is waited for may be the end of a program, which nobody
#: writes down
LOOK_ANYWAY = 60.0
#: s after which a file that is written to once more is certain to show it: its clock goes in steps of some ms
SETTLED = 1.0

#: name, size and time of change of the files of the store
Stamp = tuple[tuple[str, int, int], ...]


class StoreWatch:
    """Remembers what the store looked like to one who looks again and again."""

    def __init__(self) -> None:
        self._stamp: Stamp | None = None
        self._is_settled = False
        self._looked = -math.inf  # by the clock that nobody sets

    def has_changed(self) -> bool:
        """Return whether anybody may have written since the last question.

        With PostgreSQL nobody can tell without asking it: always.
        """
        before, was_settled = self._stamp, self._is_settled
        self._stamp = stamp = read_stamp()
        last = max(changed for _, _, changed in stamp) / 1e9 if stamp else math.inf
        self._is_settled = time.time() - last > SETTLED
        return not was_settled or stamp != before

    def must_look(self) -> bool:
        """Return whether the last look failed, or was so long ago that the next is due though nothing changed."""
        return time.monotonic() - self._looked > LOOK_ANYWAY

    def begin_look(self) -> None:
        """Note that a look begins: unless it comes to its end, the next must not be left out."""
        self._looked = -math.inf

    def end_look(self) -> None:
        """Note that a look has come to its end."""
        self._looked = time.monotonic()


def find_file() -> str | None:
    """Return the file in which SQLite keeps the loaded profile; ``None`` where it is another database or in memory."""
    storage: Any = get_manager().get_profile_storage()
    url = storage.get_session().get_bind().url
    return url.database if url.get_backend_name() == "sqlite" else None


def read_stamp() -> Stamp | None:
    """Return what changes whenever somebody writes to SQLite: its file, or its log of writes; ``None`` elsewhere."""
    file = find_file()
    if not file:
        return None
    found = []
    for path in (file, f"{file}-wal"):
        with suppress(OSError):  # there is no log while nobody writes
            state = os.stat(path)
            found.append((path, state.st_size, state.st_mtime_ns))
    return tuple(found) or None
