"""Who held which request, from when to when: read from the histories by one statement.

A request is held from the entry that reserves it to the entry that ends that: resolved, given back or taken back. Which
tenant held it stands in the entry; of entries that do not say it, the last tenant of the request counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.sight import clause, is_hidden
from aiida_finales.broker.state import LOGGER_NAME
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.moment import to_utc

#: entries that are read at most, the latest: two of each holding
MOST = 6000
#: s for which a book is kept, and entries that it reads again
KEPT_FOR, OVERLAP = 60.0, 50
HELD = RequestStatus.RESERVED.value

_ENTRIES = """
SELECT l.id, n.id, n.uuid, l.time, {after}, coalesce({tenant}, {last_tenant}), {quantity}
FROM db_dblog AS l JOIN db_dbnode AS n ON n.id = l.dbnode_id
WHERE {plus}l.loggername = :name AND n.node_type = :type AND ({before} = :held OR {after} = :held)
AND coalesce({before}, '') <> {after} AND {plus}l.id > :after{group}{seen} ORDER BY {plus}l.id DESC LIMIT :limit
"""
#: the requests of a group and their steps; spelled as the index of steps is
_OF_GROUP = """
WITH RECURSIVE of_group(id, uuid) AS (
SELECT m.id, m.uuid FROM db_dbgroup_dbnodes AS g JOIN db_dbnode AS m ON m.id = g.dbnode_id
WHERE g.dbgroup_id = :group AND m.node_type = '{kind}'
UNION SELECT db_dbnode.id, db_dbnode.uuid FROM of_group JOIN db_dbnode ON {parent} = {uuid}
WHERE db_dbnode.node_type = '{kind}') SELECT id FROM of_group
"""
#: spelled as the index of these results is, without parameters; with the plus SQLite takes no other index
_FAILED = """
SELECT n.id, n.ctime, {request}, {tenant}, {quantity} FROM db_dbnode AS n
WHERE n.node_type = '{type}' AND n.id > :after AND {success} AND {status} = 'original' ORDER BY n.id DESC LIMIT :limit
"""
_SQLITE = {
    "before": "json_extract(l.metadata, '$.from')",
    "after": "json_extract(l.metadata, '$.to')",
    "tenant": "json_extract(l.metadata, '$.tenant')",
    "last_tenant": "json_extract(n.extras, '$.finales.tenant')",
    "quantity": "json_extract(n.attributes, '$.quantity')",
    "parent": "json_extract(attributes, '$.parent')",
    "uuid": "+of_group.uuid",  # with the plus it is compared as the index is sorted
    "no_index": "+",  # of the histories: so it begins with the members of a group, instead of going through all
}
_POSTGRESQL = {
    "before": "l.metadata ->> 'from'",
    "after": "l.metadata ->> 'to'",
    "tenant": "l.metadata ->> 'tenant'",
    "last_tenant": "n.extras #>> '{finales,tenant}'",
    "quantity": "n.attributes ->> 'quantity'",
    "parent": "(attributes ->> 'parent')",
    "uuid": "of_group.uuid::text",
    "no_index": "",
}
_FAILED_SQLITE = {
    "request": "json_extract(n.attributes, '$.request_uuid')",
    "tenant": "json_extract(n.attributes, '$.tenant_uuid')",
    "quantity": "json_extract(n.attributes, '$.quantity')",
    "success": "json_extract(n.attributes, '$.success') = 0",
    "status": "+json_extract(n.extras, '$.finales.status')",
}
_FAILED_POSTGRESQL = {
    "request": "n.attributes ->> 'request_uuid'",
    "tenant": "n.attributes ->> 'tenant_uuid'",
    "quantity": "n.attributes ->> 'quantity'",
    "success": "n.attributes ->> 'success' = 'false'",
    "status": "n.extras #>> '{finales,status}'",
}


@dataclass(frozen=True)
class Holding:
    """One request in the hands of one tenant.

    :param begin: ``None``: before the earliest entry that was read.
    :param end: ``None``: it is held still.
    :param outcome: the status that it had then; empty while it is held.
    """

    pk: int
    uuid: str
    quantity: str
    tenant: str
    begin: datetime | None
    end: datetime | None
    outcome: str


@dataclass(frozen=True)
class Failure:
    """A result that says of itself that the method failed.

    :param request: UUID of what it answers; empty of what nobody asked for.
    :param tenant: UUID of who tried.
    """

    pk: int
    moment: datetime
    request: str
    tenant: str
    quantity: str


def read_holdings(*, group: int | None = None, limit: int = MOST) -> list[Holding]:
    """Return who held what, in the order in which it ended; what is held still comes last.

    :param group: only requests of this group (pk), and their steps.
    :param limit: of entries of histories; the latest count.
    """
    return _pair(_read_entries(0, group, limit))


class Book:
    """The latest holdings and failures, kept: what is asked for again is only what is new.

    It is read whole again after :data:`KEPT_FOR`, because nodes may be deleted and results taken back. Whoever asks
    gets what may be seen.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Any] = {}
        self._failures: dict[int, Failure] = {}
        self._holdings: list[Holding] | None = None
        self._due = float("-inf")

    def read(self) -> tuple[list[Holding], list[Failure]]:
        """Return who held what, as :func:`read_holdings`, and the results that say that the method failed."""
        if time.monotonic() > self._due:
            self._entries, self._failures, self._holdings = {}, {}, None
            self._due = time.monotonic() + KEPT_FOR
        # PostgreSQL may show a lower number after a higher one: some are read again
        after = max(self._entries, default=0) - OVERLAP
        new = {row[0]: row for row in _read_entries(after, None, MOST) if row[0] not in self._entries}
        if new or self._holdings is None:
            self._entries = dict(sorted((self._entries | new).items())[-MOST:])
            self._holdings = _pair(self._entries.values())
        for item in read_failures(max(self._failures, default=0)):
            self._failures[item.pk] = item
        holdings = [item for item in self._holdings if not is_hidden(item.pk)]
        return holdings, [item for item in self._failures.values() if not is_hidden(item.pk)]


def _read_entries(after: int, group: int | None, limit: int) -> list[Any]:
    """Return the latest entries after one, oldest first; of a group those that may be seen."""
    with get_manager().get_profile_storage().transaction() as session:
        words = dict(_POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE)
        values: dict[str, Any] = {"name": LOGGER_NAME, "type": RequestData.class_node_type, "held": HELD}
        values |= {"limit": limit, "after": after}
        words |= {"seen": "", "group": "", "plus": ""}
        if group is not None:
            words["seen"], hidden = clause(session)
            words["group"] = f" AND l.dbnode_id IN ({_OF_GROUP.format(**words, kind=RequestData.class_node_type)})"
            words["plus"] = words["no_index"]
            values |= {"group": group, **hidden}
        rows = session.execute(sa.text(_ENTRIES.format(**words)), values).all()
    return list(reversed(rows))


def read_failures(after: int = 0) -> list[Failure]:
    """Return the results, stored after one (pk), that say of themselves that the method failed; hidden ones, too."""
    with get_manager().get_profile_storage().transaction() as session:
        words = _FAILED_POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _FAILED_SQLITE
        text = _FAILED.format(type=ResultData.class_node_type, **words)
        rows = session.execute(sa.text(text), {"limit": MOST, "after": after}).all()
    return [Failure(row[0], to_utc(row[1]), str(row[2] or ""), str(row[3] or ""), row[4]) for row in reversed(rows)]


def _pair(rows: Iterable[Any]) -> list[Holding]:
    """Return what lies between an entry that reserves and the next one of the same request that ends it."""
    begun: dict[int, Any] = {}
    ended = []
    for row in rows:
        if row[4] == HELD:
            begun[row[1]] = row
        else:
            first = begun.pop(row[1], None)
            ended.append(_holding(row, first, row))
    return ended + [_holding(row, row, None) for row in begun.values()]


def _holding(row: Any, first: Any | None, last: Any | None) -> Holding:
    tenant = str((first[5] if first is not None else None) or row[5] or "")
    begin = to_utc(first[3]) if first is not None else None
    end, outcome = (None, "") if last is None else (to_utc(last[3]), str(last[4]))
    return Holding(row[1], str(UUID(str(row[2]))), str(row[6]), tenant, begin, end, outcome)
