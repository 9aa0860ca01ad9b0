"""Production by a potential, as long as it is trusted, in the form of ``finales-md``: the same analysis reads it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import DistrustError, InputError, WalltimeError
from aiida_finales.md.analyse import analyse_cells
from aiida_finales.md.cell import Cell
from aiida_finales.md.dynamics import Dynamics, Progress
from aiida_finales.md.engine import Clock, Sample
from aiida_finales.md.forces import make_topology
from aiida_finales.md.input import SimulationInput, check_input
from aiida_finales.md.output import ATOMS, IONS, LOG, LOG_HEADER, finish, write_pdb
from aiida_finales.md.species import Library
from aiida_finales.md.storage import State, replace_file, replace_json
from aiida_finales.potential.classical import EV, NM, plan
from aiida_finales.potential.committee import Committee
from aiida_finales.potential.dynamics import Langevin, Limits
from aiida_finales.potential.explore import demand_domain, load_committee
from aiida_finales.potential.frames import LARGEST_FORCE, bonds_of, demand_content, read_frames
from aiida_finales.potential.label import pick, thermostat_of
from aiida_finales.potential.work import Work
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from ase import Atoms

CELL = "cell"
#: frames of all atoms, for pair distributions
ALL_ATOMS = 200
#: frames below which there is nothing to analyse
FEWEST_FRAMES = 2


def run(work: Work) -> Json:
    """Simulate from a frame, and analyse what was trusted: in ``cell`` are the files of a run of ``finales-md``.

    :raises DistrustError: when it cannot be trusted from the beginning.
    :raises WalltimeError: when the time is over before.
    """
    given, settings = work.given, work.given.run
    cell = plan(given)
    frames = read_frames(work.files["start"])
    demand_content(frames, cell, work.files["start"])
    committee = load_committee(work, cell)
    frame = pick(frames, work)
    demand_domain(frame, given.temperature_K, committee.words)
    simulation = _simulation(work)
    folder = work.folder / CELL
    state = State.load(folder) or _begin(folder, work, cell, frame, committee)
    engine = PotentialEngine(cell, work, frame, committee)
    reason = _simulate(
        work, Dynamics(simulation.protocol, folder, state, engine, Progress(simulation.protocol, work.say))
    )
    if state.step < FEWEST_FRAMES * simulation.protocol.frame_steps:
        raise DistrustError(f"it ended after {state.step * settings.timestep_fs:g} fs by {reason}")
    finish(folder, simulation, cell, state, f"{committee.device}, {committee.words['statement']}")
    trusted = state.step * settings.timestep_fs * 1e-3
    words = {"statement": committee.words["statement"], "trusted_ps": trusted, "asked_ps": settings.ps}
    return words | {
        "ended_by": reason or "end",
        "distrust": _distrust(reason, trusted, settings.ps),
        **_analyse(folder),
    }


def _distrust(reason: str | None, trusted: float, asked: float) -> str | None:
    return None if reason is None else f"trusted for {trusted:g} of {asked:g} ps; it ended by {reason}"


def _analyse(folder: Path) -> Json:
    try:
        found = analyse_cells([folder])
    except InputError as error:  # too short for transport, which is no fault of what was simulated
        return {"analysis_missing": str(error)}
    keys = ("summary", "coordination", "coordination_missing")
    return {key: found[key] for key in keys if key in found}


def _simulation(work: Work) -> SimulationInput:
    settings = work.given.run
    document = work.given.simulation().model_dump(mode="json", by_alias=True)
    document["protocol"] |= {
        "timestep_fs": settings.timestep_fs,
        "production_ps": settings.ps,
        "frame_ps": settings.frame_ps,
        "rdf_frames": ALL_ATOMS,
    }
    return check_input(document, "run")


def _begin(folder: Path, work: Work, cell: Cell, frame: Atoms, committee: Committee) -> State:
    folder.mkdir(parents=True, exist_ok=True)
    positions, edge = frame.positions * NM, float(frame.cell[0, 0]) * NM
    simulation = _simulation(work)
    replace_json(folder / "input.json", simulation.model_dump(mode="json", by_alias=True))
    about = cell.describe(simulation, Library()) | {"engine": committee.title}
    replace_json(folder / "system.json", about)
    write_pdb(folder / "packed.pdb", make_topology(cell, edge), cell.wrap(positions, edge))
    replace_file(folder / LOG, LOG_HEADER.encode())
    sizes = {IONS: 0, ATOMS: 0, LOG: len(LOG_HEADER)}
    state = State(committee.title, "production", 0, positions, None, edge, sizes)
    state.results["density"] = {"mean": cell.density(edge**3), "sem": 0.0}
    state.save(folder)
    return state


def _simulate(work: Work, dynamics: Dynamics) -> str | None:
    """Simulate; return why it ended before its time, or ``None``.

    :raises WalltimeError: when only the time is over.
    """
    engine = dynamics.engine
    try:
        dynamics.work(work.clock)
    except WalltimeError:
        work.keep_spent()
        if engine.reason is None:  # type: ignore[attr-defined]
            raise
    return engine.reason  # type: ignore[attr-defined, no-any-return]


class PotentialEngine:
    """A potential in the place of OpenMM or GROMACS."""

    def __init__(self, cell: Cell, work: Work, frame: Atoms, committee: Committee) -> None:
        self.cell, self.work, self.frame, self.committee = cell, work, frame, committee
        self.settings = work.given.run
        self.limits = Limits(self.settings.stop_spread or committee.stop_spread, bonds_of(cell))
        self.reason: str | None = None
        self.langevin: Langevin | None = None

    def put(self, positions: Any, velocities: Any) -> None:
        """Set positions in nm and velocities, as :meth:`velocities` returns them."""
        self.frame.positions[:] = positions / NM
        self.langevin = Langevin(self.committee, self.frame, thermostat_of(self.work, self.settings), velocities)

    def simulate(self, steps: int, frame: int, clock: Clock) -> Iterator[list[Sample]]:
        """Simulate in pieces of one frame; ends early when the clock says so, or when it is not trusted."""
        langevin = self.langevin
        assert langevin is not None  # noqa: S101 - `put` was called
        total = max(1, round(self.settings.ps * 1000 / self.settings.timestep_fs))
        langevin.step = total - steps  # the noise goes on where it was
        start = langevin.now.energy
        while langevin.step < total:
            began = time.monotonic()
            for _ in range(min(frame, total - langevin.step)):
                langevin.advance()
                self.reason = self.limits.judge(langevin, LARGEST_FORCE, start)
                if self.reason is not None:
                    return
            yield [self._sample(langevin)]
            if clock.is_over(time.monotonic() - began):
                return

    def _sample(self, langevin: Langevin) -> Sample:
        potential = langevin.now.energy / EV
        return Sample(
            np.array(self.frame.positions) * NM,
            float(self.frame.cell[0, 0]) * NM,
            potential if math.isfinite(potential) else 0.0,
            langevin.kinetic / EV,
            langevin.temperature,
        )

    def velocities(self) -> Any:
        """Return the velocities at the last frame."""
        assert self.langevin is not None  # noqa: S101 - `put` was called
        return np.array(self.langevin.velocities)
