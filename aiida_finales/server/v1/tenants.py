"""Tenants: register, change limitations; by their owner, or with a chosen UUID by an admin."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from aiida_finales.broker.registration import add_tenant
from aiida_finales.data.tenant import TenantData, find_tenant
from aiida_finales.exceptions import AccessError, InputError, UnknownNodeError
from aiida_finales.operations.platform.chain import follow_steps
from aiida_finales.operations.request.documents import read_tenant, replace_limitations
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import Context, ContextDep, UserDep
from aiida_finales.server.finales.documents import PlainObject, PlainText, demand_plain
from aiida_finales.server.finales.requests import demand_role

router = APIRouter(prefix="/v1", tags=["tenants"])


class TenantBody(BaseModel):
    """A tenant as it is registered."""

    name: PlainText = Field(min_length=1, max_length=200)
    offers: list[PlainObject] = Field(min_length=1, description="quantity, method, limitations, constraints, cost")
    tenant_uuid: PlainText | None = Field(
        None, description="identity that a tenant has in its own settings; admins only"
    )
    kind: PlainText = Field("external", description="external or human")
    max_concurrent: int = Field(1, ge=1, le=10_000)
    contact: PlainText = ""
    chemicals: list[PlainObject] | None = Field(None, description="records of chemicals that are not known here yet")
    electrodes: list[PlainObject] | None = Field(None, description="records of electrodes, likewise")
    separators: list[PlainObject] | None = Field(None, description="records of separators")
    cell_formats: list[PlainObject] | None = Field(None, description="records of cell formats")


class LimitationsBody(BaseModel):
    """Offers that replace those of the same quantity and method."""

    offers: list[PlainObject] = Field(min_length=1)


@router.post("/tenants")
async def register(body: TenantBody, context: ContextDep, user: UserDep) -> Json:
    """Register a tenant; who registers it acts for it from then on. An admin may choose its UUID."""
    return await context.orm.call(_register, body, context, user)


@router.get("/tenants/{identifier}")
async def get_tenant(identifier: str, context: ContextDep, _: UserDep) -> Json:
    """Return a tenant by name or UUID."""
    return await context.orm.call(lambda: _describe(find_tenant(identifier)))


@router.put("/tenants/{identifier}/limitations")
async def change_limitations(identifier: str, body: LimitationsBody, context: ContextDep, user: UserDep) -> Json:
    """Replace limitations, as who acts for the tenant; what is pending is checked again."""
    return await context.orm.call(change_limitations_of, identifier, body, user)


def _register(body: TenantBody, context: Context, user: User) -> Json:
    demand_role(user, "tenant")
    if body.kind == "internal" and not user.has_role("admin"):
        raise AccessError("only an admin registers an internal tenant: its settings name programs that are run")
    fields = read_tenant(demand_plain(body.model_dump()))
    current = _find(body.tenant_uuid or body.name)
    if current is not None:
        demand_owner(current, user)
    elif body.tenant_uuid is not None and not user.has_role("admin"):
        raise AccessError("only an admin chooses the UUID of a tenant: leave tenant_uuid out")
    node = add_tenant(**fields)
    follow_steps(node.name)
    if node.tenant_uuid not in user.tenants and not user.has_role("admin"):
        context.users.bind(user.name, node.tenant_uuid)
    return _describe(node)


def change_limitations_of(identifier: str, body: LimitationsBody, user: User) -> Json:
    """Replace limitations of a tenant, and check again what is open.

    :raises AccessError: when the user does not act for it.
    :raises SchemaError: when they cannot be understood.
    """
    current = find_tenant(identifier)
    demand_owner(current, user)
    if not user.has_role("admin") and any("settings" in offer for offer in body.offers):
        raise InputError("settings of an offer are changed by an admin only: leave them out")
    node = add_tenant(
        current.name,
        replace_limitations(current.offers, body.offers),
        tenant_uuid=current.tenant_uuid,
        kind=current.kind,
        max_concurrent=current.max_concurrent,
        contact=current.contact,
    )
    follow_steps(node.name)
    return _describe(node)


def _find(identifier: str) -> TenantData | None:
    try:
        return find_tenant(identifier)
    except UnknownNodeError:
        return None


def demand_owner(tenant: TenantData, user: User) -> None:
    """Refuse a user who neither acts for a tenant nor is an admin.

    :raises AccessError: saying so.
    """
    if not user.has_role("admin") and tenant.tenant_uuid not in user.tenants:
        raise AccessError(f"{user.name} does not act for tenant {tenant.name}")


def _describe(tenant: TenantData) -> Json:
    return {
        "tenant_uuid": tenant.tenant_uuid,
        "name": tenant.name,
        "kind": tenant.kind,
        "version": tenant.version,
        "is_active": tenant.is_active,
        "max_concurrent": tenant.max_concurrent,
        "contact": tenant.contact,
        # settings name programs and folders of the laboratory
        "offers": [{key: value for key, value in offer.items() if key != "settings"} for offer in tenant.offers],
    }
