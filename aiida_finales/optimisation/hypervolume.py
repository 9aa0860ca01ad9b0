"""What several objectives are worth together: gains over a reference, the front, and the volume that it dominates.

Gains are in units of the scaled values of each objective; more is better. Expected gains have closed forms, because a
value is normal: with ``psi(a) = E max(Y - a, 0)``, one to be maximised gains ``psi(a)`` over a, and one that is to
come close to v gains ``psi(v - c) - 2 psi(v) + psi(v + c)`` over a distance c.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from aiida_finales.optimisation.objective import Objective
from aiida_finales.science.array import Array

Mask = npt.NDArray[np.bool_]
#: Offset and unit of scaled values.
Scaling = tuple[float, float]
LN_10 = float(np.log(10.0))

#: So many standard deviations above the mean nothing is gained.
FAR = 40.0
#: Share of the spread of the first values by which a reference that nobody gave is worse than the worst of them.
BEYOND = 0.1


@dataclass(frozen=True)
class Plain:
    """Values as they are modelled: in scaled units."""

    def put(self, values: Array) -> Array:
        """Return modelled values in units of the gain."""
        return values

    def expect(self, mean: Array, _sd: Array) -> Array:
        """Return the expected value, in units of the gain, of normal modelled values."""
        return mean

    def deviate(self, _mean: Array, sd: Array) -> Array:
        """Return its standard deviation."""
        return sd

    def excess(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the expected amount by which it exceeds a level, which may be infinite."""
        return psi(mean, sd, level)

    def exceeds(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the probability that it exceeds a level."""
        return np.asarray(ndtr((mean - level) / sd))


@dataclass(frozen=True)
class Exponential(Plain):
    """Values that are modelled as logarithms, and whose gains count without: ``Y = exp(centre + width z)``.

    The excess is the price of an option (Black and Scholes, doi:10.1086/260062).

    :param centre: natural logarithm.
    :param width: negative where less is better.
    :param zero: value that counts as 0, in its natural unit.
    :param unit: value that counts as 1 more; negative where less is better.
    """

    centre: float
    width: float
    zero: float
    unit: float

    def put(self, values: Array) -> Array:
        """Return modelled values in units of the gain."""
        return np.asarray((np.exp(self.centre + self.width * values) - self.zero) / self.unit)

    def expect(self, mean: Array, sd: Array) -> Array:
        """Return the expected value, in units of the gain, of normal modelled values."""
        return self.put(mean + 0.5 * self.width * sd**2)

    def deviate(self, mean: Array, sd: Array) -> Array:
        """Return its standard deviation."""
        natural = np.exp(self.centre + self.width * mean + 0.5 * (self.width * sd) ** 2)
        return np.asarray(natural / abs(self.unit) * np.sqrt(np.expm1((self.width * sd) ** 2)))

    def excess(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the expected amount by which it exceeds a level, which may be infinite."""
        deviation, side, strike = abs(self.width) * sd, np.sign(self.unit), self._strike(level)
        middle = self.centre + self.width * mean
        z = (middle - self._log(strike)) / deviation
        with np.errstate(invalid="ignore"):
            whole = np.exp(middle + 0.5 * deviation**2) * ndtr(side * (z + deviation))
            answer = side * (whole - strike * ndtr(side * z))
        return np.asarray(np.where(np.isposinf(level), 0.0, np.maximum(answer, 0.0)) / abs(self.unit))

    def exceeds(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the probability that it exceeds a level."""
        z = (self.centre + self.width * mean - self._log(self._strike(level))) / (abs(self.width) * sd)
        return np.asarray(ndtr(np.sign(self.unit) * z))

    def _strike(self, level: Array) -> Array:
        return np.asarray(self.zero + self.unit * np.asarray(level))

    @staticmethod
    def _log(strike: Array) -> Array:
        """Return the logarithm; of what no value is below, minus infinity."""
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(strike, 0.0))


@dataclass(frozen=True)
class Aim:
    """An objective in scaled units, where values to be minimised have changed their sign.

    :param value: to come close to, in units of the gain; ``None``: more is better.
    :param reference: gain that counts as nothing.
    :param low: modelled value below which none can be used; may be infinite.
    :param high: modelled value above which none can be used; may be infinite.
    :param scale: how modelled values become gains.
    """

    value: float | None
    reference: float
    low: float = -np.inf
    high: float = np.inf
    scale: Plain = Plain()

    @classmethod
    def of_objective(cls, objective: Objective, reference: float, modelled: Scaling, gained: Scaling) -> Aim:
        """Return the aim for values that are scaled as (y - offset) / unit.

        :param reference: value on the scale on which gains count.
        :param modelled: offset and unit on the scale of the model.
        :param gained: offset and unit on the scale on which gains count.
        """

        def limit(natural: float | None, default: float) -> float:
            return default if natural is None else (objective.to_model(natural) - modelled[0]) / modelled[1]

        ends = limit(objective.at_least, -np.inf * modelled[1]), limit(objective.at_most, np.inf * modelled[1])
        offset, unit = gained
        is_same = objective.scale == objective.transform
        scale = Plain() if is_same else Exponential(modelled[0] * LN_10, modelled[1] * LN_10, offset, unit)
        value = None if objective.value is None else (objective.to_gain(objective.value) - offset) / unit
        worst = (reference - offset) / unit
        return cls(value, worst if value is None else -abs(worst - value), min(ends), max(ends), scale)

    def gain(self, values: Array) -> Array:
        """Return how good modelled values are."""
        put = self.scale.put(values)
        return np.asarray(put if self.value is None else -np.abs(put - self.value))

    def expected_gain(self, mean: Array, sd: Array) -> Array:
        """Return the expected gain of normal values."""
        expected = self.scale.expect(mean, sd)
        if self.value is None:
            return expected
        return np.asarray(expected - self.value - 2 * self.scale.excess(mean, sd, np.asarray(self.value)))

    def likely_gain(self, mean: Array, sd: Array) -> Array:
        """Return the gain that normal values are as likely to exceed as not, on whatever scale they are modelled.

        Of the distance to a value that is to be reached, the expected one.
        """
        return self.gain(mean) if self.value is None else self.expected_gain(mean, sd)

    def excess(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the expected amount by which the gain exceeds a level; all are broadcast together."""
        if self.value is None:
            return self.scale.excess(mean, sd, level)
        distance = np.maximum(-level, 0.0)
        ends = (self.scale.excess(mean, sd, self.value + shift) for shift in (-distance, 0.0 * distance, distance))
        below, middle, above = ends
        return np.asarray(np.maximum(below - 2 * middle + above, 0.0))

    def exceeds(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the probability that the gain exceeds a level."""
        if self.value is None:
            return self.scale.exceeds(mean, sd, level)
        distance = np.maximum(-level, 0.0)
        ends = (self.scale.exceeds(mean, sd, self.value + shift) for shift in (-distance, distance))
        below, above = ends
        return np.asarray(below - above)

    @property
    def is_limited(self) -> bool:
        """Whether some values cannot be used."""
        return bool(np.isfinite(self.low) or np.isfinite(self.high))

    def is_usable(self, values: Array) -> Mask:
        """Return which values can be used."""
        return np.asarray((values >= self.low) & (values <= self.high))

    def probability_usable(self, mean: Array, sd: Array) -> Array:
        """Return the probability that normal values can be used."""
        return np.asarray(ndtr((self.high - mean) / sd) - ndtr((self.low - mean) / sd))


def psi(mean: Array, sd: Array, level: Array) -> Array:
    """Return the expected amount by which normal values exceed a level, which may be infinite."""
    with np.errstate(invalid="ignore"):
        z = np.where(np.isposinf(level), -FAR, (mean - level) / sd)
    return np.asarray(np.maximum(sd * (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + z * ndtr(z)), 0.0))


def is_on_front(gains: Array) -> Mask:
    """Return which of n points (n x m gains) no other one beats; of equal ones the first."""
    left = np.lexsort(-gains.T[::-1])
    mask = np.zeros(len(gains), dtype=bool)
    while len(left):
        best = left[0]
        mask[best] = True
        left = left[(gains[left] > gains[best]).any(axis=1)]
    return mask


def list_cells(gains: Array) -> tuple[Array, Array]:
    """Return lower and upper corners (k x m each) of boxes that fill what a front does not dominate.

    With two objectives these are the strips of Emmerich, Deutz and Klinkenberg, Hypervolume-based expected improvement,
    IEEE CEC 2011, 2147, doi:10.1109/CEC.2011.5949880; with more, slices along the last one, each filled likewise.

    :param gains: shape n x m, over the reference; what is not above 0 in all does not count.
    """
    counted = gains[(gains > 0).all(axis=1)]
    m = gains.shape[1]
    if m == 1:
        return np.array([[counted.max(initial=0.0)]]), np.array([[np.inf]])
    levels = np.unique(np.concatenate([[0.0], counted[:, -1]]))
    lower, upper = [], []
    for low, high in zip(levels, [*levels[1:], np.inf], strict=True):
        left, right = list_cells(counted[counted[:, -1] > low][:, :-1])
        lower.append(np.column_stack([left, np.full(len(left), low)]))
        upper.append(np.column_stack([right, np.full(len(right), high)]))
    return np.vstack(lower), np.vstack(upper)


def dominated_volume(gains: Array) -> float:
    """Return the volume between the reference and a front (n x m gains over the reference)."""
    counted = gains[(gains > 0).all(axis=1)]
    if len(counted) == 0:
        return 0.0
    if gains.shape[1] == 1:
        return float(counted.max())
    levels = np.unique(np.concatenate([[0.0], counted[:, -1]]))
    slices = ((high - low) * dominated_volume(counted[counted[:, -1] > low][:, :-1]) for low, high in pairwise(levels))
    return float(sum(slices))


def spread_out(gains: Array, most: int) -> npt.NDArray[np.int64]:
    """Return the numbers of at most so many of n points (n x m gains): the best of each, then the farthest of the rest.

    Distances are in units of the range of each gain.
    """
    if len(gains) <= most:
        return np.arange(len(gains))
    scaled = gains / np.maximum(np.ptp(gains, axis=0), 1e-12)
    chosen = list(dict.fromkeys(int(k) for k in gains.argmax(axis=0)))[:most]
    gaps = np.abs(scaled[:, None] - scaled[chosen][None]).max(axis=2).min(axis=1)
    while len(chosen) < most:
        chosen.append(int(gaps.round(9).argmax()))
        gaps = np.minimum(gaps, np.abs(scaled - scaled[chosen[-1]]).max(axis=1))
    return np.array(sorted(chosen))
