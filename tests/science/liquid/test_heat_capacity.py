"""Heat capacities from fluctuations: of oscillators, whose heat capacity is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from aiida_finales.exceptions import InputError
from aiida_finales.science.liquid.heat_capacity import R, count_independent, find_heat_capacity, join_heat_capacities

TEMPERATURE, DENSITY, VOLUME = 300.0, 1.2, 30.0
#: classical oscillators: half a gas constant for each momentum and each position
N_OSCILLATORS = 2000
MASS = DENSITY * VOLUME * 602.214
EXACT = N_OSCILLATORS * R / MASS * 1e6  # J/(kg K)


def make_columns(n=2000, correlation=0.0, seed=1, drift=0.0):
    """Return the columns of a log of classical oscillators: gamma-distributed energies, here Gaussian by their number.

    :param correlation: of the potential energy from one line to the next.
    :param drift: of the potential energy over the whole, in standard deviations.
    """
    rng = np.random.default_rng(seed)
    mean, spread = N_OSCILLATORS / 2 * R * TEMPERATURE, np.sqrt(N_OSCILLATORS / 2) * R * TEMPERATURE
    noise = rng.normal(size=n) * np.sqrt(1 - correlation**2)
    noise[0] /= np.sqrt(1 - correlation**2)
    potential = mean + spread * (lfilter([1.0], [1.0, -correlation], noise) + drift * np.linspace(-0.5, 0.5, n))
    temperature = TEMPERATURE * (1 + rng.normal(size=n) / np.sqrt(N_OSCILLATORS / 2))
    kinetic = N_OSCILLATORS * R * temperature / 2
    even = np.ones(n)
    return {
        "potential_kJ_mol": potential,
        "kinetic_kJ_mol": kinetic,
        "temperature_K": temperature,
        "volume_nm3": VOLUME * even,
        "density_g_cm3": DENSITY * even,
        "time_ps": np.arange(1, n + 1) * 1.0,
    }


def test_oscillators_have_their_classical_heat_capacity_within_the_error():
    found = find_heat_capacity(make_columns(), 1.0)
    # half of it, exactly, from momenta; half from a variance of 2000 independent values: 3.2 % of it
    assert found.standard_error == pytest.approx(0.5 * EXACT * np.sqrt(2 / 2000), rel=0.3)
    assert abs(found.value - EXACT) < 3 * found.standard_error
    assert found.length == 2000.0


def test_correlated_energies_count_less_and_the_error_is_that_of_repetitions():
    found = [find_heat_capacity(make_columns(correlation=0.9, seed=seed), 1.0) for seed in range(20)]
    # (1 - c) / (1 + c) of them are independent
    assert np.mean([item.n_independent for item in found]) == pytest.approx(2000 * 0.1 / 1.9, rel=0.25)
    deviations = [(item.value - EXACT) / item.standard_error for item in found]
    assert 0.5 < np.sqrt(np.mean(np.square(deviations))) < 1.5
    assert abs(np.mean(deviations)) < 0.8


def test_what_the_volume_does_counts_at_constant_pressure():
    columns = make_columns()
    volume = VOLUME * (1 + 0.2 * np.sin(columns["time_ps"]))
    swelling = columns | {"volume_nm3": volume, "density_g_cm3": DENSITY * VOLUME / volume}
    rigid, soft = (find_heat_capacity(given, 3000.0) for given in (columns, swelling))
    assert soft.value > 1.05 * rigid.value


def test_cells_are_joined_and_short_ones_say_what_would_do():
    cells = [find_heat_capacity(make_columns(n=40, correlation=0.9, seed=seed), 1.0) for seed in range(2)]
    found = join_heat_capacities(cells, "isobaric")
    assert "needed are 32" in found.reason
    # only the second half of the stage at constant pressure counts
    wanted = 2 * 40.0 * 32 / found.n_independent
    assert f"npt_ps {wanted:.2g} would do" in found.reason
    many = [find_heat_capacity(make_columns(n=400, seed=seed), 1.0) for seed in range(4)]
    joined = join_heat_capacities(many, "isobaric")
    assert joined.reason is None
    assert abs(joined.estimate.mean - EXACT) < 3 * joined.estimate.standard_error + 0.02 * EXACT


def test_a_liquid_that_has_not_settled_is_found():
    cells = [find_heat_capacity(make_columns(drift=20.0, seed=seed), 1.0) for seed in range(2)]
    assert join_heat_capacities(cells, "isobaric").reason is not None


def test_independent_values_of_noise_are_all_of_them():
    assert count_independent(np.random.default_rng(1).normal(size=5000)) == pytest.approx(5000, rel=0.15)


@pytest.mark.parametrize("change", [lambda column: column[:5], lambda column: 0 * column, lambda column: column / 0])
def test_what_has_no_fluctuations_has_no_heat_capacity(change):
    columns = make_columns(n=50)
    with np.errstate(divide="ignore"):
        columns["potential_kJ_mol"] = change(columns["potential_kJ_mol"])
    with pytest.raises(InputError):
        find_heat_capacity(columns, 0.0)
