"""A tenant: who offers capabilities, within limitations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.data.active import ACTIVE, REGISTERED_HERE, StoredNode, list_active
from aiida_finales.data.nodes import Stored
from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.schemas.limitations.offer import Offer
from aiida_finales.schemas.registry import canonical_capability
from aiida_finales.schemas.structure import is_number

KINDS = ("internal", "external", "human")


class TenantData(orm.Data):
    """One version of a tenant's registration; changing the limitations makes a new version with the same tenant UUID.

    :param name: what people call it.
    :param offers: what it offers; each with ``quantity``, ``method``, ``limitations``, ``constraints`` and, for an
        internal tenant, ``settings`` handed to its process (code, volumes, ...), and ``cost`` per request.
    :param tenant_uuid: identity over all versions.
    :param kind: ``internal`` (a process of this engine), ``external`` (a client) or ``human``.
    :param max_concurrent: how many requests it holds at once.
    :param contact: person to ask.
    :param chemicals: records of chemicals that it describes: ``name``, ``SMILES``, ``InChIKey``, and what is known.
    :param cell_parts: records of electrodes, separators and cell formats that it describes, by section of its file.
    """

    name = Stored(str, "What people call it.")
    tenant_uuid = Stored(str, "Identity over all versions.")
    kind = Stored(str, "``internal``, ``external`` or ``human``.")
    max_concurrent = Stored(int, "How many requests it holds at once.")
    version = Stored(int, "The version, from 1.")
    contact = Stored(str, "Person to ask.")
    offers = Stored(list, "What it offers.")
    chemicals = Stored(list, "Records of chemicals that it describes.", [])
    cell_parts = Stored(dict, "Records of electrodes, separators and cell formats that it describes.", {})

    def __init__(  # noqa: PLR0913 - the fields of the node
        self,
        name: str,
        offers: list[dict[str, Any]],
        *,
        tenant_uuid: str,
        kind: str = "external",
        max_concurrent: int = 1,
        contact: str = "",
        version: int = 1,
        chemicals: Iterable[dict[str, Any]] = (),
        cell_parts: dict[str, list[dict[str, Any]]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise InputError(f"kind of tenant is {kind!r}, but accepted are {', '.join(KINDS)}")
        if not isinstance(max_concurrent, int) or isinstance(max_concurrent, bool) or max_concurrent < 1:
            raise InputError(
                f"max_concurrent is {max_concurrent!r}, but a tenant must serve at least 1 request at a time"
            )
        self.base.attributes.set_many(
            {
                "name": name,
                "tenant_uuid": _canonical_uuid(tenant_uuid),
                "offers": [_canonical_offer(offer) for offer in offers],
                "kind": kind,
                "max_concurrent": max_concurrent,
                "contact": contact,
                "version": version,
                **({"chemicals": told} if (told := list(chemicals)) else {}),
                **({"cell_parts": cell_parts} if cell_parts else {}),
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        if not self.base.attributes.get("tenant_uuid", None):
            raise ValidationError("a tenant is made by TenantData(name, offers, tenant_uuid=...)")
        return True

    @property
    def is_active(self) -> bool:
        """Whether this version may be given requests."""
        return bool(self.base.extras.get(ACTIVE, False))

    def find_offer(self, quantity: str, method: str) -> dict[str, Any] | None:
        """Return the offer for a capability, or ``None``."""
        for offer in self.offers:
            if (offer["quantity"], offer["method"]) == (quantity, method):
                return offer
        return None


def _canonical_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"tenant_uuid is {text!r}, but accepted is a UUID") from error


def _canonical_offer(offer: dict[str, Any]) -> dict[str, Any]:
    checked = Offer.from_dict(offer)
    quantity, method = canonical_capability(checked.quantity, checked.method)
    settings = offer.get("settings")
    whose = f"the offer of {quantity}/{method}"
    _demand_positive(f"cost of {whose}", offer.get("cost"))
    for key in ("pause_s", "patience_s", "lease_s", "silence_s"):
        _demand_positive(f"settings.{key} of {whose}", settings.get(key) if isinstance(settings, dict) else None)
    return {**offer, "quantity": quantity, "method": method}


def _demand_positive(key: str, given: Any) -> None:
    """Refuse a number that campaigns or the broker could not work with; ``None`` is the default."""
    if given is not None and not (is_number(given) and 0 < given < math.inf):
        raise InputError(f"{key} is {given!r}, but accepted is a number above 0")


def list_tenants(*, only_active: bool = True) -> list[TenantData]:
    """Return the tenants that are registered here, of each the active version or else the latest, ordered by name."""
    filters: dict[str, Any] = {f"extras.{ACTIVE}": True} if only_active else REGISTERED_HERE
    query = orm.QueryBuilder().append(
        TenantData, subclassing=False, filters=filters, project=["*", "id", f"extras.{ACTIVE}"]
    )
    rows = sorted(query.all(), key=lambda row: (bool(row[2]), row[1]))
    standing = {node.tenant_uuid: node for node, _, _ in rows}
    return sorted(standing.values(), key=lambda node: node.name)


def name_tenants() -> dict[str, str]:
    """Return the names of all tenants by UUID, also of those that came with an archive; who is registered here wins."""
    columns = ["attributes.tenant_uuid", "attributes.name", f"extras.{ACTIVE}", "id"]
    query = orm.QueryBuilder().append(TenantData, subclassing=False, project=columns).all()
    here = orm.QueryBuilder().append(TenantData, subclassing=False, filters=REGISTERED_HERE, project=columns).all()
    known = sorted(query, key=lambda row: int(row[3])) + sorted(here, key=lambda row: (bool(row[2]), row[3]))
    return {str(uuid): str(name) for uuid, name, _, _ in known}


def list_active_tenants() -> list[StoredNode]:
    """Return what the active tenants say, the latest version of each, ordered by name; cheaper than nodes."""
    latest = {node.attributes["tenant_uuid"]: node for node in list_active(TenantData.class_node_type)}
    return sorted(latest.values(), key=lambda node: str(node.attributes["name"]))


def find_tenant(identifier: str) -> TenantData:
    """Return a tenant that is registered here, by its UUID or its name: the active version, or else the latest.

    :raises UnknownNodeError: naming the tenants that are registered.
    """
    here = list_tenants(only_active=False)
    for tenant in here:
        if identifier in (tenant.tenant_uuid, tenant.tenant_uuid.replace("-", ""), tenant.name):
            return tenant
    names = ", ".join(tenant.name for tenant in here) or "none"
    is_foreign = any(identifier in (uuid, uuid.replace("-", ""), name) for uuid, name in name_tenants().items())
    words = "came with an archive and is not registered here" if is_foreign else "is not known"
    raise UnknownNodeError(f"no tenant {identifier!r}: it {words}; registered are {names}")
