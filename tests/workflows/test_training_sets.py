"""Each suggestion of a campaign goes on from what the one before learned from, and says so exactly."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.reservation import answer_request
from aiida_finales.broker.results import DOUBTFUL, delete_result
from aiida_finales.calculations import waiting
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.result import ResultData
from aiida_finales.data.training_set import count_results, find_training, read_members
from aiida_finales.operations.campaign.replay import ask_again, list_suggestions, replay
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.campaign import CampaignWorkChain
from tests.workflows.test_campaign import CAMPAIGN, EMC, play

BENCH = {**CAMPAIGN, "name": "sets", "sources": {"two_electrode": {}}, "stop": {"evaluations": 2, "failures": 2}}
LABELS = "results__%"


@pytest.fixture(autouse=True)
def _bench(desk, monkeypatch):
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
    for group in orm.QueryBuilder().append(CampaignGroup).all(flat=True):
        CampaignGroup.collection.delete(group.pk)
    add_tenant("bench", [EMC])


def answer(request, rating=4):
    asked = request.parameters["two_electrode"]
    meta = {"success": True, "rating": rating}
    body = {"values": [0.5 + asked["formulation"][0]["fraction"]], "temperature": asked["temperature"], "meta": meta}
    data = {"conductivity": body, "run_info": {"formulation": asked["formulation"], "internal_reference": "x"}}
    answer_request(request.pk, "robot", {"method": "two_electrode", "data": data, "parameters": asked})


def delete_first_and_answer(request):
    """An operator finds the first bottle to be wrong while the third measurement goes on."""
    delete_result(results()[0].pk, "alice", "the wrong bottle")
    answer(request)


def poorly(request):
    answer(request, rating=1)


def results():
    nodes = CampaignGroup.find("sets").nodes
    return sorted((node for node in nodes if isinstance(node, ResultData)), key=pk_of)


def test_links_are_of_what_is_new_and_deleted_or_poor_answers_are_left_out():
    play(answer, poorly, delete_first_and_answer, answer)
    node = run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(BENCH).to_dict()))[1]
    assert node.exit_status == 0, node.exit_message
    suggestions = list_suggestions(CampaignGroup.find("sets"))
    makers, found = [item.creator for item in suggestions], [item.uuid for item in results()]
    learned = [{found.index(uuid) for uuid in read_members(maker) if uuid in found} for maker in makers]
    # the second is rated too low to learn from, the first is deleted while the third comes: another one is asked for
    assert learned == [set(), {0}, {0}, {2}, {2, 3}]
    assert [count_results(maker) for maker in makers] == [0, 1, 1, 1, 2]
    n_links = [len(maker.base.links.get_incoming(link_label_filter=LABELS).all()) for maker in makers]
    assert n_links == [len(find_training(maker).rows) for maker in makers] == [0, 1, 0, 1, 1]
    assert [find_training(maker).removed for maker in makers] == [[], [], [], [found[0]], []]
    # what told nothing is pending from then on, and so is what is told no more
    assert [len(ask_again(item)["pending"]) for item in suggestions] == [0, 0, 1, 2, 2]
    assert all(item.is_same for item in replay(suggestions))
    doubts = [orm.load_node(item.pk).base.extras.get(DOUBTFUL, None) for item in suggestions]
    assert [bool(words) for words in doubts] == [False, True, True, False, False]
    # the scale stays with the suggestion
    assert set(suggestions[1].document["training"]) == {"n_rows", "offset", "scale"}
