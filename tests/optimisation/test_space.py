"""Where a source may be asked: corners, uniform points, moves, margin and resolution."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation import Category, Objective, OptimiserSettings, Problem, Source, Variable
from aiida_finales.optimisation.coordinates import Coordinates
from aiida_finales.optimisation.polytope import Polytope, find_corners
from aiida_finales.optimisation.problem import Beside
from aiida_finales.optimisation.search import derive_seed, place_initial
from aiida_finales.optimisation.space import DesignSpace, draw_in
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.limitations.region import Region

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Hulls of stock solutions and boxes around a feasible point, thin ones included."""
    d = draw(st.integers(3, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        return Region.from_hull(NAMES[:d], rng.dirichlet(np.ones(d), draw(st.integers(1, 6))))
    centre, width = rng.dirichlet(np.ones(d)), draw(st.sampled_from([0.0, 1e-3, 0.05, 0.5]))
    limits = zip(
        np.maximum(centre - width * rng.random(d), 0), np.minimum(centre + width * rng.random(d), 1), strict=True
    )
    return Region.from_box(dict(zip(NAMES[:d], limits, strict=True)))


def make_space(region: Region, **knobs: float) -> DesignSpace:
    problem = Problem(region.names, (Source("s", (region,)),), (Objective("y", "s"),), OptimiserSettings(**knobs))
    return DesignSpace.of_source(problem, "s")


@given(regions(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_samples_and_their_neighbours_stay_inside(region: Region, seed: int) -> None:
    space, rng = make_space(region), np.random.default_rng(seed)
    points, parts = space.sample(20, rng)
    moved = space.perturb(points, parts, 0.3, rng)
    foreign, _ = space.admit(rng.dirichlet(np.ones(len(region.names)), 10))
    for point in np.vstack([points, moved, foreign]):
        assert region.violation(point) < 1e-8


@given(regions(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_rounded_points_are_whole_steps_inside(region: Region, seed: int) -> None:
    space = make_space(region)
    for point in space.sample(5, np.random.default_rng(seed))[0]:
        rounded, is_rounded = space.round(point)
        assert region.contains(rounded)
        assert abs(rounded.sum() - 1) < 1e-9
        if is_rounded:
            assert np.abs(rounded * 10_000 - np.round(rounded * 10_000)).max() < 1e-6
            assert np.abs(rounded - point).max() < 3e-4


def test_corners_of_a_box() -> None:
    corners = find_corners(Region.from_box({"a": (0.0, 0.1), "b": (0.2, 0.5), "c": (0.0, 1.0)}))
    expected = [[0, 0.2, 0.8], [0, 0.5, 0.5], [0.1, 0.2, 0.7], [0.1, 0.5, 0.4]]
    assert sorted(corners.round(12).tolist()) == expected


def test_corners_found_indirectly_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    region = Region.from_hull(NAMES[:4], np.random.default_rng(0).dirichlet(np.ones(4), 7))
    directly = find_corners(region)
    monkeypatch.setattr("aiida_finales.optimisation.polytope.MAX_COMBINATIONS", 1)
    indirectly = find_corners(region)
    assert sorted(map(tuple, indirectly.round(8))) == sorted(map(tuple, directly.round(8)))


def test_points_are_uniform() -> None:
    region = Region.from_box({"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0), "d": (0.0, 1.0)})
    points, _ = make_space(region).sample(20_000, np.random.default_rng(0))
    assert points.mean(axis=0) == pytest.approx([0.25] * 4, abs=0.01)
    assert points.var(axis=0) == pytest.approx([3 / 80] * 4, rel=0.05)  # of Dirichlet(1, 1, 1, 1)


@pytest.mark.parametrize("n_solutions", [1, 2, 3])
def test_flat_hulls_are_sampled(n_solutions: int) -> None:
    solutions = np.array([[0.1, 0.2, 0.7], [0.0, 0.5, 0.5], [0.05, 0.0, 0.95]])[:n_solutions]
    polytope = Polytope.from_region(Region.from_hull(("a", "b", "c"), solutions))
    assert polytope.dimension == n_solutions - 1
    assert len(polytope.corners) == n_solutions


def test_margin_keeps_from_limits_but_not_from_absence() -> None:
    region = draw_in(Region.from_box({"a": (0.0, 0.1), "b": (0.2, 1.0), "c": (0.3, 0.3)}), 0.01)
    assert region.lower.tolist() == pytest.approx([0.0, 0.21, 0.3])
    assert region.upper.tolist() == pytest.approx([0.09, 1.0, 0.3])


def test_margin_keeps_a_line_between_two_solutions() -> None:
    hull = Region.from_hull(("a", "b", "c"), np.array([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3]]))
    assert Polytope.from_region(draw_in(hull, 0.01)).dimension == 1


def test_impossible_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"source 's' can do no composition, with a margin of 0\.2"):
        make_space(Region.from_box({"a": (0.1, 0.2), "b": (0.7, 0.9)}), margin=0.2)


def test_components_of_others_make_a_region_no_harder() -> None:
    """Three tenants of other chemicals are eleven components, of which each region has three."""
    names = tuple("abcdefghijk")
    own = Region.from_box({"a": (0.02, 0.12), "b": (0.2, 0.6), "c": (0.2, 0.8)})
    whole = Polytope.from_region(own.reorder(names))
    assert whole.dimension == 2
    assert whole.corners[:, :3] == pytest.approx(Polytope.from_region(own).corners)
    assert not whole.corners[:, 3:].any()


def test_region_that_needs_another_component_is_left_out() -> None:
    fits = Region.from_box({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    needs = Region.from_box({"a": (0.0, 0.5), "z": (0.1, 1.0)})
    problem = Problem(("a", "b"), (Source("s", (needs, fits)),), (Objective("y", "s"),))
    assert len(DesignSpace.of_source(problem, "s").regions) == 1


def test_what_a_source_needs_is_named() -> None:
    salt, ec, emc, dmc = (get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC", "DMC"))
    region = Region.from_box({ec: (0.0, 1.0), dmc: (0.0, 0.5), salt: (0.05, 0.2)})
    problem = Problem((ec, emc), (Source("s", (region,)),), (Objective("y", "s"),))
    with pytest.raises(InputError, match=r"a region needs LiPF6, which a problem of EC, EMC has not$"):
        DesignSpace.of_source(problem, "s")


def test_what_goes_with_one_region_does_not_go_with_another() -> None:
    """Two sources share what both can do: of the second one only what is warm, wherever it is."""
    rich, poor = (Region.from_box({"a": limits, "b": (0.0, 1.0)}) for limits in ((0.6, 0.9), (0.1, 0.4)))
    beside = (Beside({"kelvin": ((280.0, 290.0),)}, {"salt": ("x",)}), Beside({"kelvin": ((300.0, 320.0),)}))
    coupled = Source("s", (rich, poor), measures=("y",), variables={"kelvin": (280.0, 320.0)}, beside=beside)
    warm = Source("t", (Region.from_box({"a": (0.0, 1.0), "b": (0.0, 1.0)}),), measures=("z",),
                  variables={"kelvin": (310.0, 320.0)})  # fmt: skip
    problem = Problem(("a", "b"), (coupled, warm), (Objective("y", "s"), Objective("z", "t")),
                      OptimiserSettings(resolution=0.01), (Variable("kelvin", 280.0, 320.0),),
                      (Category("salt", ("x", "w")),))  # fmt: skip
    assert Problem.from_dict(json.loads(json.dumps(problem.to_dict()))).to_dict() == problem.to_dict()
    space, rng = DesignSpace.of_source(problem, "s"), np.random.default_rng(0)
    points, _ = space.sample(40, rng)
    points = np.array([space.round(point)[0] for point in np.vstack([points, space.admit(points)[0]])])
    is_rich = points[:, 0] > 0.5
    assert set(points[is_rich, 3]) == {0.0}
    assert set(points[~is_rich, 3]) == {0.0, 1.0}
    assert points[is_rich, 2].max() <= 290.0
    assert points[~is_rich, 2].min() >= 300.0
    together = DesignSpace.shared(problem, ("s", "t"))
    assert (len(together.regions), together.box.tolist()) == (1, [[310.0, 320.0]])


def test_coordinates_leave_out_the_widest_and_the_constant() -> None:
    space = make_space(Region.from_box({"a": (0.0, 0.1), "b": (0.0, 0.5), "c": (0.2, 0.2), "d": (0.0, 1.0)}))
    coordinates = Coordinates.of_spaces(space, [space])
    assert coordinates.free == (0, 1)
    assert coordinates.scale(np.array([[0.05, 0.5, 0.2, 0.25]])).tolist() == [[pytest.approx(0.5), pytest.approx(1.0)]]


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_initial_points_fill_the_space_whatever_the_stride(stride: int) -> None:
    """Several sources share the steps of a campaign: each sees only every second or third of them."""
    space = make_space(Region.from_box({"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0)}))
    grid = space.sample(400, np.random.default_rng(1))[0]
    placed = [np.array([place_initial(space, seed, "s", stride * k) for k in range(16)]) for seed in range(20)]
    random = [space.sample(16, np.random.default_rng(seed))[0] for seed in range(20)]
    assert np.mean([farthest(grid, points) for points in placed]) < np.mean([farthest(grid, p) for p in random])


def farthest(grid: np.ndarray, points: np.ndarray) -> float:
    """The largest distance from anywhere to the nearest point."""
    return float(np.linalg.norm(grid[:, None] - points[None], axis=2).min(axis=1).max())


def test_seeds_depend_on_every_part_and_never_change() -> None:
    assert len({derive_seed(0, 1, "a"), derive_seed(1, 0, "a"), derive_seed(0, 1, "b"), derive_seed(0, 11, "a")}) == 4
    assert derive_seed(0, 1, "a") == 65655381208892


def test_any_number_of_chemicals_is_a_simplex_as_it_is() -> None:
    """Fifteen chemicals in any proportion: too many corners to triangulate, and nothing to triangulate."""
    names = tuple("abcdefghijklmno")
    space = make_space(Region.from_box(dict.fromkeys(names, (0.0, 1.0))))
    points, _ = space.sample(50, np.random.default_rng(0))
    assert points.sum(axis=1) == pytest.approx(1.0)
    assert points.min() >= 0
    assert points.mean(axis=0) == pytest.approx(1 / len(names), abs=0.04)
