"""What goes on in the laboratory: campaigns, samples, and what waits for people."""

from __future__ import annotations

from typing import Annotated

from aiida import orm
from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field

from aiida_finales.broker.requests import open_states
from aiida_finales.broker.samples import SampleSelection
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.sample import find_sample
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import AccessError
from aiida_finales.operations.campaign.listing import describe_campaigns
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.words import describe_overview, open_lines, table_rows
from aiida_finales.operations.origin.genealogy import describe_samples, detail_sample
from aiida_finales.operations.request.people import (
    demand_task,
    describe_tasks,
    find_tasks,
    finish_transport,
    refuse_task,
)
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep, UserDep
from aiida_finales.server.finales.documents import PlainObject, PlainText, demand_plain
from aiida_finales.server.finales.requests import load_request

router = APIRouter(prefix="/v1", tags=["laboratory"])


class DoneBody(BaseModel):
    """What a person says about a task that is done."""

    samples: Annotated[list[str], BeforeValidator(demand_plain)] = Field(
        default=[], description="what is on the labels"
    )
    location: PlainObject | None = Field(None, description="where they are, if not at the destination")


class RefusalBody(BaseModel):
    """Why a task will not be done."""

    reason: PlainText = Field(min_length=1, max_length=2000)


Limit = Annotated[int | None, Query(ge=1, le=100_000, description="so many at most; all unless it is said")]
Offset = Annotated[int, Query(ge=0, le=2**40, description="leave out the first so many")]
NewestFirst = Annotated[bool, Query(description="the latest come first")]


@router.get("/campaigns")
async def list_campaigns(context: ContextDep, _: UserDep, limit: Limit = None) -> list[Json]:
    """Return the campaigns: what runs, the best so far, why it stopped."""
    return await context.orm.call(describe_campaigns, limit)


@router.get("/campaigns/{name}")
async def get_campaign(name: str, context: ContextDep, _: UserDep) -> Json:
    """Return one campaign with its evaluations and what is under way."""

    def find() -> Json:
        overview = read_overview(CampaignGroup.find(name))
        found = {**describe_overview(overview), "under_way": open_lines(overview)}
        return {**found, "evaluations_made": table_rows(overview)}

    return await context.orm.call(find)


@router.get("/samples")
async def get_samples(  # noqa: PLR0913, PLR0917 - one argument per parameter of the address
    context: ContextDep,
    _: UserDep,
    kind: str | None = None,
    status: str | None = None,
    at: str | None = None,
    limit: Limit = None,
    offset: Offset = 0,
    newest_first: NewestFirst = False,
) -> list[Json]:
    """Return samples with their place and whether they can be trusted."""
    wanted = SampleSelection(kind, status, at)
    return await context.orm.call(lambda: describe_samples(wanted, limit, offset, newest_first=newest_first))


@router.get("/samples/{identity}")
async def get_sample(identity: str, context: ContextDep, _: UserDep) -> Json:
    """Return a sample: content, place, what it was made of and used for, its history."""
    return await context.orm.call(lambda: detail_sample(find_sample(identity)))


@router.get("/tasks")
async def get_tasks(context: ContextDep, _: UserDep, limit: Limit = None, offset: Offset = 0) -> list[Json]:
    """Return what waits for people, what waits longest first."""
    return await context.orm.call(lambda: describe_tasks(find_tasks(open_states()), limit, offset))


@router.post("/tasks/{uuid}/done")
async def finish_task(uuid: str, body: DoneBody, context: ContextDep, user: UserDep) -> str:
    """Say that samples were carried."""

    def finish() -> int:
        request = load_request(uuid)
        person = demand_own_task(request, user)
        finish_transport(request, person, user.who, samples=tuple(body.samples), location=body.location)
        return int(request.pk)

    context.background.wake(await context.orm.call(finish))
    return "done"


@router.post("/tasks/{uuid}/refuse")
async def decline_task(uuid: str, body: RefusalBody, context: ContextDep, user: UserDep) -> str:
    """Say that a task will not be done, and why."""

    def refuse() -> str:
        request = load_request(uuid)
        return refuse_task(request, demand_own_task(request, user), user.who, body.reason)

    return await context.orm.call(refuse)


def demand_own_task(request: orm.Data, user: User) -> TenantData:
    """Return for whom a task is, if this user acts for them.

    :raises StatusError: when nobody waits for it, or it is not for people.
    :raises AccessError: when the user acts for somebody else.
    """
    person = demand_task(request)
    if not user.has_role("operator") and person.tenant_uuid not in user.tenants:
        raise AccessError(f"{user.name} does not act for {person.name}, for whom this task is")
    return person
