"""What a person is told of a campaign whose tenants change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiida_finales.broker.registration import switch_tenant
from aiida_finales.broker.status import RequestStatus
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign.start import _demand_space
from aiida_finales.operations.campaign.troubles import _tell_gone, list_troubles, read_tenants, tell_strangers
from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.problem import Problem, Source
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.limitations.region import Region

from .test_front import evaluate


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


def test_each_source_has_the_reason_of_its_own_last_failure():
    """That of the latest of all sources stood with each of them."""
    sources = {"two_electrode": {}, "empirical_model": {}}
    campaign = parse_campaign({"name": "c", "quantity": "conductivity", "sources": sources})
    notes = {"failures": {"two_electrode": 1, "empirical_model": 2}, "last_failure": "too hot",
             "reasons": {"two_electrode": "too cold", "empirical_model": "too hot"}}  # fmt: skip

    def tell(told):
        return [words.rpartition("; ")[2] for words in list_troubles(({}, {}), {}, told, campaign, (), {})]

    assert tell(notes) == ["the latest reason: too cold", "the latest reason: too hot"]
    del notes["reasons"]  # as a campaign that began before wrote it
    assert tell(notes) == ["the latest reason: too hot"] * 2


def test_mixtures_of_tenants_that_have_nothing_in_common_are_named():
    """A campaign that names no chemical looks at all that is offered for its method."""

    def region(*names):
        return {"names": list(names), "upper": [0.9] * len(names)}

    regions = [region("LiTFSI", "DME"), region("LiPF6", "EC"), region("EC", "DMC"), region("NaPF6", "PC")]
    problem = {"problem": {"sources": [{"name": "two_electrode", "regions": regions}, {"name": "literature"}]}}
    (words,) = tell_strangers(problem, ["two_electrode"])
    assert words.startswith(
        "what is offered for two_electrode has no chemical in common (LiTFSI / DME, LiPF6 / EC and "
    )
    assert "under 'within: ranges'" in words
    problem["problem"]["sources"][0]["regions"] = regions[1:3]
    assert list(tell_strangers(problem, ["two_electrode"])) == []
    assert list(tell_strangers({}, ["two_electrode"])) == []


def test_a_space_that_nobody_is_asked_in_is_looked_at_before_the_start_too():
    """The optimiser needs it from the first suggestion on, and would fail there."""
    names = tuple(f"{letter * 14}-UHFFFAOYSA-N" for letter in "ABCDEFGHIJKLMNO")
    sources = (
        Source("two_electrode", (Region.from_box(dict.fromkeys(names[:2], (0.0, 1.0))),)),
        Source("literature", (Region.from_box(dict.fromkeys(names, (0.0, 0.3))),)),
    )
    problem = Problem(names, sources, (Objective("conductivity", "two_electrode"),)).to_dict()
    sections = {"two_electrode": {}, "literature": {"ask": False}}
    campaign = parse_campaign({"name": "x", "quantity": "conductivity", "sources": sections})
    with pytest.raises(CampaignFileError, match=r"source 'literature' cannot be learned from: .* is too complex"):
        _demand_space(campaign, {"problem": problem, "tenants": {"two_electrode": ["x"], "literature": []}})


def test_answers_of_one_tenant_that_do_not_count_are_told_together_and_whose_they_are():
    campaign = parse_campaign({"name": "c", "quantity": "conductivity", "sources": {"two_electrode": {}}})
    good = [replace(evaluate(pk, "two_electrode", {}, {"y": 1.0}), tenant="1") for pk in (1, 2)]
    reason = "measured at {} K, not at 298.15 K"
    bad = [replace(good[0], pk=pk, tenant="2", against=reason.format(250 + pk)) for pk in range(3, 9)]
    other = replace(bad[0], pk=9, against="rating 1 is below 3")
    tenants = {"2": ("2", "cheap bench")}
    told = list(list_troubles(({}, {}), tenants, {}, campaign, (*good, *bad, other), {}))
    assert told == [
        "6 results (<3>, <4>, <5> and 3 others) of two_electrode by cheap bench are not learned from: measured at "
        "253 K, not at 298.15 K (the others alike)",
        "result <9> of two_electrode by cheap bench is not learned from: rating 1 is below 3",
        "no answer of cheap bench counts, 7 were left out, while those of others do: 'aiida-finales tenant deactivate "
        "'cheap bench'' lets two_electrode be asked of the others only",
    ]
    # one counts by now; and nobody is left where nobody else has answered
    better = [*bad, replace(good[0], tenant="2")]
    assert len(list(list_troubles(({}, {}), tenants, {}, campaign, (*good, *better), {}))) == 1
    assert len(list(list_troubles(({}, {}), tenants, {}, campaign, tuple(bad), {}))) == 1
