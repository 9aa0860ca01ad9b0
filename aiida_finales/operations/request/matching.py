"""Who can serve a request, in words and as JSON."""

from __future__ import annotations

from typing import Any

from aiida_finales.broker.matching import Matching, Refusal
from aiida_finales.data.tenant import find_tenant
from aiida_finales.schemas.formulation import find_fractions
from aiida_finales.schemas.words import count
from aiida_finales.science.electrolyte.composition import describe


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
        return [f"no: no active tenant offers {quantity} by the methods of the request"]
    lines = [
        f"{'yes' if matching.is_feasible else 'no'}: {count(len(matching.candidates), 'tenant')} can serve this request"
    ]
    lines += [f"  {find_tenant(item.tenant).name} by {item.method} ({item.kind})" for item in matching.candidates]
    for refusal in matching.refusals:
        lines.append(f"{refusal.tenant} by {refusal.method} cannot:")
        lines += [f"  {item.phrase(refusal.tenant)}" for item in refusal.findings]
        lines += _nearest_lines(refusal)
    return lines


def _nearest_lines(refusal: Refusal) -> list[str]:
    if refusal.nearest is None:
        return ["  nothing near it is possible"]
    words = []
    fractions = find_fractions(refusal.nearest)
    if fractions:
        words.append(f"formulation {describe(fractions)}")
    if refusal.nearest.get("temperature") is not None:
        words.append(f"temperature {refusal.nearest['temperature']:g} K")
    return [f"  the nearest it can do: {', '.join(words)}" if words else f"  the nearest it can do: {refusal.nearest}"]
