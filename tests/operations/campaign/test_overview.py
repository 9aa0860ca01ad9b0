"""What a campaign has found stays found, whatever tenants offer later."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.operations.campaign.evaluation import read_evaluations, read_spaces, unite
from aiida_finales.operations.campaign.overview import read_overview
from aiida_finales.operations.campaign.style import label_axis
from aiida_finales.operations.campaign.troubles import _tell_forgotten
from aiida_finales.operations.campaign.words import describe_overview, print_table
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical

LIPF6, EC, EMC, DMC = (get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC", "DMC"))
CAMPAIGN = parse_campaign({"name": "c", "quantity": "conductivity", "sources": {"two_electrode": {}}})


def suggest(*components):
    """Return a suggestion in a space of some chemicals, with its provenance."""
    problem = orm.Dict({"problem": {"components": list(components)}}).store()
    calculation = orm.CalcFunctionNode()
    calculation.base.links.add_incoming(problem, LinkType.INPUT_CALC, "problem")
    calculation.store()
    suggestion = SuggestionData({"x": [1.0], "source": "two_electrode", "step": 0}, {})
    suggestion.base.links.add_incoming(calculation, LinkType.CREATE, "suggestion")
    return suggestion.store()


@pytest.mark.usefixtures("registered")
def test_results_count_in_the_space_in_which_they_were_looked_for(make_result):
    before, after = suggest(LIPF6, EC, EMC), suggest(LIPF6, EC, DMC)
    spaces = read_spaces([before, after])
    assert spaces == {before.pk: (LIPF6, EC, EMC), after.pk: (LIPF6, EC, DMC)}
    assert unite(spaces) == (LIPF6, EC, EMC, DMC)
    shares = ({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}, {"LiPF6": 0.1, "EC": 0.3, "DMC": 0.6}, {"LiPF6": 0.1, "PC": 0.9})
    results = [make_result(shares=item).store() for item in shares]
    process = orm.WorkChainNode().store()
    evaluations = read_evaluations(results, process, CAMPAIGN, spaces)
    assert [item.is_used for item in evaluations] == [True, True, False]  # nobody ever looked for PC
    (words,) = _tell_forgotten({"problem": {"components": [LIPF6, EC, DMC]}}, evaluations)
    assert words.startswith("the model learns no more from 1 result with EMC, offered no longer")
    assert list(_tell_forgotten({}, evaluations)) == []


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("number", "value"), [("conductivity.temperature", 301.15), (None, 0.9), ("nothing", None)])
def test_the_value_is_the_number_that_is_optimised(make_result, number, value):
    goal = {"quantity": "conductivity", "direction": "maximise", "sources": {"two_electrode": {}}}
    campaign = parse_campaign({"name": "c", "objectives": {"wanted": {**goal, "number": number}}})
    result = make_result(value=0.9, temperature=301.15).store()
    (found,) = read_evaluations([result], orm.WorkChainNode().store(), campaign, {})
    assert found.value == value
    assert bool(found.values) is (number is None)


@pytest.mark.usefixtures("registered")
def test_a_named_number_has_its_name_and_its_unit(make_result):
    goal = {"quantity": "conductivity", "number": "density.values", "direction": "maximise"}
    campaign = {"name": "c", "objectives": {"heavy_one": {**goal, "sources": {"two_electrode": {}}}}}
    process = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    process.base.links.add_incoming(orm.Dict(campaign).store(), LinkType.INPUT_WORK, "campaign")
    group = CampaignGroup("c").store()
    group.add_nodes([process.store(), make_result(shares={"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}).store()])
    overview = read_overview(group)
    assert (overview.unit, overview.units) == ("g/cm³", {"heavy_one": "g/cm³"})
    assert label_axis(overview, is_text=True) == "heavy one / g/cm³"
    row = describe_overview(overview)
    assert (row["quantity"], row["number"], row["unit"]) == ("conductivity", "density.values", "g/cm³")
    assert print_table(overview).startswith("heavy_one in g/cm³ at any temperature, mole fractions")
