"""One step in its folder: who is in it, what it was asked for, how it ends, and that it goes on after a kill."""

from __future__ import annotations

import hashlib
import json
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import aiida_finales
from aiida_finales.exceptions import DistrustError, FolderTakenError, WalltimeError
from aiida_finales.md.engine import Clock
from aiida_finales.md.run import RunOptions
from aiida_finales.md.storage import demand_place, hold, replace_json
from aiida_finales.potential.input import PotentialInput
from aiida_finales.schemas import Json

PROGRAM = "finales-mlp"
#: last key and value of ``output.json``: its absence means that the output is not complete
END_MARKER = ("end", PROGRAM)
OUTPUT, TASK, SPENT = "output.json", "input.json", "spent.json"
#: s between two lines about how far it is
PAUSE = 10.0
#: keys of the input that all steps read, and those that each reads beside: others may change when a step goes on
MIXTURE = ("schema", "formulation", "temperature_K", "n_molecules", "seed", "ion_charge_scale", "cutoff_nm", "species")
READS = {
    "sample": ("sample",),
    "label": ("reference",),
    "reference": ("reference",),
    "train": ("model", "train"),
    "explore": ("explore",),
    "select": ("select",),
    "run": ("run", "reference"),
}
PACKAGES = ("graph-pes", "torch", "tblite", "ase", "openmm", "numpy")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Work:
    """A step under way.

    :param files: what it reads, by name.
    :param arguments: what else it was told, by name.
    :param say: takes a line for people.
    """

    step: str
    given: PotentialInput
    folder: Path
    files: Mapping[str, Path]
    options: RunOptions
    say: Callable[[str], None]
    arguments: Json = field(default_factory=dict)
    clock: Clock = field(init=False)
    spent: float = 0.0
    told: float = 0.0
    began: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        self.clock = Clock(self.options.walltime, self.options.checkpoint)

    def cpu(self) -> float:
        """Return the CPU seconds of all calls so far."""
        now = resource.getrusage(resource.RUSAGE_SELF)
        return round(self.spent + now.ru_utime + now.ru_stime, 1)

    def tell(self, done: int, total: int, words: str, is_over: bool = False) -> None:
        """Say now and then how far it is, and how long it will take."""
        now = time.monotonic()
        if self.began is None:
            self.began = (done, now)
        if not is_over and now - self.told < PAUSE:
            return
        self.told = now
        first, start = self.began
        left = (total - done) * (now - start) / (done - first) if done > first else None
        later = f", {left:.0f} s left" if left else ""
        self.say(f"{self.step} {done} of {total}{later}; {words}")

    def keep_spent(self) -> None:
        """Keep the CPU seconds so far."""
        replace_json(self.folder / SPENT, {"cpu_s": self.cpu()})

    def stop_in_time(self, done: int, total: int, piece: float) -> None:
        """Stop where the time does not suffice for a piece of so many seconds; call it after a checkpoint.

        :raises WalltimeError: when it does not, or a signal said stop.
        """
        if done < total and self.clock.is_over(piece):
            why = "it was told to end" if self.clock.is_told else "the time is over"
            words = f"{why} in {self.step} at {done} of {total}"
            raise WalltimeError(f"{words}; the checkpoint is in {self.folder}: call again with --resume")


def perform(work: Work, act: Callable[[Work], Json]) -> None:
    """Do a step, unless it is done; afterwards ``output.json`` is in its folder.

    :param act: returns what was found; with ``distrust``, a reason, the result is not to be trusted.
    :raises SimulationError: when something is in the way; its ``exit_status`` says what.
    """
    folder = work.folder
    demand_place(folder, PROGRAM)
    with hold(folder, PROGRAM):
        if not _is_done(work):
            (folder / "error.json").unlink(missing_ok=True)
            work.spent = _read(folder / SPENT).get("cpu_s", 0.0)
            try:
                with work.clock.listening():
                    found = act(work)
            except Exception:
                _leave_free(folder)
                raise
            replace_json(folder / OUTPUT, _describe(work) | found | {END_MARKER[0]: END_MARKER[1]})
            work.say(f"wrote {folder / OUTPUT}")
    reason = _read(folder / OUTPUT).get("distrust")
    if reason:
        raise DistrustError(f"{reason}; what was found is in {folder}")


def _leave_free(folder: Path) -> None:
    """Leave a folder to another input, where a step ended before anything was found."""
    written = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != TASK]
    if all(path.is_file() and not path.stat().st_size for path in written):
        for path in (*written, folder / TASK):
            path.unlink()


def read_output(folder: Path) -> Json:
    """Return what a step that is done has found.

    :raises FolderTakenError: when it is not done.
    """
    found = _read(folder / OUTPUT)
    if found.get(END_MARKER[0]) != END_MARKER[1]:
        raise FolderTakenError(f"{folder} holds no step of {PROGRAM} that is done")
    return found


def _is_done(work: Work) -> bool:
    """Check that a folder is free for this step; return whether it is done."""
    path = work.folder / TASK
    task = _describe_task(work)
    if not path.exists():
        replace_json(path, task)
        return False
    if not work.options.is_resumed:
        raise FolderTakenError(f"{work.folder} holds a step: go on with it by --resume, or give another --out")
    before = _read(path)
    for document in (before, task):
        document["input"] = _what_counts(work.step, document.get("input", {}))
    if before != task:
        what = ", ".join(sorted(key for key in task if before.get(key) != task[key])) or "another task"
        raise FolderTakenError(f"{work.folder} holds a step of other {what}: give another --out")
    done = (work.folder / OUTPUT).exists()
    if done:
        work.say(f"{work.folder} is done already")
    return done


def _what_counts(step: str, given: Json) -> Json:
    """Return the part of an input that changes what a step finds."""
    # what an older version did not write is as good as none
    return {name: given.get(name) or None for name in (*MIXTURE, *READS.get(step, ()))}


def _describe_task(work: Work) -> Json:
    files = {name: sha256_of(path) for name, path in work.files.items()}
    given = work.given.model_dump(mode="json", by_alias=True)
    return {"step": work.step, "input": given, "files": files, "arguments": work.arguments}


def _describe(work: Work) -> Json:
    written = sorted(path for path in work.folder.iterdir() if path.suffix in {".xyz", ".pt", ".csv"})
    return {
        "schema": "finales-mlp-output/1",
        "simulated": True,
        "step": work.step,
        "seed": work.given.seed,
        "versions": read_versions(),
        "read_sha256": {name: sha256_of(path) for name, path in work.files.items()},
        "written_sha256": {path.name: sha256_of(path) for path in written},
        "cpu_s": work.cpu(),
    }


def read_versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"aiida-finales": aiida_finales.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
