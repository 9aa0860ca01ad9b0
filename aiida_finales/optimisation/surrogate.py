"""The model of a property from the values of one or more sources: a mixture of Gaussian processes.

Every prediction is the average over some posterior samples of the hyperparameters, which keeps the intervals honest
with ten data points, where the single best hyperparameters are far too sure of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular

from aiida_finales.exceptions import FitError
from aiida_finales.optimisation.elliptical import draw_chain
from aiida_finales.optimisation.kernel import Kernel, Points
from aiida_finales.optimisation.likelihood import IMPOSSIBLE, JITTER, Likelihood
from aiida_finales.science.covariance import factorise

Array = npt.NDArray[np.float64]

#: Smallest variance of a prediction, in units of the variance of the values.
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Process:
    """A Gaussian process with fixed hyperparameters, conditioned on n values.

    :param values: shape n, scaled.
    :param theta: shape p, hyperparameters.
    :param factor: shape n x n, lower Cholesky factor of the covariance of the values.
    :param weights: shape n, that covariance solved for the values.
    """

    kernel: Kernel
    points: Points
    values: Array
    theta: Array
    factor: Array
    weights: Array

    @classmethod
    def condition(cls, kernel: Kernel, points: Points, values: Array, theta: Array) -> Process:
        """Return the process given values (n) at points.

        :raises FitError: when the covariance cannot be factorised.
        """
        covariance = kernel.covariance(theta, points, points)
        covariance[np.diag_indices_from(covariance)] += kernel.noise(theta, points.source) + JITTER
        factor = factorise(covariance)
        return cls(kernel, points, values, theta, factor, cho_solve((factor, True), values, check_finite=False))

    def predict(self, points: Points) -> tuple[Array, Array]:
        """Return the mean (m) and the matrix W (n x m) that :meth:`covariance` needs."""
        cross = self.kernel.covariance(self.theta, self.points, points)
        return cross.T @ self.weights, solve_triangular(self.factor, cross, lower=True, check_finite=False)

    def covariance(self, first: Points, first_w: Array, second: Points, second_w: Array) -> Array:
        """Return the posterior covariance (m x k) of noise-free values."""
        return self.kernel.covariance(self.theta, first, second) - first_w.T @ second_w

    def variance(self, points: Points, w: Array) -> Array:
        """Return the posterior variance (m) of noise-free values."""
        return np.asarray(np.maximum(self.kernel.variance(self.theta, points) - (w**2).sum(axis=0), SMALLEST_VARIANCE))

    def noise(self, source: int) -> float:
        """Return the noise variance of one measurement."""
        return float(self.kernel.noise(self.theta, np.array([source]))[0])

    def extend(self, points: Points) -> Process:
        """Return the process as it will be once these points are measured, if each gives what is expected.

        The mean stays, the covariance becomes what it will be whatever the measurements say.
        """
        expected, _ = self.predict(points)
        values = np.concatenate([self.values, expected])
        return Process.condition(self.kernel, join(self.points, points), values, self.theta)


@dataclass(frozen=True)
class Surrogate:
    """The mixture, in units of the scaled values.

    :param processes: one per hyperparameter sample.
    :param log_likelihoods: of the values, per hyperparameter sample.
    """

    kernel: Kernel
    processes: tuple[Process, ...]
    log_likelihoods: tuple[float, ...]

    @classmethod
    def fit(cls, kernel: Kernel, points: Points, values: Array, rng: np.random.Generator) -> Surrogate:
        """Return the model of values (n) at points, its hyperparameters sampled.

        :raises FitError: when no hyperparameters give a factorisable covariance.
        """
        settings = kernel.settings
        likelihood = Likelihood(kernel, points, values)
        n_steps = settings.burn + settings.keep
        chain, heights = draw_chain(likelihood, len(kernel.mean), n_steps, settings.n_starts, rng)
        kept = settings.burn + np.linspace(0, settings.keep - 1, settings.n_hyper_samples).astype(int)
        if not (heights[kept] > IMPOSSIBLE).all():
            msg = f"no hyperparameters explain {len(points)} values"
            raise FitError(msg)
        thetas = kernel.mean + kernel.sd * chain[kept]
        return cls.restore(kernel, points, values, [list(theta) for theta in thetas])

    @classmethod
    def restore(cls, kernel: Kernel, points: Points, values: Array, thetas: Sequence[Sequence[float]]) -> Surrogate:
        """Return the model with these hyperparameter samples, as a suggestion records them."""
        samples = [np.array(theta, dtype=float) for theta in thetas]
        processes = tuple(Process.condition(kernel, points, values, theta) for theta in samples)
        whitened = [(theta - kernel.mean) / kernel.sd for theta in samples]
        likelihood = Likelihood(kernel, points, values)
        return cls(kernel, processes, tuple(likelihood(sample) for sample in whitened))

    def predict(self, points: Points) -> tuple[Array, Array]:
        """Return mean and standard deviation (each m) of noise-free values."""
        means, variances = [], []
        for process in self.processes:
            mean, w = process.predict(points)
            means.append(mean)
            variances.append(process.variance(points, w))
        variance = np.mean(variances, axis=0) + np.var(means, axis=0)
        return np.mean(means, axis=0), np.sqrt(variance)

    def noise(self, source: int) -> float:
        """Return the standard deviation of one measurement."""
        return float(np.sqrt(np.mean([process.noise(source) for process in self.processes])))


def join(first: Points, second: Points) -> Points:
    """Return both sets of points as one."""
    return Points(
        np.vstack([first.scaled, second.scaled]),
        np.concatenate([first.source, second.source]),
        np.vstack([first.features, second.features]),
    )
