"""A calculation that waits, at no cost, for something outside of the engine.

The process returns plumpy's ``Wait`` and holds nothing but an entry in the dictionary of the one watcher of its worker.
The watcher asks the database once per tick for all waiting processes of a kind, so that a hundred of them cost as much
as one. A message wakes a process at once; the watcher is the guarantee when the message is lost.

The node is a calculation, so that what came from outside is linked as *created*.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Any, ClassVar

from aiida import orm
from aiida.engine.processes.exit_code import ExitCode
from plumpy.process_states import ProcessState, Wait

from aiida_finales.broker.patience import end_reading
from aiida_finales.calculations.connection import renew_connection
from aiida_finales.calculations.transition import ThriftyProcess

LOGGER = logging.getLogger("aiida.finales.waiting")

#: seconds between two looks of the watcher: an answer without a message is seen within this time
WATCH_INTERVAL = 4.0
#: name of the message that asks a process to look at once
WAKE = "finales-wake"
#: seconds after which a message counts as lost: an answering worker takes milliseconds
MESSAGE_TIMEOUT = 2.0


def wake_process(pk: int, *, retry: bool = True) -> bool:
    """Ask the waiting process with this pk to look at once; best effort, the watcher is the guarantee.

    Not to be called inside a worker, which would wait for itself.

    :returns: whether a worker took the message.
    """
    from aiida.manage import get_manager
    from kiwipy import CommunicatorClosed, UnroutableError

    try:
        if get_manager().get_communicator().is_closed():
            renew_connection()
        future = get_manager().get_communicator().rpc_send(str(pk), {"intent": WAKE})
        return future.result(timeout=MESSAGE_TIMEOUT) is not None
    except UnroutableError:
        return False
    except (TimeoutError, CommunicatorClosed, ConnectionError):
        if not retry:
            return False
        # a client that lived through a restart of the daemon is deaf: connect again, once
        renew_connection()
        return wake_process(pk, retry=False)
    except Exception as error:  # whoever answers decides what it raises; the ZeroMQ broker has no class for this
        LOGGER.info("process %s was not woken: %s", pk, error)
        return False


def call_at_tick(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> asyncio.TimerHandle:
    """Let a function be called at the next tick, together with all that looks after anything.

    A program that slept for some seconds pays for being woken: its memory has left the caches, and on a virtual machine
    perhaps the computer. That may cost fifty times what it then does, so that all of it is done at once.
    """
    return loop.call_at((loop.time() // WATCH_INTERVAL + 1) * WATCH_INTERVAL, function, *arguments)


class WaitingCalculation(ThriftyProcess):
    """Base of calculations that wait for the outside; a subclass says when it is ready and what it makes of it."""

    _node_class = orm.CalculationNode
    _watched: ClassVar[weakref.WeakValueDictionary[int, WaitingCalculation]]
    _watching: ClassVar[asyncio.TimerHandle | None]
    _watching_loop: ClassVar[asyncio.AbstractEventLoop | None]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._watched = weakref.WeakValueDictionary()
        cls._watching = None
        cls._watching_loop = None

    @classmethod
    def find_ready(cls, waiting: dict[int, WaitingCalculation]) -> set[int]:
        """Return the pks of the waiting processes that have something to do, by one query."""
        raise NotImplementedError

    @classmethod
    def has_news(cls) -> bool:
        """Return whether it is worth to look; a subclass that can tell at less cost does."""
        return True

    @classmethod
    def end_look(cls) -> None:
        """Note that all that wait were looked at; a subclass that can tell whether there is news needs it."""

    def begin(self) -> None:
        """Begin whatever is waited for; called before each wait, also after a restart of the worker."""

    def finish_waiting(self) -> ExitCode | Wait | None:
        """Make outputs of what has arrived; return an exit code, nothing (success), or :meth:`wait_more`."""
        raise NotImplementedError

    def wait_more(self) -> Wait:
        """Return the command to go on waiting."""
        return Wait(self.finish_waiting, "waiting")

    # --- engine

    async def run(self) -> Wait:
        """Wait."""
        return self.wait_more()

    def on_waiting(self) -> None:
        """Watch from now on (``on_wait`` would be too early: the state has not changed yet)."""
        super().on_waiting()
        self.loop.call_soon(self._arm)

    def init(self) -> None:
        """Watch again after a restart of the worker; what arrived meanwhile is seen at once.

        Only here is it certain that this worker does not run the process already: a broker that comes back sends the
        task a second time, and the second object must not take the place of the first in the watch.
        """
        super().init()
        if self.is_waiting:
            self.loop.call_soon(self._arm)

    def message_receive(self, _comm: Any, msg: dict[str, Any]) -> Any:
        """Take the message that something has arrived."""
        if msg.get("intent") == WAKE:
            self.loop.call_soon_threadsafe(self.look)
            return True
        return super().message_receive(_comm, msg)

    @property
    def is_waiting(self) -> bool:
        """Whether the process is in the waiting state."""
        return bool(self.state == ProcessState.WAITING)

    @property
    def node_pk(self) -> int:
        """Primary key of the node of this process."""
        return int(self.pid)  # type: ignore[call-overload]

    def look(self) -> None:
        """Go on if there is something to do."""
        if self.is_waiting and not self.paused and self.node_pk in type(self).find_ready({self.node_pk: self}):
            self._watched.pop(self.node_pk, None)
            self.resume()

    def _arm(self) -> None:
        if not self.is_waiting:
            return
        self.begin()
        self._watched[self.node_pk] = self
        self._schedule(self.loop)
        self.look()

    @classmethod
    def _schedule(cls, loop: asyncio.AbstractEventLoop) -> None:
        is_watched = cls._watching is not None and cls._watching_loop is loop
        if not is_watched or cls._watching.when() < loop.time() - 10 * WATCH_INTERVAL:  # type: ignore[union-attr]
            cls._watching = call_at_tick(loop, cls._watch, loop)
            cls._watching_loop = loop

    @classmethod
    def _watch(cls, loop: asyncio.AbstractEventLoop) -> None:
        cls._watching = None
        waiting: dict[int, WaitingCalculation] = {}
        ready: set[int] = set()
        try:
            if cls.has_news():
                present = {pid: item for pid, item in cls._watched.items() if item.is_waiting}
                waiting = {pid: item for pid, item in present.items() if not item.paused}
                ready = cls.find_ready(waiting) if waiting else set()
                if waiting == present:  # else it goes on to look: one that is played does not look by itself
                    cls.end_look()
            end_reading()
        except Exception:
            # a database that is away for a moment must not end the watch: the next look tries again
            LOGGER.exception("looking after %d waiting processes failed; trying again", len(cls._watched))
        if any(process.is_waiting for process in cls._watched.values()):  # also those that are paused now
            cls._schedule(loop)
        for pid in ready:
            cls._watched.pop(pid, None)
            waiting[pid].resume()
