"""Dynamics of flexible molecules at constant volume by any source of forces, with checkpoints.

The noise of a time step follows from the seed and the number of the step, so that a run that was killed and resumed
goes the way of one that was not.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from aiida_finales.exceptions import NotConvergedError
from aiida_finales.md.storage import GrowingFile, going_on, replace_file
from aiida_finales.potential.frames import ENERGY, FORCES, SPREAD, find_defect, to_bytes
from aiida_finales.potential.input import DynamicsSettings
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from aiida_finales.potential.work import Work

#: eV/K; angstrom and eV: sqrt(Da angstrom²/eV) in fs
BOLTZMANN, TIME_UNIT = 8.617333262e-5, 10.1805057
CHECKPOINT, TRAJECTORY, LOG = "walk.npz", "trajectory.xyz", "log.csv"
LOG_HEADER = "time_ps,temperature_K,potential_eV,kinetic_eV,spread_eV_A\n"
#: time steps after which there is a checkpoint, however quick they were
CHECKPOINT_STEPS = 100
#: points that a straight line goes through, whatever they are
LINE = 2
#: in parts of the temperature asked for: what is hotter explodes
HOT = 3.0
#: words of an ending that is none, and of that where the reference method has no answer
END, UNCONVERGED = "end", "no convergence"


@dataclass(frozen=True)
class Evaluation:
    """What a source says of a frame.

    :param energy: eV.
    :param forces: eV/angstrom.
    :param spread: calibrated, of every atom, eV/angstrom; ``None`` where the source knows no doubt.
    """

    energy: float
    forces: Array
    spread: Array | None = None

    @property
    def largest_spread(self) -> float:
        """That of the atom with the largest one."""
        return 0.0 if self.spread is None else float(self.spread.max())


class Source(Protocol):
    """Where forces come from."""

    def evaluate(self, frame: Atoms) -> Evaluation:
        """Return energy and forces of a frame."""


@dataclass(frozen=True)
class Thermostat:
    """How atoms move.

    :param temperature: K.
    :param friction: 1/ps; 0 conserves energy.
    :param timestep: fs.
    """

    temperature: float
    friction: float
    timestep: float
    seed: int

    @classmethod
    def of(cls, settings: DynamicsSettings, temperature: float, seed: int) -> Thermostat:
        """Return that of the settings of a step."""
        return cls(temperature, settings.friction_per_ps, settings.timestep_fs, seed)


class Langevin:
    """Langevin dynamics by the scheme BAOAB.

    :param frame: where it starts; it is moved.
    :param velocities: angstrom/fs times :data:`TIME_UNIT`; drawn when ``None``.
    :param step: time steps that were done before.
    """

    def __init__(
        self, source: Source, frame: Atoms, thermostat: Thermostat, velocities: Array | None = None, step: int = 0
    ) -> None:
        self.source, self.frame, self.thermostat, self.step = source, frame, thermostat, step
        self.masses: Array = frame.get_masses()[:, None]
        self.dt = thermostat.timestep / TIME_UNIT
        self.speeds: Array = np.sqrt(BOLTZMANN * thermostat.temperature / self.masses)
        self.velocities: Array = self._draw() if velocities is None else velocities
        self.now = source.evaluate(frame)

    def advance(self) -> Evaluation:
        """Do a time step."""
        half = 0.5 * self.dt
        self.velocities += half * self.now.forces / self.masses
        self.frame.positions += half * self.velocities
        keep = math.exp(-self.thermostat.friction * self.thermostat.timestep * 1e-3)
        if keep < 1:
            noise = self._noise(self.step).standard_normal(self.velocities.shape)
            self.velocities = keep * self.velocities + math.sqrt(1 - keep**2) * self.speeds * noise
        self.frame.positions += half * self.velocities
        self.now = self.source.evaluate(self.frame)
        self.velocities += half * self.now.forces / self.masses
        self.step += 1
        return self.now

    @property
    def kinetic(self) -> float:
        """The kinetic energy, eV."""
        return float(0.5 * (self.masses * self.velocities**2).sum())

    @property
    def temperature(self) -> float:
        """The temperature, K."""
        return 2 * self.kinetic / (3 * len(self.masses) * BOLTZMANN)

    def _draw(self) -> Array:
        drawn: Array = self.speeds * self._noise(-1).standard_normal((len(self.masses), 3))
        drawn -= (self.masses * drawn).sum(axis=0) / self.masses.sum()
        return drawn

    def _noise(self, step: int) -> np.random.Generator:
        return np.random.default_rng([self.thermostat.seed, step + 1])


@dataclass(frozen=True)
class Limits:
    """What a frame must not be for dynamics to go on.

    :param spread: eV/angstrom, of any atom.
    :param bonds: pairs of bonded atoms, n x 2.
    """

    spread: float | None = None
    bonds: NDArray[np.int64] | None = None

    def judge(self, langevin: Langevin, force: float, energy: float) -> str | None:
        """Return why dynamics stop, or ``None``.

        :param force: largest accepted, eV/angstrom.
        :param energy: largest rise of the potential energy accepted, eV per atom.
        """
        now, frame = langevin.now, langevin.frame
        if not (math.isfinite(now.energy) and np.isfinite(now.forces).all()):
            return "energy: it is no number"
        if self.spread is not None and now.largest_spread > self.spread:
            return f"spread: {now.largest_spread:.2f} eV/Å, the committee is trusted up to {self.spread:.2f}"
        largest = float(np.abs(now.forces).max())
        if largest > force:
            return f"force: {largest:.1f} eV/Å"
        if abs(now.energy - energy) / len(frame) > ENERGY_STEP:
            return f"energy: {(now.energy - energy) / len(frame):+.3f} eV/atom since the start"
        if langevin.temperature > HOT * langevin.thermostat.temperature:
            return f"temperature: {langevin.temperature:.0f} K"
        defect = find_defect(frame, self.bonds)
        return None if defect is None else f"contact: {defect}"


#: eV per atom that the potential energy may go from where dynamics start
ENERGY_STEP = 0.1


class Walk:
    """Dynamics from a frame, with a trajectory, a log and checkpoints in the folder of a step.

    :param frame: where it starts.
    :param steps: time steps in all.
    :param every: time steps between two frames.
    """

    def __init__(self, work: Work, source: Source, frame: Atoms, thermostat: Thermostat, steps: int, every: int):
        self.work, self.steps, self.every = work, steps, every
        self.words: dict[str, Any] = {"start_energy": None, "sizes": {}, "reason": None}
        path = work.folder / CHECKPOINT
        velocities, step = None, 0
        if path.exists():
            with going_on(path), np.load(path) as arrays:
                frame.positions[:] = arrays["positions"]
                velocities, step = arrays["velocities"], int(arrays["step"])
                self.words = json.loads(str(arrays["words"]))
        self.langevin = Langevin(source, frame, thermostat, velocities, step)
        if self.words["start_energy"] is None:
            self.words["start_energy"] = self.langevin.now.energy

    def go(self, limits: Limits, mark: Callable[[Atoms, Evaluation], None], force: float) -> str:
        """Move to the end, or to where the limits say stop; return which of them, or :data:`END`.

        :param mark: writes more about a frame into it before it is kept.
        :param force: largest accepted, eV/angstrom.
        :raises WalltimeError: when the time is over before.
        """
        sizes = self.words["sizes"]
        files = {name: GrowingFile(self.work.folder / name, sizes.get(name, 0)) for name in (TRAJECTORY, LOG)}
        if not sizes.get(LOG):
            files[LOG].append(LOG_HEADER.encode())
        try:
            self._go(files, limits, mark, force)
        finally:
            for file in files.values():
                file.close()
        return str(self.words["reason"])

    def _go(self, files: dict[str, GrowingFile], limits: Limits, mark: Any, force: float) -> None:
        langevin, saved = self.langevin, time.monotonic()
        while self.words["reason"] is None:
            if langevin.step >= self.steps:
                self.words["reason"] = END
                break
            began = time.monotonic()
            try:
                langevin.advance()
            except NotConvergedError as error:  # what was visited until here counts, and the checkpoint is before it
                moment = langevin.step * langevin.thermostat.timestep * 1e-3
                self.words["reason"] = f"{UNCONVERGED} after {moment:g} ps: {error}"
                return
            reason = limits.judge(langevin, force, self.words["start_energy"])
            self.words["reason"] = reason
            if langevin.step % self.every == 0 or reason:
                self._keep(files, mark)
            now = time.monotonic()
            is_late = now - saved > self.work.clock.pause or self.work.clock.is_over(now - began)
            if is_late or langevin.step % CHECKPOINT_STEPS == 0:
                self._save(files)
                self._tell()
                self.work.stop_in_time(langevin.step, self.steps, now - began)
                saved = now
        self._save(files)

    def _keep(self, files: dict[str, GrowingFile], mark: Any) -> None:
        langevin = self.langevin
        moment = langevin.step * langevin.thermostat.timestep * 1e-3
        if np.isfinite(langevin.frame.positions).all():
            frame = langevin.frame.copy()
            frame.info |= {"time_ps": round(moment, 6), SPREAD: langevin.now.largest_spread}
            mark(frame, langevin.now)
            files[TRAJECTORY].append(to_bytes(frame))
        numbers = (langevin.temperature, langevin.now.energy, langevin.kinetic, langevin.now.largest_spread)
        row = f"{moment:.6g},{numbers[0]:.6g},{numbers[1]:.6f},{numbers[2]:.6f},{numbers[3]:.6g}\n"
        files[LOG].append(row.encode())

    def _save(self, files: dict[str, GrowingFile]) -> None:
        self.words["sizes"] = {name: file.sync() for name, file in files.items()}
        langevin, buffer = self.langevin, io.BytesIO()
        arrays = {"positions": langevin.frame.positions, "velocities": langevin.velocities}
        np.savez(buffer, words=np.array(json.dumps(self.words)), step=np.array(langevin.step), **arrays)
        replace_file(self.work.folder / CHECKPOINT, buffer.getvalue())
        self.work.keep_spent()

    def _tell(self) -> None:
        langevin = self.langevin
        words = f"{langevin.temperature:.0f} K, spread {langevin.now.largest_spread:.2f} eV/Å"
        self.work.tell(langevin.step, self.steps, words)


def mark_labels(frame: Atoms, now: Evaluation) -> None:
    """Write what the reference says of a frame into it."""
    frame.info[ENERGY] = now.energy
    frame.arrays[FORCES] = now.forces.copy()


def read_log(path: Path) -> dict[str, Array]:
    """Return the columns of a log."""
    table = np.genfromtxt(path, delimiter=",", names=True, ndmin=1)
    return {name: np.atleast_1d(table[name]) for name in table.dtype.names or ()}


def find_drift(moments: Array, energies: Array) -> dict[str, Any]:
    """Return how far energy was not conserved: a straight line over time, and what is left beside it.

    :param moments: ps.
    :param energies: kinetic and potential, eV per atom.
    :returns: nothing of too few moments for a line and a rest.
    """
    if len(moments) <= LINE:
        return {}
    slope, start = np.polyfit(moments, energies, 1)
    rest = energies - start - slope * moments
    return {"drift_meV_per_atom_ps": 1e3 * float(slope), "energy_scatter_meV_per_atom": 1e3 * float(rest.std())}


def summarise_log(path: Path, n_atoms: int, friction: float) -> dict[str, Any]:
    """Return temperature and energy; of dynamics without friction, which conserve all energy, how far they did not.

    :param friction: 1/ps.
    """
    log = read_log(path)
    if not len(log["time_ps"]):
        return {}
    total = (log["potential_eV"] + log["kinetic_eV"]) / n_atoms
    drift = {} if friction else find_drift(log["time_ps"], total)
    return drift | {
        "temperature_K": {"mean": float(log["temperature_K"].mean()), "std": float(log["temperature_K"].std())},
        "potential_eV": {"mean": float(log["potential_eV"].mean()), "std": float(log["potential_eV"].std())},
        "largest_spread_eV_A": float(log["spread_eV_A"].max()),
    }
