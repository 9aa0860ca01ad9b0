"""What a campaign has found stays found, whatever tenants offer later."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.requests import post_request
from aiida_finales.broker.results import delete_result
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.capability import read_result_schemas
from aiida_finales.data.result import read_facts
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign import memory, reading
from aiida_finales.operations.campaign.evaluation import Told, read_evaluations, unite
from aiida_finales.operations.campaign.listing import describe_campaigns
from aiida_finales.operations.campaign.reading import (
    read_overview,
    read_overviews,
    read_problems,
    read_spaces,
)
from aiida_finales.operations.campaign.style import label_axis
from aiida_finales.operations.campaign.troubles import _tell_forgotten
from aiida_finales.operations.campaign.words import describe_overview, print_table
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical

LIPF6, EC, EMC, DMC = (get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC", "DMC"))
CAMPAIGN = parse_campaign({"name": "c", "quantity": "conductivity", "sources": {"two_electrode": {}}})


def suggest(*components, learned=(), **told):
    """Return a suggestion in a space of some chemicals, with its provenance.

    :param learned: results that it learned from.
    """
    problem = orm.Dict({"problem": {"components": list(components)}}).store()
    calculation = orm.CalcFunctionNode()
    calculation.base.links.add_incoming(problem, LinkType.INPUT_CALC, "problem")
    for number, result in enumerate(learned):
        calculation.base.links.add_incoming(result, LinkType.INPUT_CALC, f"results__{number}")
    calculation.store()
    suggestion = SuggestionData({"x": [1.0], "source": "two_electrode", "step": 0, **told}, {})
    suggestion.base.links.add_incoming(calculation, LinkType.CREATE, "suggestion")
    return suggestion.store()


def evaluate(results, campaign, spaces):
    facts = read_facts(results)
    told = [Told(node.pk, node.uuid, facts[node.uuid]) for node in results]
    return read_evaluations(told, (), campaign, spaces, {}, read_result_schemas())


@pytest.mark.usefixtures("registered")
def test_results_count_in_the_space_in_which_they_were_looked_for(make_result):
    before, after = suggest(LIPF6, EC, EMC), suggest(LIPF6, EC, DMC)
    spaces = read_spaces(read_problems({node.pk: node.creator.pk for node in (before, after)}))
    assert spaces == {before.pk: (LIPF6, EC, EMC), after.pk: (LIPF6, EC, DMC)}
    assert unite(spaces) == (LIPF6, EC, EMC, DMC)
    shares = ({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}, {"LiPF6": 0.1, "EC": 0.3, "DMC": 0.6}, {"LiPF6": 0.1, "PC": 0.9})
    results = [make_result(shares=item).store() for item in shares]
    evaluations = evaluate(results, CAMPAIGN, spaces)
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
    (found,) = evaluate([result], campaign, {})
    assert found.value == value
    assert bool(found.values) is (number is None)


@pytest.mark.usefixtures("registered")
def test_a_named_number_has_its_name_and_its_unit(make_result):
    goal = {"quantity": "conductivity", "number": "density.values", "direction": "maximise"}
    campaign = {"name": "c", "objectives": {"heavy_one": {**goal, "sources": {"two_electrode": {}}}}}
    process = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    process.base.links.add_incoming(orm.Dict(campaign).store(), LinkType.INPUT_WORK, "campaign")
    group = CampaignGroup("named").store()
    group.add_nodes([process.store(), make_result(shares={"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}).store()])
    overview = read_overview(group)
    assert (overview.unit, overview.units) == ("g/cm³", {"heavy_one": "g/cm³"})
    assert label_axis(overview, is_text=True) == "heavy one / g/cm³"
    row = describe_overview(overview)
    assert (row["quantity"], row["number"], row["unit"]) == ("conductivity", "density.values", "g/cm³")
    assert print_table(overview).startswith("heavy_one in g/cm³ at any temperature, mole fractions")


@pytest.fixture
def make_campaign(registered, add_offer, make_request, make_result):
    """Return a function that makes a campaign that has ended: what it knew, what it asked for and got, what waits."""
    add_offer("robot")
    made = []

    def make(name, *values):
        process = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
        told = {"name": name, "quantity": "conductivity", "sources": {"two_electrode": {}}}
        known = make_result(value=2.0).store()
        process.base.links.add_incoming(orm.Dict(told).store(), LinkType.INPUT_WORK, "campaign")
        process.base.links.add_incoming(known, LinkType.INPUT_WORK, "known__first")
        process.store()
        process.set_process_state("finished")
        process.set_exit_status(0)
        orm.Log(datetime.now(UTC), "aiida", "REPORT", process.pk, f"[{process.pk}|C|end]: ended after {len(values)}")
        nodes = [process, known]
        for value in values:
            expected = {"x": [0.1, 0.3, 0.6], "mean": value + 0.1, "sd": 0.1}
            suggestion = suggest(LIPF6, EC, EMC, predicted=expected)
            request = make_request(requester=name)
            request.base.links.add_incoming(suggestion.creator, LinkType.CREATE, "request")
            post_request(request.store(), "tests")
            nodes += [suggestion, request, make_result(value=value, request_uuid=request.uuid).store()]
        made.append(CampaignGroup(name).store())
        made[-1].add_nodes(nodes)
        return made[-1]

    yield make
    for group in made:
        CampaignGroup.collection.delete(group.pk)


def test_many_campaigns_are_read_by_as_many_statements_as_one(make_campaign, monkeypatch, count_statements):
    """What a list tells of each is what is told of it alone; the number of statements does not grow."""
    campaigns = {"first": (0.5,), "second": (0.7, 0.6, 0.9), "third": (), "fourth": (0.8,)}
    pks = [make_campaign(name, *values).pk for name, values in campaigns.items()]
    alone, together = (count_statements(lambda part=part: read_overviews(part)) for part in (pks[:1], pks))
    assert 0 < together == alone
    found = read_overviews(pks)
    assert [found[pk] for pk in pks] == [read_overview(CampaignGroup.find(name)) for name in campaigns]
    second = found[pks[1]]
    assert [item.value for item in second.evaluations] == [2.0, 0.7, 0.6, 0.9]
    assert [item.expected and item.expected.mean for item in second.evaluations] == [None, 0.8, 0.7, 1.0]
    assert (second.n_done, len(second.open_states), second.stop_reason) == (3, 3, "ended after 3")
    monkeypatch.setattr(memory, "TOGETHER", 3)  # in parts
    assert [row["name"] for row in describe_campaigns()][-4:] == ["first", "second", "third", "fourth"]
    assert [row["name"] for row in describe_campaigns(2)] == ["third", "fourth"]


def test_a_campaign_that_cannot_be_read_is_told_beside_the_others(make_campaign, monkeypatch):
    """Its row says why, and the list has the others."""
    make_campaign("fine", 0.5)
    make_campaign("spoilt", 0.5)
    parse = reading.parse_campaign

    def refuse(document, **options):
        if document["name"] == "spoilt":
            raise CampaignFileError("quantity is 3")
        return parse(document, **options)

    monkeypatch.setattr(reading, "parse_campaign", refuse)
    fine, spoilt = describe_campaigns()[-2:]
    assert (fine["name"], fine["evaluations"], fine["best_value"]) == ("fine", "1", 2.0)
    assert (spoilt["name"], spoilt["stop_reason"]) == ("spoilt", "it cannot be read: quantity is 3")
    with pytest.raises(CampaignFileError, match="quantity is 3"):
        read_overview(CampaignGroup.find("spoilt"))


def test_of_a_campaign_that_has_grown_only_what_is_new_is_read(make_campaign, make_result, monkeypatch):
    """It is told as if it had been read whole: also after one of its results was declared wrong."""
    group = make_campaign("growing", 0.5, 0.7)
    read, asked = reading._read_facts, []
    monkeypatch.setattr(reading, "_read_facts", lambda rows: asked.append(len(rows)) or read(rows))
    memory.recall_overview(group)
    group.add_nodes([make_result(value=0.9).store()])
    grown = memory.recall_overview(group)
    assert asked == [3, 1]
    assert [item.value for item in grown.evaluations] == [2.0, 0.5, 0.7, 0.9]
    delete_result(grown.evaluations[1].pk, "tests", "the needle broke")
    judged = memory.recall_overview(group)
    assert asked == [3, 1, 1]
    assert [item.is_used for item in judged.evaluations] == [True, False, True, True]
    assert judged == read_overview(group)


def test_a_recommendation_from_what_does_not_count_any_more_is_doubtful(make_campaign, make_result):
    """The number stays, with that word and what to do: nobody relies on what was learned from a wrong result."""
    group, result = make_campaign("all wrong"), make_result(value=0.9).store()
    best = {"sources": {"two_electrode": {"x": [0.1, 0.3, 0.6], "mean": 0.9, "sd": 0.1}}}
    group.add_nodes([result, suggest(LIPF6, EC, EMC, learned=[result], source="", recommendation=best)])
    told = describe_overview(memory.recall_overview(group))
    assert (told["recommended_mean"], told["recommended_doubtful"], told["troubles"]) == (0.9, False, [])
    delete_result(result.pk, "tests", "the wrong bottle")
    told = describe_overview(memory.recall_overview(group))
    assert (told["recommended_mean"], told["recommended_doubtful"]) == (0.9, True)
    assert (
        "'aiida-finales campaign continue 'all wrong' --evaluations NUMBER' goes on without them" in told["troubles"][0]
    )
