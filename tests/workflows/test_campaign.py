"""A campaign does not die, starve or learn nothing in silence."""

from __future__ import annotations

import re

import pytest
import yaml
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from plumpy.persistence import Bundle, LoadSaveContext

from aiida_finales.broker.registration import add_tenant, switch_tenant
from aiida_finales.broker.requests import list_requests, post_request, retract_request
from aiida_finales.broker.reservation import answer_request, reserve_request
from aiida_finales.broker.results import amend_result, delete_result
from aiida_finales.broker.state import read_state
from aiida_finales.calculations import waiting
from aiida_finales.calculations.answer import find_waiting
from aiida_finales.data.campaign import STOP, CampaignGroup, find_campaign_process
from aiida_finales.data.request import RequestData
from aiida_finales.data.training_set import count_results
from aiida_finales.operations.campaign.listing import best_values
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.report import write_report
from aiida_finales.operations.campaign.words import describe_overview, final_words, open_lines, progress_words
from aiida_finales.operations.request.documents import read_json, read_tenant
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import chemical_label
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
SCN = {
    "quantity": "conductivity",
    "method": "two_electrode",
    "constraints": [
        {
            "path": "formulation",
            "hull": {
                "chemicals": [
                    "ZJZXSOKJEJFHCP-UHFFFAOYSA-M",
                    "KMTRUDSVKNLOMY-UHFFFAOYSA-N",
                    "HCBRSIIGBBDDCD-UHFFFAOYSA-N",
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


def answer(make_data, digits=3):
    """Return an event: a client measures exactly what was asked for, and rounds its fractions."""

    def happen(request):
        asked = request.parameters["two_electrode"]
        rounded = [{**part, "fraction": round(part["fraction"], digits)} for part in asked["formulation"]]
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
            add_tenant("stranger", [SCN])
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
        assert any("stranger offers of ZJZX" in words and "is not known here" in words for words in overview.troubles)
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

    def test_a_result_that_is_deleted_meanwhile_counts_no_more_and_another_one_is_asked_for(self, make_data):
        def find_fault(request):
            [first] = overview_of("small").evaluations
            delete_result(first.pk, "tester", "the electrode was loose")
            answer(make_data)(request)

        play(answer(make_data), find_fault, answer(make_data))
        node = run_campaign({**BENCH, "stop": {"evaluations": 2}})
        assert node.exit_status == 0, node.exit_message
        overview = overview_of("small")
        assert (overview.n_done, len(overview.evaluations), len(overview.left_out)) == (2, 3, 1)
        assert "deleted: the electrode was loose" in overview.troubles[0]
        assert "2 evaluations were made, the limit is 2" in overview.stop_reason

    def test_what_replaces_a_result_counts_in_its_campaign(self, make_data, make_result):
        def correct(request):
            [first] = overview_of("small").evaluations
            shares = {chemical_label(key): share for key, share in first.fractions.items()}
            other = make_result(shares=shares, temperature=301.15, value=0.5).store()
            amend_result(first.pk, "tester", "the cell constant was wrong", other)
            assert [item.is_used for item in overview_of("small").evaluations] == [False, True]
            answer(make_data)(request)

        play(answer(make_data, digits=6), correct)
        node = run_campaign({**BENCH, "stop": {"evaluations": 2}})
        assert node.exit_status == 0, node.exit_message
        overview = overview_of("small")
        assert (overview.n_done, overview.spent) == (2, 2.0)
        assert sorted(item.value for item in overview.evaluations if item.is_used) == [0.5, 0.9]
        last = max((child for child in node.called if "suggestion" in child.outputs), key=lambda child: child.pk)
        assert count_results(last) == 2

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


def test_a_campaign_begun_by_an_older_version_goes_on(registered):
    """Its checkpoint has one request to be made, where now there is a list, each with the key of its process."""
    inputs = {"campaign": orm.Dict(parse_campaign(BENCH).to_dict())}
    process = instantiate_process(get_manager().get_runner(), CampaignWorkChain, **inputs)
    process.ctx.update({"to_launch": "a-uuid", "source": "two_electrode", "n_suggested": 7})
    found = Bundle(process).unbundle(LoadSaveContext(runner=process.runner))
    assert found.ctx.to_launch == [["a-uuid", "two_electrode", "request_0007"]]
    process.ctx.to_launch = None
    assert Bundle(process).unbundle(LoadSaveContext(runner=process.runner)).ctx.to_launch == []


@pytest.mark.parametrize("is_held", [True, False])
def test_quick_failures_wait_for_what_another_works_on(desk, make_request, make_result, candidate_of, is_held):
    """One who fails does so quickly: a good one has no time for so many answers in a row."""
    good, bad = add_tenant("good", [EMC]), add_tenant("bad", [EMC])
    document = {**BENCH, "name": "quick", "stop": {"evaluations": 9, "failures": 2}}
    process = instantiate_process(
        get_manager().get_runner(), CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict())
    )
    assert process.prepare() is None
    request = make_request()
    post_request(request, "tester")
    if is_held:
        reserve_request(request.pk, "client", candidate_of(request.pk, "good"))
    process.ctx.serving, process.ctx.requests = {7: "two_electrode"}, {7: request.uuid}
    process.ctx.n_asked = {"two_electrode": 3}
    for _ in range(2):
        failed = make_result(success=False)
        failed.base.attributes.set("tenant_uuid", bad.tenant_uuid)
        process._take_result("two_electrode", failed.store())
    assert process._next_source() is None
    assert (process.ctx.fatal is None) == is_held
    if is_held:
        taken = make_result(temperature=301.15)
        taken.base.attributes.set("tenant_uuid", good.tenant_uuid)
        process.ctx.serving, failures = {}, process.ctx.failures["two_electrode"]
        process._take_back("two_electrode", "nobody offers it")  # and nobody else works on it
        assert process.ctx.fatal[0] == "ERROR_FAILURES"
        process.ctx.fatal = None
        process._take_result("two_electrode", taken.store())
        assert (failures, process._next_source()) == (2, "two_electrode")


class TestAnswersLeftOut:
    def test_430_each_counts_as_failure_and_is_told(self, laboratory):
        node = run_campaign({**CAMPAIGN, "sources": {"empirical_model": STRICT}})
        assert node.exit_status == 430
        expected = (
            r"2 requests in a row to empirical_model brought nothing .*: answer <\d+> of empirical-model is left out: "
            r"rating \d is below"
        )
        assert re.match(expected, node.exit_message)
        overview = overview_of("small")
        assert (overview.n_done, len(overview.evaluations), overview.state) == (0, 2, "failed")
        first = overview.evaluations[0]
        told = rf"(result <{first.pk}>|2 results \(<{first.pk}> and <\d+>\)) of empirical_model by empirical-model "
        assert re.match(told + "(is|are) not learned from: rating ", overview.troubles[0]), overview.troubles
        words = final_words(overview)
        assert words[0].startswith("campaign 'small' failed: 2 requests in a row")
        assert words[-1].startswith("cure: 'aiida-finales campaign report small'")
        assert "0/2 evaluations, 2 left out" in progress_words(overview)
        row = describe_overview(overview)
        assert (row["state"], row["left_out"], row["temperature"]) == ("failed", 2, "301.15 K")
        assert best_values(overview) == []  # so that a list has no curve of it

    def test_what_told_nothing_is_pending_so_that_it_is_not_asked_again(self, laboratory):
        run_campaign({**CAMPAIGN, "sources": {"empirical_model": STRICT}})
        requests = [node for node in CampaignGroup.find("small").nodes if isinstance(node, RequestData)]
        first, second = sorted(requests, key=lambda node: node.pk)
        told_nothing = second.creator.inputs.told_nothing
        assert [told_nothing[key].uuid for key in told_nothing] == [first.uuid]
        assert not first.creator.base.links.get_incoming(link_label_filter="told_nothing%").all()
        assert second.creator.outputs.suggestion.document["pending"]["uuids"] == [first.uuid]

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


#: what laboratories of other chemistries would write into their tenant's file
CHEMISTRIES = {
    "LiFSI-DME-DOL": {"LiFSI": (0.05, 0.15), "DME": (0.2, 0.8), "DOL": (0.1, 0.6)},
    "NaPF6-EC-EMC": {"NaPF6": (0.02, 0.12), "EC": (0.2, 0.5), "EMC": (0.4, 0.7)},
    "MgTFSI2-DME": {"Mg(TFSI)2": (0.01, 0.1), "DME": (0.9, 0.99)},
}


@pytest.mark.parametrize(
    "shares",
    [
        pytest.param(shares, id=name, marks=[pytest.mark.slow] if name != "MgTFSI2-DME" else [])
        for name, shares in CHEMISTRIES.items()
    ],
)
def test_a_campaign_of_any_chemistry_runs_from_a_tenants_file_to_its_report(
    desk, own_chemicals, monkeypatch, make_data, tmp_path, shares
):
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
    for group in orm.QueryBuilder().append(CampaignGroup).all(flat=True):
        CampaignGroup.collection.delete(group.pk)
    ranges = {name: {"min": low, "max": high} for name, (low, high) in shares.items()}
    limitations = {"formulation": ranges, "temperature": {"min": "20 °C", "max": "40 °C"}}
    offer = {"quantity": "conductivity", "method": "two_electrode", "cost": 1, "limitations": limitations}
    file = tmp_path / "bench.yaml"
    file.write_text(yaml.safe_dump({"name": "bench", "offers": [offer]}, allow_unicode=True))
    add_tenant(**read_tenant(read_json(file)))

    def register_another(request):
        limits = {"formulation": {name: {"max": 0.5} for name in ("KPF6", "PC", "GBL")}}
        add_tenant(**read_tenant({"name": "stranger", "offers": [{**offer, "limitations": limits}]}))
        answer(make_data, digits=6)(request)

    play(register_another, answer(make_data, digits=6))
    node = run_campaign({**BENCH, "stop": {"evaluations": 2}})
    assert node.exit_status == 0, node.exit_message
    overview = overview_of("small")
    assert set(map(chemical_label, overview.components)) == set(shares)
    assert all(set(map(chemical_label, item.fractions)) == set(shares) for item in overview.evaluations)
    assert any("of KPF6 / PC / GBL is left out" in words for words in overview.troubles)
    files = write_report(overview, tmp_path)
    [table] = [path for path in files if path.suffix == ".csv"]
    assert all(name in table.read_text() for name in shares)
