"""A campaign as a form asks for it: what can be optimised here, by whom; and the campaign file that follows."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from itertools import count

import yaml

from aiida_finales.data.tenant import list_tenants
from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.operations.campaign.charts import draw_space
from aiida_finales.operations.campaign.plan import describe_plan, plan_lines
from aiida_finales.operations.campaign.start import CampaignPlan
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import Chart
from aiida_finales.schemas.formulation import formulation_path, merge
from aiida_finales.schemas.limitations.offer import Offer, allowed_options, allowed_values
from aiida_finales.schemas.names import check_name
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.schemas.values import format_number, unit_of
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.space import DEFAULT_COST

#: K; where tenants allow it, a campaign is at 25 °C unless somebody says otherwise
ROOM = 298.15
#: evaluations of a campaign for which nobody said it
N_EVALUATIONS = 30
#: what is not to be as large as possible by nature
SMALL = ("viscosity", "density")


@dataclass(frozen=True)
class Askable:
    """A method that a campaign could ask.

    :param tenants: who offers it now.
    :param cost: as they declare it.
    :param temperature: K, lowest and highest of the ranges that they accept; ``None`` where they accept any.
    :param options: what one may choose, by the path in the parameters, such as electrodes.
    """

    quantity: str
    method: str
    tenants: tuple[str, ...]
    cost: float
    temperature: tuple[float, float] | None
    options: Mapping[str, tuple[str | float, ...]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Who it is and what it costs."""
        ends = self.temperature
        at = f", {ends[0]:g} to {ends[1]:g} K" if ends else ""
        return f"by {', '.join(self.tenants)}, cost {format_number(self.cost)}{at}"


def list_askable() -> dict[str, list[Askable]]:
    """Return by quantity what campaigns could ask of the active tenants: whatever has a composition to vary."""
    found: dict[tuple[str, str], list[tuple[str, Json]]] = {}
    for tenant in list_tenants():
        for offer in tenant.offers:
            found.setdefault((offer["quantity"], offer["method"]), []).append((tenant.name, offer))
    answer: dict[str, list[Askable]] = {}
    for (quantity, method), offers in sorted(found.items()):
        if unit_of(quantity) and any(_varies(quantity, offer) for _, offer in offers):
            cost = max(float(offer.get("cost") or DEFAULT_COST) for _, offer in offers)
            names = tuple(dict.fromkeys(name for name, _ in offers))
            ends, options = _temperatures([offer for _, offer in offers]), _options([offer for _, offer in offers])
            answer.setdefault(quantity, []).append(Askable(quantity, method, names, cost, ends, options))
    return answer


def _varies(quantity: str, offer: Json) -> bool:
    """Return whether an offer limits the composition: of others nobody knows what to vary."""
    path = formulation_path(quantity)
    node = offer.get("limitations") or {}
    for key in path:
        alternatives = node if isinstance(node, list) else [node]
        node = next((item[key] for item in alternatives if isinstance(item, dict) and key in item), None)
    return bool(node) or any(item.get("path") == ".".join(path) for item in offer.get("constraints") or ())


def _temperatures(offers: list[Json]) -> tuple[float, float] | None:
    ends: list[tuple[float, float]] = []
    for offer in offers:
        try:
            ends += allowed_values(Offer.from_dict(offer), "temperature")
        except FinalesError:
            return None
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return None if low == float("-inf") or high == float("inf") else (low, high)


def _options(offers: list[Json]) -> dict[str, tuple[str | float, ...]]:
    """Return of what one may choose with several tenants: whatever any of them can do."""
    found: dict[str, tuple[str | float, ...]] = {}
    for offer in offers:
        try:
            allowed = allowed_options(Offer.from_dict(offer))
        except FinalesError:
            continue
        for path, options in allowed.items():
            found[".".join(path)] = tuple(dict.fromkeys((*found.get(".".join(path), ()), *options)))
    return found


def choices_of(askable: list[Askable]) -> dict[str, tuple[str | float, ...]]:
    """Return what one may choose, by the path in the parameters: of all methods, as one asks only who can do it."""
    found: dict[str, tuple[str | float, ...]] = {}
    for item in askable:
        for path, options in item.options.items():
            found[path] = tuple(dict.fromkeys((*found.get(path, ()), *options)))
    return {path: options for path, options in found.items() if len(options) > 1}


def option_key(path: str, option: str | float) -> str:
    """Return the name of the box of a form that chooses an option."""
    return f"option-{path}={option}"


def name_choice(path: str) -> str:
    """Return what a choice is called: the last key of its path that says something."""
    *before, last = path.split(".")
    return before[-1] if last == "name" and before else last


def default_draft(quantity: str, askable: list[Askable], taken: Container[str] = ()) -> dict[str, str]:
    """Return what a form shows at first, by the name of the field.

    :param taken: names of campaigns that there are.
    """
    dearest = max(askable, key=lambda item: item.cost)
    low, high = dearest.temperature or (ROOM, ROOM)
    names = (f"{quantity.replace('_', '-')}-{number}" for number in count(1))
    return {
        "name": next(name for name in names if name not in taken),
        "direction": "minimise" if quantity in SMALL else "maximise",
        "target": dearest.method,
        "temperature": f"{min(max(ROOM, low), high):g}" if dearest.temperature else "",
        "evaluations": str(N_EVALUATIONS),
        **{f"ask-{item.method}": "yes" for item in askable},
        **{f"cost-{item.method}": f"{item.cost:g}" for item in askable},
    }


def write_draft(
    quantity: str, askable: Mapping[str, list[Askable]], typed: Mapping[str, str], taken: Container[str] = ()
) -> tuple[str, dict[str, str]]:
    """Return the campaign file that a form asks for, and what is wrong in words, by the name of the field.

    The file is empty where something is wrong.

    :param askable: as of :func:`list_askable`.
    :param typed: by name of the field, as of :func:`default_draft`; ``goal-QUANTITY`` is the direction of a quantity
        that is wanted besides, by all who offer it; what :func:`option_key` names is chosen when it is not empty.
    :param taken: names of campaigns that there are.
    """
    form = _Form(typed)
    document: Json = {"name": form.read_name(taken)}
    sources, target = form.read_sources(askable.get(quantity, []))
    direction = "minimise" if typed.get("direction") == "minimise" else "maximise"
    goals: Json = {quantity: {"direction": direction, "target": target, "sources": sources}}
    for name in (name for name in askable if name != quantity and typed.get(f"goal-{name}")):
        dearest = max(askable[name], key=lambda item: item.cost).method
        others = {item.method: {"cost": item.cost} for item in askable[name]}
        goals[name] = {"direction": typed[f"goal-{name}"], "target": dearest, "sources": others}
    if len(goals) > 1:
        document["objectives"] = goals
    else:
        document |= {"quantity": quantity, "maximise": direction == "maximise", "target": target, "sources": sources}
    fixed, variables = form.read_temperature()
    chosen, categories = form.read_choices(choices_of(askable.get(quantity, [])))
    sections = {"variables": variables, "categories": categories, "fixed": {**chosen, **fixed}}
    document |= {key: section for key, section in sections.items() if section}
    document["stop"] = {"evaluations": form.read_count("evaluations", N_EVALUATIONS)}
    text = str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return ("" if form.errors else text), form.errors


class _Form:
    """Reads what was typed; ``errors`` has what is wrong, by the name of the field."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        self._typed = typed
        self.errors: dict[str, str] = {}

    def _text(self, key: str) -> str:
        return self._typed.get(key, "").strip()

    def read_name(self, taken: Container[str]) -> str:
        name = self._text("name")
        try:
            check_name(name, "name of a campaign")
        except InputError as error:
            self.errors["name"] = str(error)
        if name in taken:
            self.errors["name"] = f"a campaign {name!r} exists already, accepted is another name"
        return name

    def read_sources(self, askable: list[Askable]) -> tuple[Json, str]:
        """Return the sources that were chosen, and the one whose values count."""
        chosen = [item.method for item in askable if self._text(f"ask-{item.method}")]
        target = self._text("target")
        if not chosen:
            self.errors["ask"] = "no source was chosen: accepted is at least one of those in the list"
        elif target not in chosen:
            self.errors["target"] = f"the target is {target!r}, but accepted is one of the sources: {', '.join(chosen)}"
        sources: Json = {method: {"cost": self._read_cost(f"cost-{method}")} for method in chosen}
        for method in (item for item in chosen if item != target):
            # also where it is off by more than a good result may be: the bias is learned
            sources[method]["min_rating"] = 1
        return sources, target

    def _read_cost(self, key: str) -> float:
        text = self._text(key)
        try:
            cost = float(text or DEFAULT_COST)
        except ValueError:
            cost = 0.0
        if not 0.0 < cost < float("inf"):
            self.errors[key] = f"the cost is {text!r}, but accepted is a number above 0"
        return cost

    def read_count(self, key: str, default: int) -> int:
        text = self._text(key) or str(default)
        if not (text.isascii() and text.isdigit() and int(text)):
            self.errors[key] = f"{key} is {text!r}, but accepted is a whole number of 1 or more"
            return default
        return int(text)

    def read_temperature(self) -> tuple[Json, Json]:
        """Return the sections that say one temperature for all, or the ends between which it is varied."""
        low, sign, high = (part.strip() for part in self._text("temperature").partition(" to "))
        try:
            if sign:
                return {}, {"temperature": {"min": read_temperature(low), "max": read_temperature(high)}}
            return ({"temperature": read_temperature(low)} if low else {}), {}
        except InputError as error:
            self.errors["temperature"] = str(error)
            return {}, {}

    def read_choices(self, choices: Mapping[str, tuple[str | float, ...]]) -> tuple[Json, Json]:
        """Return what is fixed, where one option was chosen, and the categories, where several were."""
        fixed: Json = {}
        categories: Json = {}
        for path, options in choices.items():
            chosen = [option for option in options if self._text(option_key(path, option))]
            keys = tuple(path.split("."))
            if len(chosen) == 1:
                fixed = merge(fixed, _nest(keys, chosen[0]))
            elif chosen:
                name = name_choice(path) if name_choice(path) not in categories else path.replace(".", "_")
                categories[name] = {"options": {_name_option(item): _nest(keys, item) for item in chosen}}
        return fixed, categories


def _name_option(option: str | float) -> str:
    return option if isinstance(option, str) else f"{option:g}"


def _nest(keys: tuple[str, ...], value: str | float) -> Json:
    for key in reversed(keys[1:]):
        value = {key: value}  # type: ignore[assignment]
    return {keys[0]: value}


def check_draft(plan: CampaignPlan) -> tuple[list[str], Chart | None]:
    """Return what a campaign would look for, in words, and its space where it can be drawn."""
    return plan_lines(describe_plan(plan)), draw_space(build_problem(plan.campaign)["problem"])
