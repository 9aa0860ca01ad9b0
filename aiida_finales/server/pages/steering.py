"""What a person does with campaigns: starts one from a form or a file, stops it, goes on, adds a point."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from aiida import orm
from fastapi import Request, Response
from starlette.datastructures import UploadFile

from aiida_finales.broker.sight import without
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import CampaignFileError, FinalesError
from aiida_finales.operations.campaign.draft import (
    check_draft,
    choices_of,
    default_draft,
    list_askable,
    name_choice,
    option_key,
    write_draft,
)
from aiida_finales.operations.campaign.start import plan_campaign, start_campaign, stop_campaign
from aiida_finales.operations.campaign.steer import add_point, continue_campaign, read_campaign, read_point
from aiida_finales.schemas import Json
from aiida_finales.schemas.campaign import read_campaign_text
from aiida_finales.server.access.users import User
from aiida_finales.server.context import Context, ContextDep
from aiida_finales.server.finales.requests import demand_role
from aiida_finales.server.pages.campaigns import STARTERS, may_steer
from aiida_finales.server.pages.page import go_to, new_router, render
from aiida_finales.server.pages.session import FIELD, ProofDep, ViewerDep

router = new_router()

#: characters of a campaign file that is sent
LONGEST = 200_000

Typed = dict[str, str]


@router.get("/new-campaign")
async def show_form(request: Request, context: ContextDep, user: ViewerDep, quantity: str = "") -> Response:
    """Show the form by which a campaign is started."""
    demand_role(user, *STARTERS)
    content = await context.orm.call(_make_form, quantity, {})
    return render(request, "new_campaign.html", user, errors={}, text="", plan=None, **content)


@router.post("/new-campaign", dependencies=[ProofDep])
async def take_form(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Check what was typed or sent, or start it; what is wrong is said, and everything typed is still there."""
    demand_role(user, *STARTERS)
    typed, text, sent = await _read_typed(request)
    content = await context.orm.call(_make_form, typed.get("quantity", ""), typed)
    plan: Json | None = None
    errors: Typed = {}
    # where what is wrong with the file as a whole is said: beside what was typed, or beside what was sent
    place = "file" if sent else "text"
    try:
        _demand_length(text)
        if typed.get("act") == "draft":
            text, errors = await context.orm.call(_write, typed)
            place = "form"
        if typed.get("act") == "start":
            name = await context.orm.call(_start, text, user)
            return go_to(f"/pages/campaigns/{name}")
        if not errors:
            plan = await context.orm.call(_check, text, partial(context.reading.run_as, user))
    except FinalesError as refused:
        errors = {place: f"{sent}: {refused}" if sent else str(refused)}
        if sent and len(text) > LONGEST:
            text = ""  # nobody corrects megabytes in a page
    code = 422 if errors else 200
    return render(request, "new_campaign.html", user, code, errors=errors, text=text, plan=plan, **content)


@router.post("/campaigns/{name}/stop", dependencies=[ProofDep])
async def stop(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Let a campaign ask for nothing more."""
    typed, _, _ = await _read_typed(request)

    def do() -> None:
        if not typed.get("reason", "").strip():
            raise CampaignFileError("no reason was given; accepted is why it is stopped, in a sentence")
        stop_campaign(name, typed["reason"].strip()[:2000], user.who, is_now=bool(typed.get("now")))

    return await _steer(context, user, name, do)


@router.post("/campaigns/{name}/continue", dependencies=[ProofDep])
async def go_on(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Go on with a campaign that has ended."""
    typed, _, _ = await _read_typed(request)

    def do() -> None:
        text = typed.get("evaluations", "").strip()
        if text and not (text.isascii() and text.isdigit()):
            raise CampaignFileError(f"evaluations is {text!r}, but accepted is a whole number")
        continue_campaign(name, {"stop.evaluations": int(text)} if text else {})

    return await _steer(context, user, name, do)


@router.post("/campaigns/{name}/points", dependencies=[ProofDep])
async def add(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Put a point of a person into the queue of a campaign."""
    typed, _, _ = await _read_typed(request)

    def do() -> None:
        _, told = read_campaign(CampaignGroup.find(name))
        point = read_point(typed.get("point", ""), told.categories)
        if not point:
            raise CampaignFileError("no point was given; accepted is as in LiPF6=0.08 EC=0.30 EMC=0.62")
        add_point(name, point, user.who, typed.get("reason", "")[:2000], typed.get("source") or None)

    return await _steer(context, user, name, do)


async def _steer(context: Context, user: User, name: str, do: Any) -> Response:
    """Do something with a campaign that somebody may see and steer, and show it then."""
    await context.orm.call(_demand_steer, context, user, name)
    await context.orm.call(do)
    return go_to(f"/pages/campaigns/{name}")


def _demand_steer(context: Context, user: User, name: str) -> None:
    # what changes something is not narrowed by the door
    with without(context.reading.find_hidden(user)):
        group = CampaignGroup.find(name)
    if not may_steer(user, group):
        demand_role(user, "operator")


async def _read_typed(request: Request) -> tuple[Typed, str, str]:
    """Return what was typed, the campaign file that was typed or sent, and the name of one that was sent."""
    form = await request.form()
    typed = {key: str(value) for key, value in form.items() if key != FIELD and not isinstance(value, UploadFile)}
    sent = form.get("file")
    text, name = typed.pop("text", ""), ""
    if isinstance(sent, UploadFile) and sent.size:
        text, name = (await sent.read()).decode(errors="replace"), str(sent.filename or "file")
    return typed, text, name


def _demand_length(text: str) -> None:
    if len(text) > LONGEST:
        raise CampaignFileError(f"the campaign file has {len(text)} characters, but accepted are {LONGEST}")


def _make_form(quantity: str, typed: Typed) -> Json:
    """Return what the form needs: what can be asked for, and what is in its fields."""
    askable = list_askable()
    chosen = quantity if quantity in askable else next(iter(askable), "")
    shown = default_draft(chosen, askable[chosen], _list_names()) if chosen else {}
    if typed.get("act") == "draft":
        # a box that is not ticked is not sent
        shown = {**shown, **dict.fromkeys((key for key in shown if key.startswith("ask-")), ""), **typed}
    wanted = any(text for key, text in shown.items() if key.startswith("goal-"))
    choices = [_describe_choice(path, options, shown) for path, options in choices_of(askable.get(chosen, [])).items()]
    return {"askable": askable, "quantity": chosen, "typed": shown, "wanted": wanted, "choices": choices}


def _describe_choice(path: str, options: tuple[str | float, ...], typed: Typed) -> Json:
    """Return what one may choose, as boxes."""
    boxes = [{"key": (key := option_key(path, item)), "words": item, "is_on": bool(typed.get(key))} for item in options]
    words = name_choice(path).replace("_", " ")
    return {"path": path, "words": words, "boxes": boxes, "n_on": sum(box["is_on"] for box in boxes)}


def _list_names() -> set[str]:
    return set(orm.QueryBuilder().append(CampaignGroup, project="label").all(flat=True))


def _write(typed: Typed) -> tuple[str, Typed]:
    return write_draft(typed.get("quantity", ""), list_askable(), typed, _list_names())


def _check(text: str, run: Callable[..., Any]) -> Json:
    # a name is taken also by what one may not see; how many results there are to learn from is told of the others
    plan = plan_campaign(_read(text))
    lines, chart = run(check_draft, plan)
    space = json.dumps({"state": "", "charts": [chart.document()]}) if chart else ""
    return {"name": plan.campaign.name, "lines": lines, "space": space}


def _start(text: str, user: User) -> str:
    plan = plan_campaign(_read(text))
    start_campaign(plan, user.who)
    return plan.campaign.name


def _read(text: str) -> Json:
    if not text.strip():
        raise CampaignFileError("nothing was given: fill the form, paste a campaign file, or choose one to send")
    return read_campaign_text(text).to_dict()
