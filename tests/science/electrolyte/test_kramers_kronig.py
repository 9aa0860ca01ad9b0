"""The linear Kramers-Kronig test: circuits of all kinds pass, what changes while it is measured does not."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.science.electrolyte.kramers_kronig import check_kramers_kronig

FREQUENCY = np.geomspace(1e5, 1.0, 51)
JW = 2j * np.pi * FREQUENCY
CIRCUITS = {
    "blocking": 40 + 1 / (2e-5 * JW**0.92),
    "leads": 40 + 1 / (2e-5 * JW**0.9) + 4e-7 * JW,
    "arc": 10 + 30 / (1 + (JW / 2e3) ** 0.8),
    "two arcs and diffusion": 5 + 10 / (1 + JW / 3e4) + 20 / (1 + JW / 300) + 8 / np.sqrt(JW),
}


def noise(seed, size):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, len(FREQUENCY)))
    return 1 + size * (real + 1j * imaginary)


@pytest.mark.parametrize("exact", CIRCUITS.values(), ids=CIRCUITS)
def test_circuits_pass_and_the_noise_is_found(exact):
    answers = [check_kramers_kronig(FREQUENCY, exact * noise(seed, 0.005)) for seed in range(10)]
    assert max(answer.inconsistency for answer in answers) < 0.003
    assert np.mean([answer.rms for answer in answers]) == pytest.approx(0.005 * np.sqrt(2), rel=0.3)


@pytest.mark.parametrize("exact", CIRCUITS.values(), ids=CIRCUITS)
def test_a_jump_does_not_pass(exact):
    broken = exact * np.where(FREQUENCY < 1e3, 1.05, 1.0)
    answers = [check_kramers_kronig(FREQUENCY, broken * noise(seed, 0.001)) for seed in range(3)]
    assert min(answer.inconsistency for answer in answers) > 0.005


def test_fewer_elements_are_used_in_more_noise():
    """Schoenleber's criterion: elements are added until noise is fitted."""
    exact = CIRCUITS["arc"]
    numbers = [check_kramers_kronig(FREQUENCY, exact * noise(1, size)).n_elements for size in (1e-6, 1e-2)]
    assert numbers[0] > numbers[1]


def test_order_of_the_frequencies_does_not_matter():
    spectrum = CIRCUITS["blocking"] * noise(1, 0.002)
    there, back = check_kramers_kronig(FREQUENCY, spectrum), check_kramers_kronig(FREQUENCY[::-1], spectrum[::-1])
    assert back.inconsistency == pytest.approx(there.inconsistency)
    assert np.allclose(back.residuals[::-1], there.residuals, atol=1e-9)
