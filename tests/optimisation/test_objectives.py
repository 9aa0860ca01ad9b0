"""Several objectives: what is asked, what is answered, and that it is computed right."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation import (
    Category,
    Objective,
    Observation,
    OptimiserSettings,
    Pending,
    Problem,
    Source,
    Suggestion,
    Variable,
    ask,
    choose_source,
    recommend,
    show_front,
)
from aiida_finales.optimisation.__main__ import answer
from aiida_finales.optimisation.acquisition import NoisyHypervolumeImprovement, ScalarImprovement
from aiida_finales.optimisation.hypervolume import Aim, Exponential, dominated_volume, is_on_front, list_cells
from aiida_finales.optimisation.scale import learn_scales
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.optimisation.study import Study
from aiida_finales.schemas.limitations.region import Region

NAMES = ("a", "b", "c")
WHOLE = Region.from_box(dict.fromkeys(NAMES, (0.0, 1.0)))
FAST = OptimiserSettings(burn=10, keep=16, n_hyper_samples=8, n_starts=8, n_raw=150, n_children=10, n_initial=1,
                         n_paths=60, n_faces=60, n_front=12)  # fmt: skip
DENSE = Objective("density", "densimeter", "maximise", reference=0.0)
THIN = Objective("viscosity", "viscometer", "minimise", reference=4.0)


def values(x: np.ndarray) -> dict[str, float]:
    """Both are best where nothing else is: a front along the edge between a and b."""
    return {"density": float(x[0] + 0.2 * x[1]), "viscosity": float(1 + 2 * x[0] + 1.5 * x[2])}


def build(*objectives: Objective, **changes: object) -> Problem:
    wanted = objectives or (DENSE, THIN)
    told = {"densimeter": ("density",), "viscometer": ("viscosity",), "simulation": ("density", "viscosity")}
    sources = tuple(
        Source(name, (WHOLE,), 0.1 if name == "simulation" else 1.0, measures=tuple(
            item for item in names if item in [objective.name for objective in wanted]))
        for name, names in told.items() if any(objective.name in names for objective in wanted)
    )  # fmt: skip
    return Problem(NAMES, **{"sources": sources, "objectives": wanted, "settings": FAST, **changes})


def observe(problem: Problem, source: str, n: int, seed: int = 0) -> list[Observation]:
    rng = np.random.default_rng(seed)
    told = problem.measures(problem.sources[problem.index(source)])
    return [
        Observation(source, tuple(x), {key: value for key, value in values(np.array(x)).items() if key in told},
                    f"{source}-{k}", f"{k:03d}")
        for k, x in enumerate(rng.dirichlet(np.ones(3), n).tolist())
    ]  # fmt: skip


@pytest.fixture
def rows() -> list[Observation]:
    return observe(build(), "densimeter", 7) + observe(build(), "viscometer", 7)


def test_the_scale_of_a_model_is_learned_and_gains_stay_where_they_were() -> None:
    """A factor that grows with the composition is a straight line on a logarithmic scale; noise is 3 % of the value."""
    thin = replace(THIN, reference=None)
    rows, rng = observe(build(), "densimeter", 14), np.random.default_rng(1)
    for row in observe(build(), "viscometer", 14):
        steep = np.exp(4 * row.x[0] - 2 * row.x[2]) * (1 + 0.03 * rng.standard_normal())
        rows.append(replace(row, values={"viscosity": float(steep)}))
    study = learn_scales(Study.of_rows(build(DENSE, thin), rows, ()))
    assert [wanted.scale for wanted in study.problem.objectives] == ["none", "log"]
    told = learn_scales(Study.of_rows(build(DENSE, replace(thin, modelled="none")), rows, ()))
    assert [wanted.scale for wanted in told.problem.objectives] == ["none", "none"]
    assert study.reference(1) == pytest.approx(told.reference(1))
    assert study.gained(1) == pytest.approx(told.gained(1))
    values = [study.problem.values(row)["viscosity"] for row in study.results if row.source == "viscometer"]
    scaled = (np.array(values) - study.trainings[1].offset) / study.trainings[1].scale
    plain = (10 ** np.array(values) - told.trainings[1].offset) / told.trainings[1].scale
    assert study.aim(1).gain(scaled) == pytest.approx(told.aim(1).gain(plain))
    assert Problem.from_dict(build(DENSE, thin).to_dict()).objectives[1].modelled is None
    older = build(DENSE, thin).to_dict()
    older["objectives"] = [{k: v for k, v in entry.items() if k != "modelled"} for entry in older["objectives"]]
    assert Problem.from_dict(older).objectives[1].modelled == "none"  # so that it is replayed as it was


def test_boxes_hold_what_a_front_does_not_dominate() -> None:
    """The volume that a point adds is that of its parts in the boxes, in any number of dimensions."""
    rng = np.random.default_rng(0)
    for m in (1, 2, 3, 4):
        front, points = rng.random((6, m)), rng.random((20, m))
        lower, upper = list_cells(front)
        for point in points:
            inside = np.maximum(np.minimum(upper, point) - lower, 0).prod(axis=1).sum()
            added = dominated_volume(np.vstack([front, point])) - dominated_volume(front)
            assert inside == pytest.approx(added, abs=1e-12)


LOG_MORE, LOG_LESS = Exponential(0.5, 0.4, 1.8, 1.3), Exponential(0.5, -0.4, 1.8, -1.3)


@pytest.mark.parametrize(
    "aim",
    [
        Aim(None, -1.0),
        Aim(0.4, -1.5),
        Aim(None, -1.0, scale=LOG_MORE),
        Aim(None, -1.0, scale=LOG_LESS),
        Aim(0.4, -1.5, scale=LOG_LESS),
    ],
    ids=["more", "reach", "more of a logarithm", "less of a logarithm", "reach with a logarithm"],
)
def test_expected_gains_are_those_of_samples(aim: Aim) -> None:
    mean, sd, level = np.array([0.3]), np.array([0.8]), np.array([-0.5])
    drawn = mean + sd * np.random.default_rng(0).standard_normal(400_000)
    gains = aim.gain(drawn)
    assert aim.excess(mean, sd, level) == pytest.approx(np.maximum(gains - level, 0).mean(), abs=3e-3)
    assert aim.expected_gain(mean, sd) == pytest.approx(gains.mean(), abs=5e-3)
    assert aim.exceeds(mean, sd, level) == pytest.approx((gains > level).mean(), abs=3e-3)
    if aim.value is None:
        assert aim.scale.deviate(mean, sd) == pytest.approx(gains.std(), rel=0.01)
        assert aim.likely_gain(mean, sd) == pytest.approx(np.median(gains), abs=5e-3)
    assert aim.excess(mean, sd, np.array([np.inf])) == pytest.approx(0.0)


def test_closed_form_is_the_mean_over_samples(rows: list[Observation]) -> None:
    """Of a fit without noise, the baseline is known and the expected volume can be sampled."""
    study = Study.of_rows(build(), rows, ())
    rng = np.random.default_rng(0)
    parts = study.fit_all(0, rng)
    baseline = study.complete()
    assert len(baseline) == 7
    place = np.array([[0.5, 0.45, 0.05]])
    closed = float(np.exp(NoisyHypervolumeImprovement(parts, (0, 1), study.coordinates, baseline, rng)(place))[0])
    total = []
    for number in range(8):
        drawn = []
        for surrogate, aim in parts:
            process, points = (
                surrogate.processes[number],
                study.points(np.vstack([baseline, place]), surrogate.kernel.target),
            )
            mean, w = process.predict(points)
            factor = np.linalg.cholesky(process.covariance(points, w, points, w) + 1e-9 * np.eye(len(mean)))
            drawn.append(aim.gain(mean[:, None] + factor @ rng.standard_normal((len(mean), 300))) - aim.reference)
        gains = np.stack(drawn, axis=2)
        total += [dominated_volume(gains[:, s]) - dominated_volume(gains[:-1, s]) for s in range(300)]
    assert closed == pytest.approx(np.mean(total), rel=0.15)


@pytest.mark.parametrize("kind", ["weights", "chebyshev"])
def test_one_number_of_several_objectives_is_what_its_samples_say(rows: list[Observation], kind: str) -> None:
    settings = replace(FAST, scalarise=kind, weights=(2.0, 1.0))
    study, rng = Study.of_rows(build(settings=settings), rows, ()), np.random.default_rng(0)
    parts, baseline = study.fit_all(0, rng), study.complete()
    place = np.array([[0.95, 0.05, 0.0]] if kind == "weights" else [[0.5, 0.5, 0.0]])
    closed = float(np.exp(ScalarImprovement(parts, (0, 1), study.coordinates, baseline, rng)(place))[0])
    total = []
    for number in range(8):
        drawn = []
        for surrogate, aim in parts:
            process, points = (
                surrogate.processes[number],
                study.points(np.vstack([baseline, place]), surrogate.kernel.target),
            )
            mean, w = process.predict(points)
            factor = np.linalg.cholesky(process.covariance(points, w, points, w) + 1e-9 * np.eye(len(mean)))
            drawn.append(aim.gain(mean[:, None] + factor @ rng.standard_normal((len(mean), 4000))) - aim.reference)
        over = np.stack(drawn, axis=2)
        ideal = over[:-1].max(axis=0) if kind == "chebyshev" else 0.0
        parted = (over - ideal) * np.array([2, 1]) / 3
        number_of = parted.sum(axis=2) if kind == "weights" else parted.min(axis=2)
        total.append(np.maximum(number_of[-1] - number_of[:-1].max(axis=0), 0).mean())
    assert closed == pytest.approx(np.mean(total), rel=0.25)


@pytest.mark.parametrize("kind", ["weights", "chebyshev"])
def test_fixed_weights_prefer_a_point_of_the_front(rows: list[Observation], kind: str) -> None:
    best = {}
    for weights in ((9.0, 1.0), (1.0, 9.0), ()):
        settings = replace(FAST, scalarise=kind, weights=weights)
        front = show_front(build(settings=settings), rows)
        for name in ("measured", "predicted"):
            marked = [point for point in front[name] if point.get("is_preferred")]
            assert len(marked) == (1 if weights else 0)  # weights of each step prefer none
            if marked:
                told = marked[0]["values"]["density"]
                best[name, weights] = told["mean"] if name == "predicted" else told
    # the density counts more, so more of it is given
    assert best["predicted", (9.0, 1.0)] > best["predicted", (1.0, 9.0)]
    assert best["measured", (9.0, 1.0)] >= best["measured", (1.0, 9.0)]


def test_drawn_weights_lead_along_the_front(rows: list[Observation]) -> None:
    problem = build(settings=replace(FAST, scalarise="chebyshev"))
    found = [ask(problem, rows, (), "densimeter", step) for step in range(3)]
    assert {item.acquisition for item in found} == {"ScalarImprovement"}
    assert {item.expected_gain for item in found} == {None}  # the one number has no unit, and is no hypervolume
    assert all(item.relative_gain is not None and item.relative_gain > 0 for item in found)
    assert np.ptp([item.x[0] for item in found]) > 0.1
    with pytest.raises(InputError, match=r"weights is \(1.0,\), accepted is one for each of"):
        build(settings=replace(FAST, scalarise="weights", weights=(1.0,)))
    reach = Objective("density", "densimeter", "reach", 0.4)
    with pytest.raises(InputError, match="scalarise is 'weights', accepted is 'chebyshev' or None"):
        build(reach, THIN, settings=replace(FAST, scalarise="weights"))


def test_one_point_is_asked_of_all_targets(rows: list[Observation]) -> None:
    suggestion = ask(build(), rows, (), "densimeter", 7)
    assert (suggestion.asks, suggestion.is_fallback) == (("densimeter", "viscometer"), False)
    assert suggestion.acquisition == "NoisyHypervolumeImprovement"
    assert set(suggestion.predictions) == {"density", "viscosity"}
    assert set(suggestion.trainings) == set(suggestion.models) == {"density", "viscosity"}
    assert suggestion.x == ask(build(), rows, (), "viscometer", 7).x or suggestion.seed
    assert suggestion.x[2] < 0.1  # c is good for nothing
    text = json.dumps(suggestion.to_dict(), allow_nan=False)
    assert Suggestion.from_dict(json.loads(text)).to_dict() == suggestion.to_dict()


def test_rows_in_any_order_give_the_same_answer(rows: list[Observation]) -> None:
    waiting = [Pending("densimeter", (0.4, 0.6, 0.0), "p"), Pending("viscometer", (0.4, 0.6, 0.0), "q")]
    shuffled = random.Random(1).sample(rows, len(rows))
    first = ask(build(), rows, waiting, "densimeter", 7).to_dict()
    second = ask(build(), shuffled, waiting[::-1], "densimeter", 7).to_dict()
    assert {key: first[key] for key in first if key != "timing"} == {
        key: second[key] for key in second if key != "timing"
    }


def test_pending_points_count(rows: list[Observation]) -> None:
    first = ask(build(), rows, (), "densimeter", 7).x
    waiting = [Pending(source, first, source) for source in ("densimeter", "viscometer")]
    second = ask(build(), rows, waiting, "densimeter", 7).x
    assert np.abs(np.subtract(first, second)).max() > 0.03


def test_half_known_points_are_completed(rows: list[Observation]) -> None:
    """The best of both is known of one target only: nothing else is as good as asking the other one there."""
    corner = Region.from_box({"a": (0.45, 0.55), "b": (0.45, 0.55), "c": (0.0, 0.1)})
    line = (
        Source("densimeter", (corner,), measures=("density",)),
        Source("viscometer", (corner,), measures=("viscosity",)),
    )
    problem = build(sources=line, settings=replace(FAST, resolution=0.05))
    half = [Observation("densimeter", (0.5, 0.5, 0.0), {"density": 0.6}, "h", "9")]
    found = [ask(problem, rows + half, (), "viscometer", step) for step in range(6)]
    at_half = [item for item in found if item.x == pytest.approx((0.5, 0.5, 0.0))]
    assert all(item.asks == ("viscometer",) for item in at_half)
    assert all(item.asks == ("densimeter", "viscometer") for item in found if item not in at_half)


def test_a_source_that_is_no_target_is_asked_for_what_it_tells(rows: list[Observation]) -> None:
    suggestion = ask(build(), rows, (), "simulation", 7)
    assert (suggestion.acquisition, suggestion.asks) == ("Together", ())
    assert choose_source(build(), rows, (), 7) in ("densimeter", "viscometer", "simulation")


def test_front_is_where_it_truly_is(rows: list[Observation]) -> None:
    front = show_front(build(), rows)
    assert front["reference"] == {"density": 0.0, "viscosity": 4.0}
    points = np.array([entry["x"] for entry in front["predicted"]])
    assert len(points) == FAST.n_front
    assert points[:, 2].max() < 0.02
    assert np.ptp(points[:, 0]) > 0.95
    truth = [values(point)["density"] for point in points]
    assert [entry["values"]["density"]["mean"] for entry in front["predicted"]] == pytest.approx(truth, abs=0.05)
    assert 0 < len(front["measured"]) <= 7
    assert all(len(entry["uuids"]) == 2 for entry in front["measured"])
    assert front["hypervolume"] > 5 * front["hypervolume_sd"] > 0


def test_a_front_has_no_point_that_is_worse_than_a_reference_that_was_given(rows: list[Observation]) -> None:
    told = [show_front(build(replace(DENSE, reference=wanted), THIN), rows) for wanted in (0.0, 0.3, None)]
    lowest = [min(entry["values"]["density"]["mean"] for entry in front["predicted"]) for front in told]
    assert lowest[0] < 0.25
    assert lowest[1] > 0.3
    assert lowest[2] < 0.25  # one that follows from the first results shuts nothing out


def test_a_logarithm_is_taken_inside_and_answers_are_natural(rows: list[Observation]) -> None:
    problem = build(DENSE, replace(THIN, transform="log"))
    suggestion = ask(problem, rows, (), "densimeter", 7)
    told = suggestion.predictions["viscosity"]
    assert told.low < told.mean < told.high
    assert told.mean == pytest.approx(values(np.array(suggestion.x))["viscosity"], abs=0.3)
    assert suggestion.front["reference"]["viscosity"] == pytest.approx(4.0)


def test_limits_are_held(rows: list[Observation]) -> None:
    thin = Objective("viscosity", "viscometer", None, at_most=2.0)
    problem = build(replace(DENSE, reference=None), thin)
    suggestion = ask(problem, rows, (), "densimeter", 7)
    assert suggestion.front is None
    assert suggestion.x == pytest.approx((0.5, 0.5, 0.0), abs=0.06)
    assert 0 < suggestion.probability_feasible <= 1
    best = recommend(problem, rows).overall.x
    assert values(np.array(best))["viscosity"] < 2.1


def test_a_front_has_no_point_that_breaks_the_limits(rows: list[Observation]) -> None:
    suggestion = ask(build(DENSE, replace(THIN, at_most=-50.0)), rows, (), "densimeter", 7)
    assert suggestion.front["measured"] == suggestion.front["predicted"] == ()


def test_a_value_is_reached(rows: list[Observation]) -> None:
    problem = build(Objective("density", "densimeter", "reach", 0.4), sources=build().sources[:1])
    own = [row for row in rows if row.source == "densimeter"]
    best = recommend(problem, own).overall
    assert best.mean == pytest.approx(0.4, abs=0.02)
    assert values(np.array(ask(problem, own, (), "densimeter", 7).x))["density"] == pytest.approx(0.4, abs=0.1)


def test_three_objectives(rows: list[Observation]) -> None:
    third = [replace(row, source="meter", uuid="m" + row.uuid, values={"light": 1 - row.x[0]}) for row in rows[:7]]
    sources = (*build().sources[:2], Source("meter", (WHOLE,), measures=("light",)))
    problem = build(DENSE, THIN, Objective("light", "meter", reference=0.0), sources=sources)
    suggestion = ask(problem, rows + third, (), "meter", 7)
    assert len(suggestion.asks) == 3
    assert suggestion.front["hypervolume"] > 0


def test_a_temperature_and_a_salt_are_inputs() -> None:
    """A property that falls with temperature, twice as high with one of two salts."""
    rng = np.random.default_rng(0)
    sources = (Source("robot", (WHOLE,), variables={"temperature": (280.0, 320.0)}),)
    variables, salts = (Variable("temperature", 263.0, 333.0, "K"),), (Category("salt", ("LiPF6", "LiFSI")),)
    problem = Problem(NAMES, sources, (Objective("y", "robot"),), FAST, variables, salts)
    rows = []
    for k, x in enumerate(rng.dirichlet(np.ones(3), 16).tolist()):
        kelvin, salt = 280 + 40 * rng.random(), ("LiPF6", "LiFSI")[k % 2]
        y = x[0] * (1 + (salt == "LiFSI")) + (320 - kelvin) / 40
        rows.append(Observation("robot", (*x, kelvin), {"y": y}, str(k), f"{k:02d}", {"salt": salt}))
    suggestion = ask(problem, rows, (), "robot", 16)
    assert suggestion.category == {"salt": "LiFSI"}
    assert suggestion.x == pytest.approx((1.0, 0.0, 0.0, 280.0), abs=0.05)
    assert Problem.from_dict(json.loads(json.dumps(problem.to_dict()))).to_dict() == problem.to_dict()
    question = {"problem": problem.to_dict(), "observations": [asdict(row) for row in rows], "pending": []}
    told = answer({**json.loads(json.dumps(question)), "source": "robot", "step": 16})
    assert (told["x"], told["category"]) == (list(suggestion.x), suggestion.category)
    with pytest.raises(InputError, match=r"salt is None, accepted is one of \('LiPF6', 'LiFSI'\)"):
        ask(problem, [replace(rows[0], category={})], (), "robot", 1)


def test_initial_points_fill_variables_and_options() -> None:
    sources = (Source("robot", (WHOLE,)),)
    problem = Problem(NAMES, sources, (Objective("y", "robot"),), FAST,
                      (Variable("temperature", 263.0, 333.0),), (Category("salt", ("p", "q", "r")),))  # fmt: skip
    found = [ask(problem, (), (), "robot", step) for step in range(9)]
    assert {item.category["salt"] for item in found} == {"p", "q", "r"}
    assert np.ptp([item.x[3] for item in found]) > 40


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"direction": "most"}, "direction of objective 'y' is 'most'"),
        ({"direction": None}, "direction of objective 'y' is None"),
        ({"direction": "reach"}, "value of objective 'y' is None"),
        ({"value": 1.0}, "value of objective 'y' is 1.0"),
        (
            {"transform": "log", "reference": 0.0},
            "reference of objective 'y' is 0.0, accepted is a finite number, above 0",
        ),
        ({"at_least": 2.0, "at_most": 1.0}, r"at_least and at_most of objective 'y' is \(2.0, 1.0\)"),
    ],
)
def test_objectives_that_nobody_means_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Objective("y", "robot", **given)


def test_problems_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="measures of source 'densimeter'"):
        build(DENSE, sources=(Source("densimeter", (WHOLE,), measures=("colour",)),))
    with pytest.raises(InputError, match="target is 'viscometer', accepted is one of the sources"):
        build(DENSE, replace(THIN, name="viscosity", target="viscometer"), sources=build().sources[::2])
    with pytest.raises(InputError, match="values of row u is"):
        ask(build(), [Observation("densimeter", (1, 0, 0), {"viscosity": 1.0}, "u", "")], (), "densimeter", 0)


def test_targets_without_a_common_space_are_refused() -> None:
    halves = [Region.from_box({"a": limits, "b": (0.0, 1.0), "c": (0.0, 1.0)}) for limits in ((0.0, 0.4), (0.6, 1.0))]
    sources = [Source(n, (r,), measures=(m,)) for n, r, m in zip(
        ("densimeter", "viscometer"), halves, ("density", "viscosity"), strict=True)]  # fmt: skip
    with pytest.raises(InputError, match="source 'densimeter' and source 'viscometer' can together do no composition"):
        ask(build(sources=tuple(sources)), (), (), "densimeter", 0)


def test_of_equal_points_one_is_on_the_front() -> None:
    gains = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.4], [0.4, 0.3]])
    assert is_on_front(gains).tolist() == [True, False, True, True, False]


def test_corners_and_edges_are_looked_at(problem: Callable[..., Problem]) -> None:
    space = DesignSpace.of_source(problem, "simulation")
    points, parts = space.on_faces(40, np.random.default_rng(0))
    assert space.contains(points).all()
    assert len(points) == len(parts) == 40 + len(space.corners)
    assert ((points > 1e-12).sum(axis=1) == 2).sum() > 5
