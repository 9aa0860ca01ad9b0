"""Boxes that fill a region from inside, for clients that know no other limits than a range for each component.

The published optimiser draws compositions between a lower and an upper limit of each component. Of what a robot can mix
such a box either leaves out much or allows what cannot be mixed; several small ones do neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import OptimiserError
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.schemas.limitations.region import TOLERANCE, Region
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.composition import ABSENT

#: lower and upper limits, each of shape d, in mole fractions
Box = tuple[Array, Array]

#: what the published optimiser refuses to draw from: a range narrower than this, or a lower sum of the upper limits;
#: a little more, because it computes in single precision
NARROWEST, LEAST_SUM = 0.1001, 1.1001
#: share of what a client draws above the lower limits that must be below the upper ones: it draws again otherwise
LEAST_SHARE = 0.01
#: boxes at most, and the share of the region that one more must add
MOST_BOXES, LEAST_GAIN = 24, 0.01
#: compositions that stand for the region, and those from which boxes are grown
N_POINTS, N_SEEDS = 2000, 100
#: decimals to which limits are rounded, inwards, and of single compositions
DECIMALS, FINE = 4, 9
#: halvings of the largest step when a side is moved
HALVINGS = 16


def fill_with_boxes(region: Region) -> list[Box]:
    """Return boxes that hold compositions of the region only; the one that covers most of it comes first.

    Everything between the limits *whose fractions sum to 1* is inside. They are wide enough for the published optimiser
    wherever such a box fits. A region that is flat, as the line between two solutions, is given by single compositions.
    The same region gives the same boxes.

    :raises InputError: when the region is empty.
    """
    present = region.upper > ABSENT
    names = tuple(name for name, is_present in zip(region.names, present, strict=True) if is_present)
    limits = region.lower[present], region.upper[present], region.matrix[:, present]
    boxes = _fill(Region(names, *limits, region.bound))
    whole = np.zeros((len(boxes), 2, len(present)))
    whole[:, :, present] = np.array(boxes).reshape(-1, 2, len(names))
    return [(lower, upper) for lower, upper in whole]


def _fill(region: Region) -> list[Box]:
    """Return the same for a region in which no component is absent throughout."""
    try:
        polytope = Polytope.from_region(region)
    except OptimiserError:  # too many corners to list: one composition is better than a box that promises too much
        point = region.nearest((region.lower + np.minimum(region.upper, 1.0)) / 2)
        return [] if point is None else [(point, point)]
    if polytope.dimension < len(region.names) - 1 or polytope.dimension == 0:
        return _list_points(polytope)
    points = polytope.from_cube(np.random.default_rng(0).random((N_POINTS, polytope.dimension + 1)))
    lower, upper = _grow_all(_Rows.of(region), points[:N_SEEDS], np.ptp(points, axis=0))
    return _choose(lower, upper, points) or _list_points(polytope)


@dataclass(frozen=True)
class _Rows:
    """The limits of a region as ``matrix @ x <= bound``, with the order of the coefficients of each row."""

    matrix: Array
    bound: Array
    order: npt.NDArray[np.int64]

    @classmethod
    def of(cls, region: Region) -> _Rows:
        eye = np.eye(len(region.names))
        matrix = np.vstack([eye, -eye, region.matrix])
        bound = np.concatenate([region.upper, -region.lower, region.bound]) + TOLERANCE
        return cls(matrix, bound, np.argsort(-matrix, axis=1, kind="stable"))

    def hold(self, lower: Array, upper: Array) -> npt.NDArray[np.bool_]:
        """Return which of n boxes (n x d each) hold compositions of the region only.

        The largest value of a row in a box: what is left above the lower limits goes to the largest coefficients first.
        """
        left = 1.0 - lower.sum(axis=1, keepdims=True)
        is_inside = (left[:, 0] >= 0) & (upper.sum(axis=1) >= 1) & (lower <= upper).all(axis=1)
        widths = (upper - lower)[:, self.order]  # n x rows x d
        before = np.cumsum(widths, axis=2) - widths
        added = np.clip(left[:, None] - before, 0.0, widths)
        ordered = np.take_along_axis(self.matrix, self.order, axis=1)
        largest = lower @ self.matrix.T + np.einsum("nrd,rd->nr", added, ordered)
        return np.asarray(is_inside & (largest <= self.bound).all(axis=1))


def _grow_all(rows: _Rows, seeds: Array, extent: Array) -> Box:
    """Return boxes (n x d each) around compositions, as large as they can be.

    They begin as a composition, or as one without upper limits: of those the smallest satisfies the published
    optimiser, because an upper limit that the sum never reaches may stand anywhere above.
    """
    sides = [(side, is_upper) for side in range(seeds.shape[1]) for is_upper in (False, True)]
    starts = product((seeds, np.ones_like(seeds)), (np.ones_like(extent), extent), (sides, sides[::-1]))
    grown = []
    for ends, shape, order in starts:
        lower, upper = _move(rows, seeds, ends, -shape, shape)
        for side, is_upper in order:
            step = np.eye(len(extent))[side]
            lower, upper = _move(rows, lower, upper, -step * (not is_upper), step * is_upper)
        grown.append(_tighten(*_round_inwards(lower, upper)))
    lower, upper = (np.concatenate(limits) for limits in zip(*grown, strict=True))
    is_usable = rows.hold(lower, upper) & (_share_drawn(lower, upper) > LEAST_SHARE)
    is_wide = is_usable & (upper - lower >= NARROWEST - 1e-9).all(axis=1) & (upper.sum(axis=1) >= LEAST_SUM)
    kept = is_wide if is_wide.any() else is_usable
    return lower[kept], upper[kept]


def _move(rows: _Rows, lower: Array, upper: Array, down: Array, up: Array) -> Box:
    """Return boxes whose limits are moved along ``down`` and ``up`` (shape d) as far as they stay inside."""
    far = np.zeros((len(lower), 1))
    step = 1.0
    for _ in range(HALVINGS):
        further = far + step
        ends = np.clip(lower + further * down, 0, 1), np.clip(upper + further * up, 0, 1)
        far = np.where(rows.hold(*ends)[:, None], further, far)
        step /= 2
    return np.clip(lower + far * down, 0, 1), np.clip(upper + far * up, 0, 1)


def _tighten(lower: Array, upper: Array) -> Box:
    """Return limits (n x d each) that say where the compositions are; apart so far as the published optimiser wants."""
    tight_lower = np.maximum(lower, 1 - (upper.sum(axis=1, keepdims=True) - upper))
    tight_upper = np.minimum(upper, 1 - (lower.sum(axis=1, keepdims=True) - lower))
    wide_upper = np.minimum(upper, np.maximum(tight_upper, tight_lower + NARROWEST))
    wide_lower = np.maximum(lower, np.minimum(tight_lower, wide_upper - NARROWEST))
    # sums of rounded numbers are rounded numbers up to their last bits
    return np.round(wide_lower, DECIMALS) + 0.0, np.round(wide_upper, DECIMALS)


def _share_drawn(lower: Array, upper: Array) -> Array:
    """Return which share of what is drawn evenly above the lower limits of boxes is below the upper ones."""
    drawn = np.random.default_rng(0).dirichlet(np.ones(lower.shape[1]), 200)
    return np.array(
        [
            (low + (1 - low.sum()) * drawn <= high).all(axis=1).mean() if low.sum() < 1 else 0.0
            for low, high in zip(lower, upper, strict=True)
        ]
    )


def _choose(lower: Array, upper: Array, points: Array) -> list[Box]:
    """Return the boxes that together cover most of the points, one after the other, until one more adds little."""
    covers = np.array([_is_between(points, *box) for box in zip(lower, upper, strict=True)]).reshape(-1, len(points))
    is_open = np.ones(len(points), dtype=bool)
    chosen: list[Box] = []
    while len(covers) and len(chosen) < MOST_BOXES:
        gains = (covers & is_open).sum(axis=1)
        best = int(gains.argmax())
        if chosen and gains[best] < LEAST_GAIN * len(points):
            break
        chosen.append((lower[best], upper[best]))
        is_open &= ~covers[best]
    return chosen


def _is_between(points: Array, lower: Array, upper: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(((points >= lower) & (points <= upper)).all(axis=1))


def _round_inwards(lower: Array, upper: Array) -> Box:
    scale = 10.0**DECIMALS
    # what is a rounded number already must not lose a digit to its last bit; nor become a negative zero
    return np.ceil(lower * scale - 1e-6) / scale + 0.0, np.floor(upper * scale + 1e-6) / scale


def _list_points(polytope: Polytope) -> list[Box]:
    """Return the centre of a region and its corners as single compositions that sum to 1 exactly enough."""
    inner = polytope.centre + (1 - 1e-6) * (polytope.corners - polytope.centre)
    return [(point, point) for point in np.round(np.vstack([polytope.centre, inner]), FINE)[:MOST_BOXES]]
