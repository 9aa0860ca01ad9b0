"""The latest campaigns as rows, each with the course of its best value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.sight import clause
from aiida_finales.data.campaign import NOTES, CampaignGroup
from aiida_finales.data.nodes import ACTIVE
from aiida_finales.data.result import ResultData
from aiida_finales.operations.campaign.listing import CampaignRow, list_rows
from aiida_finales.schemas import Json
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.values import unit_of

#: campaigns that are shown; their list has all
MOST = 8

#: with CROSS JOIN SQLite begins with the members of the groups, not with all results
_VALUES = """
SELECT m.dbgroup_id, n.uuid, {value}, {method}, {quantity} FROM db_dbgroup_dbnodes AS m
CROSS JOIN db_dbnode AS n WHERE n.id = m.dbnode_id AND n.node_type = :type AND m.dbgroup_id IN :groups
AND {status} <> 'deleted' AND {replacement} IS NULL {seen} ORDER BY n.id
"""
_SQLITE = {
    "value": "json_extract(n.attributes, '$.value')",
    "method": "json_extract(n.attributes, '$.method')",
    "quantity": "json_extract(n.attributes, '$.quantity')",
    "status": "json_extract(n.extras, '$.finales.status')",
    "replacement": "json_extract(n.extras, '$.finales.replacement')",
}
_POSTGRESQL = {
    "value": "CAST(n.attributes ->> 'value' AS double precision)",
    "method": "n.attributes ->> 'method'",
    "quantity": "n.attributes ->> 'quantity'",
    "status": "n.extras #>> '{finales,status}'",
    "replacement": "n.extras #>> '{finales,replacement}'",
}


def list_curves(limit: int = MOST) -> list[Json]:
    """Return the latest campaigns: those that run first.

    Each has ``name``, ``state``, ``n_results``, ``n_limit``, ``unit``, and ``best``, the best value of its target after
    each result of it; empty where it has several objectives, or none yet. Results that the campaign left out, and those
    that were replaced or deleted, do not count.
    """
    rows = sorted(list_rows(), key=lambda row: (row.state not in ACTIVE, -row.pk))[:limit]
    values = _read_values([row.group for row in rows])
    return [_describe(row, values[row.group]) for row in rows]


def _read_values(groups: Sequence[int]) -> defaultdict[int, list[tuple[float, str, str]]]:
    values: defaultdict[int, list[tuple[float, str, str]]] = defaultdict(list)
    if not groups:
        return values
    left_out = _read_left_out(groups)
    with get_manager().get_profile_storage().transaction() as session:
        words = _POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE
        seen, hidden = clause(session)
        statement = sa.text(_VALUES.format(seen=seen, **words)).bindparams(sa.bindparam("groups", expanding=True))
        given = {"type": ResultData.class_node_type, "groups": list(groups), **hidden}
        for group, uuid, value, method, quantity in session.execute(statement, given):
            if str(uuid) not in left_out:
                values[group].append((value, str(method), str(quantity)))
    return values


def _read_left_out(groups: Sequence[int]) -> set[str]:
    """Return the UUIDs of answers that the campaigns could not learn from."""
    columns = [f"extras.{NOTES}"]
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": {"in": list(groups)}}, project=columns)
    return {uuid for notes in query.all(flat=True) for uuid in (notes or {}).get("left_out", ())}


def _describe(row: CampaignRow, values: Sequence[tuple[float | None, str, str]]) -> Json:
    document, stop = row.document, row.document.get("stop")
    quantity, method = _name_target(document)
    is_one = len(document.get("objectives") or ()) < 2  # noqa: PLR2004 - of several none has a best value
    own = [value for value, by, of in values if value is not None and (by, of) == (method, quantity)]
    return {
        "name": row.name,
        "state": "running" if row.state in ACTIVE else row.state,
        "n_results": len(values),
        "n_limit": stop.get("evaluations") if isinstance(stop, dict) else None,
        "quantity": quantity,
        "unit": unit_of(quantity) if quantity else "",
        "best": _run(own, is_up=bool(document.get("maximise", True))) if is_one else [],
    }


def _name_target(document: Json) -> tuple[str, str]:
    """Return quantity and method of the source whose values count: a source may be named otherwise than its method."""
    sources = document.get("sources") or {}
    name = document.get("target") or next(iter(sources), "")
    source = sources.get(name) or {}
    quantity = source.get("quantity") or document.get("quantity") or ""
    return canonical_capability(str(quantity), str(source.get("method") or name))


def _run(values: Sequence[float], *, is_up: bool) -> list[float]:
    """Return the best value so far after each."""
    best: list[float] = []
    for value in values:
        best.append(value if not best else max(best[-1], value) if is_up else min(best[-1], value))
    return best
