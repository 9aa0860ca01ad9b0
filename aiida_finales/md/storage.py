"""Files that a kill at any moment leaves whole: replaced at once, or appended in records and cut to a checkpoint."""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from aiida_finales.exceptions import FolderTakenError, SimulationInputError, StorageError, explain_os_error
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array

CHECKPOINT = "checkpoint.npz"
#: a file of so many bytes that is given up when a disk is full, so that this can still be reported
RESERVE, RESERVE_BYTES = ".reserve", 65536


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say where it was that nothing could be written.

    :raises StorageError: in place of an error of the operating system.
    """
    try:
        yield
    except OSError as error:
        error.filename = None  # that may be a part of it, which nobody knows by name
        words = explain_os_error(error, path)
        raise StorageError(f"nothing can be written: {words}; a run goes on with --resume") from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash there is either the old one or the whole new one.

    :raises StorageError: when it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            with part.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except OSError:
            # half a file takes the room in which to say so
            part.unlink(missing_ok=True)
            raise


def replace_json(path: Path, document: Json) -> None:
    """Write a JSON document at once; see :func:`replace_file`."""
    replace_file(path, (json.dumps(document, indent=1) + "\n").encode())


def demand_place(folder: Path, program: str = "finales-md") -> None:
    """Look whether a run may be in a folder: it is one, or not there yet, and holds nothing of others.

    :raises SimulationInputError: when it is a file, or in one.
    :raises FolderTakenError: when files are in it that belong to no run.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        which = "is a file" if there == folder else f"would be in {there}, which is a file"
        raise SimulationInputError(f"--out {folder} {which}; accepted is a folder, which is made where there is none")
    if not folder.is_dir() or (folder / "input.json").exists():
        return
    foreign = sorted(
        item.name for item in folder.iterdir() if not item.name.startswith(".") and item.name != "error.json"
    )
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise FolderTakenError(
            f"--out {folder} holds {foreign[0]}{more}, of no run of {program}: give a new folder, or an empty one"
        )


@contextmanager
def hold(folder: Path, program: str = "finales-md") -> Iterator[None]:
    """Keep other processes out of a folder.

    Room for a report is kept as well; it stays when the folder is left by an error.

    :raises FolderTakenError: when one is in it.
    :raises StorageError: when the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderTakenError(f"another {program} is at work in {folder}: give another --out") from error
        replace_file(folder / RESERVE, bytes(RESERVE_BYTES))
        yield
        (folder / RESERVE).unlink()


@dataclass
class State:
    """Where a run stands.

    :param engine: that it was begun with.
    :param stage: what is being simulated.
    :param step: time steps of this stage that are done.
    :param positions: of all atoms, not wrapped into the box, nm.
    :param velocities: nm/ps; ``None`` before there are any.
    :param edge: of the box, nm.
    :param sizes: bytes of the files that grow.
    :param seconds: spent in each stage.
    :param results: what the stages found.
    """

    engine: str
    stage: str
    step: int
    positions: Array
    velocities: Array | None
    edge: float
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    results: Json = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the checkpoint, and what of it people read into ``stages.json``."""
        story = {"stage": self.stage, "step": self.step, "seconds": self.seconds, "results": self.results}
        words = story | {"engine": self.engine, "edge": self.edge, "sizes": self.sizes}
        arrays = {"positions": self.positions}
        if self.velocities is not None:
            arrays["velocities"] = self.velocities
        buffer = io.BytesIO()
        np.savez(buffer, words=np.array(json.dumps(words)), **arrays)  # type: ignore[arg-type]
        replace_file(folder / CHECKPOINT, buffer.getvalue())
        replace_json(folder / "stages.json", story)

    @classmethod
    def load(cls, folder: Path) -> State | None:
        """Read the checkpoint, or return ``None`` where there is none."""
        try:
            with going_on(folder / CHECKPOINT), np.load(folder / CHECKPOINT) as arrays:
                words = json.loads(str(arrays["words"]))
                velocities = arrays.get("velocities")
                return cls(positions=arrays["positions"], velocities=velocities, **words)
        except FileNotFoundError:
            return None


@contextmanager
def going_on(path: Path) -> Iterator[None]:
    """Read what a run left to go on with.

    :raises StorageError: when it is damaged.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StorageError(f"{path} is damaged: begin again in another folder ({reason})") from error


class GrowingFile:
    """A file that only grows; what a checkpoint does not know is cut off when a run resumes.

    :param size: bytes that the checkpoint knows.
    :raises StorageError: when the file cannot be written, or is shorter than the checkpoint says.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        present = path.stat().st_size if path.exists() else 0
        if present < size:
            raise StorageError(f"{path} has lost data since the checkpoint: begin again in another folder")
        with writing(path):
            self.stream = path.open("ab")
            self.stream.truncate(size)

    def append(self, content: bytes) -> None:
        """Add to the end."""
        with writing(self.path):
            self.stream.write(content)

    def sync(self) -> int:
        """Force everything to disk and return the size."""
        with writing(self.path):
            self.stream.flush()
            os.fsync(self.stream.fileno())
            return self.stream.tell()

    def close(self) -> None:
        """Close the file."""
        with writing(self.path):
            self.stream.close()
