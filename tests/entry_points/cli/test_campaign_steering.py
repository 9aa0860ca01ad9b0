"""A person in the loop: look before a start, ask what comes next, add a point, go on with what has ended."""

from __future__ import annotations

import json

import pytest

from aiida_finales.data.campaign import (
    GIVEN_UP,
    NOTES,
    STOP,
    CampaignGroup,
    find_campaign_process,
    list_campaign_processes,
    list_queued,
)
from aiida_finales.data.request import RequestData
from aiida_finales.operations.campaign import steer
from aiida_finales.operations.campaign.reading import read_overview
from tests.entry_points.conftest import run_what_is_submitted

#: fills the space only, so that no model is fitted
CAMPAIGN = {
    "name": "steered",
    "quantity": "conductivity",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {"min_rating": 1, "cost": 2}},
    "within": {"ranges": {"LiPF6": [0.05, 0.1]}, "fixed": {"EC": 0.3}},
    "initial": 20,
    "stop": {"evaluations": 2, "budget": 4},
    "optimiser": {"seed": 1},
}
POINT = "LiPF6=0.08 EC=0.30 EMC=0.62"


@pytest.fixture(scope="module")
def campaign(lab, tmp_path_factory) -> str:
    """Name of a campaign that has ended."""
    from aiida_finales import Campaign

    with pytest.MonkeyPatch.context() as patch:
        run_what_is_submitted(patch)
        started = Campaign.start(CAMPAIGN)
    assert started.process.is_finished_ok, started.process.exit_message
    return started.name


@pytest.fixture
def file(write):
    """A campaign file."""
    return lambda **changes: write({**CAMPAIGN, "name": "checked", **changes}, "campaign.yaml")


def test_check_prints_the_derived_space_and_stores_nothing(lab, run, run_json, file, count_nodes):
    before = count_nodes()
    found = run_json("campaign", "check", file())
    assert count_nodes() == before
    source = found["sources"][0]
    assert source["tenants"] == ["empirical-model"]
    assert source["regions"][0]["ranges"]["EC"] == [0.3, 0.3]
    assert source["regions"][0]["ranges"]["LiPF6"] == [0.05, 0.1]
    # of four chemicals one is fixed, and the sum is one
    assert (source["regions"][0]["free"], source["regions"][0]["volume"]) == (2, None)
    assert (found["cost"], len(source["samples"])) == (4.0, 3)
    said = run("campaign", "check", file(within=None)).stdout
    assert "of all their mixtures by volume" in said
    assert "source empirical_model: asked, served by empirical-model, cost 2, 2 evaluations" in said
    assert "fixed: temperature 301.15 K\n" in said


def test_check_says_where_all_targets_are_asked_and_what_ends_the_campaign(lab, run, file, write):
    both = {
        "conductivity": {"direction": "maximise", "sources": {"two_electrode": {}}},
        "density": {"direction": "minimise", "sources": {"vibrating_tube_densimetry": {}}},
    }
    document = {"name": "both", "fixed": CAMPAIGN["fixed"], "objectives": both, "scalarise": "chebyshev"}
    said = run("campaign", "check", write(document, "campaign.yaml")).stdout
    # the densimeter's mixtures without DMC, which the other has not, have one ratio of EC and EMC
    together = said.partition("all targets are asked for the same points")[2]
    assert "1 free direction" in together
    assert "made into one number: the worst of them (chebyshev), weights drawn anew at each step" in said
    assert "ends when it is stopped, as 'stop' names no limit, or when 5 requests in a row" in said
    said = run("campaign", "check", file(stop={"gain_tolerance": 0.01, "budget": 7})).stdout
    assert "ends after costs of 7 or 3 suggestions in a row that expect less than 0.01 of the spread" in said
    assert "all targets" not in said


def test_check_says_what_a_budget_allows(lab, run, file):
    said = run("campaign", "check", file(stop={"budget": 7})).stdout
    assert "costs: at most 7" in said
    assert "no end" not in said
    assert "costs: at most 3" in run("campaign", "check", file(stop={"budget": 3, "evaluations": 9})).stdout
    assert "costs: 4" in run("campaign", "check", file(stop={"budget": 9, "evaluations": 2})).stdout


def test_check_draws_samples_of_variables_too(lab, run, file):
    said = run("campaign", "check", file(fixed={}, within=None, variables={"temperature": {"min": 290, "max": 310}}))
    samples = [line for line in said.stdout.splitlines() if "for example" in line]
    assert len(samples) == 3
    assert all(290 <= float(line.rpartition("temperature ")[2].removesuffix(" K")) <= 310 for line in samples)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("turns", ["cost 10, 3 evaluations", "cost 2, 2 evaluations", "costs: 34"]),
        ("target", ["cost 10, 5 evaluations", "cost 2\n", "costs: 50"]),
        ("information", ["cost 10, at most 5 evaluations", "cost 2, at most 5 evaluations", "costs: at most 50"]),
    ],
)
def test_check_says_what_the_policy_may_spend(lab, run, file, policy, words):
    sources = {"two_electrode": {"cost": 10}, **CAMPAIGN["sources"]}
    said = run("campaign", "check", file(within=None, sources=sources, policy=policy, stop={"evaluations": 5})).stdout
    for part in words:
        assert part in said


@pytest.mark.parametrize(
    ("within", "words"),
    [
        ({"ranges": {"LiPG6": [0, 0.1]}}, "within names LiPG6, but the tenants offer LiPF6, "),
        ({"ranges": {"EC": [0.5, 0.1]}}, "EC is [0.5, 0.1], but accepted is [lowest, highest]"),
        ({"ranges": {"EC": [0.1, 0.5]}, "fixed": {"EC": 0.1}}, "EC has a range and is fixed"),
        ({"fixed": {"LiPF6": 0.9}}, "nothing of it is within what the campaign allows"),
        ({"constraints": [{"coefficients": {"EC": 1}}]}, "it limits nothing: give min, max, or both"),
        ({"constraints": [{"coefficients": {"EC": 1, "EMC": 1}, "max": 0.01}]}, "nothing of it is within"),
    ],
    ids=["misspelt", "order", "twice", "empty", "no-limit", "constraint-empty"],
)  # fmt: skip
def test_a_space_that_cannot_be_narrowed_so_is_refused(lab, run, file, within, words):
    assert words in run("campaign", "check", file(within=within), exit_code=1).stderr


def test_check_says_that_a_name_is_taken(campaign, run, write):
    said = run("campaign", "check", write(CAMPAIGN, "campaign.yaml"))
    assert "a campaign 'steered' exists already" in said.stderr


def test_every_point_is_within(campaign):
    from aiida_finales import Campaign

    for result in Campaign(campaign).results():
        shares = {item["chemical"]["SMILES"]: item["fraction"] for item in result.data["run_info"]["formulation"]}
        assert shares["C1COC(=O)O1"] == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("LiPF6=0.08 EC", "'EC' of the point"),
        ("LiPF6=nan EC=1", "'LiPF6=nan' of the point"),
        ("LiPF6=0.08 EC=0.3", "with sum 0.38"),
        ("LiPF6=0.5 EC=0.5", "no active tenant"),
        ("brine=1", "chemical 'brine' is not known here"),
    ],
)
def test_a_point_that_nobody_can_measure_is_refused(campaign, run, count_nodes, point, words):
    before = count_nodes()
    assert words in run("campaign", "add", campaign, "--point", point, exit_code=1).stderr
    assert count_nodes() == before


def test_a_campaign_goes_on_with_the_point_of_a_person_first(campaign, run, run_json, engine):
    """What was measured and spent counts, what is in the queue comes first, then the model goes on."""
    refused = run("campaign", "continue", campaign, exit_code=1).stderr
    assert "would end at once: 2 evaluations were made, the limit is 2" in refused
    refused = run("campaign", "suggest", campaign, exit_code=1).stderr
    assert "would ask for nothing now: 2 evaluations were made, the limit is 2; 'aiida-finales" in refused
    assert "accepted" not in refused
    said = run("campaign", "add", campaign, "--point", POINT, "--reason", "the standard").stderr
    assert "'aiida-finales campaign continue steered' asks for it" in said
    assert "first what is in the queue" in run("campaign", "suggest", campaign, "--source", "empirical_model").stdout
    foreseen = run_json("campaign", "suggest", campaign, "--source", "empirical_model")
    row = run_json("campaign", "continue", campaign, "--evaluations", 4, "--budget", 8)
    assert (row["evaluations"], row["budget"], row["state"]) == ("4 of 4", "8 of 8", "finished")
    group = CampaignGroup.find(campaign)
    assert [node.is_finished_ok for node in list_campaign_processes(group)] == [True, True]
    assert list_queued(campaign) == []
    requests = [child.inputs.request for child in find_campaign_process(group).called if "request" in child.inputs]
    mine = min(requests, key=lambda node: node.pk).parameters["empirical_model"]["formulation"]
    assert [part["fraction"] for part in mine] == [0.08, 0.3, 0.62]
    # what 'suggest' foresaw is what was asked, and no point was asked twice
    other = max(requests, key=lambda node: node.pk).parameters["empirical_model"]["formulation"]
    assert [part["fraction"] for part in other] == list(foreseen["x"].values())
    assert len({json.dumps(node.parameters) for node in requests}) == len(requests) == 2


def test_what_failed_before_is_not_told_of_a_campaign_that_goes_on(campaign, monkeypatch):
    group = CampaignGroup.find(campaign)
    place = {"source": "empirical_model", "where": "LiPF6 0.1", "why": "away", "requests": ["a", "b"]}
    before = dict(group.base.extras.get(NOTES))
    group.base.extras.set(NOTES, before | {"failures": {"empirical_model": 9}, GIVEN_UP: [place]})
    assert len(read_overview(group).troubles) == 2
    monkeypatch.setattr(steer, "connect_to_daemon", lambda: None)
    monkeypatch.setattr("aiida.engine.submit", lambda *_, **__: find_campaign_process(group))
    steer.continue_campaign(campaign, {"stop.evaluations": 9, "stop.budget": 90})
    assert read_overview(group).troubles == ()
    assert read_overview(group).spent == before["spent"]
    group.base.extras.set(NOTES, before)


def test_a_campaign_that_was_told_to_stop_suggests_nothing(campaign, run, monkeypatch):
    process = find_campaign_process(CampaignGroup.find(campaign))
    process.base.extras.set(STOP, "good enough")
    monkeypatch.setattr(type(process), "is_terminated", False)
    said = run("campaign", "suggest", campaign, "--source", "empirical_model", exit_code=1).stderr
    assert "asks for nothing more, it was told to stop (good enough); when the last answer is there" in said
    process.base.extras.delete(STOP)


def test_what_it_is_cannot_change(campaign, run):
    for setting, words in (
        ("quantity=density", "quantity cannot change when a campaign goes on"),
        ("stop.evaluations=0", "stop.evaluations is 0"),
        ("stop.budgett=5", "unknown key 'stop.budgett'"),
        ("sources.other.cost=5", "there is no 'other' in the campaign"),
        ("nothing", "is no KEY=VALUE"),
    ):
        code = 2 if setting == "nothing" else 1
        assert words in run("campaign", "continue", campaign, "--set", setting, exit_code=code).stderr


def test_an_answer_that_a_broken_process_did_not_take_counts_and_is_not_asked_for_again(lab, engine, monkeypatch):
    from aiida_finales import Campaign
    from aiida_finales.workflows.campaign import CampaignWorkChain

    document = {**CAMPAIGN, "name": "broken", "within": None, "stop": {"evaluations": 2}}
    with monkeypatch.context() as patch:
        patch.setattr(CampaignWorkChain, "_take_answer", _break)
        with pytest.raises(RuntimeError, match="no answer can be taken"):
            Campaign.start(document)
    found = Campaign("broken")
    assert found.process.is_excepted
    assert found.overview().n_done == 0
    found.go_on()
    assert found.process.exit_status == 0, found.process.exit_message
    overview = found.overview()
    assert (overview.n_done, overview.state, overview.spent) == (2, "finished", 4.0)
    assert sum(isinstance(node, RequestData) for node in found.group.nodes) == 2


def _break(self, child) -> None:
    message = "no answer can be taken"
    raise RuntimeError(message)
