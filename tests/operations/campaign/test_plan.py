"""What a campaign would cost, told before it starts."""

from __future__ import annotations

import pytest

from aiida_finales.operations.campaign.plan import _share_evaluations, _tell_unheeded, _total_cost
from aiida_finales.schemas.campaign import parse_campaign

DEAR, CHEAP = "degradation_workflow", "lifetime_generator"


def make(policy, most, **stop):
    sources = {DEAR: {"cost": 10, "evaluations": most}, CHEAP: {"cost": 1}}
    return parse_campaign(
        {"name": "c", "quantity": "degradationEOL", "policy": policy, "sources": sources, "stop": stop}
    )


@pytest.mark.parametrize(
    ("policy", "most", "shares", "cost"),
    [
        ("information", 3, {DEAR: 3, CHEAP: 8}, 35.0),
        ("information", None, {DEAR: 8, CHEAP: 8}, 80.0),
        ("turns", 3, {DEAR: 3, CHEAP: 5}, 35.0),
        ("turns", None, {DEAR: 4, CHEAP: 4}, 44.0),
    ],
)
def test_a_source_is_asked_no_more_often_than_it_may_be(policy, most, shares, cost):
    """The evaluations of a source were not heeded, and the costs told were twice those that there could be."""
    campaign = make(policy, most, evaluations=8)
    found = _share_evaluations(campaign, [DEAR, CHEAP])
    assert found == shares
    rows = [{"cost": campaign.sources[name].cost, "evaluations": number} for name, number in found.items()]
    assert _total_cost(rows, policy, campaign.stop) == cost
    assert _total_cost(rows, policy, campaign.stop.model_copy(update={"budget": 20.0})) == 20.0


def test_a_source_that_knows_nothing_of_a_category_is_named(registered):
    options = {"coin": {"cell_design": {"format": "coin"}}, "pouch": {"cell_design": {"format": "pouch"}}}
    given = {"name": "c", "quantity": "degradationEOL", "sources": {CHEAP: {}, DEAR: {}},
             "categories": {"housing": {"options": options}}}  # fmt: skip
    (words,) = _tell_unheeded(parse_campaign(given))
    assert words.startswith(f"source {DEAR!r} knows nothing of category 'housing'")
