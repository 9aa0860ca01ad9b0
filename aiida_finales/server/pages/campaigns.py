"""Campaigns: how far they are, what they found, and what comes next and why."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response

from aiida_finales.broker.sight import hidden_now
from aiida_finales.calculations.suggest import describe_expected, describe_point, name_acquisition
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import ACTIVE, load, pk_of
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import count_results
from aiida_finales.exceptions import CampaignFileError, OptimiserError, StatusError
from aiida_finales.operations.campaign.charts import make_charts
from aiida_finales.operations.campaign.evaluation import count_inputs
from aiida_finales.operations.campaign.listing import CampaignRow, best_values, list_rows
from aiida_finales.operations.campaign.memory import read_state, recall_if_known, recall_overview, recall_overviews
from aiida_finales.operations.campaign.naming import name_units, variable_units
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.slices import SliceQuestion, make_slices, read_slice_question
from aiida_finales.operations.campaign.steer import describe_queue
from aiida_finales.operations.campaign.words import (
    describe_overview,
    format_rows,
    open_lines,
    progress_words,
    table_rows,
)
from aiida_finales.operations.engine.profile import keep_what_is_read
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import Chart, documents
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.pages.drawing import draw_curve
from aiida_finales.server.pages.latest import Latest, Version
from aiida_finales.server.pages.page import new_router, render
from aiida_finales.server.pages.session import ViewerDep

router = new_router()

Offset = Annotated[int, Query(ge=0, le=2**40)]

#: rows of the list on one page; results in the table of a campaign, and those that are shown without being asked for
MOST, MOST_RESULTS, LATEST = 40, 300, 5
#: members of campaigns that the list reads while somebody waits for it; what is larger is asked for row by row
MOST_MEMBERS = 2_000
#: roles that start campaigns; who started one, or an operator, steers it
STARTERS = ("requester", "operator")

_ANSWERS, _TOLD = Latest[bytes](), Latest[Json]()
#: one model is fitted at a time: it takes a second or more of all that a processor can give
_FITTING = asyncio.Lock()


def may_steer(user: User, group: CampaignGroup) -> bool:
    """Return whether somebody may stop a campaign, continue it and add to it."""
    return user.has_role("operator") or (user.has_role(*STARTERS) and group.starter == user.who)


@router.get("/campaigns")
async def show_campaigns(request: Request, context: ContextDep, user: ViewerDep, offset: Offset = 0) -> Response:
    """List the campaigns: those that failed first, then the others, the latest first."""
    rows, n_all = await context.orm.call(_list, offset)
    may_start = user.has_role(*STARTERS)
    shared: Json = {"n_all": n_all, "offset": offset, "most": MOST, "may_start": may_start}
    return render(request, "campaigns.html", user, rows=rows, **shared)


@router.get("/campaigns/{name}/row")
async def show_row(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Return a campaign as a row of the list, read anew."""
    row = await context.orm.call(_read_row, name)
    return render(request, "campaign_row.html", user, row=row, is_asked=True)


@router.get("/campaigns/{name}")
async def show_campaign(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show a campaign."""
    content = await context.orm.call(_look, name, user)
    return render(request, "campaign.html", user, name=name, **content)


@router.get("/campaigns/{name}/live")
async def refresh_campaign(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Return the part of a campaign's page that changes by itself."""
    content = await context.orm.call(_look, name, user)
    return render(request, "campaign_live.html", user, name=name, **content)


@router.get("/campaigns/{name}/tables")
async def refresh_tables(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Return the tables of a campaign's page."""
    content = await context.orm.call(_look, name, user)
    return render(request, "campaign_tables.html", user, name=name, **content)


@router.get("/campaigns/{name}/charts.json")
async def get_charts(request: Request, name: str, context: ContextDep, _: ViewerDep) -> Response:
    """Return the figures of a campaign as data."""
    version = await context.orm.call(_version_of, name, "charts")
    return await answer_once(request, version, lambda: context.orm.call(_make_charts, name))


@router.get("/campaigns/{name}/model.json")
async def get_model(request: Request, name: str, context: ContextDep, _: ViewerDep) -> Response:
    """Return what the model believes along each input, as data; a model is fitted when the campaign has changed."""
    version = await context.orm.call(_version_of, name, "model")

    async def make() -> list[Chart]:
        question = await context.orm.call(_read_question, name)
        if question is None:
            return []
        async with _FITTING:
            # beside the thread of AiiDA, which others wait for
            return await asyncio.to_thread(_fit, question)

    return await answer_once(request, version, make)


async def answer_once(request: Request, version: Version, make: Callable[[], Any]) -> Response:
    """Return charts as JSON, made only when their version is new, and sent only to who does not have them."""
    headers = {"ETag": f'"{version.tag}"', "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    answer = _ANSWERS.find(version)
    if answer is None:
        answer = json.dumps(documents(await make(), version.tag), allow_nan=False).encode()
        _ANSWERS.keep(version, answer)
    return Response(answer, media_type="application/json", headers=headers)


def _version_of(name: str, what: str) -> Version:
    group = CampaignGroup.find(name)
    seen = hidden_now()
    subject = _digest((what, group.uuid, sorted(seen.nodes), sorted(seen.groups)))
    return Version(subject, _digest((subject, read_state(group))))


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:24]


def _make_charts(name: str) -> list[Chart]:
    try:
        return make_charts(recall_overview(CampaignGroup.find(name)), "/pages/results")
    except CampaignFileError:  # it has not started
        return []


def _read_question(name: str) -> SliceQuestion | None:
    try:
        return read_slice_question(name)
    except (CampaignFileError, StatusError):  # it has not started, or knows too little
        return None


def _fit(question: SliceQuestion) -> list[Chart]:
    try:
        return make_slices(question)
    except OptimiserError:  # nothing that its model could use
        return []


def _list(offset: int) -> tuple[list[Json], int]:
    """Return a page of the list: what is known of what each has found, or is read at once; large ones are left out."""
    rows = list_rows()
    return _describe_rows(rows[offset : offset + MOST]), len(rows)


def list_latest(limit: int) -> list[Json]:
    """Return campaigns as rows likewise, those that run first, then the latest first."""
    return _describe_rows(sorted(list_rows(), key=lambda row: (row.state not in ACTIVE, -row.pk))[:limit])


def _describe_rows(rows: Sequence[CampaignRow]) -> list[Json]:
    found = recall_overviews({row.group: row.uuid for row in rows}, MOST_MEMBERS)
    return [_describe(row, found.get(row.group) or recall_if_known(row.uuid)) for row in rows]


def _describe(row: CampaignRow, found: Overview | CampaignFileError | None) -> Json:
    """Return a campaign as a row; ``unread`` is why what it has found cannot be read."""
    overview = found if isinstance(found, Overview) else None
    told = describe_overview(overview) if overview else {}
    curve = draw_curve(best_values(overview), overview.unit) if overview else ""
    state = "running" if row.state in ACTIVE else row.state
    return {**told, "name": row.name, "state": state, "quantities": row.quantities, "known": bool(told),
            "unread": str(found) if isinstance(found, CampaignFileError) else "", "curve": curve}  # fmt: skip


def _read_row(name: str) -> Json:
    group = CampaignGroup.find(name)
    rows = list_rows(name)
    if not rows:
        raise CampaignFileError(f"campaign {name!r} has no process")
    return _describe(rows[0], recall_overview(group))


def _look(name: str, user: User) -> Json:
    group = CampaignGroup.find(name)
    steered = {"may_steer": may_steer(user, group), "starter": group.starter.removeprefix("user:")}
    try:
        overview = recall_overview(group)
    except CampaignFileError as error:
        return {"campaign": None, "words": str(error), "is_ended": False, **steered}
    # the queue and whom requests wait for may change without the campaign
    return {**_tell(name, overview), **steered, "open_lines": open_lines(overview),
            "queue": describe_queue(name)}  # fmt: skip


def _tell(name: str, overview: Overview) -> Json:
    """Return what a page tells of a campaign; made once for all who look as long as it does not change."""
    version = _version_of(name, "page")
    told = _TOLD.find(version)
    if told is None:
        told = _make_content(overview)
        _TOLD.keep(version, told)
    return told


@keep_what_is_read()
def _make_content(overview: Overview) -> Json:
    rows = [row for row in format_rows(table_rows(overview))[::-1] if row["uuid"] != "-"]
    told = describe_overview(overview)
    for kind in ("front_measured", "front_predicted"):
        told |= {kind: [name_units(point, overview) for point in told[kind]]} if kind in told else {}
    return {
        "campaign": told,
        "words": progress_words(overview),
        "is_ended": overview.is_ended,
        "n_done": overview.n_done,
        "n_limit": overview.n_limit,
        "columns": [f"x_{chemical_label(component)}" for component in overview.components],
        "numbers": list(overview.units.items()) if len(overview.campaign.goals) > 1 else [],
        "variables": [*variable_units(overview).items(), *((name, "") for name in overview.campaign.categories)],
        "rows": rows[:MOST_RESULTS],
        "n_rows": len(rows),
        "latest": LATEST,
        "sources": [key for key, item in overview.campaign.sources.items() if item.ask],
        "suggestion": _latest_suggestion(overview),
    }


def _latest_suggestion(overview: Overview) -> Json | None:
    """Return what the optimiser proposed last, and why; a last word without proposal is the recommendation."""
    if overview.proposed is None:
        return None
    node: SuggestionData = load(overview.proposed)
    document, maker = node.document, node.creator
    x = document.get("x")
    return {
        "pk": pk_of(node),
        "step": node.step,
        "source": node.source_name,
        "formulation": describe_point(overview.problem, x, document.get("category")) if x and overview.problem else "",
        "acquisition": name_acquisition(document.get("acquisition")),
        "reason": document.get("reason"),
        "predicted": document.get("predicted") if len(overview.campaign.optimised) == 1 else None,
        "expected": describe_expected(document) if len(overview.campaign.optimised) > 1 else "",
        "gain": document.get("expected_gain"),
        "n_learned": count_results(maker) if maker else 0,
        "n_pending": count_inputs(maker, "pending__") if maker else 0,
        "excluded": document.get("excluded") or {},
    }
