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

from aiida_finales.exceptions import InputError, OptimiserError
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.science.array import Array

#: Slack in mole fraction when a corner is tested against the other constraints: far above rounding, far below dosing.
CORNER_TOLERANCE = 1e-9
#: Extent in mole fraction below which a region counts as flat in a direction: no device doses finer.
FLAT = 1e-7
#: Length of the projection on a region below which a constraint does not limit anything in it.
PARALLEL = 1e-9
#: Determinant below which constraints (of unit length) count as parallel.
SINGULAR = 1e-10
#: Combinations of constraints that are tried one by one, in about a second; the search for more of them is indirect.
MAX_COMBINATIONS = 200_000
#: Bound on the number of simplices (order of magnitude, upper bound theorem) beyond which they take minutes to find.
MAX_SIMPLICES = 100_000_000
#: Distance from a facet, in units of the extent of the region, below which a point is on it.
ON_FACE = 1e-6
#: Chance of a point on a facet to stay on it.
STAYING = 0.5
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

        :raises InputError: when the region is empty.
        :raises OptimiserError: when it has too many corners to list or to triangulate.
        """
        corners = find_corners(region)
        centre = corners.mean(axis=0)
        directions = _choose_directions(corners - centre)
        extent = np.ptp((corners - centre) @ directions.T, axis=0)
        axes = directions * extent[:, None]
        reduced = (corners - centre) @ (directions / extent[:, None]).T
        rows, right = _list_constraints(region)
        slopes = rows @ axes.T
        lengths = np.linalg.norm(slopes, axis=1)
        limits = lengths > PARALLEL  # the others hold everywhere in a flat region
        facets = np.column_stack([slopes, rows @ centre - right])[limits] / lengths[limits, None]
        simplices = _triangulate(reduced)
        volume = np.abs(np.linalg.det(simplices[:, 1:] - simplices[:, :1])) if len(axes) else np.ones(1)
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

    def perturb(self, points: Array, scale: float, rng: np.random.Generator, *, stays_on_faces: bool = False) -> Array:
        """Return one neighbour of each point (n x d) of the region, at Gaussian steps of ``scale`` times its extent.

        :param stays_on_faces: whether a point on a face leaves it only every second time.
        """
        steps = scale * rng.standard_normal((len(points), self.dimension))
        if stays_on_faces:
            distance = self.reduce(points) @ self.facets[:, :-1].T + self.facets[:, -1]
            kept = (distance > -ON_FACE) & (rng.random(distance.shape) < STAYING)
            for facet, is_kept in zip(self.facets, kept.T, strict=True):
                steps -= (is_kept * (steps @ facet[:-1]))[:, None] * facet[:-1]
        return self.pull_inside(points + steps @ self.axes, points)


def find_corners(region: Region) -> Array:
    """Return the corners (c x d) of a region: where d - 1 constraints and the sum hold with equality.

    :raises InputError: when there is none.
    :raises OptimiserError: when the region is flat and has more constraints than can be tried one by one.
    """
    present = np.flatnonzero((region.lower > 0) | (region.upper > 0))
    if 1 < len(present) < len(region.names):  # those of other tenants' chemicals would make the region flat
        part = find_corners(_take(region, present))
        found = np.zeros((len(part), len(region.names)))
        found[:, present] = part
        return found
    rows, right = _list_constraints(region)
    dimension = len(region.names)
    if comb(len(rows), dimension - 1) > MAX_COMBINATIONS:
        points = _corners_by_duality(rows, right)
    else:
        points = _corners_by_trial(rows, right)
    if len(points) == 0:
        msg = f"no composition of {list(region.names)} satisfies all limits of a region"
        raise InputError(msg)
    points = np.clip(points, region.lower, np.maximum(region.upper, region.lower))
    _, first = np.unique(np.round(points, 9) + 0.0, axis=0, return_index=True)  # 0.0: there is a -0.0
    return np.asarray(points[first])


def _take(region: Region, chosen: npt.NDArray[np.int64]) -> Region:
    """Return a region over some of its components, the others of which are absent."""
    names = tuple(region.names[k] for k in chosen)
    return Region(names, region.lower[chosen], region.upper[chosen], region.matrix[:, chosen], region.bound)


def _choose_directions(offsets: Array) -> Array:
    """Return orthonormal directions (r x d) that span offsets (c x d): each towards the farthest of what is left.

    Principal axes would do as well, but those of a symmetric region (a whole triangle) are any, and each processor
    finds others: its suggestions then differ by as much as the region is wide.
    """
    left, directions = offsets, np.empty((0, offsets.shape[1]))
    while len(directions) < offsets.shape[1]:
        lengths = np.linalg.norm(left, axis=1)
        if lengths.max() <= FLAT:
            break
        farthest = left[np.flatnonzero(lengths >= lengths.max() - CORNER_TOLERANCE)[0]]
        farthest = farthest - farthest @ directions.T @ directions  # once more: what is left may be short
        directions = np.vstack([directions, farthest / np.linalg.norm(farthest)])
        left = offsets - offsets @ directions.T @ directions
    return directions


def _corners_by_trial(rows: Array, right: Array) -> Array:
    """Return the corners (c x d) of ``rows @ x <= right`` (n constraints), flat regions included."""
    dimension = rows.shape[1]
    chosen = np.array(list(combinations(range(len(rows)), dimension - 1)))
    systems = np.concatenate([rows[chosen], np.ones((len(chosen), 1, dimension))], axis=1)
    values = np.concatenate([right[chosen], np.ones((len(chosen), 1))], axis=1)
    regular = np.abs(np.linalg.det(systems)) > SINGULAR
    points = np.linalg.solve(systems[regular], values[regular][:, :, None])[:, :, 0]
    return np.asarray(points[(points @ rows.T <= right + CORNER_TOLERANCE).all(axis=1)])


def _corners_by_duality(rows: Array, right: Array) -> Array:
    """Return the same for many constraints, from the hull of the dual points; the region must not be flat.

    :raises OptimiserError: when it is flat.
    """
    from scipy.optimize import linprog
    from scipy.spatial import HalfspaceIntersection

    dimension = rows.shape[1]
    plane = np.linalg.svd(np.ones((1, dimension)))[2][1:]
    slopes, bounds = rows @ plane.T, right - rows.mean(axis=1)
    lengths = np.linalg.norm(slopes, axis=1)
    largest_ball = linprog(
        [*np.zeros(dimension - 1), -1.0],
        A_ub=np.column_stack([slopes, lengths]),
        b_ub=bounds,
        bounds=[*[(None, None)] * (dimension - 1), (0, None)],
    )
    if largest_ball.x is None:
        return np.empty((0, dimension))
    if largest_ball.x[-1] < FLAT:
        msg = f"a flat region of {dimension} components with {len(rows)} limits has too many corners to list"
        raise OptimiserError(msg)
    found = HalfspaceIntersection(np.column_stack([slopes, -bounds]), largest_ball.x[:-1]).intersections
    return np.asarray(1 / dimension + found @ plane)


def _list_constraints(region: Region) -> tuple[Array, Array]:
    """Return rows of unit length (n x d) and bounds (n), ``rows @ x <= bounds``, of all limits of a region."""
    norms = np.maximum(np.linalg.norm(region.matrix, axis=1), 1e-300)
    eye = np.eye(len(region.names))
    rows = np.vstack([-eye, eye, region.matrix / norms[:, None]])
    return rows, np.concatenate([-region.lower, region.upper, region.bound / norms])


def _triangulate(reduced: Array) -> Array:
    """Return simplices (s x (r + 1) x r) that fill the hull of points (c x r).

    :raises OptimiserError: when there may be too many of them.
    """
    from scipy.spatial import ConvexHull

    rank = reduced.shape[1]
    if rank == 0:
        return np.zeros((1, 1, 0))
    if rank == 1:
        return np.array([[[reduced.min()], [reduced.max()]]])
    if len(reduced) == rank + 1:
        return np.asarray(reduced[None])
    if len(reduced) ** ((rank + 1) // 2) > MAX_SIMPLICES:
        msg = (
            f"a region with {len(reduced)} corners in {rank} dimensions is too complex: use fewer components or limits"
        )
        raise OptimiserError(msg)
    # the lower side of the corners at heights of their own; Delaunay's heights are equally good in many ways where
    # corners lie on one circle, as those of a box do, and the last digits would choose
    heights = np.random.default_rng(0).random(len(reduced))
    hull = ConvexHull(np.column_stack([reduced, heights]))
    chosen = np.sort(hull.simplices[hull.equations[:, -2] < -PARALLEL], axis=1)
    return np.asarray(reduced[chosen[np.lexsort(chosen.T[::-1])]])
