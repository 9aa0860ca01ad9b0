"""What the first capacities of a cell say about its life, and the published model with a single feature.

Features of the curve are dimensionless: they follow from capacities over the reference of the end of life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.science.array import Array

#: Cycles on either side that tell whether a capacity is an outlier.
_NEIGHBOURS = 2
#: Relative deviation from the neighbours above which a single capacity is replaced.
_OUTLIER = 0.02
#: Cycles that tell the capacity at the end of what was seen.
_LAST = 5
#: Share of the window that is left out where the first cycles, in which cells still settle, would disturb.
_SETTLING = 0.09


def clean(capacities: Array) -> Array:
    """Return capacities in which single outliers are replaced by the median of their neighbours."""
    padded = np.pad(capacities, _NEIGHBOURS, mode="edge")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1), axis=1)
    # the first capacities may fall steeply and have neighbours on one side only
    inner = slice(_NEIGHBOURS, len(capacities) - _NEIGHBOURS)
    cleaned = capacities.copy()
    outliers = np.abs(capacities[inner] - medians[inner]) > _OUTLIER * np.abs(medians[inner])
    cleaned[inner][outliers] = medians[inner][outliers]
    return cleaned


def level(curve: Array) -> float:
    """Return the capacity at the end of what was seen, without the noise of a single cycle."""
    return float(np.median(curve[-_LAST:]))


def _initial(curve: Array) -> float:
    return float(curve[0])


def _final(curve: Array) -> float:
    return float(np.median(curve[-max(3, len(curve) // 20) :]))


def _fade(curve: Array) -> float:
    """Return by how much the capacity fell after the cell had settled."""
    settled = curve[round(_SETTLING * len(curve)) :]
    return float(np.median(settled[: max(3, len(curve) // 20)]) - _final(curve))


def _slope(curve: Array) -> float:
    """Return the change per cycle in the second half, in 1/1000."""
    half = curve[len(curve) // 2 :]
    return float(1e3 * np.polyfit(np.arange(len(half)), half, 1)[0])


def _curvature(curve: Array) -> float:
    """Return the coefficient of the square of the cycle number, in 1/1000000; negative when the fade gets faster."""
    begin = round(_SETTLING * len(curve))
    cycles = np.arange(begin, len(curve), dtype=np.float64)
    return float(1e6 * np.polyfit(cycles - cycles.mean(), curve[begin:], 2)[0])


#: By name: what follows from the capacities of the window.
CURVE_FEATURES: dict[str, Callable[[Array], float]] = {
    "initial": _initial,
    "final": _final,
    "fade": _fade,
    "slope": _slope,
    "curvature": _curvature,
}


@dataclass(frozen=True)
class OneFeatureModel:
    """The decadic logarithm of the life as a straight line in one feature.

    The model of K. A. Severson et al., Nature Energy 4 (2019) 383, with the decadic logarithm of the variance of
    Q100(V) - Q10(V) as the feature.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, feature: npt.ArrayLike, life: npt.ArrayLike) -> OneFeatureModel:
        """Return the line of least squares.

        :param life: cycles.
        """
        slope, intercept = np.polyfit(np.asarray(feature, dtype=float), np.log10(np.asarray(life, dtype=float)), 1)
        return cls(float(slope), float(intercept))

    def predict(self, feature: npt.ArrayLike) -> Array:
        """Return lives in cycles."""
        return np.power(10.0, self.slope * np.asarray(feature, dtype=np.float64) + self.intercept)
