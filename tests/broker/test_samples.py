"""Samples: registered, carried, traced and declared invalid, on real nodes."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.results import DOUBTFUL, is_usable
from aiida_finales.broker.samples import (
    children_of,
    demand_samples,
    invalidate_sample,
    list_samples,
    move_samples,
    parents_of,
    register_sample,
)
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.sample import SampleData, find_sample, identities_used
from aiida_finales.exceptions import InputError, StatusError, UnknownNodeError
from aiida_finales.operations.origin.genealogy import tell_tree, trace_back, trace_forward

ASAB = {"address": "ASAB"}


def calculate(inputs, outputs):
    """Store a calculation that made the outputs of the inputs."""
    node = orm.CalcFunctionNode()
    for number, item in enumerate(inputs):
        node.base.links.add_incoming(item, LinkType.INPUT_CALC, f"input_{number}")
    node.store()
    for number, item in enumerate(outputs):
        item.base.links.add_incoming(node, LinkType.CREATE, f"output_{number}")
        item.store()


@pytest.fixture
def genealogy(registered, make_result, request):
    """Two stocks, of which one went into a vial; a cell of the vial, measured; and a result computed from that."""
    name = request.node.name
    stocks = [register_sample(f"stock-{number}-{name}", "stock", ASAB) for number in (1, 2)]
    vial = SampleData(f"vial-{name}", "vial", location=ASAB, made_of=[stocks[0].identity])
    mixing = make_result()
    calculate(stocks, [vial, mixing])
    cell = SampleData(f"cell-{name}", "cell", location={"address": "AutoBASS"})
    calculate([vial], [cell])
    measured = make_result()
    calculate([cell], [measured])
    derived = make_result("empirical_model")
    calculate([measured], [derived])
    return {"stocks": stocks, "vial": vial, "cell": cell, "measured": measured, "derived": derived, "mixing": mixing}


def test_only_what_really_went_in_is_a_parent(genealogy):
    first, second = genealogy["stocks"]
    assert parents_of(genealogy["vial"]) == [first]
    assert genealogy["vial"] in children_of(first)
    assert genealogy["vial"] not in children_of(second)


def test_a_result_leads_back_to_the_stock_solution(genealogy):
    found = [line["pk"] for line in trace_back(genealogy["derived"])]
    wanted = [genealogy[name].pk for name in ("measured", "cell", "vial")] + [genealogy["stocks"][0].pk]
    assert found == wanted
    words = tell_tree(trace_back(genealogy["derived"]))
    assert words[1].startswith("  cell ")
    assert words[3].startswith("      stock ")


def test_what_came_of_an_invalid_sample_is_not_to_be_used(genealogy):
    concerned = invalidate_sample(genealogy["vial"].pk, "tester", "it leaked")
    wanted = {genealogy[name].uuid for name in ("vial", "cell", "measured", "derived")}
    assert {node.uuid for node in concerned} == wanted
    assert read_state(genealogy["cell"].pk)["status"] == "invalid"
    assert not is_usable(read_state(genealogy["measured"].pk))
    reason = read_state(genealogy["measured"].pk)["reason"]
    assert reason == f"sample {genealogy['vial'].identity} is invalid: it leaked"
    derived = orm.load_node(genealogy["derived"].pk)
    assert "it leaked" in derived.base.extras.get(DOUBTFUL)
    for innocent in (*genealogy["stocks"], genealogy["mixing"]):
        assert read_state(innocent.pk)["status"] in ("good", "original")
    with pytest.raises(StatusError, match=r"is invalid since .*it leaked"):
        demand_samples([genealogy["cell"].identity])


def test_invalidating_again_changes_nothing(genealogy):
    invalidate_sample(genealogy["vial"].pk, "tester", "it leaked")
    before = [len(read_history(genealogy[name].pk)) for name in ("vial", "cell", "measured")]
    invalidate_sample(genealogy["vial"].pk, "tester", "it leaked")
    assert [len(read_history(genealogy[name].pk)) for name in ("vial", "cell", "measured")] == before


def test_a_reason_is_demanded(genealogy):
    with pytest.raises(InputError, match="for a reason"):
        invalidate_sample(genealogy["vial"].pk, "tester", "  ")


def test_samples_are_moved_and_that_is_remembered(genealogy):
    vial = genealogy["vial"]
    for _ in range(2):
        move_samples([vial.identity], {"address": "AutoBASS", "detail_1": "tray 2"}, "tester", "carried")
    assert read_state(vial.pk)["location"] == {"address": "AutoBASS", "detail_1": "tray 2", "detail_2": None}
    (entry,) = read_history(vial.pk)
    assert entry.why == "carried: ASAB -> AutoBASS, tray 2"
    assert vial in [node for node, _ in list_samples("vial", "good", "AutoBASS")]


def test_nothing_is_moved_when_one_is_unknown(genealogy):
    vial = genealogy["vial"]
    with pytest.raises(UnknownNodeError, match="no sample 'nonsense'"):
        move_samples([vial.identity, "nonsense"], {"address": "AutoBASS"}, "tester", "carried")
    assert read_state(vial.pk)["location"]["address"] == "ASAB"


def test_a_sample_is_found_by_what_is_written_on_it(genealogy):
    vial = genealogy["vial"]
    assert find_sample(vial.identity) == find_sample(str(vial.pk)) == find_sample(vial.uuid) == vial
    with pytest.raises(UnknownNodeError, match="sample list"):
        find_sample("nonsense")


def test_an_identity_belongs_to_one_sample(registered):
    first = register_sample("the-one", "stock", ASAB)
    assert register_sample("the-one", "stock", {"address": "elsewhere"}) == first
    with pytest.raises(InputError, match="is that of another stock"):
        register_sample("the-one", "vial", ASAB)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"identity": " "}, "identity of a sample is ' '"),
        ({"kind": "bottle"}, "kind of sample is 'bottle', but accepted are stock, vial, cell"),
        ({"location": {}}, "location is {}, but accepted are a text address"),
    ],
)
def test_bad_samples_are_refused(registered, fields, message):
    given = {"identity": "x", "kind": "vial", "location": ASAB, **fields}
    with pytest.raises(InputError, match=message):
        SampleData(**given)


@pytest.mark.parametrize(
    ("quantity", "method", "given", "identities"),
    [
        ("cell_assembly", "autobass_assembly", {"cell_info": {"electrolyte_info": {"uuid": "v"}}}, ["v"]),
        ("cell_assembly", "autobass_assembly", {"cell_info": {"electrolyte_info": None}}, []),
        ("capacity", "cycling", {"cell_info": {"uuid": "c"}}, ["c"]),
        ("degradationEOL", "degradation_model", {"cell_info": {"uuid": "c"}}, ["c"]),
        ("transport", "transport_service", {"samples": ["a", "b"]}, ["a", "b"]),
        ("transport", "service", {"samples": ["a"]}, ["a"]),
        ("transport", "transport_service", {}, []),
        ("conductivity", "two_electrode", {}, []),
    ],
)
def test_requests_name_the_samples_that_they_are_about(quantity, method, given, identities):
    assert identities_used(quantity, {method: given}) == identities


def test_forward_trace_shows_everything(genealogy):
    found = {line["pk"] for line in trace_forward(genealogy["stocks"][0])}
    assert found >= {genealogy[name].pk for name in ("vial", "cell", "measured", "derived")}
