"""A cell in the form of ``finales-md``: what other dynamics leave there is read by the same analysis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.md.analyse import analyse_cells, find_shells
from aiida_finales.md.cell import Cell
from aiida_finales.md.dynamics import Dynamics, Progress
from aiida_finales.md.engine import Clock, Sample
from aiida_finales.md.forces import make_topology
from aiida_finales.md.input import SimulationInput, check_input
from aiida_finales.md.output import GROWING, LOG, LOG_HEADER, finish, write_pdb
from aiida_finales.md.species import Library
from aiida_finales.md.storage import State, replace_file, replace_json
from aiida_finales.potential.classical import NM
from aiida_finales.potential.input import PotentialInput
from aiida_finales.schemas import Json
from aiida_finales.science.liquid.pair_distribution import average_coordination

if TYPE_CHECKING:
    from ase import Atoms

CELL = "cell"
#: frames of all atoms, for pair distributions
ALL_ATOMS = 200
#: ps; least time between two frames of ``finales-md``, and least production
LEAST_FRAME, LEAST_PRODUCTION = 0.01, 0.1


def describe_simulation(given: PotentialInput, number: int, protocol: Json, pressure: float = 1.0) -> SimulationInput:
    """Return dynamics as ``finales-md`` would be told of them.

    :param number: tells independent dynamics of one liquid apart.
    :param protocol: what differs from that of classical cells.
    :param pressure: bar.
    :raises SimulationInputError: when ``finales-md`` refuses it.
    """
    document = given.simulation(number).model_dump(mode="json", by_alias=True)
    document["protocol"] |= protocol | {"rdf_frames": ALL_ATOMS}
    return check_input(document | {"pressure_bar": pressure}, "run")


def open_cell(folder: Path, simulation: SimulationInput, cell: Cell, frame: Atoms, state: State) -> State:
    """Write what stands at the beginning of a cell, and its first checkpoint.

    :param frame: where it starts.
    :param state: without sizes of files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    replace_json(folder / "input.json", simulation.model_dump(mode="json", by_alias=True))
    replace_json(
        folder / "system.json", cell.describe(simulation, Library(species=cell.species)) | {"engine": state.engine}
    )
    positions = frame.positions * NM
    write_pdb(folder / "packed.pdb", make_topology(cell, state.edge), cell.wrap(positions, state.edge))
    replace_file(folder / LOG, LOG_HEADER.encode())
    state.sizes = dict.fromkeys(GROWING, 0) | {LOG: len(LOG_HEADER)}
    # the density of the start, until dynamics at constant pressure find another
    state.results["density"] = {"mean": cell.density(state.edge**3), "sem": 0.0}
    state.save(folder)
    return state


@dataclass
class Replay:
    """Dynamics that have been, in the place of an engine.

    :param moments: temperature (K) and potential energy (kJ/mol) of every frame.
    """

    cell: Cell
    frames: Sequence[Atoms]
    moments: Sequence[tuple[float, float]]

    def put(self, positions: Any, velocities: Any) -> None:
        """Do nothing: all frames are there."""

    def simulate(self, _steps: int, _frame: int, _clock: Clock) -> Iterator[list[Sample]]:
        """Return the frames one by one."""
        for frame, (temperature, potential) in zip(self.frames, self.moments, strict=True):
            edge = float(frame.cell[0, 0]) * NM
            yield [Sample(np.array(frame.positions) * NM, edge, potential, 0.0, temperature)]

    def velocities(self) -> Any:
        """Return none that anything goes on with."""
        return np.zeros((self.cell.n_atoms, 3))


def leave_cell(folder: Path, simulation: SimulationInput, replay: Replay, title: str, seconds: float) -> None:
    """Write dynamics that have been as a cell of ``finales-md``; what was begun there is written anew.

    :param title: of what gave the forces.
    :param seconds: that the dynamics took.
    """
    if folder.exists():
        shutil.rmtree(folder)
    first = replay.frames[0]
    edge, positions = float(first.cell[0, 0]) * NM, first.positions * NM
    state = State(title, "production", 0, positions, None, edge, seconds={"production": seconds})
    open_cell(folder, simulation, replay.cell, first, state)
    Dynamics(simulation.protocol, folder, state, replay, Progress(simulation.protocol, lambda _: None)).work(Clock())
    finish(folder, simulation, replay.cell, state, title)


def analyse_cell(folder: Path) -> Json:
    """Return what the analysis of ``finales-md`` finds in a cell, or why it finds nothing."""
    try:
        found = analyse_cells([folder])
    except InputError as error:  # too short for transport, which is no fault of what was simulated
        shells, reasons = find_shells([folder])
        found = {"coordination": average_coordination(shells), "analysis_missing": str(error)}
        return found | ({"coordination_missing": reasons} if reasons else {})
    keys = ("summary", "coordination", "coordination_missing")
    return {key: found[key] for key in keys if key in found}


def read_cell(folder: Path, cell: Cell) -> list[Any]:
    """Return the frames of all atoms of a cell, molecules whole.

    :raises MissingExtraError: when MDAnalysis is not installed.
    """
    from ase import Atoms

    try:
        from MDAnalysis.lib.formats.libdcd import DCDFile
    except ImportError as error:
        raise MissingExtraError("md", "frames of classical cells") from error
    with DCDFile(str(folder / "rdf.dcd")) as file:
        frames = file.readframes()
    sides = np.asarray(frames.unitcell, dtype=float)[:, [0, 2, 5]]
    return [
        Atoms(cell.elements, np.asarray(positions, dtype=float), cell=edges, pbc=True)
        for positions, edges in zip(frames.xyz, sides, strict=True)
    ]
