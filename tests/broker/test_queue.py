"""Who is next is found without looking at all open requests, and is who it would be then."""

from __future__ import annotations

import random
from uuid import uuid4

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker import processes, queue
from aiida_finales.broker.holding import Book, read_holdings
from aiida_finales.broker.listing import Selection, list_request_rows, list_result_rows
from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.processes import find_given_up, find_served
from aiida_finales.broker.queue import (
    INSIDE,
    SEVERAL,
    HeldSlots,
    find_free_slots,
    find_next,
    inside_of,
    make_indexes,
    read_waiting,
)
from aiida_finales.broker.requests import open_states, post_request, recheck_pending
from aiida_finales.broker.reservation import mark_needs_operator, reserve_for_process
from aiida_finales.broker.state import change_state, read_state
from aiida_finales.data.campaign import SERVES
from aiida_finales.data.tenant import list_tenants

MACHINES = ("first machine", "second machine", "third machine")


@pytest.fixture
def machines(desk, add_offer):
    """Tenants of this engine with one or two slots each, by name."""
    return {name: add_offer(name, kind="internal", slots=1 + number % 2) for number, name in enumerate(MACHINES)}


def limit_to(pk, tenants):
    """Let only these be able to serve a request, as their limitations might have it."""

    def decide(state):
        kept = [item for item in state["candidates"] if item["tenant"] in tenants]
        inside = inside_of(Candidate.from_dict(item) for item in kept)
        return {**state, "candidates": kept, INSIDE: inside}, "tester", "limited"

    change_state(pk, decide)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_short_way_gives_a_slot_to_whom_the_long_way_does(machines, make_request, seed):
    """Every request asks in turn, as processes do; the long way looks at all open requests."""
    chance, uuids = random.Random(seed), [item.tenant_uuid for item in machines.values()]
    requests = [post_request(make_request(), "tester") for _ in range(8)]
    for request in requests:
        limit_to(request.pk, chance.sample(uuids, chance.choice([1, 1, 2])))
    for request in chance.sample(requests, len(requests)):
        expected = find_free_slots(open_states()).get(request.pk)
        reservation = reserve_for_process(request.pk, str(request.pk))
        assert (reservation and reservation.tenant) == (expected[0].tenant if expected else None)


def test_an_older_request_keeps_its_place(machines, make_request):
    (uuid, *_) = [item.tenant_uuid for item in machines.values()]
    older, younger = (post_request(make_request(), "tester") for _ in range(2))
    for request in (older, younger):
        limit_to(request.pk, [uuid])
    assert read_state(older.pk)[INSIDE] == uuid
    assert find_next(uuid) == older.pk
    assert reserve_for_process(younger.pk, "two") is None
    assert reserve_for_process(older.pk, "one").tenant == uuid
    assert HeldSlots()[uuid] == 1
    assert find_next(uuid) is None
    mark_needs_operator(older.pk, "process:one", "it hangs")
    assert HeldSlots()[uuid] == 0
    assert find_next(uuid) == younger.pk


def test_more_than_a_page_is_read_in_order(machines, make_request, monkeypatch):
    monkeypatch.setattr(queue, "PAGE", 2)
    requests = [post_request(make_request(), "tester") for _ in range(5)]
    uuid = next(iter(machines.values())).tenant_uuid
    for request in requests[::2]:
        limit_to(request.pk, [uuid])
    assert [pk for pk, _ in read_waiting([uuid, SEVERAL])] == [request.pk for request in requests]
    assert [pk for pk, _ in read_waiting([SEVERAL], before=requests[3].pk)] == [requests[1].pk]


def test_what_was_posted_before_gets_its_place_when_tenants_are_checked_again(machines, make_request):
    request = post_request(make_request(), "tester")
    change_state(request.pk, lambda state: ({k: v for k, v in state.items() if k != INSIDE}, "tester", "older"))
    assert list(read_waiting([SEVERAL])) == []
    assert recheck_pending("tests") == 0
    assert [pk for pk, _ in read_waiting([SEVERAL])] == [request.pk]


def test_questions_about_what_is_open_are_answered_by_an_index(machines, monkeypatch):
    make_indexes()
    make_indexes()  # they are there already
    session = get_manager().get_profile_storage().get_session()
    asked, execute = [], session.execute

    def note(statement, *values, **options):
        if isinstance(statement, sa.TextClause):
            asked.append((statement, *values))
        return execute(statement, *values, **options)

    monkeypatch.setattr(session, "execute", note)
    uuid = next(iter(machines.values())).tenant_uuid
    HeldSlots()[uuid], list(read_waiting([uuid], before=10**9)), open_states()
    monkeypatch.undo()
    plans = [
        " ".join(str(row) for row in session.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}"), *values).all())
        for statement, *values in asked
    ]
    names = (queue.HELD, queue.WAITING, queue.BY_STATUS)
    for plan, name in zip(plans, names, strict=True):
        assert f"USING INDEX {name}" in plan
        assert "TEMP B-TREE" not in plan, "nothing is sorted: the oldest comes first"


def plans_of(call):
    """Return how SQLite answers each statement of a call."""
    session = get_manager().get_profile_storage().get_session()
    asked = []

    def note(_connection, _cursor, text, values, *_):
        asked.append((text, values))

    sa.event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        call()
    finally:
        sa.event.remove(session.get_bind(), "before_cursor_execute", note)
    ask = session.connection().exec_driver_sql
    asked = [(text, values) for text, values in asked if text.lstrip().startswith("SELECT")]
    return " ".join(str(row) for text, values in asked for row in ask(f"EXPLAIN QUERY PLAN {text}", values))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: list_request_rows(Selection(statuses=("retracted",), limit=5, newest_first=True)), queue.BY_STATUS),
        (lambda: list_request_rows(Selection(statuses=("resolved",), limit=5, newest_first=True)), queue.BY_STATUS),
        (lambda: list_request_rows(Selection(parent=str(uuid4()))), queue.STEPS),
        (lambda: list_result_rows(Selection(request_uuid=str(uuid4()))), queue.ANSWERS),
        (lambda: list_result_rows(Selection(statuses=("deleted",), limit=5, newest_first=True)), queue.BY_STATE),
        (lambda: read_holdings(group=1), queue.STEPS),
        (lambda: read_holdings(group=1), "SEARCH l USING INDEX ix_db_dblog_db_dblog_dbnode_id"),
        (lambda: Book().read(), queue.FAILED),
        (lambda: find_given_up(5, (410,)), processes.GIVEN_UP),
        (lambda: find_served([1, 2]), "ix_db_dblink_db_dblink_input_id"),
        (lambda: list_tenants(only_active=False), "ix_db_dbnode_db_dbnode_node_type (node_type=?)"),
    ],
    ids=[
        "retracted",
        "resolved",
        "steps",
        "answers",
        "deleted",
        "of-a-group",
        "histories-of-a-group",
        "failed",
        "given-up",
        "served",
        "tenants",
    ],
)
def test_questions_about_all_there_is_are_answered_by_an_index(machines, call, name):
    """None looks at every node, or at every request or result."""
    make_indexes()
    plan = plans_of(call)
    assert name in plan
    assert "SCAN n" not in plan
    assert "SCAN db_dbnode" not in plan


def test_what_was_given_up_is_not_what_somebody_ended(machines):
    """Broken processes and those with an exit status, the latest first; not those that live or ended well."""
    made = []
    for state, status in (("finished", 400), ("finished", 0), ("excepted", None), ("running", None), ("finished", 410)):
        node = orm.WorkChainNode(**SERVES)
        node.base.attributes.set_many({"process_state": state} | ({} if status is None else {"exit_status": status}))
        made.append(node.store().pk)
    assert find_given_up(5, (410,)) == [made[2], made[0]]
    assert find_given_up(1, (410,)) == [made[2]]
