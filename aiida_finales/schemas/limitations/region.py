"""A region of composition space: fractions that sum to one, within bounds and linear constraints.

The limitations of a tenant, the reachable set of a robot's stock solutions and the design space of a campaign are all
unions of such regions, so that "can you do this?", "what is the nearest you can do?" and "where may I look?" have one
answer.

scipy is loaded where something is solved: it takes a quarter of a second, and a command that lists solves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError

#: Largest violation, in mole fraction, that still counts as inside: a thousandth of the finest dosing step (1e-5).
TOLERANCE = 1e-8

#: Same for what a projection returns: the solver squares the condition of the constraints.
_PROJECTION_TOLERANCE = 1e-6

#: Singular values below this mean that the solutions do not differ in that direction.
_FLAT = 1e-9

#: A residual below this means that the constraints contradict each other.
_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Region:
    """The set {x : lower <= x <= upper, matrix @ x <= bound, sum(x) = 1}.

    :param names: the d components, by InChIKey.
    :param lower: shape d, mole fraction.
    :param upper: shape d, mole fraction.
    :param matrix: shape m x d, the linear constraints; m may be 0.
    :param bound: shape m.
    """

    names: tuple[str, ...]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]
    bound: npt.NDArray[np.float64]

    def __eq__(self, other: object) -> bool:
        # arrays answer a comparison by an array, so that the fields cannot be compared as a dataclass does
        return isinstance(other, Region) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[tuple[str, ...], bytes]:
        return self.names, b"|".join(part.tobytes() for part in (self.lower, self.upper, self.matrix, self.bound))

    @classmethod
    def from_box(cls, limits: dict[str, tuple[float, float]]) -> Region:
        """Return the region in which each component keeps its own (lower, upper) limits."""
        names = tuple(limits)
        low, high = np.array([limits[name] for name in names], dtype=float).T
        return cls(names, low, high, np.zeros((0, len(names))), np.zeros(0))

    @classmethod
    def from_hull(cls, names: tuple[str, ...], vertices: npt.NDArray[np.float64]) -> Region:
        """Return everything that can be mixed from given solutions.

        :param names: the d components.
        :param vertices: shape n x d, the composition of each solution in mole fractions.
        :raises InputError: when fewer than one solution is given, a row does not sum to 1, or the solutions differ too
            little in some direction for a hull.
        """
        points = np.atleast_2d(np.asarray(vertices, dtype=float))
        if points.shape[0] < 1 or not np.allclose(points.sum(axis=1), 1.0, atol=1e-6):
            message = f"a hull needs rows of {len(names)} fractions that each sum to 1, got {points.tolist()}"
            raise InputError(message)
        matrix, bound = _hull_inequalities(points)
        return cls(names, points.min(axis=0), points.max(axis=0), matrix, bound)

    def intersect(self, other: Region) -> Region:
        """Return the part that both regions share; a component only one of them names must be absent (0) in both."""
        names = self.names + tuple(name for name in other.names if name not in self.names)
        first, second = self.reorder(names), other.reorder(names)
        return Region(
            names,
            np.maximum(first.lower, second.lower),
            np.minimum(first.upper, second.upper),
            np.vstack([first.matrix, second.matrix]),
            np.concatenate([first.bound, second.bound]),
        )

    def reorder(self, names: tuple[str, ...]) -> Region:
        """Return the same region with these components in this order; components it did not name are fixed at 0."""
        missing = [name for name in self.names if name not in names]
        if missing:
            message = f"components {missing} of the region are not among {list(names)}"
            raise InputError(message)
        index = [names.index(name) for name in self.names]
        lower, upper = np.zeros(len(names)), np.zeros(len(names))
        matrix = np.zeros((len(self.bound), len(names)))
        lower[index], upper[index] = self.lower, self.upper
        matrix[:, index] = self.matrix
        return Region(names, lower, upper, matrix, self.bound)

    def violation(self, point: npt.NDArray[np.float64]) -> float:
        """Return by how much, in mole fraction, the worst constraint is broken at a point of shape d; 0 inside."""
        parts = (self.lower - point, point - self.upper, self.matrix @ point - self.bound)
        return max(float(np.concatenate(parts).max()), float(abs(point.sum() - 1)))

    def contains(self, point: npt.NDArray[np.float64], tolerance: float = TOLERANCE) -> bool:
        """Return whether a point of shape d is inside, up to a tolerance in mole fraction."""
        return self.violation(np.asarray(point, dtype=float)) <= tolerance

    def is_empty(self) -> bool:
        """Return whether no composition satisfies all constraints."""
        from scipy.optimize import linprog

        if (self.upper < self.lower - TOLERANCE).any():
            return True
        # the smallest excess over the constraints, which always has an answer: asked for a point without excess, the
        # solver finds none in some regions that are a mere line between two solutions
        number, rows = len(self.names), len(self.bound)
        answer = linprog(
            np.append(np.zeros(number), 1.0),
            A_ub=np.column_stack([self.matrix, -np.ones(rows)]) if rows else None,
            b_ub=self.bound if rows else None,
            A_eq=np.append(np.ones(number), 0.0)[None],
            b_eq=[1.0],
            bounds=[*zip(self.lower, np.maximum(self.upper, self.lower), strict=True), (0.0, None)],
        )
        return answer.x is None or answer.x[-1] > _PROJECTION_TOLERANCE

    def nearest(self, point: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """Return the point of the region closest (Euclidean) to a point of shape d, or ``None`` when it is empty.

        Least distance programming by non-negative least squares: Lawson and Hanson, Solving Least Squares Problems
        (1974), chapter 23, doi:10.1137/1.9781611971217.
        """
        target = np.asarray(point, dtype=float)
        if self.contains(target):
            return target
        eye, ones = np.eye(len(self.names)), np.ones((1, len(self.names)))
        rows = np.vstack([eye, -eye, -self.matrix, ones, -ones])  # rows @ x >= right
        right = np.concatenate([self.lower, -self.upper, -self.bound, [1.0, -1.0]]) - rows @ target
        system = np.vstack([rows.T, right])
        goal = np.zeros(len(self.names) + 1)
        goal[-1] = 1.0
        for solve in (_solve_fast, _solve_surely):
            residual = system @ solve(system, goal) - goal
            if abs(residual[-1]) < _NOTHING:
                continue
            best: npt.NDArray[np.float64] = np.clip(target - residual[:-1] / residual[-1], self.lower, self.upper)
            if self.contains(best, _PROJECTION_TOLERANCE):
                return best
        return None


def _solve_fast(system: npt.NDArray[np.float64], goal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the non-negative least squares solution; wrong for a few of a thousand nearly redundant constraints."""
    from scipy.optimize import nnls

    try:
        weights: npt.NDArray[np.float64] = nnls(system, goal, maxiter=100 * system.shape[1])[0]
    except RuntimeError:  # too many iterations: the other solver answers
        return np.zeros(system.shape[1])
    return weights


def _solve_surely(system: npt.NDArray[np.float64], goal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the same, ten times slower, by a solver that keeps its active set consistent."""
    from scipy.optimize import lsq_linear

    weights: npt.NDArray[np.float64] = lsq_linear(
        system, goal, bounds=(0, np.inf), method="bvls", tol=1e-14, max_iter=500
    ).x
    return weights


def _hull_inequalities(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return matrix (m x d) and bound (m) of the convex hull of points (n x d), whatever its dimension."""
    centre = points.mean(axis=0)
    _, singular, axes = np.linalg.svd(points - centre)
    rank = int((singular > _FLAT).sum())
    span = axes[:rank]
    # across the directions in which all solutions agree nothing can be mixed (two inequalities make an equality);
    # the direction (1, ..., 1) is left out, because fractions sum to one anyway
    rest = axes[rank:] - axes[rank:].mean(axis=1, keepdims=True)
    rest = rest[np.linalg.norm(rest, axis=1) > _PROJECTION_TOLERANCE]
    rows = [rest, -rest]
    offsets = [rest @ centre, -rest @ centre]
    if rank == 1:
        along = (points - centre) @ span[0]
        rows += [span, -span]
        offsets += [span @ centre + along.max(), -(span @ centre) - along.min()]
    elif rank > 1:
        equations = _enclose((points - centre) @ span.T)
        normals = equations[:, :-1] @ span
        rows.append(normals)
        offsets.append(normals @ centre - equations[:, -1])
    return np.vstack(rows), np.concatenate(offsets)


def _enclose(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the faces of the hull of points (n x k) that fill k directions: outward normal and offset, each a row.

    :raises InputError: when they differ too little in some direction.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        faces: npt.NDArray[np.float64] = ConvexHull(points).equations
    except QhullError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"a hull needs solutions that differ clearly in every direction in which they differ at all, got "
            f"{len(points)} that do not ({reason}): leave out those that are nearly a mixture of the others"
        ) from error
    return faces
