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

#: So many standard deviations above the mean nothing is gained.
FAR = 40.0
#: Share of the spread of the first values by which a reference that nobody gave is worse than the worst of them.
BEYOND = 0.1


@dataclass(frozen=True)
class Aim:
    """An objective in scaled units, where values to be minimised have changed their sign.

    :param value: to come close to; ``None``: more is better.
    :param reference: gain that counts as nothing.
    :param low: what is lower cannot be used; may be infinite.
    :param high: what is higher cannot be used; may be infinite.
    """

    value: float | None
    reference: float
    low: float = -np.inf
    high: float = np.inf

    @classmethod
    def of_objective(cls, objective: Objective, reference: float, offset: float, scale: float) -> Aim:
        """Return the aim for values that are scaled as (y - offset) / scale.

        :param reference: value on the scale of the model.
        """

        def scaled(natural: float | None, default: float) -> float:
            return default if natural is None else (objective.to_model(natural) - offset) / scale

        limits = scaled(objective.at_least, -np.inf * scale), scaled(objective.at_most, np.inf * scale)
        value = None if objective.value is None else scaled(objective.value, 0.0)
        aim = cls(value, 0.0, min(limits), max(limits))
        worst = float(aim.gain(np.array((reference - offset) / scale)))
        return cls(value, worst, aim.low, aim.high)

    def gain(self, values: Array) -> Array:
        """Return how good values are."""
        return np.asarray(values if self.value is None else -np.abs(values - self.value))

    def expected_gain(self, mean: Array, sd: Array) -> Array:
        """Return the expected gain of normal values."""
        if self.value is None:
            return mean
        return np.asarray(mean - self.value - 2 * psi(mean, sd, np.asarray(self.value)))

    def excess(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the expected amount by which the gain exceeds a level; all are broadcast together."""
        if self.value is None:
            return psi(mean, sd, level)
        distance = np.maximum(-level, 0.0)
        tops = (psi(mean, sd, self.value + shift) for shift in (-distance, 0.0 * distance, distance))
        below, middle, above = tops
        return np.asarray(np.maximum(below - 2 * middle + above, 0.0))

    def exceeds(self, mean: Array, sd: Array, level: Array) -> Array:
        """Return the probability that the gain exceeds a level."""
        if self.value is None:
            return np.asarray(ndtr((mean - level) / sd))
        distance = np.maximum(-level, 0.0)
        return np.asarray(ndtr((self.value + distance - mean) / sd) - ndtr((self.value - distance - mean) / sd))

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
