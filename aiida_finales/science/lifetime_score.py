"""How good predictions of lifetimes are, and how sure they may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime import CellRecord, LifetimeModel, LifetimePrediction, predict_cells

Array = npt.NDArray[np.float64]

#: Share of the errors that one standard deviation covers when they are normally distributed.
ONE_SD = math.erf(math.sqrt(0.5))


@dataclass(frozen=True)
class Score:
    """How good predictions of cells of known life are.

    :param mape: mean absolute error relative to the true life, %.
    :param rmse: root mean square error, cycles.
    :param coverage: share of the cells whose true life is within one standard deviation; 0.68 is ideal.
    :param curve_rmse: root mean square error of the capacity of the coming cycles, % of the reference.
    :param n_not_reached: cells without a predicted end of life; they count as if they ended at the horizon.
    """

    n_cells: int
    mape: float
    rmse: float
    coverage: float
    curve_rmse: float
    n_not_reached: int

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def score(model: LifetimeModel, cells: Sequence[CellRecord]) -> Score:
    """Predict cells from their first cycles and compare with what became of them.

    :raises InputError: when no cell has a known end of life after the window.
    """
    cells = [cell for cell in cells if cell.end_of_life is not None and cell.end_of_life > model.task.window]
    if not cells:
        raise InputError(f"no cell with a known end of life after cycle {model.task.window}, accepted is at least one")
    n_seen = model.task.n_window
    found = predict_cells(model, [(cell.capacities[:n_seen], cell.features) for cell in cells])
    true = np.array([cell.end_of_life for cell in cells], dtype=np.float64)
    life = np.array([model.horizon if item.end_of_life is None else item.end_of_life for item in found], dtype=float)
    error = np.abs(life - true)
    squares = [_curve_error(model, cell, item) for cell, item in zip(cells, found, strict=True)]
    return Score(
        n_cells=len(cells),
        mape=float(100 * np.mean(error / true)),
        rmse=float(np.sqrt(np.mean(error**2))),
        coverage=float(np.mean(error <= [item.sd for item in found])),
        curve_rmse=float(100 * np.sqrt(np.mean(squares))),
        n_not_reached=sum(not item.reached for item in found),
    )


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
