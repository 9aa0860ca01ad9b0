"""Who can serve a request: the active tenants' limitations against its parameters, quantity and method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from aiida_finales.data.active import StoredNode
from aiida_finales.data.tenant import list_active_tenants
from aiida_finales.exceptions import LimitationError
from aiida_finales.schemas.limitations.offer import Finding, Offer, check, nearest

#: characters of a given value that a message shows
LONGEST = 60


@dataclass(frozen=True)
class Candidate:
    """A tenant that can serve a request by one of its methods.

    :param tenant: UUID of the tenant, over all versions.
    :param node: UUID of the version of its limitations that was checked.
    """

    tenant: str
    node: str
    method: str
    kind: str
    slots: int

    def to_dict(self) -> dict[str, Any]:
        """Return the form kept in the state of the request."""
        return {"tenant": self.tenant, "node": self.node, "method": self.method, "kind": self.kind, "slots": self.slots}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Candidate:
        """Read the form kept in the state of the request."""
        return cls(**document)


@dataclass(frozen=True)
class Refusal:
    """Why a tenant cannot serve a request.

    :param offer: what it offers.
    :param given: the parameters that it refuses.
    """

    tenant: str
    method: str
    findings: list[Finding]
    offer: Offer
    given: dict[str, Any]

    @cached_property
    def nearest(self) -> dict[str, Any] | None:
        """The nearest parameters it could serve, or ``None``; only who is told needs them, most requests are served."""
        return nearest(self.offer, self.given)

    def __str__(self) -> str:
        said = [(item.subject or item.path, _short(item.given), item.allowed) for item in self.findings]
        words = "; ".join(f"{what} is {given}, allowed is {allowed}" for what, given, allowed in said)
        return f"{self.tenant} ({self.method}): {words}"


@dataclass(frozen=True)
class Matching:
    """The outcome of matching one request with all active tenants."""

    candidates: list[Candidate]
    refusals: list[Refusal]

    @property
    def is_feasible(self) -> bool:
        """Whether any active tenant can serve the request."""
        return bool(self.candidates)


def match(quantity: str, parameters: dict[str, dict[str, Any]]) -> Matching:
    """Match parameters per method, in the order of preference, with the limitations of all active tenants."""
    candidates, refusals = [], []
    tenants = list_active_tenants()
    for method, given in parameters.items():
        for tenant in tenants:
            offer = _find_offer(tenant, quantity, method)
            if offer is None:
                continue
            findings = check(offer, given)
            if findings:
                refusals.append(Refusal(tenant.attributes["name"], method, findings, offer, given))
            else:
                candidates.append(_candidate(tenant, method))
    return Matching(candidates, refusals)


def match_any(quantity: str, parameters: dict[str, dict[str, Any]]) -> list[Candidate]:
    """Return the candidates, none where no active tenant can serve this."""
    return match(quantity, parameters).candidates


def demand_match(quantity: str, parameters: dict[str, dict[str, Any]]) -> list[Candidate]:
    """Return the candidates, at least one.

    :raises LimitationError: when no active tenant can ever serve this; carries the nearest feasible parameters.
    """
    matching = match(quantity, parameters)
    if matching.is_feasible:
        return matching.candidates
    methods = ", ".join(parameters)
    if not matching.refusals:
        raise LimitationError(
            f"no active tenant offers {quantity} by {methods}{_say_others(quantity)}: see 'aiida-finales tenant list', "
            "add one with "
            "'aiida-finales tenant add' or run 'aiida-finales setup'"
        )
    feasible = {refusal.method: refusal.nearest for refusal in matching.refusals if refusal.nearest is not None}
    words = " | ".join(str(refusal) for refusal in matching.refusals)
    hint = "; the nearest feasible parameters are shown by 'aiida-finales request check'" if feasible else ""
    raise LimitationError(f"no active tenant can serve {quantity}: {words}{hint}", feasible)


def _say_others(quantity: str) -> str:
    """Return by which other methods a quantity is offered."""
    offers = [offer for tenant in list_active_tenants() for offer in tenant.attributes["offers"]]
    methods = sorted({offer["method"] for offer in offers if offer["quantity"] == quantity})
    return f", but by {', '.join(methods)}" if methods else ", and nobody offers it by another method"


@lru_cache(maxsize=1000)
def _find_offer(tenant: StoredNode, quantity: str, method: str) -> Offer | None:
    """Return what a tenant offers for a capability; kept, because reading limitations takes longer than checking."""
    for offer in tenant.attributes["offers"]:
        if (offer["quantity"], offer["method"]) == (quantity, method):
            return Offer.from_dict(offer)
    return None


def _candidate(tenant: StoredNode, method: str) -> Candidate:
    content = tenant.attributes
    return Candidate(content["tenant_uuid"], tenant.uuid, method, content["kind"], content["max_concurrent"])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
