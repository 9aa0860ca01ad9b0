"""Requests and results with their history and relatives; lists in parts; checks; signs of life."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from aiida import orm
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from aiida_finales.broker.listing import Row, Selection, find_row, list_request_rows, list_result_rows
from aiida_finales.broker.matching import match
from aiida_finales.broker.state import read_history
from aiida_finales.broker.status import RequestStatus, ResultStatus
from aiida_finales.data.capability import find_capability
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.operations.origin.story import trace
from aiida_finales.operations.request.documents import expand_formulations
from aiida_finales.operations.request.matching import describe_matching
from aiida_finales.operations.request.records import describe_children, describe_request, detail_request, detail_result
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import utc_text
from aiida_finales.server.bodies import Bodies, write_list
from aiida_finales.server.context import ContextDep, UserDep
from aiida_finales.server.finales.documents import PlainObject, PlainText, read_uuid
from aiida_finales.server.finales.requests import ask_operator, find_request_row, give_sign_of_life, load_request
from aiida_finales.server.finales.routes import as_json, plain
from aiida_finales.server.settings import LONGEST_LEASE

router = APIRouter(prefix="/v1", tags=["requests and results"])


#: entries of a list in one reply, at most, and unless it is asked otherwise
MOST, USUAL = 1000, 100


class Page(BaseModel):
    """Which part of a list is wanted."""

    quantity: str | None = Field(None, description="only this quantity")
    method: str | None = Field(None, description="only this method")
    since: datetime | None = Field(None, description="only what was posted after this moment (UTC without zone)")
    limit: int = Field(USUAL, ge=1, le=MOST, description="so many at most")
    offset: int = Field(0, ge=0, le=2**40, description="leave out the first so many")
    newest_first: bool = Field(False, description="the latest come first")

    def select(self, statuses: tuple[str, ...] | None) -> Selection:
        """Return what to ask the database for."""
        since = self.since
        if since is not None and since.tzinfo is None:
            since = datetime.fromisoformat(f"{since.isoformat()}+00:00")
        return Selection(
            statuses,
            plain(self.quantity),
            plain(self.method),
            since=since,
            limit=self.limit,
            offset=self.offset,
            newest_first=self.newest_first,
        )


class CheckBody(BaseModel):
    """Parameters to be matched with the limitations of the tenants."""

    quantity: PlainText
    parameters: PlainObject = Field(description="parameters per method")


class Lease(BaseModel):
    """How long a reservation is kept."""

    seconds: float = Field(3600.0, gt=0, le=LONGEST_LEASE, description="s from now")


class Trouble(BaseModel):
    """What an operator is to find out."""

    why: PlainText = Field(min_length=1, max_length=2000, description="what is not known, in a sentence")


PageDep = Annotated[Page, Query()]


@router.get("/requests")
async def list_requests(
    context: ContextDep,
    _: UserDep,
    page: PageDep,
) -> Response:
    """Return requests of every status, in the published form, in parts."""
    return await _write(context.orm, context.requests, lambda: list_request_rows(page.select(None)))


@router.get("/requests/status/{status}")
async def list_requests_of_status(status: RequestStatus, context: ContextDep, _: UserDep, page: PageDep) -> Response:
    """Return requests of one status, in the published form, in parts."""
    rows = page.select((status.value,))
    return await _write(context.orm, context.requests, lambda: list_request_rows(rows))


@router.get("/results")
async def list_results(context: ContextDep, _: UserDep, page: PageDep) -> Response:
    """Return results of every status, in the published form, in parts."""
    return await _write(context.orm, context.results, lambda: list_result_rows(page.select(None)))


@router.get("/results/status/{status}")
async def list_results_of_status(status: ResultStatus, context: ContextDep, _: UserDep, page: PageDep) -> Response:
    """Return results of one status, in the published form, in parts."""
    rows = page.select((status.value,))
    return await _write(context.orm, context.results, lambda: list_result_rows(rows))


@router.post("/requests/check")
async def check_request(body: CheckBody, context: ContextDep, _: UserDep) -> Json:
    """Say who could serve a request, or why nobody can and what is nearest; nothing is stored."""

    def check() -> Json:
        request = RequestData(body.quantity, expand_formulations(body.parameters)[0])
        return describe_matching(match(request.quantity, request.parameters))

    return await context.orm.call(check)


@router.get("/requests/{uuid}")
async def get_request(uuid: str, context: ContextDep, _: UserDep) -> Json:
    """Return everything about a request."""
    return await context.orm.call(lambda: detail_request(load_request(uuid)))


@router.get("/requests/{uuid}/history")
async def get_request_history(uuid: str, context: ContextDep, _: UserDep) -> list[Json]:
    """Return who changed the status of a request, when, from what to what, and why."""
    return await context.orm.call(lambda: _history(find_request_row(uuid).pk))


@router.get("/requests/{uuid}/children")
async def get_children(uuid: str, context: ContextDep, _: UserDep) -> list[Json]:
    """Return the requests that are steps of a request."""

    def find() -> list[Json]:
        return describe_children(load_request(uuid))

    return await context.orm.call(find)


@router.get("/requests/{uuid}/parent")
async def get_parent(uuid: str, context: ContextDep, _: UserDep) -> Json | None:
    """Return the request that this one is a step of, or null."""

    def find() -> Json | None:
        parent = load_request(uuid).parent
        return describe_request(load_request(parent)) if parent else None

    return await context.orm.call(find)


@router.post("/requests/{uuid}/heartbeat")
async def renew(uuid: str, body: Lease, context: ContextDep, user: UserDep) -> Json:
    """Give a sign of life for a request that one holds; without one it is offered again when the lease runs out."""
    state = await context.orm.call(give_sign_of_life, uuid, user, body.seconds)
    return {"holder": state["holder"], "lease_until": state["lease_until"]}


@router.post("/requests/{uuid}/needs_operator")
async def ask_for_operator(uuid: str, body: Trouble, context: ContextDep, user: UserDep) -> Json:
    """Keep a request that one holds until a person has looked at the device; its lease does not run out meanwhile."""
    state = await context.orm.call(ask_operator, uuid, user, body.why)
    return {"holder": state["holder"], "needs_operator": state["needs_operator"]}


@router.get("/results/{uuid}")
async def get_result(uuid: str, context: ContextDep, _: UserDep) -> Json:
    """Return everything about a result."""
    return await context.orm.call(lambda: detail_result(load_result(uuid)))


@router.get("/results/{uuid}/history")
async def get_result_history(uuid: str, context: ContextDep, _: UserDep) -> list[Json]:
    """Return who declared a result amended or deleted, when and why."""
    return await context.orm.call(lambda: _history(int(load_result(uuid).pk)))


@router.get("/results/{uuid}/why")
async def get_story(uuid: str, context: ContextDep, _: UserDep) -> Json:
    """Tell where a result comes from: from who asked, over the suggestion, to the raw data."""
    return await context.orm.call(lambda: trace(load_result(uuid)))


@router.get("/capabilities/{quantity}/{method}")
async def get_capability(quantity: str, method: str, context: ContextDep, _: UserDep) -> Json:
    """Return one capability with its schemas and version."""

    def find() -> Json:
        node = find_capability(quantity, method)
        schemas = {"parameters_schema": node.parameters_schema, "result_schema": node.result_schema}
        return {"quantity": node.quantity, "method": node.method, "version": node.version, **schemas}

    return await context.orm.call(find)


async def _write(thread: Any, bodies: Bodies, find: Any) -> Response:
    return as_json(await thread.call(lambda: write_list(bodies.write(find()))))


def load_result(uuid: str) -> ResultData:
    """Return a result by its UUID.

    :raises UnknownNodeError: when there is none.
    """
    row: Row | None = find_row(ResultData.class_node_type, read_uuid(uuid))
    if row is None:
        raise UnknownNodeError(f"No result with id: {uuid}")
    return orm.load_node(row.pk)


def _history(pk: int) -> list[Json]:
    return [
        {
            "time": utc_text(entry.time, "microseconds"),
            "who": entry.who,
            "from": entry.before,
            "to": entry.after,
            "why": entry.why,
        }
        for entry in read_history(pk)
    ]
