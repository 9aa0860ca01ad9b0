"""Simultaneous processes on PostgreSQL."""

from __future__ import annotations

import time
from datetime import UTC

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.holding import read_holdings
from aiida_finales.broker.listing import Selection, find_row, list_request_rows, read_attributes
from aiida_finales.broker.sight import Hidden, without
from aiida_finales.broker.state import change_state, read_history, read_state
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import TrainingSetData
from aiida_finales.fair.package.archive import read_archive
from aiida_finales.fair.package.copy import copy_nodes
from aiida_finales.operations.campaign import memory
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.engine.daemon import read_daemon_state

pytestmark = pytest.mark.services


def test_of_sixteen_simultaneous_clients_exactly_one_reserves(on_postgresql, run_race):
    pks, won = run_race("same", n_processes=16, n_requests=20)
    assert sorted(pk for mine in won for pk in mine) == pks
    for pk in pks:
        assert [entry.after for entry in read_history(pk)] == ["pending", "reserved"]
        assert read_state(pk)["serial"] == 1


def test_eight_clients_and_fifty_requests_are_fifty_reservations(on_postgresql, run_race):
    pks, won = run_race("next", n_processes=8, n_requests=50)
    assert sorted(pk for mine in won for pk in mine) == pks


def test_two_slots_are_never_exceeded_by_eight_servers(on_postgresql, run_race):
    pks, held = run_race("slots", n_processes=8, n_requests=24, kind="internal", slots=2)
    numbers = [number for mine in held for number in mine]
    assert len(numbers) == len(pks)
    assert max(numbers) <= 2


def test_text_and_other_extras_survive(on_postgresql, make_request):
    node = make_request().store()
    node.base.extras.set("mine", [1, {"a": None}])
    text = 'it\'s "50 %"; :name {x} µS/cm'
    change_state(node.pk, lambda _: ({"status": "pending", "reason": text}, text, text))
    assert read_state(node.pk) == {"status": "pending", "reason": text, "serial": 0}
    assert read_history(node.pk)[0].why == text
    assert type(node).collection.get(pk=node.pk).base.extras.get("mine") == [1, {"a": None}]


def test_who_worked_for_a_campaign_counts_steps(on_postgresql, make_request):
    """As on SQLite, see tests/broker/test_holding.py."""
    group, first = CampaignGroup.create_for("worked-for"), make_request().store()
    step = RequestData(first.quantity, first.parameters, "tester", parent=first.uuid).store()
    group.add_nodes([first])
    for node in (first, step):
        for status in ("pending", "reserved"):
            change_state(node.pk, lambda _, status=status: ({"status": status}, "tester", status))
    assert {item.pk for item in read_holdings(group=group.pk)} == {first.pk, step.pk}


def test_what_is_hidden_is_in_no_query(on_postgresql, make_request):
    """As on SQLite, see tests/server/access/test_reading.py: by AiiDA's queries and by statements in SQL."""
    node, other, group = make_request().store(), make_request().store(), CampaignGroup.create_for("closed")
    group.add_nodes([node, other])
    change_state(node.pk, lambda _: ({"status": "pending"}, "posted", "posted"))

    def look():
        members = (
            orm.QueryBuilder().append(CampaignGroup, tag="group").append(orm.Node, with_group="group", project="id")
        )
        return [
            node.pk in orm.QueryBuilder().append(orm.Node, project="id").all(flat=True),
            node.pk in members.all(flat=True),
            node.pk in [row.pk for row in list_request_rows(Selection())],
            find_row(node.node_type, node.uuid) is not None,
            bool(read_attributes([node.pk])),
        ]

    assert all(look())
    with without(Hidden(frozenset({node.pk}), frozenset())):
        assert not any(look())
        assert orm.load_node(other.uuid).pk == other.pk
    with without(Hidden(frozenset(), frozenset({group.pk}))):
        assert orm.QueryBuilder().append(CampaignGroup).count() == 0
    assert all(look())


def test_when_the_database_was_started_is_known(on_postgresql):
    found = read_daemon_state().database_started
    assert time.time() - 30 * 24 * 3600 < found < time.time()


def test_a_campaign_is_read_as_on_sqlite_and_so_is_what_is_new(on_postgresql, make_request, make_result):
    """What it was told, what it knew, what led to what and the values; statements in SQL ask for all of it."""
    told = {"name": "on-postgresql", "quantity": "conductivity", "sources": {"two_electrode": {}}}
    process, known = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign"), make_result(value=2.0).store()
    process.base.links.add_incoming(orm.Dict(told).store(), LinkType.INPUT_WORK, "campaign")
    process.base.links.add_incoming(known, LinkType.INPUT_WORK, "known__first")
    calculation = orm.CalcFunctionNode()
    problem = orm.Dict({"problem": {"components": list(known.fractions)}}).store()
    calculation.base.links.add_incoming(problem, LinkType.INPUT_CALC, "problem")
    calculation.base.links.add_incoming(known, LinkType.INPUT_CALC, "results__first")
    made = [TrainingSetData([], [], [known.uuid], 1), make_request(requester="on-postgresql")]
    expected = {"x": list(known.fractions.values()), "mean": 0.6, "sd": 0.1}
    made.append(SuggestionData({"x": [1.0], "source": "two_electrode", "step": 0, "predicted": expected}, {}))
    calculation.store()
    for node, label in zip(made, ("training", "request", "suggestion"), strict=True):
        node.base.links.add_incoming(calculation, LinkType.CREATE, label)
        node.store()
    group = CampaignGroup.create_for("on-postgresql")
    group.add_nodes([process.store(), known, *made[1:], make_result(value=0.5, request_uuid=made[1].uuid).store()])
    first = memory.recall_overview(group)
    found = [(item.value, item.is_known, item.is_used) for item in first.evaluations]
    assert found == [(2.0, True, True), (0.5, False, True)]
    assert (first.evaluations[1].expected.mean, first.learned) == (0.6, {made[2].pk: 1})
    group.add_nodes([make_result(value=0.9).store()])
    assert memory.recall_overview(group) == read_overview(group)


def test_nodes_are_copied_into_an_archive_as_from_sqlite(on_postgresql, make_request, tmp_path):
    node = make_request().store()
    change_state(node.pk, lambda _: ({"status": "pending"}, "posted", "posted"))
    copy_nodes({node.pk}, tmp_path / "copy.aiida")
    copied = read_archive(tmp_path / "copy.aiida").by_uuid[node.uuid]
    assert copied.attributes == node.base.attributes.all
    assert copied.extras == node.base.extras.all
    assert copied.time == node.ctime.astimezone(UTC).isoformat().removesuffix("+00:00")
