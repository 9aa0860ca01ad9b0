"""Asking the optimiser, in a process of its own."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage import get_manager

from aiida_finales.broker.capability import load_capability
from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.question import make_question
from aiida_finales.calculations.suggest import (
    ACQUISITIONS,
    OPTIMISER,
    BackgroundOptimiser,
    SuggestCalculation,
    name_acquisition,
)
from aiida_finales.exceptions import OptimiserError
from aiida_finales.operations.campaign.prospect import suggestion_lines
from aiida_finales.operations.campaign.replay import ask_again
from aiida_finales.operations.origin.words import _tell_suggestion
from aiida_finales.optimisation import acquisition, botorch_engine
from aiida_finales.optimisation.__main__ import answer
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.formulation import fractions
from aiida_finales.science.electrolyte.conductivity import EMPIRICAL_MODEL
from aiida_finales.workflows.problem import build_problem

pytest.importorskip("botorch")

DOCUMENT = {
    "name": "small",
    "quantity": "conductivity",
    "fixed": {"temperature": 298.15},
    "sources": {"empirical_model": {}},
    "initial": 3,
    "stop": {"evaluations": 100},
    "optimiser": {"seed": 1},
}
#: never what a request is chosen by: a part of others, or what is recommended by
PARTS = {"Acquisition", "PosteriorMean", "Separated", "ExpectedGain"}
#: longest time (s) for which a worker's event loop may be held up
LONGEST_GAP = 0.5


@pytest.fixture(scope="module")
def problem(registered):
    offer = {"quantity": "conductivity", "method": "empirical_model", "cost": 1.0}
    offer |= load_capability("conductivity", "empirical_model").default_offer()
    add_tenant("empirical-model", [offer], kind="internal", max_concurrent=2)
    return orm.Dict(build_problem(parse_campaign(DOCUMENT))).store()


@pytest.fixture
def learn(problem, make_result, make_parameters):
    """Return a function that stores results of the model at compositions within its range."""

    def store(number):
        rng = np.random.default_rng(5)
        answers = []
        for _ in range(number):
            salt, ec = rng.uniform(0.03, 0.1), rng.uniform(0.25, 0.45)
            shares = {"LiPF6": salt, "EC": ec, "EMC": 1 - salt - ec}
            value = EMPIRICAL_MODEL.value(fractions(make_parameters(shares)), 298.15)
            answers.append(make_result("empirical_model", shares=shares, value=value).store())
        return answers

    return store


def suggest(problem, results=(), pending=(), step=0, source="empirical_model", **more):
    return run_get_node(
        SuggestCalculation,
        problem=problem,
        results={f"result_{node.pk}": node for node in results},
        pending={f"request_{node.pk}": node for node in pending},
        source=source,
        step=step,
        requester="small",
        **more,
    )


def test_a_suggestion_becomes_a_request(problem):
    outputs, node = suggest(problem)
    assert node.exit_status == 0, node.exit_message
    request, suggestion = outputs["request"], outputs["suggestion"]
    assert (request.quantity, request.methods, request.requester) == ("conductivity", ["empirical_model"], "small")
    assert request.parameters["empirical_model"]["temperature"] == 298.15
    components = problem["problem"]["components"]
    asked = [request.base.attributes.get("fractions")[name] for name in components]
    assert asked == pytest.approx(suggestion.document["x"])
    assert (suggestion.source_name, suggestion.step) == ("empirical_model", 0)
    assert request.creator.pk == suggestion.creator.pk == node.pk


def test_among_whom_it_chose_is_kept_for_replay(problem):
    outputs, node = suggest(problem, choices=["empirical_model"])
    assert node.exit_status == 0, node.exit_message
    assert outputs["suggestion"].question == {"source": "empirical_model", "step": 0, "choices": ["empirical_model"]}
    assert ask_again(outputs["suggestion"])["choices"] == ["empirical_model"]


def test_the_loop_stays_free_while_a_model_is_fitted(problem, learn, monkeypatch):
    results = learn(60)
    loop = get_manager().get_runner().loop
    beats, going = [], [True]

    def beat():
        beats.append(time.monotonic())
        if going[0]:
            loop.call_later(0.005, beat)

    fitted = []
    ask = OPTIMISER.ask

    def ask_and_note(question):
        fitted.append(time.monotonic())
        reply = ask(question)
        reply.add_done_callback(lambda _: fitted.append(time.monotonic()))
        return reply

    monkeypatch.setattr(OPTIMISER, "ask", ask_and_note)
    loop.call_soon(beat)
    outputs, node = suggest(problem, results, step=60)
    going[0] = False
    assert node.exit_status == 0, node.exit_message
    assert outputs["suggestion"].document["predicted"] is not None
    start, end = fitted
    during = [moment for moment in beats if start < moment < end]
    assert len(during) > 20
    assert np.diff([start, *during, end]).max() < LONGEST_GAP


def test_only_recommending_asks_nothing(problem, learn):
    outputs, node = suggest(problem, learn(6), source="", step=6)
    assert node.exit_status == 0, node.exit_message
    assert "request" not in outputs
    assert outputs["suggestion"].document["recommendation"]["sources"]["empirical_model"]["x"]


def test_no_suggestion_is_an_exit_code(problem):
    outputs, node = suggest(problem, source="", step=0)
    assert outputs == {}
    assert node.exit_status == 420
    assert "nothing can be recommended without a single result" in node.exit_message


def test_a_request_that_nobody_accepts_is_an_exit_code(problem):
    document = problem.get_dict()
    document["requests"]["empirical_model"]["method"] = "crystal_ball"
    _, node = suggest(orm.Dict(document).store())
    assert node.exit_status == 421
    assert "no active capability conductivity/crystal_ball" in node.exit_message


def test_the_order_of_nodes_makes_no_difference_and_asking_twice_neither(problem, learn, make_request):
    results = learn(8)
    pending = [make_request("empirical_model", shares={"LiPF6": s, "EC": 0.3, "EMC": 0.7 - s}) for s in (0.05, 0.06)]
    pending = [node.store() for node in pending]
    document = problem.get_dict()
    question = make_question(document, results, pending, source="empirical_model", step=10)
    shuffler = random.Random(3)
    for _ in range(3):
        some, others = list(results), list(pending)
        shuffler.shuffle(some)
        shuffler.shuffle(others)
        assert make_question(document, some, others, source="empirical_model", step=10) == question
    assert [row["uuid"] for row in question["observations"]] == [node.uuid for node in results]
    first, second = answer(question), answer(question)
    for reply in (first, second):
        reply.pop("timing")
    assert first == second


def test_a_service_that_ends_is_started_again(monkeypatch):
    optimiser = BackgroundOptimiser()
    nonsense = {"problem": {}}
    with pytest.raises(OptimiserError, match="ended without an answer"):
        optimiser.ask(nonsense).result(60)
    with pytest.raises(OptimiserError, match="ended without an answer"):
        optimiser.ask(nonsense).result(60)


def test_people_are_told_in_words_what_a_point_was_chosen_by():
    made = {
        name
        for module in (acquisition, botorch_engine)
        for name, item in vars(module).items()
        if isinstance(item, type) and item.__module__ == module.__name__ and "__call__" in dir(item)
        and (module is acquisition or name.startswith("Log"))
    }  # fmt: skip
    assert made - PARTS == set(ACQUISITIONS) - {"space filling"}
    assert name_acquisition("OfAnotherPackage") == "OfAnotherPackage"
    found = {
        "asks": ["robot"], "formulation": "EC 1.0000", "queue": [], "reason": "best of 9 candidates", "words": "",
        "acquisition": "NoisyHypervolumeImprovement", "probability_feasible": None, "recommended": None,
        "expected_gain": None, "learned_from": 3, "under_way": 0, "left_out_words": [], "warnings": [],
        "alternatives": [],
    }  # fmt: skip
    assert "because: largest expected gain of hypervolume, best of 9 candidates" in suggestion_lines(found)
    part = {"step": 3, "formulation": "EC 1.0000", "source": "robot", "pk": 7, "reason": "1 of 9", "predicted": None,
            "acquisition": "space filling", "n_learned_from": 0, "n_under_way": 0, "excluded": {},
            "doubtful": None}  # fmt: skip
    assert _tell_suggestion(part)[1] == "chosen because: fills the space, 1 of 9"
    both = {"predictions": {"a": {"mean": 1.0, "sd": 0.1}, "b": {"mean": 2.0, "sd": 0.1}}, "units": {"b": "V"}}
    assert "expects a 1.00 ± 0.10, b 2.00 ± 0.10 V" in _tell_suggestion({**part, **both, "predicted": {"mean": 2}})
