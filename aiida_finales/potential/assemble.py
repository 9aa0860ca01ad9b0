"""Join trained members to a potential: its errors on held-out frames, and how far its own doubt is to be trusted.

Needs no torch: members that were trained in different places are joined where they come together.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.storage import going_on, replace_json, writing
from aiida_finales.potential.committee import spread_of
from aiida_finales.potential.description import COMMON, DESCRIPTION, SCHEMA
from aiida_finales.potential.frames import ENERGY, FORCES
from aiida_finales.potential.references import describe_reference
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms

#: what training leaves of a member beside its weights
LEARNED, PREDICTED = "member_{}.json", "validation_{}.npz"
#: of the largest calibrated spreads of held-out frames: up to it the potential is at home
HOME = 0.95
#: so many times as large: beyond it nothing is trusted
TOO_FAR = 3.0
#: relative difference of numbers that are the same: the classical forces beneath are of single precision, and two
#: processes sum them in different order
_SAME = 1e-4


def name_member(number: int) -> str:
    """Return the name of a member."""
    return f"member_{number}"


def assemble(places: Sequence[Path], numbers: Sequence[int], validation: Sequence[Atoms], folder: Path) -> Json:
    """Write ``potential.json``, and the members' weights beside it; return its content.

    :param places: folder of each member.
    :param numbers: of the members.
    :param validation: held-out frames that the members have predicted, labelled.
    :raises SimulationInputError: when the members do not belong together.
    """
    learned = [json.loads((place / LEARNED.format(n)).read_text()) for place, n in zip(places, numbers, strict=True)]
    for other in learned[1:]:
        _demand_common(other, learned[0])
    errors, spread = _compare(places, numbers, validation)
    calibration = _calibrate(errors["forces"], spread)
    largest = [float(part.max()) for part in np.split(spread * calibration, _ends(validation))]
    low = float(np.quantile(largest, HOME))
    reference = learned[0]["reference"]
    for place, entry in zip(places, learned, strict=True):
        _bring(place / entry["member"]["file"], folder)
    found = {
        "schema": SCHEMA,
        **{key: learned[0][key] for key in COMMON},
        "statement": describe_reference(reference),
        "members": [entry["member"] for entry in learned],
        "n_frames": len(learned[0]["frames"]),
        "validation": summarise_errors(errors, validation),
        "curves": [entry["curve"] for entry in learned],
        "calibration": calibration,
        "trust": {"low": low, "high": TOO_FAR * low},
        "versions": learned[0]["versions"],
    }
    replace_json(folder / DESCRIPTION, found)
    return found


def bring_member(path: Path, shared: Json, folder: Path) -> None:
    """Copy what the training of a member has left elsewhere.

    :param path: its ``member_N.json``.
    :param shared: what all members of the training that it is to be part of have in common.
    :raises SimulationInputError: when it is of another training.
    """
    with going_on(path):
        learned = json.loads(path.read_text())
    try:
        _demand_common(learned, shared)
    except SimulationInputError as error:
        raise SimulationInputError(f"{path}: {error}") from error
    for file in (learned["member"]["file"], PREDICTED.format(path.stem.rpartition("_")[2]), path.name):
        _bring(path.parent / file, folder)  # what says that it is there comes last


def _demand_common(one: Json, other: Json) -> None:
    differing = [key for key in COMMON if not _is_same(one[key], other[key])]
    if differing:
        raise SimulationInputError(f"members differ in {', '.join(differing)}; accepted are members of one training")


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME)
    return bool(one == other)


def _bring(path: Path, folder: Path) -> None:
    if path.parent != folder:
        with writing(folder):
            shutil.copyfile(path, folder / path.name)


def _ends(frames: Sequence[Atoms]) -> Array:
    return np.cumsum([len(frame) for frame in frames])[:-1]


def _compare(places: Sequence[Path], numbers: Sequence[int], frames: Sequence[Atoms]) -> tuple[Json, Array]:
    """Return the errors of the members' mean, and the raw spread of every atom."""
    votes = []
    for place, number in zip(places, numbers, strict=True):
        with np.load(place / PREDICTED.format(number)) as arrays:
            votes.append((arrays["energies"], arrays["forces"]))
    energies = np.mean([vote[0] for vote in votes], axis=0)
    forces = np.array([vote[1] for vote in votes])
    truth = np.concatenate([frame.arrays[FORCES] for frame in frames])
    sizes = np.array([len(frame) for frame in frames])
    per_atom = (energies - np.array([frame.info[ENERGY] for frame in frames])) / sizes
    return {"forces": forces.mean(axis=0) - truth, "energies": per_atom}, spread_of(forces)


def _calibrate(errors: Array, spread: Array) -> float:
    """Return the factor that makes the spread of the members as large as their error, as root mean squares."""
    size = float(np.sqrt(np.mean(spread**2)))
    return float(np.sqrt(np.mean((errors**2).sum(axis=-1)))) / size if size > 0 else 1.0


def summarise_errors(errors: dict[str, Any], frames: Sequence[Atoms]) -> Json:
    """Return root mean square errors, JSON-ready.

    :param errors: ``forces`` (atoms of all frames x 3, eV/angstrom), ``energies`` (eV per atom, of every frame).
    """
    symbols = np.concatenate([frame.get_chemical_symbols() for frame in frames])
    forces, energies = np.asarray(errors["forces"]), np.asarray(errors["energies"])
    return {
        "n_frames": len(frames),
        "forces_meV_A": _rms(forces),
        "forces_by_element_meV_A": {name: _rms(forces[symbols == name]) for name in sorted(set(symbols.tolist()))},
        "energy_meV_atom": _rms(energies),
        # of one composition energies have no common zero: the mean may go; of one frame nothing would be left
        "energy_without_offset_meV_atom": _rms(energies - energies.mean()) if len(frames) > 1 else None,
    }


def _rms(values: Array) -> float:
    return round(1e3 * float(np.sqrt(np.mean(values**2))), 3)
