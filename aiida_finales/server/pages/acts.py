"""What people do with requests and results that are there: take back, release, settle, declare wrong; each by role."""

from __future__ import annotations

from fastapi import Request, Response

from aiida_finales.broker.state import State, read_state
from aiida_finales.broker.status import RequestStatus, ResultStatus, published_status
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.request.answering import settle
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.finales.documents import demand_plain
from aiida_finales.server.finales.requests import change_request, demand_role, load_request
from aiida_finales.server.finales.results import change_result
from aiida_finales.server.pages.page import go_to, new_router
from aiida_finales.server.pages.session import ProofDep, ViewerDep
from aiida_finales.server.v1.requests import load_result

router = new_router()

#: characters of a reason
LONGEST = 2000
OPEN = (RequestStatus.PENDING.value, RequestStatus.RESERVED.value)


def acts_of_request(state: State, user: User) -> list[str]:
    """Return what a user may do with a request now: ``retract``, ``release``, ``settle``."""
    status, holder = published_status(state), str(state.get("holder") or "")
    is_operator = user.has_role("operator")
    acts = []
    if state.get("needs_operator") and is_operator and holder.startswith("process:"):
        acts.append("settle")
    if status == RequestStatus.RESERVED.value and (is_operator or holder == user.who):
        acts.append("release")
    if status in OPEN and (is_operator or state.get("poster") == user.who):
        acts.append("retract")
    return acts


def acts_of_result(result: ResultData, state: State, user: User) -> list[str]:
    """Return what a user may do with a result now: ``delete``, ``amend``."""
    if not user.has_role("operator") and result.tenant_uuid not in user.tenants:
        return []
    return ["amend"] if state.get("status") == ResultStatus.DELETED.value else ["delete", "amend"]


@router.post("/requests/{uuid}/retract", dependencies=[ProofDep])
async def retract(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Take a request back; what serves it is stopped."""
    why = await _read_reason(request)

    def change() -> tuple[int, str]:
        pk = pk_of(load_request(uuid))
        before = read_state(pk)
        holder = change_request(uuid, RequestStatus.RETRACTED, user, why)
        _demand_new(RequestStatus.RETRACTED, before)
        return pk, holder or ""

    pk, holder = await context.orm.call(change)
    context.background.stop_serving(pk, holder, why)
    return go_to(f"/pages/requests/{uuid}")


@router.post("/requests/{uuid}/release", dependencies=[ProofDep])
async def release(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Offer a request again that somebody holds."""
    why = await _read_reason(request)

    def change() -> None:
        before = read_state(pk_of(load_request(uuid)))
        change_request(uuid, RequestStatus.PENDING, user, why)
        _demand_new(RequestStatus.PENDING, before)

    await context.orm.call(change)
    return go_to(f"/pages/requests/{uuid}")


@router.post("/requests/{uuid}/settle", dependencies=[ProofDep])
async def settle_request(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Tell the device's journal what an operator found, and let the request go on."""
    why, outcome = await _read_reason(request), str((await request.form()).get("outcome", ""))
    demand_role(user, "operator")
    if outcome not in ("done", "not-done"):
        raise InputError("what was found is not chosen, accepted is that the device acted, or that it did not")
    await context.orm.call(lambda: settle(load_request(uuid), user.name, outcome, why))
    return go_to(f"/pages/requests/{uuid}")


@router.post("/results/{uuid}/delete", dependencies=[ProofDep])
async def delete(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Declare that a result must not be used; nothing is removed."""
    why = await _read_reason(request)

    def change() -> None:
        before = read_state(pk_of(load_result(uuid)))
        change_result(uuid, ResultStatus.DELETED, user, why)
        _demand_new(ResultStatus.DELETED, before)

    await context.orm.call(change)
    return go_to(f"/pages/results/{uuid}")


@router.post("/results/{uuid}/amend", dependencies=[ProofDep])
async def amend(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Declare that a result was corrected, is good again, or that another one counts instead."""
    why, replacement = await _read_reason(request), str((await request.form()).get("replacement", "")).strip()
    await context.orm.call(change_result, uuid, ResultStatus.AMENDED, user, why, replacement)
    return go_to(f"/pages/results/{uuid}")


def _demand_new(status: RequestStatus | ResultStatus, before: State) -> None:
    """Refuse what was so already: clients may repeat a call, but a person would believe that the reason was kept.

    Called after the call, which changes nothing then, and says first who may not do this.

    :raises StatusError: saying since when it is so, and why.
    """
    if before.get("status") == status.value:
        said = f": {before['reason']}" if before.get("reason") else ""
        raise StatusError(
            f"nothing was changed: it is {before.get('status')} already, since {before.get('since')}{said}"
        )


async def _read_reason(request: Request) -> str:
    """Return why something is done; whoever comes later reads it in the history.

    :raises InputError: when no reason is given.
    """
    why = str((await request.form()).get("reason", "")).strip()[:LONGEST]
    if not why:
        raise InputError("no reason was given, accepted is one sentence: whoever comes later reads it in the history")
    try:
        checked: str = demand_plain(why)
    except ValueError as error:
        raise InputError(f"the reason cannot be kept: {error}") from error
    return checked


#: what is written beside each act
WORDS: dict[str, Json] = {
    "retract": {
        "title": "Take it back",
        "hint": "Nobody serves it any more; what works on it is stopped, down to the device.",
        "is_grave": True,
    },
    "release": {
        "title": "Offer it again",
        "hint": "Look first whether the holder has begun: somebody else will do it again.",
        "is_grave": True,
    },
    "settle": {
        "title": "Settle what the device did",
        "hint": "Look at the device. Done: it does not act again, its result is lost. Not done: it acts.",
        "is_grave": False,
    },
    "delete": {
        "title": "Declare it wrong",
        "hint": "Nothing is removed. What was derived from it is marked, and optimisers stop learning from it.",
        "is_grave": True,
    },
    "amend": {
        "title": "Declare it corrected",
        "hint": "It counts from now on, or another one does instead. A rating belongs to the result, since optimisers "
        "learn by it: to rate it otherwise, post the result anew with your rating, and name that one here.",
        "is_grave": False,
    },
}
