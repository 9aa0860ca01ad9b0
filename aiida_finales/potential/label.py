"""Energies and forces of the reference method: of frames that are given, and along its own dynamics."""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import BlownUpError, NotConvergedError, SimulationInputError
from aiida_finales.md.cell import Cell
from aiida_finales.md.run import count_threads
from aiida_finales.md.storage import GrowingFile, going_on, replace_json
from aiida_finales.potential.cell_folder import (
    CELL,
    LEAST_FRAME,
    LEAST_PRODUCTION,
    Replay,
    analyse_cell,
    describe_simulation,
    leave_cell,
)
from aiida_finales.potential.classical import EV, plan
from aiida_finales.potential.dynamics import (
    LOG,
    TRAJECTORY,
    UNCONVERGED,
    Evaluation,
    Limits,
    Thermostat,
    Walk,
    mark_labels,
    read_log,
    summarise_log,
)
from aiida_finales.potential.frames import (
    ENERGY,
    LARGEST_FORCE,
    REFERENCE,
    TEMPERATURE,
    bonds_of,
    demand_content,
    find_defect,
    read_frames,
    to_bytes,
    write_frames,
)
from aiida_finales.potential.input import DynamicsSettings
from aiida_finales.potential.references import describe_reference, make_reference
from aiida_finales.potential.work import Work
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from ase import Atoms

LABELLED, FAILED, EARLY = "labelled.xyz", "failed.xyz", "early.xyz"
PROGRESS = "progress.json"
#: of a number of frames
ROUNDING = 1e-6


def label(work: Work) -> Json:
    """Label frames one by one: ``labelled.xyz``, and in ``failed.xyz`` those that have no label, with the reason.

    :raises NotConvergedError: when the method failed for all of them.
    :raises BlownUpError: when none is physical.
    :raises WalltimeError: when the time is over before.
    """
    frames = read_frames(work.files["frames"])
    cell = plan(work.given)
    demand_content(frames, cell, work.files["frames"])
    source = prepare(work, cell)
    return _summarise(work, label_frames(work, frames, source, bonds_of(cell)), source.title)


def label_frames(work: Work, frames: list[Atoms], source: Any, bonds: Any) -> Counter[str]:
    """Write ``labelled.xyz`` and ``failed.xyz`` of frames, going on where it was interrupted; return how many of which.

    :param bonds: pairs of bonded atoms.
    :raises WalltimeError: when the time is over before.
    """
    state: dict[str, Any] = {"done": 0, "sizes": {}, "kinds": []}
    if (work.folder / PROGRESS).exists():
        with going_on(work.folder / PROGRESS):
            state |= json.loads((work.folder / PROGRESS).read_text())
    files = {name: GrowingFile(work.folder / name, state["sizes"].get(name, 0)) for name in (LABELLED, FAILED)}
    try:
        for index in range(state["done"], len(frames)):
            began = time.monotonic()
            kind, frame = _label_one(source, frames[index], bonds)
            files[LABELLED if kind == "labelled" else FAILED].append(to_bytes(frame))
            state["kinds"].append(kind)
            state |= {"done": index + 1, "sizes": {name: file.sync() for name, file in files.items()}}
            replace_json(work.folder / PROGRESS, state)
            work.keep_spent()
            work.tell(index + 1, len(frames), source.title)
            work.stop_in_time(index + 1, len(frames), time.monotonic() - began)
    finally:
        for file in files.values():
            file.close()
    return Counter(state["kinds"])


def prepare(work: Work, cell: Any) -> Any:
    """Return the reference method of a work, with the threads that it is granted."""
    os.environ["OMP_NUM_THREADS"] = str(count_threads(work.options.threads))  # of tblite, read when it is loaded
    return make_reference(work.given, cell)


def _label_one(source: Any, frame: Atoms, bonds: Any) -> tuple[str, Atoms]:
    defect = find_defect(frame, bonds)
    if defect is not None:
        frame.info["reason"] = f"not physical: {defect}"
        return "unphysical", frame
    try:
        mark_labels(frame, source.evaluate(frame))
    except NotConvergedError as error:
        frame.info["reason"] = str(error).replace("\n", " ")
        return "failed", frame
    frame.info[REFERENCE] = source.title
    return "labelled", frame


def _summarise(work: Work, kinds: Counter[str], title: str) -> Json:
    if not kinds["labelled"]:
        if kinds["failed"]:
            raise NotConvergedError(f"{title} labelled none of {kinds.total()} frames: {_first_reason(work)}")
        raise BlownUpError(f"none of {kinds.total()} frames is physical: {_first_reason(work)}")
    counts = {"labelled": kinds["labelled"], "failed": kinds["failed"], "unphysical": kinds["unphysical"]}
    return counts | {"reference": title, "statement": describe_reference(title)}


def _first_reason(work: Work) -> str:
    """Return why the first frame has no label, and where the others' reasons are."""
    path = work.folder / FAILED
    return f"{read_frames(path)[0].info['reason']}; that of each frame is in {path}"


def run_reference(work: Work) -> Json:
    """Simulate by the reference method itself: all frames are labelled, those of the beginning kept apart.

    :raises NotConvergedError: when the method fails before there is a frame to keep.
    :raises BlownUpError: when the liquid is none any more before that.
    :raises WalltimeError: when the time is over before.
    """
    given, settings = work.given, work.given.reference
    cell = plan(given)
    frames = read_frames(work.files["start"])
    demand_content(frames, cell, work.files["start"])
    frame = pick(frames, work)
    source = prepare(work, cell)
    moving = DynamicsSettings(ps=settings.ps, frame_ps=settings.frame_ps)
    walk = Walk(work, source, frame, thermostat_of(work, moving), *steps_of(moving))

    def mark(kept: Atoms, now: Evaluation) -> None:
        mark_labels(kept, now)
        kept.info |= {REFERENCE: source.title, "source": "reference", TEMPERATURE: given.temperature_K}

    reason = walk.go(Limits(bonds=bonds_of(cell)), mark, LARGEST_FORCE)
    kept = read_frames(work.folder / TRAJECTORY) if (work.folder / TRAJECTORY).stat().st_size else []
    late = [item for item in kept if item.info["time_ps"] > settings.dropped_ps]
    if not late:
        kind = NotConvergedError if reason.startswith(UNCONVERGED) else BlownUpError
        raise kind(
            f"{len(kept)} frames, none after the first {settings.dropped_ps:g} ps (reference.dropped_ps); it ended by "
            f"{reason}"
        )
    write_frames(work.folder / EARLY, [item for item in kept if item.info["time_ps"] <= settings.dropped_ps])
    write_frames(work.folder / LABELLED, late)
    words = {"reference": source.title, "statement": describe_reference(source.title), "ended_by": reason}
    log = summarise_log(work.folder / LOG, len(frame), moving.friction_per_ps)
    words |= {"ps": late[-1].info["time_ps"], "labelled": len(late), "early": len(kept) - len(late)} | log
    return words | _leave_cell(work, cell, late, moving, source.title)


def _leave_cell(work: Work, cell: Cell, frames: list[Atoms], settings: DynamicsSettings, title: str) -> Json:
    """Leave dynamics in the form of ``finales-md``, and return what its analysis finds."""
    stride = max(1, math.ceil(LEAST_FRAME / settings.frame_ps - ROUNDING))
    chosen = frames[::stride]
    spacing = stride * settings.frame_ps
    if len(chosen) * spacing < LEAST_PRODUCTION:
        words = f"{len(chosen) * spacing:g} ps of frames, at least {LEAST_PRODUCTION:g} ps are needed"
        return {"analysis_missing": words}
    protocol = {"timestep_fs": settings.timestep_fs, "production_ps": len(chosen) * spacing, "frame_ps": spacing}
    simulation = describe_simulation(work.given, int(work.arguments.get("frame") or 0), protocol)
    log = read_log(work.folder / LOG)
    heat = dict(zip(np.round(log["time_ps"], 6).tolist(), log["temperature_K"].tolist(), strict=True))
    moments = [(heat[frame.info["time_ps"]], float(frame.info[ENERGY]) / EV) for frame in chosen]
    leave_cell(work.folder / CELL, simulation, Replay(cell, chosen, moments), title, max(1.0, work.cpu()))
    return analyse_cell(work.folder / CELL)


def pick(frames: list[Atoms], work: Work) -> Atoms:
    """Return the frame of the work's argument ``frame``.

    :raises SimulationInputError: when there is none of that number.
    """
    number = int(work.arguments.get("frame") or 0)
    if not number < len(frames):
        raise SimulationInputError(f"--frame {number} was given, accepted is 0 to {len(frames) - 1}")
    return frames[number]


def thermostat_of(work: Work, settings: DynamicsSettings) -> Thermostat:
    """Return the thermostat of a step; its noise differs from start to start."""
    seed = work.given.seed * 1009 + int(work.arguments.get("frame") or 0)
    return Thermostat.of(settings, work.given.temperature_K, seed)


def steps_of(settings: DynamicsSettings) -> tuple[int, int]:
    """Return the time steps in all, and between two frames."""
    return (
        max(1, round(settings.ps * 1000 / settings.timestep_fs)),
        max(1, round(settings.frame_ps * 1000 / settings.timestep_fs)),
    )
