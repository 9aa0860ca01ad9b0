"""Viscosity from fluctuations of the stress: of series whose viscosity is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.constants import Boltzmann
from scipy.signal import lfilter

from aiida_finales.exceptions import InputError
from aiida_finales.science.liquid.viscosity import RunningViscosity, join_viscosities, run_viscosity

VOLUME, TEMPERATURE, INTERVAL = 30.0, 300.0, 0.01
#: relaxation time (ps) and variance (bar2) of a fast and a slow part, as those of a liquid electrolyte
FAST, SLOW = (0.05, 3e5), (5.0, 1.5e4)
#: mPa s: V/kT times the integral of the correlation, variance times time
EXACT = (
    VOLUME * 1e-27 * sum(time * variance for time, variance in (FAST, SLOW)) * 1e-2 * 1e3 / (Boltzmann * TEMPERATURE)
)


def relax(rng, n, parts, columns):
    """Return an Ornstein-Uhlenbeck process: its correlation is a sum of exponentials."""
    total = np.zeros((n, columns))
    for time, variance in parts:
        keep = np.exp(-INTERVAL / time)
        noise = rng.normal(scale=np.sqrt(variance * (1 - keep**2)), size=(n, columns))
        noise[0] /= np.sqrt(1 - keep**2)
        total += lfilter([1.0], [1.0, -keep], noise, axis=0)
    return total


def make_tensors(rng, length, parts=(FAST, SLOW)):
    """Return the pressure tensors of an isotropic liquid: xx, xy, xz, yy, yz, zz."""
    n = int(length / INTERVAL)
    beside, diagonal = relax(rng, n, parts, 3), relax(rng, n, parts, 3)
    diagonal = np.sqrt(2.0) * (diagonal - diagonal.mean(axis=1, keepdims=True)) + 1.0
    return np.column_stack([diagonal[:, 0], beside[:, 0], beside[:, 1], diagonal[:, 1], beside[:, 2], diagonal[:, 2]])


def simulate(n_cells, length, seed=1):
    rng = np.random.default_rng(seed)
    return [run_viscosity(make_tensors(rng, length), INTERVAL, VOLUME, TEMPERATURE) for _ in range(n_cells)]


def test_a_long_run_gives_the_exact_viscosity_within_its_error():
    found = join_viscosities(simulate(4, 600.0))
    assert found.reason is None
    # 12 % by Bartlett's formula for 2400 ps and an integral of some 15 ps, and what the tail adds
    assert found.standard_error < 0.2 * EXACT
    assert abs(found.mean - EXACT) < 2 * found.standard_error
    assert 2.0 < found.time < 30.0
    assert np.mean(found.values) == pytest.approx(found.mean)


def test_errors_are_those_of_repetitions():
    found = [join_viscosities(simulate(1, 400.0, seed)) for seed in range(12)]
    deviations = [(item.mean - EXACT) / item.standard_error for item in found]
    # of twelve the root mean square of a right error is 0.6 to 1.4 (chi squared, 95 %); biased ones have larger errors
    assert 0.3 < np.sqrt(np.mean(np.square(deviations))) < 1.6


def test_a_run_that_is_too_short_says_so_and_which_length_would_do():
    assert "1 cell of 30 ps: too short" in str(join_viscosities(simulate(1, 30.0)).reason)
    rng = np.random.default_rng(1)
    slow = [(FAST[0], FAST[1]), (40.0, SLOW[1])]
    cells = [run_viscosity(make_tensors(rng, 250.0, slow), INTERVAL, VOLUME, TEMPERATURE) for _ in range(2)]
    found = join_viscosities(cells)
    assert "is not at its end after" in found.reason
    assert "at least 5e+02 ps each would do (setting production_ps)" in found.reason


def test_of_cells_of_different_length_the_common_part_is_read():
    cells = [*simulate(1, 600.0), *simulate(1, 300.0, seed=2)]
    found = join_viscosities([RunningViscosity.from_dict(cell.to_dict()) for cell in cells])
    assert found == join_viscosities(cells)
    assert found.time <= 0.05 * 300.0


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (np.zeros((2000, 5)), r"\(2000, 5\), but accepted is n x 6"),
        (np.zeros((10, 6)), "n at least 1000"),
        (np.full((2000, 6), np.nan), "not finite"),
    ],
    ids=["shape", "short", "not finite"],
)
def test_what_is_no_series_of_tensors_is_refused(tensors, words):
    with pytest.raises(InputError, match=words):
        run_viscosity(tensors, INTERVAL, VOLUME, TEMPERATURE)


def test_no_cell_has_no_viscosity():
    with pytest.raises(InputError, match="no cell has pressure tensors"):
        join_viscosities([])
