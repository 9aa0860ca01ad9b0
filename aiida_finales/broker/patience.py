"""How long a writer waits for SQLite.

SQLite lets one write at a time. Python's default gives up after 5 s with "database is locked", which a busy machine
reaches: several workers write, and each may be slow to finish. A command then fails, or a process excepts, where some
patience was all it needed.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import Pool

#: ms
PATIENCE = 30_000


def have_patience() -> None:
    """Let every connection to SQLite of this program wait, those that are open already included."""
    if not event.contains(Pool, "checkout", _set_patience):
        event.listen(Pool, "checkout", _set_patience)


def claim_writing(session: Any) -> None:
    """Take the right to write at the beginning of a transaction that reads before it writes.

    SQLite refuses at once, however long it may wait, when somebody wrote between what a transaction has read and what
    it writes. An ``UPDATE`` waits for its turn, even one of nothing. With PostgreSQL it changes nothing.
    """
    session.execute(sa.text("UPDATE db_dbnode SET label = label WHERE id = -1"))


def _set_patience(connection: Any, _record: Any, _proxy: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
