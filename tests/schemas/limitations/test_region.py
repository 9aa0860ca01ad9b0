import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.limitations.region import Region


def test_a_box_keeps_each_component_in_its_limits():
    region = Region.from_box({"a": (0.1, 0.5), "b": (0.0, 1.0)})
    assert region.contains(np.array([0.5, 0.5]))
    assert not region.contains(np.array([0.6, 0.4]))
    assert region.violation(np.array([0.6, 0.4])) == pytest.approx(0.1)
    assert not region.contains(np.array([0.5, 0.4]))
    assert region.nearest(np.array([0.9, 0.1])) == pytest.approx([0.5, 0.5], abs=1e-9)


@pytest.mark.parametrize(
    ("vertices", "inside", "outside"),
    [
        ([[1, 0, 0]], [1, 0, 0], [0.9, 0.1, 0]),
        ([[1, 0, 0], [0, 1, 0]], [0.3, 0.7, 0], [0.3, 0.6, 0.1]),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0.3, 0.3, 0.4], [1.1, -0.1, 0]),
        ([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]], [0.2, 0.8, 0], [0.2, 0.7, 0.1]),
    ],
    ids=["point", "line", "triangle", "three-on-a-line"],
)
def test_a_hull_of_any_dimension(vertices, inside, outside):
    region = Region.from_hull(("a", "b", "c"), np.array(vertices, dtype=float))
    assert region.contains(np.array(inside, dtype=float))
    assert not region.contains(np.array(outside, dtype=float))
    assert region.contains(region.nearest(np.array(outside, dtype=float)), 1e-6)


@pytest.mark.parametrize("vertices", [np.zeros((0, 2)), [[0.5, 0.1]]], ids=["none", "sum"])
def test_a_hull_needs_solutions(vertices):
    with pytest.raises(InputError, match="a hull needs rows of 2 fractions that each sum to 1"):
        Region.from_hull(("a", "b"), np.array(vertices))


def test_what_only_one_region_names_is_absent_in_the_intersection():
    both = Region.from_box({"a": (0, 1), "b": (0, 1)}).intersect(Region.from_box({"a": (0, 1), "c": (0, 1)}))
    assert both.names == ("a", "b", "c")
    assert both.contains(np.array([1.0, 0, 0]))
    assert not both.contains(np.array([0.5, 0.5, 0]))


def test_reordering_must_keep_every_component():
    with pytest.raises(InputError, match=r"components \['b'\] of the region are not among \['a'\]"):
        Region.from_box({"a": (0, 1), "b": (0, 1)}).reorder(("a",))


@pytest.mark.parametrize(
    "limits",
    [{"a": (0, 0.2), "b": (0, 0.2)}, {"a": (0.8, 1), "b": (0.8, 1)}, {"a": (0.6, 0.4), "b": (0, 1)}],
    ids=["too-little", "too-much", "crossed"],
)
def test_an_empty_region_says_so(limits):
    region = Region.from_box(limits)
    assert region.is_empty()
    assert region.nearest(np.array([0.5, 0.5])) is None


def test_projection_where_the_fast_solver_fails():
    region = Region.from_hull(("a", "b"), np.array([[0.6667, 0.3333], [0.5424, 0.4576]]))
    target = np.array([0.015625, 0.25]) / 0.265625
    assert region.nearest(target) == pytest.approx([0.5424, 0.4576], abs=1e-9)


def test_a_line_between_two_solutions_is_not_empty():
    """Found at random: the inequalities of this line are met exactly, and by nothing else."""
    names = ("a", "b", "c", "d")
    vertices = np.array([[0.0, 0.2692, 0.6154, 0.1154], [0.2779, 0.0, 0.05, 0.6721]])
    region = Region.from_hull(names, vertices)
    assert not region.is_empty()
    nearest = region.nearest(np.array([1.0, 0.0, 0.0, 0.0]))
    assert region.contains(nearest, 1e-6)
