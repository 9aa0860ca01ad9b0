"""Tasks of AiiDA's ZeroMQ broker: a process whose task is lost is run by no worker.

The queue of the broker is a folder with a file per task, which stays until the process has ended. With RabbitMQ nobody
but the worker that holds a task can see it.
"""

from __future__ import annotations

import json
from pathlib import Path

from aiida.manage import get_manager

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


def broker_folder() -> Path:
    """Return where the ZeroMQ broker of the loaded profile keeps its files."""
    from aiida.manage.configuration import get_config

    return Path(get_config().filepaths(get_manager().get_profile())["broker_service"]["dir"])
