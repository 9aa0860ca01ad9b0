"""Requests and results as rows and as details, for people and as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiida import orm

from aiida_finales.broker.listing import Row, read_attributes, read_extras
from aiida_finales.broker.queue import LONGEST_PAUSE
from aiida_finales.broker.requests import (
    ELSEWHERE,
    OPEN,
    ORPHANED,
    find_children,
    name_asker,
    name_holder,
    read_candidates,
)
from aiida_finales.broker.reservation import silent_since
from aiida_finales.broker.results import DOUBTFUL
from aiida_finales.broker.state import STATE, Entry, State, read_history, read_state
from aiida_finales.broker.status import RequestStatus, published_status
from aiida_finales.data.active import IMPORTED
from aiida_finales.data.nodes import pk_of, state_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData, name_forces, tell_forces
from aiida_finales.data.sample import SampleData
from aiida_finales.data.tenant import name_tenants
from aiida_finales.operations.request.serving import find_processes
from aiida_finales.schemas.chemicals import molality_or_none
from aiida_finales.schemas.moment import local_text, utc_text
from aiida_finales.schemas.values import read_longer, read_reason, read_values, stated_uncertainty, tell_series, unit_of
from aiida_finales.science.electrolyte.composition import describe


def describe_request(
    node: RequestData, state: State | None = None, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a request as a row.

    :param names: of the tenants by UUID, where they are known already.
    """
    state = read_state(pk_of(node)) if state is None else state
    content = node.base.attributes.all
    return _request_row(pk_of(node), node.uuid, content, state, _status_here(node, state), names)


def describe_children(node: RequestData) -> list[dict[str, Any]]:
    """Return the requests that are steps of a request as rows."""
    names = name_tenants()
    return [describe_request(child, names=names) for child in find_children(node)]


def describe_requests(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return requests as rows, with three statements whatever their number."""
    pks = [row.pk for row in rows]
    contents, extras, names = read_attributes(pks), read_extras(pks), name_tenants()
    return [
        _request_row(row.pk, row.uuid, contents[row.pk], extras[row.pk].get(STATE) or {}, row.status, names)
        for row in rows
        if row.pk in contents
    ]


def _request_row(
    pk: int, uuid: str, content: Mapping[str, Any], state: State, status: str, names: Mapping[str, str] | None
) -> dict[str, Any]:
    quantity = str(content["quantity"])
    return {
        "pk": pk,
        "uuid": uuid,
        "status": status,
        "quantity": quantity,
        "methods": list(content["methods"]),
        "formulation": describe(dict(content.get("fractions") or {})),
        "temperature_K": content.get("temperature"),
        "requester": name_asker(str(content["requester"]), state, names),
        "holder": name_holder(state, names),
        "since": utc_text(state["since"]) if state.get("since") else "",
        "not_heard_from_since": utc_text(silent) if (silent := silent_since(quantity, state)) else "",
    }


def detail_request(node: RequestData) -> dict[str, Any]:
    """Return everything about a request."""
    state = read_state(pk_of(node))
    names, status = name_tenants(), _status_here(node, state)
    details: dict[str, Any] = {
        **describe_request(node, state, names),
        "attempts": state.get("attempt"),
        "needs_operator": state.get("needs_operator"),
        "reason": ELSEWHERE if status != (published_status(state) or status) else state.get("reason"),
        "result": state.get("result"),
        "parent": node.parent,
        "children": [f"<{child.pk}> {child.quantity} by {', '.join(child.methods)}" for child in find_children(node)],
        "can_serve": [f"{names.get(item.tenant, item.tenant)} by {item.method}" for item in read_candidates(state)],
        "waits": describe_wait(state, names) if status in OPEN else None,
        "processes": [f"<{item.pk}> {_process_words(item)}" for item in find_processes(node)],
        "history": history_lines(read_history(pk_of(node))),
    }
    given = {"given": node.given} if node.given else {}
    return {**details, **given, "parameters": node.parameters}


def _status_here(node: RequestData, state: State) -> str:
    status = published_status(state) or "not posted"
    is_elsewhere = status in OPEN and IMPORTED in node.base.extras.all
    return RequestStatus.RETRACTED.value if is_elsewhere else status


def is_alone(state: State) -> bool:
    """Return whether an open request waits though no active tenant can serve it."""
    return state.get("status") == RequestStatus.PENDING.value and not state.get("candidates")


def describe_wait(state: State, names: Mapping[str, str]) -> str:
    """Return whom an open request waits for, and since when where somebody is away.

    :param names: of the tenants by UUID.
    """
    if state.get("needs_operator"):
        return f"needs an operator: {state['needs_operator']}"
    if state.get("status") == RequestStatus.RESERVED.value:
        since = local_text(state["since"]) if state.get("since") else "some time"
        return f"{name_holder(state, names)} works on it since {since}"
    who = list(dict.fromkeys(item.tenant for item in read_candidates(state)))
    if not who:
        return "no active tenant can serve it" + (" any more" if state.get(ORPHANED) else "")
    away = state.get("away", {})
    return "waits for " + " or ".join(_absence(names.get(item, item), away.get(item)) for item in who)


def _absence(name: str, record: Mapping[str, Any] | None) -> str:
    """Return the name of a tenant, with what is known of its absence.

    :param record: of the latest time that it was found away; that may be over.
    """
    if record is None or record["until"] < time.time() - LONGEST_PAUSE:
        return name
    since, until = (local_text(datetime.fromtimestamp(record[key], UTC)) for key in ("since", "until"))
    why = f": {record['why']}" if record.get("why") else ""
    return f"{name} (away since {since}{why}; asked again at {until})"


def describe_result(node: ResultData, state: State | None = None) -> dict[str, Any]:
    """Return a result as a row; the molality is that of the salt in mol/kg of solvent."""
    extras = node.base.extras.all
    state = dict(extras.get(STATE, {})) if state is None else state
    return _result_row(pk_of(node), node.uuid, node.base.attributes.all, {**extras, STATE: state})


def describe_results(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return results as rows, with two statements whatever their number."""
    pks = [row.pk for row in rows]
    contents, extras = read_attributes(pks), read_extras(pks)
    return [_result_row(row.pk, row.uuid, contents[row.pk], extras[row.pk]) for row in rows if row.pk in contents]


def _result_row(pk: int, uuid: str, content: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
    quantity, fractions = str(content["quantity"]), dict(content.get("fractions") or {})
    stated = stated_uncertainty(read_values(quantity, content["data"]))
    return {
        "pk": pk,
        "uuid": uuid,
        "status": (extras.get(STATE) or {}).get("status"),
        "doubtful": extras.get(DOUBTFUL) is not None,
        "quantity": quantity,
        "method": str(content["method"]),
        "value": content["value"],
        "uncertainty": stated or content.get("spread"),
        "unit": unit_of(quantity),
        **({"told": told} if (told := tell_series(quantity, content["data"])) else {}),
        "success": bool(content["success"]),
        "rating": content["rating"],
        # whose forces these are: tight binding is no density functional, and nobody should take it for one
        **({"forces": whose} if (whose := name_forces(content["data"])) else {}),
        **({"why": why} if (why := read_reason(quantity, content["data"])) else {}),
        **({"longer": longer} if (longer := read_longer(quantity, content["data"])) else {}),
        "formulation": describe(fractions),
        "molality": molality_or_none(fractions),
        "temperature_K": content.get("temperature"),
        "simulated": bool(content.get("simulated", False)),
        "request": content["request_uuid"],
    }


def detail_result(node: ResultData) -> dict[str, Any]:
    """Return everything about a result."""
    state = read_state(pk_of(node))
    return {
        **describe_result(node, state),
        **({"forces": said} if (said := tell_forces(node.data)) else {}),
        "valid": node.base.attributes.get("valid"),
        "tenant_uuid": node.tenant_uuid,
        "replacement": state.get("replacement"),
        "reason": state.get("reason"),
        "doubtful": node.base.extras.get(DOUBTFUL, None),
        "looks_like": node.base.attributes.get("looks_like", None),
        "defects": node.base.attributes.get("errors"),
        "history": history_lines(read_history(pk_of(node))),
        "parameters": node.parameters,
        "data": node.data,
    }


def count_nodes(kind: str) -> int:
    """Return how many requests, results or samples there are.

    :param kind: ``request``, ``result`` or ``sample``.
    """
    kinds: dict[str, type[orm.Node]] = {"request": RequestData, "result": ResultData, "sample": SampleData}
    return int(orm.QueryBuilder().append(kinds[kind], subclassing=False).count())


def history_lines(entries: list[Entry]) -> list[str]:
    """Return a history in words, oldest first."""
    return [
        f"{utc_text(entry.time)}  {entry.before or 'new'} -> {entry.after}, {entry.who}: {entry.why}"
        for entry in entries
    ]


def _process_words(node: orm.ProcessNode) -> str:
    if node.is_finished:
        return "finished" if node.is_finished_ok else f"finished [{node.exit_status}] {node.exit_message}"
    return state_of(node)
