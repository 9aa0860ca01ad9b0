"""Transport of ions against random walks of known diffusion coefficients."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.constants import N_A, Boltzmann, R, elementary_charge

from aiida_finales.exceptions import InputError
from aiida_finales.science.liquid.diffusion import CellTransport, analyse_cell
from aiida_finales.science.liquid.mean_squared_displacement import fit_line, squared_displacements
from aiida_finales.science.liquid.transport_summary import Estimate, estimate, rate, summarise

TEMPERATURE, VOLUME = 303.15, 30.0  # K, nm3
D_CATION, D_ANION = 1.0e-10, 2.0e-10  # m2/s
#: m2/s in nm2/ps
NM2_PER_PS = 1e6


def walk(rng, n_frames, n_ions, diffusion, step=1.0):
    """Return free random walks, nm: each step has the variance 2 D dt in each direction."""
    sigma = math.sqrt(2 * diffusion * NM2_PER_PS * step)
    return np.cumsum(rng.normal(0, sigma, (n_frames, n_ions, 3)), axis=0)


def analyse(paths, charges=None, names=None, **others):
    n_ions = paths.shape[1]
    half = n_ions // 2
    names = names or ["Li"] * half + ["PF6"] * (n_ions - half)
    charges = charges or [1] * half + [-1] * (n_ions - half)
    time = np.arange(len(paths)) * 1.0
    return analyse_cell(paths, time, names, charges, VOLUME, TEMPERATURE, **others)


def free_cell(seed, n_frames=800, n_pairs=40):
    rng = np.random.default_rng(seed)
    paths = np.concatenate([walk(rng, n_frames, n_pairs, D_CATION), walk(rng, n_frames, n_pairs, D_ANION)], axis=1)
    return analyse(paths)


@pytest.fixture(scope="module")
def cells():
    return [free_cell(seed) for seed in range(16)]


def assert_mean_is(values, expected, *, at_most):
    """Demand that the mean is within four standard errors, and that these are small enough to tell something."""
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert error < at_most * expected
    assert abs(np.mean(values) - expected) < 4 * error


def test_displacements_by_fourier_transform_are_those_of_the_double_loop():
    paths = np.cumsum(np.random.default_rng(0).normal(size=(60, 4, 3)), axis=0) + 100.0
    direct = [0.0]
    for lag in range(1, len(paths)):
        direct.append(float(((paths[lag:] - paths[:-lag]) ** 2).sum(axis=2).mean()))
    assert squared_displacements(paths) == pytest.approx(direct, rel=1e-9)


def test_diffusion_coefficients_of_random_walks_are_found(cells):
    for number, expected in enumerate((D_CATION, D_ANION)):
        assert_mean_is([cell.ions[number].diffusion for cell in cells], expected, at_most=0.05)
        assert_mean_is([cell.ions[number].exponent for cell in cells], 1.0, at_most=0.03)


def test_conductivity_is_that_of_nernst_and_einstein(cells):
    concentration = 40 / (N_A * VOLUME * 1e-27)  # mol/m3
    faraday = elementary_charge * N_A
    expected = faraday**2 / (R * TEMPERATURE) * concentration * (D_CATION + D_ANION)
    assert_mean_is([cell.conductivity_nernst_einstein for cell in cells], expected, at_most=0.05)
    assert_mean_is([cell.ions[0].transference for cell in cells], 1 / 3, at_most=0.05)
    one = cells[0]
    exact = elementary_charge**2 / (VOLUME * 1e-27 * Boltzmann * TEMPERATURE)
    found = exact * 40 * sum(ion.diffusion for ion in one.ions)
    assert one.conductivity_nernst_einstein == pytest.approx(found, rel=1e-9)


def test_ions_that_move_alone_have_a_haven_ratio_of_one_and_pairs_a_larger_one():
    """Of each displacement of a pair the share c is common: the charge moves with 1 - c of the Nernst-Einstein rate."""
    common, n_pairs, n_frames = 0.5, 6, 300
    alone, paired = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        first, second, shared = (walk(rng, n_frames, n_pairs, D_CATION) for _ in range(3))
        alone.append(analyse(np.concatenate([first, second], axis=1)))
        mixed = [math.sqrt(common) * shared + math.sqrt(1 - common) * own for own in (first, second)]
        paired.append(analyse(np.concatenate(mixed, axis=1)))
    for found, haven in ((alone, 1.0), (paired, 1 / (1 - common))):
        summary = summarise(found)
        error = summary.conductivity_einstein.standard_error / summary.conductivity_einstein.mean
        assert error < 0.1
        assert summary.haven_ratio == pytest.approx(haven, rel=4 * error)


def test_perfect_pairs_carry_no_charge():
    path = walk(np.random.default_rng(3), 400, 20, D_CATION)
    cell = analyse(np.concatenate([path, path], axis=1))
    assert cell.conductivity_einstein == pytest.approx(0.0, abs=1e-9)
    assert cell.conductivity_nernst_einstein > 0.1


def test_charges_count_squared():
    rng = np.random.default_rng(5)
    paths = np.concatenate([walk(rng, 500, 10, D_CATION), walk(rng, 500, 20, D_ANION)], axis=1)
    names = ["Mg"] * 10 + ["ClO4"] * 20
    double = analyse(paths, [2] * 10 + [-1] * 20, names)
    single = analyse(paths, [1] * 10 + [-1] * 20, names)
    cation, anion = double.ions
    assert (cation.charge, cation.n_ions, anion.charge, anion.n_ions) == (2, 10, -1, 20)
    expected = (4 * 10 * cation.diffusion + 20 * anion.diffusion) / (10 * cation.diffusion + 20 * anion.diffusion)
    ratio = double.conductivity_nernst_einstein / single.conductivity_nernst_einstein
    assert ratio == pytest.approx(expected, rel=1e-9)
    assert cation.transference + anion.transference == pytest.approx(1.0)


def test_ballistic_motion_is_flagged():
    velocities = np.random.default_rng(1).normal(size=(1, 20, 3))
    cell = analyse(velocities * np.arange(200)[:, None, None])
    assert [ion.exponent for ion in cell.ions] == pytest.approx([2.0, 2.0], abs=1e-6)
    assert not cell.is_diffusive
    assert "Li is not diffusive (exponent 2.00)" in cell.flags


def test_ions_in_cages_are_flagged():
    cell = analyse(np.random.default_rng(1).normal(size=(400, 20, 3)))
    assert max(ion.exponent for ion in cell.ions) < 0.1
    assert len(cell.flags) == 2


def test_ions_that_stand_still_are_flagged_and_have_no_exponent():
    cell = analyse(np.zeros((100, 4, 3)))
    assert cell.ions[0].exponent is None
    assert not cell.is_diffusive
    assert cell.haven_ratio is None
    assert "it does not move" in cell.flags[0]


def test_a_drifting_cell_is_flagged_and_a_resting_one_is_not(cells):
    path = walk(np.random.default_rng(2), 800, 80, D_CATION)
    # nm/ps; over the whole run it goes ten times as far as an ion does
    speed = 10 * math.sqrt(6 * D_CATION * NM2_PER_PS * 800) / 800
    drift = np.arange(800)[:, None, None] * np.array([speed, 0.0, 0.0])
    assert analyse(path + drift).is_drifting
    assert "is drift" in " ".join(analyse(path + drift).flags)
    assert not any(cell.is_drifting for cell in cells)


def test_few_ions_are_seldom_taken_for_a_drift():
    found = [analyse(walk(np.random.default_rng(seed), 60, 8, D_CATION)).is_drifting for seed in range(400)]
    assert sum(found) <= 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions_nm": np.zeros((50, 3, 3))}, r"accepted is \(50, 2, 3\)"),
        ({"positions_nm": np.full((50, 2, 3), np.nan)}, "not finite"),
        ({"time_ps": np.arange(50.0) ** 2}, "not evenly spaced"),
        ({"charges": [1]}, "one charge per ion"),
        ({"species": ["Li", "Li"]}, "accepted is one per species"),
        ({"volume_nm3": 0.0}, "numbers above 0"),
        ({"fit_window": (0.5, 0.1)}, "fit window is 0.5 to 0.1"),
        ({"fit_window": (0.1, 0.15)}, "too few"),
    ],
)
def test_what_cannot_be_analysed_is_refused(change, message):
    given = {
        "positions_nm": np.zeros((50, 2, 3)),
        "time_ps": np.arange(50.0),
        "species": ["Li", "PF6"],
        "charges": [1, -1],
        "volume_nm3": 1.0,
        "temperature_K": 300.0,
    }
    with pytest.raises(InputError, match=message):
        analyse_cell(**{**given, **change})


def test_summary_has_the_interval_of_student(cells):
    five = cells[:5]
    values = [cell.conductivity_nernst_einstein for cell in five]
    found = summarise(five).conductivity_nernst_einstein
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.standard_error == pytest.approx(stats.sem(values))
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))
    assert found.n == 5


def test_summary_is_the_same_from_stored_cells_in_any_order(cells):
    stored = [CellTransport.from_dict(cell.to_dict()) for cell in reversed(cells)]
    assert summarise(stored) == summarise(cells)


def test_cells_of_different_liquids_are_refused(cells):
    ions = tuple(replace(ion, species="Na") if ion.charge > 0 else ion for ion in cells[0].ions)
    with pytest.raises(InputError, match="same ions"):
        summarise([cells[0], replace(cells[1], ions=ions)])
    with pytest.raises(InputError, match="no cell"):
        summarise([])


def test_one_cell_has_no_error_and_the_lowest_rating(cells):
    found = summarise(cells[:1])
    assert found.conductivity_nernst_einstein.half_width is None
    assert found.rating == 1


@pytest.mark.parametrize(
    ("values", "n_flagged", "rating"),
    [
        ([1.0, 1.01, 0.99, 1.0, 1.0], 0, 4),
        ([1.0, 2.0, 0.5, 1.5, 0.7], 0, 3),
        ([1.0, 1.01, 0.99, 1.0, 1.0], 2, 2),
        ([1.0, 1.01, 0.99, 1.0, 1.0], 3, 1),
        ([1.0, 1.01], 1, 1),
        ([1.0], 0, 1),
    ],
)
def test_rating(values, n_flagged, rating):
    assert rate(estimate(values), n_flagged) == rating


def test_flagged_cells_lower_the_rating_and_are_named(cells):
    caged = analyse(np.random.default_rng(1).normal(size=(400, 80, 3)))
    found = summarise([*cells[:4], caged])
    assert (found.n_flagged, found.rating) == (1, 2)
    assert "not diffusive" in found.flags[0]
    assert isinstance(found.diffusion["Li"], Estimate)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_frame_gives_no_line(value):
    displacements = np.arange(20.0)
    displacements[7] = value
    with pytest.raises(InputError, match="1 of 15 mean squared displacements"):
        fit_line(displacements, np.arange(20.0), slice(5, 20))
