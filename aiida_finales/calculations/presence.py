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
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiida.engine import Runner
from plumpy.communications import LoopCommunicator

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
        self._name, self._folder = "", Path()
        self._program: subprocess.Popen[bytes] | None = None

    def watch(self, runner: Runner) -> None:
        """See to it from now on as long as the worker lives, whatever it does."""
        if runner.loop is self._loop or not has_visible_tasks():
            return
        self._loop, self._communicator = runner.loop, runner.communicator
        self._name, self._folder = f"finales-worker-{uuid4().hex}", broker_folder()
        # not within the process that happens to be the first, which must not end when something goes wrong here
        self._loop.call_soon(self._begin, self._loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(TimeoutError):  # of a busy machine: it is still done, and before what is sent later
            self._communicator.add_rpc_subscriber(_answer, self._name)
        self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._communicator.is_closed():  # the worker is being stopped
            return
        # at the same moment in all workers: what one gives up, another must not take while a third still has it
        loop.call_at((loop.time() // knock.INTERVAL + 1) * knock.INTERVAL, self._go_on, loop)
        with suppress(OSError):  # a full disk, say: tried again
            self.start_to_knock()
        if self._is_elsewhere():
            end_worker("the broker was killed and has come back in another place")
        self.call_when_heard(lambda: None)

    def call_when_heard(self, function: Callable[[], None]) -> None:
        """Call a function, in any thread, once the broker has dealt with all that this worker has sent to it till now.

        A broker that is away or stands still answers nothing; one that lives lets this worker answer itself, or says
        that it does not know it. Called at once where nobody watches.
        """
        if self._communicator is None:
            function()
            return
        with suppress(TimeoutError):  # as above: asked again
            self._communicator.rpc_send(self._name, None).add_done_callback(partial(_hear, function=function))

    def _is_elsewhere(self) -> bool:
        """Return whether the broker listens where this worker is not connected to.

        Not where it listened when this worker had its first process: the broker may have been killed before that.
        """
        place = knock.read_place(self._folder)
        socket = knock.socket_path(place)
        return bool(place) and socket != _socket_path(self._communicator) and socket.exists()

    def start_to_knock(self) -> None:
        """Start the program that knocks, unless one runs; it outlives this worker, and ends some time after the broker.

        A program of its own: of two workers that are killed together neither can do it, nor can those that come after
        them and have no task, which is what they wait for.
        """
        with knock.lock_path(self._folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        self._program = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", knock.__file__, str(self._folder)],
            cwd="/",
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _answer(_communicator: Any, _message: Any) -> bool:
    """Say that this worker hears what is sent to it."""
    return True


def _hear(answer: Future[Any], function: Callable[[], None]) -> None:
    if answer.cancelled():
        return
    error = answer.exception()
    if error is None:
        function()
    elif UNKNOWN in str(error):
        end_worker("the broker has forgotten this worker, which must have stood still")


def _socket_path(communicator: Any) -> Path:
    """Return the broker's socket that a worker's communicator was made for."""
    while isinstance(communicator, LoopCommunicator):
        communicator = communicator._communicator  # noqa: SLF001 - AiiDA tells it nowhere
    return Path(communicator._router_endpoint.removeprefix("ipc://"))  # noqa: SLF001 - as above


#: of this worker
PRESENCE = Presence()
