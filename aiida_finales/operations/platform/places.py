"""Folders without which no job runs on this computer: HOME, in which AiiDA opens it, and those that are written to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from aiida_finales.exceptions import InputError
from aiida_finales.operations.engine.profile import loaded_profile, storage_place
from aiida_finales.operations.platform.installation import choose_folder

#: bytes below which neither a database nor a device is sure to keep what it has to
LEAST_FREE = 200_000_000


def check_places(folder: Path) -> None:
    """Refuse places in which no job would ever run.

    :param folder: that of devices and jobs; it need not exist.
    :raises InputError: naming the place, and what to do.
    """
    for words, cure in (*tell_home(Path.home()), *_tell_folder(folder)):
        raise InputError(f"{words}; {cure}")


def tell_places() -> list[tuple[str, str]]:
    """Return what is wrong with the folders of the loaded profile, and what to do, of each."""
    jobs, storage = choose_folder(), storage_place(loaded_profile())
    on_disk = {place.stat().st_dev: place for place in map(_find_there, (jobs, storage))}
    return [
        *_tell_folder(jobs),
        *_tell_folder(storage),
        *(pair for each in on_disk.values() for pair in _tell_disk(each)),
    ]


def tell_home(home: Path) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a home folder, and what to do, if anything is.

    AiiDA runs each command for a local computer in it; without it a job is tried again and again, and nothing says why.
    """
    if not _is_open(home, os.R_OK | os.X_OK):
        words = (
            f"HOME is {home}, and that is no folder that can be opened, but AiiDA runs the jobs of this computer there"
        )
        yield words, "set HOME to one that can be: export HOME=/some/folder"


def _tell_folder(folder: Path) -> Iterator[tuple[str, str]]:
    there = _find_there(folder)
    if not _is_open(there, os.W_OK | os.X_OK):
        yield f"nothing can be written in {folder}, because of {there}", "mend that place, or its rights"


def _tell_disk(place: Path) -> Iterator[tuple[str, str]]:
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE:
        yield (
            f"only {free / 1e6:.0f} MB are left on the disk of {place}, and {LEAST_FREE / 1e6:.0f} are needed",
            "make room",
        )


def _find_there(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def _is_open(place: Path, mode: int) -> bool:
    return place.is_dir() and os.access(place, mode)
