"""A throw-away AiiDA configuration with a profile, a daemon and the simulated laboratory.

The demonstration, the daemon tests and the benchmarks run in one, so that nobody's own configuration is touched. Needs
no service: SQLite and AiiDA's ZeroMQ broker.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from aiida_finales.operations.engine.leftovers import end_leftovers, find_leftovers

PROFILE = "sandbox"
#: seconds for a command; the slowest takes some 10 s on a free machine, and twenty times that on one with other work
COMMAND_TIMEOUT = 600.0


class Sandbox:
    """An AiiDA configuration of its own below a folder; as a context manager it stops its daemon at the end.

    :param folder: it holds ``.aiida`` and the devices' journals (``laboratory``); it is created when absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.laboratory = self.folder / "laboratory"
        self.config = self.folder / ".aiida"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which AiiDA uses this configuration and the programs of this Python."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        lean = {key: value for key, value in os.environ.items() if key != "AIIDA_PROFILE"}
        return {**lean, "AIIDA_PATH": str(self.folder), "PATH": path, "PYTHONWARNINGS": "ignore"}

    def run(self, *command: str, is_checked: bool = True, timeout: float = COMMAND_TIMEOUT) -> str:
        """Run a command in this configuration; return what it wrote to standard output.

        :raises RuntimeError: when it is checked and fails, with all it said.
        """
        done = subprocess.run(  # noqa: S603 - commands come from the caller's own code
            list(command), env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        if is_checked and done.returncode != 0:
            message = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise RuntimeError(message)
        return done.stdout

    def create(self, *setup_options: str) -> Sandbox:
        """Create profile and laboratory, unless they exist."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (
            not (self.config / "config.json").exists()
            or f'"{PROFILE}"' not in (self.config / "config.json").read_text()
        ):
            self.run("verdi", "presto", "--use-zeromq", "--profile-name", PROFILE)
        self.run("aiida-finales", "setup", "--folder", str(self.laboratory), *setup_options)
        return self

    def start(self, n_workers: int = 2) -> None:
        """Start the daemon."""
        self.run("verdi", "daemon", "start", str(n_workers))

    def stop(self) -> None:
        """Stop the daemon; what is left of it is killed."""
        processes = self.daemon_processes()
        self.run("verdi", "daemon", "stop", is_checked=False)
        for process in processes:
            if process.is_running():
                process.kill()
        # a supervisor that was killed before left no trace of what it had started
        end_leftovers(find_leftovers(PROFILE, self.config))

    def cure(self) -> None:
        """Do what ``aiida-finales doctor`` names; it is left running if all is well."""
        self.run("aiida-finales", "doctor", "--cure", "--force", is_checked=False, timeout=2 * COMMAND_TIMEOUT)

    def daemon_processes(self) -> list[psutil.Process]:
        """Return the daemon and everything it started."""
        try:
            circus = psutil.Process(int((self.config / "daemon" / f"circus-{PROFILE}.pid").read_text()))
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return []
        return [circus, *circus.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """Return the daemon's workers."""
        return self._find("worker")

    def broker(self) -> psutil.Process | None:
        """Return the process of the broker, if it runs."""
        return next(iter(self._find("broker")), None)

    def _find(self, word: str) -> list[psutil.Process]:
        found = []
        for process in self.daemon_processes():
            try:
                line = process.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if "daemon" in line and word in line:
                found.append(process)
        return found

    def wait_until(self, is_true: Any, timeout: float, pause: float = 0.5) -> bool:
        """Wait for a condition; return whether it came true within the time (seconds)."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if is_true():
                return True
            time.sleep(pause)
        return bool(is_true())

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
