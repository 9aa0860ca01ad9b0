"""A campaign in words and numbers, for lists, progress, report and JSON."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from typing import Any

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.tenant import name_tenants
from aiida_finales.operations.campaign.evaluation import Evaluation, Expected
from aiida_finales.operations.campaign.front import KINDS, describe_fronts, front_lines, point_lines
from aiida_finales.operations.campaign.naming import goal_words, place_words, variable_units
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.request.records import describe_wait, is_alone
from aiida_finales.schemas.campaign import is_any_temperature, list_doubts
from aiida_finales.schemas.chemicals import chemical_label, molality_or_none
from aiida_finales.schemas.values import PER_CELL, format_column, format_value
from aiida_finales.schemas.words import count

#: why a campaign without process does not go on
DELETED = "its process was deleted under it ('verdi node delete'); a back-up may still have it"


def describe_overview(overview: Overview) -> dict[str, Any]:
    """Return a campaign as a row."""
    best, recommended = overview.best, overview.recommendation
    goals = overview.campaign.goals.values()
    numbers = [goal.number for goal in goals if goal.number]
    return {
        "name": overview.name,
        "pk": overview.pk,
        "state": overview.state,
        "quantity": ", ".join(dict.fromkeys(str(goal.quantity) for goal in goals)),
        **({"number": ", ".join(numbers)} if numbers else {}),
        "target": ", ".join(overview.campaign.targets),
        "sources": list(overview.campaign.sources),
        "evaluations": f"{overview.n_done} of {overview.n_limit}" if overview.n_limit else str(overview.n_done),
        "left_out": len(overview.left_out),
        "known_before": sum(item.is_known for item in overview.evaluations),
        "budget": budget_words(overview),
        "temperature": temperature_words(overview),
        "in_flight": len(overview.open_requests),
        "best_value": best.value if best else None,
        "best_uncertainty": best.uncertainty if best else None,
        "unit": overview.unit if len(overview.campaign.optimised) == 1 else None,
        "best_formulation": place_words(best, overview) if best else None,
        "best_result": best.pk if best else None,
        "simulated": any(item.is_simulated for item in overview.evaluations),
        "recommended_formulation": place_words(recommended, overview) if recommended else None,
        "recommended_mean": recommended.mean if recommended else None,
        "recommended_sd": recommended.sd if recommended else None,
        "recommended_doubtful": overview.is_doubtful,
        "stop_reason": overview.stop_reason,
        "cure": failure_cure(overview.name, overview.pk) if overview.has_failed else None,
        "troubles": list(overview.troubles),
        **describe_fronts(overview),
    }


def say_overview(overview: Overview) -> dict[str, Any]:
    """Return a campaign as a row for people: its objectives and fronts in sentences, of a long front some points."""
    described = describe_overview(overview)
    goals = overview.campaign.goals
    said = {f"front_{kind}": list(point_lines(overview, kind)) for kind in KINDS if described.get(f"front_{kind}")}
    if "objectives" in described:
        said["objectives"] = [f"{name}: {goal_words(goal.model_dump())}" for name, goal in goals.items()]
    return {**described, **said}


def tell_front(row: dict[str, Any]) -> dict[str, Any]:
    """Return a campaign as a row of a list: of several objectives, how many points no other one surpasses."""
    front = row.get("front_measured")
    return {**row, "best_value": f"front of {len(front)}"} if front else row


def describe_vanished(group: CampaignGroup) -> dict[str, Any]:
    """Return a campaign whose process was deleted, as a row."""
    return {"name": group.label, "pk": None, "state": "deleted", "stop_reason": DELETED, "cure": None}


def open_lines(overview: Overview) -> list[str]:
    """Return what is under way, and whom it waits for."""
    names = name_tenants() if overview.open_states else {}
    lines = []
    for pk, state in overview.open_states.items():
        cure = f": 'aiida-finales request retract {pk} --reason ...', or add a tenant" if is_alone(state) else ""
        lines.append(f"request <{pk}> {state['status']}: {describe_wait(state, names)}{cure}")
    return lines


def troubled_lines(overview: Overview) -> list[str]:
    """Return what is under way and waits for somebody who is not there."""
    states = overview.open_states.values()
    return [
        line
        for line, state in zip(open_lines(overview), states, strict=True)
        if is_alone(state) or state.get("needs_operator") or (state["status"] == "pending" and state.get("away"))
    ]


def budget_words(overview: Overview) -> str | None:
    """Return what was spent, of what may be."""
    allowed = overview.campaign.stop.budget
    if overview.spent is None:
        return None if allowed is None else f"of {allowed:g}"
    return f"{overview.spent:g}" if allowed is None else f"{overview.spent:g} of {allowed:g}"


def temperature_words(overview: Overview) -> str | None:
    """Return the temperature at which results count; ``None`` where the quantity knows none, or it varies."""
    if overview.temperature is not None and "temperature" not in overview.campaign.variables:
        return f"{overview.temperature:g} K"
    return "any" if is_any_temperature(overview.campaign) else None


def warnings_at_start(overview: Overview) -> list[str]:
    """Return what whoever starts a campaign may not have meant."""
    return [*overview.troubles, *list_doubts(overview.campaign, max(2, len(overview.components)))]


def failure_cure(name: str, pk: int) -> str:
    """Return what to do about a campaign that failed."""
    quoted = shlex.quote(name)
    return (
        f"'aiida-finales campaign report {quoted}' shows its results and why some do not count, 'verdi process report "
        f"{pk}' what happened; when the cause is mended, 'aiida-finales campaign continue {quoted}' goes on "
        "with what was measured"
    )


def progress_words(overview: Overview) -> str:
    """Return one line that says how far a campaign is."""
    limit = f"/{overview.n_limit}" if overview.n_limit else ""
    best = overview.best
    found = "nothing found yet"
    if overview.front:
        found = f"{count(len(overview.front.measured), 'measured point')} that no other one surpasses"
    elif overview.n_done and len(overview.campaign.optimised) > 1:
        found = "the front is told once there is a model"
    if best:
        where = f"{place_words(best, overview, 3)}{_at_unless_told(best.temperature, overview)}"
        found = f"best {_measured(best, overview)} ({where})"
    left_out = f", {len(overview.left_out)} left out" if overview.left_out else ""
    budget = "" if overview.campaign.stop.budget is None else f", budget {budget_words(overview)}"
    done = f"{overview.n_done}{limit} evaluations" if limit else count(overview.n_done, "evaluation")
    words = f"{done}{left_out}, {len(overview.open_requests)} in flight{budget}, {found}"
    return f"{words}; no tenant can serve what waits" if any(map(is_alone, overview.open_states.values())) else words


def final_words(overview: Overview) -> list[str]:
    """Return what a campaign found."""
    lines = [f"campaign {overview.name!r} {overview.state}: {overview.stop_reason or 'no reason given'}"]
    best, expected = overview.best, overview.recommendation
    if best:
        where = f"{place_words(best, overview)}{_at_unless_told(best.temperature, overview)}"
        lines.append(f"best measured: {_measured(best, overview)} at {where}, <{best.pk}>")
    if expected:
        is_any = temperature_words(overview) == "any" and not overview.campaign.categories
        at = " at any temperature" if is_any else _at(overview.temperature)
        where = place_words(expected, overview) + ("" if "temperature" in overview.campaign.variables else at)
        words = format_value(expected.mean, expected.sd, overview.unit)
        lines.append(f"recommended:   {words} at {where}")
    lines += front_lines(overview)
    if overview.campaign.stop.budget is not None:
        lines.append(f"budget:        {budget_words(overview)}")
    lines += [f"note: {words}" for words in overview.troubles]
    if overview.has_failed:
        lines.append(f"cure: {failure_cure(overview.name, overview.pk)}")
    elif best:
        lines.append(f"next: 'aiida-finales why {best.pk}', 'aiida-finales campaign report {overview.name}'")
    return lines


def _at_unless_told(temperature: float | None, overview: Overview) -> str:
    return "" if "temperature" in overview.campaign.variables else _at(temperature)


def _at(temperature: float | None) -> str:
    return "" if temperature is None else f" at {temperature:g} K"


def _measured(item: Evaluation, overview: Overview) -> str:
    return format_value(item.value, item.uncertainty, overview.unit)


def table_rows(overview: Overview) -> list[dict[str, Any]]:
    """Return one row per result, then the recommendation; fractions in mol/mol, molality in mol/kg of solvent."""
    rows = [_row(item, overview) for item in overview.evaluations]
    if overview.recommendation:
        rows.append(_recommended_row(overview.recommendation, overview))
    return rows


def print_table(overview: Overview) -> str:
    """Return the table as text."""
    from tabulate import tabulate

    rows = format_rows(table_rows(overview))
    campaign = overview.campaign
    cells = ("spread", "n_valid", "n_values") if campaign.quantity in PER_CELL else ()
    shown = ("value", *cells, "rating", "expected") if len(campaign.goals) == 1 else (*campaign.goals, "rating")
    keys = (
        "number",
        "source",
        *_labels(overview),
        "molality",
        *campaign.variables,
        *campaign.categories,
        *shown,
        "remark",
    )
    at = temperature_words(overview)
    where = "" if at is None else " at any temperature" if at == "any" else f" at {at}"
    values = f"{campaign.quantity}{where} in {overview.unit or '1'}"
    if len(campaign.goals) > 1 or next(iter(campaign.goals.values())).number:
        values = ", ".join(f"{name} in {unit or '1'}" for name, unit in overview.units.items()) + where
    varied = "".join(f", {name} in {unit}" for name, unit in variable_units(overview).items() if unit)
    title = f"{values}, mole fractions, molality in mol/kg of solvent{varied}"
    if any(" ± " in row["value"] + row["expected"] for row in rows):
        title += "; ± one standard deviation"
    table = [[row.get(key, "-") for key in keys] for row in rows]
    words = tabulate(table, headers=[key.replace("_", " ") for key in keys], disable_numparse=True)
    return f"{title}\n{words}"


#: columns of a campaign's table that have their uncertainty in another one
_WITH_UNCERTAINTY = {"value": "uncertainty", "expected": "expected_sd"}


def format_rows(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the rows of a table as people read them: value ± uncertainty, one number of digits per column."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = {key: [row.get(key) for row in rows] for key in keys}
    words = {key: _format_cells(key, cells, columns) for key, cells in columns.items()}
    return [{key: words[key][index] for key in keys} for index in range(len(rows))]


def _format_cells(key: str, cells: list[Any], columns: dict[str, list[Any]]) -> list[str]:
    if key.startswith("x_"):
        return ["-" if cell is None else f"{cell:.4f}" for cell in cells]
    if any(isinstance(cell, float) for cell in cells):
        return format_column(cells, columns.get(_WITH_UNCERTAINTY.get(key, "")))
    return ["-" if cell is None or cell == "" else str(cell) for cell in cells]


def count_rows(overviews: Iterable[Overview]) -> list[dict[str, Any]]:
    """Return how many results and single values (repetitions, cells) each source gave, and how many of them count."""
    rows = []
    for overview in overviews:
        for source in dict.fromkeys([*overview.campaign.sources, *(item.source for item in overview.evaluations)]):
            found = [item for item in overview.evaluations if item.source == source]
            reasons = Counter(item.against for item in found if item.against)
            # of a number of a result there are no single values: it is one
            n_values = sum(len(item.values) or item.value is not None for item in found)
            n_valid = sum(item.n_valid if item.values else item.is_used and item.value is not None for item in found)
            rows.append(
                {
                    "campaign": overview.name,
                    "quantity": _quantity_of(source, overview),
                    "source": source,
                    "results": len(found),
                    "valid": len(found) - reasons.total(),
                    "invalid": reasons.total(),
                    "values": n_values,
                    "valid_values": n_valid,
                    "invalid_values": n_values - n_valid,
                    "known_before": sum(item.is_known for item in found),
                    "simulated": sum(item.is_simulated for item in found),
                    "reasons": dict(reasons),
                }
            )
    return rows


def _quantity_of(source: str, overview: Overview) -> str:
    """Return the quantity of a source, also of one that the campaign does not name: it started with its results."""
    campaign = overview.campaign
    return campaign.quantity_of(source) if source in campaign.sources else campaign.quantity


def _labels(overview: Overview) -> list[str]:
    return [f"x_{chemical_label(name)}" for name in overview.components]


def _row(item: Evaluation, overview: Overview) -> dict[str, Any]:
    best = overview.best
    remarks = [
        word
        for word, is_so in (
            ("best", best is not None and item.uuid == best.uuid),
            ("known before", item.is_known),
            (f"does not count: {item.against}", not item.is_used),
            ("simulated", item.is_simulated),
            (f"forces by {item.forces}", bool(item.forces)),
        )
        if is_so
    ]
    return {
        "number": item.number,
        "source": item.source,
        **_shares(item.fractions, overview),
        "molality": molality_or_none(item.fractions),
        **item.variables,
        **item.options,
        **(item.numbers if len(overview.campaign.goals) > 1 else {}),
        "value": item.value,
        "uncertainty": item.uncertainty,
        "spread": item.spread,
        "n_valid": item.n_valid,
        "n_values": len(item.values),
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
        "molality": molality_or_none(expected.fractions),
        **expected.variables,
        **expected.options,
        "expected": expected.mean,
        "expected_sd": expected.sd,
        "remark": "recommended",
    }


def _shares(fractions: Any, overview: Overview) -> dict[str, float]:
    return {f"x_{chemical_label(name)}": fractions.get(name, 0.0) for name in overview.components}
