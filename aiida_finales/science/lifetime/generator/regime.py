"""How unsure an answer is about a cell that is so far from those that were learned from.

**Intervals** are those of each regime: the errors that the same learners made on cells that were left out so that they
were in that regime (conformal prediction). Where whole laboratories or chemistries were left out, each counts once,
however many cells it has, and the few that there are widen the interval further. Where cells or protocols were left
out, those of cells of the same kind count most: equal cells of one kind differ more than those of another, or follow a
new protocol better, and the kind with the most cells or protocols would else speak for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import AgeingCell
from aiida_finales.science.lifetime.generator.domain import REGIMES, SAME, Place
from aiida_finales.science.lifetime.generator.learners import PERCENTS

#: per cent from which on figures are taken: above, the cycle is that of a cell which has hardly settled
JUDGED_FROM = 97
#: share of the cells left out within whose distance from the nearest known one an interval is as wide as theirs
_MOST = 0.8
#: regimes whose errors are those of a few groups: each group counts once
GROUPED = ("new_cell", "new_chemistry")
#: regime of a protocol that is known: each cell of a kind counts once
KNOWN_PROTOCOL = "known_protocol"
#: regimes whose errors are first of all those of cells of the same kind, and as how many groups all others count there
BY_KIND, _OTHERS = ("known_family", "new_protocol"), 5


@dataclass(frozen=True)
class LeftOut:
    """A cell that was predicted without it.

    :param regime: in which it then was.
    :param group: of which so many count as one: the cell, its laboratory or its chemistry.
    :param logs: true logarithms of the cycle, shape ``(40,)``.
    :param found: what each learner said, shape ``(k, 40)``.
    :param name: of the cell; :param protocol: by which it was cycled; :param kind: see :func:`name_kind`.
    :param distance: from the nearest cell that was known, as :class:`Place` has it; 0 where nobody looked.
    """

    regime: str
    group: str
    dataset: str
    logs: Array
    found: Array
    name: str = ""
    protocol: str = ""
    kind: str = ""
    distance: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """How wrong answers of one regime were on cells left out.

    :param errors: true minus predicted logarithm of the cycle, increasing; shape ``(m,)``.
    :param weights: of each, sum 1.
    :param n_groups: how many count.
    :param reach: distance from the nearest known cell within which most of them were.
    """

    errors: Array
    weights: Array
    n_groups: int
    reach: float = math.inf

    @classmethod
    def of_cells(cls, left_out: Sequence[LeftOut], shares: Array) -> Calibration:
        """Return the calibration of cells that were left out.

        :param shares: of each learner in the answer.
        """
        sizes: dict[str, int] = {}
        for item in left_out:
            sizes[item.group] = sizes.get(item.group, 0) + 1
        errors, weights = [], []
        for item in left_out:
            error = item.logs - hold(shares @ item.found)
            known = np.isfinite(error)
            errors.append(error[known])
            weights.append(np.full(known.sum(), 1.0 / (max(known.sum(), 1) * sizes[item.group])))
        order = np.argsort(np.concatenate(errors), kind="stable")
        weight = np.concatenate(weights)[order]
        reach = float(np.quantile([item.distance for item in left_out], _MOST))
        return cls(
            np.concatenate(errors)[order], weight / weight.sum(), len(sizes), reach if reach > SAME else math.inf
        )

    def join(self, others: Calibration) -> Calibration:
        """Return the calibration of one kind of cells, of which few groups may tell: others count as five more."""
        errors = np.concatenate([self.errors, others.errors])
        weights = np.concatenate([self.weights * self.n_groups, others.weights * _OTHERS])
        order = np.argsort(errors, kind="stable")
        return Calibration(errors[order], weights[order] / weights.sum(), self.n_groups + _OTHERS)

    def bounds(self, coverage: float) -> tuple[float, float]:
        """Return what is added to the logarithm for the lower and upper end of the interval.

        As many errors are allowed on either side; the rank is that of a finite sample. Groups so few that none of them
        may be beyond an end (fewer than nine for 80 %) tell no rank: the interval is then at least that of Student for
        one more group, from the root mean square of their errors. So few that all of them together may not be beyond
        give the largest error, half as much again.
        """
        wanted = coverage * (self.n_groups + 1) / self.n_groups
        # an answer is never surer at its lower end than at itself
        sides = (1 - min(wanted, 1.0)) / 2, (1 + min(wanted, 1.0)) / 2
        low, high = (float(np.interp(side, np.cumsum(self.weights) - self.weights / 2, self.errors)) for side in sides)
        stretch = 1.5 if wanted > 1 else 1.0
        least = self._least(coverage) if self.n_groups < 2 / (1 - coverage) - 1 else 0.0
        return min(stretch * low, -least), max(stretch * high, least)

    def _least(self, coverage: float) -> float:
        from scipy.special import stdtrit

        spread = math.sqrt(float(self.weights @ self.errors**2) * (1 + 1 / self.n_groups))
        return spread * float(stdtrit(self.n_groups, (1 + coverage) / 2))

    def stretch(self, distance: float) -> float:
        """Return how much wider an interval is for a cell so far from the nearest known one.

        Up to where most were it is none; beyond, its square grows as the distance, as that of a walk at random does.
        """
        return math.sqrt(max(1.0, distance / self.reach))

    def factor(self, coverage: float) -> float:
        """Return by what the answer is multiplied and divided for an interval, in the mean of both."""
        low, high = self.bounds(coverage)
        return math.exp((high - low) / 2)


def calibrate_kinds(left_out: Sequence[LeftOut], shares: Array) -> dict[str, Calibration]:
    """Return how wrong answers were on each kind of cells."""
    return {
        kind: Calibration.of_cells([item for item in left_out if item.kind == kind], shares)
        for kind in sorted({item.kind for item in left_out})
    }


def find_calibration(calibrations: Mapping[str, Calibration], regime: str, kind: str) -> Calibration:
    """Return how wrong answers of a regime were, first of all those on cells of one kind.

    :param calibrations: by regime, and by regime and kind (:func:`name_calibration`).
    """
    own = calibrations.get(name_calibration(regime, kind))
    return calibrations[regime] if own is None else own.join(calibrations[regime])


def find_bounds(
    calibrations: Mapping[str, Calibration],
    place: Place | LeftOut,
    kind: str,
    coverage: float,
    width: str | None = None,
) -> tuple[float, float]:
    """Return what is added to the logarithm for the ends of an interval.

    It grows with the distance from the nearest known cell, up to that of the next wider regime.

    :param width: regime whose interval it has at least; that of the place itself when ``None``.
    """
    widest = max(REGIMES.index(place.regime), REGIMES.index(width or place.regime))
    ends = [_find_ends(calibrations, name, kind, coverage) for name in {place.regime, REGIMES[widest]}]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    stretch = calibrations[place.regime].stretch(place.distance)
    if widest + 1 == len(REGIMES):
        return stretch * low, stretch * high
    least, most = _find_ends(calibrations, REGIMES[widest + 1], kind, coverage)
    return max(stretch * low, min(low, least)), min(stretch * high, max(high, most))


def _find_ends(calibrations: Mapping[str, Calibration], regime: str, kind: str, coverage: float) -> tuple[float, float]:
    """Return the bounds of a regime; where few groups tell them, never narrower than those of nearer regimes."""
    nearer = REGIMES[REGIMES.index(BY_KIND[-1]) : REGIMES.index(regime)] if regime in GROUPED else ()
    ends = [find_calibration(calibrations, name, kind).bounds(coverage) for name in (*nearer, regime)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def name_calibration(regime: str, kind: str) -> str:
    """Return what the errors of one kind of cells in a regime are called."""
    return f"{regime}: {kind}"


def is_judged(cell: AgeingCell) -> bool:
    """Return whether a cell got so far that figures are taken of it."""
    return min(cell.crossings, default=PERCENTS[0]) <= JUDGED_FROM


def hold(logs: Array) -> Array:
    """Return curves that never fall with the state of health falling, along the last axis."""
    return np.asarray(np.maximum.accumulate(logs, axis=-1))


def measure(left_out: Sequence[LeftOut], shares: Array) -> dict[str, float]:
    """Return how wrong answers were: cells weigh the same; mean and median over cells, %, and the window's error.

    A figure that no cell tells of, because none got so far, is left out: of none, ``n_cells`` alone is left.

    :param shares: of each learner in the answer.
    """
    rows, soh = [], []
    for item in left_out:
        found = hold(shares @ item.found)
        logs = np.where(PERCENTS > JUDGED_FROM, math.nan, item.logs)
        if not np.isfinite(logs).any():
            continue
        rows.append(100 * np.abs(np.expm1(found - logs)))
        soh.append(_window_error(found, logs))
    if not rows:
        return {"n_cells": 0.0}
    shares_wrong = np.array(rows)
    of_cell = np.nanmean(shares_wrong, axis=1)
    reached = {percent: shares_wrong[:, PERCENTS[0] - percent] for percent in (90, 85, 80)}
    at = {f"mape_at_{percent}": float(np.nanmean(wrong)) for percent, wrong in reached.items()
          if np.isfinite(wrong).any()}  # fmt: skip
    return {
        "n_cells": float(len(rows)),
        "mape": float(of_cell.mean()),
        "median": float(np.median(of_cell)),
        **at,
        "window_rmse": float(np.mean(soh)),
    }


def _window_error(found: Array, logs: Array) -> float:
    """Return the root mean square of the state of health from the first cycle to the last known one, % of 20 points."""
    known = np.isfinite(logs)
    true, said = np.exp(logs[known]), np.exp(found) + 1e-6 * np.arange(len(found))
    cycles = np.linspace(0.0, true[-1], 100)
    measured = np.interp(cycles, np.r_[0.0, true], np.r_[100.0, PERCENTS[known]])
    predicted = np.interp(cycles, np.r_[0.0, said], np.r_[100.0, PERCENTS])
    return float(100 / 20 * np.sqrt(np.mean((predicted - measured) ** 2)))
