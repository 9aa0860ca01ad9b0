"""How a writer bears it that others write to SQLite at the same time.

SQLite lets one write at a time. Python's default gives up after 5 s with "database is locked", which a busy machine
reaches: several workers write, and each may be slow to finish. A command then fails, or a process excepts, where some
patience was all it needed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from aiida.manage import get_manager
from aiida.storage.psql_dos.orm.utils import disable_expire_on_commit
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

T = TypeVar("T")

#: ms that SQLite itself waits for its turn, and in which a transaction that it refuses at once is begun again
PATIENCE = 30_000
#: s between two attempts; a writer holds SQLite for some milliseconds
PAUSE = 0.05


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


@contextmanager
def one_transaction() -> Iterator[Session]:
    """Let all that is written within be one transaction, also where one is open already.

    AiiDA's own, opened within another, would write that one as well when it ends. Within nothing may wait for the event
    loop: other processes of a worker share the session.
    """
    storage: Any = get_manager().get_profile_storage()
    if storage.in_transaction:
        yield storage.get_session()
        return
    with storage.transaction() as session:
        claim_writing(session)
        yield session


def end_reading() -> None:
    """End the transaction in which PostgreSQL keeps a session that has only read, until somebody writes.

    What is known of loaded nodes is kept: AiiDA reads again what may have changed whenever it is asked for.
    """
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    if session.in_transaction() and not storage.in_transaction:
        with disable_expire_on_commit(session):
            session.commit()


def repeat_while_locked(write: Callable[[], T]) -> T:
    """Return what a function returns that writes; it is called again when SQLite was locked.

    It reads and decides anew each time, on what others wrote meanwhile. So within a transaction nothing is repeated:
    whoever began it repeats all of it.

    :param write: does all it does in one transaction.
    """
    storage: Any = get_manager().get_profile_storage()
    if storage.in_transaction:
        return write()
    end = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            return write()
        except OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            storage.get_session().rollback()
            time.sleep(PAUSE)


def _set_patience(connection: Any, _record: Any, _proxy: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
