"""The capacities of a cell over its cycles, and what is learned of them: where it fell, and its first cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aiida_finales.science.ageing.cleaning import LEAST_POINTS, PERCENTS, Settings, clean_series
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import AgeingCell
from aiida_finales.science.lifetime.generator.early import WINDOWS, describe_early


@dataclass(frozen=True)
class Series:
    """The capacities of a cell.

    :param cycles: increasing; shape ``(n,)`` as all that follow.
    :param measured: Ah; :param smoothed: Ah, ``None`` where nobody smoothed them.
    """

    cycles: Array
    measured: Array
    smoothed: Array | None = None

    @property
    def best(self) -> Array:
        """The capacities that somebody smoothed, else those measured."""
        return self.measured if self.smoothed is None else self.smoothed

    def find_crossings(self, reference: float | None = None) -> dict[int, float]:
        """Return the cycle at each per cent; a series that somebody smoothed is not smoothed again.

        :param reference: Ah; ``None``: it is found in the series.
        :raises InputError: when a cycle is there twice, or no capacity is above 0.
        """
        if len(self.cycles) < LEAST_POINTS:
            return {}
        if self.smoothed is None:
            how = Settings(reference=reference)
        else:
            how = Settings(limit=math.inf, window=1, reference=reference)
        found = clean_series(self.cycles, self.best, how).crossings
        return {key: cycle for key, cycle in found.items() if key in PERCENTS}

    def find_end(self, limit: float) -> float:
        """Return the cycle from which on smoothed capacities stay below a limit (Ah); infinity where there is none."""
        values = self.best
        if self.smoothed is None and len(self.cycles) >= LEAST_POINTS:
            values = clean_series(self.cycles, self.measured, Settings(formation=0)).smoothed
        enough = np.flatnonzero(values >= limit)
        if not len(enough) or enough[-1] == len(values) - 1:
            return math.inf
        pair = slice(enough[-1], enough[-1] + 2)
        return float(np.interp(-limit, -values[pair], self.cycles[pair]))

    def describe_begin(self, nominal: float) -> dict[str, dict[str, float]]:
        """Return the numbers of the first cycles by the last of these.

        :param nominal: capacity, Ah.
        """
        seen = {str(last): describe_early(self.cycles, self.best, nominal, last) for last in WINDOWS}
        return {last: early for last, early in seen.items() if early}


def make_series(cycles: Sequence[float], capacities: Sequence[float]) -> Series:
    """Return the series of a cell as it was measured.

    :param cycles: numbers; :param capacities: Ah of the discharge of each.
    """
    return Series(np.asarray(cycles, dtype=np.float64), np.asarray(capacities, dtype=np.float64))


def read_series(cycles: Sequence[float], capacities: Sequence[float], cell: AgeingCell) -> AgeingCell:
    """Return a cell with what its series says: no crossings where it is too short, or never fell.

    :param cycles: numbers; :param capacities: Ah of the discharge of each, as measured.
    """
    series = make_series(cycles, capacities)
    crossings = series.find_crossings()
    return replace(cell, crossings=crossings, early=series.describe_begin(cell.design.nominal_capacity))
