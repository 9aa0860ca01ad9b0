"""Production by a potential, as long as it is trusted, in the form of ``finales-md``: the same analysis reads it.

::

    [npt ──>] production ──> analysis ──> labels of some of its frames ──> their true error
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import DistrustError, SimulationInputError, WalltimeError
from aiida_finales.md.cell import Cell
from aiida_finales.md.dynamics import Dynamics, Progress
from aiida_finales.md.engine import Clock, Sample
from aiida_finales.md.input import SimulationInput
from aiida_finales.md.output import LOG, density_of, finish, read_log
from aiida_finales.md.run import compress
from aiida_finales.md.storage import State
from aiida_finales.potential.cell_folder import CELL, analyse_cell, describe_simulation, open_cell, read_cell
from aiida_finales.potential.classical import EV, NM, plan
from aiida_finales.potential.committee import Committee
from aiida_finales.potential.domain import densities_of
from aiida_finales.potential.dynamics import BOLTZMANN, Langevin, Limits, find_drift
from aiida_finales.potential.explore import compare, demand_density, demand_domain, load_committee
from aiida_finales.potential.frames import LARGEST_FORCE, bonds_of, demand_content, read_frames, read_labelled
from aiida_finales.potential.input import FEWEST_FRAMES, RunSettings
from aiida_finales.potential.label import LABELLED, label_frames, pick, prepare, thermostat_of
from aiida_finales.potential.work import Work
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from ase import Atoms

NPT, PRODUCTION = "npt", "production"
#: time steps between two attempts to change the volume, and the largest change, in parts of it
BAROSTAT_STEPS, VOLUME_STEP = 25, 0.02
#: eV per bar and angstrom^3
BAR = 6.241509074e-7
#: what tells the noise of the barostat from that of the thermostat
BAROSTAT = 2**32


def run(work: Work) -> Json:
    """Simulate from a frame, analyse what was trusted, and label some of it: in ``cell`` is a run of ``finales-md``.

    :raises DistrustError: when it cannot be trusted from the beginning.
    :raises WalltimeError: when the time is over before.
    """
    given, settings = work.given, work.given.run
    cell = plan(given)
    frames = read_frames(work.files["start"])
    demand_content(frames, cell, work.files["start"])
    committee = load_committee(work, cell)
    frame = pick(frames, work)
    domain = demand_domain(given, committee.words)
    demand_density(frame, domain, f"{work.files['start']}, frame {work.arguments.get('frame') or 0}")
    simulation, folder = _describe(work), work.folder / CELL
    source = _prepare_check(work, cell, committee)
    state = State.load(folder) or _begin(folder, work, simulation, cell, frame, committee)
    if not (folder / "output.json").exists():
        engine = PotentialEngine(cell, work, frame, committee, state, domain)
        state.results["ended_by"] = _simulate(work, simulation, engine, state)
        state.save(folder)
    reason = state.results["ended_by"]
    if state.stage != PRODUCTION or state.step < FEWEST_FRAMES * simulation.protocol.frame_steps:
        moment = state.step * settings.timestep_fs
        raise DistrustError(f"{state.stage} ended after {moment:g} fs by {reason}, before there is anything to analyse")
    statement = committee.words["statement"]
    if not (folder / "output.json").exists():
        finish(folder, simulation, cell, state, f"{committee.device}, {statement}")
    trusted = state.step * settings.timestep_fs * 1e-3
    true = _check(work, cell, committee, source)
    short = None if reason is None else f"trusted for {trusted:g} of {settings.ps:g} ps; it ended by {reason}"
    words = {"statement": statement, "trusted_ps": trusted, "asked_ps": settings.ps, "ended_by": reason or "end"}
    distrust = "; ".join(why for why in (short, true.get("distrust")) if why) or None
    held_out = committee.words["validation"]
    words |= {"held_out": held_out, "true_error": true, "distrust": distrust}
    return words | _find_drift(folder, settings, cell) | analyse_cell(folder)


def _find_drift(folder: Path, settings: RunSettings, cell: Cell) -> Json:
    """Return how far energy was not conserved, where nothing but the potential should change it."""
    if settings.friction_per_ps:
        return {}
    log = read_log(folder / LOG, PRODUCTION)
    return find_drift(log["time_ps"], (log["potential_kJ_mol"] + log["kinetic_kJ_mol"]) * EV / cell.n_atoms)


def _describe(work: Work) -> SimulationInput:
    settings = work.given.run
    protocol = {"timestep_fs": settings.timestep_fs, "production_ps": settings.ps, "frame_ps": settings.frame_ps}
    number = int(work.arguments.get("frame") or 0)
    found = describe_simulation(work.given, number, protocol, settings.pressure_bar)
    # a short one finales-md would refuse, which begins with a loose box and has to settle
    stages = {"nvt_ps": 0.0, "npt_ps": settings.npt_ps, "settle_ps": 0.0}
    return found.model_copy(update={"protocol": found.protocol.model_copy(update=stages)})


def _begin(
    folder: Path, work: Work, simulation: SimulationInput, cell: Cell, frame: Atoms, committee: Committee
) -> State:
    stage = NPT if work.given.run.npt_ps else PRODUCTION
    state = State(committee.title, stage, 0, frame.positions * NM, None, float(frame.cell[0, 0]) * NM)
    return open_cell(folder, simulation, cell, frame, state)


def _simulate(work: Work, simulation: SimulationInput, engine: PotentialEngine, state: State) -> str | None:
    """Simulate the stages that are left; return why the last one ended before its time, or ``None``.

    :raises WalltimeError: when only the time is over.
    """
    folder, progress = work.folder / CELL, Progress(simulation.protocol, work.say)
    while True:
        try:
            Dynamics(simulation.protocol, folder, state, engine, progress).work(work.clock)
        except WalltimeError:
            work.keep_spent()
            if engine.reason is None:
                raise
            return engine.reason
        work.keep_spent()
        if state.stage == PRODUCTION:
            return None
        density, error = density_of(folder / LOG)
        state.results["density"] = {"mean": density, "sem": error}
        compress(state, engine.cell, density)
        state.results["start_energy"] = None
        state.stage, state.step = PRODUCTION, 0
        state.save(folder)


def _prepare_check(work: Work, cell: Cell, committee: Committee) -> Any:
    """Return what labels frames at the end, or ``None``.

    :raises SimulationInputError: when it is not the method that the potential learned from.
    """
    if not work.given.run.n_checked:
        return None
    source = prepare(work, cell)
    if source.title != committee.words["reference"]:
        raise SimulationInputError(
            f"reference: {source.title} was given; accepted is {committee.words['reference']}, which the potential "
            "learned, or run.n_checked 0: its true error is then not known"
        )
    return source


def _check(work: Work, cell: Cell, committee: Committee, source: Any) -> Json:
    """Return the errors of some frames of the production by the reference method; empty when it is not asked."""
    if source is None:
        return {}
    frames = read_cell(work.folder / CELL, cell)
    number = min(work.given.run.n_checked, len(frames))
    # the last one, and others evenly before it
    chosen = [frames[len(frames) * (index + 1) // number - 1] for index in range(number)]
    kinds = label_frames(work, chosen, source, bonds_of(cell))
    if not kinds["labelled"]:
        return {"distrust": f"{source.title} labelled none of {number} frames of the production"}
    path = work.folder / LABELLED
    return {**compare(work, committee, read_labelled(path), path), "failed": number - kinds["labelled"]}


class PotentialEngine:
    """A potential in the place of OpenMM or GROMACS.

    :param state: of the run, which says where the energy began.
    :param domain: of the mixture.
    """

    def __init__(self, cell: Cell, work: Work, frame: Atoms, committee: Committee, state: State, domain: Json) -> None:
        self.densities = densities_of(domain)
        self.cell, self.work, self.frame, self.committee, self.state = cell, work, frame, committee, state
        self.settings = work.given.run
        self.limits = Limits(self.settings.stop_spread or committee.stop_spread, bonds_of(cell))
        self.reason: str | None = None
        self.langevin: Langevin | None = None
        self.kept: Any = None

    def put(self, positions: Any, velocities: Any) -> None:
        """Set positions in nm and velocities, as :meth:`velocities` returns them."""
        self.frame.set_cell([self.state.edge / NM] * 3)
        self.frame.positions[:] = positions / NM
        thermostat = thermostat_of(self.work, self.settings)
        if self.state.stage == NPT:  # other noise than that of production
            thermostat = replace(thermostat, seed=thermostat.seed + BAROSTAT)
        self.langevin = Langevin(self.committee, self.frame, thermostat, velocities)
        if self.state.results.get("start_energy") is None:
            self.state.results["start_energy"] = self.langevin.now.energy

    def simulate(self, steps: int, frame: int, clock: Clock) -> Iterator[list[Sample]]:
        """Simulate in pieces of one frame; ends early when the clock says so, or when it is not trusted."""
        langevin = self._langevin
        langevin.step = self.state.step  # the noise goes on where it was
        total = self.state.step + steps
        while langevin.step < total:
            began = time.monotonic()
            for _ in range(min(frame, total - langevin.step)):
                self._advance()
                self.reason = self._judge()
                if self.reason is not None:
                    return
            self.kept = np.array(langevin.velocities)
            yield [self._sample(langevin)]
            if clock.is_over(time.monotonic() - began):
                return

    @property
    def _langevin(self) -> Langevin:
        if self.langevin is None:
            raise SimulationInputError("dynamics without positions: `put` comes first")
        return self.langevin

    def _advance(self) -> None:
        langevin = self._langevin
        langevin.advance()
        if self.state.stage == NPT and langevin.step % BAROSTAT_STEPS == 0:
            self._change_volume()

    def _judge(self) -> str | None:
        reason = self.limits.judge(self._langevin, LARGEST_FORCE, self.state.results["start_energy"])
        if reason is not None or self.state.stage != NPT:
            return reason
        low, high = self.densities
        density = self.cell.density((self.frame.cell[0, 0] * NM) ** 3)
        if low <= density <= high:
            return None
        return f"density: {density:.3f} g/cm³, the potential's domain is {low:.3f} to {high:.3f}"

    def _change_volume(self) -> None:
        """Try another volume, as Metropolis did: centres of molecules move, their shapes stay."""
        langevin, edge = self._langevin, float(self.frame.cell[0, 0])
        chance = np.random.default_rng([langevin.thermostat.seed, langevin.step, BAROSTAT])
        volume, before = edge**3, np.array(self.frame.positions)
        change = VOLUME_STEP * volume * chance.uniform(-1, 1)
        longer = (1 + change / volume) ** (1 / 3)
        self.frame.set_cell([edge * longer] * 3)
        self.frame.positions[:] = self.cell.scale(before, longer)
        now = self.committee.evaluate(self.frame)
        heat = BOLTZMANN * langevin.thermostat.temperature
        work = now.energy - langevin.now.energy + self.settings.pressure_bar * BAR * change
        exponent = -work / heat + len(self.cell.molecules) * math.log(1 + change / volume)
        if math.isfinite(now.energy) and math.log(max(chance.uniform(), 1e-300)) < exponent:
            langevin.now = now
            return
        self.frame.set_cell([edge] * 3)
        self.frame.positions[:] = before

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
        return self.kept
