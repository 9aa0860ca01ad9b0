"""The same model under BoTorch: equal predictions, equal places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from aiida_finales.optimisation import Observation, Pending, Problem, ask
from aiida_finales.optimisation.study import Study

torch = pytest.importorskip("torch")
engine = pytest.importorskip("aiida_finales.optimisation.botorch_engine")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("kernel", ["rbf", "matern"])
@pytest.mark.parametrize("source", [0, 1])
def test_both_engines_predict_the_same(
    make_problem: Callable[..., Problem], rows: list[Observation], kernel: str, source: int
) -> None:
    problem = make_problem()
    problem = replace(problem, settings=replace(problem.settings, kernel=kernel, slope_sd=0.3))
    study = Study.of_rows(problem, rows, ())
    surrogate = study.fit(0, np.random.default_rng(0))
    points = study.points(study.x[::3] * 0.9 + 0.1 / 3, source)
    mean, sd = surrogate.predict(points)
    table = torch.tensor(np.column_stack([points.scaled, points.source]))
    posterior = engine.MixtureGP(surrogate).posterior(table[:, None])
    assert posterior.mixture_mean.flatten().tolist() == pytest.approx(mean, abs=1e-5)
    assert posterior.mixture_variance.sqrt().flatten().tolist() == pytest.approx(sd, abs=1e-5)


def test_both_engines_ask_for_the_same_place(problem: Problem, rows: list[Observation]) -> None:
    there = ask(replace(problem, settings=replace(problem.settings, engine="botorch")), rows, (), "robot", 14)
    here = ask(problem, rows, (), "robot", 14)
    assert there.acquisition == "LogNoisyExpectedImprovement"
    assert there.x == pytest.approx(here.x, abs=0.03)
    assert there.expected_gain == pytest.approx(here.expected_gain, rel=0.2)


def test_botorch_suggestions_repeat_and_leave_the_global_generator_alone(
    problem: Problem, rows: list[Observation]
) -> None:
    problem = replace(problem, settings=replace(problem.settings, engine="botorch"))
    pending = [Pending("robot", (0.06, 0.34, 0.6), "a")]
    before = torch.random.get_rng_state()
    first = ask(problem, rows, pending, "robot", 14).to_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    second = ask(problem, rows[::-1], pending, "robot", 14).to_dict()
    del first["timing"], second["timing"]
    assert first == second
