"""Molecular dynamics by OpenMM, on a CPU or a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from aiida_finales.exceptions import BlownUpError, EngineError, MissingExtraError
from aiida_finales.md.cell import Cell
from aiida_finales.md.engine import Clock, Ensemble, Sample, check_sample
from aiida_finales.md.forces import ForceOptions, make_system
from aiida_finales.md.input import SimulationInput
from aiida_finales.science.array import Array

#: kJ/(mol K)
GAS_CONSTANT = 8.31446261815324e-3
#: time steps between two attempts to change the volume
BAROSTAT_STEPS = 25
#: kJ/(mol nm); a packed box is minimised until forces are below
FORCE_TOLERANCE = 100.0
#: minimisation ends after so many iterations
MOST_ITERATIONS = 2000


def check_openmm() -> Any:
    """Return the module.

    :raises MissingExtraError: when it is not installed.
    """
    try:
        import openmm
    except ImportError as error:
        raise MissingExtraError("md", "molecular dynamics") from error
    return openmm


def choose_platform(name: str) -> str:
    """Return the name of a platform that works here.

    :param name: ``auto`` takes CUDA where it works, else the CPU.
    :raises EngineError: when the platform is not there or does not work.
    """
    if name == "auto":
        return "CUDA" if _why_not("CUDA") is None else "CPU"
    reason = _why_not(name)
    if reason is not None:
        raise EngineError(f"platform {name} does not work here: {reason}; accepted are {', '.join(_working())}")
    return name


def _working() -> list[str]:
    return ["auto", *(name for name in ("CPU", "CUDA", "Reference") if _why_not(name) is None)]


def _why_not(name: str) -> str | None:
    """Return why a platform does not work, or ``None`` when it does: tried with a single particle."""
    openmm = check_openmm()
    present = {openmm.Platform.getPlatform(index).getName() for index in range(openmm.Platform.getNumPlatforms())}
    if name not in present:
        hint = "; a GPU needs a plug-in: pip install 'openmm[cuda12]'" if name == "CUDA" else ""
        return f"this OpenMM has {', '.join(sorted(present))} only{hint}"
    system = openmm.System()
    system.addParticle(1.0)
    try:
        openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(name))
    except openmm.OpenMMException as error:
        return f"there is no GPU that it can use: {error}" if name == "CUDA" else str(error)
    return None


class OpenMMEngine:
    """One stage of a simulation.

    :param edge: of the box at the beginning, nm.
    :param platform: from :func:`choose_platform`.
    :param threads: of the CPU platform.
    """

    def __init__(
        self,
        cell: Cell,
        given: SimulationInput,
        edge: float,
        ensemble: Ensemble,
        platform: str,
        threads: int,
    ) -> None:
        openmm = check_openmm()
        self.cell, self.given = cell, given
        self.system = make_system(cell, edge, ForceOptions(given.protocol.cutoff_nm, given.ion_charge_scale))
        if ensemble.pressure is not None:
            barostat = openmm.MonteCarloBarostat(ensemble.pressure, given.temperature_K, BAROSTAT_STEPS)
            barostat.setRandomNumberSeed(ensemble.seed)
            self.system.addForce(barostat)
        timestep = given.protocol.timestep_fs / 1000.0
        self.integrator = openmm.LangevinMiddleIntegrator(given.temperature_K, ensemble.friction, timestep)
        self.integrator.setRandomNumberSeed(ensemble.seed)
        properties = {"CUDA": {"Precision": "mixed"}, "CPU": {"Threads": str(threads)}}
        self.context = openmm.Context(
            self.system, self.integrator, openmm.Platform.getPlatformByName(platform), properties.get(platform, {})
        )
        self.freedom = 3 * cell.n_atoms - self.system.getNumConstraints()
        self.seed = ensemble.seed

    def put(self, positions: Array, velocities: Array | None) -> None:
        """Set positions in nm and velocities in nm/ps; without velocities those of the temperature are drawn."""
        self.context.setPositions(positions)
        if velocities is None:
            self.context.applyConstraints(1e-6)
            self.context.setVelocitiesToTemperature(self.given.temperature_K, self.seed)
        else:
            self.context.setVelocities(velocities)

    def minimise(self) -> Sample:
        """Move the atoms of a packed box apart; afterwards put them back with new velocities.

        :raises BlownUpError: when they cannot be.
        """
        with _explaining("the minimisation"):
            check_openmm().LocalEnergyMinimizer.minimize(self.context, FORCE_TOLERANCE, MOST_ITERATIONS)
            sample = self.sample()
        if not np.isfinite(sample.potential):
            raise BlownUpError(f"the minimisation ended with a potential energy of {sample.potential} kJ/mol")
        return sample

    def simulate(self, steps: int, frame: int, clock: Clock) -> Iterator[list[Sample]]:
        """Simulate frame by frame; see :class:`aiida_finales.md.engine.Engine`."""
        while steps > 0:
            began, piece = time.monotonic(), min(frame, steps)
            sample = self.advance(piece)
            steps -= piece
            spent = time.monotonic() - began
            yield [sample]
            if clock.is_over(spent):
                return

    def advance(self, steps: int) -> Sample:
        """Simulate, and return what comes out.

        :raises BlownUpError: when it is no liquid any more.
        """
        with _explaining("the simulation"):
            self.integrator.step(steps)
            sample = self.sample()
        check_sample(sample, self.cell, self.given)
        return sample

    def sample(self) -> Sample:
        """Return the present moment."""
        state = self.context.getState(positions=True, energy=True, enforcePeriodicBox=False)
        kinetic = float(state.getKineticEnergy()._value)  # noqa: SLF001 - kJ/mol
        return Sample(
            positions=state.getPositions(asNumpy=True)._value,  # noqa: SLF001 - nm
            edge=float(state.getPeriodicBoxVectors()[0][0]._value),  # noqa: SLF001
            potential=float(state.getPotentialEnergy()._value),  # noqa: SLF001 - kJ/mol
            kinetic=kinetic,
            temperature=2.0 * kinetic / (self.freedom * GAS_CONSTANT),
        )

    def velocities(self) -> Array:
        """Return the velocities, nm/ps."""
        state = self.context.getState(velocities=True)
        velocities: Array = state.getVelocities(asNumpy=True)._value  # noqa: SLF001
        return velocities


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    """Report what OpenMM gives up on.

    :raises BlownUpError: in place of OpenMM's exception.
    """
    openmm = check_openmm()
    try:
        yield
    except openmm.OpenMMException as error:
        raise BlownUpError(f"{what} blew up: {error}") from error
