"""The impedance spectra of the simulated measuring cell."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from aiida_finales.science.electrolyte.impedance import circuit_impedance

#: Hz, ten per decade from 500 kHz down to 50 Hz
FREQUENCIES = np.geomspace(5e5, 50.0, 41)
#: of the electrodes (S s^n, exponent) and of the leads (H)
ELECTRODE_Q, ELECTRODE_N, LEAD_INDUCTANCE = 2e-5, 0.92, 4e-7


def noise_generator(key: str, seed: int) -> np.random.Generator:
    """Return the noise of an act: the same key and seed give the same numbers on any machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{key}/{seed}".encode()).digest()[:16], "big"))


def simulate_spectrum(resistance: float, noise: float, generator: np.random.Generator) -> npt.NDArray[np.complex128]:
    """Return the impedance in ohm at :data:`FREQUENCIES`.

    :param resistance: of electrolyte and contacts together, ohm.
    :param noise: standard deviation of the real and of the imaginary part, relative to the modulus.
    """
    exact = circuit_impedance(FREQUENCIES, resistance, ELECTRODE_Q, ELECTRODE_N, LEAD_INDUCTANCE)
    real, imaginary = generator.standard_normal((2, len(FREQUENCIES)))
    return np.asarray(exact + noise * np.abs(exact) * (real + 1j * imaginary))
