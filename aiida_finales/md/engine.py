"""What a stage of a simulation asks of the program that computes it, and when a liquid is none any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from aiida_finales.exceptions import BlownUpError
from aiida_finales.md.cell import Cell
from aiida_finales.md.input import SimulationInput
from aiida_finales.science.array import Array

#: parts of the temperature asked for, between which a liquid stays
TEMPERATURE_BOUNDS = (0.5, 2.0)
#: g/cm³ between which a liquid electrolyte stays
DENSITY_BOUNDS = (0.3, 4.0)
#: pieces for which there must be time left
RESERVE = 1.5


@dataclass(frozen=True)
class Ensemble:
    """What the thermostat and the barostat do.

    :param friction: 1/ps, of Langevin dynamics; another thermostat is as strong.
    :param pressure: bar; ``None`` keeps the volume.
    :param seed: of the noise; never 0, which OpenMM takes for chance.
    :param stress_steps: time steps between two pressure tensors; ``None`` keeps none.
    """

    friction: float
    pressure: float | None
    seed: int
    stress_steps: int | None = None


@dataclass(frozen=True)
class Sample:
    """A moment of a simulation.

    :param positions: not wrapped into the box, nm.
    :param edge: of the box, nm.
    :param potential: kJ/mol.
    :param kinetic: kJ/mol.
    :param temperature: K.
    :param stress: pressure tensors since the frame before, bar, one row of xx, xy, xz, yy, yz, zz each; ``None`` from
        an engine that has none.
    """

    positions: Array
    edge: float
    potential: float
    kinetic: float
    temperature: float
    stress: Array | None = None


@dataclass
class Clock:
    """When to write a checkpoint, and when to stop.

    :param walltime: s from the start.
    :param pause: s between checkpoints.
    """

    walltime: float | None = None
    pause: float = 60.0
    started: float = field(default_factory=time.monotonic)
    is_told: bool = False

    def is_over(self, piece: float) -> bool:
        """Return whether the time does not suffice for a piece of so many seconds, or whether a signal said stop."""
        spent = time.monotonic() - self.started
        return self.is_told or (self.walltime is not None and spent + RESERVE * piece > self.walltime)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM, which a scheduler sends before it kills, and a first Ctrl-C for the end of the time."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        if before[signal.SIGINT] is signal.SIG_IGN:  # in the background of a script: Ctrl-C is meant for somebody else
            del before[signal.SIGINT]

        def hear(number: int, _frame: object) -> None:
            self.is_told = True
            if number == signal.SIGINT:  # whoever presses Ctrl-C again does not want to wait for the checkpoint
                signal.signal(number, before[signal.SIGINT])

        for number in before:
            signal.signal(number, hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Engine(Protocol):
    """One stage of a simulation by some program."""

    cell: Cell

    def put(self, positions: Array, velocities: Array | None) -> None:
        """Set positions in nm and velocities in nm/ps; without velocities those of the temperature are drawn."""

    def simulate(self, steps: int, frame: int, clock: Clock) -> Iterator[list[Sample]]:
        """Simulate in pieces, and yield the frames of each; ends early when the clock says so.

        :param steps: time steps in all.
        :param frame: time steps between two frames; the end is a frame as well.
        :raises BlownUpError: when it is no liquid any more.
        """

    def velocities(self) -> Array:
        """Return the velocities at the last frame, nm/ps."""


def check_sample(sample: Sample, cell: Cell, given: SimulationInput) -> None:
    """Check that a moment is one of a liquid.

    :raises BlownUpError: when it is not.
    """
    low, high = (factor * given.temperature_K for factor in TEMPERATURE_BOUNDS)
    is_finite = bool(np.isfinite(sample.positions).all() and np.isfinite(sample.potential))
    if not (is_finite and low < sample.temperature < high):
        raise BlownUpError(
            f"temperature {sample.temperature:.4g} K, potential energy {sample.potential:.4g} kJ/mol; asked were "
            f"{given.temperature_K:g} K: look at the force field of new species, or take a shorter "
            "protocol.timestep_fs"
        )
    density = cell.density(sample.edge**3)
    if not DENSITY_BOUNDS[0] < density < DENSITY_BOUNDS[1]:
        raise BlownUpError(f"density {density:.4g} g/cm³: this is no liquid at the temperature and pressure asked")
