"""From a composition to volumes of stock solutions, and what a set of stock solutions can reach.

With the total molarity n_j of stock j and its mole fractions as columns of Y, a mixture with weights w (moles from
each stock over all moles) has the mole fractions Y w: linear in w. So a mixture is found, or found to be impossible, by
non-negative least squares; the volumes follow as w_j / n_j. That the weights sum to 1 need not be asked for: the
columns of Y and the target do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError, LimitationError
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.composition import Fractions, check_fractions, describe

if TYPE_CHECKING:
    from aiida_finales.schemas.limitations.region import Region
from aiida_finales.exceptions import FitError

#: Relative to the size of the problem: below it a gradient, or a share, is rounding noise.
_ZERO = 1e-14


#: Distance in mole fraction below which a target counts as reached: a hundredth of what the finest dosing step (1 µL of
#: 4.2 mL, 8e-5) changes.
REACHED = 1e-6


@dataclass(frozen=True)
class StockSolution:
    """A solution in a bottle.

    :param molarities: mol/L by InChIKey.
    :param density: g/mL.
    """

    name: str
    molarities: Fractions
    density: float

    @property
    def fractions(self) -> dict[str, float]:
        """Mole fractions by InChIKey."""
        total = sum(self.molarities.values())
        return {key: value / total for key, value in self.molarities.items()}


@dataclass(frozen=True)
class Mixture:
    """What to dose, and what it gives.

    :param volumes: mL by name of the stock solution, rounded to the dosing resolution.
    :param fractions: mole fractions achieved by these volumes.
    :param deviation: Euclidean distance between the achieved and the asked mole fractions.
    """

    volumes: dict[str, float]
    fractions: dict[str, float]
    deviation: float


def component_names(stocks: Sequence[StockSolution]) -> tuple[str, ...]:
    """Return the InChIKeys of everything in the stock solutions, in order of first appearance."""
    return tuple(dict.fromkeys(key for stock in stocks for key in stock.molarities))


def molarity_matrix(stocks: Sequence[StockSolution]) -> Array:
    """Return mol/L with one row per component and one column per stock solution."""
    names = component_names(stocks)
    return np.array([[stock.molarities.get(key, 0.0) for stock in stocks] for key in names])


def reachable_region(stocks: Sequence[StockSolution]) -> Region:
    """Return all compositions that can be mixed from the stock solutions: the convex hull of theirs."""
    from aiida_finales.schemas.limitations.region import Region

    matrix = molarity_matrix(stocks)
    return Region.from_hull(component_names(stocks), (matrix / matrix.sum(axis=0)).T)


def solve_volumes(
    target: Fractions, stocks: Sequence[StockSolution], total_volume: float, resolution: float = 0.0
) -> Mixture:
    """Return the volumes whose mixture comes closest to a composition.

    Volumes are taken as additive. With more stock solutions than components the answer is not unique; the one found
    uses no more stock solutions than there are components.

    :param target: mole fractions by InChIKey, sum 1.
    :param total_volume: mL to prepare, positive.
    :param resolution: smallest step of the dosing, mL, at most a tenth of the volume; 0 for no rounding.
    :raises LimitationError: when the stock solutions cannot reach the target; carries the nearest mole fractions.
    :raises InputError: when the target is not a mixture or the volumes make no sense.
    """
    check_fractions(target)
    if not (0 < total_volume < float("inf") and 0 <= resolution <= total_volume / 10):
        raise InputError(
            f"total volume {total_volume} mL with a resolution of {resolution} mL: accepted are a positive volume and "
            "a resolution from 0 to a tenth of it"
        )
    names = component_names(stocks)
    _refuse_foreign(target, names)
    goal = np.array([target.get(key, 0.0) for key in names])
    goal /= goal.sum()
    matrix = molarity_matrix(stocks)
    shares = _volume_shares(goal, matrix)
    if float(np.linalg.norm(_mix(shares, matrix) - goal)) > REACHED:
        raise _unreachable(target, goal, stocks)
    volumes = shares * total_volume
    if resolution > 0:
        volumes = np.round(np.round(volumes / resolution) * resolution, 9)
    achieved = _mix(volumes, matrix)
    return Mixture(
        {stock.name: float(volume) for stock, volume in zip(stocks, volumes, strict=True)},
        dict(zip(names, (float(value) for value in achieved), strict=True)),
        float(np.linalg.norm(achieved - goal)),
    )


def _refuse_foreign(target: Fractions, names: Sequence[str]) -> None:
    foreign = [chemical_label(key) for key, value in target.items() if value and key not in names]
    if foreign:
        raise LimitationError(
            f"no stock solution contains {', '.join(foreign)}; available are {', '.join(map(chemical_label, names))}"
        )


def _unreachable(target: Fractions, goal: Array, stocks: Sequence[StockSolution]) -> LimitationError:
    nearest = reachable_region(stocks).nearest(goal)
    if nearest is None:
        return LimitationError(f"{describe(target)} cannot be mixed from the stock solutions")
    best = {key: float(value) for key, value in zip(component_names(stocks), nearest, strict=True)}
    bottles = ", ".join(stock.name for stock in stocks)
    return LimitationError(
        f"{describe(target)} cannot be mixed from {bottles}; nearest is {describe(best, 6)}", {"fractions": best}
    )


def _volume_shares(goal: Array, matrix: Array) -> Array:
    """Return the volume fractions, one per stock solution, whose mixture is closest to ``goal``."""
    totals = matrix.sum(axis=0)
    weights = solve_non_negative(matrix / totals, goal)
    shares = weights / totals
    return np.asarray(shares / shares.sum())


def _mix(volumes: Array, matrix: Array) -> Array:
    """Return the mole fractions of a mixture of these volumes."""
    amounts = matrix @ volumes
    return np.asarray(amounts / amounts.sum())


def solve_non_negative(matrix: Array, target: Array) -> Array:
    """Return x >= 0 that minimises the Euclidean norm of ``matrix @ x - target``.

    C. L. Lawson and R. J. Hanson, Solving Least Squares Problems (1974), chapter 23, doi:10.1137/1.9781611971217. SciPy
    has it too, but importing ``scipy.optimize`` takes several times as long as everything else a driver does.

    :param matrix: shape m x n, n small.
    :param target: shape m.
    :raises FitError: when it does not converge within 10 n steps.
    """
    size = matrix.shape[1]
    active = np.zeros(size, dtype=bool)
    x = np.zeros(size)
    residual = target
    floor = _ZERO * max(matrix.shape) * float(np.linalg.norm(matrix)) * float(np.linalg.norm(target))
    for _ in range(10 * size):
        gradient = np.where(active, -np.inf, matrix.T @ residual)
        if gradient.max() <= floor:
            return x
        active[int(gradient.argmax())] = True
        trial = _solve_active(matrix, target, active, x)
        remaining = target - matrix @ trial
        if np.linalg.norm(remaining) >= np.linalg.norm(residual):  # the gradient was rounding noise after all
            return x
        x, residual = trial, remaining
    raise FitError(f"non-negative least squares did not converge for a {matrix.shape[0]} x {size} problem")


def _solve_active(matrix: Array, target: Array, active: npt.NDArray[np.bool_], x: Array) -> Array:
    """Return the best x on the active columns; columns that would turn negative are taken out of ``active``."""
    while True:
        trial = np.zeros_like(x)
        trial[active] = np.linalg.lstsq(matrix[:, active], target, rcond=None)[0]
        negative = active & (trial <= 0)
        if not negative.any():
            return trial
        step = (x[negative] / (x[negative] - trial[negative])).min()
        x = x + step * (trial - x)
        active[active & (x <= _ZERO)] = False
