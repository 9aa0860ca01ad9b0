"""Requests and results as rows and as details, for people and as JSON."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_finales.broker.requests import find_children, read_candidates
from aiida_finales.broker.results import DOUBTFUL
from aiida_finales.broker.state import STATE, Entry, State, read_history, read_state
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import list_tenants
from aiida_finales.exceptions import InputError
from aiida_finales.operations.nodes import pk_of, state_of
from aiida_finales.operations.serving import find_processes
from aiida_finales.schemas.chemicals import molality
from aiida_finales.schemas.values import unit_of
from aiida_finales.science.composition import describe


def describe_request(node: RequestData, state: State | None = None) -> dict[str, Any]:
    """Return a request as a row."""
    state = read_state(pk_of(node)) if state is None else state
    fractions = dict(node.base.attributes.get("fractions") or {})
    return {
        "pk": node.pk,
        "uuid": node.uuid,
        "status": state.get("status", "not posted"),
        "quantity": node.quantity,
        "methods": node.methods,
        "formulation": describe(fractions),
        "temperature_K": node.base.attributes.get("temperature"),
        "requester": node.requester,
        "holder": state.get("holder"),
        "since": str(state.get("since") or "")[:19],
    }


def detail_request(node: RequestData) -> dict[str, Any]:
    """Return everything about a request."""
    state = read_state(pk_of(node))
    names = {tenant.tenant_uuid: tenant.name for tenant in list_tenants(only_active=False)}
    details: dict[str, Any] = {
        **describe_request(node, state),
        "attempts": state.get("attempt"),
        "needs_operator": state.get("needs_operator"),
        "reason": state.get("reason"),
        "result": state.get("result"),
        "parent": node.parent,
        "children": [f"<{child.pk}> {child.quantity} by {', '.join(child.methods)}" for child in find_children(node)],
        "can_serve": [f"{names.get(item.tenant, item.tenant)} by {item.method}" for item in read_candidates(state)],
        "processes": [f"<{item.pk}> {_process_words(item)}" for item in find_processes(node)],
        "history": history_lines(read_history(pk_of(node))),
    }
    return {**details, "parameters": node.parameters}


def describe_result(node: ResultData, state: State | None = None) -> dict[str, Any]:
    """Return a result as a row; the molality is that of the salt in mol/kg of solvent."""
    state = dict(node.base.extras.get(STATE, {})) if state is None else state
    return {
        "pk": node.pk,
        "uuid": node.uuid,
        "status": state.get("status"),
        "doubtful": node.base.extras.get(DOUBTFUL, None) is not None,
        "quantity": node.quantity,
        "method": node.method,
        "value": node.value,
        "uncertainty": node.uncertainty,
        "unit": unit_of(node.quantity),
        "success": node.is_successful,
        "rating": node.rating,
        "formulation": describe(node.fractions),
        "molality": molality_or_none(node.fractions),
        "temperature_K": node.base.attributes.get("temperature"),
        "simulated": bool(node.base.attributes.get("simulated", False)),
        "request": node.request_uuid,
    }


def detail_result(node: ResultData) -> dict[str, Any]:
    """Return everything about a result."""
    state = read_state(pk_of(node))
    return {
        **describe_result(node, state),
        "valid": node.base.attributes.get("valid"),
        "tenant_uuid": node.tenant_uuid,
        "replacement": state.get("replacement"),
        "reason": state.get("reason"),
        "doubtful": node.base.extras.get(DOUBTFUL, None),
        "defects": node.base.attributes.get("errors"),
        "history": history_lines(read_history(pk_of(node))),
        "parameters": node.parameters,
        "data": node.data,
    }


def history_lines(entries: list[Entry]) -> list[str]:
    """Return a history in words, oldest first."""
    return [
        f"{entry.time:%Y-%m-%d %H:%M:%S}  {entry.before or 'new'} -> {entry.after}, {entry.who}: {entry.why}"
        for entry in entries
    ]


def molality_or_none(fractions: dict[str, float]) -> float | None:
    """Return mol of salt per kg of solvent, or ``None`` where a chemical is not known."""
    try:
        return round(molality(fractions), 6) if fractions else None
    except InputError:
        return None


def _process_words(node: orm.ProcessNode) -> str:
    if node.is_finished:
        return "finished" if node.is_finished_ok else f"finished [{node.exit_status}] {node.exit_message}"
    return state_of(node)
