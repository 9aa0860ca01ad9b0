"""Campaigns through the real daemon, also when its processes are killed in the middle."""

from __future__ import annotations

import random
import time

import pytest

pytestmark = pytest.mark.daemon


def assert_answered_once(lab, name: str, evaluations: int, doses_before: int) -> None:
    """Each request has one result and was resolved once, each robot request cost one dose, none is missing."""
    facts = lab.campaign_facts(name)
    assert facts["n_results"] == evaluations
    assert len(facts["requests"]) == evaluations
    assert {request["status"] for request in facts["requests"]} == {"resolved"}
    assert [request["resolved"] for request in facts["requests"]] == [1] * evaluations
    assert [request["results"] for request in facts["requests"]] == [1] * evaluations
    asked = [request["uuid"] for request in facts["requests"] if request["method"] == "two_electrode"]
    dosed = lab.doses()[doses_before:]
    assert sorted(key[:36] for key in dosed) == sorted(asked)


def test_campaign_ends_with_its_evaluations(lab):
    before = len(lab.doses())
    pk = lab.start_campaign("plain", evaluations=8)
    ended = lab.wait_for(pk, timeout=180)
    assert (ended["state"], ended["exit"]) == ("finished", 0)
    assert_answered_once(lab, "plain", 8, before)


@pytest.mark.timeout(600)
def test_campaign_survives_the_kill_of_workers(lab):
    before = len(lab.doses())
    pk = lab.start_campaign("workers-killed", evaluations=10)
    moments = random.Random(7)
    for _ in range(4):
        time.sleep(moments.uniform(1.0, 5.0))
        workers = lab.workers()
        if workers:
            moments.choice(workers).kill()
    if not lab.wait_for(pk, timeout=120)["terminated"]:
        lab.cure()  # a child that was stored but not sent off: what `doctor` names
    ended = lab.wait_for(pk, timeout=180)
    assert (ended["state"], ended["exit"]) == ("finished", 0)
    assert_answered_once(lab, "workers-killed", 10, before)


def test_campaign_survives_the_kill_of_the_broker(lab):
    before = len(lab.doses())
    pk = lab.start_campaign("broker-killed", evaluations=8)
    time.sleep(6)
    lab.broker().kill()
    time.sleep(2)
    lab.cure()
    ended = lab.wait_for(pk, timeout=180)
    assert (ended["state"], ended["exit"]) == ("finished", 0)
    assert_answered_once(lab, "broker-killed", 8, before)
