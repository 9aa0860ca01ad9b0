"""How good predictions of lifetimes are, and how sure they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.checks import demand_features
from aiida_finales.science.lifetime.model import CellRecord, LifetimeModel, LifetimePrediction, predict_cells

#: Share of the errors that one standard deviation covers when they are normally distributed.
ONE_SD = math.erf(math.sqrt(0.5))
#: Share of the error of a constant that a model may have to be worth asking: less would be within the scatter.
SKILL = 0.8


@dataclass(frozen=True)
class Score:
    """How good predictions of cells of known life are.

    :param mape: mean absolute error relative to the true life, %.
    :param rmse: root mean square error, cycles.
    :param coverage: share of the cells whose true life is within one standard deviation; 0.68 is ideal.
    :param coverage_2sd: the same within two; 0.95 is ideal.
    :param curve_rmse: root mean square error of the capacity of the coming cycles, % of the reference.
    :param n_not_reached: cells without a predicted end of life; they count as if they ended at the horizon.
    :param n_refused: cells unlike all that the model was trained on; they are in no other figure.
    """

    n_cells: int
    mape: float
    rmse: float
    coverage: float
    curve_rmse: float
    n_not_reached: int
    n_refused: int = 0
    coverage_2sd: float = 0.0


def score(model: LifetimeModel, cells: Sequence[CellRecord]) -> Score:
    """Predict cells from their first cycles and compare with what became of them.

    :raises InputError: when no cell has a known end of life after the window, or all are refused.
    """
    known = [cell for cell in cells if cell.end_of_life is not None and cell.end_of_life > model.task.window]
    if not known:
        raise InputError(f"no cell with a known end of life after cycle {model.task.window}, accepted is at least one")
    cells = _without_refused(model, known)
    n_seen = model.task.n_window
    found = predict_cells(model, [(cell.capacities[:n_seen], cell.features) for cell in cells])
    true = np.array([cell.end_of_life for cell in cells], dtype=np.float64)
    life = np.array([model.horizon if item.end_of_life is None else item.end_of_life for item in found], dtype=float)
    error = np.abs(life - true)
    sd = np.array([item.sd or 0.0 for item in found])
    squares = [_curve_error(model, cell, item) for cell, item in zip(cells, found, strict=True)]
    return Score(
        n_cells=len(cells),
        mape=float(100 * np.mean(error / true)),
        rmse=float(np.sqrt(np.mean(error**2))),
        coverage=float(np.mean(error <= sd)),
        coverage_2sd=float(np.mean(error <= 2 * sd)),
        curve_rmse=float(100 * np.sqrt(np.mean(squares))),
        n_not_reached=sum(not item.reached for item in found),
        n_refused=len(known) - len(cells),
    )


def _without_refused(model: LifetimeModel, cells: Sequence[CellRecord]) -> list[CellRecord]:
    accepted, reasons = [], []
    for cell in cells:
        try:
            model.domain.check(replace(cell, features=demand_features(cell.features, model.needs)).see(model.task))
            accepted.append(cell)
        except InputError as error:
            reasons.append(f"{cell.name}: {error}")
    if not accepted:
        raise InputError(f"none of {len(cells)} cells can be predicted; {reasons[0]}")
    return accepted


def _curve_error(model: LifetimeModel, cell: CellRecord, found: LifetimePrediction) -> float:
    """Return the mean square of (predicted - true)/reference over the cycles that both know."""
    begin = model.task.n_window
    end = min(len(cell.capacities), len(found.trajectory))
    if end <= begin:
        return 0.0
    difference = np.asarray(found.trajectory[begin:end]) - cell.capacities[begin:end]
    return float(np.mean((difference / model.task.rule.reference_of(cell.capacities)) ** 2))


def scale_to_coverage(errors: Array) -> float:
    """Return the factor on standard deviations after which one of them covers what it should.

    :param errors: absolute errors over standard deviations, of cells that a model was not trained on.
    """
    # the rank with one more than the number of errors: what a finite sample must allow for (conformal prediction)
    rank = min(1.0, ONE_SD * (len(errors) + 1) / len(errors))
    return float(np.quantile(errors, rank))


@dataclass(frozen=True)
class LeftOut:
    """A cell predicted by a model that knows neither it nor the others of its protocol.

    :param life: the true one, cycles.
    :param error: absolute, cycles.
    :param sd: that was stated before calibration, cycles.
    :param constant: median life of the cells that were known.
    :param curve: absolute errors of some capacities over their standard deviations.
    """

    life: float
    error: float
    sd: float
    constant: float
    curve: Array = field(default_factory=lambda: np.empty(0))


def divide(cells: Sequence[CellRecord], n_folds: int, seed: int) -> list[list[int]]:
    """Return the numbers of the cells of each fold; cells of one protocol are in the same one.

    A cell without a protocol is taken for the only one of its own.
    """
    protocols = [cell.protocol or f"\n{number}" for number, cell in enumerate(cells)]
    distinct = list(dict.fromkeys(protocols))
    order = np.random.default_rng(seed).permutation(len(distinct))
    folds = np.array_split(order, min(n_folds, len(distinct)))
    return [[number for number, name in enumerate(protocols) if distinct.index(name) in fold] for fold in folds]


def divide_by_group(cells: Sequence[CellRecord], least: int) -> list[list[int]]:
    """Return the numbers of the cells of each group (a batch); none where a fold would leave too few to learn from.

    :param least: number of cells to learn from.
    """
    groups = list(dict.fromkeys(cell.group for cell in cells))
    folds = [[number for number, cell in enumerate(cells) if cell.group == group] for group in groups]
    return folds if len(folds) > 1 and max(len(fold) for fold in folds) <= len(cells) - least else []


def judge_left_out(left_out: Sequence[LeftOut]) -> dict[str, float]:
    """Return how good a model is on cells left out, and how good a constant would be."""
    life, error, constant = (
        np.array([getattr(item, name) for item in left_out]) for name in ("life", "error", "constant")
    )
    return {
        "n_cells": float(len(left_out)),
        "mape": float(100 * np.mean(error / life)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mape_constant": float(100 * np.mean(np.abs(constant - life) / life)),
    }


def is_skilled(validation: Mapping[str, float]) -> bool:
    """Return whether a model tells more than a constant does: see :data:`SKILL`."""
    return validation["mape"] <= SKILL * validation.get("mape_constant", 0.0)
