"""Who held which request, from when to when: read from the histories by one statement.

A request is held from the entry that reserves it to the entry that ends that: resolved, given back or taken back. Which
tenant held it stands in the entry; of entries that do not say it, the last tenant of the request counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.sight import clause
from aiida_finales.broker.state import LOGGER_NAME
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.moment import to_utc

#: entries that are read at most, the latest: two of each holding
MOST = 6000
HELD = RequestStatus.RESERVED.value

_ENTRIES = """
SELECT n.id, n.uuid, l.time, {before}, {after}, coalesce({tenant}, {last_tenant}), {quantity}
FROM db_dblog AS l JOIN db_dbnode AS n ON n.id = l.dbnode_id
WHERE l.loggername = :name AND n.node_type = :type AND ({before} = :held OR {after} = :held)
AND coalesce({before}, '') <> {after}{since}{group}{seen} ORDER BY l.id DESC LIMIT :limit
"""
_FAILED = """
SELECT {request}, {tenant} FROM db_dbnode AS n WHERE n.node_type = :type AND {success} AND {status} = 'original'
{since}{seen} ORDER BY n.id DESC LIMIT :limit
"""
_SQLITE = {
    "before": "json_extract(l.metadata, '$.from')",
    "after": "json_extract(l.metadata, '$.to')",
    "tenant": "json_extract(l.metadata, '$.tenant')",
    "last_tenant": "json_extract(n.extras, '$.finales.tenant')",
    "quantity": "json_extract(n.attributes, '$.quantity')",
}
_POSTGRESQL = {
    "before": "l.metadata ->> 'from'",
    "after": "l.metadata ->> 'to'",
    "tenant": "l.metadata ->> 'tenant'",
    "last_tenant": "n.extras #>> '{finales,tenant}'",
    "quantity": "n.attributes ->> 'quantity'",
}
_FAILED_SQLITE = {
    "request": "json_extract(n.attributes, '$.request_uuid')",
    "tenant": "json_extract(n.attributes, '$.tenant_uuid')",
    "success": "json_extract(n.attributes, '$.success') = 0",
    "status": "json_extract(n.extras, '$.finales.status')",
}
_FAILED_POSTGRESQL = {
    "request": "n.attributes ->> 'request_uuid'",
    "tenant": "n.attributes ->> 'tenant_uuid'",
    "success": "n.attributes ->> 'success' = 'false'",
    "status": "n.extras #>> '{finales,status}'",
}


@dataclass(frozen=True)
class Holding:
    """One request in the hands of one tenant.

    :param begin: ``None``: before the moment from which on was looked.
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


def read_holdings(since: datetime | None = None, *, group: int | None = None, limit: int = MOST) -> list[Holding]:
    """Return who held what, in the order in which it ended, what is held still last.

    :param since: leave out what ended before.
    :param group: only requests of this group (pk).
    :param limit: of entries of histories; the latest count.
    """
    with get_manager().get_profile_storage().transaction() as session:
        is_postgresql = session.get_bind().dialect.name == "postgresql"
        seen, hidden = clause(session)
        values: dict[str, Any] = {"name": LOGGER_NAME, "type": RequestData.class_node_type, "held": HELD}
        values |= {"limit": limit, **hidden}
        words = dict(_POSTGRESQL if is_postgresql else _SQLITE)
        words |= {"seen": seen, "since": _after("l.time", since, values, is_postgresql=is_postgresql), "group": ""}
        if group is not None:
            words["group"] = " AND n.id IN (SELECT dbnode_id FROM db_dbgroup_dbnodes WHERE dbgroup_id = :group)"
            values["group"] = group
        rows = session.execute(sa.text(_ENTRIES.format(**words)), values).all()
    return _pair(reversed(rows))


def read_failures(since: datetime | None = None, limit: int = MOST) -> list[tuple[str | None, str]]:
    """Return the results that say of themselves that the method failed: UUIDs of the request and of the tenant.

    :param since: leave out those made before.
    """
    with get_manager().get_profile_storage().transaction() as session:
        is_postgresql = session.get_bind().dialect.name == "postgresql"
        seen, hidden = clause(session)
        values: dict[str, Any] = {"type": ResultData.class_node_type, "limit": limit, **hidden}
        words = dict(_FAILED_POSTGRESQL if is_postgresql else _FAILED_SQLITE)
        words |= {"seen": seen, "since": _after("n.ctime", since, values, is_postgresql=is_postgresql)}
        rows = session.execute(sa.text(_FAILED.format(**words)), values).all()
    return [(row[0], str(row[1] or "")) for row in rows]


def _after(column: str, since: datetime | None, values: dict[str, Any], *, is_postgresql: bool) -> str:
    """Return the condition that something is later than a moment, whose value is put to the others."""
    if since is None:
        return ""
    values["since"] = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") + ("+00" if is_postgresql else "")
    return f" AND {column} > " + ("CAST(:since AS timestamptz)" if is_postgresql else ":since")


def _pair(rows: Iterable[Any]) -> list[Holding]:
    """Return what lies between an entry that reserves and the next one of the same request that ends it."""
    begun: dict[int, Any] = {}
    ended = []
    for row in rows:
        if row[4] == HELD:
            begun[row[0]] = row
        else:
            first = begun.pop(row[0], None)
            ended.append(_holding(row, first, row))
    return ended + [_holding(row, row, None) for row in begun.values()]


def _holding(row: Any, first: Any | None, last: Any | None) -> Holding:
    tenant = str((first[5] if first is not None else None) or row[5] or "")
    begin = to_utc(first[2]) if first is not None else None
    end, outcome = (None, "") if last is None else (to_utc(last[2]), str(last[4]))
    return Holding(row[0], str(UUID(str(row[1]))), str(row[6]), tenant, begin, end, outcome)
