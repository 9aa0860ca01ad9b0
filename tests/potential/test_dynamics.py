"""Dynamics by the classical force field as a source: the integrator, its noise, and where it stops."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.md.output import LOG_HEADER as RUN_HEADER
from aiida_finales.potential.classical import EV, Classical
from aiida_finales.potential.dynamics import (
    BOLTZMANN,
    LOG_HEADER,
    Evaluation,
    Langevin,
    Limits,
    Thermostat,
    summarise_log,
)
from aiida_finales.potential.frames import LARGEST_FORCE
from aiida_finales.potential.input import RunSettings
from aiida_finales.potential.production import _find_drift
from aiida_finales.potential.sample import ClassicalSource


@pytest.fixture(scope="module")
def classical(cell, frames):
    return Classical(cell, float(frames[0].cell[0, 0]), 0.5, 0.8)


class Springs:
    """Atoms on springs."""

    def evaluate(self, frame):
        return Evaluation(float((frame.positions**2).sum()), -2 * frame.positions)


def test_classical_forces_are_the_slope_of_the_energy(classical, frames):
    positions, step = frames[0].positions.copy(), 1e-3
    _, forces = classical.evaluate(positions)
    for atom, axis in ((0, 0), (50, 1), (112, 2)):
        shift = np.zeros_like(positions)
        shift[atom, axis] = step
        rise = classical.evaluate(positions + shift)[0] - classical.evaluate(positions - shift)[0]
        assert forces[atom, axis] == pytest.approx(-rise / (2 * step), abs=0.02)


def test_without_friction_energy_is_conserved(classical, frames):
    langevin = Langevin(ClassicalSource(classical), frames[0].copy(), Thermostat(330, 0.0, 0.5, 1))
    energies = []
    for _ in range(100):
        energies.append(langevin.advance().energy + langevin.kinetic)
    assert np.ptp(energies) / 113 < 2e-3  # eV per atom


def test_drift_is_told_of_dynamics_that_conserve_energy(tmp_path):
    rows = [f"{0.01 * n:.2f},330,{-5 + 0.113 * 0.01 * n + 0.0113 * (n % 2)},3,0.1\n" for n in range(1, 41)]
    (tmp_path / "log.csv").write_text(LOG_HEADER + "".join(rows))
    found = summarise_log(tmp_path / "log.csv", 113, 0.0)
    assert found["drift_meV_per_atom_ps"] == pytest.approx(1.0, abs=0.05)
    assert found["energy_scatter_meV_per_atom"] == pytest.approx(0.05, rel=0.05)
    assert "drift_meV_per_atom_ps" not in summarise_log(tmp_path / "log.csv", 113, 10.0)


def test_drift_is_told_of_a_production_by_its_own_stage_alone(cell, tmp_path):
    """Of 113 atoms, 1 meV of each in a picosecond; what changed the volume before does not conserve energy."""
    rise, rest = 0.113 / EV, (0.0, 0.0113 / EV)
    rows = [f"npt,{0.01 * n:.2f},330,1.2,1.8,{-900 + 5 * n:.3f},400.000\n" for n in range(1, 41)]
    rows += [
        f"production,{0.01 * n:.2f},330,1.2,1.8,{-900 + rise * 0.01 * n:.3f},{400 + rest[n % 2]:.3f}\n"
        for n in range(1, 41)
    ]
    (tmp_path / "log.csv").write_text(RUN_HEADER + "".join(rows))
    found = _find_drift(tmp_path, RunSettings(friction_per_ps=0.0), cell)
    assert found["drift_meV_per_atom_ps"] == pytest.approx(1.0, abs=0.05)
    assert found["energy_scatter_meV_per_atom"] == pytest.approx(0.05, rel=0.05)
    assert _find_drift(tmp_path, RunSettings(), cell) == {}


def test_with_friction_the_temperature_is_the_asked_one():
    from ase import Atoms

    frame = Atoms("Na200", np.zeros((200, 3)), cell=[10] * 3, pbc=True)
    langevin = Langevin(Springs(), frame, Thermostat(330, 50.0, 1.0, 3))
    kinetic = []
    for _ in range(600):
        langevin.advance()
        kinetic.append(langevin.kinetic)
    assert np.mean(kinetic[200:]) / (1.5 * 200 * BOLTZMANN) == pytest.approx(330, rel=0.05)


def test_a_run_that_goes_on_goes_the_way_of_one_that_was_not_stopped(classical, frames):
    thermostat = Thermostat(330, 20.0, 0.5, 7)
    whole = Langevin(ClassicalSource(classical), frames[0].copy(), thermostat)
    for _ in range(6):
        whole.advance()
    first = Langevin(ClassicalSource(classical), frames[0].copy(), thermostat)
    for _ in range(3):
        first.advance()
    second = Langevin(ClassicalSource(classical), first.frame.copy(), thermostat, first.velocities.copy(), first.step)
    for _ in range(3):
        second.advance()
    np.testing.assert_allclose(second.frame.positions, whole.frame.positions, atol=1e-5)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Evaluation(np.nan, np.zeros((113, 3))), "no number"),
        (Evaluation(0.0, np.zeros((113, 3)), np.full(113, 2.0)), "spread"),
        (Evaluation(0.0, np.full((113, 3), 99.0)), "force"),
        (Evaluation(15.0, np.zeros((113, 3))), "energy"),
        (Evaluation(0.0, np.zeros((113, 3)), np.full(113, 0.5)), None),
    ],
)
def test_dynamics_stop_where_they_are_not_trusted(frames, now, words):
    langevin = Langevin(Springs(), frames[0].copy(), Thermostat(330, 1.0, 0.5, 1))
    langevin.now = now
    reason = Limits(spread=1.0).judge(langevin, LARGEST_FORCE, 0.0)
    assert reason is None if words is None else words in reason
