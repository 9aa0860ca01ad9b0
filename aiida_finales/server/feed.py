"""The changes of statuses, read once for all who listen to them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any

import sqlalchemy as sa
from aiida.manage import get_manager
from fastapi import HTTPException

from aiida_finales.broker.state import LOGGER_NAME
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import utc_text
from aiida_finales.server.door import SHARE
from aiida_finales.server.orm_thread import OrmThread

LOGGER = logging.getLogger("aiida_finales.server")

#: s between two looks into the history while somebody listens; a look takes a millisecond
POLL_INTERVAL = 1.0
#: s after which who listens is looked at again: whether they are still welcome
PATIENCE = 5.0
#: key of an event that is not told: the node, by which is decided who may know of it
PK = "pk"
#: entries that are read at once, and that are kept for those who are a little behind
MOST, KEPT = 500, 2000

_NEW = """
SELECT l.id, l.time, l.metadata, n.uuid, n.node_type, n.id FROM db_dblog AS l JOIN db_dbnode AS n ON n.id = l.dbnode_id
WHERE l.id > :after AND l.loggername = :name {settled} ORDER BY l.id LIMIT :limit
"""
#: PostgreSQL numbers entries before it commits them: what is younger than the oldest transaction that still writes may
#: be followed by an entry with a lower number, which whoever asks for later ones would never see
_SETTLED = "AND age(l.xmin) > age(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS xid))"
#: what is another one as soon as a node is made, or a process, an extra or a status changes; the columns have an index
#: each by the end of an index; two of one table in one selection would be a look at all of it
_STAMP = "SELECT (SELECT max(id) FROM db_dbnode), (SELECT max(mtime) FROM db_dbnode), (SELECT max(id) FROM db_dblog)"
_LAST = "SELECT max(l.id) FROM db_dblog AS l WHERE true {settled}"


class Feed:
    """Looks for events while somebody listens, as often for a hundred listeners as for one.

    :param limit: listeners at once; one user may be half of them.
    """

    def __init__(self, orm_thread: OrmThread, limit: int) -> None:
        self._orm = orm_thread
        self._limit = limit
        self._listeners: Counter[str] = Counter()
        self._kept: deque[Json] = deque(maxlen=KEPT)
        #: what is kept are all events after the first of these numbers; the second is the latest
        self._first: int | None = None
        self._last: int | None = None
        self._news = asyncio.Event()
        #: counts how often anything has changed, also what is no change of a status
        self.beat = 0
        self._stamp: tuple[Any, ...] | None = None
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def demand_place(self, who: str) -> Iterator[None]:
        """Count a listener.

        :raises HTTPException: when there are as many as there may be.
        """
        if self._listeners[who] >= SHARE * self._limit or self._listeners.total() >= self._limit:
            raise HTTPException(429, "as many listen as may: close a stream, or try again later", {"Retry-After": "30"})
        self._listeners[who] += 1
        if self._task is None:
            # for all, not as the one who came first
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        try:
            yield
        finally:
            self._listeners[who] -= 1
            if not self._listeners.total():
                self._stop()

    async def find_last(self) -> int:
        """Return the number of the latest event."""
        return await self._orm.call(last_event)

    async def after(self, number: int) -> list[Json]:
        """Return events after a number, oldest first."""
        if self._first is None or number < self._first:
            return await self._orm.call(read_events, number)
        return [event for event in self._kept if event["id"] > number]

    async def wait(self, number: int) -> None:
        """Wait until there are events after a number, for :data:`PATIENCE` at most."""
        if self._last is None or self._last <= number:
            await self._wait()

    async def wait_for_beat(self, beat: int) -> None:
        """Wait until anything has changed since a count of changes, for :data:`PATIENCE` at most."""
        if self.beat == beat:
            await self._wait()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._news.wait()

    def wake(self) -> None:
        """Let all who wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = self._first = self._last = None
        self._kept.clear()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                # a database that is away comes back; who listens is told then
                LOGGER.exception("events cannot be read; trying again")
            await asyncio.sleep(POLL_INTERVAL)

    async def _look(self) -> None:
        stamp = await self._orm.call(read_stamp)
        if stamp != self._stamp:
            # the first look after a pause counts as well: meanwhile anything may have changed
            self._stamp = stamp
            self.beat += 1
            self.wake()
        if self._last is None:
            self._first = self._last = await self._orm.call(last_event)
            self.wake()
            return
        events = await self._orm.call(read_events, self._last)
        if not events:
            return
        overflow = len(self._kept) + len(events) - KEPT
        if overflow > 0:
            self._first = [*self._kept, *events][overflow - 1]["id"]
        self._kept.extend(events)
        self._last = events[-1]["id"]
        self.wake()


def read_events(after: int) -> list[dict[str, Any]]:
    """Return the changes of statuses after an event, oldest first; none with a lower number comes later."""
    with get_manager().get_profile_storage().transaction() as session:
        settled = _SETTLED if session.get_bind().dialect.name == "postgresql" else ""
        statement = sa.text(_NEW.format(settled=settled))
        rows = session.execute(statement, {"after": after, "name": LOGGER_NAME, "limit": MOST}).all()
    return [_event(row) for row in rows]


def _event(row: Any) -> dict[str, Any]:
    entry = row[2] if isinstance(row[2], dict) else json.loads(row[2])
    return {
        "id": row[0],
        "time": utc_text(row[1], "microseconds"),
        "what": row[4].split(".")[-2],
        "uuid": str(row[3]),
        **entry,
        PK: row[5],
    }


def read_stamp() -> tuple[Any, ...]:
    """Return what is another one as soon as something in the profile has changed."""
    with get_manager().get_profile_storage().transaction() as session:
        return tuple(session.execute(sa.text(_STAMP)).one())


def last_event() -> int:
    """Return the number of the latest entry of all logs, or 0; none with a lower number comes later."""
    with get_manager().get_profile_storage().transaction() as session:
        settled = _SETTLED if session.get_bind().dialect.name == "postgresql" else ""
        return int(session.execute(sa.text(_LAST.format(settled=settled))).scalar() or 0)
