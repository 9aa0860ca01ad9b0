"""What one step works with: rows, spaces, scales and models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aiida_finales.optimisation import Objective, Observation, OptimiserSettings, Problem, Source, Variable
from aiida_finales.optimisation.study import Study
from aiida_finales.schemas.limitations.region import Region


def test_a_scale_is_judged_without_the_factor_that_a_variable_may_have() -> None:
    """The factor is for what stays as it is; it must not take the place of a logarithm that suits better."""
    region = Region.from_box({"salt": (0.0, 0.2), "solvent": (0.8, 1.0)})
    sources = (Source("robot", (region,), variables={"temperature": (263.0, 333.0)}),)
    variables, settings = (Variable("temperature", 263.0, 333.0, "K"),), OptimiserSettings()
    problem = Problem(("salt", "solvent"), sources, (Objective("y", "robot"),), settings, variables)
    rng = np.random.default_rng(0)
    salt, kelvin = rng.uniform(0, 0.2, 12), rng.uniform(263, 333, 12)
    rows = [
        Observation("robot", (x, 1 - x, t), (1 + x) * np.exp(0.02 * (t - 263)), f"{k:02d}", "")
        for k, (x, t) in enumerate(zip(salt.tolist(), kelvin.tolist(), strict=True))
    ]
    study = Study.of_rows(problem, rows, (), learns_scales=False)
    without = replace(problem, settings=replace(settings, growth_prior=None))
    assert study.judge(0) == Study.of_rows(without, rows, (), learns_scales=False).judge(0)
    assert "growth_0" in study.kernel(0).names
    assert "growth_0" not in study.remodel(0, "log").kernel(0).names
    below = [*rows, replace(rows[0], values=-1.0, uuid="below")]
    assert "growth_0" not in Study.of_rows(problem, below, ()).kernel(0).names
