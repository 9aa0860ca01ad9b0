"""Non-negative least squares for a handful of columns.

C. L. Lawson and R. J. Hanson, Solving Least Squares Problems (1974), chapter 23, doi:10.1137/1.9781611971217. SciPy has
it too, but importing ``scipy.optimize`` takes several times as long as everything else a driver does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import FitError

Array = npt.NDArray[np.float64]

#: Relative to the size of the problem: below it a gradient, or a share, is rounding noise.
_ZERO = 1e-14


def solve_non_negative(matrix: Array, target: Array) -> Array:
    """Return x >= 0 that minimises the Euclidean norm of ``matrix @ x - target``.

    :param matrix: shape m x n, n small.
    :param target: shape m.
    :raises FitError: when it does not converge within 10 n steps.
    """
    size = matrix.shape[1]
    active = np.zeros(size, dtype=bool)
    x = np.zeros(size)
    residual = target
    floor = _ZERO * max(matrix.shape) * float(np.linalg.norm(matrix)) * float(np.linalg.norm(target))
    for _ in range(10 * size):
        gradient = np.where(active, -np.inf, matrix.T @ residual)
        if gradient.max() <= floor:
            return x
        active[int(gradient.argmax())] = True
        trial = _solve_active(matrix, target, active, x)
        remaining = target - matrix @ trial
        if np.linalg.norm(remaining) >= np.linalg.norm(residual):  # the gradient was rounding noise after all
            return x
        x, residual = trial, remaining
    raise FitError(f"non-negative least squares did not converge for a {matrix.shape[0]} x {size} problem")


def _solve_active(matrix: Array, target: Array, active: npt.NDArray[np.bool_], x: Array) -> Array:
    """Return the best x on the active columns; columns that would turn negative are taken out of ``active``."""
    while True:
        trial = np.zeros_like(x)
        trial[active] = np.linalg.lstsq(matrix[:, active], target, rcond=None)[0]
        negative = active & (trial <= 0)
        if not negative.any():
            return trial
        step = (x[negative] / (x[negative] - trial[negative])).min()
        x = x + step * (trial - x)
        active[active & (x <= _ZERO)] = False
