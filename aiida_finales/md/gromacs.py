"""The program ``gmx`` of GROMACS, called from outside; nothing of it is in this package."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO

from aiida_finales.exceptions import BlownUpError, EngineError, SimulationError, StorageError

PROGRAM = "gmx"
#: first release with the barostat C-rescale
OLDEST = 2021
#: s; what is no simulation ends within
PATIENCE = 600.0
#: s between two looks whether a simulation is to end
PAUSE = 0.1
#: what is said of a system that is none any more, or that no step so long can follow
BLOWN_UP = re.compile(
    r"LINCS|not finite|cannot be settled|out of the domain|unstable|exploding|blowing up|box vectors|particles moved|"
    r"oscillational period"
)
#: before what it gives up on
FATAL = "Fatal error:"
#: bytes; less on the disk than any file of a simulation has
LITTLE_SPACE = 1_000_000
NO_SPACE = re.compile(r"disk space|No space left|Disk quota", re.IGNORECASE)
#: lines of its output that are repeated when it fails
N_LINES = 8
#: exit status of mdrun that was told to end: once, and it did at its next list of pairs; twice, as a scheduler may tell
#: all processes of a job, and it did at its next step. Told three times it aborts
STOPPED = (1, 2)
#: of Linux: the signal that a process gets when its parent dies
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def has_gromacs() -> bool:
    """Return whether there is a GROMACS that is recent enough."""
    return _why_not() is None


def check_gromacs() -> None:
    """Check that there is a GROMACS that is recent enough.

    :raises EngineError: when there is none.
    """
    reason = _why_not()
    if reason is not None:
        raise EngineError(
            f"engine gromacs does not work here: {reason}. Install GROMACS {OLDEST} or later (package gromacs of "
            "Debian or conda-forge), or take engine openmm"
        )


@cache
def read_version() -> str | None:
    """Return the version of the program, ``None`` when it does not say one."""
    found = re.search(r"GROMACS version:\s*(\S+)", call("--version", Path()))
    return found[1] if found else None


def _why_not() -> str | None:
    if shutil.which(PROGRAM) is None:
        return f"there is no program {PROGRAM} on the PATH"
    try:
        version = read_version()
    except SimulationError as error:
        return str(error)
    year = re.match(r"\d{4}", version or "")
    return None if year and int(year[0]) >= OLDEST else f"{PROGRAM} is of version {version}"


def call(words: str, folder: Path, answers: str = "") -> str:
    """Return what a command of the program prints.

    :param words: the command and its options.
    :param answers: to what it asks.
    :raises SimulationError: when it fails.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a program on the PATH
            [PROGRAM, *words.split()],
            cwd=folder,
            env=_environment(1),
            input=answers,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SimulationError(f"{PROGRAM} {words} did not end: {error}") from error
    if done.returncode:
        raise _explain(words, done.returncode, done.stdout + done.stderr, folder)
    return done.stdout


def simulate(words: str, folder: Path, threads: int, is_over: Callable[[], bool]) -> bool:
    """Let mdrun simulate; return whether it did, and was not told to end before it had begun.

    :param words: its options.
    :param is_over: asked now and then; mdrun is told to end when it says yes, and writes a last frame.
    :raises BlownUpError: when the system is none any more.
    :raises SimulationError: when it fails otherwise.
    """
    is_told = False
    with (folder / "mdrun.out").open("w+", encoding="utf-8", errors="replace") as output:
        process = _start(words, folder, threads, output)
        try:
            while (status := _poll(process)) is None:
                if not is_told and is_over():
                    process.terminate()
                    is_told = True
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        text = output.read()
    is_told = is_told or is_over()  # somebody else may have told it
    has_not_begun = is_told and status == -signal.SIGTERM
    has_obeyed = is_told and status in STOPPED and FATAL not in text
    if status and not (has_obeyed or has_not_begun):
        raise _explain(f"mdrun {words}", status, text, folder)
    return not has_not_begun


def _start(words: str, folder: Path, threads: int, output: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - a program on the PATH
        [PROGRAM, "mdrun", *words.split(), "-ntmpi", "1", "-ntomp", str(threads), "-pin", "off"],
        cwd=folder,
        env=_environment(threads),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls the kernel only
    )


def _die_with_parent() -> None:
    """End mdrun with its parent, however that ends: it must not go on beside the run that resumes."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _poll(process: subprocess.Popen[str]) -> int | None:
    try:
        return process.wait(PAUSE)
    except subprocess.TimeoutExpired:
        return None


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of the program.

    Threads that wait must not keep a core from others: on a busy computer they would all wait for one another.
    """
    own = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    return os.environ | own | {"GMX_MAXBACKUP": "-1", "GMX_SUPPRESS_DUMP": "1"}


def _explain(words: str, status: int, output: str, folder: Path) -> SimulationError:
    """Return the error that an exit status and an output mean; on a full disk there may be no output at all."""
    reasons = (output.partition(word)[2] for word in ("\nWARNING ", FATAL, "Error in user input:"))
    end = next(filter(None, reasons), output)
    lines = [line.strip() for line in end.splitlines() if line.strip() and not line.startswith("---")]
    message = f"{PROGRAM} {words.split(maxsplit=1)[0]} ended with {status}: {' '.join(lines[:N_LINES])}"
    free = shutil.disk_usage(folder).free
    if NO_SPACE.search(output) or free < LITTLE_SPACE:
        return StorageError(f"{folder} has no space left, {free / 1e6:.1f} MB are free: {message}")
    if status == -signal.SIGSEGV or BLOWN_UP.search(output):
        return BlownUpError(message)
    return SimulationError(message)
