"""The linear Kramers-Kronig test: whether a measured spectrum is that of a linear, causal, steady system at all.

Every such system is a resistance, RC elements, an inductance and a capacitance in series, whatever its circuit
(B. A. Boukamp, J. Electrochem. Soc. 142, 1885 (1995), doi:10.1149/1.2044210). With time constants that are given, all
other parameters follow from linear least squares. Their number is raised until resistances turn negative, that is until
noise is fitted (M. Schönleber, D. Klotz, E. Ivers-Tiffée, Electrochim. Acta 131, 20 (2014),
doi:10.1016/j.electacta.2014.01.034); too few do so as well, so it starts at three per decade. What these elements
cannot describe is noise where it scatters, and drift, a bubble or an overload where neighbours deviate alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.science.array import Array

#: Ratio of negative to positive resistances is 1 - mu; below this mu noise is fitted.
SMALLEST_MU = 0.85
#: RC elements per decade from which the number is raised, and the largest number per point.
FEWEST_PER_DECADE, MOST_PER_POINT = 3.0, 0.7
#: The time constants reach beyond the range of frequencies by this factor at both ends.
BEYOND = 3.0


@dataclass(frozen=True)
class KramersKronig:
    """What the test found.

    :param residuals: (measured - possible) / modulus, complex, in the order of the spectrum.
    :param n_elements: number of RC elements.
    :param inconsistency: root mean square of what neighbours in frequency have in common in the residuals, beyond two
        standard deviations of what scatter makes of it; 0 for noise.
    """

    residuals: npt.NDArray[np.complex128]
    n_elements: int
    inconsistency: float

    @property
    def rms(self) -> float:
        """Root mean square of the relative residuals, per point."""
        return float(np.sqrt(np.mean(np.abs(self.residuals) ** 2)))


def check_kramers_kronig(frequency: npt.ArrayLike, impedance: npt.ArrayLike) -> KramersKronig:
    """Apply the linear Kramers-Kronig test to a spectrum.

    :param frequency: Hz, positive, in any order.
    :param impedance: ohm, complex, not zero, same shape.
    """
    hertz, ohm = np.asarray(frequency, dtype=float), np.asarray(impedance, dtype=complex)
    most = max(int(MOST_PER_POINT * len(hertz)), 1)
    fewest = min(max(int(np.ceil(FEWEST_PER_DECADE * np.log10(hertz.max() / hertz.min()))), 1), most)
    for n_elements in range(fewest, most + 1):
        residuals, resistances = _fit_elements(hertz, ohm, n_elements)
        if _mu(resistances) < SMALLEST_MU:
            break
    return KramersKronig(residuals, n_elements, _shared_by_neighbours(residuals[np.argsort(hertz)]))


def _fit_elements(
    hertz: Array, ohm: npt.NDArray[np.complex128], n_elements: int
) -> tuple[npt.NDArray[np.complex128], Array]:
    """Return the relative residuals and the resistances of the RC elements, by linear least squares."""
    omega = 2 * np.pi * hertz
    constants = 1 / np.geomspace(BEYOND * omega.max(), omega.min() / BEYOND, n_elements)
    elements = 1 / (1 + 1j * omega[:, None] * constants)
    rest = np.stack([np.ones_like(ohm), 1j * omega / omega.max(), -1j * omega.min() / omega], axis=1)
    modulus = np.abs(ohm)
    columns = np.concatenate([elements, rest], axis=1) / modulus[:, None]
    target = ohm / modulus
    answer = np.linalg.lstsq(
        np.concatenate([columns.real, columns.imag]), np.concatenate([target.real, target.imag]), rcond=None
    )[0]
    return target - columns @ answer, answer[:n_elements]


def _mu(resistances: Array) -> float:
    """Return 1 - (sum of the negative) / (sum of the positive resistances); 1 without negative ones."""
    positive, negative = resistances[resistances >= 0].sum(), -resistances[resistances < 0].sum()
    return 1.0 - float(negative) / float(positive) if positive > 0 else 0.0


def _shared_by_neighbours(residuals: npt.NDArray[np.complex128]) -> float:
    shared = float((residuals[1:] * residuals[:-1].conj()).real.mean())
    by_chance = 2 * float(np.mean(np.abs(residuals) ** 2)) / np.sqrt(2 * len(residuals))
    return float(np.sqrt(max(shared - by_chance, 0.0)))
