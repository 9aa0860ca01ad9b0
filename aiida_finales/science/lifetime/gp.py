"""The life of a cell by a Gaussian process on features of its first cycles.

The logarithm of the life has the covariance ``1 + l^2 x.x'/d + a^2 exp(-|x - x'|^2 / (2 r^2))`` over the standardised
features ``x`` (d of them), plus noise: a straight line, and a smooth deviation from it. Few cells are known, so weak
priors on ``l, a, r`` and the noise keep the maximum of the marginal likelihood sane.

The capacity until the end of life is a shape, the share of the way from the capacity at the end of the window to the
threshold, over the share of the remaining cycles. Shapes of known cells are combined with the weights of the process.

Standard deviations are scaled until one of them covers 68 % of the cells left out in cross-validation, whole protocols
at a time. Where the cells are of several groups, those of groups that were left out tell how batches differ, which is
added. What lies outside of the known cells is for :mod:`aiida_finales.science.lifetime.domain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

from aiida_finales.exceptions import FitError, InputError
from aiida_finales.science.array import Array
from aiida_finales.science.covariance import factorise
from aiida_finales.science.lifetime.checks import demand_features, given_features
from aiida_finales.science.lifetime.domain import Domain, Seen
from aiida_finales.science.lifetime.features import level
from aiida_finales.science.lifetime.model import (
    CellRecord,
    Forecast,
    Task,
    describe_model,
    forecast_cells,
    pack,
    relative,
)
from aiida_finales.science.lifetime.score import (
    ONE_SD,
    LeftOut,
    divide,
    divide_by_group,
    judge_left_out,
    scale_to_coverage,
)

#: Fewer cells cannot tell a trend from scatter.
MIN_CELLS = 8
#: Centres of the priors of l, a, noise and r / sqrt(d), and standard deviations of their logarithms: the straight line
#: explains about all, the deviation half, a tenth of the variance is scatter.
_PRIOR_CENTRE = np.log([1.0, 0.5, 0.3, 2.0])
_PRIOR_WIDTH = np.array([1.0, 1.0, 1.0, 0.75])
_JITTER = 1e-8
#: widths of the priors from their centres up to which a maximum is looked for
_FARTHEST = 6.0
#: The horizon over the longest life that was learned from.
_HORIZON = 2.0
_GRID = np.linspace(0.0, 1.0, 41)
#: Relative capacity above the threshold that is divided by at least.
_LEAST_MARGIN = 0.005
#: Relative capacity: no prediction is surer than a cycler measures.
_LEAST_SD = 1e-4
#: Least probability to live on that is calculated with.
_LEAST_SURVIVAL = 1e-9
#: Probability below which a cell that lives on contradicts its prediction.
_DOUBTFUL_SURVIVAL = 0.05


@dataclass(frozen=True)
class GaussianProcess:
    """An exact Gaussian process.

    :param points: standardised features, shape ``(n, d)``.
    :param hyper: l, a, noise, r.
    :param inverse: inverse of the covariance of the points with noise, shape ``(n, n)``.
    """

    points: Array
    hyper: Array
    inverse: Array

    @classmethod
    def fit(cls, points: Array, values: Array) -> GaussianProcess:
        """Return the process at the maximum of marginal likelihood times prior.

        :param values: standardised, shape ``(n,)``.
        :raises FitError: when no maximum is found.
        """
        from scipy.optimize import minimize

        centre = _PRIOR_CENTRE + np.array([0, 0, 0, 0.5 * np.log(points.shape[1])])
        # a first step may go so far that exponentials overflow; no maximum is there
        bounds = list(zip(centre - _FARTHEST * _PRIOR_WIDTH, centre + _FARTHEST * _PRIOR_WIDTH, strict=True))
        found = minimize(
            _negative_posterior, centre, args=(points, values, centre), jac=True, method="L-BFGS-B", bounds=bounds
        )
        if not np.isfinite(found.fun):
            raise FitError("the Gaussian process has no finite likelihood: look for cells that are given twice")
        hyper: Array = np.exp(np.asarray(found.x, dtype=np.float64))
        return cls(points, hyper, _invert(_noisy(points, hyper))[0])

    def weights(self, points: Array) -> Array:
        """Return the weight of each known value in each prediction, shape ``(m, n)``."""
        return np.asarray(covariance(points, self.points, self.hyper) @ self.inverse)

    def variance(self, points: Array) -> Array:
        """Return the variance of predicted values, noise included, shape ``(m,)``."""
        cross = covariance(points, self.points, self.hyper)
        own = np.array([covariance(point[None], point[None], self.hyper)[0, 0] for point in points])
        least = float(self.hyper[2]) ** 2
        # by the factor, not the inverse: with little noise, rounding errors of the inverse are larger than the variance
        known = np.linalg.solve(self._factor, cross.T)  # a factor is never singular
        return np.asarray(np.maximum(own - (known**2).sum(axis=0), 0.0) + least)

    @cached_property
    def _factor(self) -> Array:
        return factorise(_noisy(self.points, self.hyper))


def covariance(first: Array, second: Array, hyper: Array) -> Array:
    """Return the covariance of two sets of standardised points without noise, shape ``(n, m)``.

    :param hyper: l, a, noise, r.
    """
    line, amplitude, _, length = hyper
    squares = ((first[:, None] - second[None]) ** 2).sum(axis=-1)
    smooth = amplitude**2 * np.exp(-0.5 * squares / length**2)
    return np.asarray(1.0 + line**2 * first @ second.T / first.shape[1] + smooth)


def _noisy(points: Array, hyper: Array) -> Array:
    return np.asarray(covariance(points, points, hyper) + (hyper[2] ** 2 + _JITTER) * np.eye(len(points)))


def _invert(covariance: Array) -> tuple[Array, float]:
    """Return the inverse of a covariance and the logarithm of the determinant of the covariance."""
    factor = factorise(covariance)
    white = np.linalg.solve(factor, np.eye(len(factor)))  # a factor has an inverse
    return white.T @ white, float(2 * np.log(np.diagonal(factor)).sum())


def _negative_posterior(theta: Array, points: Array, values: Array, centre: Array) -> tuple[float, Array]:
    """Return the negative logarithm of marginal likelihood times prior, but for constants, and its gradient."""
    line, amplitude, noise, length = np.exp(theta)
    products = points @ points.T / points.shape[1]
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=-1) / length**2
    smooth = amplitude**2 * np.exp(-0.5 * squares)
    inverse, log_determinant = _invert(_noisy(points, np.exp(theta)))
    solved = inverse @ values
    away = (theta - centre) / _PRIOR_WIDTH
    slopes = (2 * line**2 * products, 2 * smooth, 2 * noise**2 * np.eye(len(points)), smooth * squares)
    spread = inverse - np.outer(solved, solved)
    gradient = np.array([0.5 * np.sum(spread * slope) for slope in slopes]) + away / _PRIOR_WIDTH
    return float(0.5 * values @ solved + 0.5 * log_determinant + 0.5 * away @ away), gradient


@dataclass(frozen=True)
class GpLifetimeModel:
    """A trained model.

    :param process: over standardised features.
    :param moments: mean and standard deviation of each feature, shape ``(2, d)``.
    :param log_life: of the known cells, shape ``(n,)``.
    :param shapes: of the known cells over the grid, shape ``(n, 41)``.
    :param scales: factors on the standard deviations of life and of capacity.
    :param batch_sd: standard deviation of the logarithm of the life between batches, where several were learned from.
    """

    task: Task
    process: GaussianProcess
    moments: Array
    log_life: Array
    shapes: Array
    horizon: int
    domain: Domain
    scales: tuple[float, float] = (1.0, 1.0)
    batch_sd: float = 0.0
    validation: Mapping[str, float] = field(default_factory=dict)

    method = "gp"

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names of the features that must come with a cell."""
        return given_features(self.task.inputs)

    def forecast(self, cells: Sequence[Seen]) -> list[Forecast]:
        """Predict cells within the domain whose end of life is not within the data."""
        points = self._standardise(self.domain.hold(np.array([features_of(cell, self.task) for cell in cells])))
        weights = self.process.weights(points)
        log_life, log_sd = self.predict_log_life(points, weights)
        mean = self.shapes.mean(axis=0)
        shapes = mean + weights @ (self.shapes - mean)
        # a capacity does not recover on the way: the shape falls from 1 to 0
        shapes = np.minimum.accumulate(np.clip(shapes, 0.0, None), axis=1)
        shapes[:, 0], shapes[:, -1] = np.maximum(shapes[:, 0], 1.0), 0.0
        return [
            self._forecast_one(cell, NormalDist(centre, width), shape)
            for cell, centre, width, shape in zip(cells, log_life, log_sd, shapes, strict=True)
        ]

    def predict_log_life(self, points: Array, weights: Array) -> tuple[Array, Array]:
        """Return mean and calibrated standard deviation of the natural logarithm of the life at standardised points."""
        centre, width = self.log_life.mean(), _spread(self.log_life)
        mean = centre + weights @ (self.log_life - centre)
        return mean, np.hypot(self.scales[0] * width * np.sqrt(self.process.variance(points)), self.batch_sd)

    def _standardise(self, features: Array) -> Array:
        return np.asarray((features - self.moments[0]) / self.moments[1])

    @cached_property
    def _shape_sd(self) -> Array:
        """Standard deviation between cells of the shape over the grid."""
        return np.asarray(self.shapes.std(axis=0))

    def _forecast_one(self, cell: Seen, log_life: NormalDist, shape: Array) -> Forecast:
        n_seen = len(cell.relative)
        last = n_seen + self.task.first_cycle - 1
        life, sd = _survive(log_life, float(np.log(last)))
        life = max(life, last + 1.0)
        cycles = np.arange(last + 1, min(round(life), self.horizon) + 1, dtype=np.float64)
        threshold = self.task.rule.threshold
        margin = max(level(cell.relative) - threshold, 0.0)
        moments: Array = np.concatenate([[float(last)], cycles])
        grid = self.task.window + _GRID * (life - self.task.window)
        fall: Array = np.asarray(np.interp(moments, grid, shape))
        path: Array = threshold + margin * fall / max(float(fall[0]), _LEAST_MARGIN)
        rate = np.gradient(path) if len(path) > 1 else np.zeros(1)
        of_life = rate * (moments - last) / (life - last) * sd
        of_shape = margin * np.interp(moments, grid, self._shape_sd)
        spread = self.scales[1] * np.hypot(of_life, of_shape)
        return Forecast(life if life <= self.horizon else float("inf"), sd, path[1:], spread[1:])

    def describe(self) -> dict[str, Any]:
        """Return what a node says of it."""
        return describe_model(self)

    def to_bytes(self) -> bytes:
        """Return the model as an ``.npz`` archive."""
        header = {
            "method": self.method,
            "task": asdict(self.task),
            "horizon": self.horizon,
            "scales": list(self.scales),
            "batch_sd": self.batch_sd,
            "validation": dict(self.validation),
        }
        process = self.process
        arrays = {"points": process.points, "hyper": process.hyper, "inverse": process.inverse}
        known = {"moments": self.moments, "log_life": self.log_life, "shapes": self.shapes}
        domain, cells = self.domain.to_parts()
        return pack({**header, **domain}, {**arrays, **known, **cells})

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> GpLifetimeModel:
        """Return the model that :meth:`to_bytes` packed."""
        process = GaussianProcess(arrays["points"], arrays["hyper"], arrays["inverse"])
        first, second = header["scales"]
        return cls(
            Task.from_dict(header["task"]),
            process,
            arrays["moments"],
            arrays["log_life"],
            arrays["shapes"],
            header["horizon"],
            Domain.from_parts(header, arrays),
            (first, second),
            header.get("batch_sd", 0.0),  # models of before know of no batches
            header["validation"],
        )


def _survive(log_life: NormalDist, log_seen: float) -> tuple[float, float]:
    """Return median and standard deviation (cycles) of a life that is known to be longer than what was seen."""
    ended = log_life.cdf(log_seen)
    survival = max(1.0 - ended, _LEAST_SURVIVAL)
    middle, low = (log_life.inv_cdf(min(1 - share * survival, 1 - 1e-12)) for share in (0.5, 0.8413447))
    life = float(np.exp(middle))
    if survival < _DOUBTFUL_SURVIVAL:
        # the cell lives on against what was said: that was wrong by more than it said itself
        return life, life * max(log_life.stdev, log_seen - log_life.mean)
    return life, life * max(middle - low, 0.0)


def _spread(values: Array) -> float:
    return max(float(values.std()), 1e-6)


def features_of(cell: Seen, task: Task) -> Array:
    """Return the inputs of the process for one cell, shape ``(d,)``."""
    return cell.describe(task.inputs, task.n_window)


def train_gp(cells: Sequence[CellRecord], task: Task, *, n_folds: int = 50, seed: int = 0) -> GpLifetimeModel:
    """Return a model with calibrated standard deviations.

    :param cells: those whose end of life is known and after the window are used.
    :param n_folds: of the cross-validation that standard deviations are calibrated by, at most one per protocol.
    :param seed: of the division into folds.
    :raises InputError: when too few cells can be used.
    """
    usable = usable_cells(cells, task)
    model = _fit(usable, task)
    left_out = _cross_validate(usable, task, divide(usable, n_folds, seed))
    z = np.array([item.error / item.sd for item in left_out])
    scale = scale_to_coverage(z)
    validation = {**judge_left_out(left_out), "coverage_before_calibration": float(np.mean(z <= 1))}
    # the part of a capacity's deviation that comes from the life is scaled with it already
    scales = (scale, scale_to_coverage(np.concatenate([item.curve for item in left_out])) / scale)
    others = _cross_validate(usable, task, divide_by_group(usable, MIN_CELLS))
    return replace(model, scales=scales, batch_sd=_batch_sd(others, scale), validation=validation)


def _batch_sd(left_out: Sequence[LeftOut], scale: float) -> float:
    """Return the standard deviation of the logarithm of the life between batches; 0 where nothing is known of others.

    :param left_out: cells of groups that were left out as a whole.
    :param scale: factor on their standard deviations by which these hold within a batch.
    """
    if not left_out:
        return 0.0
    error, sd, life = (np.array([getattr(item, name) for item in left_out]) for name in ("error", "sd", "life"))
    return float(np.sqrt(max(np.quantile((error / life) ** 2 - (scale * sd / life) ** 2, ONE_SD), 0.0)))


def _cross_validate(cells: Sequence[CellRecord], task: Task, folds: Sequence[Sequence[int]]) -> list[LeftOut]:
    found = []
    for fold in folds:
        known = [cell for number, cell in enumerate(cells) if number not in fold]
        constant = float(np.median([cell.end_of_life or 0 for cell in known]))
        model = _fit(known, task)
        found += [_validate(model, cells[number], constant) for number in fold]
    return found


def usable_cells(cells: Sequence[CellRecord], task: Task) -> list[CellRecord]:
    """Return the cells that can be learned from: end of life known, and after the window.

    :raises InputError: when they are too few, or a cell lacks a feature.
    """
    usable = [cell for cell in cells if cell.end_of_life is not None and cell.end_of_life > task.window + 1]
    if len(usable) < MIN_CELLS:
        raise InputError(
            f"{len(usable)} of {len(cells)} cells have a known end of life after cycle {task.window}, accepted are "
            f"{MIN_CELLS} or more"
        )
    for cell in usable:
        demand_features(cell.features, given_features(task.inputs))
    return usable


def _fit(cells: Sequence[CellRecord], task: Task) -> GpLifetimeModel:
    curves = [relative(cell.capacities, task.rule) for cell in cells]
    seen = [cell.see(task) for cell in cells]
    features = np.array([features_of(item, task) for item in seen])
    domain = Domain.of_cells(seen, task.inputs, task.n_window)
    deviation = features.std(axis=0)
    moments = np.array([features.mean(axis=0), np.where(deviation > 0, deviation, 1.0)])
    points = (features - moments[0]) / moments[1]
    lives = [float(cell.end_of_life or 0) for cell in cells]
    log_life = np.log(lives)
    process = GaussianProcess.fit(points, (log_life - log_life.mean()) / _spread(log_life))
    shapes = np.array([_shape(curve, life, task) for curve, life in zip(curves, lives, strict=True)])
    return GpLifetimeModel(task, process, moments, log_life, shapes, round(_HORIZON * max(lives)), domain)


def _shape(curve: Array, life: float, task: Task) -> Array:
    """Return the share of the way to the threshold that is left, over the share of the remaining cycles."""
    begin = level(curve[: task.n_window])
    cycles = task.first_cycle + np.arange(len(curve))
    smooth = np.convolve(np.pad(curve, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    values = np.interp(task.window + _GRID * (life - task.window), cycles, smooth)
    shape = (values - task.rule.threshold) / max(begin - task.rule.threshold, _LEAST_MARGIN)
    return np.concatenate([[1.0], np.clip(shape[1:-1], 0.0, 1.5), [0.0]])


def _validate(model: GpLifetimeModel, cell: CellRecord, constant: float) -> LeftOut:
    curve = relative(cell.capacities, model.task.rule)
    n_seen = model.task.n_window
    forecast = forecast_cells(model, [cell.see(model.task)])[0]
    true = float(cell.end_of_life or 0)
    n_both = min(len(curve) - n_seen, len(forecast.relative))
    # neighbouring cycles say the same: some per cell are enough
    some = np.unique(np.linspace(0, n_both - 1, 10).astype(int)) if n_both > 0 else np.array([], dtype=int)
    deviation = np.maximum(forecast.relative_sd[some], _LEAST_SD)
    errors = np.abs(curve[n_seen:][some] - forecast.relative[some]) / deviation
    return LeftOut(true, abs(min(forecast.life, float(model.horizon)) - true), forecast.sd, constant, errors)
