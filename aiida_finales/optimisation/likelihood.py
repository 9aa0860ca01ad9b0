"""How well hyperparameters explain the values: the one function that a fit calls a thousand times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dtrtrs

from aiida_finales.optimisation.kernel import Kernel, Points

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

#: Added to the diagonal, in units of the variance of the values: keeps repeated noise-free points factorisable, and the
#: rounding errors that a processor makes of its own below 1e-8 of the spread. A noise of a thousandth is none.
JITTER = 1e-6
#: Hyperparameters further than this from the prior mean, in standard deviations, are not considered.
FURTHEST = 6.0
#: Log-likelihood of what cannot be factorised.
IMPOSSIBLE = -1e10


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
        self._trend = kernel.constant_part(points, points)
        self._noise = [(kernel.names.index(f"noise_{source}"), points.source == source) for source in kernel.sources]
        self._blocks = [
            (kernel.names.index(f"discrepancy_{source}"), np.ix_(rows, rows))
            for source in kernel.sources
            if source != kernel.target and len(rows := np.flatnonzero(points.source == source))
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
        result = self._trend + np.exp(2 * theta[n_free]) * correlate(squares)
        for index, block in self._blocks:
            lengthened = squares[block] / self._kernel.settings.discrepancy_length**2
            result[block] += np.exp(2 * theta[index]) * correlate(lengthened)
        noise = np.full(len(result), JITTER)
        for index, rows in self._noise:
            noise[rows] += np.exp(2 * theta[index])
        result[np.diag_indices_from(result)] += noise
        return np.asarray(result.T)
