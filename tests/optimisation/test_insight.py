"""What a model says to a person is what the data say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from aiida_finales.exceptions import InputError, OptimiserError
from aiida_finales.optimisation import Category, Objective, Observation, Problem, Variable, explain, predict
from aiida_finales.optimisation.study import Study
from aiida_finales.optimisation.surrogate import Surrogate

Rows = Callable[..., list[Observation]]


@pytest.fixture
def known(problem: Problem, make_rows: Rows) -> list[Observation]:
    return make_rows(problem, "robot", 14)


def test_predictions_are_the_truth_with_honest_intervals(
    problem: Problem, known: list[Observation], truth: Callable[[np.ndarray], np.ndarray]
) -> None:
    places = [((0.07, 0.3, 0.63), {}), ((0.03, 0.2, 0.77), {})]
    told = predict(problem, known, places)["y"]
    for (x, _), prediction in zip(places, told, strict=True):
        assert prediction.x == x
        assert prediction.mean == pytest.approx(truth(np.array([x]))[0], abs=max(4 * prediction.sd, 1e-3))
    with pytest.raises(InputError, match="the fractions"):
        predict(problem, known, [((0.1, 0.3, 0.5), {})])


def test_nothing_is_said_of_nothing(problem: Problem) -> None:
    with pytest.raises(OptimiserError, match="without a single result"):
        explain(problem, ())


def test_results_left_out_are_those_of_a_model_without_them(problem: Problem, known: list[Observation]) -> None:
    study = Study.of_rows(problem, known, ())
    surrogate = study.fit(0, np.random.default_rng(0))
    process = surrogate.processes[0]
    mean, sd = replace(surrogate, processes=(process,)).leave_out()
    rest = np.arange(1, len(known))
    other = Surrogate.restore(process.kernel, process.points.take(rest), process.values[rest], [process.theta.tolist()])
    own_mean, own_sd = other.predict(process.points.take(np.array([0])))
    assert mean[0] == pytest.approx(own_mean[0], abs=1e-6)
    assert sd[0] == pytest.approx(np.sqrt(own_sd[0] ** 2 + process.noise(0) + 1e-6), rel=1e-6)


def test_a_wrong_result_is_named(problem: Problem, make_rows: Rows) -> None:
    rows = make_rows(problem, "robot", 20)
    rows[7] = replace(rows[7], values=rows[7].values - 0.5)
    told = explain(problem, rows)["y"]
    assert told["against"][0]["uuid"] == rows[7].uuid
    assert told["against"][0]["residual"] < -2
    assert told["against"][0]["expected"] > told["against"][0]["value"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_what_matters_comes_first(problem: Problem, make_rows: Rows) -> None:
    """A property that depends on the temperature and the salt only."""
    rows = [
        replace(row, x=(*row.x, 263 + 3.5 * k), category={"salt": "pq"[k % 2]}, values=0.1 * k + 3 * (k % 2))
        for k, row in enumerate(make_rows(problem, "robot", 20))
    ]
    variables, salts = (Variable("temperature", 263.0, 333.0),), (Category("salt", ("p", "q")),)
    problem = replace(problem, variables=variables, categories=salts)
    told = explain(problem, rows)["y"]
    assert [effect["name"] for effect in told["effects"][:2]] == ["salt", "temperature"]
    salt = {entry["level"]: entry["mean"] for entry in told["effects"][0]["levels"]}
    assert salt["q"] - salt["p"] == pytest.approx(3, abs=0.5)
    assert told["left_out"]["error_to_spread"] < 0.3


def test_minimising_changes_no_effect(problem: Problem, known: list[Observation]) -> None:
    down = replace(problem, objectives=(Objective("y", "robot", "minimise"),))
    first, second = (explain(item, known)["y"] for item in (problem, down))
    assert second["effects"][0]["name"] == first["effects"][0]["name"]
    assert second["effects"][0]["range"] == pytest.approx(first["effects"][0]["range"], rel=0.2)
