"""Program that disconnects from AiiDA's ZeroMQ broker now and then, as long as that lives; one for a broker.

Usage: ``python knock.py FOLDER``, with the folder in which the broker keeps its files. Needs the standard library only:
it runs beside the workers for as long as the daemon does.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

#: s between two; so long at most, the tasks of a killed worker are nobody's
INTERVAL = 10.0
#: after so many looks without a broker none will come: one that was killed comes back in a second or two
PATIENCE = 3


def main(folder: Path, interval: float = INTERVAL) -> None:
    """Knock until there is no broker any more; return at once where another program knocks at it."""
    with lock_path(folder).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        n_away = 0
        while n_away < PATIENCE:
            n_away = 0 if _is_alive(folder) else n_away + 1
            knock(folder)
            time.sleep(interval)


def lock_path(folder: Path) -> Path:
    """Return the file that the program which knocks has locked."""
    return folder / "knock.lock"


def knock(folder: Path) -> None:
    """Connect to the broker, and disconnect; nothing where it is away."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as line:
        line.connect(str(socket_path(read_place(folder))))


def read_place(folder: Path) -> str:
    """Return the folder in which the broker listens now; empty where it is away, or just writes that."""
    with suppress(OSError, ValueError):
        return (folder / "broker.sockets").read_text().strip()
    return ""


def socket_path(place: str) -> Path:
    """Return the broker's socket in the place where it listens."""
    return Path(place, "router.sock")


def _is_alive(folder: Path) -> bool:
    """Return whether the process lives that the broker's file names: ``aiida-zeromq-broker <pid>``."""
    try:
        os.kill(int((folder / "broker.pid").read_text().split()[-1]), 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
