"""The latest campaigns as rows, each with the course of its best value."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.sight import clause
from aiida_finales.data.campaign import IS_CAMPAIGN, CampaignGroup
from aiida_finales.data.result import ResultData
from aiida_finales.schemas import Json
from aiida_finales.schemas.values import unit_of

#: campaigns that are shown; their list has all
MOST = 8
ACTIVE = ("created", "running", "waiting")

_VALUES = """
SELECT m.dbgroup_id, n.id, {value}, {method}, {quantity} FROM db_dbgroup_dbnodes AS m
JOIN db_dbnode AS n ON n.id = m.dbnode_id WHERE n.node_type = :type AND m.dbgroup_id IN :groups
AND {status} <> 'deleted' {seen} ORDER BY n.id
"""
_SQLITE = {
    "value": "json_extract(n.attributes, '$.value')",
    "method": "json_extract(n.attributes, '$.method')",
    "quantity": "json_extract(n.attributes, '$.quantity')",
    "status": "json_extract(n.extras, '$.finales.status')",
}
_POSTGRESQL = {
    "value": "CAST(n.attributes ->> 'value' AS double precision)",
    "method": "n.attributes ->> 'method'",
    "quantity": "n.attributes ->> 'quantity'",
    "status": "n.extras #>> '{finales,status}'",
}


def list_curves(limit: int = MOST) -> list[Json]:
    """Return the latest campaigns: those that run first.

    Each has ``name``, ``state``, ``is_ok``, ``n_results``, ``n_limit``, ``unit``, and ``best``, the best value of its
    target after each result of it; empty where it has several objectives, or none yet.
    """
    query = orm.QueryBuilder().append(CampaignGroup, tag="group", project=["id", "label"])
    columns = ["id", "attributes.process_state", "attributes.exit_status"]
    query.append(orm.WorkChainNode, with_group="group", filters=IS_CAMPAIGN, tag="process", project=columns)
    query.append(orm.Dict, with_outgoing="process", edge_filters={"label": "campaign"}, project="attributes")
    found: dict[int, Json] = {}
    for group, label, pk, state, status, document in query.order_by({"process": {"id": "desc"}}).limit(3 * limit).all():
        # of one that was continued the latest process counts
        row = {"name": label, "pk": pk, "process_state": state, "exit_status": status, "document": document}
        found.setdefault(group, row)
    rows = dict(list(found.items())[:limit])
    values = _read_values(list(rows))
    told = [_describe(row, values[group]) for group, row in rows.items()]
    return sorted(told, key=lambda row: row["state"] != "running")


def _read_values(groups: Sequence[int]) -> defaultdict[int, list[tuple[float, str, str]]]:
    values: defaultdict[int, list[tuple[float, str, str]]] = defaultdict(list)
    if not groups:
        return values
    with get_manager().get_profile_storage().transaction() as session:
        words = _POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE
        seen, hidden = clause(session)
        statement = sa.text(_VALUES.format(seen=seen, **words)).bindparams(sa.bindparam("groups", expanding=True))
        given = {"type": ResultData.class_node_type, "groups": list(groups), **hidden}
        for group, _, value, method, quantity in session.execute(statement, given):
            values[group].append((value, str(method), str(quantity)))
    return values


def _describe(row: Json, values: Sequence[tuple[float | None, str, str]]) -> Json:
    document: Json = row["document"] if isinstance(row["document"], dict) else json.loads(row["document"])
    quantity, target = str(document.get("quantity") or ""), document.get("target")
    stop = document.get("stop")
    is_one = len(document.get("objectives") or ()) < 2  # noqa: PLR2004
    own = [value for value, method, of in values if value is not None and (method, of) == (target, quantity)]
    state, status = row["process_state"], row["exit_status"]
    is_over = state not in ACTIVE
    return {
        "name": row["name"],
        "state": "running"
        if not is_over
        else "finished"
        if status == 0
        else "failed"
        if state != "killed"
        else "ended",
        "n_results": len(values),
        "n_limit": stop.get("evaluations") if isinstance(stop, dict) else None,
        "quantity": quantity,
        "unit": unit_of(quantity) if quantity else "",
        "best": _run(own, is_up=bool(document.get("maximise", True))) if is_one else [],
    }


def _run(values: Sequence[float], *, is_up: bool) -> list[float]:
    """Return the best value so far after each."""
    best: list[float] = []
    for value in values:
        best.append(value if not best else max(best[-1], value) if is_up else min(best[-1], value))
    return best
