"""The model of a property from the values of one or more sources: a mixture of Gaussian processes.

Every prediction is the average over some posterior samples of the hyperparameters, which keeps the intervals honest
with ten data points, where the single best hyperparameters are far too sure of themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dtrtrs

from aiida_finales.exceptions import FitError
from aiida_finales.optimisation.kernel import Kernel, Points, scale_rows
from aiida_finales.science.array import Array
from aiida_finales.science.covariance import factorise

Labels = npt.NDArray[np.int64]

#: Threads of the linear algebra: more of them add in another order, are no quicker at these sizes, and disturb others.
ONE_THREAD = 1
#: Added to the diagonal, in units of the variance of the values: keeps repeated noise-free points factorisable, and the
#: rounding errors that a processor makes of its own below 1e-8 of the spread. A noise of a thousandth is none.
JITTER = 1e-6
#: Hyperparameters further than this from the prior mean, in standard deviations, are not considered.
FURTHEST = 6.0
#: Log-likelihood of what cannot be factorised.
IMPOSSIBLE = -1e10


#: Width of the bracket, in rad, at which the search on the ellipse stops: the proposal is then the present state.
SMALLEST_BRACKET = 1e-9


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
    :param log_likelihoods: of the values of at most ``n_chain_rows`` rows, per hyperparameter sample.
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
        chosen = thin(len(points), settings.n_chain_rows)
        likelihood = Likelihood(kernel, points.take(chosen), values[chosen])
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
        chosen = thin(len(points), kernel.settings.n_chain_rows)
        likelihood = Likelihood(kernel, points.take(chosen), values[chosen])
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

    def leave_out(self) -> tuple[Array, Array]:
        """Return mean and standard deviation (n each) of measurements predicted from all others.

        Sundararajan and Keerthi, Neural Computation 13 (2001) 1103, doi:10.1162/08997660151134343, for each process;
        the hyperparameters know the row that is left out.
        """
        means, variances = [], []
        for process in self.processes:
            identity = np.eye(len(process.values))
            diagonal = np.diag(cho_solve((process.factor, True), identity, check_finite=False))
            means.append(process.values - process.weights / diagonal)
            variances.append(1 / diagonal)
        return np.mean(means, axis=0), np.sqrt(np.mean(variances, axis=0) + np.var(means, axis=0))

    def noise(self, source: int) -> float:
        """Return the standard deviation of one measurement."""
        return float(np.sqrt(np.mean([process.noise(source) for process in self.processes])))


def thin(n: int, most: int | None) -> Labels:
    """Return the numbers of at most so many of n rows, evenly spread.

    So many are enough to know the hyperparameters, and a likelihood costs n cubed.
    """
    return np.arange(n) if most is None or n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)


def join(first: Points, second: Points) -> Points:
    """Return both sets of points as one."""
    return Points(
        np.vstack([first.scaled, second.scaled]),
        np.concatenate([first.source, second.source]),
        np.vstack([first.features, second.features]),
        np.vstack([first.category, second.category]),
    )


def draw_chain(
    log_likelihood: Callable[[Array], float], size: int, n_steps: int, n_starts: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return n_steps states (n_steps x size) of a chain and their log-likelihoods (n_steps).

    The chain starts at the likeliest of the prior mean and n_starts - 1 draws from the prior N(0, 1).
    """
    starts = np.vstack([np.zeros(size), rng.standard_normal((n_starts - 1, size))])
    levels = [log_likelihood(start) for start in starts]
    best = int(np.argmax(levels))
    state, level = starts[best], levels[best]
    chain, heights = np.empty((n_steps, size)), np.empty(n_steps)
    for k in range(n_steps):
        state, level = step_elliptically(log_likelihood, state, level, rng)
        chain[k], heights[k] = state, level
    return chain, heights


def step_elliptically(
    log_likelihood: Callable[[Array], float], state: Array, level: float, rng: np.random.Generator
) -> tuple[Array, float]:
    """Return the next state (shape p) and its log-likelihood by one step of elliptical slice sampling.

    Murray, Adams and MacKay, Elliptical slice sampling, AISTATS 2010 (PMLR 9, 541), figure 2.
    """
    direction = rng.standard_normal(len(state))
    threshold = level + np.log(rng.random())
    angle = rng.uniform(0.0, 2 * np.pi)
    low, high = angle - 2 * np.pi, angle
    while high - low > SMALLEST_BRACKET:
        proposal = state * np.cos(angle) + direction * np.sin(angle)
        height = log_likelihood(proposal)
        if height > threshold:
            return proposal, height
        low, high = (angle, high) if angle < 0 else (low, angle)
        angle = rng.uniform(low, high)
    return state, level


class Likelihood:
    """The log marginal likelihood of values (n) at points, without its constant.

    Holds the same covariance as :meth:`.Kernel.covariance`, but everything that does not depend on the hyperparameters
    is computed once. LAPACK is called directly: for 30 values the checks of the wrappers take longer than the work.
    """

    def __init__(self, kernel: Kernel, points: Points, values: Array) -> None:
        self._kernel = kernel
        self._values = values
        differences = points.scaled[:, None] - points.scaled[None]
        self._squares = (differences**2).reshape(len(points) ** 2, kernel.n_free)
        self._trend = kernel.common_trend(points, points)
        self._categories = [
            (kernel.names.index(f"category_{number}"), same)
            for number, same in enumerate(kernel.same_option(points, points))
        ]
        self._noise = [(kernel.names.index(f"noise_{source}"), points.source == source) for source in kernel.sources]
        self._ratios = [
            (kernel.names.index(f"ratio_{source}"), points.source == source)
            for source in kernel.sources
            if f"ratio_{source}" in kernel.names
        ]
        self._steps = kernel.steps(points)
        self._biases = [
            (kernel.names.index(f"discrepancy_{source}"), block, bias)
            for source, block, bias in kernel.biases(points, points)
        ]

    def __call__(self, whitened: Array) -> float:
        """Return the log-likelihood of hyperparameters (p), in standard deviations of the prior from its mean."""
        if (np.abs(whitened) > FURTHEST).any():
            return IMPOSSIBLE
        factor, info = dpotrf(self._covariance(self._kernel.mean + self._kernel.sd * whitened), lower=1, overwrite_a=1)
        if info:
            return IMPOSSIBLE
        white, _ = dtrtrs(factor, self._values, lower=1)
        return float(-0.5 * white @ white - np.log(np.diagonal(factor)).sum())

    def _covariance(self, theta: Array) -> Array:
        """Return the covariance (n x n) of the measurements, in the column order that LAPACK wants."""
        n_free, correlate = self._kernel.n_free, self._kernel.correlate
        squares = (self._squares @ np.exp(-2 * theta[:n_free])).reshape(self._trend.shape)
        result = correlate(squares)
        result *= np.exp(2 * theta[n_free])
        result += self._trend
        if self._categories:
            departure = correlate(squares / self._kernel.settings.discrepancy_length**2)
            for index, same in self._categories:
                result += same * np.exp(2 * theta[index]) * departure
        n_growing = self._kernel.n_growing
        if self._ratios or n_growing:
            factors = np.exp(self._steps @ theta[len(theta) - n_growing :])
            for index, rows in self._ratios:
                factors[rows] *= np.exp(theta[index])
            scale_rows(result, factors, factors)
        if n_growing:
            result += 1.0
        for index, block, bias in self._biases:
            lengthened = squares[block] / self._kernel.settings.discrepancy_length**2
            result[block] += bias + np.exp(2 * theta[index]) * correlate(lengthened)
        noise = np.full(len(result), JITTER)
        for index, rows in self._noise:
            noise[rows] += np.exp(2 * theta[index])
        np.einsum("ii->i", result)[:] += noise  # a view: its indices would take longer than the sum
        return result.T
