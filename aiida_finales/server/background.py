"""What follows from a client's call and need not be waited for: submit processes, wake them, stop them.

Nothing is lost when the server is killed: which requests have no process yet is in the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from aiida import orm

from aiida_finales.broker.requests import find_unserved, open_states
from aiida_finales.broker.reservation import expire_lease
from aiida_finales.broker.status import RequestStatus
from aiida_finales.exceptions import FinalesError
from aiida_finales.operations.engine.connection import stay_connected
from aiida_finales.operations.engine.daemon import daemon_troubles, is_daemon_running, read_daemon_state
from aiida_finales.operations.request.serving import serve_posted, stop_serving, wake
from aiida_finales.server.orm_thread import OrmThread

LOGGER = logging.getLogger("aiida_finales.server")

#: s between two looks into the database for requests without a process that another server, or an earlier life of this
#: one, has left
SCAN_INTERVAL = 60.0
#: s between two looks for leases that have run out, which the processes of the requests do when the daemon runs
LEASE_INTERVAL = 10.0


class Background:
    """Submits, wakes and stops processes in the order in which clients asked, while no client waits.

    :param interval: s between two looks while the daemon does not run.
    """

    def __init__(self, orm_thread: OrmThread, interval: float) -> None:
        self._orm = orm_thread
        self._interval = interval
        self._posted: dict[int, None] = {}
        self._others: list[Callable[[], object]] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._scanned = self._expired = self._looked = float("-inf")
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End after the present piece of work."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def n_unserved(self) -> int:
        """How many requests wait for their process, as far as this server knows."""
        return len(self._posted)

    def serve(self, pk: int) -> None:
        """Submit the process of a request that was posted."""
        self._posted[pk] = None
        self._news.set()

    def wake(self, pk: int) -> None:
        """Tell the process of a request that something has happened; without a daemon it sees so when it starts."""
        self._others.append(lambda: _wake(pk))
        self._news.set()

    def stop_serving(self, pk: int, holder: str, why: str) -> None:
        """Stop what serves a request that was retracted."""
        self._others.append(lambda: stop_serving(orm.load_node(pk), holder, why))
        self._news.set()

    async def _run(self) -> None:
        while True:
            try:
                await self.work()
            except Exception:
                # whatever goes wrong here concerns one request; the others must be served all the same
                LOGGER.exception("work in the background failed; trying again in %s s", self._interval)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._interval)
            self._news.clear()

    async def work(self) -> None:
        """Do everything that can be done now."""
        await self._look_around()
        others, self._others = self._others, []
        for function in others:
            await self._try(function)
        if not self._posted:
            return
        await self._look_for_trouble()
        for pk in list(self._posted) if self.trouble is None else []:
            if not await self._try(lambda pk=pk: serve_posted(pk)):  # type: ignore[misc]
                return  # the others would fail as well; the next look tries again
            self._posted.pop(pk, None)

    async def _look_around(self) -> None:
        moment = time.monotonic()
        if moment - self._scanned > SCAN_INTERVAL:
            self._posted |= dict.fromkeys(await self._orm.call_when_free(find_unserved))
            self._scanned = moment
        if moment - self._expired > LEASE_INTERVAL:
            await self._orm.call_when_free(expire_leases)
            self._expired = moment

    async def _look_for_trouble(self) -> None:
        """Look at the daemon; one that was away a moment ago is left alone, as a look costs as much as ten calls."""
        if self.trouble is not None and time.monotonic() - self._looked < self._interval:
            return
        trouble = await self._orm.call_when_free(_find_trouble)
        if trouble != self.trouble:
            LOGGER.warning("%d requests wait for their process: %s", len(self._posted), trouble or "nothing hinders it")
        self.trouble, self._looked = trouble, time.monotonic()

    async def _try(self, function: Callable[[], object]) -> bool:
        try:
            await self._orm.call_when_free(function)
        except FinalesError as error:
            LOGGER.warning("%s", error)
            return False
        return True


def expire_leases() -> int:
    """Offer all requests again whose holder's lease has run out; return how many."""
    now = time.time()
    held = {pk: state for pk, state in open_states().items() if state["status"] == RequestStatus.RESERVED.value}
    return sum(expire_lease(pk) for pk, state in held.items() if (state.get("lease_until") or now) < now)


def _wake(pk: int) -> None:
    if is_daemon_running():
        stay_connected()
        wake(orm.load_node(pk))


def _find_trouble() -> str | None:
    """Return why nothing can be submitted, or ``None``."""
    troubles = daemon_troubles(read_daemon_state())
    return troubles[0][0] if troubles else None
