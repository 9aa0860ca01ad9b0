"""A part of a region: ranges, fixed fractions and linear constraints that a campaign sets by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from math import isfinite

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.objective import require
from aiida_finales.schemas.limitations.region import Region

#: mole fraction that counts as having a component: some 0.01 mol/kg of a salt, well above what stays in tubes (1e-4)
LEAST = 1e-3


@dataclass(frozen=True)
class Constraint:
    """A sum of multiples of mole fractions that stays within limits: ``low <= sum factor * fraction <= high``.

    :param factors: by name of the component; the others do not count.
    """

    factors: Mapping[str, float]
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuse what limits nothing."""
        numbers = [*self.factors.values(), *(end for end in (self.low, self.high) if end is not None)]
        require("factors of a constraint", dict(self.factors), any(self.factors.values()), "at least one that is not 0")
        require("numbers of a constraint", numbers, all(map(isfinite, numbers)), "finite numbers")
        ends = (self.low, self.high)
        is_limit = ends != (None, None) and (self.low is None or self.high is None or self.low <= self.high)
        require("limits of a constraint", ends, is_limit, "at least one number, the lower one first")


def narrow(
    region: Region,
    ranges: Mapping[str, float | tuple[float | None, float | None]],
    constraints: Sequence[Constraint] = (),
) -> Region:
    """Return the part of a region within ranges and constraints.

    :param ranges: mole fraction of a component, or its lower and upper limit (``None``: the region's), by name. A
        component that the region does not name is absent from it, so its range must include 0.
    :raises InputError: when a range is none, or nothing is left.
    """
    lower, upper = region.lower.copy(), region.upper.copy()
    for name, given in ranges.items():
        low, high = _read_range(name, given)
        if name not in region.names:
            if low > 0:
                raise InputError(
                    f"{name} must be at least {low:g}, but a region of {list(region.names)} has none of it"
                )
            continue
        k = region.names.index(name)
        lower[k], upper[k] = max(lower[k], low), min(upper[k], high)
    rows, bounds = _read_constraints(region, constraints)
    matrix = np.vstack([region.matrix, np.array(rows).reshape(-1, len(region.names))])
    found = Region(region.names, lower, upper, matrix, np.concatenate([region.bound, bounds]))
    if found.is_empty():
        asked = {**ranges, **{f"constraint {k}": item for k, item in enumerate(constraints)}}
        raise InputError(f"nothing of a region of {list(region.names)} is within {asked}")
    return found


def split(region: Region, one_of: Mapping[str, Sequence[str]]) -> Iterator[Region]:
    """Yield the parts of a region that have one component of each group, as much as counts, and no other of it.

    :param one_of: components by what they are.
    """
    if not one_of:
        yield region
    for chosen in product(*one_of.values()) if one_of else ():
        others = [name for group in one_of.values() for name in group if name not in chosen]
        with suppress(InputError):  # it has none of these, or cannot do without one of the others
            yield narrow(region, {**dict.fromkeys(others, 0.0), **dict.fromkeys(chosen, (LEAST, None))})


def _read_range(name: str, given: float | tuple[float | None, float | None]) -> tuple[float, float]:
    """Return the limits of a range."""
    low, high = (given, given) if isinstance(given, int | float) else given
    limits = 0.0 if low is None else float(low), 1.0 if high is None else float(high)
    require(f"range of {name}", given, 0 <= limits[0] <= limits[1] <= 1, "mole fractions, the lower one first")
    return limits


def _read_constraints(region: Region, constraints: Sequence[Constraint]) -> tuple[list[list[float]], list[float]]:
    """Return constraints as rows and bounds, ``rows @ x <= bounds``."""
    rows, bounds = [], []
    for item in constraints:
        row = [float(item.factors.get(name, 0.0)) for name in region.names]
        for sign, end in ((1.0, item.high), (-1.0, item.low)):
            if end is not None:
                rows.append([sign * factor for factor in row])
                bounds.append(sign * end)
    return rows, bounds
