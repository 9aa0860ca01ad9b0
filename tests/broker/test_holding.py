"""Who held what, from when to when, as the histories have it."""

from __future__ import annotations

import pytest

from aiida_finales.broker.holding import Book, read_holdings
from aiida_finales.broker.requests import post_request, retract_request
from aiida_finales.broker.reservation import release_request, reserve_request
from aiida_finales.broker.sight import Hidden, without
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import find_tenant


@pytest.fixture
def hold(desk, add_offer, make_request, candidate_of):
    """Return a function that posts a request and lets a tenant hold it."""
    add_offer("robot")
    add_offer("other")

    def do(tenant="robot", pk=None):
        pk = pk or post_request(make_request(), "tester").pk
        reserve_request(pk, f"client of {tenant}", candidate_of(pk, tenant))
        return pk

    return do


def own(holdings, pk):
    return [item for item in holdings if item.pk == pk]


def test_each_holding_is_told_with_the_tenant_that_had_it(hold):
    """A request that was given back and taken by another tenant was held twice, by each once."""
    pk = hold("robot")
    release_request(pk, "client of robot", "out of EC")
    hold("other", pk)
    first, second = own(read_holdings(), pk)
    robot, other = (find_tenant(name).tenant_uuid for name in ("robot", "other"))
    assert (first.tenant, first.outcome, second.tenant, second.outcome) == (robot, "pending", other, "")
    assert first.begin < first.end < second.begin
    assert second.end is None
    assert first.quantity == "conductivity"


def test_what_is_pending_is_held_by_nobody(desk, add_offer, make_request):
    add_offer("robot")
    pk = post_request(make_request(), "tester").pk
    assert own(read_holdings(), pk) == []


def test_a_book_takes_in_what_is_new_and_leaves_out_what_is_hidden(hold):
    """The same book, asked again, knows of the end of what it knew as held; a stranger learns nothing of it."""
    book, pk = Book(), hold()
    assert [item.outcome for item in own(book.read()[0], pk)] == [""]
    retract_request(pk, "tester", "no need")
    assert [item.outcome for item in own(book.read()[0], pk)] == ["retracted"]
    with without(Hidden(frozenset({pk}))):
        assert own(book.read()[0], pk) == []
    assert len(own(book.read()[0], pk)) == 1


def test_a_book_lists_methods_that_failed(desk, make_result):
    book = Book()
    book.read()
    failed = make_result(success=False).store()
    make_result().store()
    (found,) = book.read()[1]
    assert (found.pk, found.quantity, found.request) == (failed.pk, "conductivity", "")


def test_only_what_a_group_asked_for(hold, make_request):
    """The steps of its requests belong to it, and the steps of these."""
    group = CampaignGroup.create_for("held-for-this")
    first, second = hold(), hold()
    group.add_nodes([read_node(first)])
    steps, parent = [], read_node(first)
    for _ in range(2):
        given = make_request()
        parent = post_request(RequestData(given.quantity, given.parameters, "tester", parent=parent.uuid), "tester")
        steps.append(hold(pk=parent.pk))
    assert {item.pk for item in read_holdings(group=group.pk)} == {first, *steps}
    assert second in {item.pk for item in read_holdings()}


def read_node(pk):
    from aiida import orm

    return orm.load_node(pk)


def test_histories_name_the_tenant_beside_the_holder(hold):
    pk = hold()
    assert [entry.who for entry in read_history(pk)] == ["tester", "client of robot"]
    assert read_state(pk)["tenant"] == find_tenant("robot").tenant_uuid
