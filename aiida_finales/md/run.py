"""The stages of one run, and how it goes on after an interruption.

::

    build ──> minimise ──> nvt ──> npt ──> settle ──> production ──> output.json

A checkpoint holds where the run stands and how long its growing files are. Whatever a killed process wrote after its
last checkpoint is cut off when the run resumes, and simulated again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import FolderTakenError, StorageError
from aiida_finales.md.cell import LOOSENESS, Cell, plan_cell
from aiida_finales.md.dynamics import Dynamics, Progress
from aiida_finales.md.engine import Clock, Engine, Ensemble
from aiida_finales.md.engine_gromacs import FOLDER, GromacsEngine
from aiida_finales.md.engine_openmm import OpenMMEngine, choose_platform
from aiida_finales.md.forces import make_topology
from aiida_finales.md.gromacs import check_gromacs, has_gromacs
from aiida_finales.md.input import GROMACS_PLATFORMS, SimulationInput, check_input
from aiida_finales.md.molecules import shape
from aiida_finales.md.output import (
    ATOMS,
    GROWING,
    IONS,
    LOG,
    LOG_HEADER,
    N_STRESS,
    SOLVENTS,
    STRESS,
    density_of,
    finish,
    read_versions,
    write_pdb,
)
from aiida_finales.md.packing import pack
from aiida_finales.md.species import Library
from aiida_finales.md.storage import State, demand_place, hold, replace_file, replace_json, writing

#: variables that say how many threads a job may have, first come, first served: the user's own or that of AiiDA's
#: scheduler "direct", then those of SLURM, which need not bind a job to its cores
THREAD_VARIABLES = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


STAGES = ("minimise", "nvt", "npt", "settle", "production")
#: 1/ps; before production a strong thermostat is welcome
STRONG_FRICTION = 1.0
#: bytes that a position takes in all files of its kind
BYTES = 48
#: bytes that a run may need beside its frames
SPARE_BYTES = 50_000_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """How a run is done, whatever its input.

    :param is_resumed: go on where an earlier run in the folder stopped.
    :param walltime: s after which the run stops with a checkpoint.
    :param checkpoint: s between checkpoints.
    :param threads: of the CPU; ``None`` for what the job is granted.
    """

    is_resumed: bool = False
    walltime: float | None = None
    checkpoint: float = 60.0
    threads: int | None = None


def run_cell(given: SimulationInput, folder: Path, library: Library, options: RunOptions, say: Say) -> None:
    """Simulate one cell; afterwards ``output.json`` is in the folder.

    :raises SimulationError: when something is in the way; its ``exit_status`` says what.
    """
    demand_place(folder)
    with hold(folder):
        if _is_done(folder, given, options):
            say(f"{folder} is done already")
            return
        (folder / "error.json").unlink(missing_ok=True)
        clock = Clock(options.walltime, options.checkpoint)
        with clock.listening():
            _Run(given, folder, library, options, say).work(clock)


def _is_done(folder: Path, given: SimulationInput, options: RunOptions) -> bool:
    """Check that a folder is free for this run; return whether the run is over."""
    path = folder / "input.json"
    if not path.exists():
        return False
    if not options.is_resumed:
        raise FolderTakenError(f"{folder} holds a run: go on with it by --resume, or give another --out")
    before = check_input(json.loads(path.read_text(encoding="utf-8")), str(path))
    if before.model_dump(exclude={"platform"}) != given.model_dump(exclude={"platform"}):
        raise FolderTakenError(f"{folder} holds a run of another input: give another --out")
    return (folder / "output.json").exists()


class _Run:
    def __init__(self, given: SimulationInput, folder: Path, library: Library, options: RunOptions, say: Say) -> None:
        self.given, self.folder, self.library, self.options, self.say = given, folder, library, options, say
        self.cell = plan_cell(given, library)
        self.progress = Progress(given.protocol, say)
        self.threads = count_threads(options.threads)
        self._check_room()

    def work(self, clock: Clock) -> None:
        """Do what is left."""
        state = State.load(self.folder)
        choice = choose_engine(self.given, None if state is None else state.engine)
        state = state or self._build(choice)
        self.say(f"{self.cell.n_atoms} atoms, {choice}, {self.threads} threads; {state.stage} from step {state.step}")
        for stage in STAGES[STAGES.index(state.stage) :]:
            began = time.monotonic()
            if stage == "minimise":
                self._minimise(state, choice)
            else:
                self._simulate(state, choice, clock)
            self._close_stage(state, stage, began)
        finish(self.folder, self.given, self.cell, state, choice.platform)
        shutil.rmtree(self.folder / FOLDER, ignore_errors=True)
        self.say(f"wrote {self.folder / 'output.json'}")

    def _build(self, choice: Choice) -> State:
        replace_json(self.folder / "input.json", self.given.model_dump(mode="json", by_alias=True))
        began = time.monotonic()
        edge = self.cell.edge / LOOSENESS ** (1 / 3)
        seed = self._seed("build", 0)
        shapes = {item.name: shape(item, seed) for item in self.cell.species}
        counts = dict(zip(shapes, self.cell.counts, strict=True))
        self.say(f"packing {self.cell.n_atoms} atoms into a box of {edge:.3f} nm")
        with writing(self.folder):
            positions = pack(shapes, counts, edge, seed, self.folder / "packing")
        write_pdb(self.folder / "packed.pdb", make_topology(self.cell, edge), positions)
        about = self.cell.describe(self.given, self.library) | {
            "engine": choice.engine,
            "versions": read_versions(choice.engine),
        }
        replace_json(self.folder / "system.json", about)
        state = State(choice.engine, "minimise", 0, positions, None, edge, dict.fromkeys(GROWING, 0))
        replace_file(self.folder / LOG, LOG_HEADER.encode())
        state.sizes[LOG] = len(LOG_HEADER)
        state.seconds["build"] = time.monotonic() - began
        state.save(self.folder)
        return state

    def _minimise(self, state: State, choice: Choice) -> None:
        """Move the atoms of the packed box apart: by OpenMM for all engines, as it takes seconds."""
        ensemble = Ensemble(STRONG_FRICTION, None, self._seed("minimise", 0))
        engine = OpenMMEngine(self.cell, self.given, state.edge, ensemble, choice.openmm_platform, self.threads)
        engine.put(state.positions, None)
        sample = engine.minimise()
        self.say(f"minimised to {sample.potential:.0f} kJ/mol")
        state.positions = sample.positions

    def _simulate(self, state: State, choice: Choice, clock: Clock) -> None:
        engine = self._engine(state, choice)
        Dynamics(self.given.protocol, self.folder, state, engine, self.progress).work(clock)

    def _engine(self, state: State, choice: Choice) -> Engine:
        what = (self.cell, self.given, state.edge, self._ensemble(state))
        if choice.engine == "gromacs":
            return GromacsEngine(*what, self.folder, self.threads)
        return OpenMMEngine(*what, choice.platform, self.threads)

    def _close_stage(self, state: State, stage: str, began: float) -> None:
        state.seconds.setdefault(stage, time.monotonic() - began)
        if stage == "npt":
            density, error = density_of(self.folder / LOG)
            state.results["density"] = {"mean": density, "sem": error}
            compress(state, self.cell, density)
            self.say(f"density {density:.4f} g/cm³, standard error {error:.4f}")
        if stage != STAGES[-1]:
            state.stage, state.step = STAGES[STAGES.index(stage) + 1], 0
        state.save(self.folder)

    def _ensemble(self, state: State) -> Ensemble:
        is_production, is_npt = state.stage == "production", state.stage == "npt"
        friction = self.given.protocol.friction_per_ps if is_production else STRONG_FRICTION
        pressure = self.given.pressure_bar if is_npt else None
        stress_steps = self.given.protocol.stress_steps if is_production else None
        return Ensemble(friction, pressure, self._seed(state.stage, state.step), stress_steps)

    def _seed(self, stage: str, step: int) -> int:
        """Return a seed that no other stage, cell or resumed part of a stage has."""
        number = ("build", *STAGES).index(stage)
        words = [self.given.seed, self.given.cell_index, number, step]
        return int(np.random.SeedSequence(words).generate_state(1)[0] % (2**31 - 1)) + 1

    def _check_room(self) -> None:
        protocol = self.given.protocol
        positions = protocol.n_frames * (len(self.cell.molecules) + 1) + protocol.rdf_frames * self.cell.n_atoms
        n_tensors = protocol.steps(protocol.production_ps) // (protocol.stress_steps or 1)
        tensors = n_tensors * N_STRESS * 4 * 2 if protocol.stress_steps else 0
        files = (IONS, SOLVENTS, ATOMS, STRESS)
        present = sum(path.stat().st_size for path in map(self.folder.joinpath, files) if path.exists())
        needed = max(0, positions * BYTES + tensors - present) + SPARE_BYTES
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise StorageError(f"{self.folder} has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed")


def compress(state: State, cell: Cell, density: float) -> None:
    """Scale the box to a density."""
    edge = float(np.cbrt(cell.density(1.0) / density))
    state.positions = cell.scale(state.positions, edge / state.edge)
    state.edge = edge


def describe_plan(given: SimulationInput, library: Library, cutoff: str = "protocol.cutoff_nm") -> dict[str, Any]:
    """Return what a run of this input would simulate, JSON-ready; nothing is simulated.

    :param cutoff: key by which the cutoff was given, for people.
    """
    cell = plan_cell(given, library, cutoff)
    about = cell.describe(given, library)
    return about | {"density_estimated_g_cm3": round(cell.density(cell.edge**3), 3), "engine": given.engine}


@dataclass(frozen=True)
class Choice:
    """An engine that works here.

    :param platform: of OpenMM; ``auto`` or ``CPU`` for GROMACS.
    """

    engine: str
    platform: str

    @property
    def openmm_platform(self) -> str:
        """What OpenMM uses for a minimisation."""
        return self.platform if self.engine == "openmm" else "CPU"

    def __str__(self) -> str:
        return f"engine {self.engine}, platform {self.platform}"


def choose_engine(given: SimulationInput, begun: str | None) -> Choice:
    """Return the engine that is asked for, or the fastest there is.

    :param begun: the engine of a run that is resumed: one run has one engine.
    :raises EngineError: when it does not work here.
    """
    engine = given.engine if begun is None else begun
    if engine == "gromacs":
        check_gromacs()
        return Choice("gromacs", given.platform)
    platform = choose_platform(given.platform)
    # measured on one core, GROMACS is three times as fast as OpenMM; on a GPU OpenMM needs no other program
    is_faster = platform != "CUDA" and given.platform in GROMACS_PLATFORMS and has_gromacs()
    return Choice("gromacs", given.platform) if engine == "auto" and is_faster else Choice("openmm", platform)


def count_threads(asked: int | None) -> int:
    """Return the number of threads on a CPU: those asked for, else what the environment grants, else all cores."""
    granted = (os.environ.get(name, "") for name in THREAD_VARIABLES)
    numbers = [int(text) for text in granted if text.isdecimal() and int(text) > 0]
    return asked or next(iter(numbers), len(os.sched_getaffinity(0)))
