"""How long a writer waits for SQLite.

SQLite lets one write at a time. Python's default gives up after 5 s with "database is locked", which a busy machine
reaches: several workers write, and each may be slow to finish. A command then fails, or a process excepts, where some
patience was all it needed.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

#: ms
PATIENCE = 30_000


def have_patience() -> None:
    """Let every connection to SQLite of this program wait, those that are open already included."""
    if not event.contains(Pool, "checkout", _set_patience):
        event.listen(Pool, "checkout", _set_patience)


def _set_patience(connection: Any, _record: Any, _proxy: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
