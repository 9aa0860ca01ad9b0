"""That AiiDA's ZeroMQ broker knows the workers that live, and no others; each worker sees to it.

When anybody disconnects, the broker sends a word to each worker that has tasks. A worker that it cannot be sent to is
forgotten, and others get its tasks. Three things go wrong with that, all of them without a word:

* Where a worker was killed a moment before, the word may still be sent; its tasks then stay with it until the next one
  disconnects. So a program beside the workers does that now and then (:mod:`.knock`).
* A worker that stood still for some seconds (``HEARTBEAT_TIMEOUT`` of AiiDA's broker) counts as disconnected, and is
  forgotten. It comes back, and gets no task any more.
* A broker that was killed comes back in another place, and workers that lived before never look for it.

A worker that finds itself forgotten, or its broker gone, ends: it is as if it was killed, and the daemon starts another
one, which goes on from the checkpoints.
"""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiida.engine import Runner

from aiida_finales.broker.disconnection import end_worker
from aiida_finales.calculations import knock
from aiida_finales.calculations.tasks import broker_folder, has_visible_tasks

#: what the broker says of a recipient that it does not know
UNKNOWN = "Recipient not found"


class Presence:
    """Of one worker with the broker of the loaded profile."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._communicator: Any = None
        self._name, self._place = "", ""
        self._program: subprocess.Popen[bytes] | None = None

    def watch(self, runner: Runner) -> None:
        """See to it from now on as long as the worker lives, whatever it does."""
        if runner.loop is self._loop or not has_visible_tasks():
            return
        self._loop, self._communicator = runner.loop, runner.communicator
        self._name, self._place = f"finales-worker-{uuid4().hex}", _place()
        # not within the process that happens to be the first, which must not end when something goes wrong here
        self._loop.call_soon(self._begin, self._loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._communicator.add_rpc_subscriber(_answer, self._name)
        self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        # at the same moment in all workers: what one gives up, another must not take while a third still has it
        loop.call_at((loop.time() // knock.INTERVAL + 1) * knock.INTERVAL, self._go_on, loop)
        with suppress(OSError):  # a full disk, say: tried again
            self.start_to_knock()
        if (place := _place()) and self._place and place != self._place:
            end_worker("the broker was killed and has come back in another place")
        # a broker that is away answers nothing, and one that lives either lets this worker answer itself, or says so
        self._communicator.rpc_send(self._name, None).add_done_callback(_hear)

    def start_to_knock(self) -> None:
        """Start the program that knocks, unless one runs; it outlives this worker, and ends some time after the broker.

        A program of its own: of two workers that are killed together neither can do it, nor can those that come after
        them and have no task, which is what they wait for.
        """
        folder = broker_folder()
        with knock.lock_path(folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        self._program = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", knock.__file__, str(folder)],
            cwd="/",
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _answer(_communicator: Any, _message: Any) -> bool:
    """Say that this worker hears what is sent to it."""
    return True


def _hear(answer: Future[Any]) -> None:
    error = None if answer.cancelled() else answer.exception()
    if error is not None and UNKNOWN in str(error):
        end_worker("the broker has forgotten this worker, which must have stood still")


def _place() -> str:
    """Return where the broker listens now; empty where it is away."""
    with suppress(OSError):
        return Path(broker_folder() / "broker.sockets").read_text().strip()
    return ""


#: of this worker
PRESENCE = Presence()
