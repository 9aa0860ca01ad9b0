"""A tenant: who offers capabilities, within limitations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.data.active import ACTIVE, StoredNode, list_active
from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.schemas.limitations import Offer
from aiida_finales.schemas.registry import canonical_capability

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
    """

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
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        if not self.base.attributes.get("tenant_uuid", None):
            raise ValidationError("a tenant is made by TenantData(name, offers, tenant_uuid=...)")
        return True

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.base.attributes.get("name"))

    @property
    def tenant_uuid(self) -> str:
        """Identity over all versions."""
        return str(self.base.attributes.get("tenant_uuid"))

    @property
    def kind(self) -> str:
        """``internal``, ``external`` or ``human``."""
        return str(self.base.attributes.get("kind"))

    @property
    def max_concurrent(self) -> int:
        """How many requests it holds at once."""
        return int(self.base.attributes.get("max_concurrent"))

    @property
    def version(self) -> int:
        """The version, from 1."""
        return int(self.base.attributes.get("version"))

    @property
    def contact(self) -> str:
        """Person to ask."""
        return str(self.base.attributes.get("contact"))

    @property
    def offers(self) -> list[dict[str, Any]]:
        """What it offers."""
        return list(self.base.attributes.get("offers"))

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
    return {**offer, "quantity": quantity, "method": method}


def list_tenants(*, only_active: bool = True) -> list[TenantData]:
    """Return the registered tenants, the latest version of each, ordered by name."""
    filters = {f"extras.{ACTIVE}": True} if only_active else {}
    nodes = orm.QueryBuilder().append(TenantData, filters=filters).order_by({TenantData: "id"}).all(flat=True)
    latest = {node.tenant_uuid: node for node in nodes}
    return sorted(latest.values(), key=lambda node: node.name)


def list_active_tenants() -> list[StoredNode]:
    """Return what the active tenants say, the latest version of each, ordered by name; cheaper than nodes."""
    latest = {node.attributes["tenant_uuid"]: node for node in list_active(TenantData.class_node_type)}
    return sorted(latest.values(), key=lambda node: str(node.attributes["name"]))


def find_tenant(identifier: str) -> TenantData:
    """Return the latest version of a tenant, by its UUID or its name.

    :raises UnknownNodeError: naming the tenants that are registered.
    """
    for tenant in list_tenants(only_active=False):
        if identifier in (tenant.tenant_uuid, tenant.tenant_uuid.replace("-", ""), tenant.name):
            return tenant
    names = ", ".join(tenant.name for tenant in list_tenants(only_active=False)) or "none"
    raise UnknownNodeError(f"no tenant {identifier!r}; registered are {names}")
