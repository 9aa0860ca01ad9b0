"""Look after children that no worker runs.

When the daemon stops, its broker ends at once, but a worker finishes the step that it is in. A child submitted in that
step is stored and its task is lost: in AiiDA its parent then waits for ever. The same happens when a worker is killed
between storing a child and sending its task. The watch of a worker sends such a task again.

Should a task be sent twice all the same, two workers run the child: like every launch, it is made to bear that.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aiida import orm

from aiida_finales.calculations.tasks import has_visible_tasks, read_tasks

if TYPE_CHECKING:
    from aiida_finales.workflows.wait_any import WaitAnyWorkChain

LOGGER = logging.getLogger("aiida.finales.child_watch")

#: s between two looks, each one query while anything is waited for; the task of a child is with the broker within
#: milliseconds, so that a child of this age without a task has lost it
WATCH_INTERVAL = 5.0


class ChildWatch:
    """Sends the lost tasks of the children that the work chains of this worker wait for."""

    def __init__(self) -> None:
        self._parents: weakref.WeakSet[WaitAnyWorkChain] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._reported: set[int] = set()

    def add(self, parent: WaitAnyWorkChain) -> None:
        """Look after the children of a work chain while it waits; without a daemon or its task files nobody does."""
        if not parent.runner.is_daemon_runner or not has_visible_tasks():
            return
        self._parents.add(parent)
        if self._timer is None:
            self._timer = parent.loop.call_later(WATCH_INTERVAL, self._look, parent.loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = {pk: parent for parent in self._parents for pk in parent.awaited_children}
        self._timer = loop.call_later(WATCH_INTERVAL, self._look, loop) if waiting else None
        self._reported &= set(waiting)
        try:
            for pk in sorted(find_lost(waiting)):
                self._send_task(waiting[pk], pk)
        except Exception:
            # a database or a broker that is away for a moment must not end the watch: the next look tries again
            LOGGER.exception("looking after %d children failed; trying again", len(waiting))

    def _send_task(self, parent: WaitAnyWorkChain, pk: int) -> None:
        if parent.runner.controller is None:
            return
        parent.runner.controller.continue_process(pk, nowait=False, no_reply=True)
        if pk not in self._reported:  # once: whatever makes a worker refuse the task may last
            self._reported.add(pk)
            parent.report(f"the task of child <{pk}> was lost, as when the daemon stops; it is sent again")


def find_lost(pks: Iterable[int]) -> set[int]:
    """Return those of the processes that were never begun and have no task."""
    created = _find_created(set(pks))
    # the tasks are read after the database and the database once more: one that began meanwhile is not lost
    return _find_created(created - read_tasks()) if created else set()


def _find_created(pks: set[int]) -> set[int]:
    if not pks:
        return set()
    before = datetime.now(UTC) - timedelta(seconds=WATCH_INTERVAL)
    filters = {"id": {"in": sorted(pks)}, "attributes.process_state": "created", "ctime": {"<": before}}
    return set(orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project="id").all(flat=True))


#: of this worker
WATCH = ChildWatch()
