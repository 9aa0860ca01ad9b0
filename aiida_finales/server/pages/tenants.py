"""A tenant: what it offers within which limitations; changed by whoever acts for it, after a look at what that does."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request, Response

from aiida_finales.broker.registration import check_offers, switch_tenant
from aiida_finales.broker.sight import Hidden, without
from aiida_finales.data.tenant import TenantData, find_tenant
from aiida_finales.exceptions import AccessError, FinalesError, InputError, StatusError, explain_syntax_error
from aiida_finales.operations.request.documents import replace_limitations, tell_idle
from aiida_finales.operations.request.matching import weigh_change
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.finales.documents import demand_plain
from aiida_finales.server.finales.requests import demand_role
from aiida_finales.server.pages.page import go_to, new_router, render
from aiida_finales.server.pages.session import ProofDep, ViewerDep
from aiida_finales.server.v1.tenants import LimitationsBody, change_limitations_of, demand_owner

router = new_router()

#: what of an offer is changed here; the rest is the laboratory's own
KEYS = ("quantity", "method", "limitations", "constraints")


@router.get("/tenants/{identifier}")
async def show_tenant(request: Request, identifier: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show what a tenant offers, and to whom it may be of use."""
    content = await context.orm.call(lambda: _describe(find_tenant(identifier), user))
    return render(request, "tenant.html", user, **content)


@router.post("/tenants/{identifier}", dependencies=[ProofDep])
async def change_tenant(request: Request, identifier: str, context: ContextDep, user: ViewerDep) -> Response:
    """Check other limitations against what is open, or put them in place of the present ones."""
    typed = await request.form()
    text, act = str(typed.get("offers", "")), str(typed.get("act", "check"))
    try:
        offers = _read_offers(text)
        if act == "save":
            await context.orm.call(lambda: _save(identifier, user, offers, str(typed.get("version", ""))))
            return go_to(f"/pages/tenants/{identifier}")
        effect = await context.orm.call(lambda: _weigh(identifier, user, offers, context.reading.find_hidden(user)))
        more: Json = {"text": text, "effect": effect}
        code = 200
    except AccessError:
        raise
    except (FinalesError, ValueError) as error:
        more, code = {"text": text, "words": str(error)}, 422
    content = await context.orm.call(lambda: _describe(find_tenant(identifier), user))
    return render(request, "tenant.html", user, code, **{**content, **more})


@router.post("/tenants/{identifier}/switch", dependencies=[ProofDep])
async def switch(request: Request, identifier: str, context: ContextDep, user: ViewerDep) -> Response:
    """Give a tenant requests again, or no new ones; what it holds goes on."""
    demand_role(user, "admin")
    wanted = str((await request.form()).get("to", ""))
    if wanted not in ("on", "off"):
        raise InputError(f"{wanted!r} was sent, accepted is on or off")
    is_active = wanted == "on"
    await context.orm.call(lambda: switch_tenant(identifier, is_active=is_active))
    return go_to(f"/pages/tenants/{identifier}")


def _describe(tenant: TenantData, user: User) -> Json:
    offers = [{key: offer[key] for key in KEYS if offer.get(key) is not None} for offer in tenant.offers]
    return {
        "tenant": {
            "name": tenant.name,
            "uuid": tenant.tenant_uuid,
            "kind": tenant.kind,
            "version": tenant.version,
            "is_active": tenant.is_active,
            "slots": tenant.max_concurrent,
            "contact": tenant.contact,
        },
        "offers": [
            {**offer, "cost": whole.get("cost"), "text": json.dumps(offer, indent=1)}
            for offer, whole in zip(offers, tenant.offers, strict=True)
        ],
        "text": json.dumps(offers, indent=1),
        "may_change": user.has_role("admin") or tenant.tenant_uuid in user.tenants,
        "off": weigh_change(tenant, []) if user.has_role("admin") and tenant.is_active else None,
        "effect": None,
        "words": "",
    }


def _read_offers(text: str) -> list[dict[str, Any]]:
    """Return the offers that were typed.

    :raises InputError: when it is no list of JSON objects.
    """
    try:
        found = demand_plain(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"the limitations are no JSON: {explain_syntax_error(error)}") from error
    if not isinstance(found, list) or not found or not all(map(_is_offer, found)):
        raise InputError("the limitations are no list of offers: accepted are objects with quantity and method")
    others = sorted({key for offer in found for key in offer} - {*KEYS})
    if others:
        raise InputError(
            f"an offer has {', '.join(others)}, but accepted here are {', '.join(KEYS)}: what else it has stays, "
            "and is changed by 'aiida-finales tenant add FILE.json'"
        )
    return found


def _is_offer(item: Any) -> bool:
    return isinstance(item, dict) and {"quantity", "method"} <= item.keys()


def _save(identifier: str, user: User, offers: list[dict[str, Any]], looked_at: str) -> None:
    """Put other limitations in place of those that somebody looked at.

    :param looked_at: version of the limitations when the form was shown.
    :raises StatusError: when they were changed meanwhile.
    """
    tenant = find_tenant(identifier)
    demand_owner(tenant, user)
    version = tenant.version
    if looked_at != str(version):
        raise StatusError(
            f"nothing was changed: meanwhile somebody saved version {version} of the limitations, which stands above; "
            "what you typed is still here: compare both, and save again"
        )
    change_limitations_of(identifier, LimitationsBody(offers=offers), user)


def _weigh(identifier: str, user: User, offers: list[dict[str, Any]], hidden: Hidden) -> Json:
    tenant = find_tenant(identifier)
    demand_owner(tenant, user)
    new = replace_limitations(tenant.offers, offers)
    check_offers(new)
    with without(hidden):  # which requests there are may not be for this user to know
        return {**weigh_change(tenant, new), "idle": tell_idle(new)}
