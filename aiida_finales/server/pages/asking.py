"""A request by a form: choose what, say of what, see who can do it and what is nearest, and post it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from aiida.manage import get_manager
from fastapi import Query, Request, Response

from aiida_finales.broker.matching import Matching, match
from aiida_finales.broker.requests import post_request
from aiida_finales.data.capability import find_capability, list_capabilities
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import list_active_tenants
from aiida_finales.exceptions import FinalesError, InputError, SchemaError
from aiida_finales.operations.request.documents import tell_given
from aiida_finales.operations.request.matching import explain_matching
from aiida_finales.schemas import Json
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.finales.documents import demand_plain
from aiida_finales.server.finales.requests import demand_role
from aiida_finales.server.pages.form import (
    COUNT,
    SAID,
    Field,
    Reader,
    count_items,
    make_field,
    place_defects,
    type_document,
)
from aiida_finales.server.pages.page import go_to, new_router, render
from aiida_finales.server.pages.session import FIELD, ProofDep, ViewerDep

router = new_router()

Typed = dict[str, str]
Word = Annotated[str, Query(max_length=200)]
#: services that other requests need, which nobody asks for by hand
SERVICES = ("transport", "cycling_channel")


@dataclass
class Draft:
    """A request while it is written.

    :param schema: of the parameters.
    :param others_able: other methods of the quantity that is offered; the same may be asked of them.
    :param lines: who can do it, or why nobody can and what is nearest; nothing before it is checked.
    :param nearest: the parameters that are nearest to what was asked for, where nobody can do that.
    :param errors: sentences by name of the field; ``others`` belong to none.
    """

    quantity: str
    method: str
    schema: Json
    typed: Typed
    parameters: Field
    others_able: list[str]
    lines: list[str] = field(default_factory=list)
    is_feasible: bool = False
    nearest: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


@router.get("/requests/new")
async def show_form(request: Request, context: ContextDep, user: ViewerDep, what: Word = "") -> Response:
    """Show what can be asked for, or the form of one capability."""
    demand_role(user, "requester", "operator")
    if not what:
        return render(request, "request_choose.html", user, offers=await context.orm.call(_list_offers))
    return render(request, "request_new.html", user, what=what, draft=await context.orm.call(_open, what, {}))


@router.post("/requests/new", dependencies=[ProofDep])
async def take_form(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Check what was typed, and post it if that was wanted; everything that was typed is still there otherwise."""
    demand_role(user, "requester", "operator")
    typed = {key: str(value) for key, value in (await request.form()).items() if key != FIELD}
    what, act, more = typed.pop("what", ""), typed.pop("act", "check"), typed.pop("more", "")
    draft, pk, uuid = await context.orm.call(context.reading.run_as, user, _take, what, typed, more, act, user)
    if pk:
        context.background.serve(pk)
        return go_to(f"/pages/requests/{uuid}")
    code = 422 if draft.errors or draft.others else 200
    return render(request, "request_new.html", user, code, what=what, draft=draft)


def _list_offers() -> list[Json]:
    """Return what can be asked for, with the names of those who offer it."""
    tenants = list_active_tenants()
    rows = []
    for node in list_capabilities():
        key = (node.quantity, node.method)
        names = [
            str(tenant.attributes["name"])
            for tenant in tenants
            if key in {(offer["quantity"], offer["method"]) for offer in tenant.attributes["offers"]}
        ]
        if names and node.quantity not in SERVICES:
            rows.append({"quantity": key[0], "method": key[1], "what": "/".join(key), "tenants": names})
    return sorted(rows, key=lambda row: (row["quantity"], row["method"]))


def _open(what: str, typed: Typed) -> Draft:
    quantity, sign, method = what.partition("/")
    if not sign:
        raise InputError(f"{what!r} was asked for, accepted is quantity/method: choose one of the list")
    capability = find_capability(quantity, method)
    schema = capability.parameters_schema
    fields = replace(make_field(schema, (), typed), label="What is asked for")
    able = [row["method"] for row in _list_offers() if row["quantity"] == capability.quantity]
    others = [item for item in able if item != capability.method]
    return Draft(capability.quantity, capability.method, schema, typed, fields, others)


def _take(what: str, typed: Typed, more: str, act: str, user: User) -> tuple[Draft, int, str]:
    """Return the draft as it is now, and pk and UUID of the request when it was posted."""
    draft = _open(what, typed)
    if more:
        if more in {item.name for item in draft.parameters.walk() if item.kind == "list"}:
            typed[more + COUNT] = str(count_items(more, {}, typed) + 1)
        return _open(what, typed), 0, ""
    made = _make(draft, user.name)
    if made is None:
        return draft, 0, ""
    matching = match(made.quantity, made.parameters)
    draft.is_feasible = matching.is_feasible
    draft.lines = [*tell_given(made.given, made.parameters), *explain_matching(made.quantity, matching)]
    nearest = _find_nearest(matching)
    draft.nearest = nearest is not None
    if act == "nearest" and nearest is not None:
        kept = {key: text for key, text in typed.items() if not key.endswith(SAID)}
        return _take(what, {**kept, **type_document(nearest, "")}, "", "check", user)
    if act == "post" and matching.is_feasible:
        with get_manager().get_profile_storage().transaction():
            post_request(made, user.who, candidates=matching.candidates, needs_process=True)
        return draft, pk_of(made), made.uuid
    return draft, 0, ""


def _make(draft: Draft, requester: str) -> RequestData | None:
    """Return the request, not stored, that was typed; what is wrong with it is noted in the draft."""
    method, schema = draft.method, draft.schema
    try:
        demand_plain(draft.typed)
        typed, said, errors = _read_temperatures(draft.typed)
        reader = Reader(schema, typed)
        document = reader.read(())
        draft.errors = reader.errors | errors
        if draft.errors:
            return None
        methods = [method, *(other for other in draft.others_able if draft.typed.get(f"also-{other}"))]
        about = said | reader.given
        given = {f"{one}.{name}": words for one in methods for name, words in about.items()}
        return RequestData(draft.quantity, dict.fromkeys(methods, document), requester, given=given)
    except SchemaError as error:
        draft.errors, draft.others = place_defects(error, draft.parameters)
    except (FinalesError, ValueError) as error:
        draft.others = [str(error)]
    return None


def _read_temperatures(typed: Typed) -> tuple[Typed, Json, Typed]:
    """Return what was typed with temperatures in K; those that had another unit; and what is wrong with others.

    All by name of the field.
    """
    read, said, errors = dict(typed), dict[str, Any](), dict[str, str]()
    for name, text in typed.items():
        if name.rpartition(".")[2] != "temperature" or _is_number(text):
            continue
        try:
            read[name] = str(read_temperature(text, name))
            said[name] = {"given": text}
        except InputError as error:
            errors[name] = str(error)
    return read, said, errors


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _find_nearest(matching: Matching) -> Json | None:
    if matching.is_feasible:
        return None
    return next((item.nearest for item in matching.refusals if item.nearest is not None), None)
