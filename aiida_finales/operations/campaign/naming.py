"""How what a campaign varies and wants is called: places, variables with their units, objectives."""

from __future__ import annotations

from typing import Any

from aiida_finales.operations.campaign.evaluation import Evaluation, Expected
from aiida_finales.operations.campaign.overview import FrontPoint, Overview
from aiida_finales.schemas import Json
from aiida_finales.schemas.values import format_value, unit_of
from aiida_finales.science.electrolyte.composition import describe


def name_units(row: dict[str, Any], overview: Overview) -> dict[str, Any]:
    """Return a point as a row for people: its molality and its variables with their units."""
    units = {**variable_units(overview), "molality": "mol/kg of solvent"}
    said = {key: format_value(row[key], None, unit) for key, unit in units.items() if row.get(key) is not None}
    return {**row, **said}


def variable_units(overview: Overview) -> dict[str, str]:
    """Return the symbol of the unit of each variable; empty where it has none."""
    units = {item["name"]: item["unit"] for item in (overview.problem or {}).get("variables", ())}
    return dict.fromkeys(overview.campaign.variables, "") | units


def place_words(point: Evaluation | Expected | FrontPoint, overview: Overview, digits: int = 4) -> str:
    """Return where something was measured or is expected: the composition, and what varies beside it."""
    units = variable_units(overview)
    varied = overview.campaign.variables, overview.campaign.categories
    words = [
        f"{key} {point.variables[key]:g} {units.get(key, '')}".rstrip() for key in varied[0] if key in point.variables
    ]
    words += [f"{key} {point.options[key]}" for key in varied[1] if key in point.options]
    return ", ".join([describe(point.fractions, digits), *words])


def goal_words(goal: Json) -> str:
    """Return what is wanted in words.

    :param goal: the section of an objective.
    """
    unit = unit_of(goal["quantity"], goal.get("number"))
    what = f"{goal['quantity']} ({goal['number']})" if goal.get("number") else goal["quantity"]
    words = [f"{goal.get('direction') or ''} {what} by {goal['target']}".lstrip()]
    limits = (("value", "to be"), ("at_least", "at least"), ("at_most", "at most"), ("reference", "reference"))
    words += [f"{word} {goal[key]:g} {unit}".rstrip() for key, word in limits if goal.get(key) is not None]
    return ", ".join([*words, *(["on a logarithmic scale"] if goal.get("transform") == "log" else [])])
