"""One process at a time on a device."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiida_finales.exceptions import DeviceUnavailableError
from aiida_finales.lab.journal import timestamp

#: s between two looks at a lock that somebody else holds: first and longest
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2


@contextmanager
def device_lock(path: Path, key: str, patience: float) -> Iterator[None]:
    """Hold a device; the operating system lets go of it when the process dies, however it dies.

    :param path: the lock file; holds key, process and time of whoever has the device.
    :param key: what the device is wanted for.
    :param patience: s to wait for it.
    :raises DeviceUnavailableError: when somebody else still holds it then; says who.
    """
    with path.open("a+", encoding="utf-8") as stream:
        _acquire(stream.fileno(), path, patience)
        stream.truncate(0)
        json.dump({"key": key, "pid": os.getpid(), "host": socket.gethostname(), "since": timestamp()}, stream)
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)


def _acquire(descriptor: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeviceUnavailableError(_describe_holder(path, patience)) from None
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return


def _describe_holder(path: Path, patience: float) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {holder['pid']} on {holder['host']} for key {holder['key']} since {holder['since']}"
    except (ValueError, KeyError):  # between taking the lock and writing the name the file is empty
        who = "another process"
    return f"the device is held by {who}; waited {patience:g} s for it. Try again later"
