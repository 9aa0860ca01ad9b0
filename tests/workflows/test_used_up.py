"""A campaign that has asked for all there is ends well, with what was learned, whatever became of some answers."""

from __future__ import annotations

from collections import Counter

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.reservation import answer_request
from aiida_finales.calculations import waiting
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import UsedUpError
from aiida_finales.operations.campaign.prospect import preview_suggestion
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.replay import list_suggestions, replay
from aiida_finales.operations.campaign.words import final_words
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.answers import group_by_place
from aiida_finales.workflows.campaign import CampaignWorkChain
from aiida_finales.workflows.problem import build_problem
from tests.workflows.test_campaign import QUICK, limit, play

METHOD = "vibrating_tube_densimetry"
#: three things to ask for: one composition in three rooms
CAMPAIGN = {
    "name": "rooms",
    "quantity": "density",
    "categories": {
        "room": {"options": {name: {"temperature": 290.0 + 10 * number} for number, name in enumerate("abc")}}
    },
    "sources": {METHOD: {}},
    "initial": 2,
    "stop": {"budget": 20},
    "optimiser": QUICK,
}
ALL_ASKED = f"all that {METHOD} can do was asked"


@pytest.fixture(autouse=True)
def _bench(desk, monkeypatch):
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
    for group in orm.QueryBuilder().append(CampaignGroup).all(flat=True):
        CampaignGroup.collection.delete(group.pk)
    offer = limit(LiPF6=(0.1, 0.1), EC=(0.3, 0.3), EMC=(0.6, 0.6))
    add_tenant("densimeter", [{**offer, "quantity": "density", "method": METHOD}])


def good(request, **meta):
    asked = request.parameters[METHOD]
    body = {"temperature": asked["temperature"], "meta": {"success": True, "rating": 4, **meta}, "values": [1.2]}
    data = {"density": body, "run_info": {"formulation": asked["formulation"], "internal_reference": "x"}}
    answer_request(request.pk, "robot", {"method": METHOD, "data": data, "parameters": asked})


def bad(request):
    good(request, success=False)


def lost(request):
    retract_request(request.pk, "operator", "the tube broke")


def run(*events, continues=None, **stop):
    """Return the campaign and its end in words."""
    play(*events)
    document = {**CAMPAIGN, "stop": {**CAMPAIGN["stop"], **stop}}
    more = {"continues": orm.Str(continues.uuid)} if continues else {}
    node = run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()), **more)[1]
    return node, final_words(read_overview(CampaignGroup.find("rooms")))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((bad, good, good), f"ended after 2 results: {ALL_ASKED}; 1 answer left out"),
        pytest.param(
            (good, bad, bad), f"ended after 1 result: {ALL_ASKED}; 2 answers left out", marks=pytest.mark.slow
        ),
        pytest.param((lost, good, good, good), f"ended after 3 results: {ALL_ASKED}", marks=pytest.mark.slow),
    ],
    ids=["one-does-not", "the-last-do-not", "one-was-asked-again"],
)
def test_it_ends_well_with_what_was_learned(events, words):
    node, end = run(*events, failures=2)
    assert node.exit_status == 0, node.exit_message
    assert "recommendation" in node.outputs
    assert end[0].endswith(words)


def test_it_fails_where_nothing_was_learned():
    node, _ = run(bad, bad, bad)
    assert node.exit_status == 431, node.exit_message


def test_what_is_left_of_the_budget_is_told():
    node, end = run(good, good, budget=2.5)
    assert node.exit_status == 0, node.exit_message
    assert end[0].endswith("ended after 2 results: 0.5 of the budget of 2.5 is left, and an evaluation costs 1")


def count_asked():
    """Return how often each room was asked for, fewest first."""
    requests = [node for node in CampaignGroup.find("rooms").nodes if isinstance(node, RequestData)]
    return sorted(Counter(node.parameters[METHOD]["temperature"] for node in requests).values())


class TestNoAnswer:
    """What ends without any answer may be a passing fault; what does so twice is asked no more."""

    def test_another_point_is_asked_and_the_end_says_what_was_given_up(self):
        looked = []

        def look(request):
            """What would be asked now: one point is known, one given up, and one is under way for the second time."""
            try:
                looked.append(preview_suggestion("rooms", METHOD))
            except UsedUpError as error:
                looked.append(str(error))
            lost(request)

        node, end = run(good, lost, lost, lost, look, failures=4)
        assert node.exit_status == 0, node.exit_message
        assert end[0].endswith(f"ended after 1 result: {ALL_ASKED}; 2 points given up, of which no answer came")
        assert count_asked() == [1, 2, 2]
        assert looked == [f"all that source '{METHOD}' can do is known or pending, and replicates are not allowed"]
        told = next(line for line in end if "not asked again" in line)
        assert told.startswith(f"note: {METHOD} is not asked again at LiPF6 0.1")
        assert "and at 1 other point: 2 requests there ended without an answer, the latest: " in told
        assert told.endswith("the tube broke; nothing else is left to ask of it")
        # the suggestions know, and replay
        suggestions = list_suggestions(CampaignGroup.find("rooms"))
        assert [len(item.document["pending"]["uuids"]) for item in suggestions if item.source_name][-1] >= 2
        assert all(item.is_same for item in replay(suggestions))

    @pytest.mark.slow
    def test_where_nothing_answers_the_campaign_fails_and_can_be_continued_when_that_is_mended(self):
        node, _ = run(*[lost] * 6, failures=20)
        assert node.exit_status == 431, node.exit_message
        assert "the tube broke" in node.exit_message
        assert count_asked() == [2, 2, 2]
        node, end = run(good, good, good, continues=node, failures=20)
        assert node.exit_status == 0, node.exit_message
        assert end[0].endswith(f"ended after 3 results: {ALL_ASKED}")
        assert not any("not asked again" in line for line in end)


def test_a_place_is_where_what_is_asked_differs_by_less_than_devices_dose():
    offer = limit(LiPF6=(0.02, 0.15), EC=(0.1, 0.6), EMC=(0.2, 0.8))
    add_tenant("wide", [{**offer, "quantity": "density", "method": METHOD}])
    varied = {"variables": {"temperature": {"min": 280, "max": 320}}}
    document = {key: value for key, value in CAMPAIGN.items() if key != "categories"}
    problem = build_problem(parse_campaign({**document, **varied}))

    def ask(salt, temperature):
        formulation = make_formulation({"LiPF6": salt, "EC": 0.4 - salt, "EMC": 0.6})
        return RequestData("density", {METHOD: {"formulation": formulation, "temperature": temperature}}, "r").store()

    def count_places(*requests):
        return len(group_by_place(problem, requests))

    first = ask(0.1, 300.0)
    assert count_places(first, ask(0.104, 300.1)) == 1
    assert count_places(first, ask(0.106, 300.0)) == 2  # mole fractions
    assert count_places(first, ask(0.1, 300.3)) == 2  # of a range of 40 K
