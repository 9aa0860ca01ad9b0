"""From a campaign and the registered tenants to the optimiser's problem: what to vary, within what, asked of whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial, reduce
from itertools import product
from typing import Any

from aiida_finales.calculations.lifetime_curve import GENERATOR, LIFE, NO_ELECTROLYTE
from aiida_finales.calculations.suggest import (
    place_variables,
)
from aiida_finales.data.capability import find_active_capability
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import CampaignFileError, FinalesError, InputError, UnknownCapabilityError
from aiida_finales.optimisation.narrowing import Constraint, narrow
from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.problem import Category, Problem, Source, Variable
from aiida_finales.optimisation.settings import OptimiserSettings
from aiida_finales.schemas.campaign import CampaignFile, ObjectiveSection, WithinSection
from aiida_finales.schemas.chemicals import chemical_label, find_chemical, get_chemical
from aiida_finales.schemas.formulation import make_formulation, merge, place_formulation
from aiida_finales.schemas.limitations.offer import Offer, allowed_values, check, formulation_regions, nearest
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.schemas.words import count
from aiida_finales.workflows.training import wanted_numbers

#: unit of what every method calls the same
UNITS = {"temperature": "K"}
#: widest extent (mole fraction) of a component that counts as absent from the design space
ABSENT = 1e-9
#: methods that a composition tells nothing, and why
UNVARIED = {(LIFE, GENERATOR): NO_ELECTROLYTE}
#: lowest and highest value of a variable
Range = tuple[float, float]
#: cost of an evaluation by a tenant that declares none
DEFAULT_COST = 1.0


def build_problem(campaign: CampaignFile, last: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the input ``problem`` of a suggestion: what to optimise, where, and how a suggestion becomes a request.

    The design space of a source is the union of what its active tenants can do.

    What a tenant offers and the campaign cannot ask for is left out, with the reason: key ``left_out``.

    :param last: the problem as it was. A source that nobody can serve now keeps what it had there, and is named with
        the reason under ``unavailable``: its tenants may come back.
    :raises CampaignFileError: when nobody offers a source that is to be asked, or it has no composition to vary.
    """
    offers = {name: _find_offers(campaign, name) for name in campaign.sources}
    if last is None:
        _demand_known(campaign, offers)
    told = ({**offer, "chemicals": tenant.chemicals} for found in offers.values() for tenant, offer in found)
    chemicals = _chemicals(told) | (last or {}).get("chemicals", {})
    spaces = {name: _space(campaign, name, found, chemicals) for name, found in offers.items()}
    for name, space in spaces.items() if last else ():
        space.leave_out_foreign(name, (last or {})["problem"]["components"])
    unavailable = {name: space.trouble for name, space in spaces.items() if space.trouble}
    if unavailable and last is None:
        raise CampaignFileError("; ".join(unavailable.values()))
    for source in Problem.from_dict(last["problem"]).sources if last else ():
        if source.name in unavailable:
            spaces[source.name].take(source)
    target_regions = [region for name in campaign.targets for region in spaces[name].regions]
    components = _components(target_regions, str(campaign.target))
    numbers = {name: wanted_numbers(campaign, name) for name in campaign.sources}
    whole = Region.from_box(dict.fromkeys(components, (0.0, 1.0)))
    sources = tuple(spaces[name].as_source(name, campaign, whole, tuple(numbers[name])) for name in campaign.sources)
    ranges = {name: space.ranges for name, space in spaces.items()}
    problem = Problem(
        components,
        sources,
        tuple(_objective(name, goal) for name, goal in campaign.goals.items()),
        _settings(campaign),
        tuple(_variable(campaign, name, ranges) for name in campaign.variables),
        tuple(Category(name, tuple(section.options)) for name, section in campaign.categories.items()),
    ).to_dict()
    return {
        "problem": problem,
        "numbers": numbers,
        **_how_to_ask(campaign),
        "tenants": {name: [tenant.uuid for tenant, _ in found] for name, found in offers.items()},
        "chemicals": {name: chemicals.get(name) or get_chemical(name).smiles for name in components},
        "left_out": [words for space in spaces.values() for words in space.left_out],
        "unavailable": unavailable,
    }


def _settings(campaign: CampaignFile) -> OptimiserSettings:
    settings = {"n_initial": campaign.initial, "max_evaluations": campaign.stop.evaluations, **campaign.optimiser}
    if campaign.scalarise:
        weights = [campaign.weights[name] for name in campaign.optimised] if campaign.weights else []
        settings |= {"scalarise": campaign.scalarise, "weights": weights}
    settings |= {key: getattr(campaign.stop, key) for key in ("budget", "gain_tolerance", "gain_patience")}
    return OptimiserSettings.from_dict(settings)


def _objective(name: str, goal: ObjectiveSection) -> Objective:
    fields = ("direction", "value", "reference", "at_least", "at_most")
    return Objective(
        name, str(goal.target), transform=str(goal.transform or "none"), **{key: getattr(goal, key) for key in fields}
    )


def _how_to_ask(campaign: CampaignFile) -> dict[str, Any]:
    """Return how a point becomes requests, and results become points."""
    capabilities = {name: campaign.capability_of(name) for name in campaign.sources}
    return {
        "requests": {
            name: {"quantity": quantity, "method": method, "fixed": campaign.fixed}
            for name, (quantity, method) in capabilities.items()
        },
        **({"is_sure": True} if campaign.is_sure else {}),
        "categories": {name: section.options for name, section in campaign.categories.items()},
        "paths": {name: campaign.path_of(name) for name in campaign.variables},
    }


def _ranges(campaign: CampaignFile, offers: list[tuple[TenantData, dict[str, Any]]]) -> dict[str, list[Range]]:
    """Return the ranges of each variable in which a source can be asked: what its tenants allow and the campaign.

    :raises CampaignFileError: when that is nothing, or no number.
    """
    found = {}
    for name, section in campaign.variables.items():
        try:
            allowed = [
                item for _, offer in offers for item in allowed_values(Offer.from_dict(offer), campaign.path_of(name))
            ]
        except InputError as error:
            raise CampaignFileError(f"variable {name!r} cannot vary: {error}") from error
        low, high = _or(section.min, -math.inf), _or(section.max, math.inf)
        pieces = [(max(a, low), min(b, high)) for a, b in allowed or [(-math.inf, math.inf)] if a <= high and b >= low]
        if not pieces:
            spans = ", ".join(f"{a:g} to {b:g}" for a, b in allowed)
            raise CampaignFileError(f"variable {name!r} is to be {section.min} to {section.max}, tenants allow {spans}")
        found[name] = sorted(set(pieces))
    return found


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _variable(campaign: CampaignFile, name: str, ranges: Mapping[str, Mapping[str, tuple[float, float]]]) -> Variable:
    """Return a variable over the range of all sources.

    :raises CampaignFileError: when nothing limits it.
    """
    low, high = (pick(item[name][end] for item in ranges.values()) for end, pick in ((0, min), (1, max)))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise CampaignFileError(
            f"variable {name!r} would go from {low:g} to {high:g}, but accepted is a finite range: give it 'min' and "
            "'max' in the file, or the tenants limitations on it"
        )
    return Variable(name, low, high, campaign.variables[name].unit or UNITS.get(name, ""))


@dataclass
class _Space:
    """Where a source may be asked, why not elsewhere, and why not at all."""

    regions: list[Region] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    trouble: str = ""
    pieces: dict[str, list[Range]] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cost: float = DEFAULT_COST

    def take(self, source: Source) -> None:
        """Keep what a source had: its tenants may come back."""
        self.regions, self.cost = list(source.regions), source.cost
        self.pieces = {name: list(source.pieces.get(name, (whole,))) for name, whole in source.variables.items()}
        self.options = dict(source.options)

    @property
    def ranges(self) -> dict[str, Range]:
        """The whole range of each variable, with what lies between its pieces."""
        ends = {name: [end for piece in found for end in piece] for name, found in self.pieces.items()}
        return {name: (min(found), max(found)) for name, found in ends.items()}

    def as_source(self, name: str, campaign: CampaignFile, whole: Region, measures: tuple[str, ...]) -> Source:
        """Return the source as the optimiser knows it.

        :param whole: where a source may have measured that nobody is asked of.
        """
        cost = campaign.sources[name].cost or self.cost
        pieces = {key: tuple(found) for key, found in self.pieces.items() if len(found) > 1}
        return Source(name, tuple(self.regions) or (whole,), cost, measures, self.ranges, self.options, pieces)

    def leave_out_foreign(self, name: str, components: list[str]) -> None:
        """Leave out what holds other chemicals than a campaign began with, unless nothing else is left to ask for.

        :param name: of the source.
        """
        own = [region for region in self.regions if not _find_foreign(region, components)]
        if not own:
            return
        for region in self.regions:
            if foreign := _find_foreign(region, components):
                words = " / ".join(map(chemical_label, region.names))
                without = ", ".join(map(chemical_label, foreign))
                self.left_out.append(f"what is offered of {words} is left out for {name}: it began without {without}")
        self.regions = own
        self.left_out = list(dict.fromkeys(self.left_out))


def _find_foreign(region: Region, components: list[str]) -> list[str]:
    bounds = zip(region.names, region.upper, strict=True)
    return [name for name, upper in bounds if upper > ABSENT and name not in components]


def _find_offers(campaign: CampaignFile, name: str) -> list[tuple[TenantData, dict[str, Any]]]:
    quantity, method = campaign.capability_of(name)
    found = [(tenant, tenant.find_offer(quantity, method)) for tenant in list_tenants()]
    return [(tenant, offer) for tenant, offer in found if offer is not None]


def _lack_of_offers(campaign: CampaignFile, name: str) -> str:
    quantity, method = campaign.capability_of(name)
    all_offers = [offer for tenant in list_tenants() for offer in tenant.offers]
    offered = sorted({f"{quantity}/{offer['method']}" for offer in all_offers if offer["quantity"] == quantity})
    others = f"offered are {', '.join(offered)}" if offered else f"nobody offers {quantity}"
    return (
        f"source {name!r} is to be asked, but no active tenant offers {quantity}/{method}; {others}: register a "
        "tenant, or set 'ask: false'"
    )


def _declared_cost(offers: list[tuple[TenantData, dict[str, Any]]]) -> float:
    """Return what an evaluation costs; of several tenants the dearest counts: a budget holds whoever answers."""
    return float(max((offer.get("cost", DEFAULT_COST) for _, offer in offers), default=DEFAULT_COST))


def _space(
    campaign: CampaignFile,
    name: str,
    offers: list[tuple[TenantData, dict[str, Any]]],
    chemicals: dict[str, str],
) -> _Space:
    """Return the compositions that a source can be asked for, whatever else its tenants offer."""
    space = _Space(pieces=_ranges(campaign, offers), cost=_declared_cost(offers))
    trials = _place_middles(campaign, space.pieces)
    for tenant, document in offers:
        offer = Offer.from_dict(document)
        for whole in formulation_regions(offer):
            region, against = _narrow(whole, campaign.within)
            if region is not None:
                found = [_find_options(campaign, space, offer, region, fixed, chemicals) for fixed in trials]
                against = None if None in found else found[0]
            if region is not None and against is None:
                space.regions.append(region)
            else:
                space.left_out.append(f"what {tenant.name} offers of {' / '.join(map(chemical_label, whole.names))} "
                                      f"is left out for {name}: {against}")  # fmt: skip
    space.left_out = list(dict.fromkeys(space.left_out))
    if campaign.sources[name].ask and not offers:
        space.trouble = _lack_of_offers(campaign, name)
    elif campaign.sources[name].ask and not space.regions:
        reasons = "".join(f"; {words}" for words in space.left_out)
        space.trouble = f"source {name!r} has no formulation to vary within the limitations of its tenants{reasons}"
        if why := UNVARIED.get(campaign.capability_of(name)):
            todo = (
                "let its tenant limit battery_chemistry.electrolyte to the one mixture of the cells"
                if campaign.categories
                else "vary electrodes, formats or protocols (key 'categories')"
            )
            space.trouble += f"; {why}: {todo}"
    return space


def _place_middles(campaign: CampaignFile, pieces: Mapping[str, list[Range]]) -> list[dict[str, Any]]:
    """Return what is fixed with each variable in the middle of one of its ranges, for every combination of these."""
    known = {campaign.path_of(key): found for key, found in pieces.items() if math.isfinite(sum(map(sum, found)))}
    places = product(*([(low + high) / 2 for low, high in found] for found in known.values()))
    return [place_variables(campaign.fixed, dict(zip(known, middles, strict=True))) for middles in places]


def _demand_known(campaign: CampaignFile, offers: Mapping[str, list[tuple[TenantData, dict[str, Any]]]]) -> None:
    """Refuse variables that no method knows, and limits on chemicals that no tenant offers: they are mistyped.

    :raises CampaignFileError: naming them and what is known or offered.
    """
    known = {key: place for name in campaign.sources for key, place in _list_parameters(campaign, name).items()}
    for name in campaign.variables if known else ():
        if campaign.path_of(name).split(".")[0] not in known:
            raise CampaignFileError(
                f"variable {name!r} is no parameter of the methods of the sources, which are {', '.join(known)}: name "
                "one of them, or say under 'path' where it stands"
            )
    if campaign.within is None:
        return
    found = [offer for items in offers.values() for _, offer in items]
    regions = [region for offer in found for region in formulation_regions(Offer.from_dict(offer))]
    offered = list(dict.fromkeys(name for region in regions for name in region.names))
    strange = sorted(campaign.within.names - set(offered))
    if strange and offered:
        named, able = ([chemical_label(key) for key in keys] for keys in (strange, offered))
        near = [close for word in named for close in get_close_matches(word, able, n=1)]
        hint = f"; did you mean {' and '.join(near)}?" if near else ""
        raise CampaignFileError(f"within names {', '.join(named)}, but the tenants offer {', '.join(able)}{hint}")


def _list_parameters(campaign: CampaignFile, source: str) -> dict[str, Any]:
    """Return the parameters of a source's method by key; none where the method is not registered."""
    try:
        schema = find_active_capability(*campaign.capability_of(source)).parameters_schema
    except UnknownCapabilityError:
        return {}
    return dict(schema.get("properties", {}))


def _find_options(
    campaign: CampaignFile,
    space: _Space,
    offer: Offer,
    region: Region,
    fixed: dict[str, Any],
    chemicals: dict[str, str],
) -> str | None:
    """Note the options of each category that can be asked for, the others at their first; return why none can."""
    find = partial(find_obstacle, chemicals=chemicals, is_sure=campaign.is_sure)
    firsts = {name: next(iter(section.options.values())) for name, section in campaign.categories.items()}
    for name, section in campaign.categories.items():
        found = {
            option: find(offer, region, reduce(merge, {**firsts, name: own}.values(), fixed))
            for option, own in section.options.items()
        }
        able = {option for option, against in found.items() if against is None}
        if not able:
            return "; ".join(f"{name} {option}: {against}" for option, against in found.items())
        able.update(space.options.get(name, ()))
        space.options[name] = tuple(option for option in section.options if option in able)
    return None if campaign.categories else find(offer, region, fixed)


def _narrow(region: Region, within: WithinSection | None) -> tuple[Region | None, str | None]:
    """Return the part of a region where a campaign looks, or ``None`` and why there is none."""
    if within is None:
        return region, None
    try:
        planes = [plane for item in within.constraints for plane in item.in_mole_fractions(region.names)]
    except InputError as error:
        return None, f"key 'within' needs a molar mass: {error}"
    try:
        return narrow(
            region, within.limits, [Constraint(item.coefficients, item.min, item.max) for item in planes]
        ), None
    except InputError:
        return None, "nothing of it is within what the campaign allows (key 'within')"


def find_obstacle(
    offer: Offer, region: Region, fixed: dict[str, Any], chemicals: dict[str, str], *, is_sure: bool = False
) -> str | None:
    """Return why no request can be made in a region, with what is fixed; tried in its middle.

    :param chemicals: SMILES by InChIKey of chemicals that the platform does not know by itself.
    :param is_sure: numbers that are not to be expected are right.
    """
    unknown = [name for name in region.names if name not in chemicals and find_chemical(name) is None]
    if unknown:
        cure = "give its SMILES beside its InChIKey in the limitations of the tenant"
        return f"{', '.join(unknown)} is not known here; {cure}"
    try:
        middle = dict(zip(region.names, Polytope.from_region(region).centre.tolist(), strict=True))
        asked = place_formulation(offer.quantity, make_formulation(middle, chemicals), fixed)
        capability = find_active_capability(offer.quantity, offer.method)
        parameters = capability.validate_parameters(asked)
        if not is_sure:
            capability.demand_no_slip(parameters)  # as every request is asked, also where no limitation would notice
    except FinalesError as error:
        return str(error)
    findings = check(offer, parameters)
    if not findings or _moves_formulation_only(offer, parameters):
        return None
    return "; ".join(f"{item.path} is {item.given!r}, allowed is {item.allowed}" for item in findings)


def _moves_formulation_only(offer: Offer, parameters: dict[str, Any]) -> bool:
    """Return whether refused parameters become feasible by another formulation: its middle may lie between steps."""
    found, nothing = nearest(offer, parameters), place_formulation(offer.quantity, [])
    return found is not None and merge(found, nothing) == merge(parameters, nothing)


def _chemicals(offers: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the SMILES by InChIKey of the chemicals that tenants spell out and the platform does not know."""
    found: dict[str, str] = {}
    rest: list[Any] = list(offers)
    while rest:
        item = rest.pop(0)
        if isinstance(item, dict):
            key, smiles = item.get("InChIKey"), item.get("SMILES")
            if isinstance(key, str) and isinstance(smiles, str) and find_chemical(key) is None:
                found.setdefault(key, smiles)
        rest += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return found


def _components(regions: list[Region], target: str) -> tuple[str, ...]:
    """Return the chemicals that the target can use, salts first as people write them."""
    names: list[str] = []
    for region in regions:
        names += [
            name for name, upper in zip(region.names, region.upper, strict=True) if upper > ABSENT and name not in names
        ]
    if len(names) < 2:  # noqa: PLR2004 - one chemical alone has nothing to vary
        raise CampaignFileError(
            f"target {target!r} has {count(len(names), 'chemical')} to vary, but at least 2 are needed"
        )
    return tuple(names)
