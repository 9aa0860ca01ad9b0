"""Workers, brokers and statistics of circus that outlived their daemon.

``verdi daemon stop`` knows the supervisor only. When that was killed, its workers and its ZeroMQ broker live on: the
next daemon uses the old broker, what a repair writes into its folder is never read, and old workers go on with tasks.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

#: words in the commands that a daemon's supervisor starts: AiiDA's, and the statistics of circus itself
MARKS = (" -p {profile} daemon worker ", " -p {profile} daemon broker ", "/circus-{profile}.log ")
#: seconds in which a process ends by itself
END_TIMEOUT = 10.0


def find_leftovers(profile: str, config_folder: Path | None = None) -> list[psutil.Process]:
    """Return what a supervisor of a profile's daemon started and no supervisor looks after.

    :param config_folder: AiiDA's configuration folder; that of the loaded configuration when absent.
    """
    if config_folder is None:
        from aiida.manage.configuration import get_config

        config_folder = Path(get_config().dirpath)
    return [process for process in psutil.process_iter() if _is_leftover(process, profile, config_folder)]


def end_leftovers(leftovers: list[psutil.Process]) -> int:
    """End the processes, by force those that do not end by themselves; return their number."""
    for process in leftovers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(leftovers, END_TIMEOUT)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(leftovers, END_TIMEOUT)
    return len(leftovers)


def _is_leftover(process: psutil.Process, profile: str, config_folder: Path) -> bool:
    try:
        command = process.cmdline()
        words = " ".join(command) + " "
        if "start-circus" in words or not any(mark.format(profile=profile) in words for mark in MARKS):
            return False
        # the daemon gives its configuration's folder to everything that it starts
        if Path(process.environ().get("AIIDA_PATH", "")) != config_folder:
            return False
        parent = process.parent()
        return parent is None or "circus" not in " ".join(parent.cmdline())
    except psutil.Error:
        return False  # it ended meanwhile, or is another user's
