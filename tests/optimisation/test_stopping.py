"""When a campaign ends, and what it says then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aiida_finales.optimisation import OptimiserSettings, Problem, Source, stop_reason


@pytest.mark.parametrize(
    ("knobs", "n_results", "gains", "expected"),
    [
        ({}, {"robot": 1000}, [0.0] * 9, None),
        ({"max_evaluations": 5}, {"robot": 2, "simulation": 2}, [], None),
        ({"max_evaluations": 5}, {"robot": 2, "simulation": 3}, [], "5 evaluations were made, the limit is 5"),
        ({"budget": 20}, {"robot": 1, "simulation": 9}, [], None),
        ({"budget": 20}, {"robot": 2, "simulation": 0}, [], "the evaluations cost 20, the budget is 20"),
        ({"gain_tolerance": 0.01, "gain_patience": 2}, {}, [0.5, 0.001, 0.02], None),
        ({"gain_tolerance": 0.01, "gain_patience": 2}, {}, [0.001], None),
        ({"gain_tolerance": 0.01, "gain_patience": 2}, {}, [0.5, 0.001, None, 0.002, None], "promised at most 0.002"),
    ],
)
def test_reason(
    make_problem: Callable[..., Problem],
    knobs: dict[str, float],
    n_results: dict[str, int],
    gains: list[float | None],
    expected: str | None,
) -> None:
    regions = make_problem().sources[0].regions
    sources = (Source("robot", regions, 10.0), Source("simulation", regions, 1.0))
    reason = stop_reason(make_problem(OptimiserSettings(**knobs), sources=sources), n_results, gains)
    assert reason is None if expected is None else expected in reason
