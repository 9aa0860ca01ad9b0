"""Trying again when somebody else writes to SQLite at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from aiida.manage import get_manager
from sqlalchemy.exc import OperationalError

T = TypeVar("T")

#: attempts; a writer holds SQLite for some milliseconds
LOCKED_ATTEMPTS = 100
#: seconds between two attempts when SQLite reports a locked database (its own wait of 5 s may have passed by then)
LOCKED_PAUSE = 0.05


def repeat_while_locked(write: Callable[[], T]) -> T:
    """Return what a function returns that writes; it is called again when SQLite was locked.

    SQLite refuses at once, without waiting, when somebody wrote between what a transaction has read and what it
    writes: both must be done again, on the new state. So within a transaction nothing is repeated: whoever began it
    repeats all of it.

    :param write: does all it does in one transaction.
    """
    storage: Any = get_manager().get_profile_storage()
    if storage.in_transaction:
        return write()
    for _ in range(LOCKED_ATTEMPTS - 1):
        try:
            return write()
        except OperationalError as error:
            if "locked" not in str(error):
                raise
            storage.get_session().rollback()
            time.sleep(LOCKED_PAUSE)
    return write()
