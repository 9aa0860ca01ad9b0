"""A campaign does not die, starve or learn nothing in silence."""

from __future__ import annotations

import re

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.manage import get_manager

from aiida_finales.broker.registration import add_tenant, switch_tenant
from aiida_finales.broker.requests import list_requests, post_request, retract_request
from aiida_finales.broker.reservation import answer_request
from aiida_finales.broker.state import read_state
from aiida_finales.calculations import waiting
from aiida_finales.calculations.answer import find_waiting
from aiida_finales.data.campaign import STOP, CampaignGroup, find_campaign_process
from aiida_finales.data.request import RequestData
from aiida_finales.operations.campaign.overview import read_overview
from aiida_finales.operations.campaign.words import describe_overview, final_words, open_lines, progress_words
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.campaign import CampaignWorkChain

QUICK = {"seed": 3, "n_raw": 50, "keep": 16, "burn": 2, "n_hyper_samples": 2, "n_starts": 4}
CAMPAIGN = {
    "name": "small",
    "quantity": "conductivity",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {}},
    "initial": 9,
    "stop": {"evaluations": 2, "failures": 2},
    "optimiser": QUICK,
}
#: no model is rated so well
STRICT = {"min_rating": 5}


def run_campaign(document: dict, **inputs) -> orm.WorkChainNode:
    return run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()), **inputs)[1]


def overview_of(name: str):
    return read_overview(CampaignGroup.find(name))


def limit(**ranges) -> dict:
    """Return an offer of a bench that mixes these chemicals, each within a range of mole fractions."""
    parts = [
        {**make_formulation({name: 1.0})[0], "fraction": [{"min": low, "max": high}]}
        for name, (low, high) in ranges.items()
    ]
    limitations = {"formulation": [parts], "temperature": [{"min": 273, "max": 333}]}
    return {"quantity": "conductivity", "method": "two_electrode", "cost": 1, "limitations": limitations}


EMC = limit(LiPF6=(0.02, 0.15), EC=(0.1, 0.6), EMC=(0.2, 0.8))
DMC = limit(LiPF6=(0.02, 0.15), EC=(0.1, 0.6), DMC=(0.2, 0.8))
#: a hull of chemicals that only their InChIKeys name
FSI = {
    "quantity": "conductivity",
    "method": "two_electrode",
    "constraints": [
        {
            "path": "formulation",
            "hull": {
                "chemicals": [
                    "VDVLPSWVDYJFRW-UHFFFAOYSA-N",
                    "KMTRUDSVKNLOMY-UHFFFAOYSA-N",
                    "XTHFKEDIFFGKHM-UHFFFAOYSA-N",
                ],
                "vertices": [[0.15, 0.40, 0.45], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]],
            },
        }
    ],
}
BENCH = {**CAMPAIGN, "sources": {"two_electrode": {}}, "stop": {"evaluations": 1}}


def lost_process_of(request):
    """Return the process of a request as a killed worker leaves it."""
    node = orm.WorkChainNode(process_type="aiida.workflows:finales.serve")
    node.base.links.add_incoming(request, LinkType.INPUT_WORK, "request")
    node.set_process_state("excepted")
    return node.store()


def play(*events, n_looks=400):
    """Let one event after the other happen, each as soon as a request waits that did not wait before it."""
    loop, seen, left = get_manager().get_runner().loop, set(), list(events)

    def look(n_left):
        waiting = [node for node, _ in list_requests(("pending",)) if node.pk not in seen and find_waiting(node.pk)]
        if waiting and left:
            seen.add(waiting[0].pk)
            left.pop(0)(waiting[0])
        if left and n_left:
            loop.call_later(0.05, look, n_left - 1)

    loop.call_soon(look, n_looks)


def answer(make_data):
    """Return an event: a client measures exactly what was asked for, and rounds its fractions."""

    def happen(request):
        asked = request.parameters["two_electrode"]
        rounded = [{**part, "fraction": round(part["fraction"], 3)} for part in asked["formulation"]]
        rounded[0]["fraction"] -= 4e-4
        data = make_data(temperature=301.15)
        data["run_info"]["formulation"] = rounded
        answer_request(request.pk, "robot", {"method": "two_electrode", "data": data, "parameters": asked})

    return happen


class TestTenantsChange:
    @pytest.fixture(autouse=True)
    def _bench(self, desk, monkeypatch):
        monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
        for group in orm.QueryBuilder().append(CampaignGroup).all(flat=True):
            CampaignGroup.collection.delete(group.pk)
        add_tenant("bench", [EMC])

    def test_what_nobody_can_serve_any_more_is_taken_back_and_asked_anew(self, make_data):
        def change_solvent(_):
            add_tenant("stranger", [FSI])
            add_tenant("cold", [{**EMC, "limitations": {**EMC["limitations"], "temperature": [{"max": 280}]}}])
            add_tenant("bench", [DMC])

        play(change_solvent, answer(make_data))
        node = run_campaign(BENCH)
        assert node.exit_status == 0, node.exit_message
        first, second = (item for item, _ in list_requests() if item.requester == "small")
        assert read_state(first.pk)["reason"] == "no active tenant can serve it any more"
        made_of = [set(item.base.attributes.get("fractions")) for item in (first, second)]
        assert made_of[0] != made_of[1]
        overview = overview_of("small")
        assert (overview.n_done, overview.spent) == (1, 1.0)
        assert any("stranger offers of VDVL" in words and "is not known here" in words for words in overview.troubles)
        assert any("cold offers of LiPF6" in words and "temperature is 301.15" in words for words in overview.troubles)

    def test_a_tenant_that_leaves_is_waited_for(self, make_data):
        told = []

        def leave(_):
            switch_tenant("bench", is_active=False)

        def come_back(request):
            told.extend(open_lines(overview_of("small")))
            switch_tenant("bench", is_active=True)
            answer(make_data)(request)

        play(leave, come_back)
        node = run_campaign(BENCH)
        assert node.exit_status == 0, node.exit_message
        assert "pending: no active tenant can serve it: 'aiida-finales request retract" in told[0]

    def test_a_request_that_is_retracted_because_the_campaign_is_stopped_is_no_failure(self):
        def stop(request):
            find_campaign_process(CampaignGroup.find("small")).base.extras.set(STOP, "enough")
            retract_request(request.pk, "tester", "campaign stopped: enough")

        play(stop)
        node = run_campaign({**BENCH, "stop": {"failures": 1}})
        assert node.exit_status == 0, node.exit_message

    def test_a_request_that_is_open_when_a_campaign_goes_on_is_waited_for_and_not_made_again(self, make_data):
        """The process that made it is gone, and the one that served it: it is served anew, under its own identity."""
        document = parse_campaign(BENCH).to_dict()
        before = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign").store()
        before.set_process_state("excepted")
        asked = {"formulation": make_formulation({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}), "temperature": 301.15}
        request = post_request(RequestData("conductivity", {"two_electrode": asked}, "small"), "small")
        CampaignGroup.create_for("small").add_nodes([before, request, lost_process_of(request)])
        play(answer(make_data))
        node = run_get_node(CampaignWorkChain, campaign=orm.Dict(document), continues=orm.Str(before.uuid))[1]
        assert node.exit_status == 0, node.exit_message
        assert read_state(request.pk)["status"] == "resolved"
        overview = overview_of("small")
        assert (overview.n_done, overview.spent, overview.pk) == (1, 1.0, node.pk)
        assert sum(isinstance(item, RequestData) for item in CampaignGroup.find("small").nodes) == 1

    def test_403_a_campaign_that_goes_on_is_not_continued_beside_it(self):
        document = orm.Dict(parse_campaign(BENCH).to_dict()).store()
        running = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
        running.base.links.add_incoming(document, LinkType.INPUT_WORK, "campaign")
        running.set_process_state("waiting")
        CampaignGroup.create_for("small").add_nodes([running.store()])
        node = run_get_node(CampaignWorkChain, campaign=document, continues=orm.Str(running.uuid))[1]
        assert node.exit_status == 403, node.exit_message
        running.set_process_state("killed")
        assert find_campaign_process(CampaignGroup.find("small")).pk == running.pk


class TestAnswersLeftOut:
    def test_430_each_counts_as_failure_and_is_told(self, laboratory):
        node = run_campaign({**CAMPAIGN, "sources": {"empirical_model": STRICT}})
        assert node.exit_status == 430
        expected = (
            r"2 requests in a row to empirical_model brought nothing .*: answer <\d+> is left out: rating \d is below"
        )
        assert re.match(expected, node.exit_message)
        overview = overview_of("small")
        assert (overview.n_done, len(overview.evaluations), overview.state) == (0, 2, "failed")
        first = overview.evaluations[0]
        assert overview.troubles[0].startswith(f"result <{first.pk}> of empirical_model is not learned from: rating ")
        words = final_words(overview)
        assert words[0].startswith("campaign 'small' failed: 2 requests in a row")
        assert words[-1].startswith("cure: 'aiida-finales campaign report small'")
        assert "0/2 evaluations, 2 left out" in progress_words(overview)
        row = describe_overview(overview)
        assert (row["state"], row["left_out"], row["temperature"]) == ("failed", 2, "301.15 K")

    def test_431_when_the_budget_ends_before(self, laboratory):
        document = {**CAMPAIGN, "sources": {"empirical_model": STRICT}, "stop": {"budget": 1.5}}
        node = run_campaign(document)
        assert node.exit_status == 431
        assert "no answer could be learned from, the last: answer" in node.exit_message
        assert describe_overview(overview_of("small"))["budget"] == "1 of 1.5"

    def test_a_source_that_only_fails_is_asked_no_more_and_the_target_goes_on(self, laboratory):
        document = {
            **CAMPAIGN,
            "target": "empirical_model",
            "sources": {"empirical_model": {"learn": False}, "polynomial_interpolation": STRICT},
            "stop": {"evaluations": 2, "failures": 1},
        }
        node = run_campaign(document)
        assert node.exit_status == 0, node.exit_message
        overview = overview_of("small")
        # what is only asked, not learned from, is an evaluation all the same
        assert (overview.n_done, len(overview.left_out)) == (2, 1)
        assert any("it is asked no more" in words for words in overview.troubles)
