"""What clients do with requests; everything here runs in the thread of AiiDA."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.listing import Row, find_row
from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.patience import repeat_while_locked
from aiida_finales.broker.requests import name_holder, post_request, read_candidates, retract_request
from aiida_finales.broker.reservation import (
    expire_lease,
    find_lease,
    is_expired,
    mark_needs_operator,
    release_request,
    renew_lease,
    reserve_request,
)
from aiida_finales.broker.state import State, read_state
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.capability import list_capabilities
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import AccessError, InputError, UnknownCapabilityError, UnknownNodeError
from aiida_finales.operations.request.documents import expand_formulations
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.server.access.users import User
from aiida_finales.server.finales.documents import RequestBody, read_uuid


def demand_role(user: User, *roles: str) -> None:
    """Refuse a user without one of these roles.

    :raises AccessError: naming the roles that may.
    """
    if not user.has_role(*roles):
        able = " or ".join(dict.fromkeys((*roles, "admin")))
        raise AccessError(f"{user.name} may not do this: it needs the role {able}")


def store_request(body: RequestBody, user: User) -> tuple[str, int]:
    """Store a request and offer it; return its UUID and pk. Its process is submitted later.

    :raises InputError: when it cannot be accepted, in the published words where there are any.
    :raises LimitationError: when no active tenant can ever serve it.
    """
    demand_role(user, "requester", "operator")
    return repeat_while_locked(partial(_store_request, body, user))


def _store_request(body: RequestBody, user: User) -> tuple[str, int]:
    methods = list(dict.fromkeys(body.methods))
    requester = read_uuid(body.tenant_uuid, "tenant_uuid")
    parent = None if body.parent is None else find_request_row(body.parent).uuid
    # one transaction: node, state and history are stored together or not at all, and AiiDA reads each node once
    # instead of once for every attribute
    with get_manager().get_profile_storage().transaction():
        try:
            _demand_parameters(methods, body.parameters)
            parameters, given = expand_formulations(body.parameters)
            request = RequestData(body.quantity, parameters, requester, methods, parent=parent, given=given)
        except InputError:
            demand_known(body.quantity, methods)
            raise
        post_request(request, user.who, needs_process=True)
        return request.uuid, int(request.pk)


def demand_known(quantity: str, methods: Iterable[str]) -> None:
    """Refuse a quantity or a method that nobody registered, in the published words.

    :raises UnknownCapabilityError: naming it.
    """
    known = {(node.quantity, node.method) for node in list_capabilities()}
    if canonical_capability(quantity, "")[0] not in {name for name, _ in known}:
        raise UnknownCapabilityError(f"No records for this quantity: {quantity}")
    for method in methods:
        if canonical_capability(quantity, method) not in known:
            raise UnknownCapabilityError(f"No records for this method: {method}")


def find_request_row(identifier: str) -> Row:
    """Return a request by its UUID.

    :raises UnknownNodeError: when there is none.
    """
    row = find_row(RequestData.class_node_type, read_uuid(identifier))
    if row is None:
        raise UnknownNodeError(f"No request with id: {identifier}")
    return row


def change_request(
    identifier: str,
    status: RequestStatus,
    user: User,
    why: str,
    lease: float | None = None,
    usual_lease: float | None = None,
) -> str | None:
    """Change the status of a request as a client may; return who held it before when it was retracted.

    :param lease: s, of a reservation; ``None``: as its tenant's settings say.
    :param usual_lease: s, where these say nothing; ``None``: it does not run out.
    :raises UnknownNodeError: when there is no such request.
    :raises AccessError: when the user may not do this.
    :raises StatusError: when it cannot be done any more, or somebody else holds it.
    """
    row = find_request_row(identifier)
    state = read_current_state(row.pk)
    if status == RequestStatus.RESERVED:
        demand_role(user, "tenant")
        candidate = find_own_candidate(state, user)
        wanted = (lease, find_lease(row.pk, candidate), usual_lease)
        chosen = next((seconds for seconds in wanted if seconds is not None), None)
        reserve_request(row.pk, user.who, candidate, lease=chosen, why=why or "reserved")
    elif status == RequestStatus.PENDING:
        _release(row.pk, state, user, why or "given back")
    elif status == RequestStatus.RETRACTED:
        _retract(row.pk, state, user, why or "taken back")
        return str(state.get("holder") or "")
    else:
        raise InputError(
            f"It is not possible to change the status to {status.value}, since this is handled entirely on the "
            f"server side"
        )
    return None


def read_current_state(pk: int) -> State:
    """Return the state of a request, offered again when the lease of its holder has run out."""
    state = read_state(pk)
    return read_state(pk) if is_expired(state) and expire_lease(pk) else state


def give_sign_of_life(identifier: str, user: User, lease: float) -> State:
    """Renew the lease of a reservation.

    :raises AccessError: when somebody else holds it.
    :raises StatusError: when nobody holds it.
    """
    row = find_request_row(identifier)
    _demand_own(read_state(row.pk), user)
    return renew_lease(row.pk, user.who, lease)


def ask_operator(identifier: str, user: User, why: str) -> State:
    """Keep a reservation until an operator has looked at the device.

    :raises AccessError: when somebody else holds it.
    :raises StatusError: when nobody holds it.
    """
    row = find_request_row(identifier)
    _demand_own(read_state(row.pk), user)
    return mark_needs_operator(row.pk, user.who, why)


def _demand_own(state: State, user: User) -> None:
    if state.get("holder") not in (None, user.who):
        raise AccessError(f"{user.name} does not hold the request: {name_holder(state)} does, since {state['since']}")


def find_own_candidate(state: State, user: User, method: str | None = None, tenant: str = "") -> Candidate:
    """Return as which tenant a user can serve a request.

    :param method: only by this one.
    :param tenant: UUID of the one that is meant, of several for which the user acts; others are no error.
    :raises AccessError: when the user acts for no tenant that can.
    """
    own = [
        candidate
        for candidate in read_candidates(state)
        if candidate.tenant in user.tenants and candidate.kind != "internal" and method in (None, candidate.method)
    ]
    if own:
        return next((candidate for candidate in own if candidate.tenant == tenant), own[0])
    by = f" by {method}" if method else ""
    raise AccessError(
        f"{user.name} acts for no tenant that can serve this request{by}; tenants of {user.name}: "
        f"{', '.join(user.tenants) or 'none'}"
    )


def _release(pk: int, state: State, user: User, why: str) -> None:
    is_operator = user.has_role("operator")
    if not is_operator and state.get("status") == RequestStatus.RESERVED.value and state.get("holder") != user.who:
        raise AccessError(f"{user.name} does not hold the request: {name_holder(state)} does, since {state['since']}")
    if state.get("status") == RequestStatus.PENDING.value:
        demand_role(user, "tenant", "operator")
    release_request(pk, user.who, why, is_operator=is_operator)


def _retract(pk: int, state: State, user: User, why: str) -> None:
    if not user.has_role("operator") and state.get("poster") != user.who:
        raise AccessError(f"{user.name} may not take back what {state.get('poster', 'somebody else')} asked for")
    if state.get("status") != RequestStatus.RETRACTED.value:
        retract_request(pk, user.who, why)


def _demand_parameters(methods: list[str], parameters: dict[str, Any]) -> None:
    """Refuse methods and parameters that do not fit together, in the published words."""
    if not methods or not parameters:
        raise InputError("methods and parameters are empty, but accepted is at least one method with its parameters")
    for method in methods:
        if method not in parameters:
            raise InputError(f"Method {method} not found in parameters: {list(parameters)}")
        if not isinstance(parameters[method], dict):
            raise InputError(f"parameters of {method} are {parameters[method]!r}, but accepted is an object")
    for key in parameters:
        if key not in methods:
            raise InputError(f"Method for params with key {key} not found in list: {methods}")


def load_request(identifier: str) -> RequestData:
    """Return the node of a request by its UUID.

    :raises UnknownNodeError: when there is none.
    """
    return orm.load_node(find_request_row(identifier).pk)
