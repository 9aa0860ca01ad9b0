"""One region of composition space by its corners: uniform points in it, and moves that do not leave it.

A region may be thin or flat (the hull of two stock solutions is a line), where drawing from the simplex and rejecting
would never end. Here its corners span coordinates of their own, in which it is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, Delaunay

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.region import Region

Array = npt.NDArray[np.float64]

#: Slack in mole fraction when a corner is tested against the other constraints: far above rounding, far below dosing.
CORNER_TOLERANCE = 1e-9
#: Extent in mole fraction below which a region counts as flat in a direction: no device doses finer.
FLAT = 1e-7
#: Determinant below which constraints (of unit length) count as parallel.
SINGULAR = 1e-10
#: Corner candidates beyond which the search for them would take minutes: about ten components with own limits.
MAX_CORNERS = 500_000
#: Sweeps over the facets when a point is moved back inside; what is left is cut off along the move.
SWEEPS = 20


@dataclass(frozen=True)
class Polytope:
    """A convex region in coordinates of its own.

    A composition is ``x = centre + y @ axes`` with y of shape r, the dimension of the region; y spans about one unit.

    :param corners: shape c x d, mole fractions.
    :param centre: shape d.
    :param axes: shape r x d, orthogonal rows whose length is the extent of the region.
    :param facets: shape f x (r + 1), rows (normal, offset) with ``normal @ y + offset <= 0`` inside, unit normals.
    :param simplices: shape s x (r + 1) x r, a triangulation.
    :param share: shape s, cumulated share of the volume.
    """

    corners: Array
    centre: Array
    axes: Array
    facets: Array
    simplices: Array
    share: Array

    @classmethod
    def from_region(cls, region: Region) -> Polytope:
        """Return the polytope of a region.

        :raises InputError: when the region is empty, or has so many constraints that its corners cannot be listed.
        """
        corners = find_corners(region)
        centre = corners.mean(axis=0)
        _, _, directions = np.linalg.svd(corners - centre)
        extent = np.ptp((corners - centre) @ directions.T, axis=0)
        used = extent > FLAT
        axes = directions[used] * extent[used, None]
        reduced = (corners - centre) @ (directions[used] / extent[used, None]).T
        facets, simplices = _facets_and_simplices(reduced)
        volume = np.abs(np.linalg.det(simplices[:, 1:] - simplices[:, :1])) if used.any() else np.ones(1)
        return cls(corners, centre, axes, facets, simplices, np.cumsum(volume) / volume.sum())

    @property
    def dimension(self) -> int:
        """Return r, the number of directions in which a composition can change."""
        return len(self.axes)

    def reduce(self, points: Array) -> Array:
        """Return own coordinates (n x r) of the nearest compositions in the plane of the region to points (n x d)."""
        return np.asarray((points - self.centre) @ (self.axes / (self.axes**2).sum(axis=1, keepdims=True)).T)

    def expand(self, reduced: Array) -> Array:
        """Return compositions (n x d) of own coordinates (n x r)."""
        return np.asarray(self.centre + reduced @ self.axes)

    def from_cube(self, cube: Array) -> Array:
        """Return compositions (n x d) for points of the unit cube (n x (r + 1)); equal volumes go to equal volumes.

        The first coordinate chooses a simplex of the triangulation by volume, the others the place in it (inverse of
        the conditional distributions of the uniform weights).
        """
        chosen = np.minimum(np.searchsorted(self.share, cube[:, 0], side="right"), len(self.share) - 1)
        left = np.ones(len(cube))
        weights = np.empty((len(cube), self.dimension + 1))
        for k in range(self.dimension):
            weights[:, k] = left * (1 - (1 - cube[:, k + 1]) ** (1 / (self.dimension - k)))
            left = left - weights[:, k]
        weights[:, -1] = left
        return self.expand(np.einsum("nk,nkr->nr", weights, self.simplices[chosen]))

    def pull_inside(self, points: Array, inside: Array) -> Array:
        """Return points (n x d) moved into the region; those it cannot move there stay on the way from ``inside``.

        Cyclic projection on the violated facets, then the segment from the inner point is cut at the boundary, so that
        the answer is inside exactly.

        :param inside: compositions of the region, n x d or d.
        """
        start = self.reduce(np.broadcast_to(inside, points.shape))
        reduced = self.reduce(points)
        for _ in range(SWEEPS):
            if (reduced @ self.facets[:, :-1].T + self.facets[:, -1] <= 0).all():
                break
            for facet in self.facets:
                excess = np.maximum(reduced @ facet[:-1] + facet[-1], 0.0)
                reduced = reduced - excess[:, None] * facet[:-1]
        room = -np.minimum(start @ self.facets[:, :-1].T + self.facets[:, -1], 0.0)
        way = (reduced - start) @ self.facets[:, :-1].T
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(way > room, room / way, 1.0)
        return self.expand(start + reach.min(axis=1, initial=1.0)[:, None] * (reduced - start))

    def perturb(self, points: Array, scale: float, rng: np.random.Generator) -> Array:
        """Return one neighbour of each point (n x d) of the region, at Gaussian steps of ``scale`` times its extent."""
        steps = scale * rng.standard_normal((len(points), self.dimension))
        return self.pull_inside(points + steps @ self.axes, points)


def find_corners(region: Region) -> Array:
    """Return the corners (c x d) of a region: where d - 1 constraints and the sum hold with equality.

    :raises InputError: when there is none, or too many combinations of constraints to try.
    """
    dimension = len(region.names)
    norms = np.linalg.norm(region.matrix, axis=1, keepdims=True)
    rows = np.vstack([-np.eye(dimension), np.eye(dimension), region.matrix / np.maximum(norms, 1e-300)])
    right = np.concatenate([-region.lower, region.upper, region.bound / np.maximum(norms[:, 0], 1e-300)])
    if comb(len(rows), dimension - 1) > MAX_CORNERS:
        msg = f"a region of {dimension} components with {len(rows)} limits has too many corners to list"
        raise InputError(msg)
    chosen = np.array(list(combinations(range(len(rows)), dimension - 1)))
    systems = np.concatenate([rows[chosen], np.ones((len(chosen), 1, dimension))], axis=1)
    values = np.concatenate([right[chosen], np.ones((len(chosen), 1))], axis=1)
    regular = np.abs(np.linalg.det(systems)) > SINGULAR
    points = np.linalg.solve(systems[regular], values[regular][:, :, None])[:, :, 0]
    points = points[(points @ rows.T <= right + CORNER_TOLERANCE).all(axis=1)]
    if len(points) == 0:
        msg = f"no composition of {list(region.names)} satisfies all limits of a region"
        raise InputError(msg)
    points = np.clip(points, region.lower, np.maximum(region.upper, region.lower))
    _, first = np.unique(np.round(points, 9), axis=0, return_index=True)
    return np.asarray(points[np.sort(first)])


def _facets_and_simplices(reduced: Array) -> tuple[Array, Array]:
    """Return facets (f x (r + 1)) and simplices (s x (r + 1) x r) of the hull of points (c x r)."""
    rank = reduced.shape[1]
    if rank == 0:
        return np.zeros((0, 1)), np.zeros((1, 1, 0))
    if rank == 1:
        low, high = reduced.min(), reduced.max()
        return np.array([[1.0, -high], [-1.0, low]]), np.array([[[low], [high]]])
    equations = ConvexHull(reduced).equations
    _, first = np.unique(np.round(equations, 9), axis=0, return_index=True)  # a facet comes once per triangle in it
    return equations[np.sort(first)], reduced[Delaunay(reduced).simplices]
