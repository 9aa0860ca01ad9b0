"""What a model of the lifetime was trained on, and how far from it a cell is: the same for every method.

A model keeps the features of the cells that it learned from. A cell that is asked about is then

* **refused** where a feature lies further than :data:`LIMIT` standard deviations outside of what was learned from: a
  slip in a unit, or another kind of cell. Slips that are often made are named.
* **held** where it lies outside by less: the method sees the nearest value that was learned from, because nobody knows
  how it goes on from there.
* **as unsure as can be** where a feature that came with it is outside: as with the least telling of the known values.
* **widened** by its distance from the nearest known cell: beyond the distance that known cells typically have from each
  other, each such distance adds one more standard deviation.

So a feature that moves away from what was learned never makes an answer surer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.features import CURVE_FEATURES

#: Standard deviations beyond the least and the largest value that was learned from.
LIMIT = 4.0
#: Decadic logarithm of the capacity in Ah at the begin: cells of another size are other cells.
SIZE = "log10_capacity"
#: Its least standard deviation: with the limit above, cells up to 2.5 times as large or small pass.
_SIZE_SD = 0.1
#: Least standard deviation of a feature over its largest value, for what was equal in all cells.
_LEAST_SD = 1e-3
#: Least typical distance between cells, in standard deviations: with few features, some are close by chance.
_LEAST_SPACING = 0.2
#: Known values of each feature that are tried where one, two, or more features are outside.
_N_VARIANTS = (17, 7, 3)


@dataclass(frozen=True)
class Seen:
    """The first cycles of a cell as a method of prediction sees them.

    :param relative: capacities over the reference, single outliers replaced.
    :param features: as given, by name.
    :param reference: what the capacities are relative to, Ah.
    """

    relative: Array
    features: Mapping[str, float]
    reference: float = 1.0

    def describe(self, names: Sequence[str], n_window: int) -> Array:
        """Return features by name, shape ``(d,)``; those of the curve follow from its first cycles."""
        return np.array([self._value(name, self.relative[:n_window]) for name in names], dtype=np.float64)

    def _value(self, name: str, curve: Array) -> float:
        if name == SIZE:
            return math.log10(self.reference * float(curve[0]))
        return CURVE_FEATURES[name](curve) if name in CURVE_FEATURES else self.features[name]


@dataclass(frozen=True)
class Domain:
    """The cells that a model was trained on.

    :param names: of their features; first those that the method reads.
    :param n_read: how many these are.
    :param points: of the cells, shape ``(n, d)``.
    :param n_window: cycles that features of the curve follow from.
    """

    names: tuple[str, ...]
    n_read: int
    points: Array
    n_window: int

    @classmethod
    def of_cells(cls, cells: Sequence[Seen], reads: Sequence[str], n_window: int) -> Domain:
        """Return the domain of some cells.

        :param reads: features that the method reads.
        """
        names = (*reads, *(name for name in (*CURVE_FEATURES, SIZE) if name not in reads))
        return cls(names, len(reads), np.array([cell.describe(names, n_window) for cell in cells]), n_window)

    @cached_property
    def low(self) -> Array:
        """Least value of each feature, shape ``(d,)``."""
        return np.asarray(self.points.min(axis=0))

    @cached_property
    def high(self) -> Array:
        """Largest value of each feature, shape ``(d,)``."""
        return np.asarray(self.points.max(axis=0))

    @cached_property
    def scale(self) -> Array:
        """Standard deviation of each feature, never 0, shape ``(d,)``."""
        least = _LEAST_SD * np.maximum(np.abs(self.points).max(axis=0), 1e-6)
        least = np.where(np.array(self.names) == SIZE, _SIZE_SD, least)
        return np.asarray(np.maximum(self.points.std(axis=0), least))

    @cached_property
    def spacing(self) -> float:
        """Typical distance of a known cell from the nearest other one, in standard deviations per feature."""
        known = self._standard(self.points)
        apart = self._distances(known, known)
        np.fill_diagonal(apart, np.inf)
        return max(float(np.median(apart.min(axis=1))), _LEAST_SPACING) if len(known) > 1 else 1.0

    def hold(self, values: Array) -> Array:
        """Return what a method reads, shape ``(..., n_read)``, at the nearest values that were learned from."""
        return np.asarray(np.clip(values, self.low[: values.shape[-1]], self.high[: values.shape[-1]]))

    def widening(self, cell: Seen) -> float:
        """Return the factor on the standard deviations of what is said about a cell, 1 or more."""
        point = cell.describe(self.names[: self.n_read], self.n_window)[None]
        nearest = float(self._distances(self._standard(point), self._standard(self.points)).min())
        return max(nearest / self.spacing, 1.0)

    def outside(self, cell: Seen) -> dict[str, float]:
        """Return by how many standard deviations given features are outside of what was learned from, by name."""
        values = cell.describe(self.names[: self.n_read], self.n_window)
        held = self.hold(values)
        away = np.abs(values - held) / self.scale[: self.n_read]
        return {
            name: float(far) for name, far in zip(self.names, away, strict=False) if far > 0 and name in cell.features
        }

    def vary(self, cell: Seen, names: Sequence[str]) -> list[Seen]:
        """Return the cell with all combinations of some known values of given features."""
        places = [self.names.index(name) for name in names]
        n_values = _N_VARIANTS[min(len(names), len(_N_VARIANTS)) - 1]
        ranges = [np.linspace(self.low[place], self.high[place], n_values).tolist() for place in places]
        return [
            replace(cell, features={**cell.features, **dict(zip(names, values, strict=True))})
            for values in itertools.product(*ranges)
        ]

    def check(self, cell: Seen) -> None:
        """Refuse a cell that is unlike those learned from.

        :raises InputError: naming each feature, what was learned from, and the slip that would explain it.
        """
        self._demand_inside(range(len(self.names)), cell.describe(self.names, self.n_window))

    def check_size(self, cell: Seen, *, takes_any: bool) -> None:
        """Refuse a cell of another size, whatever became of it.

        :param takes_any: whether only that is refused which another unit explains.
        :raises InputError: naming the size, that of the cells learned from, and the slip that would explain it.
        """
        number = self.names.index(SIZE)
        if takes_any and not self._find_slip(number, float(cell.describe([SIZE], self.n_window)[0])):
            return
        self._demand_inside([number], cell.describe([SIZE], self.n_window))

    def _demand_inside(self, places: Sequence[int], values: Array) -> None:
        low, high, scale = (limits[list(places)] for limits in (self.low, self.high, self.scale))
        outside = np.maximum(low - values, values - high) / scale
        far = [number for number in np.argsort(-outside) if outside[number] > LIMIT]
        if far:
            raise InputError("; ".join(self._explain(places[number], float(values[number])) for number in far[:3]))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what a model's header and arrays say about its domain."""
        text = {"names": list(self.names), "n_read": self.n_read, "n_window": self.n_window}
        return {"domain": text}, {"domain": self.points}

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Domain:
        """Return the domain that :meth:`to_parts` described."""
        text = header["domain"]
        return cls(tuple(text["names"]), text["n_read"], arrays["domain"], text["n_window"])

    def ranges(self) -> dict[str, list[float]]:
        """Return least and largest value of each feature among the known cells, by name."""
        return {
            name: [float(low), float(high)] for name, low, high in zip(self.names, self.low, self.high, strict=True)
        }

    def _explain(self, number: int, value: float) -> str:
        name, low, high = self.names[number], self.low[number], self.high[number]
        reach = LIMIT * self.scale[number]
        numbers = [value, low - reach, high + reach, low, high]
        subject, unit = ("the capacity at the begin", " Ah") if name == SIZE else (name, "")
        told = [f"{10**item if name == SIZE else item:.4g}{unit}" for item in numbers]
        text = (
            f"{subject} is {told[0]}, accepted is {told[1]} to {told[2]}: the cells that the model learned from have "
            f"{told[3]} to {told[4]}"
        )
        slip = self._find_slip(number, value)
        return text + (f"; this looks like {slip}" if slip else "")

    def _find_slip(self, number: int, value: float) -> str:
        """Return what a feature may have been given as, so that it is one learned from; empty when nothing fits."""
        low, high, margin = self.low[number], self.high[number], self.scale[number]
        slips = _slips(self.names[number], value)
        return next((words for words, meant in slips if low - margin <= meant <= high + margin), "")

    def _standard(self, points: Array) -> Array:
        return np.asarray(points[:, : self.n_read] / self.scale[: self.n_read])

    @staticmethod
    def _distances(first: Array, second: Array) -> Array:
        """Return root mean squares over the features, shape ``(m, n)``."""
        return np.asarray(np.sqrt(((first[:, None] - second[None]) ** 2).mean(axis=-1)))


_LN10 = math.log(10.0)
#: by the base of a logarithm: its words, the logarithm, the words of the other base, and what turns that into this
_BASES: dict[str, tuple[str, Callable[[float], float], str, float]] = {
    "log10": ("decadic", math.log10, "natural", 1 / _LN10),
    "ln": ("natural", math.log, "decadic", _LN10),
}
#: kinds of numbers that are logarithms, by name: base, power of the capacity
_LOGARITHMS = {"capacity_vector_variance": ("ln", 2)}


#: the same of the size: what may have been given instead of Ah, and how many of these are one
_OF_SIZE = {
    "mAh: divide by 1000": 1e3,
    "C: divide by 3600": 3.6e3,
    "per cent: give Ah": 100.0,
    "mAh that were divided by 1000 twice": 1e-3,
}


def _slips(name: str, value: float) -> Iterator[tuple[str, float]]:
    """Yield what may have been given instead of a feature, and the feature that it would then be."""
    if name == SIZE:
        yield from ((words, value - math.log10(number)) for words, number in _OF_SIZE.items())
        return
    base, power = _LOGARITHMS.get(name, ("log10" if name.startswith("log10") else "", 2 if "var" in name else 1))
    if not base:
        yield "milli-units (mV, mAh): divide by 1000", value / 1e3
        yield "per cent: divide by 100", value / 100
        yield "a number with the wrong sign", -value
        yield "a number that was divided by 1000 already", value * 1e3
        return
    kind, log, other, factor = _BASES[base]
    if value > 0:
        yield f"the number itself: give its {kind} logarithm, {log(value):.4g}", log(value)
    yield f"a {other} logarithm: give the {kind} one, {value * factor:.4g}", value * factor
    for words, sign in (("mAh instead of Ah", -1), ("Ah instead of mAh", 1)):
        meant = value + sign * power * log(1e3)
        yield f"capacities in {words}: {meant:.4g} would then be right", meant
        if value > 0:
            yield f"a number from {words}, not its {kind} logarithm", log(value) + sign * power * log(1e3)
    yield "a number with the wrong sign", -value
