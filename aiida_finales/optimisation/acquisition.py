"""How much is gained by asking: of the target by finding a better point, of another source by learning about it.

All functions return natural logarithms, which order candidates also where the gain itself is too small to tell apart.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtr

from aiida_finales.optimisation.kernel import Points
from aiida_finales.optimisation.space import Coordinates
from aiida_finales.optimisation.surrogate import SMALLEST_VARIANCE, Process, Surrogate
from aiida_finales.science.array import Array
from aiida_finales.science.covariance import factorise

#: Added to the diagonal of joint samples, in units of the variance of the values and of the common function.
SAMPLE_JITTER = 1e-7
SIGNAL_JITTER = 1e-5
#: Smallest gain told from none.
SMALLEST_GAIN = 1e-300


class Acquisition(Protocol):
    """What is to be maximised over compositions (n x d)."""

    def __call__(self, compositions: Array) -> Array:
        """Return one value per composition (n)."""


class PosteriorMean:
    """The expected value of the target, in scaled units."""

    def __init__(self, surrogate: Surrogate, coordinates: Coordinates) -> None:
        self._surrogate = surrogate
        self._coordinates = coordinates

    def __call__(self, compositions: Array) -> Array:
        """Return the mean (n) of the target at compositions (n x d)."""
        points = Points.of_source(self._coordinates.scale(compositions), self._surrogate.kernel.target)
        total = np.zeros(len(points))
        for process in self._surrogate.processes:
            total += process.kernel.covariance(process.theta, points, process.points) @ process.weights
        return total / len(self._surrogate.processes)


class Separated:
    """Another acquisition, minus infinity close to what is under way.

    Two requests closer than the noise can tell apart are a replicate in all but name; apart, they hedge.

    :param apart_from: shape m x d, compositions under way at the source.
    :param distance: largest difference in mole fraction below which a composition is too close.
    """

    def __init__(self, acquisition: Acquisition, apart_from: Array, distance: float) -> None:
        self._acquisition = acquisition
        self._apart_from = apart_from
        self._distance = distance

    def __call__(self, compositions: Array) -> Array:
        """Return one value per composition (n)."""
        values = self._acquisition(compositions)
        if len(self._apart_from) == 0:
            return values
        gaps = np.abs(compositions[:, None] - self._apart_from[None]).max(axis=2).min(axis=1)
        return np.where(gaps < self._distance, -np.inf, values)


class NoisyExpectedImprovement:
    """Expected improvement over the best of the evaluated and pending points, whose true values are not known either.

    Letham, Karrer, Ottoni and Bakshy, Bayesian Analysis 14 (2019) 495, doi:10.1214/18-BA1110: joint samples of the true
    values at these points; given each, expected improvement has a closed form. Averaged over the samples and over the
    hyperparameters.

    :param baseline: shape b x d, compositions evaluated by or pending at the target.
    """

    def __init__(
        self, surrogate: Surrogate, coordinates: Coordinates, baseline: Array, rng: np.random.Generator
    ) -> None:
        self._coordinates = coordinates
        self._target = surrogate.kernel.target
        self._points = Points.of_source(coordinates.scale(baseline), self._target)
        n_pairs = surrogate.kernel.settings.n_pairs
        self._draws = [
            self._draw(process, rng.standard_normal((len(baseline), n_pairs))) for process in surrogate.processes
        ]

    def _draw(self, process: Process, half: Array) -> tuple[Process, Array, Array, Array, Array]:
        """Return the process, W, the factor, the white samples (b x 2 pairs) and the best value of each sample."""
        mean, w = process.predict(self._points)
        factor = sample_factor(process, self._points, w)
        white = np.hstack([half, -half])
        return process, w, factor, white, (mean[:, None] + factor @ white).max(axis=0)

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the expected improvement (n), in scaled units."""
        points = Points.of_source(self._coordinates.scale(compositions), self._target)
        total = np.zeros(len(points))
        for process, w, factor, white, best in self._draws:
            mean, own_w = process.predict(points)
            cross = process.covariance(self._points, w, points, own_w)
            known = solve_triangular(factor, cross, lower=True, check_finite=False)
            spread = np.sqrt(np.maximum(process.variance(points, own_w) - (known**2).sum(axis=0), SMALLEST_VARIANCE))
            gap = (mean[:, None] + known.T @ white - best) / spread[:, None]
            total += (spread[:, None] * (np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi) + gap * ndtr(gap))).mean(axis=1)
        return np.log(np.maximum(total / len(self._draws), SMALLEST_GAIN))


class VarianceReduction:
    """By how much one measurement of a source narrows the comparison between likely optima of the target.

    Likely optima are those of sampled functions; what counts is the variance of the value at one of them relative to
    the mean over them. The source itself is not optimised.

    :param paths: shape g x d, compositions among which each sampled function has its optimum.
    :param pending: points under way at any source; what they will tell is not counted twice.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        coordinates: Coordinates,
        source: int,
        paths: Array,
        pending: Points,
        rng: np.random.Generator,
    ) -> None:
        self._coordinates = coordinates
        self._source = source
        grid = Points.of_source(coordinates.scale(paths), surrogate.kernel.target)
        n_optima = surrogate.kernel.settings.n_optima
        self._draws: list[tuple[Process, Points, Array]] = []
        for process in surrogate.processes:
            mean, w = process.predict(grid)
            sampled = mean[:, None] + sample_factor(process, grid, w) @ rng.standard_normal((len(grid), n_optima))
            best = sampled.argmax(axis=0)
            optima = Points(grid.scaled[best], grid.source[best], grid.features[best])
            informed = process.extend(pending) if len(pending) else process
            self._draws.append((informed, optima, informed.predict(optima)[1]))

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the variance removed (n), in scaled units squared."""
        points = Points.of_source(self._coordinates.scale(compositions), self._source)
        total = np.zeros(len(points))
        for process, optima, w in self._draws:
            _, own_w = process.predict(points)
            shared = process.covariance(optima, w, points, own_w)
            contrast = shared - shared.mean(axis=0)
            total += (contrast**2).mean(axis=0) / (process.variance(points, own_w) + process.noise(self._source))
        return np.log(np.maximum(total / len(self._draws), SMALLEST_GAIN))


def sample_factor(process: Process, points: Points, w: Array) -> Array:
    """Return the lower Cholesky factor (m x m) of the posterior covariance of noise-free values at points.

    :raises FitError: when it is not positive definite.
    """
    covariance = process.covariance(points, w, points, w)
    jitter = SAMPLE_JITTER + SIGNAL_JITTER * process.kernel.amplitude(process.theta, "signal") ** 2
    return factorise(covariance + jitter * np.eye(len(points)), jitter)
