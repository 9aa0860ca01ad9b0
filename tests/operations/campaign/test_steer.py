"""Which limits a campaign that has ended must be allowed more of, to go on."""

from __future__ import annotations

import pytest

from aiida_finales.operations.campaign.steer import _list_more
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.turns import Standing

COSTS = {"two_electrode": 10.0, "empirical_model": 1.0}


@pytest.mark.parametrize(
    ("stop", "most", "more"),
    [
        ({"evaluations": 8}, {}, {"stop.evaluations": 18}),
        ({"evaluations": 9}, {}, {}),
        ({"budget": 44.5}, {}, {"stop.budget": 144.5}),
        ({"budget": 45}, {}, {}),
        ({"evaluations": 40}, {"empirical_model": 4}, {"sources.empirical_model.evaluations": 14}),
        ({"evaluations": 8}, {"two_electrode": 4}, {"stop.evaluations": 18, "sources.two_electrode.evaluations": 14}),
    ],
)  # fmt: skip
def test_what_is_used_up_is_named(stop, most, more):
    sources = {name: {"cost": cost, "evaluations": most.get(name)} for name, cost in COSTS.items()}
    document = {"name": "x", "quantity": "conductivity", "target": "two_electrode", "sources": sources, "stop": stop}
    standing = Standing(dict.fromkeys(COSTS, 4), dict.fromkeys(COSTS, 4), COSTS)
    assert _list_more(parse_campaign(document), standing) == more
