"""Learned dynamics that stop where they are not to be trusted, which of their frames to label, and how wrong they were.

A calm temperature proves nothing: a network can hold it while molecules collapse. What counts is the error of the
frames that its dynamics visited, by the reference method.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import BlownUpError, SimulationInputError
from aiida_finales.md.cell import Cell
from aiida_finales.md.run import count_threads
from aiida_finales.md.species import graph_key
from aiida_finales.md.storage import replace_file
from aiida_finales.potential.assemble import summarise_errors
from aiida_finales.potential.classical import plan
from aiida_finales.potential.committee import Committee
from aiida_finales.potential.description import read_description
from aiida_finales.potential.domain import densities_of, mixtures_of, narrow, temperatures_of
from aiida_finales.potential.dynamics import END, LOG, Limits, Walk, summarise_log
from aiida_finales.potential.frames import (
    ENERGY,
    FORCES,
    LARGEST_FORCE,
    REFERENCE,
    SPREAD,
    TEMPERATURE,
    bonds_of,
    demand_content,
    density_of,
    find_defect,
    fingerprint,
    read_frames,
    read_labelled,
    write_frames,
)
from aiida_finales.potential.input import PotentialInput
from aiida_finales.potential.label import pick, steps_of, thermostat_of
from aiida_finales.potential.networks import load_torch
from aiida_finales.potential.work import Work
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms

SELECTED, PAIRS = "selected.xyz", "spread_error.csv"
#: errors of visited frames, in parts of those of held-out ones: beyond it a potential is distrusted
DISTRUSTED = 1.5
#: ps; who does not get so far has visited nothing
EARLY_WRECK = 0.005


def load_committee(work: Work, cell: Cell) -> Committee:
    """Return the potential of a work, with the threads that it is granted."""
    load_torch().set_num_threads(count_threads(work.options.threads))
    return Committee(work.files["potential"].parent, cell, work.given.device)


def explore(work: Work) -> Json:
    """Simulate from a frame by a potential, until it is not to be trusted any more.

    :raises BlownUpError: when it is wrecked before it visited anything.
    :raises WalltimeError: when the time is over before.
    """
    settings = work.given.explore
    cell = plan(work.given)
    frames = read_frames(work.files["start"])
    demand_content(frames, cell, work.files["start"])
    committee = load_committee(work, cell)
    frame = pick(frames, work)
    stop = settings.stop_spread or committee.stop_spread
    walk = Walk(work, committee, frame, thermostat_of(work, settings), *steps_of(settings))
    notes = {"source": "explore", TEMPERATURE: work.given.temperature_K}
    reason = walk.go(Limits(stop, bonds_of(cell)), lambda kept, _: kept.info.update(notes), LARGEST_FORCE)
    moment = walk.langevin.step * settings.timestep_fs * 1e-3
    if reason != END and moment < EARLY_WRECK:
        raise BlownUpError(f"the dynamics ended after {moment * 1000:g} fs by {reason}: look at start and potential")
    words = {"ended_by": reason, "ps": moment, "is_whole": reason == END, "stop_spread_eV_A": stop}
    return (
        words
        | {"statement": committee.words["statement"]}
        | summarise_log(work.folder / LOG, len(frame), settings.friction_per_ps)
    )


def select(work: Work) -> Json:
    """Choose the frames of trajectories that a label of teaches most: ``selected.xyz``.

    Those with the largest spread first, none that is unphysical, trusted too little, or near to another one.

    :raises BlownUpError: when there is none.
    """
    settings, given = work.given.select, work.given
    visited = [frame for name, path in work.files.items() if name.startswith("visited") for frame in read_frames(path)]
    known = read_frames(work.files["known"]) if "known" in work.files else []
    bonds = _bonds_if_known(work, visited)
    trust = read_description(work.files["potential"].parent)["trust"] if "potential" in work.files else {}
    low = settings.low if settings.low is not None else trust.get("low", 0.0)
    high = settings.high if settings.high is not None else trust.get("high", np.inf)
    refused: dict[int, str] = {}
    for index, frame in enumerate(visited):
        defect = find_defect(frame, bonds)
        if defect is not None:
            refused[index] = defect
        elif frame.info.get(SPREAD, 0.0) > high:
            refused[index] = f"spread {frame.info[SPREAD]:.2f} eV/Å, up to {high:.2f} are accepted"
    physical = [frame for index, frame in enumerate(visited) if index not in refused]
    chosen = _choose(physical, known, given.select.n, settings.distance)
    if not chosen:
        near = (
            f"all are nearer to known ones than select.distance, {settings.distance:g} Å: let dynamics "
            "go on for longer, or give a smaller one"
        )
        words = near if physical else next(iter(refused.values()))
        raise BlownUpError(f"none of {len(visited)} frames can be used: {words}")
    write_frames(work.folder / SELECTED, chosen)
    n_doubtful = sum(frame.info.get(SPREAD, 0.0) >= low for frame in chosen)
    return {
        "visited": len(visited),
        "selected": len(chosen),
        "doubtful": int(n_doubtful),
        "refused": refused,
        "near_duplicates": len(physical) - len(chosen) if len(chosen) < settings.n else None,
        "molecules_checked": bonds is not None,
        "low": low,
        "high": high if np.isfinite(high) else None,
    }


def _bonds_if_known(work: Work, frames: list[Atoms]) -> Any:
    """Return the bonds of the input's mixture, where the frames are of it; others can be looked at without."""
    cell = plan(work.given)
    try:
        demand_content(frames, cell, Path("frames"))
    except SimulationInputError:
        work.say("the frames are not of the input's mixture: torn bonds cannot be seen, only what is too near")
        return None
    return bonds_of(cell)


def _choose(frames: list[Atoms], known: list[Atoms], number: int, distance: float) -> list[Atoms]:
    order = sorted(range(len(frames)), key=lambda index: -float(frames[index].info.get(SPREAD, 0.0)))
    chosen: list[Atoms] = []
    for index in order:
        if len(chosen) == number:
            break
        frame = frames[index]
        if all(_apart(frame, other) >= distance for other in [*chosen, *known]):
            chosen.append(frame)
    return chosen


def _apart(one: Atoms, other: Atoms) -> float:
    """Return the root mean square distance of the atoms of two frames, angstrom; endless where they are of others."""
    if one.get_chemical_symbols() != other.get_chemical_symbols():
        return np.inf
    sides = np.diag(one.cell.array)
    gaps = one.positions - other.positions
    gaps -= np.round(gaps / sides) * sides
    return float(np.sqrt((gaps**2).sum(axis=1).mean()))


def evaluate(work: Work) -> Json:
    """Compare a potential with labelled frames that it did not learn from; ``spread_error.csv`` has every atom.

    The result is distrusted when the error of the forces is more than half as large again as that of held-out frames.

    :raises SimulationInputError: when the potential learned from one of the frames, or from another method.
    """
    cell = plan(work.given)
    frames = read_labelled(work.files["data"])
    demand_content(frames, cell, work.files["data"])
    return compare(work, load_committee(work, cell), frames, work.files["data"])


def compare(work: Work, committee: Committee, frames: list[Atoms], path: Path) -> Json:
    """Compare a potential with labelled frames; ``spread_error.csv`` has every atom.

    :param path: of the frames.
    :raises SimulationInputError: when the potential learned from one of them, or from another method.
    """
    _demand_new(frames, committee.words, path)
    found = []
    for index, frame in enumerate(frames):
        found.append(committee.evaluate(frame))
        work.tell(index + 1, len(frames), "compared")
    errors = {
        "forces": np.concatenate([now.forces - frame.arrays[FORCES] for now, frame in zip(found, frames, strict=True)]),
        "energies": np.array(
            [(now.energy - frame.info[ENERGY]) / len(frame) for now, frame in zip(found, frames, strict=True)]
        ),
    }
    spread = np.concatenate([now.spread for now in found if now.spread is not None])
    sizes = np.sqrt((errors["forces"] ** 2).sum(axis=1))
    rows = "".join(f"{one:.6g},{other:.6g}\n" for one, other in zip(spread, sizes, strict=True))
    replace_file(work.folder / PAIRS, ("spread_eV_A,error_eV_A\n" + rows).encode())
    summary = summarise_errors(errors, frames)
    return summary | _relate(spread, sizes) | _below(committee, frames) | _judge(summary, committee.words)


def _demand_new(frames: list[Atoms], words: Json, path: Path) -> None:
    known = set(words["frames"])
    both = [index for index, frame in enumerate(frames) if fingerprint(frame) in known]
    if both:
        raise SimulationInputError(f"{path}, frames {both}: the potential learned from them; a test needs new ones")
    method = str(frames[0].info[REFERENCE])
    if method != words["reference"]:
        raise SimulationInputError(f"{path}: labels by {method}, the potential learned {words['reference']}")


def _relate(spread: Array, sizes: Array) -> Json:
    """Return how well the spread of atoms tells their errors."""
    r = float(np.corrcoef(spread, sizes)[0, 1]) if spread.std() > 0 and sizes.std() > 0 else 0.0
    ratio = float(np.sqrt(np.mean(sizes**2) / np.mean(spread**2))) if spread.any() else None
    return {"spread_correlation": round(r, 3), "error_over_spread": ratio}


def _below(committee: Committee, frames: list[Atoms]) -> Json:
    """Return the errors of the baseline alone, for comparison."""
    if committee.words["baseline"]["kind"] == "none":
        return {}
    errors = [committee.baseline.evaluate(frame)[1] - frame.arrays[FORCES] for frame in frames]
    return {"classical_forces_meV_A": round(1e3 * float(np.sqrt(np.mean(np.concatenate(errors) ** 2))), 3)}


def _judge(summary: Json, words: Json) -> Json:
    held_out = words["validation"]["forces_meV_A"]
    found = {"statement": words["statement"], "held_out_forces_meV_A": held_out, "distrust": None}
    if summary["forces_meV_A"] > DISTRUSTED * held_out:
        factor = summary["forces_meV_A"] / held_out
        found["distrust"] = (
            f"the error of the forces is {summary['forces_meV_A']:.0f} meV/Å, {factor:.1f} times that of held-out "
            f"frames; up to {DISTRUSTED:g} times are trusted: label these frames and train again"
        )
    return found


def demand_domain(given: PotentialInput, words: Json) -> Json:
    """Return the domain of an input's mixture, in which its temperature is.

    :raises SimulationInputError: when mixture or temperature are not those that a potential learned from.
    """
    temperature, formulation = given.temperature_K, [part.model_dump() for part in given.formulation]
    domain = narrow(words["domain"], formulation, _key_of)
    if domain is None:
        asked, *learned = (_tell(parts) for parts in (formulation, *mixtures_of(words["domain"])))
        accepted = " or ".join(learned)
        raise SimulationInputError(f"formulation: {asked} was given, the potential's domain is {accepted}")
    low, high = temperatures_of(domain)
    if not low <= temperature <= high:
        accepted = f"{low:g} to {high:g} K"
        raise SimulationInputError(f"temperature_K: {temperature:g} was given, the potential's domain is {accepted}")
    return domain


def demand_density(frame: Atoms, domain: Json, place: str) -> None:
    """Check that a frame is as dense as those that a potential learned from.

    :param place: of the frame, in words.
    :raises SimulationInputError: when it is not.
    """
    low, high = densities_of(domain)
    density = density_of(frame)
    if not low <= density <= high:
        accepted = f"{low:.3f} to {high:.3f} g/cm³"
        words = f"a density of {density:.3f} g/cm³ was given, the potential's domain is {accepted}"
        raise SimulationInputError(f"{place}: {words}")


def _key_of(smiles: str) -> str:
    """Return what all SMILES of a chemical, or of a salt, have in common."""
    return ".".join(sorted(graph_key(part) for part in smiles.split(".")))


def _tell(parts: list[Json]) -> str:
    return ", ".join(f"{part.get('name') or part['smiles']} {part['mole_fraction']:g}" for part in parts)
