"""The one thread in which everything of AiiDA happens: its storage and its nodes belong to a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, InvalidRequestError

from aiida_finales.broker.sight import NOTHING, Hidden, without
from aiida_finales.operations.engine.profile import demand_profile, open_session

P = ParamSpec("P")
T = TypeVar("T")

#: says what whoever calls may not see; the door sets it. Nothing: the server itself looks
LOOK: ContextVar[Callable[[], Hidden] | None] = ContextVar("look", default=None)
#: s after which work of the background goes before a call: submissions must not starve while clients are busy
LONGEST_DEFERRAL = 0.5
#: s between two looks whether the thread is free for work of the background
DEFERRAL = 0.02


class OrmThread:
    """Runs functions that use AiiDA, one after the other.

    :param profile: the profile to load; the default one when ``None``.
    :param executor: where to run them; tests give one that runs at once.
    """

    def __init__(self, profile: str | None = None, executor: Executor | None = None) -> None:
        self._profile = profile
        self._executor = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix="orm")
        self._n_waiting = 0

    async def open(self) -> None:
        """Load the profile."""
        await self.call(_load_profile, self._profile)

    def close(self) -> None:
        """Wait for what is running, and take no more."""
        self._executor.shutdown(wait=True)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that uses AiiDA, and return what it returns."""
        self._n_waiting += 1
        try:
            loop, look = asyncio.get_running_loop(), LOOK.get()
            return await loop.run_in_executor(self._executor, lambda: _run(look, function, *args, **kwargs))
        finally:
            self._n_waiting -= 1

    async def call_when_free(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function when no client waits, or after half a second all the same."""
        end = time.monotonic() + LONGEST_DEFERRAL
        while self._n_waiting and time.monotonic() < end:
            await asyncio.sleep(DEFERRAL)
        return await self.call(function, *args, **kwargs)


def _load_profile(name: str | None) -> None:
    from aiida import load_profile
    from aiida.manage import get_manager

    if name is not None and get_manager().get_profile() is None:
        load_profile(name)
    demand_profile()


def _run(look: Callable[[], Hidden] | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function on the present state of the database, and leave the session usable whatever happens."""
    try:
        with without(look() if look else NOTHING):
            answer = function(*args, **kwargs)
    except (DBAPIError, InvalidRequestError):
        roll_back()
        raise
    except Exception:
        _end_transaction()
        raise
    # SQLite shows one and the same state for as long as a read lasts, so a read ends with the call
    _end_transaction()
    return answer


def _end_transaction() -> None:
    session = open_session()
    if session.in_transaction():
        session.commit()


def roll_back() -> None:
    """Make a session that lost its database usable again: after a restart of PostgreSQL the first attempt raises."""
    session = open_session()
    for _ in range(2):
        try:
            session.rollback()
        except DBAPIError:
            continue
