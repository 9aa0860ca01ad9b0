"""Tasks of AiiDA's ZeroMQ broker: a process whose task is lost is run by no worker.

The queue of the broker is a folder with a file per task, which stays until the process has ended. With RabbitMQ nobody
but the worker that holds a task can see it.

When anybody disconnects, the broker sends a word to each worker that has tasks, and gives to others what those have
that it cannot be sent to. Where a worker was killed a moment before, that may still succeed; its tasks then stay with
it until the next one disconnects. So workers do that now and then.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiida.manage import get_manager

#: plugin of AiiDA's broker without a service
ZEROMQ = "core.zeromq"
#: s after which a worker knocks at the broker again, a multiple of those after which it looks at what it waits for: so
#: long at most, the tasks of a killed worker are nobody's
KNOCK_INTERVAL = 20.0
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
    """Disconnects from the ZeroMQ broker now and then, which makes it look for workers that are dead."""

    def __init__(self) -> None:
        self._context: Any = None
        self._line: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Knock from now on as long as a worker lives, whatever it does; at the moment at which it is woken anyway."""
        if loop is not self._loop and has_visible_tasks():
            self._loop = loop
            self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_at((loop.time() // KNOCK_INTERVAL + 1) * KNOCK_INTERVAL, self._go_on, loop)
        self.knock()  # last: whatever goes wrong must not be the last time

    def knock(self) -> None:
        """Close the line that was opened last, and open another one.

        To open one takes a moment, in which a worker cannot wait; so it stays open until the next time.
        """
        import zmq

        if self._line is not None:
            self._line.close(linger=0)
            self._line = None
        with suppress(OSError, zmq.ZMQError):  # the broker is away
            place = (broker_folder() / "broker.sockets").read_text().strip()
            self._context = self._context or zmq.Context()
            self._line = self._context.socket(zmq.DEALER)
            self._line.connect(f"ipc://{place}/router.sock")


def broker_folder() -> Path:
    """Return where the ZeroMQ broker of the loaded profile keeps its files."""
    from aiida.manage.configuration import get_config

    return Path(get_config().filepaths(get_manager().get_profile())["broker_service"]["dir"])


#: of this worker
KNOCKER = Knocker()
