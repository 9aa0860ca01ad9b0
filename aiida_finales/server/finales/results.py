"""What clients do with results; everything here runs in the thread of AiiDA."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID, uuid5

from aiida import orm

from aiida_finales.broker.listing import Row, find_answered, find_row, read_attributes
from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.requests import name_holder
from aiida_finales.broker.reservation import answer_request
from aiida_finales.broker.results import amend_result, delete_result, find_result
from aiida_finales.broker.sight import NOTHING, Hidden
from aiida_finales.broker.state import State, read_history, read_state
from aiida_finales.broker.status import RequestStatus, ResultStatus
from aiida_finales.calculations.unsolicited import store_unsolicited
from aiida_finales.data.capability import CapabilityVersion, find_capability, read_capability
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import (
    AccessError,
    HeldError,
    InputError,
    StatusError,
    UnknownNodeError,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.finales_form import result_document
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.server.access.users import User
from aiida_finales.server.bodies import write_moment
from aiida_finales.server.finales.documents import ResultBody, read_uuid
from aiida_finales.server.finales.requests import demand_known, demand_role, find_own_candidate, read_current_state


def store_answer(body: ResultBody, user: User, strict: frozenset[str], hidden: Hidden = NOTHING) -> tuple[str, int]:
    """Hand in the answer to a request; return the UUID of its result and the pk of the request.

    The process of the request makes the result, with this UUID, as soon as it runs. The same answer handed in again,
    for example because the reply was lost, changes nothing and has the same UUID.

    :param strict: capabilities whose results are refused when they break their schema.
    :param hidden: what the user may not see: of that is answered only what the user has held before.
    :raises InputError: when it cannot be accepted; nothing was stored.
    :raises AccessError: when the user acts for no tenant that can serve the request.
    :raises StatusError: when somebody else holds it or it is closed; the result of a former holder is kept.
    """
    demand_role(user, "tenant", "operator")
    method = read_method(body)
    row = find_row(RequestData.class_node_type, read_uuid(body.request_uuid, "request_uuid"))
    if row is None or (row.pk in hidden.nodes and not _held_before(row.pk, user)):
        raise InputError(f"Submitted result has no request: {body.request_uuid}")
    answer = _check_answer(body, row, method, strict)
    state = read_current_state(row.pk)
    if answer["uuid"] in (state.get("result"), (state.get("answer") or {}).get("uuid")):
        return str(answer["uuid"]), row.pk
    _hand_in(row, state, answer, user, body)
    return str(answer["uuid"]), row.pk


def _check_answer(body: ResultBody, row: Row, method: str, strict: frozenset[str]) -> Json:
    """Return the answer to a request, if it is one to what was asked."""
    request = read_attributes([row.pk])[row.pk]
    quantity, method = canonical_capability(body.quantity, method)
    if quantity != request["quantity"] or method not in request["methods"]:
        asked = f"{request['quantity']} by {' or '.join(request['methods'])}"
        raise InputError(f"the result is {quantity} by {method}, but the request asks for {asked}")
    return _make_answer(body, read_capability(request["capabilities"][method]), row.uuid, strict)


def keep_unsolicited(body: ResultBody, user: User, strict: frozenset[str], reason: str = "") -> str:
    """Store a result that nobody asked for; return its UUID. The same one stored again changes nothing.

    :param reason: why it is kept, when it was meant as an answer.
    """
    demand_role(user, "tenant", "operator")
    method = read_method(body)
    demand_known(body.quantity, [method])
    capability = find_capability(body.quantity, method)
    answer = _make_answer(body, capability.content, f"unsolicited:{user.name}", strict)
    if find_row(ResultData.class_node_type, answer["uuid"]) is None:
        tenant = _choose_tenant(body, user)
        posted = {**answer, "tenant": tenant, "poster": user.who, "reason": reason}
        store_unsolicited(capability, posted)
    return str(answer["uuid"])


def find_result_info(identifier: str) -> Row | Json | None:
    """Return a result by its UUID: a row, or, before its process has made it, what was posted; ``None``: unknown."""
    uuid = read_uuid(identifier)
    row = find_row(ResultData.class_node_type, uuid)
    if row is not None:
        return row
    return next((answer_info(item, state) for item, state in find_answered(uuid)), None)


def find_result_of(identifier: str) -> Row | Json | None:
    """Return the result of a request, also before its process has made it."""
    request = find_row(RequestData.class_node_type, read_uuid(identifier))
    if request is None:
        return None
    state = read_state(request.pk)
    if state.get("result"):
        return find_row(ResultData.class_node_type, state["result"])
    return answer_info(request, state) if (state.get("answer") or {}).get("uuid") else None


def list_answer_infos(quantity: str | None, method: str | None) -> list[Json]:
    """Return what was posted and is no result yet."""
    infos = [answer_info(row, state) for row, state in find_answered() if state["answer"].get("uuid")]
    return [
        info
        for info in infos
        if quantity in (None, info["result"]["quantity"]) and method in (None, info["result"]["method"][0])
    ]


def answer_info(request: Row, state: State) -> Json:
    """Return an answer as the result that it will be."""
    answer = state["answer"]
    return {
        "uuid": answer["uuid"],
        "ctime": answer["time"],
        "status": ResultStatus.ORIGINAL.value,
        "result": result_document({**answer, "tenant_uuid": state.get("tenant"), "request_uuid": request.uuid}),
    }


def change_result(identifier: str, status: ResultStatus, user: User, why: str, replacement: str = "") -> None:
    """Declare a result amended or deleted.

    :param replacement: number or UUID of the result that counts instead of one that is amended; empty: it does itself.
    :raises UnknownNodeError: when there is no such result.
    :raises AccessError: when the user did not provide it and is no operator.
    :raises StatusError: when its process has not made it yet.
    """
    if status == ResultStatus.ORIGINAL:
        raise InputError(
            "Not possible to change status to 'original' since this is reserved only for the initial posting"
        )
    uuid = read_uuid(identifier)
    row = find_row(ResultData.class_node_type, uuid)
    if row is None:
        if find_answered(uuid):
            raise StatusError(f"result {uuid} was posted, but its process has not made it yet: try again later")
        raise UnknownNodeError(f"No result with id: {identifier}")
    result: ResultData = orm.load_node(row.pk)  # type: ignore[assignment]
    if not user.has_role("operator") and result.tenant_uuid not in user.tenants:
        raise AccessError(f"{user.name} does not act for tenant {result.tenant_uuid or 'unknown'}, whose result it is")
    if row.status == status.value == ResultStatus.DELETED.value:
        return
    why = why.strip() or f"{user.name} gave no reason"
    if status == ResultStatus.DELETED:
        delete_result(row.pk, user.who, why)
    else:
        amend_result(row.pk, user.who, why, find_result(replacement) if replacement else None)


def read_method(body: ResultBody) -> str:
    """Return the one method of a result, or refuse it in the published words."""
    if len(body.method) != 1:
        raise InputError(
            f"Wrong length of method string for recieved result, {len(body.method)}: accepted is exactly one method"
        )
    if len(body.parameters) != 1:
        raise InputError(f"Wrong number of keys in passed parameters, {len(body.parameters)}: accepted is exactly one")
    method, key = body.method[0], next(iter(body.parameters))
    if method != key:
        raise InputError(f"Method for params with key {key} not found in list: {body.method}")
    if not isinstance(body.parameters[key], dict):
        raise InputError(f"parameters of {key} are {body.parameters[key]!r}, but accepted is an object")
    return method


def _make_answer(body: ResultBody, capability: CapabilityVersion, subject: str, strict: frozenset[str]) -> Json:
    """Return what is kept of a result until its process makes it.

    :raises SchemaError: when the parameters break their schema; or the data do, of a capability that is strict.
    """
    parameters = capability.validate_parameters(next(iter(body.parameters.values())))
    content: Json = {
        "method": capability.method,
        "data": body.data,
        "parameters": parameters,
        "simulated": body.simulated,
    }
    if f"{capability.quantity}.{capability.method}" in strict:
        capability.demand_result(body.data, parameters)
    # a UUID computed of the content: whoever repeats the same answer gets the same result
    name = f"{subject}/{json.dumps(content, sort_keys=True)}"
    uuid = str(uuid5(UUID(capability.uuid), name))
    return {**content, "quantity": capability.quantity, "uuid": uuid, "time": write_moment(datetime.now(UTC))}


def _hand_in(row: Row, state: State, answer: Json, user: User, body: ResultBody) -> None:
    is_operator = user.has_role("operator") and state.get("holder") != user.who
    candidate = None
    if state.get("status") == RequestStatus.PENDING.value:
        candidate = find_own_candidate(state, user, answer["method"], _named_tenant(body))
    elif state.get("holder") == user.who and _named_tenant(body) in user.tenants:
        candidate = _find_named(state, user, answer["method"], _named_tenant(body))
    elif state.get("holder") != user.who and not is_operator and not _held_before(row.pk, user):
        if state.get("status") == RequestStatus.RESERVED.value:
            find_own_candidate(state, user, answer["method"])  # a stranger is told so, a competitor who holds it
            raise HeldError(f"the request is held by {name_holder(state)} since {state['since']}, not by {user.who}")
        find_own_candidate(state, user, answer["method"])
        raise StatusError(f"the request is {state.get('status')}: it takes no answer any more")
    try:
        answer_request(row.pk, user.who, answer, candidate, is_operator=is_operator)
    except StatusError as error:
        if not _held_before(row.pk, user):
            raise
        kept = keep_unsolicited(body, user, frozenset(), f"late answer to request {row.uuid}: {error}")
        raise type(error)(f"{error}; nothing is lost: it is kept as unsolicited result {kept}") from error


def _find_named(state: State, user: User, method: str, tenant: str) -> Candidate | None:
    """Return as which of several tenants a user answers what it holds: when it was reserved, nobody said which."""
    candidate = find_own_candidate(state, user, method, tenant)
    return candidate if candidate.tenant == tenant else None


def _held_before(pk: int, user: User) -> bool:
    """Return whether a user has held a request at some time."""
    return any(entry.who == user.who and entry.after == "reserved" for entry in read_history(pk))


def _named_tenant(body: ResultBody) -> str:
    """Return the UUID of the tenant that a result names; some published tenants name none."""
    try:
        return read_uuid(body.tenant_uuid)
    except InputError:
        return ""


def _choose_tenant(body: ResultBody, user: User) -> str:
    """Return for whom a result is stored: the tenant that it names, if the user acts for it, or the user's first."""
    named = _named_tenant(body)
    if named in user.tenants:
        return named
    if not user.tenants:
        raise AccessError(f"{user.name} acts for no tenant: results need one")
    return user.tenants[0]
