"""The shear viscosity of a liquid from the fluctuations of its pressure tensor (Green and Kubo).

The running integral of the correlation of the stress rises to the viscosity and stays there; what comes later is noise,
which grows with the root of the time. So the integral is read where it stops rising, on the mean over all cells, and
its error holds what it still changes after that. Five components of the tensor are independent in an isotropic liquid:
the three beside the diagonal, and two differences on it (Daivis and Evans,
J. Chem. Phys. 100 (1994) 541).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.constants import Boltzmann

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.words import count
from aiida_finales.science.array import Array
from aiida_finales.science.liquid.transport_summary import estimate

#: nm3 bar2 ps / J in mPa s
TO_MILLIPASCAL_SECOND = 1e-27 * 1e10 * 1e-12 * 1e3
#: number of independent components, and times at which the running integral is kept
N_COMPONENTS, N_TIMES = 5, 60
#: longest time of the integral as part of the run: of a longer one there are too few independent pieces
LONGEST = 0.1
#: part of its value by which the integral may change while its time doubles, where noise would hide a larger change
FLAT = 0.1
#: relative standard error up to which a viscosity counts as known
MOST_ERROR = 0.25
#: ps; in a shorter run noise looks like the end of a relaxation that takes some ps, as that of electrolytes does
SHORTEST = 200.0
#: shortest series, in tensors
LEAST = 1000


@dataclass(frozen=True)
class RunningViscosity:
    """The running integral of one cell.

    :param time: upper ends of the integral, ps.
    :param viscosity: mPa s, at each.
    :param length: ps, of the run.
    """

    time: tuple[float, ...]
    viscosity: tuple[float, ...]
    length: float

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {key: list(item) if isinstance(item, tuple) else item for key, item in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> RunningViscosity:
        """Return what :meth:`to_dict` wrote."""
        return cls(tuple(document["time"]), tuple(document["viscosity"]), document["length"])


@dataclass(frozen=True)
class Viscosity:
    """The viscosity of a liquid from several cells.

    :param values: of each cell, mPa s, all at one time of the integral.
    :param mean: of them.
    :param standard_error: of the mean, mPa s: by the length of the runs, and by what the integral rises afterwards.
    :param time: ps, at which the integral is read.
    :param reason: why it is not known well enough, and which length would do; ``None`` where it is.
    """

    values: tuple[float, ...]
    mean: float
    standard_error: float
    time: float
    reason: str | None


def run_viscosity(
    stress_bar: npt.ArrayLike,
    interval_ps: float,
    volume_nm3: float,
    temperature_K: float,  # noqa: N803 - the kelvin is written so
) -> RunningViscosity:
    """Return the running integral of the stress correlation of one cell.

    :param stress_bar: pressure tensors at constant volume in even steps: xx, xy, xz, yy, yz, zz.
    :param interval_ps: between two of them; at most about 10 fs, or vibrations of bonds count as slow motion.
    :raises InputError: when the shape is another, a number is not finite, or the series is too short.
    """
    tensors = np.asarray(stress_bar, dtype=np.float64)
    if tensors.ndim != 2 or tensors.shape[1] != 6 or len(tensors) < LEAST:  # noqa: PLR2004 - xx, xy, xz, yy, yz, zz
        raise InputError(f"pressure tensors have the shape {tensors.shape}, but accepted is n x 6, n at least {LEAST}")
    if not np.isfinite(tensors).all():
        raise InputError("pressure tensors are not finite: look at the simulation")
    xx, xy, xz, yy, yz, zz = tensors.T
    # half the difference of two diagonal elements has the variance of one beside the diagonal; the second difference
    # is the one that is independent of the first
    components = np.stack([xy, xz, yz, (xx - yy) / 2, (2 * zz - xx - yy) / math.sqrt(12)])
    n_lags = int(LONGEST * len(tensors))
    correlation = np.mean([_correlate(component, n_lags) for component in components], axis=0)
    integral = np.concatenate([[0.0], np.cumsum((correlation[1:] + correlation[:-1]) / 2)]) * interval_ps
    factor = volume_nm3 * TO_MILLIPASCAL_SECOND / (Boltzmann * temperature_K)
    lags = np.unique(np.geomspace(1, n_lags - 1, N_TIMES).round().astype(int))
    times = tuple(float(lag * interval_ps) for lag in lags)
    values = tuple(float(factor * value) for value in integral[lags])
    return RunningViscosity(times, values, float(len(tensors) * interval_ps))


def _correlate(series: Array, n_lags: int) -> Array:
    """Return the correlation of a series with itself; its mean is 0 in a liquid at rest, and is not subtracted."""
    size = len(series) + n_lags
    spectrum = np.fft.rfft(series, n=size)
    products = np.fft.irfft(spectrum * spectrum.conj(), n=size)[:n_lags]
    correlation: Array = products / np.arange(len(series), len(series) - n_lags, -1)
    return correlation


def join_viscosities(cells: Sequence[RunningViscosity]) -> Viscosity:
    """Return the viscosity of a liquid, read where the mean of the running integrals stops rising.

    :raises InputError: when there is no cell.
    """
    if not cells:
        raise InputError("no cell has pressure tensors: the viscosity needs them")
    shortest = min(cells, key=lambda cell: cell.time[-1])
    time = np.array(shortest.time)
    curves = np.array([np.interp(time, cell.time, cell.viscosity) for cell in cells])
    mean, length = curves.mean(axis=0), sum(cell.length for cell in cells)
    # of an integral over the correlation of a Gaussian series, Bartlett's formula at frequency 0
    noise = np.abs(mean) * np.sqrt(4.0 * time / (N_COMPONENTS * length))
    place, is_flat = _find_plateau(time, mean, noise)
    values, later = curves[:, place], np.interp(2.0 * time[place], time, mean)
    scatter = estimate(values.tolist()).standard_error if len(cells) > 2 else None  # noqa: PLR2004 - two tell little
    error = math.hypot(max(float(noise[place]), scatter or 0.0), float(later - mean[place]))
    known = Viscosity(tuple(values.tolist()), float(mean[place]), error, float(time[place]), None)
    return replace(known, reason=_explain(known, cells, is_flat=is_flat))


def _find_plateau(time: Array, mean: Array, noise: Array) -> tuple[int, bool]:
    """Return where a running integral first stays within its noise until twice the time, and whether it does at all."""
    last = int(np.flatnonzero(2.0 * time <= time[-1])[-1])
    bound = np.minimum(noise, FLAT * np.abs(mean))
    for place in range(last + 1):
        until = np.flatnonzero(time <= 2.0 * time[place])[-1]
        if np.abs(mean[place : until + 1] - mean[place]).max() <= bound[place] and mean[place] > 0:
            return place, True
    return last, False


def _explain(found: Viscosity, cells: Sequence[RunningViscosity], *, is_flat: bool) -> str | None:
    """Return why a viscosity is not known well enough; ``None`` where it is."""
    length = min(cell.length for cell in cells)
    about = f"{count(len(cells), 'cell')} of {length:.4g} ps"
    if length < SHORTEST:
        return f"{about}: too short for the slow part of the stress, {SHORTEST:g} ps each is the least (production_ps)"
    if not is_flat:
        return (
            f"in {about} the integral of the stress correlation is not at its end after {found.time:.2g} ps: at least "
            f"{2 * length:.2g} ps each would do (setting production_ps)"
        )
    if found.standard_error > MOST_ERROR * found.mean:
        needed = length * (found.standard_error / (MOST_ERROR * found.mean)) ** 2
        return (
            f"{about} give {found.mean:.3g} mPa·s with a standard error of {found.standard_error:.1g}, but accepted is "
            f"{MOST_ERROR:.0%} of it: {needed:.2g} ps each would do (setting production_ps), or more cells"
        )
    return None
