"""Resistance from impedance: simulated spectra, garbage, and real files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_finales.exceptions import FitError
from aiida_finales.science.electrolyte.impedance import (
    circuit_impedance,
    conductivity_from_resistance,
    fit_resistance,
    rate,
)

EIS = Path(__file__).parents[4] / "shared" / "data" / "eis"
FREQUENCY = np.geomspace(5e5, 50.0, 41)


def noisy(impedance, generator, noise=0.002):
    real, imaginary = generator.standard_normal((2, len(impedance)))
    return impedance + noise * np.abs(impedance) * (real + 1j * imaginary)


def real_file(name):
    path = EIS / name
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path


def test_conductivity_is_found_within_a_thousandth():
    generator = np.random.default_rng(1)
    deviations, predicted = [], []
    for conductivity in (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.2):
        for _ in range(5):
            exact = circuit_impedance(FREQUENCY, 0.2 + 40 / conductivity, 2e-5, 0.92, 4e-7)
            fit = fit_resistance(FREQUENCY, noisy(exact, generator))
            deviations.append(conductivity_from_resistance(fit.resistance, 40.0, 0.2) / conductivity - 1)
            predicted.append(fit.relative_error)
            assert fit.rating == 5
    spread = np.sqrt(np.mean(np.square(deviations)))
    assert spread < 1e-3
    assert np.mean(predicted) == pytest.approx(spread, rel=0.5)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 6), st.floats(-6, -4), st.floats(0.75, 0.98), st.floats(-8, -6.2))
def test_exact_spectra_are_recovered(log_resistance, log_q, n, log_inductance):
    resistance = 10**log_resistance
    exact = circuit_impedance(FREQUENCY, resistance, 10**log_q, n, 10**log_inductance)
    assert fit_resistance(FREQUENCY, exact).resistance == pytest.approx(resistance, rel=2e-3)


def test_order_of_the_frequencies_does_not_matter():
    exact = circuit_impedance(FREQUENCY, 40.0, 2e-5, 0.92, 4e-7)
    assert fit_resistance(FREQUENCY[::-1], exact[::-1]).resistance == pytest.approx(40.0, rel=1e-5)


def test_noise_lowers_the_rating():
    exact = circuit_impedance(FREQUENCY, 40.0, 2e-5, 0.92, 4e-7)
    ratings = [
        fit_resistance(FREQUENCY, noisy(exact, np.random.default_rng(2), noise)).rating for noise in (0.002, 0.02, 0.06)
    ]
    assert ratings[0] == 5
    assert ratings == sorted(ratings, reverse=True)
    assert ratings[-1] < 5


@pytest.mark.parametrize(
    ("error", "rating"), [(0.0, 5), (0.002, 5), (0.0021, 4), (0.01, 3), (0.03, 2), (0.2, 1), (float("nan"), 1)]
)
def test_rating(error, rating):
    assert rate(error) == rating


EXACT = circuit_impedance(FREQUENCY, 40.0, 2e-5, 0.92, 4e-7)
GARBAGE = {
    "nan": (FREQUENCY, np.where(FREQUENCY < 100, np.nan, EXACT), "not finite"),
    "few points": (FREQUENCY[:5], EXACT[:5], "has 5 points, accepted are 8 or more"),
    "lengths": (FREQUENCY[:-1], EXACT, "of the same length"),
    "negative frequency": (-FREQUENCY, EXACT, "must be positive"),
    "all zero": (FREQUENCY, 0 * EXACT, "must be positive"),
    "noise": (FREQUENCY, np.random.default_rng(4).normal(size=(41, 2)) @ [40, 40j], "do not describe"),
    "short circuit of leads": (FREQUENCY, 2j * np.pi * FREQUENCY * 1e-6, "fit|describe|resist"),
}


@pytest.mark.parametrize(("frequency", "impedance", "words"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused(frequency, impedance, words):
    with pytest.raises(FitError, match=words):
        fit_resistance(frequency, impedance)


def test_conductivity_needs_sensible_calibration():
    assert conductivity_from_resistance(40.2, 40.0, 0.2) == pytest.approx(1.0)
    with pytest.raises(FitError, match="check the calibration"):
        conductivity_from_resistance(0.1, 40.0, 0.2)
    with pytest.raises(FitError, match="accepted is a positive number"):
        conductivity_from_resistance(40.0, 0.0)


@pytest.mark.parametrize("number", ["1", "2"])
def test_a_coin_cell_is_not_a_conductivity_cell(number):
    """Its electrodes react: the fit must say so instead of calling something the resistance of the electrolyte."""
    with real_file("coin_cell_peis.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["spectrum"] == number]
    frequency = np.array([float(row["frequency_Hz"]) for row in rows])
    impedance = np.array([float(row["Re_Z_ohm"]) - 1j * float(row["minus_Im_Z_ohm"]) for row in rows])
    with pytest.raises(FitError, match="electrodes react"):
        fit_resistance(frequency, impedance)


def test_a_real_spectrum_at_high_frequency():
    frequency, real, imaginary = np.loadtxt(real_file("impedancepy_exampleData.csv"), delimiter=",").T
    high = frequency > 300
    fit = fit_resistance(frequency[high], real[high] + 1j * imaginary[high])
    # the intercept with the real axis lies a little below the smallest real part (an electrode arc follows)
    assert fit.resistance == pytest.approx(real[high].min(), rel=0.1)
    assert fit.rating < 5


@pytest.mark.parametrize(
    ("share", "corner", "limit"),
    [(0.0, 1e5, 5), (0.25, 3e4, 2), (0.3, 3e5, 2)],
    ids=["none", "30 kHz", "300 kHz"],
)
def test_an_arc_of_contacts_is_not_rated_as_a_resistance(share, corner, limit):
    """Nobody knows whether the arc is the electrolyte: the error tells that the resistance may be wrong by it."""
    resistance = 300.0
    arc = share * resistance / (1 + 1j * FREQUENCY / corner)
    spectrum = noisy(circuit_impedance(FREQUENCY, resistance, 1e-5, 0.9, 5e-7) + arc, np.random.default_rng(2))
    fit = fit_resistance(FREQUENCY, spectrum)
    assert fit.rating == limit if limit == 5 else fit.rating <= limit
    assert abs(fit.resistance / resistance - 1) < 0.002 or fit.relative_error > 0.02


def test_the_capacitance_of_cables_is_no_arc():
    """It stands beside the electrolyte: the whole resistance is its arc."""
    cell = circuit_impedance(FREQUENCY, 3000.0, 1e-6, 0.9, 0.0)
    with_cables = 1 / (1 / cell + 2j * np.pi * FREQUENCY * 2e-11)
    fit = fit_resistance(FREQUENCY, noisy(with_cables, np.random.default_rng(3)))
    assert (fit.resistance, fit.rating >= 3) == (pytest.approx(3000.0, rel=0.01), True)
