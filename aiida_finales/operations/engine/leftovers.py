"""Workers, brokers and statistics of circus that outlived their daemon, and whole daemons that nobody knows of.

``verdi daemon stop`` knows one supervisor, by the file with its number. When that was killed, its workers and its
ZeroMQ broker live on: the next daemon uses the old broker, what a repair writes into its folder is never read, and old
workers go on with tasks. When the file was lost, or a second daemon was started before the first had written it, two
daemons share the tasks, and one of them goes on when "the" daemon was stopped.

And ``verdi daemon stop`` may stop nothing: circus refuses to end while it starts or ends a worker, AiiDA says OK all
the same, and removes the sockets without which nobody can tell the daemon anything any more (AiiDA 2.9,
``DaemonClient.stop_daemon``).
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

#: words in the commands that a daemon's supervisor starts: AiiDA's, and the statistics of circus itself
MARKS = (" -p {profile} daemon worker ", " -p {profile} daemon broker ", "/circus-{profile}.log ")
#: word in the command of a supervisor
SUPERVISOR = " -p {profile} daemon start-circus "
#: seconds in which a process ends by itself
END_TIMEOUT = 10.0
#: seconds in which a daemon ends that was told so, with a worker that has to be killed; and between two times that it
#: is told, and before the first
STOP_TIMEOUT, PAUSE = 60.0, 3.0
#: seconds after which a supervisor has written the file with its number, on the busiest machine
START_TIMEOUT = 60.0


def find_leftovers(
    profile: str, config_folder: Path | None = None, start_timeout: float = START_TIMEOUT
) -> list[psutil.Process]:
    """Return what belongs to the daemon of a profile, but not to the one that ``verdi daemon`` knows.

    :param config_folder: AiiDA's configuration folder; that of the loaded configuration when absent.
    :param start_timeout: age (s) from which on a supervisor that is not the known one is not about to be.
    """
    config_folder = config_folder or _loaded_folder()
    known = _read_supervisor(profile, config_folder)
    leftovers = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended meanwhile, or is another user's
            if _is_orphan(process, profile, config_folder):
                leftovers.append(process)
            elif _is_second(process, profile, config_folder, known, start_timeout):
                leftovers += [process, *process.children(recursive=True)]
    return leftovers


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


def end_supervisor(profile: str, config_folder: Path | None = None) -> bool:
    """End the daemon that ``verdi daemon`` knows, unless it has ended or ends by itself; return whether it had to be.

    It is told by a signal, which needs no sockets, until it has heard it; at last it is killed, with all it started.
    """
    config_folder = config_folder or _loaded_folder()
    pid = _read_supervisor(profile, config_folder)
    with contextlib.suppress(psutil.Error):
        supervisor = psutil.Process(pid) if pid else None
        if supervisor is None or SUPERVISOR.format(profile=profile) not in _words(supervisor):
            return False
        started = [supervisor, *supervisor.children(recursive=True)]
        if not psutil.wait_procs([supervisor], PAUSE)[1]:
            return False
        end = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < end:
            supervisor.terminate()
            if not psutil.wait_procs([supervisor], PAUSE)[1]:
                return True
        supervisor.kill()
        end_leftovers(started)
        return True
    return False


def _is_orphan(process: psutil.Process, profile: str, config_folder: Path) -> bool:
    """Return whether a supervisor started this and no supervisor looks after it."""
    words = _words(process)
    if "start-circus" in words or not any(mark.format(profile=profile) in words for mark in MARKS):
        return False
    if not _is_of(process, config_folder):
        return False
    parent = process.parent()
    return parent is None or "circus" not in _words(parent)


def _is_second(process: psutil.Process, profile: str, config_folder: Path, known: int | None, timeout: float) -> bool:
    """Return whether this is a supervisor, but not the known one, nor one that has just been started."""
    if process.pid == known or SUPERVISOR.format(profile=profile) not in _words(process):
        return False
    return _is_of(process, config_folder) and time.time() - process.create_time() > timeout


def _is_of(process: psutil.Process, config_folder: Path) -> bool:
    """Return whether a process uses a configuration: the daemon tells its folder to everything that it starts."""
    return Path(process.environ().get("AIIDA_PATH", "")) == config_folder


def _words(process: psutil.Process) -> str:
    return " ".join(process.cmdline()) + " "


def _loaded_folder() -> Path:
    from aiida.manage.configuration import get_config

    return Path(get_config().dirpath)


def _read_supervisor(profile: str, config_folder: Path) -> int | None:
    try:
        return int((config_folder / "daemon" / f"circus-{profile}.pid").read_text())
    except (OSError, ValueError):
        return None
