"""The design space of a source: where it may be asked, in which steps, and in which coordinates a model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.problem import Problem
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]

#: Largest number of components for which two steps around a composition are searched for one on the lattice (4^(d-1)).
WIDE_SEARCH = 6
#: Slack in mole fraction for points that were put on a limit by arithmetic; below the tolerance of the tenants.
INSIDE = 1e-9


@dataclass(frozen=True)
class DesignSpace:
    """The union of the regions in which a source may be asked, each drawn in by the margin.

    :param regions: in the order of the components of the problem.
    :param resolution: step in mole fraction.
    """

    regions: tuple[Region, ...]
    polytopes: tuple[Polytope, ...]
    resolution: float

    @classmethod
    def of_source(cls, problem: Problem, source: str) -> DesignSpace:
        """Return the space of a source; alternatives that are empty are left out.

        :raises InputError: when nothing is left.
        """
        regions, polytopes, reasons = [], [], []
        for alternative in problem.sources[problem.index(source)].regions:
            try:
                region = draw_in(_restrict(alternative, problem.components), problem.settings.margin)
                polytopes.append(Polytope.from_region(region))
            except InputError as error:
                reasons.append(str(error))
                continue
            regions.append(region)
        if not regions:
            margin = problem.settings.margin
            msg = f"source {source!r} can do no composition, with a margin of {margin}: {'; '.join(reasons)}"
            raise InputError(msg)
        return cls(tuple(regions), tuple(polytopes), problem.settings.resolution)

    @property
    def corners(self) -> Array:
        """Return the corners of all regions, c x d."""
        return np.vstack([polytope.corners for polytope in self.polytopes])

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Labels]:
        """Return n uniform compositions (n x d) and the region each is in; every region gets the same share."""
        parts = np.sort(np.arange(n) % len(self.polytopes))
        points = [
            polytope.from_cube(rng.random((int((parts == k).sum()), polytope.dimension + 1)))
            for k, polytope in enumerate(self.polytopes)
        ]
        return np.vstack(points), parts

    def contains(self, points: Array) -> npt.NDArray[np.bool_]:
        """Return which points (n x d) are in any region."""
        inside = np.zeros(len(points), dtype=bool)
        for region in self.regions:
            inside |= _is_inside(region, points)
        return inside

    def admit(self, points: Array) -> tuple[Array, Labels]:
        """Return, for each region, all points (n x d) moved into it, and the region each is in."""
        moved = [polytope.pull_inside(points, polytope.centre) for polytope in self.polytopes]
        return np.vstack(moved), np.repeat(np.arange(len(moved)), len(points))

    def perturb(self, points: Array, parts: Labels, scale: float, rng: np.random.Generator) -> Array:
        """Return a neighbour of each point (n x d) in its own region."""
        moved = points.copy()
        for k, polytope in enumerate(self.polytopes):
            moved[parts == k] = polytope.perturb(points[parts == k], scale, rng)
        return moved

    def round(self, point: Array) -> tuple[Array, bool]:
        """Return the nearest composition in whole steps inside a region, and whether there was one.

        A region thinner than a step may hold none; the point is then returned as it is.
        """
        steps = round(1 / self.resolution)
        reach = (-1, 0, 1, 2) if len(point) <= WIDE_SEARCH else (0, 1)
        offsets = np.array(list(product(reach, repeat=len(point) - 1)))
        counts = np.floor(point[:-1] * steps + 1e-6) + offsets
        lattice = np.hstack([counts, steps - counts.sum(axis=1, keepdims=True)]) / steps
        lattice = lattice[self.contains(lattice)]
        if len(lattice) == 0:
            return point, False
        return np.asarray(lattice[((lattice - point) ** 2).sum(axis=1).round(15).argmin()]), True


@dataclass(frozen=True)
class Coordinates:
    """The free components in units of the range of the target: 0 at its lower, 1 at its upper limit.

    One component follows from the others and is left out, the one with the widest range, whose own limits matter
    least; components that no source varies are left out too.

    :param free: indices of the f free components.
    :param lower: shape f, mole fraction.
    :param width: shape f, mole fraction.
    """

    free: tuple[int, ...]
    lower: Array
    width: Array

    @classmethod
    def of_spaces(cls, target: DesignSpace, spaces: Sequence[DesignSpace]) -> Coordinates:
        """Return the coordinates for the space of the target; components fixed in it get the range over all spaces."""
        every = np.vstack([space.corners for space in spaces])
        lower, width = target.corners.min(axis=0), np.ptp(target.corners, axis=0)
        fixed = width < 10 * INSIDE
        lower = np.where(fixed, every.min(axis=0), lower)
        width = np.where(fixed, np.ptp(every, axis=0), width)
        dependent = len(width) - 1 - int(np.argmax(width.round(12)[::-1]))
        free = [k for k in range(len(width)) if k != dependent and width[k] >= 10 * INSIDE]
        return cls(tuple(free), lower[free], width[free])

    def scale(self, points: Array) -> Array:
        """Return coordinates (n x f) of compositions (n x d)."""
        return np.asarray((points[:, list(self.free)] - self.lower) / self.width)


def draw_in(region: Region, margin: float) -> Region:
    """Return the region with every limit moved inwards by a mole fraction.

    Absence (0) and purity (1) stay: they need no dosing. So do components that the region fixes, and pairs of
    constraints that make an equality.
    """
    fixed = region.upper - region.lower <= INSIDE
    lower = region.lower + margin * ((region.lower > 0) & ~fixed)
    upper = region.upper - margin * ((region.upper < 1) & ~fixed)
    opposite = np.abs(region.matrix[:, None] + region.matrix[None]).max(axis=2, initial=0.0) <= INSIDE
    is_equality = (opposite & (np.abs(region.bound[:, None] + region.bound[None]) <= INSIDE)).any(axis=1)
    bound = region.bound - margin * np.linalg.norm(region.matrix, axis=1) * ~is_equality
    return Region(region.names, lower, upper, region.matrix, bound)


def _restrict(region: Region, components: tuple[str, ...]) -> Region:
    """Return a region over these components, its others absent."""
    extra = [name for name in region.names if name not in components]
    if not extra:
        return region.reorder(components)
    full = region.reorder(components + tuple(extra))
    if (full.lower[len(components) :] > INSIDE).any():
        msg = f"a region needs {extra}, which are not among the components {list(components)} of the problem"
        raise InputError(msg)
    d = len(components)
    return Region(components, full.lower[:d], full.upper[:d], full.matrix[:, :d], full.bound)


def _is_inside(region: Region, points: Array) -> npt.NDArray[np.bool_]:
    """Return which points (n x d) satisfy all constraints of a region."""
    in_box = ((points >= region.lower - INSIDE) & (points <= region.upper + INSIDE)).all(axis=1)
    in_hull = (points @ region.matrix.T <= region.bound + INSIDE).all(axis=1)
    return np.asarray(in_box & in_hull & (np.abs(points.sum(axis=1) - 1) <= INSIDE))
