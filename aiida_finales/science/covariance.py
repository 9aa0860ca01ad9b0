"""The factor of a covariance matrix, the one place where rounding errors can break a Gaussian process."""

from __future__ import annotations

import numpy as np

from aiida_finales.exceptions import FitError
from aiida_finales.science.array import Array

#: Added to the diagonal in turn, in units of the jitter. Whether a matrix is singular in double precision depends on
#: the processor and its linear algebra.
ENLARGE = (0.0, 1.0, 100.0, 10_000.0)
#: The usual jitter in units of the mean of the diagonal: with ten thousand times as much no covariance is singular.
RELATIVE_JITTER = 1e-10


def factorise(covariance: Array, jitter: float | None = None) -> Array:
    """Return the lower Cholesky factor of a covariance (n x n), with no more added to its diagonal than is needed.

    :param jitter: in the unit of the covariance; by default a share of the mean of its diagonal.
    :raises FitError: when it is not positive definite even with ten thousand times the jitter.
    """
    if np.isfinite(covariance).all():
        unit = RELATIVE_JITTER * float(np.mean(np.diagonal(covariance))) if jitter is None else jitter
        for enlarge in ENLARGE:
            try:
                return np.asarray(np.linalg.cholesky(covariance + enlarge * unit * np.eye(len(covariance))))
            except np.linalg.LinAlgError:
                continue
    raise FitError(
        f"the covariance of {len(covariance)} points is not positive definite: look for values that are not finite, "
        "or far from all others"
    )
