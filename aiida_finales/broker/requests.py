"""The queue: post a request, look at what is open, retract, and check again when tenants change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiida import orm

from aiida_finales.broker.listing import CHUNK, Selection, list_request_rows
from aiida_finales.broker.matching import Candidate, demand_match, match_any
from aiida_finales.broker.queue import INSIDE, inside_of, read_open
from aiida_finales.broker.state import STATE, State, append_history, change_state, read_state
from aiida_finales.broker.status import RequestStatus, check_request_change, published_status
from aiida_finales.data.active import is_imported
from aiida_finales.data.lookup import find_node
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import name_tenants
from aiida_finales.exceptions import StatusError
from aiida_finales.schemas import Json
from aiida_finales.schemas.finales_form import NOBODY
from aiida_finales.schemas.moment import timestamp
from aiida_finales.schemas.words import count

OPEN = (RequestStatus.PENDING.value, RequestStatus.RESERVED.value)
#: key of the state of a request whose process is still to be submitted
UNSERVED = "unserved"
#: key of the state of an open request: when a change of the tenants left nobody who can serve it
ORPHANED = "orphaned"
ELSEWHERE = "came with a package, and belongs to the platform that it was posted on"
NOBODY_LEFT = "no active tenant can serve it any more"


def post_request(
    request: RequestData,
    who: str,
    *,
    candidates: list[Candidate] | None = None,
    needs_process: bool = False,
    may_wait: bool = False,
) -> RequestData:
    """Offer a request to the tenants; posting it again changes nothing.

    A request that is not stored yet is stored together with its state: there is never one without the other.

    :param candidates: who can serve it, where that was looked up already.
    :param needs_process: whether somebody will submit its process later: see :func:`find_unserved`.
    :param may_wait: whether it is posted also when nobody can serve it now: its tenants may come back.
    :raises LimitationError: when no active tenant can ever serve it; an unstored request is then not stored.
    """
    if request.is_stored and read_state(request.pk):
        return request
    if candidates is None:
        candidates = (match_any if may_wait else demand_match)(request.quantity, request.parameters)
    state = _first_state(candidates, who)
    why = f"posted; {count(len(state['candidates']), 'tenant')} can serve it"
    if needs_process:
        state[UNSERVED] = True
    if request.is_stored:
        change_state(request.pk, lambda found: None if found else (state, who, why))
        return request
    request.base.extras.set_many({STATE: {**state, "serial": 0}})
    request.store()
    append_history(request.pk, who=who, before=None, after=state["status"], why=why)
    return request


def find_unserved() -> list[int]:
    """Return the pks of the open requests whose process is still to be submitted, oldest first."""
    return [pk for pk, state in open_states().items() if state.get(UNSERVED) is True]


def mark_served(pk: int, who: str, why: str) -> None:
    """Note that the process of a request was submitted."""

    def decide(state: State) -> tuple[State, str, str] | None:
        if not state.get(UNSERVED):
            return None
        return {key: value for key, value in state.items() if key != UNSERVED}, who, why

    change_state(pk, decide)


def _first_state(candidates: list[Candidate], who: str) -> State:
    return {
        "status": RequestStatus.PENDING.value,
        "since": timestamp(),
        "poster": who,
        "holder": None,
        "tenant": None,
        "attempt": 0,
        "candidates": [candidate.to_dict() for candidate in candidates],
        INSIDE: inside_of(candidates),
    }


def demand_own(pk: int) -> None:
    """Refuse to act on a request that came with an archive.

    :raises StatusError: naming what to do instead.
    """
    if is_imported(pk):
        raise StatusError(f"request <{pk}> {ELSEWHERE}: post it again to have it served here")


def retract_request(pk: int, who: str, why: str, *, has_unusable_answer: bool = False) -> State:
    """Take a request back; it is then served by nobody.

    :param has_unusable_answer: no result can be made of its answer, which otherwise counts.
    :raises StatusError: when it is resolved or retracted already, or has an answer.
    """
    demand_own(pk)

    def decide(state: State) -> tuple[State, str, str]:
        current = state.get("status") if has_unusable_answer else published_status(state)
        check_request_change(current, RequestStatus.RETRACTED)
        new = {
            **state,
            "status": RequestStatus.RETRACTED.value,
            "since": timestamp(),
            "holder": None,
            "lease_until": None,
        }
        return {**new, "reason": why}, who, why

    return change_state(pk, decide)


def list_requests(
    status: tuple[str, ...] | None = None, quantity: str | None = None, limit: int | None = None
) -> list[tuple[RequestData, State]]:
    """Return requests with their current state, in the order in which they were posted.

    :param status: only these statuses, as they are told to people; all when ``None``.
    :param limit: the latest so many.
    """
    rows = list_request_rows(Selection(statuses=status, quantity=quantity, limit=limit, newest_first=True))
    pks = [row.pk for row in rows]
    found: list[tuple[RequestData, State]] = []
    for start in range(0, len(pks), CHUNK):
        filters = {"id": {"in": pks[start : start + CHUNK]}}
        query = orm.QueryBuilder().append(RequestData, filters=filters, project=["*", f"extras.{STATE}"], tag="request")
        found += query.order_by({"request": {"id": "desc"}}).all()
    return [(node, dict(state)) for node, state in reversed(found)]


def load_requests(pks: Iterable[int]) -> list[RequestData]:
    """Return requests by pk, in the order in which they were posted."""
    ordered, found = sorted(pks), list[RequestData]()
    for start in range(0, len(ordered), CHUNK):
        filters = {"id": {"in": ordered[start : start + CHUNK]}}
        query = orm.QueryBuilder().append(RequestData, filters=filters, tag="request")
        found += query.order_by({"request": {"id": "asc"}}).all(flat=True)
    return found


def read_requests(pks: Iterable[int]) -> dict[int, tuple[str, Json]]:
    """Return the UUIDs and the attributes of requests by pk; no node is loaded."""
    ordered, found = sorted(pks), dict[int, tuple[str, Json]]()
    for start in range(0, len(ordered), CHUNK):
        filters = {"id": {"in": ordered[start : start + CHUNK]}}
        query = orm.QueryBuilder().append(RequestData, filters=filters, project=["id", "uuid", "attributes"])
        found |= {pk: (uuid, content) for pk, uuid, content in query.all()}
    return found


def open_states() -> dict[int, State]:
    """Return the states of all pending and reserved requests by pk, oldest first; none of those of other platforms."""
    return read_open()


def find_request(identifier: str) -> RequestData:
    """Return a request by pk, UUID or the beginning of its UUID.

    :raises UnknownNodeError: when there is no such request.
    """
    node: RequestData = find_node(identifier, RequestData, "request", "see 'aiida-finales request list'")
    return node


def find_children(request: RequestData) -> list[RequestData]:
    """Return the requests that are steps of a request, in the order in which they were made."""
    return load_requests(row.pk for row in list_request_rows(Selection(parent=request.uuid)))


def recheck_pending(who: str) -> int:
    """Match everything open with the tenants as they are now; return how many requests changed.

    What is reserved stays with its holder, but may be given back: then it is offered to whoever can serve it by now.
    """
    n_changed = 0
    for request, state in list_requests(OPEN):
        candidates = match_any(request.quantity, request.parameters)
        is_same = candidates == read_candidates(state)
        if is_same and INSIDE in state and (candidates or state.get(ORPHANED)):
            continue
        _replace_candidates(request.pk, candidates, f"checked again after {who}")
        n_changed += not is_same
    return n_changed


def _replace_candidates(pk: int, candidates: list[Candidate], why: str) -> None:
    def decide(state: State) -> tuple[State, str, str] | None:
        if state.get("status") not in OPEN:
            return None
        told = {"candidates": [item.to_dict() for item in candidates], INSIDE: inside_of(candidates)}
        new = {**state, **told, ORPHANED: None if candidates else timestamp()}
        return new, "broker", f"{why}: {count(len(candidates), 'tenant')} can serve it"

    change_state(pk, decide)


def is_orphaned(state: State) -> bool:
    """Return whether a request waits though a change of the tenants has left nobody who can serve it."""
    return state.get("status") == RequestStatus.PENDING.value and bool(state.get(ORPHANED))


def retract_orphan(pk: int, who: str) -> bool:
    """Take a request back that nobody can serve any more; return whether it is taken back."""

    def decide(state: State) -> tuple[State, str, str] | None:
        if not is_orphaned(state):
            return None
        new = {
            **state,
            "status": RequestStatus.RETRACTED.value,
            "since": timestamp(),
            "holder": None,
            "reason": NOBODY_LEFT,
        }
        return {**new, "lease_until": None}, who, NOBODY_LEFT

    after = change_state(pk, decide)
    return after["status"] == RequestStatus.RETRACTED.value and after.get("reason") == NOBODY_LEFT


def read_candidates(state: State) -> list[Candidate]:
    """Return the tenants that can serve a request, from its state."""
    return [Candidate.from_dict(item) for item in state.get("candidates", [])]


def name_asker(requester: str, state: State, names: Mapping[str, str] | None = None) -> str:
    """Return who asked for something, as people call them: who asks for nobody is who posted.

    :param names: of the tenants by UUID, where they are known already.
    """
    if requester and requester != NOBODY:
        return (name_tenants() if names is None else names).get(requester, requester)
    return str(state.get("poster") or "").removeprefix("user:") or "somebody without a name"


def name_holder(state: State, names: Mapping[str, str] | None = None) -> str | None:
    """Return who holds a request, as people call them: of a process of this engine that is its tenant.

    :param names: of the tenants by UUID, where they are known already.
    """
    holder = state.get("holder")
    if holder is None or not str(holder).startswith("process:"):
        return holder
    tenant = str(state.get("tenant") or "")
    return (name_tenants() if names is None else names).get(tenant, tenant) or str(holder)
