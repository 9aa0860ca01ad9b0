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
    begin, after = cycles[seen], cycles[~seen]
    if len(begin) and begin[-1] < last - short and len(after) and after[0] <= last * _BRACKET:
        # a table that is thinned out may have no cycle at the end of the window, but those on either side of it
        cycles, capacities = np.r_[begin, float(last)], np.r_[capacities[seen], np.interp(last, cycles, capacities)]
    else:
        cycles, capacities = begin, capacities[seen]
    if len(cycles) < _LEAST or cycles[0] > FIRST + _SLACK or cycles[-1] < last - short:
        return None
    grid = np.linspace(FIRST, last, _N_GRID)
    values = clean(capacities) / nominal
    curve = np.interp(grid, cycles, values)
    # of all cycles there are, or of as many points between the few
    at, shape = (cycles, values) if len(cycles) > _N_GRID else (grid, curve)
    settled = at > 0.1 * last
    square, line, _ = np.polyfit((at[settled] - grid.mean()) / (last - FIRST), shape[settled], 2)
    return {
        "initial": float(curve[0]),
        "capacity_difference": float(curve[0] - curve[-1]),
        "slope": float(line),
        "curvature": float(square),
    }
