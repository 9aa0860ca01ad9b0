"""Who holds a request: reserve, renew, release, answer, resolve. One holder, never two.

A reservation is held by a *holder*: the tenant's own name for a client (an external tenant or a person), or
``process:<uuid>`` for a process of this engine. A reservation carries a lease only when its holder, its tenant or the
server asks for one: a device that works for a week must not lose its request to a second one. When a lease runs out the
request is offered again; a holder without lease that is silent for long is shown, and a person releases it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiida_finales.broker.listing import read_attributes
from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.queue import LONGEST_PAUSE, find_own_slots, offer_name
from aiida_finales.broker.requests import OPEN, demand_own, name_holder, read_candidates
from aiida_finales.broker.state import Slot, State, change_state, read_state
from aiida_finales.broker.status import RequestStatus, check_request_change, published_status
from aiida_finales.data.active import is_imported, read_stored
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import HeldError, InputError, StatusError
from aiida_finales.schemas.moment import timestamp

#: s without a sign of life after which a holder is shown as silent; a tenant's setting ``silence_s`` replaces it
SILENCE = 86400.0
#: s of it where work takes weeks and nothing is heard meanwhile
LONG_SILENCE = {"capacity": 30 * 86400.0, "degradationEOL": 30 * 86400.0}


@dataclass(frozen=True)
class Reservation:
    """What a holder was given.

    :param attempt: counts the reservations of this request from 1.
    """

    holder: str
    tenant: str
    node: str
    method: str
    attempt: int


def reserve_request(
    pk: int, holder: str, candidate: Candidate, *, lease: float | None = None, why: str = "reserved"
) -> Reservation:
    """Hold a request for a tenant; holding what one holds already renews the lease.

    :param lease: seconds until it is offered again; ``None``: it is kept until it is answered or given back.
    :raises HeldError: when somebody else holds it; names the holder and since when.
    :raises StatusError: when it cannot be reserved, the tenant cannot serve it (any more), or has no free slot.
    """
    demand_own(pk)

    def decide(state: State) -> tuple[State, str, str]:
        if state.get("status") == RequestStatus.RESERVED.value and state["holder"] != holder:
            raise HeldError(f"the request is held by {name_holder(state)} since {state['since']}")
        check_request_change(published_status(state), RequestStatus.RESERVED)
        renewed = state["status"] == RequestStatus.RESERVED.value
        if not renewed and candidate not in read_candidates(state):
            raise StatusError(f"tenant {candidate.tenant} cannot serve the request (any more) by {candidate.method}")
        new = {
            **state,
            "status": RequestStatus.RESERVED.value,
            "since": state["since"] if renewed else timestamp(),
            "holder": holder,
            "tenant": candidate.tenant,
            "node": candidate.node,
            "method": candidate.method,
            "attempt": state["attempt"] if renewed else state["attempt"] + 1,
            "heard": timestamp(),
            "lease_until": None if lease is None else time.time() + lease,
        }
        return new, holder, "renewed" if renewed else why

    # the slots of an internal tenant are counted in the same statement that reserves
    slot = (
        Slot(RequestData.class_node_type, candidate.tenant, candidate.slots) if candidate.kind == "internal" else None
    )
    if read_state(pk).get("holder") == holder:
        slot = None
    return _reservation(change_state(pk, decide, slot))


def reserve_for_process(pk: int, process_uuid: str) -> Reservation | None:
    """Hold a request for the first internal tenant that has a free slot which no older request waits for, if any."""
    holder = f"process:{process_uuid}"
    state = read_state(pk)
    if state.get("status") not in OPEN or is_imported(pk):
        return None
    if state["status"] == RequestStatus.RESERVED.value:
        is_mine = state["holder"] == holder and not state.get("needs_operator")
        return _reservation(state) if is_mine else None
    for candidate in find_own_slots(pk, state):
        try:
            return reserve_request(pk, holder, candidate, why="an internal tenant has a free slot")
        except StatusError:
            continue  # somebody was faster: the next tenant, or wait
    return None


def find_lease(pk: int, candidate: Candidate) -> float | None:
    """Return for how many seconds a tenant is to hold a request, by its setting ``lease_s``, if it has that."""
    return _find_setting(candidate.node, read_attributes([pk])[pk]["quantity"], candidate.method, "lease_s")


def silent_since(quantity: str, state: State) -> str | None:
    """Return since when (UTC, ISO 8601) nothing was heard of the holder of a request, if that is too long ago.

    The life of a process of this engine is watched otherwise, and one who waits for an operator has spoken.
    """
    holder, heard = str(state.get("holder") or ""), str(state.get("heard") or state.get("since") or "")
    is_waited_for = state.get("status") == RequestStatus.RESERVED.value and not state.get("answer")
    if not is_waited_for or state.get("needs_operator") or holder.startswith("process:") or not heard:
        return None
    own = _find_setting(str(state.get("node")), quantity, str(state.get("method")), "silence_s")
    patience = LONG_SILENCE.get(quantity, SILENCE) if own is None else own
    return heard if time.time() - datetime.fromisoformat(heard).timestamp() > patience else None


def _find_setting(node: str, quantity: str, method: str, name: str) -> float | None:
    """Return a setting of the version of a tenant that was asked for this; ``None``: it has none."""
    tenant = read_stored([node]).get(node)
    offers = tenant.attributes["offers"] if tenant else ()
    for offer in offers:
        if (offer["quantity"], offer["method"]) == (quantity, method):
            value = (offer.get("settings") or {}).get(name)
            return None if value is None else float(value)
    return None


def renew_lease(pk: int, holder: str, lease: float) -> State:
    """Give a sign of life.

    :param lease: s from now until the request is offered again.
    :raises StatusError: when the caller does not hold the request (any more).
    """

    def decide(state: State) -> tuple[State, str, str]:
        _demand_holder(state, holder)
        return (
            {**state, "heard": timestamp(), "lease_until": time.time() + lease},
            holder,
            f"lease renewed for {lease:.0f} s",
        )

    return change_state(pk, decide)


def postpone_request(pk: int, holder: str, why: str, pause: float, patience: float) -> bool:
    """Give a request back because the device is busy or away; its tenant is not given it before a pause is over.

    Other tenants may take it at once. Giving back what is pending already changes nothing.

    :param pause: s; doubles each time, up to :data:`~aiida_finales.broker.queue.LONGEST_PAUSE`.
    :param patience: s after the first time until it is given up.
    :returns: whether it is pending; otherwise it is reserved as before, and its holder should give it up.
    :raises StatusError: when somebody else holds it or it is closed.
    """

    def decide(state: State) -> tuple[State, str, str] | None:
        if state.get("status") == RequestStatus.PENDING.value:
            return None
        _demand_holder(state, holder)
        moment, away = time.time(), dict(state.get("away", {}))
        record = away.get(state["tenant"], {"times": 0, "since": moment})
        if moment - record["since"] > patience:
            return None
        # two to the power of ten is beyond the longest pause of any sensible first one, and of no float's range
        wait = min(pause * 2.0 ** min(record["times"], 10), LONGEST_PAUSE)
        away[state["tenant"]] = {**record, "times": record["times"] + 1, "until": moment + wait, "why": why}
        return {**_offered_again(state), "away": away}, holder, f"{why}; again in {wait:.0f} s"

    return bool(change_state(pk, decide)["status"] == RequestStatus.PENDING.value)


def release_request(pk: int, holder: str, why: str, *, is_operator: bool = False, has_failed: bool = False) -> State:
    """Give a request back; it is pending again. Giving back what is pending already changes nothing.

    :param has_failed: whether the tenant tried and failed: others go first then.
    :param is_operator: whether ``holder`` is an operator, who may give back what others hold.
    :raises StatusError: when somebody else holds it or it is closed, or answered.
    """

    def decide(state: State) -> tuple[State, str, str] | None:
        if state.get("status") == RequestStatus.PENDING.value:
            return None
        _demand_holder(state, state.get("holder") if is_operator else holder)
        new = _offered_again(state)
        if has_failed:
            new["failed"] = [*state.get("failed", []), offer_name(state["tenant"], state["method"])]
        return new, holder, why

    return change_state(pk, decide)


def expire_lease(pk: int) -> bool:
    """Offer a request again when the lease of its holder has run out; return whether it had."""
    expired = False

    def decide(state: State) -> tuple[State, str, str] | None:
        nonlocal expired
        expired = is_expired(state)
        if not expired:
            return None
        return _offered_again(state), "broker", f"the lease of {state['holder']} has run out"

    change_state(pk, decide)
    return expired


def is_expired(state: State) -> bool:
    """Return whether the holder's lease has run out without an answer.

    One that waits for an operator does not run out: the device may have acted, and somebody else would act again.
    """
    until = state.get("lease_until")
    is_waited_for = state.get("status") == RequestStatus.RESERVED.value and not state.get("needs_operator")
    return is_waited_for and until is not None and until < time.time() and not state.get("answer")


def mark_needs_operator(pk: int, holder: str, why: str) -> State:
    """Keep a request reserved until an operator has looked at the device: release it or answer it.

    :raises StatusError: when the caller does not hold the request.
    """

    def decide(state: State) -> tuple[State, str, str]:
        _demand_holder(state, holder)
        return {**state, "needs_operator": why}, holder, f"needs an operator: {why}"

    return change_state(pk, decide)


def resume_request(pk: int, who: str, why: str) -> State:
    """Let the process that holds a request go on after an operator has looked at the device: it asks with the same key.

    :raises StatusError: when no operator is waited for.
    """

    def decide(state: State) -> tuple[State, str, str]:
        _demand_holder(state, state.get("holder"))
        if not state.get("needs_operator"):
            raise StatusError(f"the request is held by {name_holder(state)}, and no operator is waited for")
        return {**state, "needs_operator": None}, who, why

    return change_state(pk, decide)


def answer_request(
    pk: int, holder: str, answer: dict[str, Any], candidate: Candidate | None = None, *, is_operator: bool = False
) -> State:
    """Hand in the answer of an external tenant or a person; the process of the request makes the result of it.

    An answer to a pending request reserves it at the same time. The same answer handed in again changes nothing.

    :param answer: ``method``, ``data``, ``parameters`` and whether it is ``simulated``.
    :param candidate: who answers: when the request is not reserved yet, or by another tenant of the same holder.
    :param is_operator: whether ``holder`` is an operator, who may answer what others hold.
    :raises InputError: when no result can be made of the answer.
    :raises HeldError: when somebody else holds the request.
    :raises StatusError: when it is closed, or answered already with other data.
    """
    _check_answer(pk, answer)

    def decide(state: State) -> tuple[State, str, str] | None:
        if state.get("answer") == answer and (is_operator or state.get("holder") == holder):
            return None
        if state.get("answer"):
            raise StatusError(f"the request was answered already by {name_holder(state)}: amend that result instead")
        if state.get("status") == RequestStatus.PENDING.value:
            check_request_change(state["status"], RequestStatus.RESERVED)
            state = {**state, **_holding(state, holder, candidate)}
        _demand_holder(state, state.get("holder") if is_operator else holder)
        own = {} if candidate is None else {"tenant": candidate.tenant, "node": candidate.node}
        new = {**state, **own, "answer": answer, "lease_until": None, "needs_operator": None}
        return new, holder, "answered"

    return change_state(pk, decide)


def claim_answer(pk: int, claimant: str, alive: Any) -> dict[str, Any] | None:
    """Take the right to make a result of the answer; ``None`` when another worker has it.

    After a broker reconnection two workers may run the same process; only the claimant creates the node.

    :param claimant: identity of this worker.
    :param alive: function that tells whether another claimant still lives.
    """

    def decide(state: State) -> tuple[State, str, str] | None:
        claimed = state.get("claimed")
        if not state.get("answer") or claimed == claimant or (claimed and alive(claimed)):
            return None
        return {**state, "claimed": claimant}, state["holder"], "the answer is being stored"

    state = change_state(pk, decide)
    if state.get("claimed") != claimant or not state.get("answer"):
        return None
    answer: dict[str, Any] = {**state["answer"], "tenant": state["tenant"]}
    return answer


def resolve_request(pk: int, result: ResultData, who: str) -> str:
    """Close a request with its result; the first one counts.

    :returns: UUID of the result that counts.
    :raises StatusError: when the request is not reserved.
    """

    def decide(state: State) -> tuple[State, str, str] | None:
        if state.get("status") == RequestStatus.RESOLVED.value:
            return None
        check_request_change(state.get("status"), RequestStatus.RESOLVED)
        closed = {**state, "status": RequestStatus.RESOLVED.value, "since": timestamp(), "result": result.uuid}
        return {**closed, "answer": None, "claimed": None, "lease_until": None}, who, f"result {result.uuid}"

    return str(change_state(pk, decide)["result"])


def _check_answer(pk: int, answer: dict[str, Any]) -> None:
    """Refuse what would fail when the result is made of it.

    :raises InputError: naming the key, what was given and what is accepted.
    """
    methods = read_attributes([pk])[pk]["methods"]
    if answer.get("method") not in methods:
        raise InputError(f"method is {answer.get('method')!r}, but accepted are {', '.join(methods)}")
    for key in ("data", "parameters"):
        if not isinstance(answer.get(key), dict):
            raise InputError(f"{key} is {answer.get(key)!r}, but accepted is an object")
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the answer is no JSON document (NaN and infinity are none either): {error}") from error


def _demand_holder(state: State, holder: str | None) -> None:
    if state.get("status") != RequestStatus.RESERVED.value:
        raise StatusError(f"the request is {state.get('status') or 'not posted'}, not reserved")
    if state.get("holder") != holder:
        raise HeldError(f"the request is held by {name_holder(state)} since {state['since']}, not by {holder}")


def _offered_again(state: State) -> State:
    check_request_change(published_status(state), RequestStatus.PENDING)
    cleared: dict[str, Any] = {
        "holder": None,
        "tenant": None,
        "method": None,
        "node": None,
        "heard": None,
        "lease_until": None,
        "claimed": None,
    }
    cleared["needs_operator"] = None
    return {**state, **cleared, "status": RequestStatus.PENDING.value, "since": timestamp(), "answer": None}


def _holding(state: State, holder: str, candidate: Candidate | None) -> State:
    return {
        "status": RequestStatus.RESERVED.value,
        "holder": holder,
        "tenant": candidate.tenant if candidate else None,
        "node": candidate.node if candidate else None,
        "method": candidate.method if candidate else None,
        "since": timestamp(),
        "heard": timestamp(),
        "attempt": state["attempt"] + 1,
    }


def _reservation(state: State) -> Reservation:
    return Reservation(state["holder"], state["tenant"], state["node"], state["method"], state["attempt"])
