"""A series of capacities as cyclers write it, made fit to learn from: what was changed is told.

1. Zeros, negative numbers and what is no number are taken out; **outliers** by a Hampel filter: further than
   :attr:`Settings.limit` robust standard deviations from the running median. Both are replaced, never dropped.
2. **Smoothing**: running median, then running mean, over a share of the series.
3. **Reference**: the largest smoothed capacity within the first tenth, at least ten points. Not the nominal capacity:
   cells begin at 92 to 108 % of it.
4. **One cycle per per cent**: the share of the reference as the nearest series that never rises (isotonic regression),
   and where it passes each whole per cent, by linear interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.words import count
from aiida_finales.science.array import Array

#: points without which there is no series
LEAST_POINTS = 5
#: what is told of the reference with every crossing
REFERENCE_RULE = "largest of the first tenth"
#: per cent of the reference at which the cycle is told
PERCENTS = range(99, 39, -1)
#: median absolute deviations that are a standard deviation, where errors are normal
_MAD = 1.4826
#: share of the capacity that no cycler resolves: a series without any scatter has outliers only beyond it
_LEAST_SCATTER = 2e-4
#: cycles that formation has at least and at most, by which share of the capacity they then lie above all that follow at
#: least, and over how many these vary less than by half of it
_FORMATION, _STEP, _FOLLOWING = range(2, 8), 0.03, 10
#: usual steps between cycles, and cycles at least, that are a gap
_GAP, _LEAST_GAP = 5, 10
#: share of the capacity by which an outlier near the begin or the end of a series is off
_AT_THE_ENDS = 0.05


@dataclass(frozen=True)
class Settings:
    """How a series is cleaned.

    :param limit: robust standard deviations from the running median that make an outlier.
    :param window: points that are smoothed over; ``None``: a fortieth of the series, 7 to 31.
    :param reference: Ah; ``None``: see :data:`REFERENCE_RULE`.
    :param formation: first cycles that were set apart, 0 where there are none; ``None``: nobody has looked, and a
        series that seems to begin with some is refused, as these would be the reference.
    """

    limit: float = 4.0
    window: int | None = None
    reference: float | None = None
    formation: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        :raises InputError: naming it.
        """
        if not self.limit > 0:
            raise InputError(f"limit is {self.limit}, accepted is a number of standard deviations above 0")
        if self.window is not None and (self.window < 1 or self.window % 2 == 0):
            raise InputError(f"window is {self.window}, accepted is an odd number of points, 1 or more")
        if self.reference is not None and not (math.isfinite(self.reference) and self.reference > 0):
            raise InputError(f"reference is {self.reference}, accepted is a capacity in Ah above 0")

    def width(self, n_points: int) -> int:
        """Return the points that are smoothed over."""
        return self.window or min(max(n_points // 40, 7), 31) // 2 * 2 + 1


@dataclass(frozen=True)
class Cleaned:
    """A series, and what became of it.

    :param cycles: increasing; shape ``(n,)`` as all that follow.
    :param measured: Ah, as given.
    :param smoothed: Ah.
    :param is_outlier: whether the point was replaced.
    :param share: of the reference; never rises.
    :param reference: Ah.
    """

    cycles: Array
    measured: Array
    smoothed: Array
    is_outlier: npt.NDArray[np.bool_]
    share: Array
    reference: float
    settings: Settings

    @property
    def crossings(self) -> dict[int, float]:
        """Cycle at which each whole per cent of the reference is reached, as far as the series goes."""
        found = {percent: self.find_crossing(percent / 100) for percent in PERCENTS}
        return {percent: cycle for percent, cycle in found.items() if cycle is not None}

    def find_crossing(self, share: float) -> float | None:
        """Return the cycle at which a share of the reference is reached; ``None`` where it is not."""
        return _first_below(self.cycles, self.share, share) if self.share[-1] <= share < self.share[0] else None

    def list_notes(self) -> list[str]:
        """Return in words which cycles are not there, and what was told across a gap of them."""
        steps = np.diff(self.cycles)
        usual = float(np.median(steps))
        n_lacking = int(steps.sum()) - len(steps)
        notes = (
            [f"{count(n_lacking, 'cycle')} between the first and the last not there"]
            if usual == 1 < steps.max()
            else []
        )
        for place in np.flatnonzero(steps > max(_GAP * usual, _LEAST_GAP)):
            begin, end = self.cycles[place : place + 2]
            passed = [percent for percent, cycle in self.crossings.items() if begin < cycle < end]
            if passed:
                told = f"{passed[0]} %" if len(passed) == 1 else f"{passed[0]} to {passed[-1]} %"
                notes.append(f"no cycle between {begin:g} and {end:g}: that of {told} is interpolated")
        return notes

    def describe(self) -> dict[str, object]:
        """Return what was done, for people and for the node."""
        changed = np.abs(self.smoothed - self.measured)[~self.is_outlier]
        return {
            "n_points": len(self.cycles),
            "n_outliers": int(self.is_outlier.sum()),
            "outlier_cycles": [float(cycle) for cycle in self.cycles[self.is_outlier]],
            "median_change_percent": float(100 * np.median(changed) / self.reference) if len(changed) else 0.0,
            "reference_Ah": self.reference,
            "reference_rule": "given" if self.settings.reference else REFERENCE_RULE,
            "last_share": float(self.share[-1]),
            "notes": self.list_notes(),
            "settings": {**asdict(self.settings), "window": self.settings.width(len(self.cycles))},
        }


def clean_series(
    cycles: Sequence[float] | Array, capacities: Sequence[float] | Array, how: Settings | None = None
) -> Cleaned:
    """Return a series without outliers, smooth, with its reference and the cycle of each per cent.

    :param cycles: numbers of the cycles, in any order.
    :param capacities: Ah of each; zeros, negative and not finite ones count as outliers.
    :raises InputError: when the series are uneven, too short, name a cycle twice, or seem to begin with formation.
    """
    how = how or Settings()
    order = np.argsort(np.asarray(cycles, dtype=np.float64), kind="stable")
    numbers, measured = _demand_series(cycles, capacities, order)
    if how.formation is None and how.reference is None:
        _refuse_formation(measured[np.isfinite(measured) & (measured > 0)])
    repaired, is_outlier = _replace_outliers(measured, how)
    smoothed = _smooth(repaired, how.width(len(repaired)))
    reference = how.reference or float(smoothed[: max(10, len(smoothed) // 10)].max())
    return Cleaned(numbers, measured, smoothed, is_outlier, _never_rising(smoothed / reference), reference, how)


def find_formation(capacities: Array) -> int:
    """Return how many first cycles look like formation, which is slower: they lie above the rest by a step; 0 if none.

    :param capacities: Ah of each cycle, above 0.
    """
    for n_first in _FORMATION:
        first, rest = capacities[:n_first], capacities[n_first : n_first + _FOLLOWING]
        if len(rest) < LEAST_POINTS:
            return 0
        step = float(first.min() - rest.max())
        if step > _STEP * float(np.median(rest)) and step > 2 * max(np.ptp(first), np.ptp(rest)):
            return n_first
    return 0


def _refuse_formation(capacities: Array) -> None:
    if n_first := find_formation(capacities):
        raise InputError(
            f"the first {n_first} cycles lie above all that follow and then step down, as those of formation do, and "
            f"would be the reference: leave them out (--formation {n_first}, or their rows); if they are none, say "
            "--formation 0"
        )


def _demand_series(
    cycles: Sequence[float] | Array, capacities: Sequence[float] | Array, order: npt.NDArray[np.int_]
) -> tuple[Array, Array]:
    numbers, measured = np.asarray(cycles, dtype=np.float64), np.asarray(capacities, dtype=np.float64)
    if numbers.ndim != 1 or numbers.shape != measured.shape:
        raise InputError(f"{numbers.size} cycles and {measured.size} capacities were given, accepted is one for each")
    if not np.isfinite(numbers).all() or len(np.unique(numbers)) < len(numbers):
        raise InputError("a cycle is given twice or is no number, accepted is one capacity per cycle")
    n_usable = int((np.isfinite(measured) & (measured > 0)).sum())
    if n_usable < LEAST_POINTS:
        raise InputError(f"{n_usable} cycles have a capacity above 0, accepted are {LEAST_POINTS} or more")
    return numbers[order], measured[order]


def _replace_outliers(measured: Array, how: Settings) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the series with outliers replaced by the running median, and which these are."""
    from scipy.ndimage import median_filter

    places = np.arange(len(measured))
    is_odd = ~(np.isfinite(measured) & (measured > 0))
    repaired = np.interp(places, places[~is_odd], measured[~is_odd])
    width = how.width(len(measured))
    medians = median_filter(repaired, size=width, mode="reflect")
    scatter = np.maximum(_MAD * median_filter(np.abs(repaired - medians), size=width, mode="reflect"),
                         _LEAST_SCATTER * float(np.median(repaired)))  # fmt: skip
    allowed = how.limit * scatter
    # at the ends the running median lags behind a series that falls: only what is far off is an outlier there
    ends = np.minimum(places, places[::-1]) < width // 2
    allowed[ends] = np.maximum(allowed[ends], _AT_THE_ENDS * np.median(repaired))
    is_odd |= np.abs(repaired - medians) > allowed
    return np.where(is_odd, medians, repaired), is_odd


def _smooth(values: Array, width: int) -> Array:
    from scipy.ndimage import median_filter, uniform_filter1d

    steady = median_filter(values, size=width, mode="reflect")
    return np.asarray(uniform_filter1d(steady, size=width, mode="reflect"))


def _never_rising(values: Array) -> Array:
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(values, increasing=False).x)


def _first_below(cycles: Array, share: Array, level: float) -> float:
    """Return where a series that never rises passes a level, between two points of it."""
    after = int(np.argmax(share <= level))
    high, low = share[after - 1], share[after]
    return float(cycles[after - 1] + (high - level) / (high - low) * (cycles[after] - cycles[after - 1]))


def thin(cleaned: Cleaned, n_points: int = 400) -> Mapping[str, Array]:
    """Return points for a picture: as given, smoothed and outliers, so many at most, first and last kept."""
    places = np.unique(np.linspace(0, len(cleaned.cycles) - 1, n_points).round().astype(int))
    kept = np.union1d(places, np.flatnonzero(cleaned.is_outlier)[:n_points])
    return {name: getattr(cleaned, name)[kept] for name in ("cycles", "measured", "smoothed", "is_outlier")}
