"""In which coordinates a model sees a point of a design space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.optimisation.kernel import Points
from aiida_finales.optimisation.problem import Variable
from aiida_finales.optimisation.space import HALF, INSIDE, DesignSpace
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Coordinates:
    """The free components in units of the range of the target: 0 at its lower, 1 at its upper limit.

    One component follows from the others and is left out, the one with the widest range, whose own limits matter
    least; components that no source varies are left out too. Variables are scaled by their range. Of components that
    stand for one another the sum is one component, and which of them it is an option, as of a category.

    :param free: indices of the f free components and variables.
    :param lower: shape f, mole fraction or unit of the variable.
    :param width: shape f, mole fraction or unit of the variable.
    :param n_components: d.
    :param n_numbers: d + v, after which come the options.
    :param is_quadratic: whether the trend is.
    :param groups: indices of the components of which each mixture has one.
    """

    free: tuple[int, ...]
    lower: Array
    width: Array
    n_components: int
    n_numbers: int
    is_quadratic: bool = True
    groups: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of_spaces(
        cls,
        target: DesignSpace,
        spaces: Sequence[DesignSpace],
        variables: Sequence[Variable] = (),
        groups: tuple[tuple[int, ...], ...] = (),
        n_quadratic: int = 1000,
    ) -> Coordinates:
        """Return the coordinates for the space of the target; components fixed in it get the range over all spaces."""
        every, own = (_merge(corners, groups) for corners in (np.vstack([space.corners for space in spaces]),
                                                              target.corners))  # fmt: skip
        lower, width = own.min(axis=0), np.ptp(own, axis=0)
        fixed = width < 10 * INSIDE
        lower = np.where(fixed, every.min(axis=0), lower)
        width = np.where(fixed, np.ptp(every, axis=0), width)
        dependent = len(width) - 1 - int(np.argmax(width.round(12)[::-1]))
        free = [k for k in range(len(width)) if k != dependent and width[k] >= 10 * INSIDE]
        numbers = [*free, *range(len(width), len(width) + len(variables))]
        lower = np.concatenate([lower[free], [variable.lower for variable in variables]])
        extent = np.concatenate([width[free], [variable.upper - variable.lower for variable in variables]])
        return cls(tuple(numbers), lower, extent, len(width), len(width) + len(variables),
                   len(numbers) <= n_quadratic, groups)  # fmt: skip

    def scale(self, points: Array) -> Array:
        """Return coordinates (n x f) of points."""
        return np.asarray((_merge(points, self.groups)[:, list(self.free)] - self.lower) / self.width)

    def gaps(self, points: Array, others: Array) -> Array:
        """Return distances (n x m): the largest difference in a mole fraction, or in the share of a variable's range.

        Where options differ it is infinite.
        """
        n_variables = self.n_numbers - self.n_components
        fractions = np.abs(points[:, None, : self.n_components] - others[None, :, : self.n_components]).max(axis=2)
        numbers = slice(self.n_components, self.n_numbers)
        shares = (
            np.abs(points[:, None, numbers] - others[None, :, numbers]) / self.width[len(self.width) - n_variables :]
        )
        result = np.maximum(fractions, shares.max(axis=2, initial=0.0))
        differ = (np.abs(points[:, None, self.n_numbers :] - others[None, :, self.n_numbers :]) > HALF).any(axis=2)
        return np.asarray(np.where(differ, np.inf, result))

    def points(self, points: Array, source: Labels | int) -> Points:
        """Return points at one source, or at one each, as the kernel sees them."""
        which = [points[:, list(group)].argmax(axis=1) for group in self.groups]
        options = np.column_stack([points[:, self.n_numbers :], *which])
        return Points.of_source(self.scale(points), source, options, is_quadratic=self.is_quadratic)


def _merge(points: Array, groups: Sequence[tuple[int, ...]]) -> Array:
    """Return points (n x d or more) with the sum of each group in its first component, and nothing in the others."""
    merged = points.copy()
    for first, *others in groups:
        merged[:, first] += merged[:, others].sum(axis=1)
        merged[:, others] = 0.0
    return merged
