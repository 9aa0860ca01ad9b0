"""A campaign looks at a part of what its tenants can do."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.narrowing import Constraint, narrow
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.schemas.limitations.region import Region

WHOLE = Region.from_box({"a": (0.0, 0.5), "b": (0.0, 1.0), "c": (0.0, 1.0)})


def corners(region: Region) -> list[list[float]]:
    return sorted(np.round(Polytope.from_region(region).corners, 6).tolist())


def test_ranges_only_narrow() -> None:
    found = narrow(WHOLE, {"a": (0.1, 0.9), "b": (None, 0.2)})
    assert (found.lower.tolist(), found.upper.tolist()) == ([0.1, 0.0, 0.0], [0.5, 0.2, 1.0])


def test_a_fixed_fraction_leaves_a_line() -> None:
    assert corners(narrow(WHOLE, {"a": 0.2})) == [[0.2, 0.0, 0.8], [0.2, 0.8, 0.0]]


def test_a_ratio_is_a_constraint() -> None:
    """At least twice as much c as b: c - 2 b >= 0."""
    found = narrow(WHOLE, {"a": 0.1}, [Constraint({"c": 1.0, "b": -2.0}, low=0.0)])
    assert corners(found) == [[0.1, 0.0, 0.9], [0.1, 0.3, 0.6]]


def test_what_the_region_has_none_of_may_be_limited() -> None:
    assert narrow(WHOLE, {"d": (0.0, 0.3)}).names == WHOLE.names
    with pytest.raises(InputError, match=r"d must be at least 0.1, but a region of \['a', 'b', 'c'\] has none"):
        narrow(WHOLE, {"d": (0.1, 0.3)})


@pytest.mark.parametrize(
    ("ranges", "constraints", "message"),
    [
        ({"a": (0.3, 0.2)}, (), r"range of a is \(0.3, 0.2\), accepted is mole fractions"),
        ({"a": (0.6, 0.7)}, (), "nothing of a region of"),
        ({}, (({"a": 1.0, "b": 1.0}, 1.5, None),), "nothing of a region of"),
    ],
)
def test_what_leaves_nothing_is_refused(ranges: dict, constraints: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        narrow(WHOLE, ranges, [Constraint(*item) for item in constraints])


@pytest.mark.parametrize(
    "given", [({"a": 1.0},), ({"a": 0.0}, 0.1), ({"a": 1.0}, 0.2, 0.1), ({"a": float("nan")}, 0.1)]
)
def test_constraints_that_limit_nothing_are_refused(given: tuple) -> None:
    with pytest.raises(InputError, match="of a constraint is"):
        Constraint(*given)
