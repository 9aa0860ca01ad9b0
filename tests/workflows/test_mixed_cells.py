"""A campaign whose cells change on its way says so: its model takes all results for those of one kind."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.reservation import answer_request
from aiida_finales.calculations import waiting
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.cells import PROFILE, add_parts, check_parts
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.replay import list_suggestions
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.cells.naming import find_parts, tell_mixed
from aiida_finales.workflows.campaign import CampaignWorkChain
from tests.workflows.test_campaign import QUICK, limit, play

METHOD = "workflow"
CAMPAIGN = {
    "name": "cells",
    "objectives": {
        "last": {"quantity": "capacity", "number": "capacity_list.-1", "direction": "maximise", "sources": {METHOD: {}}}
    },
    "fixed": {
        "battery_chemistry": {"cathode": {"name": "LFP", "areal_mass": 10}, "anode": {"name": "graphite"}},
        "separator": "Celgard 2325",
    },
    "initial": 9,
    "stop": {"evaluations": 3},
    "optimiser": QUICK,
}


def answer(request):
    asked = request.parameters[METHOD]
    data = {"capacity_list": [3e-3, 2.9e-3], "channel_list": [1], "cell_info": {}}
    data |= {"capacity": {"meta": {"success": True, "rating": 4}}, "run_info": {"internal_reference": "x"}}
    answer_request(request.pk, "robot", {"method": METHOD, "data": data, "parameters": asked})


def reformulate(request):
    """The supplier has another separator and another graphite from now on; then the answer to what was asked before."""
    thicker = {"name": "Celgard 2325", "thickness": {"value": 26, "source": "a bench", "status": "measured"}}
    denser = {"name": "graphite", "practical_capacity": {"value": 340, "source": "a bench", "status": "measured"}}
    add_parts(check_parts({"electrodes": [denser], "separators": [thicker]}, PROFILE))
    answer(request)


@pytest.fixture
def _bench(desk, own_parts, monkeypatch):
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
    for group in orm.QueryBuilder().append(CampaignGroup).all(flat=True):
        CampaignGroup.collection.delete(group.pk)
    offer = limit(LiPF6=(0.05, 0.12), EC=(0.2, 0.5), EMC=(0.4, 0.7))
    electrolyte = offer["limitations"]["formulation"]
    limitations = {"battery_chemistry": {"electrolyte": electrolyte}}
    add_tenant("cycler", [{**offer, "quantity": "capacity", "method": METHOD, "limitations": limitations}])


@pytest.mark.usefixtures("_bench")
def test_records_that_change_are_told_wherever_the_campaign_is_looked_at():
    play(reformulate, answer, answer)
    node = run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(CAMPAIGN).to_dict()))[1]
    assert node.exit_status == 0, node.exit_message
    overview = read_overview(CampaignGroup.find("cells"))
    told = [words for words in overview.troubles if "of different cells" in words]
    assert len(told) == 2, overview.troubles
    assert any("the anode is graphite (library 1) in 1 and graphite (profile 1) in 2" in words for words in told)
    # the last suggestion, the recommendation, learned from all of them; the first one from none
    first, *_, last = list_suggestions(CampaignGroup.find("cells"))
    assert "warnings" not in first.document
    assert sorted(last.document["warnings"]) == sorted(told)


def test_what_a_campaign_chooses_among_may_differ_in_name_and_not_in_record():
    def cell(cathode, record):
        part = {"name": cathode, "record": record}
        return find_parts({"cell": {"battery_chemistry": {"cathode": part, "anode": "graphite"}}})

    cells = [cell("LFP", "library 1"), cell("NVP", "library 1"), cell("LFP", "profile 1"), cell("LFP", "profile 1")]
    options = {"positive": {name: {"battery_chemistry": {"cathode": {"name": name}}} for name in ("LFP", "NVP")}}
    (words,) = tell_mixed(cells, options)
    assert words.endswith("the cathode is LFP (library 1) in 1 and LFP (profile 1) in 2")
    assert list(tell_mixed(cells[:2], options)) == []
    (words,) = tell_mixed(cells[:2], {})
    assert words.endswith("the cathode is LFP (library 1) in 1 and NVP (library 1) in 1")
