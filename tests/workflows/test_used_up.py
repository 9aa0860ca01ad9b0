"""A campaign that has asked for all there is ends well, with what was learned, whatever became of some answers."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.reservation import answer_request
from aiida_finales.calculations import waiting
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.words import final_words
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.campaign import CampaignWorkChain
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


def run(*events, **stop):
    """Return the campaign and its end in words."""
    play(*events)
    document = {**CAMPAIGN, "stop": {**CAMPAIGN["stop"], **stop}}
    node = run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()))[1]
    return node, final_words(read_overview(CampaignGroup.find("rooms")))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((bad, good, good), f"ended after 2 results: {ALL_ASKED}; 1 answer left out"),
        ((good, bad, bad), f"ended after 1 result: {ALL_ASKED}; 2 answers left out"),
        ((lost, good, good, good), f"ended after 3 results: {ALL_ASKED}"),
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
