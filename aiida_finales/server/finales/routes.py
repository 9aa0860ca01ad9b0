"""The published platform's interface; paths work with and without a slash at the end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response

from aiida_finales.broker.listing import Row, Selection, find_row, list_request_rows, list_result_rows
from aiida_finales.broker.status import RequestStatus, ResultStatus
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.schemas.values import is_readable
from aiida_finales.server.bodies import write_json, write_list
from aiida_finales.server.context import Context, ContextDep, UserDep
from aiida_finales.server.finales import registry
from aiida_finales.server.finales.documents import RequestBody, ResultBody, read_uuid
from aiida_finales.server.finales.requests import change_request, store_request
from aiida_finales.server.finales.results import (
    change_result,
    find_result_info,
    find_result_of,
    keep_unsolicited,
    list_answer_infos,
    store_answer,
)
from aiida_finales.server.settings import LONGEST_LEASE

router = APIRouter(tags=["published interface"])

Flag = Annotated[bool, Query(description="only what an active tenant offers now")]
LeaseQuery = Annotated[
    float | None,
    Query(gt=0, le=LONGEST_LEASE, description="s until a reservation without a sign of life ends", allow_inf_nan=False),
]
NULL = "null"


@router.post("/user_management/authenticate")
async def authenticate(
    context: ContextDep,
    request: Request,
    username: Annotated[str, Form()],
    password: Annotated[str, Form()],
    grant_type: Annotated[Literal["", "password"] | None, Form()] = None,
) -> dict[str, str]:
    """Log in; the answer is a token for the header ``Authorization: Bearer ...``."""
    address = request.client.host if request.client else "?"
    _, _, proof = request.headers.get("authorization", "").partition(" ")
    token = await context.gate.admit(username, password, address, proof)
    return {"access_token": token, "token_type": "bearer"}


@router.get("/")
async def greet(_: UserDep) -> str:
    """Say that the server runs."""
    return "Hello! This is FINALES2."


@router.get("/test")
async def who_am_i(user: UserDep) -> dict[str, Any]:
    """Say who calls."""
    return {"username": user.name, "usergroups": list(user.roles)}


@router.post("/requests")
async def post_request(body: RequestBody, context: ContextDep, user: UserDep) -> str:
    """Ask for a quantity; the answer is the UUID of the request."""
    uuid, pk = await context.orm.call(context.reading.run_as, user, store_request, body, user)
    context.background.serve(pk)
    return uuid


@router.get("/requests/{object_id}")
async def get_request(object_id: str, context: ContextDep, _: UserDep) -> Response:
    """Return a request, or null when it is not known."""

    def find() -> str:
        row = find_row(RequestData.class_node_type, read_uuid(object_id))
        return context.requests.write([row])[0] if row else NULL

    return as_json(await context.orm.call(find))


@router.get("/all_requests")
async def get_all_requests(context: ContextDep, _: UserDep) -> Response:
    """Return all requests, in the order in which they were posted."""
    return await _list_requests(context, Selection())


@router.get("/pending_requests")
async def get_pending_requests(
    context: ContextDep,
    _: UserDep,
    quantity: str | None = None,
    method: str | None = None,
    limit: Annotated[int | None, Query(ge=1, le=100_000, description="the oldest so many")] = None,
    offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
) -> Response:
    """Return what nobody holds yet, in the order in which it was posted."""
    pending = (RequestStatus.PENDING.value,)
    selection = Selection(pending, plain(quantity), plain(method), limit=limit, offset=offset)
    return await _list_requests(context, selection)


@router.post("/requests/{object_id}/update_status")
async def update_request(  # noqa: PLR0913, PLR0917 - what stands in the path and the query
    object_id: str,
    context: ContextDep,
    user: UserDep,
    new_status: RequestStatus,
    request_id: str | None = None,
    status_change_message: str = "",
    lease: LeaseQuery = None,
) -> str:
    """Reserve a request, give it back, or take it back; the UUID may be in the path or in the query."""
    identifier, why = request_id or object_id, plain(status_change_message) or ""

    def change() -> tuple[int, str | None]:
        holder = change_request(identifier, new_status, user, why, lease, context.settings.lease)
        row = find_row(RequestData.class_node_type, read_uuid(identifier))
        return (row.pk if row else 0), holder

    pk, holder = await _in_published_words(context.orm.call(change))
    if holder is not None:
        context.background.stop_serving(pk, holder, why or "retracted")
    return f"Successful change of status to {new_status.value}"


@router.post("/results/post_unsolicited_result")
async def post_unsolicited_result(body: ResultBody, context: ContextDep, user: UserDep) -> str:
    """Store a result that nobody asked for; the answer is its UUID. ``request_uuid`` is ignored."""
    return await context.orm.call(keep_unsolicited, body, user, context.settings.strict)


@router.post("/results")
async def post_result(body: ResultBody, context: ContextDep, user: UserDep) -> str:
    """Answer a request; the answer is the UUID of the result, which the process of the request makes."""

    def store() -> tuple[str, int]:
        return store_answer(body, user, context.settings.strict, context.reading.find_hidden(user))

    uuid, pk = await context.orm.call(store)
    context.background.wake(pk)
    return uuid


@router.get("/results/{object_id}")
async def get_result(object_id: str, context: ContextDep, _: UserDep) -> Response:
    """Return a result, or null when it is not known."""
    return as_json(await context.orm.call(lambda: _write_result(context, find_result_info(object_id))))


@router.get("/results_requested/{request_id}")
async def get_result_of_request(request_id: str, context: ContextDep, _: UserDep) -> Response:
    """Return the result of a request, or null when there is none yet."""
    return as_json(await context.orm.call(lambda: _write_result(context, find_result_of(request_id))))


@router.get("/results_requested")
async def get_results(
    context: ContextDep,
    _: UserDep,
    quantity: str | None = None,
    method: str | None = None,
    complete: Annotated[bool, Query(description="also results without numbers that can be read")] = False,
) -> Response:
    """Return the results, also those that were deleted, amended, or that nobody asked for.

    The published optimiser reads this list, and stops at a result without usable numbers: such ones are left out.
    """

    def write() -> str:
        rows = list_result_rows(Selection(quantity=plain(quantity), method=plain(method)))
        texts = context.results.write(rows, only_readable=not complete)
        known = {row.uuid for row in rows}
        infos = [item for item in list_answer_infos(quantity, method) if complete or _is_readable(item["result"])]
        return write_list(texts + [write_json(info) for info in infos if info["uuid"] not in known])

    return as_json(await context.orm.call(write))


@router.post("/results/{object_id}/update_status")
async def update_result(
    object_id: str,
    context: ContextDep,
    user: UserDep,
    new_status: ResultStatus,
    result_id: str | None = None,
    status_change_message: str = "",
) -> str:
    """Declare a result amended or deleted; the UUID may be in the path or in the query."""
    why = plain(status_change_message) or ""
    call = context.orm.call(change_result, result_id or object_id, new_status, user, why)
    await _in_published_words(call)
    return f"Successful change of status to {new_status.value}"


@router.get("/capabilities")
async def get_capabilities(context: ContextDep, _: UserDep, currently_available: Flag = True) -> list[dict[str, Any]]:
    """Return what can be asked for, with the schemas of parameters and results."""
    return await context.orm.call(registry.describe_capabilities, only_available=currently_available)


@router.get("/capabilities/templates")
async def get_templates(
    context: ContextDep,
    _: UserDep,
    quantity: str | None = None,
    method: str | None = None,
    currently_available: Flag = True,
) -> dict[str, Any]:
    """Return the skeletons of parameters and results."""
    return await context.orm.call(registry.make_templates, quantity, method, only_available=currently_available)


@router.get("/limitations")
async def get_limitations(context: ContextDep, _: UserDep, currently_available: Flag = True) -> list[dict[str, Any]]:
    """Return within which limitations each capability is offered."""
    return await context.orm.call(registry.describe_limitations, only_available=currently_available)


@router.get("/tenants")
async def get_tenants(context: ContextDep, _: UserDep) -> list[dict[str, Any]]:
    """Return all tenants, also those that are not active."""
    return await context.orm.call(registry.describe_tenants)


def as_json(text: str) -> Response:
    """Return a reply that is JSON already."""
    return Response(text, media_type="application/json")


def plain(text: str | None) -> str | None:
    """Return a text of a query as a database can take it."""
    return None if text is None else text.replace("\x00", "")


async def _list_requests(context: Context, selection: Selection) -> Response:
    return as_json(await context.orm.call(lambda: write_list(context.requests.write(list_request_rows(selection)))))


def _is_readable(result: dict[str, Any]) -> bool:
    return is_readable(result["quantity"], result["data"])


def _write_result(context: Context, found: Row | dict[str, Any] | None) -> str:
    if found is None:
        return NULL
    return context.results.write([found])[0] if isinstance(found, Row) else write_json(found)


async def _in_published_words(call: Any) -> Any:
    """Await a change of status; what is not known was always answered with 400 here."""
    try:
        return await call
    except UnknownNodeError as error:
        raise InputError(str(error)) from error
