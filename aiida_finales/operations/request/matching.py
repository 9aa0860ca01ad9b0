"""Who can serve a request, in words and as JSON."""

from __future__ import annotations

from typing import Any

from aiida_finales.broker.listing import read_attributes
from aiida_finales.broker.matching import Matching, Refusal
from aiida_finales.broker.requests import open_states
from aiida_finales.broker.sight import is_hidden
from aiida_finales.data.tenant import TenantData, find_tenant
from aiida_finales.schemas.formulation import find_fractions
from aiida_finales.schemas.limitations.offer import Offer, check
from aiida_finales.schemas.structure import get_at
from aiida_finales.schemas.words import count
from aiida_finales.science.electrolyte.composition import describe

_NOBODY = "no active tenant offers {quantity} by the methods of the request"


def describe_matching(matching: Matching) -> dict[str, Any]:
    """Return the outcome of matching as plain JSON."""
    refusals = [
        {
            "tenant": refusal.tenant,
            "method": refusal.method,
            "findings": [
                {"path": item.path, "given": item.given, "allowed": item.allowed} for item in refusal.findings
            ],
            "nearest": refusal.nearest,
        }
        for refusal in matching.refusals
    ]
    candidates = [{**item.to_dict(), "name": find_tenant(item.tenant).name} for item in matching.candidates]
    return {"feasible": matching.is_feasible, "candidates": candidates, "refusals": refusals}


def explain_matching(quantity: str, matching: Matching) -> list[str]:
    """Return the outcome of matching, line by line."""
    if not matching.candidates and not matching.refusals:
        return [f"no: {_NOBODY.format(quantity=quantity)}"]
    lines = [
        f"{'yes' if matching.is_feasible else 'no'}: {count(len(matching.candidates), 'tenant')} can serve this request"
    ]
    lines += [f"  {find_tenant(item.tenant).name} by {item.method} ({item.kind})" for item in matching.candidates]
    for refusal in matching.refusals:
        lines += [_head_of(refusal), *(f"  {words}" for words in _list_reasons(refusal))]
    return lines


def explain_refusals(quantity: str, matching: Matching) -> str:
    """Return in one sentence why nobody can serve a request, and what is the nearest that somebody can."""
    if not matching.refusals:
        return _NOBODY.format(quantity=quantity)
    told = (f"{_head_of(refusal)} {'; '.join(_list_reasons(refusal))}" for refusal in matching.refusals)
    return f"no active tenant can serve this request; {'; '.join(told)}"


def _head_of(refusal: Refusal) -> str:
    return f"{refusal.tenant} by {refusal.method} cannot:"


def _list_reasons(refusal: Refusal) -> list[str]:
    return [*(item.phrase(refusal.tenant) for item in refusal.findings), _tell_nearest(refusal)]


def weigh_change(tenant: TenantData, offers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what other offers of a tenant would do to the open requests; nothing is changed.

    ``lost`` are the pks of pending requests that it could serve no longer, ``orphaned`` those of them that nobody else
    can serve either, ``gained`` those that it could serve then; ``n_open`` is the number of those that were looked at.

    :param offers: empty: it is given no requests any more.
    """
    new = {(offer.quantity, offer.method): offer for offer in map(Offer.from_dict, offers)}
    lost, orphaned, gained = [], [], []
    pending = {pk: state for pk, state in open_states().items() if state["status"] == "pending" and not is_hidden(pk)}
    for pk, content in read_attributes(pending).items():
        candidates = pending[pk].get("candidates", ())
        can_now = any(item["tenant"] == tenant.tenant_uuid for item in candidates)
        can_then = any(
            (offer := new.get((content["quantity"], method))) is not None and not check(offer, given)
            for method, given in content["parameters"].items()
        )
        if can_now and not can_then:
            lost.append(pk)
            if all(item["tenant"] == tenant.tenant_uuid for item in candidates):
                orphaned.append(pk)
        elif can_then and not can_now:
            gained.append(pk)
    return {"lost": lost, "orphaned": orphaned, "gained": gained, "n_open": len(pending)}


def _tell_nearest(refusal: Refusal) -> str:
    if refusal.nearest is None:
        return "nothing near it is possible"
    words = []
    fractions = find_fractions(refusal.nearest)
    if fractions:
        words.append(f"formulation {describe(fractions)}")
    if refusal.nearest.get("temperature") is not None:
        words.append(f"temperature {refusal.nearest['temperature']:g} K")
    for path in dict.fromkeys(item.path for item in refusal.findings if item.path != "temperature"):
        value = get_at(refusal.nearest, tuple(path.split(".")))
        if isinstance(value, (str, int, float)):
            words.append(f"{path} {value}")
    return f"the nearest it can do: {', '.join(words) or refusal.nearest}"
