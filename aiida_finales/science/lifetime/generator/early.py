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
    cycles, capacities = cycles[seen], capacities[seen]
    if len(cycles) < _LEAST or cycles[0] > FIRST + _SLACK or cycles[-1] < last - short:
        return None
    grid = np.linspace(FIRST, last, _N_GRID)
    curve = np.interp(grid, cycles, clean(capacities)) / nominal
    middle = (grid - grid.mean()) / (last - FIRST)
    settled = grid > 0.1 * last
    square, line, _ = np.polyfit(middle[settled], curve[settled], 2)
    return {
        "initial": float(curve[0]),
        "capacity_difference": float(curve[-1] - curve[0]),
        "slope": float(line),
        "curvature": float(square),
    }
