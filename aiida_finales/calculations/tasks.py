"""Tasks of AiiDA's ZeroMQ broker: a process whose task is lost is run by no worker.

The queue of the broker is a folder with a file per task, which stays until the process has ended. With RabbitMQ nobody
but the worker that holds a task can see it.

When anybody disconnects, the broker sends a word to each worker that has tasks, and gives to others what those have
that it cannot be sent to. Where a worker was killed a moment before, that may still succeed; its tasks then stay with
it until the next one disconnects. So a program beside the workers does that now and then.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from aiida.manage import get_manager

from aiida_finales.calculations import knock

#: plugin of AiiDA's broker without a service
ZEROMQ = "core.zeromq"
#: states of a process that has no task any more
ENDED = ("finished", "excepted", "killed")


def has_visible_tasks() -> bool:
    """Return whether the tasks of the loaded profile can be looked at."""
    profile = get_manager().get_profile()
    return profile is not None and profile.process_control_backend == ZEROMQ


def read_tasks() -> set[int]:
    """Return the pks of the processes that have a task with the ZeroMQ broker.

    AiiDA's own queue object moves files when it is opened, which must not happen beside a living broker.
    """
    folder = broker_folder() / "storage" / "tasks"
    # a task moves from pending to processing: looked at in this order none is missed
    paths = [path for name in ("pending", "processing", "pending") for path in (folder / name).glob("*.json")]
    pks = set()
    for path in paths:
        try:
            pks.add(int(json.loads(path.read_text())["body"]["args"]["pid"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it moved or ended between two looks, or is no process
    return pks


class Knocker:
    """Sees to it that a program knocks at the broker, which makes that look for workers that are dead.

    A program of its own: of two workers that are killed together neither can do it, nor can those that come after them
    and have no task, which is what they wait for.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._program: subprocess.Popen[bytes] | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it from now on as long as a worker lives, whatever it does."""
        if loop is not self._loop and has_visible_tasks():
            self._loop = loop
            self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(knock.INTERVAL, self._go_on, loop)
        with suppress(OSError):  # a full disk, say: tried again, and no reason for a process to end
            self.start()

    def start(self) -> None:
        """Start the program, unless one runs; it outlives this worker, and ends some time after the broker."""
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


def broker_folder() -> Path:
    """Return where the ZeroMQ broker of the loaded profile keeps its files."""
    from aiida.manage.configuration import get_config

    return Path(get_config().filepaths(get_manager().get_profile())["broker_service"]["dir"])


#: of this worker
KNOCKER = Knocker()
