"""The design space of a source: where it may be asked, and in which steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.objective import require
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.problem import Beside, Problem, Source
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]

#: Largest number of components for which two steps around a composition are searched for one on the lattice (4^(d-1)).
WIDE_SEARCH = 6
#: Slack in mole fraction for points that were put on a limit by arithmetic; below the tolerance of the tenants.
INSIDE = 1e-9
#: Chance of a variable to be inside its range, not at an end, where faces are looked at.
HALF = 0.5
#: Digits of a variable that count, of the width of its range.
DIGITS = 3
#: Combinations of options at most: each is searched.
MAX_CHOICES = 64


@dataclass(frozen=True)
class Side:
    """What varies beside the composition within a region.

    :param pieces: of each variable shape k x 2, the ranges that can be done, ascending, in its unit.
    :param choices: shape k x c, the combinations of options; one row without columns where there are no categories.
    """

    pieces: tuple[Array, ...]
    choices: Array

    @classmethod
    def shared(cls, problem: Problem, sources: Sequence[Source], regions: Sequence[int]) -> Side:
        """Return what all of these sources can do, each in the region of this number.

        :raises InputError: when there is nothing.
        """
        beside = [source.beside[k] if source.beside else Beside() for source, k in zip(sources, regions, strict=True)]
        return cls(_pieces(problem, sources, beside), _choices(problem, sources, beside))

    @cached_property
    def box(self) -> Array:
        """Return the lowest and highest value of each variable (v x 2)."""
        return np.array([[piece.min(), piece.max()] for piece in self.pieces], dtype=float).reshape(-1, 2)

    def clip(self, values: Array) -> Array:
        """Return variables (n x v) moved to the nearest that can be done."""
        clipped = np.clip(values, self.box[:, 0], self.box[:, 1])
        for k, piece in enumerate(self.pieces):
            ends = np.clip(values[:, k, None], piece[:, 0], piece[:, 1])
            clipped[:, k] = ends[np.arange(len(ends)), np.abs(ends - values[:, k, None]).argmin(axis=1)]
        return clipped

    def admits(self, rest: Array) -> bool:
        """Return whether variables and options (v + c) can be done."""
        values, options = rest[None, : len(self.pieces)], rest[len(self.pieces) :]
        is_choice = bool((self.choices == options).all(axis=1).any())
        return is_choice and bool(np.isclose(self.clip(values), values, rtol=INSIDE, atol=0.0).all())


@dataclass(frozen=True)
class DesignSpace:
    """The union of the regions in which a source may be asked, each drawn in by the margin, and all that varies beside.

    A point is a row of d mole fractions, v variables and c numbers of options.

    :param regions: in the order of the components of the problem.
    :param resolution: step in mole fraction.
    :param sides: of each region, what goes with it.
    """

    regions: tuple[Region, ...]
    polytopes: tuple[Polytope, ...]
    resolution: float
    sides: tuple[Side, ...]

    def count_points(self) -> int | None:
        """Return how many points there are, or ``None`` where something varies continuously."""
        is_discrete = not len(self.box) and all(
            float(np.ptp(polytope.corners, axis=0).max()) < self.resolution for polytope in self.polytopes
        )
        return sum(len(side.choices) for side in self.sides) if is_discrete else None

    def list_points(self) -> Array:
        """Return all points there are, n x (d + c); none where something varies continuously."""
        if self.count_points() is None:
            return np.empty((0, self.n_components + self.choices.shape[1]))
        pairs = zip(self.polytopes, self.sides, strict=True)
        return np.vstack([np.append(polytope.centre, row) for polytope, side in pairs for row in side.choices])

    @classmethod
    def of_source(cls, problem: Problem, source: str) -> DesignSpace:
        """Return the space of a source; alternatives that are empty are left out.

        :raises InputError: when nothing is left.
        """
        return cls.shared(problem, (source,))

    @classmethod
    def shared(cls, problem: Problem, names: Sequence[str]) -> DesignSpace:
        """Return what all of these sources can do; combinations of alternatives that are empty are left out.

        :raises InputError: when nothing is left.
        """
        sources = [problem.sources[problem.index(name)] for name in names]
        margin, who = problem.settings.margin, " and ".join(f"source {name!r}" for name in names)
        found, reasons = [], []
        for numbers in product(*(range(len(source.regions)) for source in sources)):
            try:
                side = Side.shared(problem, sources, numbers)
                alternatives = [source.regions[k] for source, k in zip(sources, numbers, strict=True)]
                parts = [_restrict(alternative, problem.components) for alternative in alternatives]
                region = draw_in(reduce(_share, parts), margin)
                found.append((region, Polytope.from_region(region), side))
            except InputError as error:
                reasons.append(str(error))
        if not found:
            together = "" if len(names) == 1 else "together "
            msg = (
                f"{who} can {together}do no composition, with a margin of {margin}: {'; '.join(dict.fromkeys(reasons))}"
            )
            raise InputError(msg)
        regions, polytopes, sides = zip(*found, strict=True)
        return cls(regions, polytopes, problem.settings.resolution, sides)

    @cached_property
    def box(self) -> Array:
        """Return the lowest and highest value of each variable in any region (v x 2)."""
        boxes = np.stack([side.box for side in self.sides])
        return np.stack([boxes[..., 0].min(axis=0), boxes[..., 1].max(axis=0)], axis=1)

    @cached_property
    def choices(self) -> Array:
        """Return the combinations of options (k x c) that can be done in any region."""
        return np.unique(np.vstack([side.choices for side in self.sides]), axis=0)

    @property
    def corners(self) -> Array:
        """Return the corners of all regions, c x d."""
        return np.vstack([polytope.corners for polytope in self.polytopes])

    @property
    def n_components(self) -> int:
        """Return d."""
        return len(self.regions[0].names)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Labels]:
        """Return n uniform points and the region each is in; every region and combination gets the same share."""
        parts = np.sort(np.arange(n) % len(self.polytopes))
        points = [
            polytope.from_cube(rng.random((int((parts == k).sum()), polytope.dimension + 1)))
            for k, polytope in enumerate(self.polytopes)
        ]
        return self._complete(np.vstack(points), parts, rng.random((n, len(self.box)))), parts

    def _complete(self, compositions: Array, parts: Labels, cube: Array) -> Array:
        """Return compositions (n x d) with variables at shares (n x v) of their ranges, and options in turn."""
        turns, rest = np.arange(len(compositions)), np.empty((len(compositions), self.choices.shape[1]))
        variables = np.empty_like(cube)
        for k, side in enumerate(self.sides):
            own = parts == k
            variables[own] = side.clip(side.box[:, 0] + cube[own] * np.ptp(side.box, axis=1))
            rest[own] = side.choices[turns[own] % len(side.choices)]
        return np.hstack([compositions, variables, rest])

    def on_faces(self, n: int, rng: np.random.Generator) -> tuple[Array, Labels]:
        """Return all corners (up to n) and n points on edges and faces, with variables often at an end of the range."""
        places, parts = [], []
        for k, polytope in enumerate(self.polytopes):
            corners, share = polytope.corners, n // len(self.polytopes)
            chosen = rng.integers(len(corners), size=(share, 3))
            weights = rng.dirichlet(np.ones(3), share)
            weights[::2, 2] = 0.0  # every second one on the line between two corners
            weights /= weights.sum(axis=1, keepdims=True)
            mixed = np.einsum("nk,nkd->nd", weights, corners[chosen])
            places.append(np.vstack([corners[:n], mixed]))
            parts.append(np.full(len(places[-1]), k))
        compositions, labels = np.vstack(places), np.concatenate(parts)
        cube = rng.random((len(compositions), len(self.box)))
        is_inner = rng.random(cube.shape) < HALF
        return self._complete(compositions, labels, np.where(is_inner, cube, cube.round())), labels

    def contains(self, points: Array) -> npt.NDArray[np.bool_]:
        """Return which points (n x d, or whole rows) are in any region."""
        inside = np.zeros(len(points), dtype=bool)
        for region in self.regions:
            inside |= _is_inside(region, points[:, : self.n_components])
        return inside

    def admit(self, points: Array) -> tuple[Array, Labels]:
        """Return, for each region, all points (n) moved into it, and the region each is in."""
        d, v, moved = self.n_components, len(self.box), []
        for polytope, side in zip(self.polytopes, self.sides, strict=True):
            gaps = np.abs(points[:, None, d + v :] - side.choices[None]).sum(axis=2)
            rest = side.clip(points[:, d : d + v]), side.choices[gaps.argmin(axis=1)]
            moved.append(np.hstack([polytope.pull_inside(points[:, :d], polytope.centre), *rest]))
        return np.vstack(moved), np.repeat(np.arange(len(moved)), len(points))

    def perturb(
        self, points: Array, parts: Labels, scale: float, rng: np.random.Generator, *, stays_on_faces: bool = False
    ) -> Array:
        """Return a neighbour of each point (n) in its own region, with the same options."""
        moved, d, v = points.copy(), self.n_components, len(self.box)
        for k, polytope in enumerate(self.polytopes):
            moved[parts == k, :d] = polytope.perturb(points[parts == k, :d], scale, rng, stays_on_faces=stays_on_faces)
        steps = scale * np.ptp(self.box, axis=1) * rng.standard_normal((len(points), v))
        for k, side in enumerate(self.sides):
            own = parts == k
            moved[own, d : d + v] = side.clip(moved[own, d : d + v] + steps[own])
        return moved

    def round(self, point: Array) -> tuple[Array, bool]:
        """Return the nearest composition in whole steps inside a region, and whether there was one.

        A region thinner than a step may hold none; the point is then returned as it is. Variables are rounded to about
        a ten thousandth of their range.
        """
        d, steps = self.n_components, round(1 / self.resolution)
        composition = point[:d]
        reach = (-1, 0, 1, 2) if d <= WIDE_SEARCH else (0, 1)
        offsets = np.array(list(product(reach, repeat=d - 1)))
        counts = np.floor(composition[:-1] * steps + 1e-6) + offsets
        lattice = np.hstack([counts, steps - counts.sum(axis=1, keepdims=True)]) / steps
        able = [k for k, side in enumerate(self.sides) if side.admits(point[d:])] or range(len(self.sides))
        inside = np.stack([_is_inside(self.regions[k], lattice) for k in able])
        if not inside.any():
            return np.concatenate([composition, self._round_rest(point[d:], self.sides[able[0]])]), False
        gaps = ((lattice - composition) ** 2).sum(axis=1).round(15)
        best = int(np.where(inside.any(axis=0), gaps, np.inf).argmin())
        side = self.sides[able[int(inside[:, best].argmax())]]
        return np.concatenate([lattice[best], self._round_rest(point[d:], side)]), True

    def _round_rest(self, rest: Array, side: Side) -> Array:
        """Return variables and options (v + c) with the variables in about a ten thousandth of their range."""
        widths = np.maximum(np.ptp(self.box, axis=1), 1e-300)
        decimals = DIGITS - np.floor(np.log10(widths)).astype(int)
        rounded = [round(float(value), int(places)) for value, places in zip(rest, decimals, strict=False)]
        return np.concatenate([side.clip(np.array([rounded], dtype=float).reshape(1, -1))[0], rest[len(widths) :]])


def _share(first: Region, second: Region) -> Region:
    """Return what two regions share, with no constraint twice: robots of one kind have the same."""
    both = first.intersect(second)
    _, kept = np.unique(np.column_stack([both.matrix, both.bound]).round(12), axis=0, return_index=True)
    return Region(both.names, both.lower, both.upper, both.matrix[np.sort(kept)], both.bound[np.sort(kept)])


def _pieces(problem: Problem, sources: Sequence[Source], beside: Sequence[Beside]) -> tuple[Array, ...]:
    """Return of each variable the ranges (k x 2) that all sources can do, each in a region with this beside it.

    :raises InputError: when there is none.
    """
    found = []
    for variable in problem.variables:
        whole = (variable.lower, variable.upper)
        unions = [
            own.pieces.get(variable.name)
            or source.pieces.get(variable.name)
            or (source.variables.get(variable.name, whole),)
            for source, own in zip(sources, beside, strict=True)
        ]
        shared = [(max(low for low, _ in parts), min(high for _, high in parts)) for parts in product(*unions)]
        left = sorted({(low, high) for low, high in shared if low <= high})
        given = {source.name: union for source, union in zip(sources, unions, strict=True)}
        require(variable.name, given, bool(left), "ranges that have something in common")
        found.append(np.array(left, dtype=float))
    return tuple(found)


def _choices(problem: Problem, sources: Sequence[Source], beside: Sequence[Beside]) -> Array:
    """Return the combinations (k x c) of options that all sources can do, each in a region with this beside it.

    :raises InputError: when there is none, or too many to try one by one.
    """
    allowed = []
    for category in problem.categories:
        given = [
            own.options.get(category.name) or source.options.get(category.name, category.options)
            for source, own in zip(sources, beside, strict=True)
        ]
        numbers = [k for k, option in enumerate(category.options) if all(option in options for options in given)]
        require(category.name, given, bool(numbers), "options that have something in common")
        allowed.append(numbers)
    combinations = list(product(*allowed))
    require("combinations of options", len(combinations), len(combinations) <= MAX_CHOICES, f"at most {MAX_CHOICES}")
    return np.array(combinations, dtype=float).reshape(len(combinations), -1)


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
    needed = [name for name, least in zip(extra, full.lower[len(components) :], strict=True) if least > INSIDE]
    if needed:
        given, others = (", ".join(map(chemical_label, names)) for names in (needed, components))
        raise InputError(f"a region needs {given}, which a problem of {others} has not")
    d = len(components)
    return Region(components, full.lower[:d], full.upper[:d], full.matrix[:, :d], full.bound)


def _is_inside(region: Region, points: Array) -> npt.NDArray[np.bool_]:
    """Return which points (n x d) satisfy all constraints of a region."""
    in_box = ((points >= region.lower - INSIDE) & (points <= region.upper + INSIDE)).all(axis=1)
    in_hull = (points @ region.matrix.T <= region.bound + INSIDE).all(axis=1)
    return np.asarray(in_box & in_hull & (np.abs(points.sum(axis=1) - 1) <= INSIDE))
