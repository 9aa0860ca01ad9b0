"""What first cycles show already: shares of the capacity that are lost are seen, all others lie beyond the last cycle.

A model of the fade reads the begin of a series. What came after, and what the series itself says of its end, bounds the
answer: a cell that still has 90 % at cycle 400 does not get there at 300.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.words import count
from aiida_finales.science.ageing.cleaning import LEAST_POINTS, Cleaned, clean_series, find_formation
from aiida_finales.science.array import Array


@dataclass(frozen=True)
class FirstCycles:
    """The first cycles of a cell.

    :param cycles: increasing; :param capacities: Ah, above 0.
    :param notes: what was left out, in words.
    """

    cycles: Array
    capacities: Array
    notes: tuple[str, ...] = ()

    def see(self) -> Seen | None:
        """Return what they show; ``None`` of cycles too few to be smoothed."""
        return None if len(self.cycles) < LEAST_POINTS else Seen(clean_series(self.cycles, self.capacities))


def read_first_cycles(given: Mapping[str, Any]) -> FirstCycles:
    """Return first cycles in their order, without those that have no capacity.

    :param given: ``cycle`` and ``capacity`` (Ah).
    :raises InputError: when they are uneven, one is there twice, none has a capacity, or they begin with formation.
    """
    cycles, capacities = (np.asarray(given[key], dtype=np.float64) for key in ("cycle", "capacity"))
    if len(cycles) != len(capacities):
        raise InputError(f"{len(cycles)} cycles and {len(capacities)} capacities were given, accepted is one for each")
    order = np.argsort(cycles, kind="stable")
    cycles, capacities = cycles[order], capacities[order]
    twice = cycles[1:][np.diff(cycles) == 0]
    if len(twice):
        raise InputError(f"cycle {twice[0]:g} is given twice, accepted is one capacity per cycle, numbered on")
    usable = np.isfinite(capacities) & (capacities > 0)
    if len(cycles) and not usable.any():
        raise InputError(f"none of {len(cycles)} first cycles has a capacity above 0, accepted are those of discharges")
    if n_formation := find_formation(capacities[usable]):
        raise InputError(
            f"the capacities of the first {n_formation} cycles lie above all that follow and then step down, as those "
            "of formation do; accepted are cycles after it: leave those out, and number the others from 1"
        )
    n_lost = int((~usable).sum())
    notes = (f"left out as they have no capacity: {count(n_lost, 'cycle')}",) if n_lost else ()
    return FirstCycles(cycles[usable], capacities[usable], notes)


@dataclass(frozen=True)
class Seen:
    """What the first cycles of a cell show."""

    series: Cleaned

    def say(self) -> str:
        """Return in words how far the cell has fallen; nothing where it has not."""
        found = self.series.crossings
        told = [f"{share} % at cycle {found[share]:.4g}" for share in (97, 95, 90, 85, 80, 75, 70) if share in found]
        return f"the capacities given show {', '.join(told)}" if told else ""

    def bound(
        self, shares: Array, answer: tuple[Array, float, float], coverage: float
    ) -> tuple[tuple[Array, Array, Array], float, tuple[str, ...]]:
        """Return the logarithms of the answer and both its ends, by how much the cell has outlived it, and reasons.

        A share that is lost is where it was lost. Of the others the answer is that of the cells that got so far: what
        is left of its distribution (normal to either side) beyond the last cycle. A cell that has outlived the answer
        is as unsure, at least, as it has outlived it.

        :param answer: logarithms, and what is added to them for the lower and upper end.
        :param coverage: of these ends.
        """
        last = math.log(self.series.cycles[-1])
        crossed = [self.series.find_crossing(float(share)) for share in shares]
        rows = [
            _go_on(float(middle), answer[1:], last, coverage) if cycle is None else (math.log(cycle),) * 3
            for middle, cycle in zip(answer[0], crossed, strict=True)
        ]
        outlived = max((last - middle for middle, cycle in zip(answer[0], crossed, strict=True) if cycle is None),
                       default=0.0)  # fmt: skip
        seen = ", ".join(f"{100 * share:g} %" for share, cycle in zip(shares, crossed, strict=True) if cycle)
        reasons = ((f"seen in the first cycles, not predicted: {seen}",) if seen else ()) + (
            (f"it has outlived the answer to its first cycles by {math.expm1(outlived):.0%}",) if outlived > 0 else ()
        )
        # of values that rise as the share falls, none is before one that is seen
        order = np.argsort(-shares, kind="stable")
        logs = np.array(rows)
        logs[order] = np.maximum.accumulate(logs[order], axis=0)
        return (logs[:, 0], logs[:, 1], logs[:, 2]), max(outlived, 0.0), reasons


def _go_on(middle: float, ends: Sequence[float], last: float, coverage: float) -> tuple[float, float, float]:
    """Return middle and both ends of an answer to a cell that got to a cycle without falling so far.

    :param last: logarithm of the cycle.
    """
    from scipy.special import ndtr, ndtri

    aside = float(ndtri((1 + coverage) / 2))
    below, above = max(-ends[0] / aside, 1e-9), max(ends[1] / aside, last - middle, 1e-9)
    gone = float(ndtr((last - middle) / (above if last > middle else below)))
    places = [float(ndtri(gone + part * (1 - gone))) for part in (0.5, (1 - coverage) / 2, (1 + coverage) / 2)]
    return tuple(middle + place * (above if place > 0 else below) for place in places)  # type: ignore[return-value]
