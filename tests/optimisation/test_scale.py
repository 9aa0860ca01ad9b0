"""On which scale an objective is modelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from aiida_finales.optimisation import Objective, Observation, OptimiserSettings, Problem, Source, Variable
from aiida_finales.optimisation.scale import FEWEST, judge, learn_scales
from aiida_finales.optimisation.study import Study
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.science.array import Array

REGION = Region.from_box({"salt": (0.0, 0.2), "solvent": (0.8, 1.0)})


def make_problem(unit: str = "K", **settings: Any) -> Problem:
    """Return the problem of a robot that varies the salt and something else."""
    sources = (Source("robot", (REGION,), variables={"t": (263.0, 333.0)}),)
    variables = (Variable("t", 263.0, 333.0, unit),)
    return Problem(("salt", "solvent"), sources, (Objective("y", "robot"),), OptimiserSettings(**settings), variables)


def make_rows(of: Callable[[Array, Array], Array], noise: float = 0.0) -> list[Observation]:
    """Return a dozen results of a property of the salt and the other."""
    rng = np.random.default_rng(0)
    salt, t = rng.uniform(0, 0.2, 12), rng.uniform(263, 333, 12)
    y = of(salt, t) * (1 + noise * rng.standard_normal(12))
    return [
        Observation("robot", (a, 1 - a, b), c, f"{k:02d}", "")
        for k, (a, b, c) in enumerate(zip(salt.tolist(), t.tolist(), y.tolist(), strict=True))
    ]


def find_scale(problem: Problem, rows: list[Observation]) -> str:
    return learn_scales(Study.of_rows(problem, rows, ())).problem.objectives[0].scale


def test_a_logarithm_is_expected_where_a_temperature_varies_and_not_elsewhere() -> None:
    vague = make_rows(lambda salt, t: (1 + salt) * np.exp(0.004 * (t - 263)), noise=0.1)
    assert find_scale(make_problem(), vague) == "log"
    assert find_scale(make_problem(arrhenius=False), vague) == "none"
    assert find_scale(make_problem("V"), vague) == "none"
    clear = make_rows(lambda salt, t: (1 + 5 * salt) * np.exp(0.04 * (t - 263)), noise=0.01)
    assert find_scale(make_problem("V"), clear) == "log"
    even = make_rows(lambda salt, t: 0.05 + salt + (t - 263) / 70, noise=0.001)
    assert find_scale(make_problem(), even) == "none"


def test_a_logarithm_is_expected_of_what_is_usually_modelled_so() -> None:
    def build(unit: str, usual: str) -> Problem:
        problem = make_problem(unit)
        return replace(problem, objectives=(replace(problem.objectives[0], usual=usual),))

    vague = make_rows(lambda salt, t: (1 + salt) * np.exp(0.004 * (t - 263)), noise=0.1)
    assert [find_scale(build("V", usual), vague) for usual in ("none", "log")] == ["none", "log"]
    few = vague[: FEWEST - 1]
    assert [find_scale(build("V", usual), few) for usual in ("none", "log")] == ["none", "log"]
    below = [*vague, replace(vague[0], values=0.0, uuid="below")]
    assert find_scale(build("V", "log"), below) == "none"
    even = make_rows(lambda salt, t: 0.05 + salt + (t - 263) / 70, noise=0.001)
    assert find_scale(build("V", "log"), even) == "none"


def test_a_scale_is_judged_without_the_factor_that_a_variable_may_have() -> None:
    """The factor is for what stays as it is; it must not take the place of a logarithm that suits better."""
    problem = make_problem()
    rows = make_rows(lambda salt, t: (1 + salt) * np.exp(0.02 * (t - 263)))
    study = Study.of_rows(problem, rows, ())
    without = replace(problem, settings=replace(problem.settings, growth_prior=None))
    assert judge(study, 0) == judge(Study.of_rows(without, rows, ()), 0)
    assert "growth_0" in study.kernel(0).names
    assert "growth_0" not in study.remodel(0, "log").kernel(0).names
    below = [*rows, replace(rows[0], values=-1.0, uuid="below")]
    assert "growth_0" not in Study.of_rows(problem, below, ()).kernel(0).names
