"""What all members of a training learn: labelled frames beside what the network adds to, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.cell import Cell
from aiida_finales.potential.classical import Baseline, describe_baseline, plan
from aiida_finales.potential.committee import demand_elements
from aiida_finales.potential.description import read_description
from aiida_finales.potential.frames import (
    ENERGY,
    FORCES,
    REFERENCE,
    TEMPERATURE,
    demand_content,
    density_of,
    fingerprint,
    read_labelled,
    sort_out,
)
from aiida_finales.potential.input import PotentialInput, read_input, with_species
from aiida_finales.potential.networks import describe_network
from aiida_finales.potential.work import Work, read_versions, sha256_of
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms

#: forces so many times larger or smaller than the classical ones are in other units
UNLIKE = 5.0


@dataclass
class Lesson:
    """What all members learn, and from where they start.

    :param shared: what their descriptions have in common.
    :param targets: energy (eV) and forces (eV/angstrom) beyond the baseline and lone atoms, of every frame.
    """

    baseline: Baseline
    frames: list[Atoms]
    validation: list[Atoms]
    refused: dict[int, str]
    shared: Json
    targets: list[tuple[float, Array]]
    start: Path | None

    @classmethod
    def prepare(cls, work: Work) -> Lesson:
        """Read the frames of a work, and find scale and energies of lone atoms."""
        given, others = work.given, _read_others(work)
        cells = [plan(item) for item in (given, *others)]
        frames, refused = sort_out(read_labelled(work.files["data"]))
        validation = read_labelled(work.files["validation"])
        terms = describe_baseline(given, cells)
        baseline = Baseline(cells, terms)
        for kind, found in (("data", frames), ("validation", validation)):
            demand_content(found, cells[0], work.files[kind], *cells[1:])
        start = work.files["start"].parent if "start" in work.files else None
        before = read_description(start) if start is not None else None
        # weights that go on have learned what they began with as well
        learned = list(dict.fromkeys([*map(fingerprint, frames), *(before or {}).get("frames", ())]))
        _demand_new(validation, learned, work.files["validation"])
        _demand_method(validation, frames, work.files["validation"])
        _demand_physical(validation, work.files["validation"])
        targets = [_beyond(frame, baseline) for frame in frames]
        _demand_units(frames, targets, work.files["data"])
        shifts, scale = _scales(frames, targets)
        network = describe_network(given.model)
        if before is not None:
            _demand_same(before, {"network": network, "baseline": terms})
            demand_elements(set(shifts), before)
            # another method has other energies of lone atoms
            is_same = before["reference"] == str(frames[0].info[REFERENCE])
            shifts, scale = before["shifts"] | ({} if is_same else shifts), before["scale"]
        shared = {
            "network": network,
            "elements": sorted(shifts),
            "shifts": shifts,
            "scale": scale,
            "baseline": terms,
            "reference": str(frames[0].info[REFERENCE]),
            "frames": learned,
            "data_sha256": sha256_of(work.files["data"]),
            "domain": _domain([given, *others], cells, frames),
            "versions": read_versions(),
        }
        targets = [
            (energy - _lone(frame, shifts), forces) for frame, (energy, forces) in zip(frames, targets, strict=True)
        ]
        return cls(baseline, frames, validation, refused, shared, targets, start)


def _read_others(work: Work) -> list[PotentialInput]:
    """Return the inputs of the other mixtures that are learned.

    :raises SimulationInputError: when one asks for another force field.
    """
    found = []
    for path in (path for name, path in work.files.items() if name.startswith("also")):
        other = with_species(read_input(path), work.given.species)
        for key in ("cutoff_nm", "ion_charge_scale"):
            given, accepted = getattr(other, key), getattr(work.given, key)
            if given != accepted:
                words = f"{key} {given:g} was given, accepted is {accepted:g}, as in the input"
                raise SimulationInputError(f"{path}: {words}")
        found.append(other)
    return found


def _demand_new(validation: list[Atoms], learned: list[str], path: Path) -> None:
    known = set(learned)
    both = [index for index, frame in enumerate(validation) if fingerprint(frame) in known]
    if both:
        raise SimulationInputError(
            f"{path}, frames {both}: they are in the training set as well, or in that of --start; a test needs new ones"
        )


def _demand_method(validation: list[Atoms], frames: list[Atoms], path: Path) -> None:
    given, accepted = (str(found[0].info[REFERENCE]) for found in (validation, frames))
    if given != accepted:
        raise SimulationInputError(f"{path}: labels by {given} were given, accepted is {accepted}, as of the data")


def _demand_physical(validation: list[Atoms], path: Path) -> None:
    """Check that held-out frames are none that are not learned from: all trust would be measured by these."""
    for index, reason in sort_out(validation)[1].items():
        raise SimulationInputError(f"{path}, frame {index}: {reason}; leave it out")


def _demand_units(frames: list[Atoms], targets: list[tuple[float, Array]], path: Path) -> None:
    """Check that labels are as large as the classical forces: in other units they could be learned as well."""
    forces = np.concatenate([frame.arrays[FORCES] for frame in frames])
    classical = forces - np.concatenate([beyond for _, beyond in targets])
    size, accepted = (float(np.sqrt(np.mean(part**2))) for part in (forces, classical))
    if accepted and not accepted / UNLIKE < size < accepted * UNLIKE:
        raise SimulationInputError(
            f"{path}: {FORCES} of {size:.2g}, where those of the force field are {accepted:.2g} eV/Å as root mean "
            f"square; accepted are eV and eV/Å. What is so different is learned with model.baseline none"
        )


def _demand_same(before: Json, now: Json) -> None:
    for key, value in now.items():
        if before[key] != value:
            raise SimulationInputError(f"--start has {key} {before[key]}, accepted is that of the input: {value}")


def _beyond(frame: Atoms, baseline: Baseline) -> tuple[float, Array]:
    energy, forces = baseline.evaluate(frame)
    return float(frame.info[ENERGY]) - energy, np.asarray(frame.arrays[FORCES], dtype=float) - forces


def _scales(frames: list[Atoms], targets: list[tuple[float, Array]]) -> tuple[dict[str, float], float]:
    """Return the energy of lone atoms (eV) and the root mean square force (eV/angstrom).

    Where all frames have one composition the energies are those of least size that give the mean: one of many splits.
    """
    elements = sorted({symbol for frame in frames for symbol in frame.symbols})
    rows = [[frame.get_chemical_symbols().count(name) for name in elements] for frame in frames]
    counts: Array = np.array(rows, dtype=float)
    shifts = np.linalg.lstsq(counts, np.array([energy for energy, _ in targets]), rcond=1e-8)[0]
    scale = math.sqrt(float(np.mean([float(np.mean(forces**2)) for _, forces in targets])))
    return {name: float(value) for name, value in zip(elements, shifts, strict=True)}, max(scale, 1e-6)


def _lone(frame: Atoms, shifts: dict[str, float]) -> float:
    return sum(shifts[symbol] for symbol in frame.symbols)


def _domain(mixtures: list[PotentialInput], cells: list[Cell], frames: list[Atoms]) -> Json:
    """Return the mixtures that are learned and their states: of all, and of each where they are several."""
    states = []
    for item, cell in zip(mixtures, cells, strict=True):
        own = [frame for frame in frames if tuple(frame.get_chemical_symbols()) == cell.elements]
        if not own:
            given = ", ".join(part.name or part.smiles for part in item.formulation)
            raise SimulationInputError(f"no frame of {given} is among the data; accepted are frames of every mixture")
        heat = [float(frame.info.get(TEMPERATURE, item.temperature_K)) for frame in own]
        dense = [density_of(frame) for frame in own]
        states.append({"temperature_K": [min(heat), max(heat)], "density_g_cm3": [min(dense), max(dense)]})
    first, *others = [[part.model_dump(mode="json") for part in item.formulation] for item in mixtures]
    whole = {key: [min(item[key][0] for item in states), max(item[key][1] for item in states)] for key in states[0]}
    return {"formulation": first, **whole, **({"others": others, "states": states} if others else {})}
