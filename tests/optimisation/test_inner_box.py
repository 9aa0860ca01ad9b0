"""Boxes from which a client may draw whatever it likes."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.inner_box import fill_with_boxes
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.schemas.limitations.region import Region

NAMES = ("salt", "EC", "EMC")
#: a robot's four stock solutions within the limits of its file: the hull cuts both corners of the box
ROBOT = Region.from_box({"salt": (0.0, 0.153), "EC": (0.0, 0.542), "EMC": (0.4, 1.0)}).intersect(
    Region.from_hull(NAMES, np.array([[0, 0, 1], [0, 0.55, 0.45], [0.133, 0, 0.867], [0.153, 0.44, 0.407]]))
)
#: four solutions that are nearly in one plane: no box that is 0.1 wide in all four components fits
THIN = Region.from_hull(
    ("salt", "EC", "PC", "EMC"),
    np.array([[0.024, 0.376, 0, 0.6], [0.192, 0.31, 0, 0.498], [0.0274, 0, 0.3422, 0.6304], [0.02, 0.05, 0.2, 0.73]]),
)
BOX = Region.from_box({"salt": (0.0, 0.3), "EC": (0.0, 1.0), "EMC": (0.0, 1.0)})


def draw(box, n):
    """Draw as the published optimiser does: in single precision, above the lower limits, again above the upper ones."""
    lower, upper = (np.asarray(end, dtype=np.float32) for end in box)
    assert (upper - lower >= np.float32(0.1)).all(), "The sample space is too constrained."
    assert lower.sum() <= 1 <= upper.sum() - np.float32(0.1), "The sample space is too constrained."
    drawn = np.random.default_rng(0).dirichlet(np.ones(len(lower)), 100 * n).astype(np.float32)
    drawn = lower + (1 - lower.sum()) * drawn
    inside = drawn[(drawn <= upper).all(axis=1)]
    assert len(inside) >= n
    return inside[:n].astype(float)


@pytest.mark.parametrize(
    ("region", "least"), [(ROBOT, 0.9), (THIN, 0.1), (BOX, 0.95)], ids=["robot", "thin", "already a box"]
)
def test_everything_in_the_boxes_is_in_the_region(region, least):
    boxes = fill_with_boxes(region)
    for box in boxes:
        assert max(region.violation(point) for point in draw(box, 300)) < 1e-6
    points = Polytope.from_region(region).from_cube(np.random.default_rng(1).random((2000, len(region.names))))
    covered = [((points >= lower) & (points <= upper)).all(axis=1) for lower, upper in boxes]
    assert np.any(covered, axis=0).mean() > least


def test_the_same_region_gives_the_same_boxes():
    first, second = fill_with_boxes(ROBOT), fill_with_boxes(ROBOT)
    assert [np.array(box).tolist() for box in first] == [np.array(box).tolist() for box in second]


def test_a_number_has_few_digits():
    for lower, upper in fill_with_boxes(ROBOT):
        assert all(value == round(value, 4) for value in (*lower, *upper))


@pytest.mark.parametrize(
    "vertices",
    [[[0, 0.5, 0.5], [0.1, 0.4, 0.5]], [[0.1, 0.4, 0.5]]],
    ids=["line", "one solution"],
)
def test_where_no_box_fits_there_are_single_compositions(vertices):
    region = Region.from_hull(NAMES, np.array(vertices, dtype=float))
    boxes = fill_with_boxes(region)
    assert boxes
    for lower, upper in boxes:
        assert (lower == upper).all()
        assert region.violation(lower) < 1e-6


def test_what_is_absent_makes_no_region_flat():
    wide = Region.from_box({"salt": (0.0, 0.3), "EC": (0.0, 1.0), "EMC": (0.0, 1.0), "DMC": (0.0, 0.0)})
    lower, upper = fill_with_boxes(wide)[0]
    assert (upper - lower)[:3].min() > 0.1
    assert upper[3] < 1e-6


def test_an_empty_region_is_refused():
    with pytest.raises(InputError, match="satisfies all limits"):
        fill_with_boxes(Region.from_box({"salt": (0.0, 0.1), "EC": (0.0, 0.1)}))
