"""What a person is told of a campaign whose tenants change."""

from __future__ import annotations

import pytest

from aiida_finales.broker.registration import switch_tenant
from aiida_finales.broker.status import RequestStatus
from aiida_finales.operations.campaign.troubles import _tell_gone, list_troubles, read_tenants
from aiida_finales.schemas.campaign import parse_campaign


@pytest.mark.usefixtures("desk")
def test_who_serves_no_more_is_named(add_offer):
    bench, robot = add_offer("bench"), add_offer("robot")
    first = {"tenants": {"two_electrode": [bench.uuid, robot.uuid]}}

    def tell(latest):
        return list(_tell_gone((first, latest), read_tenants([(first, latest)])))

    newer = add_offer("robot", high=300.0)  # another version is the same tenant
    assert tell({"tenants": {"two_electrode": [bench.uuid, newer.uuid]}}) == []
    switch_tenant("bench", is_active=False)
    (words,) = tell({"tenants": {"two_electrode": [newer.uuid]}})
    assert words.startswith("two_electrode is asked of robot and no longer of bench")
    gone = {"tenants": {"two_electrode": [robot.uuid]}, "unavailable": {"two_electrode": "nobody offers it"}}
    assert tell(gone) == []  # that is said as what the campaign waits for
    assert tell({"tenants": {"two_electrode": ["not here"]}}) == []


def test_nobody_is_missing_who_is_back():
    campaign = parse_campaign({"name": "c", "quantity": "conductivity", "sources": {"two_electrode": {}}})
    problem = {"unavailable": {"two_electrode": "nobody offers it"}}
    pending = {"status": RequestStatus.PENDING.value}

    def tell(*states):
        return list(list_troubles((problem, problem), {}, {}, campaign, (), dict(enumerate(states))))

    assert tell(pending) == tell() == ["waits for tenants of two_electrode: nobody offers it"]
    assert tell({**pending, "candidates": [{"tenant": "bench"}]}) == []
