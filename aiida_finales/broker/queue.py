"""Who of the open requests is next: questions that cost as much with ten thousand open requests as with ten.

Indexes of our own make that so: of requests by status and by the request that they are steps of, of what is held by
tenant, of what is pending for tenants of this engine by tenant; of results by request and status, and of those that
failed. ``aiida-finales setup`` makes them. Without them all answers are the same, only slower: every request, or every
result, that ever was is looked at.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker import processes
from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.state import State
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData

#: key of the state of a request: the one tenant of this engine that can serve it, or :data:`SEVERAL`
INSIDE, SEVERAL = "inside", "several"
#: names of the indexes of requests
HELD, WAITING, BY_STATUS, STEPS = "finales_held", "finales_waiting", "finales_status", "finales_steps"
#: and of results
ANSWERS, BY_STATE, FAILED = "finales_answers", "finales_result_status", "finales_failed"
#: s that a device that is busy or away is left alone at most
LONGEST_PAUSE = 300.0
#: requests that are read at a time; as a rule the first one is who is next
PAGE = 20

_TYPE = f"node_type = '{RequestData.class_node_type}'"
_RESULT = f"node_type = '{ResultData.class_node_type}'"
_KEYS = ("status", "tenant", INSIDE, "needs_operator")
_SQLITE = {key: f"json_extract(extras, '$.finales.{key}')" for key in _KEYS} | {
    "parent": "json_extract(attributes, '$.parent')",
    "request": "json_extract(attributes, '$.request_uuid')",
    "success": "json_extract(attributes, '$.success')",
    "is_failed": "json_extract(attributes, '$.success') = 0",
    "state": "json_extract(extras, '$.finales')",
    "here": "json_type(extras, '$.finales_imported') IS NULL",
}
_POSTGRESQL = {key: f"(extras #>> '{{finales,{key}}}')" for key in _KEYS} | {
    "parent": "(attributes ->> 'parent')",
    "request": "(attributes ->> 'request_uuid')",
    "success": "(attributes ->> 'success')",
    "is_failed": "attributes ->> 'success' = 'false'",
    "state": "extras -> 'finales'",
    "here": "NOT jsonb_exists(extras, 'finales_imported')",
}


class HeldSlots(dict[str, int]):
    """How many requests each tenant works on; asked once for each. Those that wait for an operator do not count."""

    def __missing__(self, tenant: str) -> int:
        words, session = _open()
        statement = (
            f"SELECT count(*) FROM db_dbnode WHERE {_where(words, 'reserved')} "  # noqa: S608 - constants are put in
            f"AND {words['tenant']} = :tenant AND {words['needs_operator']} IS NULL AND {words['here']}"
        )
        self[tenant] = int(session.execute(sa.text(statement), {"tenant": tenant}).scalar_one())
        return self[tenant]


def find_own_slots(pk: int, state: State) -> list[Candidate]:
    """Return the internal tenants that could take a request now, what older requests take being left to these.

    Of the older ones those are looked at that could take a slot from this one; as a rule the first one of a tenant that
    is busy ends the search.
    """
    held, moment = HeldSlots(), time.time()
    free = _list_free(state, held, moment)
    insides = [*(item.tenant for item in free), SEVERAL] if free else []
    for _, older in read_waiting(insides, before=pk):
        if taken := _list_free(older, held, moment):
            held[taken[0].tenant] += 1
            free = _list_free(state, held, moment)
        if not free:
            break
    return free


def find_next(tenant: str) -> int | None:
    """Return the pk of the oldest request that an internal tenant could take now, or ``None``."""
    held, moment = HeldSlots(), time.time()
    found = read_waiting([tenant, SEVERAL])
    return next(
        (pk for pk, state in found if tenant in {item.tenant for item in _list_free(state, held, moment)}), None
    )


def find_free_slots(states: dict[int, State]) -> dict[int, list[Candidate]]:
    """Return the pending requests that an internal tenant could take now, with these tenants; older ones go first.

    :param states: all open requests, oldest first.
    """
    moment = time.time()
    held = Counter(state["tenant"] for state in states.values() if _is_worked_on(state))
    takers: dict[int, list[Candidate]] = {}
    for pk, state in states.items():
        if state["status"] != RequestStatus.PENDING.value:
            continue
        if free := _list_free(state, held, moment):
            takers[pk] = free
            held[free[0].tenant] += 1  # the younger ones must leave this slot to it
    return takers


def _list_free(state: State, held: dict[str, int], moment: float) -> list[Candidate]:
    """Return the internal tenants of a pending request that have a free slot and are not away, the best first.

    :param held: how many requests each tenant works on.
    """
    # a pause that ends much later than any can was begun before somebody set the clock back: it is over
    away = {name for name, record in state.get("away", {}).items() if 0 < record["until"] - moment < 2 * LONGEST_PAUSE}
    internal = [
        item for item in state.get("candidates", ()) if item["kind"] == "internal" and item["tenant"] not in away
    ]
    free = [Candidate.from_dict(item) for item in internal if held[item["tenant"]] < item["slots"]]
    failed: Counter[str] = Counter(state.get("failed", ()))
    return sorted(free, key=lambda item: failed[offer_name(item.tenant, item.method)])  # who failed comes last


def offer_name(tenant: str, method: str) -> str:
    """Return what stands for an offer in the list of those that failed."""
    return f"{tenant}/{method}"


def read_waiting(insides: Iterable[str], before: int | None = None) -> Iterator[tuple[int, State]]:
    """Yield the pending requests with one of these under :data:`INSIDE`, oldest first, with their states.

    :param before: pk of the request at which to end.
    """
    yield from merge(*(_read_pages(inside, before) for inside in sorted(set(insides))), key=itemgetter(0))


def read_open() -> dict[int, State]:
    """Return the states of all open requests that were made here, by pk, oldest first.

    A statement of its own, because every worker asks this every few seconds for all waiting requests; AiiDA's query
    builder takes ten times as long for the same rows.
    """
    words, session = _open()
    parts = [
        f"SELECT id, {words['state']} FROM db_dbnode WHERE {_where(words, status)} AND {words['here']}"  # noqa: S608
        for status in ("pending", "reserved")  # each by the index; asked for both at once SQLite would not take it
    ]
    with session.no_autoflush:  # and no transaction: its end would let every loaded node be read again
        rows = session.execute(sa.text(" UNION ALL ".join(parts))).all()
    return {
        pk: state if isinstance(state, dict) else json.loads(state) for pk, state in sorted(rows, key=itemgetter(0))
    }


def inside_of(candidates: Iterable[Candidate]) -> str | None:
    """Return what the key :data:`INSIDE` of a state says, given who can serve the request."""
    tenants = {item.tenant for item in candidates if item.kind == "internal"}
    return (tenants.pop() if len(tenants) == 1 else SEVERAL) if tenants else None


def make_indexes() -> None:
    """Make the indexes where they are absent; AiiDA's own tables and indexes stay as they are."""
    storage: Any = get_manager().get_profile_storage()
    with storage.transaction() as session:
        words, _ = _open()
        status = words["status"]  # first in each: SQLite takes the index with the most columns that are asked for
        for name, columns, which in (
            (HELD, f"{status}, {words['tenant']}, id", _TYPE),
            (WAITING, f"{status}, {words[INSIDE]}, id", _TYPE),
            (BY_STATUS, f"{status}, id", _TYPE),
            (STEPS, f"{words['parent']}, id", _TYPE),
            (ANSWERS, f"{words['request']}, id", _RESULT),
            (BY_STATE, f"{status}, id", _RESULT),
            (FAILED, f"{words['success']}, id", f"{_RESULT} AND {words['is_failed']}"),
        ):
            session.execute(sa.text(f"CREATE INDEX IF NOT EXISTS {name} ON db_dbnode ({columns}) WHERE {which}"))
        processes.make_index(session)


def _is_worked_on(state: State) -> bool:
    """Return whether a request takes a slot of its tenant: one that waits for an operator must not block the others."""
    return state["status"] == RequestStatus.RESERVED.value and not state.get("needs_operator")


def _read_pages(inside: str, before: int | None) -> Iterator[tuple[int, State]]:
    words, session = _open()
    end = "" if before is None else "AND id < :before"
    statement = sa.text(
        f"SELECT id, {words['state']} FROM db_dbnode WHERE {_where(words, 'pending')} "  # noqa: S608 - constants
        f"AND {words[INSIDE]} = :inside AND {words['here']} AND id > :after {end} ORDER BY id LIMIT {PAGE}"
    )
    values: dict[str, Any] = {"inside": inside, "after": -1, **({} if before is None else {"before": before})}
    rows = session.execute(statement, values).all()
    while rows:
        for pk, state in rows:
            yield pk, state if isinstance(state, dict) else json.loads(state)
        rows = session.execute(statement, {**values, "after": rows[-1][0]}).all() if len(rows) == PAGE else []


def _open() -> tuple[dict[str, str], Any]:
    """Return how the database spells what is asked for, and the session."""
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    return _POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE, session


def _where(words: dict[str, str], status: str) -> str:
    """Return which requests an index holds; in a question it must be spelled alike, without parameters."""
    return f"{_TYPE} AND {words['status']} = '{status}'"
