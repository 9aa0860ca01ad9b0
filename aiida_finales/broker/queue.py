"""Who of the open requests is next: questions that cost as much with ten thousand open requests as with ten.

Indexes of our own make that so: of requests by status, of what is held by tenant, and of what is pending for tenants of
this engine by tenant. ``aiida-finales setup`` makes them. Without them all answers are the same, only slower: every
request that ever was is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.state import State
from aiida_finales.data.request import RequestData

#: key of the state of a request: the one tenant of this engine that can serve it, or :data:`SEVERAL`
INSIDE, SEVERAL = "inside", "several"
#: names of the indexes
HELD, WAITING, BY_STATUS = "finales_held", "finales_waiting", "finales_status"
#: requests that are read at a time; as a rule the first one is who is next
PAGE = 20

_TYPE = f"node_type = '{RequestData.class_node_type}'"
_KEYS = ("status", "tenant", INSIDE, "needs_operator")
_SQLITE = {key: f"json_extract(extras, '$.finales.{key}')" for key in _KEYS} | {
    "state": "json_extract(extras, '$.finales')",
    "here": "json_type(extras, '$.finales_imported') IS NULL",
}
_POSTGRESQL = {key: f"(extras #>> '{{finales,{key}}}')" for key in _KEYS} | {
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
        for name, columns in (
            (HELD, f"{status}, {words['tenant']}, id"),
            (WAITING, f"{status}, {words[INSIDE]}, id"),
            (BY_STATUS, f"{status}, id"),
        ):
            session.execute(sa.text(f"CREATE INDEX IF NOT EXISTS {name} ON db_dbnode ({columns}) WHERE {_TYPE}"))


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
