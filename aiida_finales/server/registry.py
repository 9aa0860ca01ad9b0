"""What can be asked for, and of whom, in the published form; everything here runs in the thread of AiiDA."""

from __future__ import annotations

from typing import Any

from aiida_finales.data.capability import CapabilityData, list_capabilities
from aiida_finales.data.tenant import list_tenants
from aiida_finales.schemas.export import request_template

Json = dict[str, Any]


def describe_capabilities(*, only_available: bool) -> list[Json]:
    """Return the capabilities with their schemas.

    :param only_available: only those that an active tenant offers, quantity and method.
    """
    return [
        {
            "quantity": node.quantity,
            "method": node.method,
            "json_schema_specifications": node.parameters_schema,
            "json_schema_result_output": node.result_schema,
        }
        for node in find_capabilities(only_available=only_available)
    ]


def find_capabilities(*, only_available: bool) -> list[CapabilityData]:
    """Return the capabilities, those of an active tenant only or all active ones."""
    offered = {(offer["quantity"], offer["method"]) for tenant in list_tenants() for offer in tenant.offers}
    return [node for node in list_capabilities() if not only_available or (node.quantity, node.method) in offered]


def make_templates(quantity: str | None, method: str | None, *, only_available: bool) -> Json:
    """Return the skeletons of parameters and result by ``quantity-method``."""
    return {
        f"{node.quantity}-{node.method}": {
            "input_template": request_template(node.parameters_schema),
            "output_template": request_template(node.result_schema),
        }
        for node in find_capabilities(only_available=only_available)
        if quantity in (None, node.quantity) and method in (None, node.method)
    }


def describe_limitations(*, only_available: bool) -> list[Json]:
    """Return what the tenants can do, all tenants of a capability together: any one of the entries must fit."""
    together: dict[tuple[str, str], list[Any]] = {}
    for tenant in list_tenants(only_active=only_available):
        for offer in tenant.offers:
            limitations = offer.get("limitations") or {}
            entries = limitations if isinstance(limitations, list) else [limitations]
            together.setdefault((offer["quantity"], offer["method"]), []).extend(entries)
    return [{"quantity": key[0], "method": key[1], "limitations": entries} for key, entries in together.items()]


def describe_tenants() -> list[Json]:
    """Return all tenants, also those that are not active."""
    return [
        {
            "tenant_uuid": tenant.tenant_uuid,
            "name": tenant.name,
            "limitations": [
                {key: offer.get(key, {}) for key in ("quantity", "method", "limitations")} for offer in tenant.offers
            ],
            "contact_person": tenant.contact,
            "is_active": tenant.is_active,
        }
        for tenant in list_tenants(only_active=False)
    ]
