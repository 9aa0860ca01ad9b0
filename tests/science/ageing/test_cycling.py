"""Capacities and features of cycling data: analytic cases, and what the published evaluation got wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cycling import (
    HalfCycle,
    capacity_list,
    charging_rates,
    early_features,
)
from tests.science.ageing.published import legacy_features


def linear(capacity, *, high=4.2, low=2.5, shift=0.0, charge=True, times=None):
    """A half cycle at 1C whose voltage goes linearly with charge."""
    time = np.linspace(0.0, 3600.0, 201) if times is None else times
    share = time / time[-1]
    voltage = low + (high - low) * share if charge else high - (high - low) * share
    return HalfCycle(time, np.full_like(time, capacity if charge else -capacity), voltage + shift)


def cell(capacities, gaps, efficiencies):
    """Half cycles of a cell: capacity, half the gap and efficiency per cycle."""
    halves = {}
    for k, (capacity, gap, efficiency) in enumerate(zip(capacities, gaps, efficiencies, strict=True), start=1):
        halves[2 * k - 1] = linear(capacity / efficiency, shift=gap / 2)
        halves[2 * k] = linear(capacity, shift=-gap / 2, charge=False)
    return halves


@pytest.fixture
def aged():
    k = np.arange(41)
    return cell(1.0 - 0.005 * k, 0.1 + 0.002 * k, 0.99 + 0.0002 * k)


def test_capacity_is_in_ampere_hours():
    half = linear(2.0)
    assert half.capacity() == pytest.approx(2.0)
    assert half.energy()[-1] == pytest.approx(2.0 * 3.35)
    assert half.mean_voltage() == pytest.approx(3.35)
    assert linear(2.0, charge=False).capacity() == pytest.approx(2.0), "positive in either direction"


def test_charging_rates_are_those_of_the_charges():
    """As the published result has them; a cell that was only discharged has none."""
    halves = {1: linear(0.5), 2: linear(9.0, charge=False), 3: linear(1.5)}
    found = charging_rates(halves, capacity=2.0)
    assert found == {"average_charging_rate": 0.5, "maximum_charging_rate": 0.75, "minimum_charging_rate": 0.25}
    assert charging_rates({2: linear(9.0, charge=False)}, 2.0) == {}


def test_features_of_a_linear_cell(aged):
    features = early_features(aged)
    assert features.delta_coulombic_efficiency == pytest.approx(30 * 0.0002)
    assert features.voltage_gap_charge_discharge == pytest.approx(30 * 0.002)
    # Q_k(V) = q_k (4.2 - g_k/2 - V) / 1.7, from 0 where the voltage begins below 4.2 V
    voltage = np.linspace(4.2, 2.5, 1000)
    curves = []
    for k in (9, 39):
        q, start = 1.0 - 0.005 * k, 4.2 - (0.1 + 0.002 * k) / 2
        curves.append(q * np.clip((start - voltage) / 1.7, 0, 1))
    assert features.capacity_vector_variance == pytest.approx(np.log(np.var(curves[0] - curves[1])), abs=1e-6)
    assert features.reasons == {}


def test_cycles_count_as_whole_ones_from_one(aged):
    without = {number: half for number, half in aged.items() if number not in (19, 20, 79, 80)}
    assert early_features(without).values() == dict.fromkeys(early_features(aged).values())
    others = {number: half for number, half in aged.items() if number in (19, 20, 79, 80)}
    assert early_features(others) == early_features(aged)


def test_forty_cycles_are_enough_here_and_not_for_the_published_evaluation(aged):
    forty = {number: half for number, half in aged.items() if number <= 80}
    assert early_features(forty).delta_coulombic_efficiency is not None
    published = legacy_features(forty)
    assert set(published.values().values()) == {None}, "the published evaluation returned 0"
    assert "81, 82" in published.reasons["voltage_gap_charge_discharge"]


def test_published_evaluation_takes_energy_and_the_next_cycle(aged):
    published = legacy_features(aged)
    energies = [half.energy()[-1] for half in (aged[21], aged[22], aged[81], aged[82])]
    assert published.delta_coulombic_efficiency == pytest.approx(energies[3] / energies[2] - energies[1] / energies[0])
    assert published.delta_coulombic_efficiency < 0 < early_features(aged).delta_coulombic_efficiency


def test_gap_does_not_depend_on_the_logging(aged):
    # twice as many points in the first tenth of the discharge
    times = np.sort(np.concatenate((np.linspace(0, 3600.0, 201), np.linspace(1, 359.0, 200))))
    logged = aged | {80: linear(1.0 - 0.005 * 39, shift=-(0.1 + 0.002 * 39) / 2, charge=False, times=times)}
    exact = early_features(aged).voltage_gap_charge_discharge
    assert early_features(logged).voltage_gap_charge_discharge == pytest.approx(exact, abs=1e-9)
    logged[82] = linear(0.8, shift=-0.09, charge=False, times=times)
    even = legacy_features(aged | {82: linear(0.8, shift=-0.09, charge=False)})
    assert abs(legacy_features(logged).voltage_gap_charge_discharge - even.voltage_gap_charge_discharge) > 0.1


def test_reasons_instead_of_numbers():
    k = np.zeros(40)
    same = early_features(cell(k + 1.0, k, k + 1.0))
    assert same.capacity_vector_variance is None
    assert "the same" in same.reasons["capacity_vector_variance"]
    dead = cell(k + 1.0, k, k + 1.0)
    dead[79] = dead[80] = HalfCycle(np.zeros(2), np.zeros(2), np.full(2, 3.0))
    features = early_features(dead)
    assert features.delta_coulombic_efficiency is None
    assert "no charge passed" in features.reasons["voltage_gap_charge_discharge"]


@given(st.floats(1e-4, 5.0), st.integers(2, 50))
def test_integration_is_exact_for_a_ramp(current, n):
    time = np.linspace(0, 7200.0, n)
    half = HalfCycle(time, current * time / 7200.0, np.full(n, 3.7))
    assert half.capacity() == pytest.approx(current)
    assert half.mean_voltage() == pytest.approx(3.7)


def test_capacity_list_alternates(aged):
    listed = capacity_list({number: aged[number] for number in (1, 2, 3, 4)})
    assert listed[1] == pytest.approx(1.0)
    assert listed[0] == pytest.approx(1.0 / 0.99)


def test_record_must_fit_together():
    with pytest.raises(InputError, match="3 times, 2 currents"):
        HalfCycle(np.zeros(3), np.zeros(2), np.zeros(3))
