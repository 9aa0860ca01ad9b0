"""What a campaign would look for, before it starts: its space, tenants, costs and time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from aiida import orm

from aiida_finales.broker.results import list_results
from aiida_finales.calculations.suggest import describe_point
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import read_facts, read_number
from aiida_finales.operations.campaign.naming import goal_words
from aiida_finales.operations.campaign.start import CampaignPlan
from aiida_finales.operations.campaign.troubles import tell_strangers
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.problem import Problem
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.schemas import Json
from aiida_finales.schemas.campaign import CampaignFile, SourceSection, StopSection, doubt_references, list_doubts
from aiida_finales.schemas.campaign.doubts import N_INITIAL
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.values import format_number
from aiida_finales.schemas.words import count
from aiida_finales.workflows.problem import build_problem, list_unheeded, read_unit
from aiida_finales.workflows.training import choose_training

#: sample points that are shown of each source
N_SAMPLES = 3
#: latest results by which one judges how long an answer takes
N_TIMES = 50
#: extent (mole fraction) below which a component does not vary
STILL = 1e-7


def describe_plan(plan: CampaignPlan) -> Json:
    """Return what a campaign would look for: space, tenants, costs and time; nothing is stored."""
    campaign = plan.campaign
    document = build_problem(campaign)
    problem = Problem.from_dict(document["problem"])
    sources = [_describe_source(name, section, problem, document) for name, section in campaign.sources.items()]
    shares = _share_evaluations(campaign, [item["source"] for item in sources if item["ask"]])
    for item in sources:
        item["evaluations"] = shares.get(item["source"])
    return {
        "name": campaign.name,
        "objectives": {
            name: goal.model_dump(exclude_none=True, exclude={"sources"}) for name, goal in campaign.goals.items()
        },
        "categories": {item.name: list(item.options) for item in problem.categories},
        "one_of": {name: list(map(chemical_label, group)) for name, group in problem.one_of.items()},
        "variables": {
            item.name: {"min": item.lower, "max": item.upper, "unit": item.unit} for item in problem.variables
        },
        "fixed": campaign.fixed,
        "units": {path: read_unit(campaign, path) for path, _ in _list_leaves(campaign.fixed)},
        "components": [chemical_label(name) for name in problem.components],
        "sources": sources,
        "together": _describe_together(campaign, problem, sources),
        "left_out": document["left_out"],
        "doubts": [
            *tell_strangers(document, campaign.targets),
            *_tell_unheeded(campaign),
            *list_doubts(campaign, len(problem.components)),
            *doubt_references(campaign, _known_values(campaign, document)),
        ],
        "initial": campaign.initial if campaign.initial is not None else N_INITIAL + len(problem.components),
        "stop": campaign.stop.model_dump(exclude_none=True),
        "policy": campaign.policy,
        "scalarise": campaign.scalarise,
        "weights": dict(campaign.weights),
        "cost": _total_cost(sources, str(campaign.policy), campaign.stop),
        "duration": _total_time(sources, campaign.stop.budget),
    }


def _describe_together(campaign: CampaignFile, problem: Problem, sources: list[Json]) -> list[Json]:
    """Return the space in which all targets are asked for the same points; nothing where that is the space of each.

    :raises InputError: when no point is in the spaces of all.
    """
    own = [item["regions"] for item in sources if item["source"] in campaign.targets]
    if not all(own):  # somebody is missing, which is said with the source
        return []
    shared = _describe_regions(DesignSpace.shared(problem, campaign.targets), problem, is_coupled=False)
    return [] if all(regions == shared for regions in own) or len(own) == 1 else shared


def _tell_unheeded(campaign: CampaignFile) -> Iterator[str]:
    """Yield which sources know nothing of a category."""
    for source in campaign.sources:
        if unheeded := list_unheeded(campaign, source):
            words = " and ".join(f"category {name!r}" for name in unheeded)
            yield f"source {source!r} knows nothing of {words}: what it answers is the same for all options"


def _known_values(campaign: CampaignFile, document: Json) -> dict[str, list[float]]:
    """Return what the results of the last time tell, by objective, as far as they are of its space."""
    found: dict[str, list[float]] = {}
    for name, goal in campaign.optimised.items():
        key = campaign.capability_of(str(goal.target))
        results = [node for node, _ in list_results(key[0], (key[1],), N_TIMES)]
        used, _ = choose_training(campaign, results, document["problem"]["components"])
        facts = read_facts(used)
        told = [read_number(facts[node.uuid], str(goal.quantity), goal.number) for node in used]
        found[name] = [value for value in told if value is not None]
    return found


def _describe_source(name: str, section: SourceSection, problem: Problem, document: Json) -> Json:
    """Return the space of a source, who serves it, what it costs and how long an answer takes."""
    how, source = document["requests"][name], problem.sources[problem.index(name)]
    space = DesignSpace.of_source(problem, name) if document["tenants"][name] else None
    seconds = _typical_seconds(how["quantity"], how["method"])
    return {
        "source": name,
        "method": how["method"],
        "ask": section.ask,
        "tenants": [orm.load_node(uuid).name for uuid in document["tenants"][name]],
        "regions": [] if space is None else _describe_regions(space, problem, is_coupled=bool(source.beside)),
        "samples": [] if space is None else _draw_samples(space, problem),
        "cost": source.cost,
        "seconds": seconds,
        "max_in_flight": section.max_in_flight,
    }


def _describe_regions(space: DesignSpace, problem: Problem, *, is_coupled: bool) -> list[Json]:
    """Return each region, and what goes with it where that is not the same for all."""
    found = []
    for region, side in zip(space.regions, space.sides, strict=True):
        beside: Json = {}
        for variable, piece in zip(problem.variables, side.pieces, strict=True):
            beside[variable.name] = [f"{low:g} to {high:g} {variable.unit}".rstrip() for low, high in piece]
        for k, category in enumerate(problem.categories):
            beside[category.name] = [category.options[int(code)] for code in np.unique(side.choices[:, k])]
        found.append(_describe_region(region, problem) | ({"beside": beside} if is_coupled else {}))
    return found


def _describe_region(region: Any, problem: Problem) -> Json:
    """Return the ranges of a region as they are left by all its constraints, and the share of all mixtures in it."""
    polytope = Polytope.from_region(region)
    low, high = polytope.corners.min(axis=0), polytope.corners.max(axis=0)
    return {
        "ranges": {
            chemical_label(name): [round(float(a), 6) + 0.0, round(float(b), 6) + 0.0]
            for name, a, b in zip(problem.components, low, high, strict=True)
            if b > STILL
        },
        "free": polytope.dimension,
        "constraints": len(region.bound),
        "volume": _share_of_mixtures(polytope, len(problem.components)),
    }


def _share_of_mixtures(polytope: Polytope, n_components: int) -> float | None:
    """Return the share of all mixtures of the components, by volume; ``None`` for a region that is flat among them."""
    if polytope.dimension < n_components - 1:
        return None
    edges = polytope.simplices[:, 1:] - polytope.simplices[:, :1]
    own = np.abs(np.linalg.det(edges)).sum() / math.factorial(polytope.dimension)
    volume = own * float(np.prod(np.linalg.norm(polytope.axes, axis=1)))
    return volume * math.factorial(n_components - 1) / math.sqrt(n_components)


def _draw_samples(space: DesignSpace, problem: Problem) -> list[str]:
    points, _ = space.sample(N_SAMPLES, np.random.default_rng(problem.settings.seed))
    document = problem.to_dict()
    return [describe_point(document, *problem.decode(space.round(point)[0].tolist())) for point in points]


def _typical_seconds(quantity: str, method: str) -> float | None:
    """Return the median time from request to result of what was answered here by a method; ``None`` without any."""
    results = {node.request_uuid: node.ctime for node, _ in list_results(quantity, (method,), N_TIMES)}
    uuids = [uuid for uuid in results if uuid]
    if not uuids:
        return None
    query = orm.QueryBuilder().append(RequestData, filters={"uuid": {"in": uuids}}, project=["uuid", "ctime"])
    times = [(results[uuid] - ctime).total_seconds() for uuid, ctime in query.all()]
    return median(times) if times else None


def _share_evaluations(campaign: CampaignFile, asked: list[str]) -> dict[str, int]:
    """Return how many evaluations each source gets, or may get where the model chooses; none without an end."""
    total = campaign.stop.evaluations
    names = [name for name in asked if campaign.policy != "target" or name in campaign.targets] or asked
    if total is None or not names:
        return {}
    most = {name: min(total, campaign.sources[name].evaluations or total) for name in names}
    if campaign.policy == "information":
        return most
    shares: dict[str, int] = {}
    for place, name in enumerate(sorted(names, key=most.__getitem__)):  # what one may not have is left to the others
        rest, n_others = total - sum(shares.values()), len(names) - place
        shares[name] = min(most[name], -(-rest // n_others))
    return {name: shares[name] for name in names}


def _total_cost(sources: list[Json], policy: str, stop: StopSection) -> float | None:
    """Return what all evaluations cost; where the model chooses whom to ask, what they cost at most."""
    known = sorted((item for item in sources if item["evaluations"]), key=lambda item: item["cost"], reverse=True)
    if not known:
        return stop.budget
    cost, left = 0.0, stop.evaluations or 0
    for item in known:  # at most: the dearest as often as they may be asked
        number = min(left, item["evaluations"]) if policy == "information" else item["evaluations"]
        cost, left = cost + item["cost"] * number, left - number
    return cost if stop.budget is None else min(cost, stop.budget)


def _total_time(sources: list[Json], budget: float | None) -> str:
    """Return how long the evaluations may take, in words: the slowest source decides, as they work side by side."""
    asked = [item for item in sources if item["ask"]]
    unknown = [item["source"] for item in asked if item["seconds"] is None]
    if unknown:
        return f"not known: nobody has answered {', '.join(unknown)} here yet"
    numbers = {item["source"]: item["evaluations"] for item in asked if item["evaluations"]}
    if budget is not None:  # whoever is asked alone for all of it takes longest
        affordable = {item["source"]: int(budget / item["cost"]) for item in asked}
        numbers = {name: min(number, numbers.get(name, number)) for name, number in affordable.items()}
    if not numbers:
        return "no end: 'stop' has neither evaluations nor a budget"
    most = "at most " if budget is not None else "about "
    slowest = max(item["seconds"] * numbers.get(item["source"], 0) / item["max_in_flight"] for item in asked)
    return f"{most}{_words(slowest)}, by what answers took here so far"


def _words(seconds: float) -> str:
    """Return a duration in its nearest unit."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def plan_lines(plan: Json) -> list[str]:
    """Return what a campaign would look for, in words."""
    lines = [f"campaign {plan['name']!r}"]
    lines += [f"objective {name}: {goal_words(goal)}" for name, goal in plan["objectives"].items()]
    for name, item in plan["variables"].items():
        lines.append(f"variable {name}: {item['min']:g} to {item['max']:g} {item['unit']}".rstrip())
    lines += [f"category {name}: {' or '.join(options)}" for name, options in plan["categories"].items()]
    lines += [f"one of: {' or '.join(names)} ({name})" for name, names in plan["one_of"].items()]
    if plan["scalarise"]:
        lines.append(_scalar_words(plan))
    if plan["fixed"]:
        leaves = _list_leaves(plan["fixed"])
        told = (f"{path} {_value_words(value)} {plan['units'].get(path, '')}".rstrip() for path, value in leaves)
        lines.append(f"fixed: {', '.join(told)}")
    lines.append(f"components: {', '.join(plan['components'])}")
    most = "at most " if plan["policy"] == "information" else ""
    is_budget = plan["cost"] is not None and plan["cost"] == plan["stop"].get("budget")
    for item in plan["sources"]:
        lines += _source_lines(item, most)
    if plan["together"]:
        lines.append("\nall targets are asked for the same points, within what all of them can do:")
        lines += _region_lines(plan["together"])
    lines += [f"note: {words}" for words in (*plan["left_out"], *plan["doubts"])]
    lines.append(f"first {plan['initial']} suggestions fill the space, then the model chooses")
    lines.append(_end_words(plan["stop"]))
    ceiling = "at most " if is_budget else most
    lines.append(f"costs: {'not limited' if plan['cost'] is None else ceiling + format_number(plan['cost'])}")
    lines.append(f"time: {plan['duration']}")
    return lines


def _list_leaves(given: Json, around: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what stands at the ends of an object, with its dotted keys."""
    for key, value in given.items():
        path = f"{around}{key}"
        if isinstance(value, dict) and value:
            yield from _list_leaves(value, f"{path}.")
        else:
            yield path, value


def _value_words(value: Any) -> str:
    if isinstance(value, str):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:g}" if is_number else json.dumps(value, ensure_ascii=False)


def _source_lines(item: Json, most: str) -> Iterator[str]:
    tenants = ", ".join(item["tenants"]) or "nobody"
    role = "asked" if item["ask"] else "learned from, not asked"
    number = f", {most}{count(item['evaluations'], 'evaluation')}" if item.get("evaluations") else ""
    yield f"\nsource {item['source']}: {role}, served by {tenants}, cost {format_number(item['cost'])}{number}"
    yield from _region_lines(item["regions"])
    yield from (f"  for example {words}" for words in item["samples"])


def _region_lines(regions: Sequence[Json]) -> Iterator[str]:
    for index, region in enumerate(regions, start=1):
        ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in region["ranges"].items())
        share = "" if region["volume"] is None else f", {region['volume']:.2g} of all their mixtures by volume"
        free, rows = count(region["free"], "free direction"), count(region["constraints"], "linear constraint")
        yield f"  region {index}: {ranges} (mole fractions); {free}, {rows}{share}"
        if beside := region.get("beside"):
            words = (f"{name} {' or '.join(items)}" for name, items in beside.items())
            yield f"    with {', '.join(words)}"


def _scalar_words(plan: Json) -> str:
    how = "the worst of them" if plan["scalarise"] == "chebyshev" else "their weighted sum"
    weights = ", ".join(f"{name} {format_number(weight)}" for name, weight in plan["weights"].items())
    return f"made into one number: {how} ({plan['scalarise']}), weights {weights or 'drawn anew at each step'}"


def _end_words(stop: Json) -> str:
    """Return what ends a campaign."""
    ends = []
    if "evaluations" in stop:
        ends.append(count(stop["evaluations"], "evaluation"))
    if "budget" in stop:
        ends.append(f"costs of {format_number(stop['budget'])}")
    if "gain_tolerance" in stop:
        times = count(stop["gain_patience"], "suggestion")
        ends.append(f"{times} in a row that expect less than {stop['gain_tolerance']:g} of the spread of the values")
    first = f"after {' or '.join(ends)}" if ends else "when it is stopped, as 'stop' names no limit"
    return f"ends {first}, or when {count(stop['failures'], 'request')} in a row to a target tell nothing"
