"""Capabilities and tenants: add, replace while things run, deactivate.

Replacing makes a new node with the next version and deactivates the old one; what was asked or answered under the old
version keeps its link to it.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from aiida import orm
from aiida.orm.implementation.utils import clean_value

from aiida_finales.broker.capability import load_capabilities
from aiida_finales.broker.requests import recheck_pending
from aiida_finales.data.active import ACTIVE, REGISTERED_HERE
from aiida_finales.data.capability import CapabilityData, find_capability
from aiida_finales.data.cells import add_parts, check_parts
from aiida_finales.data.chemicals import add_chemicals, check_chemicals
from aiida_finales.data.tenant import TenantData, find_tenant, list_tenants
from aiida_finales.exceptions import ImplausibleError, InputError, UnknownNodeError
from aiida_finales.schemas.catalogue import TENANT
from aiida_finales.schemas.cells import CellPart
from aiida_finales.schemas.cells.naming import spell_limits
from aiida_finales.schemas.chemicals import Chemical
from aiida_finales.schemas.limitations.offer import Offer, find_implausible_limits
from aiida_finales.schemas.names import check_name
from aiida_finales.schemas.registry import canonical_capability


def add_capability(
    quantity: str, method: str, parameters_schema: dict[str, Any], result_schema: dict[str, Any]
) -> CapabilityData:
    """Register a capability, or replace the active version when the schemas differ.

    :returns: the active version; the existing one when nothing changed.
    """
    quantity, method = canonical_capability(quantity, method)
    versions = _versions(quantity, method)
    current = versions[-1] if versions else None
    if current is not None and (current.parameters_schema, current.result_schema) == (parameters_schema, result_schema):
        current.base.extras.set(ACTIVE, True)
        return current
    node = CapabilityData(
        quantity,
        method,
        parameters_schema=parameters_schema,
        result_schema=result_schema,
        version=current.version + 1 if current else 1,
    )
    node.base.extras.set(ACTIVE, True)
    node.store()
    for old in versions:
        old.base.extras.set(ACTIVE, False)
    return node


def deactivate_capability(quantity: str, method: str) -> CapabilityData:
    """Let no new request use a capability; what runs goes on.

    :raises UnknownCapabilityError: when it is not active.
    """
    node = find_capability(quantity, method)
    node.base.extras.set(ACTIVE, False)
    return node


def add_tenant(  # noqa: PLR0913 - the fields of a tenant
    name: str,
    offers: list[dict[str, Any]],
    *,
    tenant_uuid: str | None = None,
    kind: str = "external",
    max_concurrent: int = 1,
    contact: str = "",
    chemicals: list[dict[str, Any]] | None = None,
    cell_parts: dict[str, list[dict[str, Any]]] | None = None,
    is_sure: bool = False,
) -> TenantData:
    """Register a tenant, or replace it when one of that UUID (or, without UUID, of that name) exists.

    What is pending is checked against the new limitations.

    :param chemicals: records of chemicals that it describes, which everybody here knows from then on; ``None``: those
        that it described before.
    :param cell_parts: the same of electrodes, separators and cell formats, by section.
    :param is_sure: numbers in limitations that are not to be expected are right.
    :raises ImplausibleError: when they are not to be expected, but would be in another unit.
    :raises SchemaError: when the limitations cannot be understood, naming the path.
    :raises UnknownCapabilityError: when an offer names a capability that is not registered.
    :raises InputError: when the name belongs to another tenant, or the settings of an offer cannot work.
    """
    check_offers(offers, is_sure=is_sure)
    told = check_chemicals(chemicals or [], f"{TENANT}{name}")
    parts = check_parts(cell_parts or {}, f"{TENANT}{name}")
    offers = [{**offer, "limitations": spell_limits(offer.get("limitations"), parts)} for offer in offers]
    current = _current(name, tenant_uuid)
    if current is None or current.name != name:  # one that was registered before names were checked may go on
        check_name(name, "name of a tenant")
    node = TenantData(
        name,
        offers,
        tenant_uuid=current.tenant_uuid if current else (tenant_uuid or str(uuid4())),
        kind=kind,
        max_concurrent=max_concurrent,
        contact=contact,
        version=current.version + 1 if current else 1,
        chemicals=(current.chemicals if current else ()) if chemicals is None else map(_as_published, told),
        cell_parts=(current.cell_parts if current else {}) if cell_parts is None else _by_section(parts),
    )
    add_chemicals(told)
    add_parts(parts)
    if current is not None and current.is_active and _same(current, node):
        return current
    node.base.extras.set(ACTIVE, True)
    node.store()
    if current is not None:
        current.base.extras.set(ACTIVE, False)
    recheck_pending(who=f"registration of tenant {name}")
    return node


def check_offers(offers: list[dict[str, Any]], *, is_sure: bool = False) -> None:
    """Refuse what no tenant can offer, with the errors of :func:`add_tenant`; nothing is stored."""
    for offer in offers:
        find_capability(offer.get("quantity", ""), offer.get("method", ""))
    check_settings(offers)
    if not is_sure:
        _demand_plausible(offers)


def _as_published(chemical: Chemical) -> dict[str, Any]:
    """Return a record with the names of SMILES and InChIKey as limitations have them."""
    about = chemical.to_dict()
    return {"SMILES": about.pop("smiles"), "InChIKey": about.pop("inchikey"), **about}


def _by_section(parts: list[CellPart]) -> dict[str, list[dict[str, Any]]]:
    return {noun: [part.to_dict() for part in parts if noun == part.NOUN] for noun in {part.NOUN for part in parts}}


def _demand_plausible(offers: list[dict[str, Any]]) -> None:
    """Refuse limitations all of which are outside of what is to be expected, and inside in another unit.

    :raises ImplausibleError: naming the path, what was given and the unit that it looks like, for each.
    """
    for offer in map(Offer.from_dict, offers):
        found = find_implausible_limits(offer)
        if found:
            raise ImplausibleError(f"limitations of {offer.quantity}/{offer.method}", [item.defect for item in found])


def check_settings(offers: list[dict[str, Any]]) -> list[str]:
    """Return what people should know about the settings of what a tenant offers.

    :raises InputError: when they cannot work.
    """
    known = load_capabilities()
    remarks = []
    for offer in offers:
        capability = known.get(canonical_capability(offer.get("quantity", ""), offer.get("method", "")))
        if capability is not None and capability.check_settings is not None and offer.get("settings"):
            remarks += capability.check_settings(offer["settings"])
    return remarks


def switch_tenant(identifier: str, *, is_active: bool) -> TenantData:
    """Give a tenant requests again, or no new ones; what it holds goes on.

    :raises UnknownNodeError: naming the tenants that are registered.
    """
    tenant = find_tenant(identifier)
    tenant.base.extras.set(ACTIVE, is_active)
    recheck_pending(who=f"{'activation' if is_active else 'deactivation'} of tenant {tenant.name}")
    return tenant


def _versions(quantity: str, method: str) -> list[CapabilityData]:
    filters = {"attributes.quantity": quantity, "attributes.method": method, **REGISTERED_HERE}
    query = orm.QueryBuilder().append(CapabilityData, filters=filters).order_by({CapabilityData: {"id": "asc"}})
    return query.all(flat=True)


def _current(name: str, tenant_uuid: str | None) -> TenantData | None:
    try:
        current = find_tenant(tenant_uuid or name)
    except UnknownNodeError:
        current = None
    for other in list_tenants():
        if other.name == name and (current is None or other.tenant_uuid != current.tenant_uuid):
            raise InputError(f"tenant name {name!r} belongs to {other.tenant_uuid}: choose another or give that UUID")
    return current


def _same(first: TenantData, second: TenantData) -> bool:
    keys = ("name", "offers", "kind", "max_concurrent", "contact", "chemicals", "cell_parts")
    # stored floats are rounded to 14 digits: round both
    return all(
        clean_value(first.base.attributes.get(key, None)) == clean_value(second.base.attributes.get(key, None))
        for key in keys
    )
