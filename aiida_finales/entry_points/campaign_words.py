"""A campaign in words and numbers, for lists, progress, report and JSON."""

from __future__ import annotations

from typing import Any

from aiida_finales.entry_points.overview import Evaluation, Expected, Overview
from aiida_finales.entry_points.records import molality_or_none
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.science.composition import describe


def describe_overview(overview: Overview) -> dict[str, Any]:
    """Return a campaign as a row."""
    best, recommended = overview.best, overview.recommendation
    return {
        "name": overview.name,
        "pk": overview.pk,
        "state": overview.process_state,
        "quantity": overview.campaign.quantity,
        "target": overview.target,
        "sources": list(overview.campaign.sources),
        "evaluations": f"{overview.n_done} of {overview.n_limit}" if overview.n_limit else str(overview.n_done),
        "known_before": len(overview.evaluations) - overview.n_done,
        "in_flight": len(overview.open_requests),
        "best_value": best.value if best else None,
        "unit": overview.unit,
        "best_formulation": describe(best.fractions) if best else None,
        "best_result": best.pk if best else None,
        "simulated": any(item.is_simulated for item in overview.evaluations),
        "recommended_formulation": describe(recommended.fractions) if recommended else None,
        "recommended_mean": recommended.mean if recommended else None,
        "recommended_sd": recommended.sd if recommended else None,
        "stop_reason": overview.stop_reason,
    }


def open_lines(overview: Overview) -> list[str]:
    """Return what is under way."""
    return [f"request <{pk}> {status}" for pk, status in overview.open_requests.items()]


def progress_words(overview: Overview) -> str:
    """Return one line that says how far a campaign is."""
    limit = f"/{overview.n_limit}" if overview.n_limit else ""
    best = overview.best
    found = f"best {best.value:.4g} {overview.unit} ({describe(best.fractions, 3)})" if best else "nothing found yet"
    return f"{overview.n_done}{limit} evaluations, {len(overview.open_requests)} in flight, {found}"


def final_words(overview: Overview) -> list[str]:
    """Return what a campaign found."""
    lines = [f"campaign {overview.name!r} {overview.process_state}: {overview.stop_reason or 'no reason given'}"]
    best, expected = overview.best, overview.recommendation
    if best:
        lines.append(f"best measured: {best.value:.5g} {overview.unit} at {describe(best.fractions)}, <{best.pk}>")
    if expected:
        lines.append(
            f"recommended:   {expected.mean:.5g} ± {expected.sd:.2g} {overview.unit} at {describe(expected.fractions)}"
        )
    if best:
        lines.append(f"next: 'aiida-finales why {best.pk}', 'aiida-finales campaign report {overview.name}'")
    return lines


def table_rows(overview: Overview) -> list[dict[str, Any]]:
    """Return one row per result, then the recommendation; fractions in mol/mol, molality in mol/kg of solvent."""
    rows = [_row(item, overview) for item in overview.evaluations]
    if overview.recommendation:
        rows.append(_recommended_row(overview.recommendation, overview))
    return rows


def print_table(overview: Overview) -> str:
    """Return the table as text."""
    from tabulate import tabulate

    keys = ("number", "source", *_labels(overview), "molality", "value", "rating", "expected", "expected_sd", "remark")
    rows = [[row.get(key) for key in keys] for row in table_rows(overview)]
    title = f"{overview.campaign.quantity} in {overview.unit}, mole fractions, molality in mol/kg of solvent"
    headers = [key.replace("_", " ") for key in keys]
    return f"{title}\n{tabulate(rows, headers=headers, floatfmt='.4f', missingval='-')}"


def _labels(overview: Overview) -> list[str]:
    return [f"x_{chemical_label(name)}" for name in overview.components]


def _row(item: Evaluation, overview: Overview) -> dict[str, Any]:
    best = overview.best
    remarks = [
        word
        for word, is_so in (
            ("best", best is not None and item.uuid == best.uuid),
            ("known before", item.is_known),
            ("does not count", not item.is_used),
            ("simulated", item.is_simulated),
        )
        if is_so
    ]
    return {
        "number": item.number,
        "source": item.source,
        **_shares(item.fractions, overview),
        "molality": molality_or_none(dict(item.fractions)),
        "value": item.value,
        "rating": item.rating,
        "expected": item.expected.mean if item.expected else None,
        "expected_sd": item.expected.sd if item.expected else None,
        "remark": ", ".join(remarks),
        "uuid": item.uuid,
    }


def _recommended_row(expected: Expected, overview: Overview) -> dict[str, Any]:
    return {
        "source": overview.target,
        **_shares(expected.fractions, overview),
        "molality": molality_or_none(dict(expected.fractions)),
        "expected": expected.mean,
        "expected_sd": expected.sd,
        "remark": "recommended",
    }


def _shares(fractions: Any, overview: Overview) -> dict[str, float]:
    return {f"x_{chemical_label(name)}": fractions.get(name, 0.0) for name in overview.components}
