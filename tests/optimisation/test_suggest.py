"""One step: every suggestion can be done, is new, says why, and survives what a real campaign throws at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_finales.exceptions import FitError, InputError, UsedUpError
from aiida_finales.optimisation import (
    Category,
    Objective,
    Observation,
    OptimiserSettings,
    Pending,
    Problem,
    Source,
    Suggestion,
    ask,
    choose_source,
    recommend,
    suggest,
)
from aiida_finales.optimisation.__main__ import answer
from aiida_finales.optimisation.study import Study
from aiida_finales.optimisation.suggest import is_used_up
from aiida_finales.optimisation.surrogate import Surrogate
from aiida_finales.schemas.limitations.region import Region

Make = Callable[..., Problem]
Rows = Callable[..., list[Observation]]


def is_inside(problem: Problem, suggestion: Suggestion) -> bool:
    source = problem.sources[problem.index(suggestion.source)]
    return any(region.reorder(problem.components).contains(np.array(suggestion.x)) for region in source.regions)


@given(step=st.integers(0, 10_000), seed=st.integers(0, 10_000), n=st.integers(0, 6), source=st.sampled_from([0, 1, 2]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_suggestion_can_be_done(
    make_problem: Make, make_rows: Rows, step: int, seed: int, n: int, source: int
) -> None:
    problem = make_problem()
    problem = replace(problem, settings=replace(problem.settings, seed=seed, resolution=0.001))
    rows = make_rows(problem, "robot", n, seed) + make_rows(problem, "simulation", n // 2, seed)
    suggestion = ask(problem, rows, (), problem.sources[source].name, step)
    assert is_inside(problem, suggestion)
    assert abs(sum(suggestion.x) - 1) < 1e-9
    assert np.array(suggestion.x) * 1000 == pytest.approx(np.round(np.array(suggestion.x) * 1000), abs=1e-6)


def test_without_rows_the_space_is_filled(problem: Problem) -> None:
    suggestion = ask(problem, (), (), "robot", 0)
    assert (suggestion.is_initial, suggestion.model, suggestion.recommendation) == (True, None, None)
    assert suggestion.reason == "0 of 1 initial evaluations were made or are under way"


def test_initial_points_are_spread_and_depend_on_seed_and_source(problem: Problem) -> None:
    points = [ask(problem, (), (), "robot", step).x for step in range(6)]
    assert min(np.abs(np.subtract(a, b)).max() for i, a in enumerate(points) for b in points[:i]) > 0.02
    other_seed = replace(problem, settings=replace(problem.settings, seed=1))
    assert ask(other_seed, (), (), "robot", 0).x != points[0]
    assert ask(problem, (), (), "simulation", 0).x != points[0]


def test_pending_counts_as_initial_but_is_no_data(problem: Problem) -> None:
    suggestion = ask(problem, (), [Pending("robot", (0.05, 0.35, 0.6), "a")], "robot", 1)
    assert suggestion.is_initial
    assert suggestion.reason == "no result yet of 1 evaluation"


def test_default_number_of_initial_points(problem: Problem, rows: list[Observation]) -> None:
    eager = replace(problem, settings=replace(problem.settings, n_initial=None))
    assert ask(eager, rows[:7], (), "robot", 7).is_initial
    assert not ask(eager, rows[:8], (), "robot", 8).is_initial


def test_suggestion_tells_everything_and_survives_json(problem: Problem, rows: list[Observation]) -> None:
    suggestion = ask(problem, rows, [Pending("simulation", (0.1, 0.3, 0.6), "p")], "robot", 14)
    text = json.dumps(suggestion.to_dict(), allow_nan=False)
    assert Suggestion.from_dict(json.loads(text)) == suggestion
    assert suggestion.training.uuids == tuple(row.uuid for row in rows)
    assert suggestion.pending.uuids == ("p",)
    assert suggestion.candidates[0].value >= suggestion.candidates[-1].value
    assert suggestion.model is not None
    assert np.shape(suggestion.model.samples) == (8, len(suggestion.model.names))
    assert set(suggestion.environment["versions"]) >= {"numpy", "scipy", "aiida_finales", "torch"}
    assert set(suggestion.recommendation.sources) == {"robot", "simulation", "literature"}


def test_problem_survives_json(problem: Problem) -> None:
    hull = Region.from_hull(("LiPF6", "EMC"), np.array([[0.1, 0.9], [0.0, 1.0]]))
    problem = replace(problem, sources=(*problem.sources, Source("hull", (hull,), 2.5)))
    text = json.dumps(problem.to_dict())
    assert Problem.from_dict(json.loads(text)).to_dict() == problem.to_dict()


def test_optimum_of_a_bowl_is_found(problem: Problem, make_rows: Rows) -> None:
    rows = make_rows(problem, "robot", 15, noise=1e-4)
    suggestion = ask(problem, rows, (), "robot", 15)
    assert suggestion.x == pytest.approx((0.07, 0.30, 0.63), abs=0.02)
    best = recommend(problem, rows)
    assert best.sources["robot"].x == pytest.approx((0.07, 0.30, 0.63), abs=0.01)
    assert best.sources["robot"].mean == pytest.approx(1.0, abs=0.01)
    assert best.overall.mean == max(prediction.mean for prediction in best.sources.values())


def test_minimising_is_maximising_the_negative(problem: Problem, rows: list[Observation]) -> None:
    mirrored = [replace(row, values=-row.values) for row in rows]
    up = ask(problem, rows, (), "robot", 14)
    down = ask(replace(problem, objectives=(Objective("y", "robot", "minimise"),)), mirrored, (), "robot", 14)
    assert down.x == up.x
    assert down.predicted.mean == -up.predicted.mean
    assert down.expected_gain == up.expected_gain
    assert down.recommendation.overall.mean == -up.recommendation.overall.mean


def test_only_another_source_has_data(problem: Problem, make_rows: Rows) -> None:
    suggestion = ask(problem, make_rows(problem, "simulation", 6), (), "robot", 6)
    assert suggestion.acquisition == "NoisyExpectedImprovement"
    assert is_inside(problem, suggestion)


def test_third_source_without_data_is_placed(problem: Problem, rows: list[Observation]) -> None:
    suggestion = ask(problem, rows, (), "literature", 14)
    assert suggestion.acquisition == "VarianceReduction"
    assert "discrepancy_2" in suggestion.model.names
    assert suggestion.expected_gain is None


@pytest.mark.parametrize("source", ["robot", "simulation"])
def test_parallel_suggestions_are_apart(problem: Problem, rows: list[Observation], source: str) -> None:
    pending: list[Pending] = []
    for k in range(3):
        pending.append(Pending(source, ask(problem, rows, pending, source, 14 + k).x, str(k)))
    x = np.array([row.x for row in pending])
    assert min(np.abs(x[i] - x[j]).max() for i in range(3) for j in range(i)) > 0.002


def test_narrow_limits(make_problem: Make) -> None:
    narrow = Region.from_box({"LiPF6": (0.05, 0.07), "EC": (0.30, 0.33), "EMC": (0.0, 1.0)})
    problem = make_problem(sources=(Source("robot", (narrow,)),))
    rows = [
        Observation("robot", (0.05 + 0.005 * k, 0.3, 0.65 - 0.005 * k), 1.0 + 0.1 * k, str(k), "") for k in range(4)
    ]
    suggestion = ask(problem, rows, (), "robot", 4)
    assert not suggestion.is_fallback
    assert is_inside(problem, suggestion)


def test_alternatives_are_all_used(make_problem: Make) -> None:
    pair = (
        Region.from_box({"LiPF6": (0.0, 0.1), "EC": (0.0, 1.0)}),
        Region.from_box({"LiPF6": (0.0, 0.1), "EMC": (0, 1)}),
    )
    problem = make_problem(sources=(Source("robot", pair),))
    steps = [ask(problem, (), (), "robot", step).x for step in range(8)]
    assert {(x[1] > 0, x[2] > 0) for x in steps} == {(True, False), (False, True)}
    rows = [Observation("robot", x, float(x[2]), str(k), "") for k, x in enumerate(steps)]
    assert ask(problem, rows, (), "robot", 8).x[2] > 0.8


def test_failed_model_is_said(problem: Problem, rows: list[Observation], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Surrogate:
        raise FitError("it will not")

    monkeypatch.setattr(Surrogate, "fit", fail)
    suggestion = ask(problem, rows, (), "robot", 14)
    assert (suggestion.is_fallback, suggestion.is_initial, suggestion.model) == (True, False, None)
    assert suggestion.reason == "the model failed: it will not"


def one_step_space() -> Source:
    """A line of three compositions at a resolution of 0.1."""
    return Source("robot", (Region.from_box({"LiPF6": (0.0, 0.2), "EC": (0.8, 1.0), "EMC": (0.0, 0.0)}),))


def test_duplicates_are_refused_until_the_space_is_used_up(make_problem: Make) -> None:
    problem = make_problem(OptimiserSettings(resolution=0.1, n_initial=3), sources=(one_step_space(),))
    pending: list[Pending] = []
    for k in range(3):
        pending.append(Pending("robot", ask(problem, (), pending, "robot", k).x, str(k)))
    assert len({row.x for row in pending}) == 3
    with pytest.raises(UsedUpError, match="all that source 'robot' can do is known or pending"):
        ask(problem, (), pending, "robot", 3)


def salts(make_problem: Make, *names: str) -> Problem:
    """A problem of one composition with six salts, the same for every source."""
    one = Region.from_box({"LiPF6": (0.1, 0.1), "EC": (0.3, 0.3), "EMC": (0.6, 0.6)})
    problem = make_problem(OptimiserSettings(n_initial=10), sources=tuple(Source(name, (one,)) for name in names))
    return replace(problem, categories=(Category("salt", tuple("abcdef")),))


def test_the_last_of_a_few_points_is_found_without_luck(make_problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "MAX_TRIES", 0)
    problem = salts(make_problem, "robot")
    pending = [Pending("robot", (0.1, 0.3, 0.6), salt, category={"salt": salt}) for salt in "abcdf"]
    assert ask(problem, (), pending, "robot", 0).category == {"salt": "e"}
    assert not is_used_up(problem, (), pending, "robot")
    pending.append(Pending("robot", (0.1, 0.3, 0.6), "e", category={"salt": "e"}))
    assert is_used_up(problem, (), pending, "robot")
    with pytest.raises(UsedUpError):
        ask(problem, (), pending, "robot", 0)


def test_a_source_with_nothing_left_is_not_chosen(make_problem: Make) -> None:
    problem = salts(make_problem, "robot", "simulation")
    robot, both = (
        [
            Pending(name, (0.1, 0.3, 0.6), f"{name} {salt}", category={"salt": salt})
            for name in names
            for salt in "abcdef"
        ]
        for names in (["robot"], ["robot", "simulation"])
    )
    assert choose_source(problem, (), robot, 0) == "simulation"
    with pytest.raises(UsedUpError, match="'robot' and 'simulation' can do"):
        choose_source(problem, (), both, 0)


def test_where_something_varies_nothing_is_ever_used_up(problem: Problem, rows: list[Observation]) -> None:
    assert not is_used_up(problem, rows, (), "robot")


def test_replicates_are_flagged_where_allowed(make_problem: Make) -> None:
    knobs = OptimiserSettings(resolution=0.1, n_initial=1, allow_replicates=True)
    problem = make_problem(knobs, sources=(one_step_space(),))
    rows = [Observation("robot", (0.1 * k, 1 - 0.1 * k, 0.0), float(k), str(k), "") for k in range(3)]
    assert ask(problem, rows, (), "robot", 3).is_replicate


def test_same_composition_may_be_asked_of_another_source(problem: Problem) -> None:
    study = Study.of_rows(problem, [Observation("simulation", (0.1, 0.3, 0.6), 1.0, "a", "")], ())
    assert study.is_occupied(np.array([0.1, 0.3, 0.6]), 1)
    assert not study.is_occupied(np.array([0.1, 0.3, 0.6]), 0)


def test_cost_decides_between_sources(make_problem: Make, rows: list[Observation]) -> None:
    regions = make_problem().sources[0].regions
    for cheap, other in (("robot", "simulation"), ("simulation", "robot")):
        problem = make_problem(sources=(Source(cheap, regions, 1.0), Source(other, regions, 1e6)))
        assert choose_source(problem, rows, (), 14) == cheap


def test_only_what_can_be_asked_is_chosen(make_problem: Make, rows: list[Observation]) -> None:
    regions = make_problem().sources[0].regions
    problem = make_problem(sources=(Source("robot", regions, 1e6), Source("simulation", regions, 1.0)))
    assert choose_source(problem, rows, (), 14, ["robot"]) == "robot"
    question = {"problem": problem.to_dict(), "observations": [asdict(row) for row in rows], "pending": [], "step": 14}
    assert answer({**question, "source": "robot", "choices": ["robot", "simulation"]})["source"] == "simulation"


def test_sources_take_turns_before_there_is_a_model(make_problem: Make, rows: list[Observation]) -> None:
    problem = make_problem(OptimiserSettings(n_initial=20))
    assert choose_source(problem, rows, (), 14) == "literature"
    assert choose_source(problem, rows, (), 14, ["robot", "simulation"]) != "literature"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(Observation("nobody", (0.1, 0.3, 0.6), 1.0, "u", ""), "source 'nobody' is not part", id="source"),
        pytest.param(Observation("robot", (0.1, 0.9), 1.0, "u", ""), "row u: x is", id="length"),
        pytest.param(Observation("robot", (0.1, 0.3, 0.6), float("nan"), "u", ""), "row u: x is", id="nan"),
        pytest.param(
            Observation("robot", (0.1, 0.3, 0.5), 1.0, "u", ""), r"row u: .* sum to 0.9, accepted is 1", id="sum"
        ),
    ],
)
def test_rows_that_cannot_be_used_are_refused(problem: Problem, row: Observation, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(problem, [row], (), "robot", 1)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"kernel": "cubic"}, "kernel is 'cubic', accepted is one of"),
        ({"engine": "x"}, "engine is 'x', accepted is one of"),
        ({"resolution": 0.03}, "resolution is 0.03, accepted is a mole fraction that divides 1"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"n_raw": 0}, "n_raw is 0, accepted is at least 1"),
        ({"keep": 4}, "keep is 4, accepted is at least n_hyper_samples"),
    ],
)
def test_settings_that_cannot_work_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptimiserSettings(**knobs)


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(InputError, match=r"settings \['colour'\] are unknown"):
        OptimiserSettings.from_dict({"colour": "red"})


@pytest.mark.slow
def test_large_campaigns_stay_affordable(problem: Problem, make_rows: Rows) -> None:
    problem = replace(problem, settings=OptimiserSettings())
    rows = make_rows(problem, "robot", 200) + make_rows(problem, "simulation", 200)
    assert ask(problem, rows, (), "robot", 400).timing["cpu_s"] < 20
