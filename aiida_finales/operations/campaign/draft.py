"""A campaign as a form asks for it: what can be optimised here, by whom; and the campaign file that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from aiida_finales.data.tenant import list_tenants
from aiida_finales.exceptions import CampaignFileError, FinalesError
from aiida_finales.operations.campaign.charts import draw_space
from aiida_finales.operations.campaign.prospect import describe_plan, plan_lines
from aiida_finales.operations.campaign.start import CampaignPlan
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import Chart
from aiida_finales.schemas.formulation import formulation_path
from aiida_finales.schemas.limitations.offer import Offer, allowed_values
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
    """

    quantity: str
    method: str
    tenants: tuple[str, ...]
    cost: float
    temperature: tuple[float, float] | None

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
            ends = _temperatures([offer for _, offer in offers])
            answer.setdefault(quantity, []).append(Askable(quantity, method, names, cost, ends))
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


def default_draft(quantity: str, askable: list[Askable]) -> dict[str, str]:
    """Return what a form shows at first, by the name of the field."""
    dearest = max(askable, key=lambda item: item.cost)
    low, high = dearest.temperature or (ROOM, ROOM)
    return {
        "name": f"{quantity.replace('_', '-')}-1",
        "direction": "minimise" if quantity in SMALL else "maximise",
        "target": dearest.method,
        "temperature": f"{min(max(ROOM, low), high):g}" if dearest.temperature else "",
        "evaluations": str(N_EVALUATIONS),
        **{f"ask-{item.method}": "yes" for item in askable},
        **{f"cost-{item.method}": f"{item.cost:g}" for item in askable},
    }


def write_draft(quantity: str, askable: Mapping[str, list[Askable]], typed: Mapping[str, str]) -> str:
    """Return the campaign file that a form asks for.

    :param askable: as of :func:`list_askable`.
    :param typed: by name of the field, as of :func:`default_draft`; ``goal-QUANTITY`` is the direction of a quantity
        that is wanted besides, by all who offer it.
    :raises CampaignFileError: naming what cannot be.
    """
    sources, target = _choose_sources(askable.get(quantity, []), typed)
    direction = "minimise" if typed.get("direction") == "minimise" else "maximise"
    goals: Json = {quantity: {"direction": direction, "target": target, "sources": sources}}
    for name in (name for name in askable if name != quantity and typed.get(f"goal-{name}")):
        dearest = max(askable[name], key=lambda item: item.cost).method
        others = {item.method: {"cost": item.cost} for item in askable[name]}
        goals[name] = {"direction": typed[f"goal-{name}"], "target": dearest, "sources": others}
    document: Json = {"name": typed.get("name", "").strip()}
    if len(goals) > 1:
        document["objectives"] = goals
    else:
        document |= {"quantity": quantity, "maximise": direction == "maximise", "target": target, "sources": sources}
    document |= _read_temperature(typed.get("temperature", ""))
    document["stop"] = {"evaluations": int(_number(typed, "evaluations") or N_EVALUATIONS)}
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _choose_sources(askable: list[Askable], typed: Mapping[str, str]) -> tuple[Json, str]:
    """Return the sources that were chosen, and the one whose values count."""
    chosen = [item.method for item in askable if typed.get(f"ask-{item.method}")]
    if not chosen:
        raise CampaignFileError("no source was chosen: accepted is at least one of those in the list")
    target = typed.get("target", "")
    if target not in chosen:
        raise CampaignFileError(f"the target is {target!r}, but accepted is one of the sources: {', '.join(chosen)}")
    sources: Json = {method: {"cost": _number(typed, f"cost-{method}") or DEFAULT_COST} for method in chosen}
    for method in (item for item in chosen if item != target):
        # also where it is off by more than a good result may be: the bias is learned
        sources[method]["min_rating"] = 1
    return sources, target


def _read_temperature(text: str) -> Json:
    """Return the sections that say one temperature for all, or the ends between which it is varied."""
    low, sign, high = (part.strip() for part in text.partition(" to "))
    if not sign:
        return {"fixed": {"temperature": read_temperature(low)}} if low else {}
    return {"variables": {"temperature": {"min": read_temperature(low), "max": read_temperature(high)}}}


def _number(typed: Mapping[str, str], key: str) -> float | None:
    text = typed.get(key, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise CampaignFileError(f"{key} is {text!r}, but accepted is a number") from None


def check_draft(plan: CampaignPlan) -> tuple[list[str], Chart | None]:
    """Return what a campaign would look for, in words, and its space where it can be drawn."""
    return plan_lines(describe_plan(plan)), draw_space(build_problem(plan.campaign)["problem"])
