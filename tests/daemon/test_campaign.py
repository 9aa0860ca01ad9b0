"""Campaigns through the real daemon, also when its processes are killed in the middle."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest
from aiida.brokers.zeromq.defaults import HEARTBEAT_TIMEOUT

from aiida_finales.schemas.chemicals import get_chemical
from tests.daemon.conftest import PATIENCE

pytestmark = pytest.mark.daemon


def assert_answered_once(lab, name: str, evaluations: int, doses_before: int) -> None:
    """Each request has one result and was resolved once, each robot request cost one dose, none is missing."""
    facts = lab.campaign_facts(name)
    assert facts["n_results"] == evaluations
    n_asked = evaluations + len(facts["left_out"])  # an answer that is left out is no evaluation
    assert len(facts["requests"]) == n_asked, facts
    assert {request["status"] for request in facts["requests"]} == {"resolved"}
    assert [request["resolved"] for request in facts["requests"]] == [1] * n_asked
    assert [request["results"] for request in facts["requests"]] == [1] * n_asked
    asked = [request["uuid"] for request in facts["requests"] if request["method"] == "two_electrode"]
    dosed = lab.doses()[doses_before:]
    assert sorted(key[:36] for key in dosed) == sorted(asked)


@pytest.mark.slow  # those that are killed in the middle end, too
def test_campaign_ends_with_its_evaluations(lab):
    before = len(lab.doses())
    pk = lab.start_campaign("plain", evaluations=8)
    lab.finish(pk)
    assert_answered_once(lab, "plain", 8, before)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["turns", "target", "information"])
def test_each_policy_comes_to_its_end_with_two_sources(lab, policy):
    """Whom it asks is part of the suggestion: it is chosen again when the campaign is replayed."""
    before, name = len(lab.doses()), f"by-{policy}"
    pk = lab.start_campaign(name, evaluations=6, initial=3, policy=policy, target="two_electrode")
    lab.finish(pk)
    assert_answered_once(lab, name, 6, before)
    methods = Counter(request["method"] for request in lab.campaign_facts(name)["requests"])
    both = {"two_electrode", "empirical_model"}  # by information those that fill the space go to both
    assert set(methods) == ({"two_electrode"} if policy == "target" else both)
    if policy == "turns":
        assert abs(methods["two_electrode"] - methods["empirical_model"]) <= 1
    replayed = json.loads(lab.run("aiida-finales", "campaign", "replay", name, "--format", "json"))
    assert len(replayed) >= 6
    assert all(item["is_same"] for item in replayed), replayed


@pytest.mark.essential
def test_campaign_survives_the_kill_of_workers(lab):
    before = len(lab.doses())
    pk = lab.start_campaign("workers-killed", evaluations=10)
    moments = random.Random(7)
    for _ in range(4):
        time.sleep(moments.uniform(1.0, 5.0))
        workers = lab.workers()
        if workers:
            moments.choice(workers).kill()
    time.sleep(moments.uniform(1.0, 5.0))
    for worker in lab.workers():  # all at once: those that follow have no task, and nobody among them asks for one
        worker.kill()
    if not lab.wait_for(pk, timeout=240)["terminated"]:
        lab.cure()  # a child that was stored but not sent off: what `doctor` names
    lab.finish(pk)
    assert_answered_once(lab, "workers-killed", 10, before)


@pytest.mark.parametrize(
    "what", [pytest.param("the workers stand still", marks=pytest.mark.slow), "the broker is killed"]
)
def test_campaign_survives(lab, what):
    """Nobody cures it: workers that the broker does not know (any more) end by themselves, and others go on."""
    before, name = len(lab.doses()), what.replace(" ", "-")
    pk = lab.start_campaign(name, evaluations=8)
    time.sleep(6)
    if what == "the broker is killed":
        lab.broker().kill()
    else:
        frozen = lab.workers()
        for worker in frozen:
            worker.suspend()
        time.sleep(2 * HEARTBEAT_TIMEOUT)  # as when the machine swaps
        for worker in frozen:
            worker.resume()
    lab.finish(pk)
    assert_answered_once(lab, name, 8, before)


@pytest.mark.slow
def test_a_slow_source_never_keeps_a_fast_one_waiting(lab):
    """An external tenant is late with all its requests; the robot makes all evaluations but one beside it."""
    late = {"name": "late", "kind": "external", "max_concurrent": 2}
    keys = [get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC")]
    hull = {"chemicals": keys, "vertices": [[0.1, 0.3, 0.6], [0.02, 0.3, 0.68], [0.02, 0.5, 0.48]]}
    offer = {"quantity": "conductivity", "method": "polynomial_interpolation", "cost": 1}
    late["offers"] = [{**offer, "limitations": {}, "constraints": [{"path": "formulation", "hull": hull}]}]
    path = lab.folder / "late.json"
    path.write_text(json.dumps(late))
    lab.run("aiida-finales", "tenant", "deactivate", "polynomial-interpolation")
    lab.run("aiida-finales", "tenant", "add", str(path))
    before = len(lab.doses())
    sources = {"two_electrode": {"cost": 10, "max_in_flight": 1}, "polynomial_interpolation": {"max_in_flight": 1}}
    pk = lab.start_campaign("late-source", evaluations=8, sources=sources, target="two_electrode")
    assert lab.wait_until(lambda: "late-source" in lab.run("aiida-finales", "campaign", "list"), PATIENCE)

    def answered():
        requests = lab.campaign_facts("late-source")["requests"]
        return Counter(request["method"] for request in requests if request["status"] == "resolved")

    assert lab.wait_until(lambda: answered()["two_electrode"] >= 5, PATIENCE), answered()
    assert answered()["polynomial_interpolation"] == 0
    assert not lab.process(pk)["terminated"]
    while not lab.process(pk)["terminated"]:
        answer_as_tenant(lab, "late")
        time.sleep(1.0)
    assert (lab.process(pk)["state"], lab.process(pk)["exit"]) == ("finished", 0)
    assert answered()["polynomial_interpolation"] >= 1
    assert_answered_once(lab, "late-source", 8, before)
    lab.run("aiida-finales", "tenant", "deactivate", "late")
    lab.run("aiida-finales", "tenant", "activate", "polynomial-interpolation")


def answer_as_tenant(lab, name: str) -> None:
    """Answer what is pending for an external tenant: as a client does who was away."""
    for row in json.loads(lab.run("aiida-finales", "request", "list", "--status", "pending", "--format", "json")):
        request = json.loads(lab.run("aiida-finales", "request", "show", str(row["pk"]), "--format", "json"))
        parameters = request["parameters"].get("polynomial_interpolation")
        if parameters is None:
            continue
        data = {
            "run_info": {"formulation": parameters["formulation"], "internal_reference": "late"},
            "conductivity": {"values": [0.9], "temperature": 301.15, "meta": {"success": True, "rating": 4}},
        }
        path = lab.folder / "late_answer.json"
        path.write_text(json.dumps({"method": "polynomial_interpolation", "parameters": parameters, "data": data}))
        lab.run("aiida-finales", "result", "post", str(row["pk"]), str(path), "--tenant", name)
