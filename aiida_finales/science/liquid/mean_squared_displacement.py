"""How far particles get by lag time: mean squared displacements by Fourier transform, and the lines through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array

#: part of the longest lag between which a line is fitted: below, ballistic and caged motion; above, few independent
#: displacements remain
FIT_WINDOW = (0.1, 0.5)
#: fewer lags in the window cannot tell a line from noise
MIN_LAGS = 5
#: largest relative difference between two steps of the time axis that still counts as even
UNEVEN = 1e-3


@dataclass(frozen=True)
class Line:
    """A straight line through a mean squared displacement within a window of lags.

    :param slope: of the displacement, in its unit squared per ps.
    :param exponent: slope of log(displacement) against log(lag): 1 diffusive, 2 ballistic, below 1 caged; ``None``
        where a displacement of 0 has no logarithm.
    """

    slope: float
    exponent: float | None


def squared_displacements(paths: Array) -> Array:
    """Return the mean squared displacement by lag, averaged over all starting times and over the particles.

    :param paths: unwrapped positions, ``n_frames x n_particles x 3``.
    :returns: ``n_frames`` values, in the unit of the positions squared; the first is 0.

    By the Wiener-Khinchin theorem, in n log n instead of n squared operations: Calandrini et al.,
    doi:10.1051/sfn/201112010.
    """
    paths = paths - paths.mean(axis=0)  # small numbers: the result is a difference of two large sums
    n_frames = len(paths)
    counts = np.arange(n_frames, 0, -1)
    spectrum = np.fft.rfft(paths, n=2 * n_frames, axis=0)
    products = np.fft.irfft(spectrum * spectrum.conj(), n=2 * n_frames, axis=0)[:n_frames]
    cross = products.sum(axis=2) / counts[:, None]
    squares = (paths**2).sum(axis=2)
    total = np.concatenate([np.zeros((1, squares.shape[1])), np.cumsum(squares, axis=0)])
    # squares of the first and of the last n - lag frames
    ends = (total[:0:-1] + total[-1] - total[:-1]) / counts[:, None]
    displacements: Array = np.maximum(ends - 2 * cross, 0.0).mean(axis=1)
    displacements[0] = 0.0
    return displacements


def window_of(time: Array, fit_window: tuple[float, float]) -> slice:
    """Return the lags within a window.

    :param time: ps, even steps.
    :param fit_window: first and last lag as parts of the longest one.
    :raises InputError: when the time axis is not even, or too few lags are in the window.
    """
    low, high = fit_window
    if not 0 < low < high <= 1:
        raise InputError(f"fit window is {low} to {high}, but accepted is 0 < first < last <= 1 of the longest lag")
    steps = np.diff(time)
    if len(steps) == 0 or steps.min() <= 0 or np.ptp(steps) > UNEVEN * steps.mean():
        raise InputError(f"the {len(time)} frames are not evenly spaced in time, as displacements by lag need")
    first, last = max(1, int(np.ceil(low * len(steps)))), int(high * len(steps))
    if last - first + 1 < MIN_LAGS:
        needed = int(np.ceil(MIN_LAGS / (high - low))) + 1
        raise InputError(f"{len(time)} frames are too few for a fit window of {low} to {high}: needed are {needed}")
    return slice(first, last + 1)


def fit_line(displacements: Array, time: Array, window: slice) -> Line:
    """Fit a line to a mean squared displacement within a window.

    :param displacements: by lag, from :func:`squared_displacements`.
    :param time: ps.
    :raises InputError: when a value in the window is not finite: an atom has left the cell, or a frame is broken.
    """
    lags, values = (time - time[0])[window], displacements[window]
    if not (np.isfinite(lags).all() and np.isfinite(values).all()):
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} mean squared displacements are no finite numbers, "
            "accepted are only such: look at the trajectory"
        )
    slope = float(np.polyfit(lags, values, 1)[0])
    exponent = float(np.polyfit(np.log(lags), np.log(values), 1)[0]) if np.all(values > 0) else None
    return Line(slope, exponent)
