"""What the first hundred cycles of a cell say about how it goes on.

Numbers of the capacities alone; what the voltages add (the difference of the areas, the variance of the difference of
the discharge curves of cycle 100 and cycle 10) comes with a cell.
"""

from __future__ import annotations

import numpy as np

from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.features import clean

#: cycle from which differences are taken, as published
FIRST = 3
#: cycles that something is said from, the published one last
WINDOWS = (30, 60, 100)
#: what is needed: the first given may be so much later than FIRST, the last so much (in %) before the end, and how many
_SLACK, _SHORT, _LEAST = 10, 5, 6
#: how far beyond the window the next cycle may be to tell what was at its end, over the window
_BRACKET = 1.4
#: points of the curve between them
_N_GRID = 20
CAPACITY_NAMES = ("initial", "capacity_difference", "slope", "curvature")
#: what a model can read, the richest set first; each needs that all of it is there
FEATURE_SETS = {
    "variance": ("initial", "curvature", "log10_var_dQ"),
    "area": ("initial", "capacity_difference", "area_difference"),
    "capacity": CAPACITY_NAMES,
}


def describe_early(
    cycles: Array, capacities: Array, nominal: float, last: int = WINDOWS[-1]
) -> dict[str, float] | None:
    """Return numbers of the first cycles, relative to the nominal capacity; ``None`` where the series is too short.

    :param cycles: increasing; :param capacities: Ah of each.
    :param nominal: Ah.
    :param last: cycle up to which they are looked at.
    """
    short = last * _SHORT / 100
    seen = cycles <= last + short
    if len(cycles) and not seen.all() and cycles[seen.sum()] <= last * _BRACKET:
        # a table that is thinned out may have no cycle at the end of the window, but those on either side of it
        capacities = np.r_[capacities[seen], np.interp(last, cycles, capacities)]
        cycles = np.r_[cycles[seen], float(last)]
        order = np.argsort(cycles)
        cycles, capacities = cycles[order], capacities[order]
        seen = np.ones(len(cycles), dtype=np.bool_)
    cycles, capacities = cycles[seen], capacities[seen]
    if len(cycles) < _LEAST or cycles[0] > FIRST + _SLACK or cycles[-1] < last - short:
        return None
    grid = np.linspace(FIRST, last, _N_GRID)
    curve = np.interp(grid, cycles, _smooth(clean(capacities))) / nominal
    middle = (grid - grid.mean()) / (last - FIRST)
    settled = grid > 0.1 * last
    square, line, _ = np.polyfit(middle[settled], curve[settled], 2)
    return {
        "initial": float(curve[0]),
        "capacity_difference": float(curve[0] - curve[-1]),
        "slope": float(line),
        "curvature": float(square),
    }


def _smooth(capacities: Array) -> Array:
    """Return running means over as many cycles as there are for a point of the curve; so few are left as they are."""
    width = max(len(capacities) // _N_GRID // 2 * 2 + 1, 1)
    padded = np.pad(capacities, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")
