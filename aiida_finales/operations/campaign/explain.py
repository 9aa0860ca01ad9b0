"""What the model of a campaign has learned, how far to believe it, and which results speak against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from aiida import orm

from aiida_finales.calculations.question import make_question, transform_of, units_of
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.result import ResultData, read_facts
from aiida_finales.exceptions import StatusError
from aiida_finales.operations.campaign.prospect import read_last_problem, read_training
from aiida_finales.operations.campaign.steer import list_known, read_campaign
from aiida_finales.operations.campaign.style import COLOURS, STYLE, label_of, new_canvas, pretty_unit, write_simulated
from aiida_finales.optimisation import explain
from aiida_finales.optimisation.problem import Observation, Problem
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.values import format_column, format_number, format_value
from aiida_finales.schemas.words import count
from aiida_finales.workflows.problem import build_problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOLE_FRACTION = "mole fraction"
#: results without which nothing can be said of a model
LEAST = 3
#: inches of one panel
PANEL = (3.2, 2.6)
#: residual from which it is said of how many such ones chance alone explains, in standard deviations
LARGE = 2.0


def explain_campaign(name: str) -> Json:
    """Return of each objective what its model has learned, how far to believe it, and what speaks against it.

    :raises StatusError: when there are too few results to say anything.
    """
    group = CampaignGroup.find(name)
    process, campaign = read_campaign(group)
    problem = read_last_problem(group) or build_problem(campaign)
    used, excluded = read_training(group, campaign, problem, list_known(process))
    if len(used) < LEAST:
        raise StatusError(f"campaign {name!r} learns from {count(len(used), 'result')}: at least {LEAST} are needed")
    question = make_question(problem, used, [], source="", step=0)
    rows = [Observation.from_dict(row) for row in question["observations"]]
    found = explain(Problem.from_dict(problem["problem"]), rows)
    units = units_of(problem)
    # of a campaign begun before there were several objectives the name of the only one says nothing
    renamed = {next(iter(units)): next(iter(found.values()))} if set(found) != set(units) else found
    scales = dict.fromkeys(problem["problem"]["components"], MOLE_FRACTION)
    scales |= {item["name"]: item["unit"] for item in problem["problem"].get("variables", ())}
    return {
        "campaign": name,
        "results": len(used),
        "simulated": any(facts.simulated for facts in read_facts(used).values()),
        "left_out": excluded,
        "objectives": {
            key: {**_name_things(item, scales), "unit": _unit_of(units[key], problem)} for key, item in renamed.items()
        },
    }


def _unit_of(unit: str, problem: Json) -> str:
    """Return the unit of what is explained: older campaigns with logarithms are explained on the scale of the model."""
    return f"log10 of {unit}" if transform_of(problem) == "log" else unit


def _name_things(item: Json, scales: Json) -> Json:
    """Return an explanation with the names of chemicals, units of all that has an effect, and results by pk.

    :param scales: unit by name of a component or variable; of categories there is none.
    """
    effects = [
        {**effect, "name": chemical_label(key), "key": key, "unit": scales.get(key, "")}
        for effect in item["effects"]
        for key in [effect["name"]]
    ]
    uuids = [row["uuid"] for row in item["against"]]
    query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": uuids}}, project=["uuid", "id"])
    pks = dict(query.all()) if uuids else {}
    return {**item, "effects": effects, "against": [{**row, "pk": pks.get(row["uuid"])} for row in item["against"]]}


def explanation_lines(found: Json) -> list[str]:
    """Return an explanation in words."""
    simulated = ", simulated ones among them" if found["simulated"] else ""
    lines = [f"campaign {found['campaign']!r}: the model has {count(found['results'], 'result')}{simulated}"]
    for name, item in found["objectives"].items():
        lines += [
            "",
            f"{name} / {item['unit'] or '1'}",
            *_effect_lines(item),
            *_sure_lines(item),
            *_against_lines(item),
        ]
    return lines


def _effect_lines(item: Json) -> list[str]:
    """Return the effect of each input, the strongest first."""
    lines = []
    for effect in item["effects"]:
        levels = effect["levels"]
        if not _has_range(effect):
            lines.append(f"  {_named(effect, effect['name'])}: does not vary, it is {_level(levels[0]['level'])}")
            continue
        best, worst = (pick(levels, key=lambda level: level["mean"]) for pick in (max, min))
        width = max(level["high"] - level["low"] for level in levels)
        sure = "" if effect["range"] > width / 2 else "; no more than the model is unsure of"
        high, low = format_column([best["mean"], worst["mean"]])
        lines.append(
            f"  {_named(effect, effect['name'])}: {low} at {_level(worst['level'])}, {high} at {_level(best['level'])} "
            f"(on average over the rest){sure}"
        )
    return lines


def _has_range(effect: Json) -> bool:
    """Return whether an input varies at all: what the campaign fixes has no effect that could be told."""
    return len({_level(level["level"]) for level in effect["levels"]}) > 1


def _named(effect: Json, name: str) -> str:
    """Return what has an effect, with the unit of its levels."""
    return f"{name} ({effect['unit']})" if effect.get("unit") else name


def _level(level: Any) -> str:
    return level if isinstance(level, str) else f"{level:.4g}"


def _sure_lines(item: Json) -> list[str]:
    told = item["left_out"]
    error, ratio, coverage = (told[key] for key in ("error", "error_to_spread", "coverage"))
    lines = [
        f"  how sure: each of {told['n']} results predicted from the others is missed by {format_number(error)} "
        f"({ratio:.0%} of the spread of the values); {coverage:.0%} are within their 95 % interval"
    ]
    is_log = item.get("scale") == "log"
    noise = ", ".join(f"{source} {_noise_words(sd, is_log=is_log)}" for source, sd in item["noise"].items())
    return [*lines, f"  noise of one result (sd): {noise}"]


def _noise_words(sd: float, *, is_log: bool) -> str:
    """Return a standard deviation; of logarithms as a share of the value."""
    return f"{100 * (10**sd - 1):.2g} % of the value" if is_log else format_number(sd)


def _against_lines(item: Json) -> list[str]:
    if not item["against"]:
        return [f"  no result speaks against it: none is further than {LARGE:g} standard deviations off"]
    return [
        f"  result <{row['pk'] or row['uuid']}> of {row['source']} speaks against it: {format_value(row['value'])}, "
        f"where {format_value(row['expected'])} was expected ({row['residual']:+.1f} standard deviations)"
        for row in item["against"]
    ]


def draw_effects(found: Json) -> Figure:
    """Draw the effect of each chemical and variable (columns) on each objective (rows), with the 95 % interval."""
    from matplotlib import rc_context

    rows = found["objectives"]
    every = [effect for item in rows.values() for effect in item["effects"]]
    shown = [effect for effect in every if _has_range(effect)] or every
    names = list(dict.fromkeys(effect["key"] for effect in shown))
    with rc_context(STYLE):
        figure = new_canvas((PANEL[0] * len(names), PANEL[1] * len(rows) + 0.5))
        grid = np.atleast_2d(np.asarray(figure.subplots(len(rows), len(names), sharey="row", squeeze=False)))
        for axes_of_row, (objective, item) in zip(grid, rows.items(), strict=True):
            effects = {effect["key"]: effect for effect in item["effects"]}
            for axes, name in zip(axes_of_row, names, strict=True):
                _draw_effect(axes, effects[name]["levels"])
                axes.set_xlabel(_named(effects[name], label_of(name)))
            axes_of_row[0].set_ylabel(f"{objective.replace('_', ' ')} / {pretty_unit(item['unit'])}")
        figure.suptitle(f"Effects, on average over the rest, with 95 % interval ({found['campaign']})", fontsize=12)
        if found["simulated"]:
            write_simulated(figure)
    return figure


def _draw_effect(axes: Any, levels: list[Json]) -> None:
    x = [level["level"] for level in levels]
    mean, low, high = (np.array([level[key] for level in levels], dtype=float) for key in ("mean", "low", "high"))
    if isinstance(x[0], str):
        axes.errorbar(x, mean, yerr=[mean - low, high - mean], fmt="o", color=COLOURS[0], capsize=3)
        return
    axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=COLOURS[0], linewidth=1.8)
