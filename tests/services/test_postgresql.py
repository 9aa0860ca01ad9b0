"""Simultaneous processes on PostgreSQL."""

from __future__ import annotations

import time

import pytest
from aiida import orm

from aiida_finales.broker.listing import Selection, find_row, list_request_rows, read_attributes
from aiida_finales.broker.sight import Hidden, without
from aiida_finales.broker.state import change_state, read_history, read_state
from aiida_finales.data.campaign import CampaignGroup
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
