"""Samples of the true values at some points, and what a model expects of other points once these are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from aiida_finales.optimisation.kernel import Points
from aiida_finales.optimisation.surrogate import JITTER, SMALLEST_VARIANCE, Process, join
from aiida_finales.science.array import Array
from aiida_finales.science.covariance import factorise

#: Added to the diagonal of joint samples, in units of the variance of the values and of the common function.
SAMPLE_JITTER = 1e-7
SIGNAL_JITTER = 1e-5


@dataclass(frozen=True)
class Sampled:
    """A process given its values, and one sample after the other of the true values at a baseline.

    A value measured where the true value is known tells next to nothing more. So the two are taken as one, weighted by
    how sure they are: exact, and the matrix to be solved has a row for each place instead of one for each value and one
    more for each point of the baseline.

    :param values: shape b x s, the samples of the true values at the baseline.
    :param places: p different ones, of the measured values and of the baseline.
    :param factor: shape p x p, lower Cholesky factor of the covariance of what is known at these places.
    :param weights: shape p x s, that covariance solved for what is known in each sample.
    """

    process: Process
    values: Array
    places: Points
    factor: Array
    weights: Array

    @classmethod
    def draw(cls, process: Process, baseline: Points, white: Array) -> Sampled:
        """Return the process with the samples at a baseline (b) that standard normal numbers (b x s) give.

        :raises FitError: when a covariance cannot be factorised.
        """
        mean, w = process.predict(baseline)
        factor, jitter = _factorise(process, baseline, w)
        values = mean[:, None] + factor @ white
        noise = process.kernel.noise(process.theta, process.points.source) + JITTER
        sureness = np.concatenate([1 / noise, np.full(len(baseline), 1 / jitter)])
        rows = join(process.points, baseline)
        told = np.vstack([np.repeat(process.values[:, None], values.shape[1], axis=1), values])
        keys = np.column_stack([rows.scaled, rows.source, rows.category])
        _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        summed, total = np.zeros((len(first), values.shape[1])), np.bincount(place.ravel(), sureness)
        np.add.at(summed, place.ravel(), sureness[:, None] * told)
        places = rows.take(first)
        covariance = process.kernel.covariance(process.theta, places, places)
        covariance[np.diag_indices_from(covariance)] += 1 / total
        known = factorise(covariance, jitter)
        return cls(process, values, places, known, cho_solve((known, True), summed / total[:, None]))

    def predict(self, points: Points) -> tuple[Array, Array]:
        """Return the mean in each sample (m x s) and the standard deviation (m) of noise-free values."""
        cross = self.process.kernel.covariance(self.process.theta, self.places, points)
        known = solve_triangular(self.factor, cross, lower=True, check_finite=False)
        variance = self.process.kernel.variance(self.process.theta, points) - (known**2).sum(axis=0)
        return cross.T @ self.weights, np.sqrt(np.maximum(variance, SMALLEST_VARIANCE))


def draw_values(process: Process, points: Points, white: Array) -> Array:
    """Return samples (m x s) of the noise-free values at points (m) that standard normal numbers (m x s) give.

    :raises FitError: when their covariance is not positive definite.
    """
    mean, w = process.predict(points)
    return np.asarray(mean[:, None] + _factorise(process, points, w)[0] @ white)


def _factorise(process: Process, points: Points, w: Array) -> tuple[Array, float]:
    """Return the lower Cholesky factor (m x m) of the covariance at points, and what its diagonal was given."""
    covariance = process.covariance(points, w, points, w)
    jitter = SAMPLE_JITTER + SIGNAL_JITTER * process.kernel.amplitude(process.theta, "signal") ** 2
    factor = factorise(covariance + jitter * np.eye(len(points)), jitter)
    # more than that where it would not do without
    given = float(np.mean((factor**2).sum(axis=1) - np.diagonal(covariance))) if len(points) else jitter
    return factor, max(jitter, given)
