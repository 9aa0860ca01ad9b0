"""Where a source may be asked: from what tenants offer and what a campaign allows to regions and what goes with each.

Limitations of a tenant are alternatives: one salt at one temperature, another one at another. Within an alternative all
that is allowed goes together, so each is looked at by itself, and alternatives that differ in one thing are joined.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import combinations, product
from typing import Any

from aiida_finales.calculations.lifetime_curve import GENERATOR, LIFE, NO_ELECTROLYTE
from aiida_finales.calculations.question import place_variables
from aiida_finales.data.capability import find_active_capability
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import CampaignFileError, FinalesError, InputError
from aiida_finales.optimisation.narrowing import Constraint, narrow, split
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.problem import Beside, Source
from aiida_finales.schemas.campaign import CampaignFile, WithinSection
from aiida_finales.schemas.chemicals import chemical_label, find_chemical
from aiida_finales.schemas.formulation import make_formulation, merge, place_formulation
from aiida_finales.schemas.limitations.offer import Offer, allowed_values, check, formulation_regions, nearest
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.science.electrolyte.composition import ABSENT
from aiida_finales.workflows.left_out import LeftOut, tell_left_out

#: unit of what every method calls the same
UNITS = {"temperature": "K"}
#: methods that a composition tells nothing, and why
UNVARIED = {(LIFE, GENERATOR): NO_ELECTROLYTE}
#: lowest and highest value of a variable
Range = tuple[float, float]
#: cost of an evaluation by a tenant that declares none
DEFAULT_COST = 1.0
#: a tenant and what it offers
Offers = list[tuple[TenantData, dict[str, Any]]]


@dataclass(frozen=True)
class Alternative:
    """A region, and what goes with it.

    :param pieces: ranges of each variable.
    :param options: of each category, in the order of the campaign.
    :param costs: by the UUIDs of the tenants that offer it.
    """

    region: Region
    pieces: Mapping[str, tuple[Range, ...]]
    options: Mapping[str, tuple[str, ...]]
    costs: Mapping[str, float] = field(default_factory=dict)

    def join(self, other: Alternative) -> Alternative | None:
        """Return both as one, if they differ in one thing at most."""
        if self.region != other.region:
            return None
        ranges = {name for name in self.pieces if self.pieces[name] != other.pieces[name]}
        choices = {name for name in self.options if self.options[name] != other.options[name]}
        if len(ranges) + len(choices) > 1:
            return None
        pieces = {name: tuple(sorted({*self.pieces[name], *other.pieces[name]})) for name in ranges}
        options = {name: tuple(dict.fromkeys((*self.options[name], *other.options[name]))) for name in choices}
        return Alternative(
            self.region, {**self.pieces, **pieces}, {**self.options, **options}, {**self.costs, **other.costs}
        )


def join_all(alternatives: list[Alternative]) -> list[Alternative]:
    """Return the same space in fewer alternatives."""
    found = list(alternatives)
    while True:
        pairs = ((k, n, found[k].join(found[n])) for k, n in combinations(range(len(found)), 2))
        hit = next(((k, n, both) for k, n, both in pairs if both is not None), None)
        if hit is None:
            return found
        found[hit[0]] = hit[2]
        del found[hit[1]]


@dataclass
class Space:
    """Where a source may be asked, why not elsewhere, and why not at all.

    :param whole: of each variable, all that its tenants and the campaign allow somewhere.
    :param last_cost: of an evaluation, where its tenants are away.
    """

    whole: Mapping[str, tuple[Range, ...]]
    alternatives: list[Alternative] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    trouble: str = ""
    last_cost: float = DEFAULT_COST

    def take(self, source: Source) -> None:
        """Keep what a source had: its tenants may come back."""
        self.whole = {name: source.pieces.get(name, (limits,)) for name, limits in source.variables.items()}
        self.last_cost = source.cost
        self.alternatives = [
            Alternative(region, {**self.whole, **beside.pieces}, {**source.options, **beside.options})
            for region, beside in zip(source.regions, source.beside or [Beside()] * len(source.regions), strict=True)
        ]

    @property
    def costs(self) -> dict[str, float]:
        """What an evaluation costs, by the UUIDs of the tenants that offer something of it."""
        return {uuid: cost for item in self.alternatives for uuid, cost in item.costs.items()}

    @property
    def regions(self) -> list[Region]:
        """The compositions, whatever else goes with them."""
        return list(dict.fromkeys(item.region for item in self.alternatives))

    @property
    def pieces(self) -> dict[str, tuple[Range, ...]]:
        """The ranges of each variable that go with any region."""
        found = [item.pieces for item in self.alternatives] or [self.whole]
        return {name: tuple(sorted({part for item in found for part in item[name]})) for name in self.whole}

    @property
    def ranges(self) -> dict[str, Range]:
        """The whole range of each variable, with what lies between its pieces."""
        return {
            name: (min(low for low, _ in found), max(high for _, high in found)) for name, found in self.pieces.items()
        }

    def as_source(self, name: str, campaign: CampaignFile, whole: Region, measures: tuple[str, ...]) -> Source:
        """Return the source as the optimiser knows it.

        :param whole: where a source may have measured that nobody is asked of.
        """
        # of several tenants the dearest counts: a budget holds whoever answers
        cost = campaign.sources[name].cost or max(self.costs.values(), default=self.last_cost)
        items, pieces = self.alternatives, {key: found for key, found in self.pieces.items() if len(found) > 1}
        options = {
            key: tuple(option for option in section.options if any(option in item.options[key] for item in items))
            for key, section in (campaign.categories.items() if items else ())
        }
        is_product = all(item.pieces == self.pieces and item.options == options for item in items)
        beside = () if is_product else tuple(Beside(item.pieces, item.options) for item in items)
        regions = tuple(item.region for item in items) or (whole,)
        return Source(name, regions, cost, measures, self.ranges, options, pieces, beside)

    def leave_out_foreign(self, name: str, components: list[str], owners: Collection[str]) -> None:
        """Leave out what holds other chemicals than a campaign began with.

        Where nothing else is left, those who served it may take it along to what they offer instead; what others offer
        is another campaign's.

        :param name: of the source.
        :param owners: UUIDs of the present versions of the tenants that it was asked of.
        """
        own = [item for item in self.alternatives if not _find_foreign(item.region, components)]
        own = own or [item for item in self.alternatives if not item.costs.keys().isdisjoint(owners)]
        for region in dict.fromkeys(item.region for item in self.alternatives if item not in own):
            words = " / ".join(map(chemical_label, region.names))
            without = ", ".join(map(chemical_label, _find_foreign(region, components)))
            self.left_out.append(LeftOut(name, "", words, f"it began without {without}"))
        if self.alternatives and not own:
            self.trouble = f"what is offered for {name} holds other chemicals than the campaign began with"
        self.alternatives = own


def _is_one_mixture(region: Region) -> bool:
    return all(upper - lower <= ABSENT for lower, upper in zip(region.lower, region.upper, strict=True))


def _find_foreign(region: Region, components: list[str]) -> list[str]:
    bounds = zip(region.names, region.upper, strict=True)
    return [name for name, upper in bounds if upper > ABSENT and name not in components]


def find_space(campaign: CampaignFile, name: str, offers: Offers, chemicals: dict[str, str]) -> Space:
    """Return the compositions that a source can be asked for, and what goes with them, whatever else tenants offer.

    :param name: of the source.
    :param chemicals: SMILES by InChIKey of chemicals that the platform does not know by itself.
    :raises CampaignFileError: when a variable has nothing left, or is no number.
    """
    read = [(tenant, Offer.from_dict(document)) for tenant, document in offers]
    space = Space(_demand_ranges(campaign, [offer for _, offer in read]))
    for (tenant, offer), (_, document) in zip(read, offers, strict=True):
        probe, costs = Probe(campaign, offer, chemicals), {tenant.uuid: float(document.get("cost", DEFAULT_COST))}
        for whole in formulation_regions(offer):
            parts, against = _find_parts(campaign, name, whole)
            found = [item for part in parts for item in probe.list_alternatives(whole, part)]
            space.alternatives += [replace(item, costs=costs) for item in found]
            if not found:
                against = against or probe.explain(parts[0])
                space.left_out.append(LeftOut(name, tenant.name, " / ".join(map(chemical_label, whole.names)), against))
    space.alternatives = join_all(space.alternatives)
    if campaign.sources[name].ask and not offers:
        space.trouble = _lack_of_offers(campaign, name)
    elif campaign.sources[name].ask and not space.alternatives:
        reasons = "".join(f"; {words}" for words in tell_left_out(space.left_out))
        space.trouble = f"source {name!r} has no formulation to vary within the limitations of its tenants{reasons}"
        if why := UNVARIED.get(campaign.capability_of(name)):
            todo = (
                "let its tenant limit battery_chemistry.electrolyte to the one mixture of the cells"
                if campaign.categories
                else "vary electrodes, formats or protocols (key 'categories')"
            )
            space.trouble += f"; {why}: {todo}"
    return space


@dataclass(frozen=True)
class Probe:
    """What of an offer a campaign can ask for, tried in the middle of each region and range."""

    campaign: CampaignFile
    offer: Offer
    chemicals: dict[str, str]

    def list_alternatives(self, whole: Region, region: Region) -> Iterator[Alternative]:
        """Yield what goes with a region.

        :param whole: as the tenant offers it.
        :param region: what the campaign leaves of it.
        """
        every = {name: tuple(section.options) for name, section in self.campaign.categories.items()}
        for part, regions, pieces in self._parts:
            if not all(pieces.values()) or whole not in regions:
                continue
            tried = list(self._combine(pieces))
            able = [(r, o) for r, o in tried if self._find_obstacle(part, region, r, o) is None]
            if len(able) == len(tried):
                yield Alternative(region, pieces, every)
                continue
            for ranges, options in able:
                one = {name: (option,) for name, option in options.items()}
                yield Alternative(region, {name: (limits,) for name, limits in ranges.items()}, one)

    def explain(self, region: Region) -> str:
        """Return why nothing can be asked for in a region: with the first range of each variable and each option."""
        pieces, found = _ranges(self.campaign, [self.offer]), {}
        for name in (name for name, parts in pieces.items() if not parts):
            return f"it allows no {name} that the campaign does"
        for ranges, options in self._combine({name: parts[:1] for name, parts in pieces.items()}):
            words = " ".join(f"{name} {option}" for name, option in options.items())
            found[words] = self._find_obstacle(self.offer, region, ranges, options) or "it goes with nothing else asked"
        return "; ".join(f"{words}: {against}" if words else against for words, against in found.items())

    @cached_property
    def _parts(self) -> list[tuple[Offer, set[Region], dict[str, tuple[Range, ...]]]]:
        """Return each alternative of the offer, its regions, and its ranges of the variables."""
        return [(part, set(formulation_regions(part)), _ranges(self.campaign, [part])) for part in self.offer.split()]

    def _combine(self, pieces: Mapping[str, tuple[Range, ...]]) -> Iterator[tuple[dict[str, Range], dict[str, str]]]:
        """Yield every combination of a range of each variable and an option of each category."""
        categories = self.campaign.categories
        for ranges in product(*pieces.values()):
            for options in product(*(section.options for section in categories.values())):
                yield dict(zip(pieces, ranges, strict=True)), dict(zip(categories, options, strict=True))

    def _find_obstacle(
        self, offer: Offer, region: Region, ranges: Mapping[str, Range], options: Mapping[str, str]
    ) -> str | None:
        """Return why a request in the middle of a region and of ranges would be refused."""
        campaign = self.campaign
        middles = {campaign.path_of(name): sum(ends) / 2 for name, ends in ranges.items() if math.isfinite(sum(ends))}
        chosen = (campaign.categories[name].options[option] for name, option in options.items())
        fixed = reduce(merge, chosen, place_variables(campaign.fixed, middles))
        return find_obstacle(offer, self._ask(region, fixed))

    def _ask(self, region: Region, fixed: dict[str, Any]) -> dict[str, Any] | str:
        """Return the parameters of a request in the middle of a region, or why there is none.

        Alternatives of an offer differ in what they allow, not in what is asked.
        """
        key = region, json.dumps(fixed, sort_keys=True)
        if key not in self._asked:
            self._asked[key] = make_trial(self.offer, region, fixed, self.chemicals, is_sure=self.campaign.is_sure)
        return self._asked[key]

    @cached_property
    def _asked(self) -> dict[tuple[Region, str], dict[str, Any] | str]:
        return {}


def _ranges(campaign: CampaignFile, offers: list[Offer]) -> dict[str, tuple[Range, ...]]:
    """Return the ranges of each variable that any of the offers and the campaign allow; there may be none.

    :raises CampaignFileError: when a variable is no number.
    """
    found = {}
    for name, section in campaign.variables.items():
        allowed = _list_allowed(campaign, name, offers) or [(-math.inf, math.inf)]
        low, high = _or(section.min, -math.inf), _or(section.max, math.inf)
        found[name] = tuple(sorted({(max(a, low), min(b, high)) for a, b in allowed if a <= high and b >= low}))
    return found


def _list_allowed(campaign: CampaignFile, name: str, offers: list[Offer]) -> list[Range]:
    try:
        return [item for offer in offers for item in allowed_values(offer, campaign.path_of(name))]
    except InputError as error:
        raise CampaignFileError(f"variable {name!r} cannot vary: {error}") from error


def _demand_ranges(campaign: CampaignFile, offers: list[Offer]) -> dict[str, tuple[Range, ...]]:
    """Return the ranges of each variable that any of the offers and the campaign allow.

    :raises CampaignFileError: when there is none, or a variable is no number.
    """
    found = _ranges(campaign, offers)
    for name in (name for name, pieces in found.items() if not pieces):
        section, spans = campaign.variables[name], _list_allowed(campaign, name, offers)
        words, unit = ", ".join(f"{low:g} to {high:g}" for low, high in spans), section.unit or UNITS.get(name, "")
        hint = "; °C are written as '25 °C'" if unit == "K" else ""
        raise CampaignFileError(
            f"variable {name!r} is to be {section.min} to {section.max}, tenants allow {words} {unit}".rstrip() + hint
        )
    return found


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _lack_of_offers(campaign: CampaignFile, name: str) -> str:
    quantity, method = campaign.capability_of(name)
    all_offers = [offer for tenant in list_tenants() for offer in tenant.offers]
    offered = sorted({f"{quantity}/{offer['method']}" for offer in all_offers if offer["quantity"] == quantity})
    others = f"offered are {', '.join(offered)}" if offered else f"nobody offers {quantity}"
    return (
        f"source {name!r} is to be asked, but no active tenant offers {quantity}/{method}; {others}: register a "
        "tenant, or set 'ask: false'"
    )


def _find_parts(campaign: CampaignFile, name: str, whole: Region) -> tuple[list[Region], str]:
    """Return the parts of a region where a campaign asks, or why none; ``within`` counts of the one of ``one_of``."""
    found, against = [], f"it has none of the chemicals of key 'one_of' ({', '.join(campaign.one_of)})"
    for part in split(whole, campaign.one_of):
        has = {key for key, upper in zip(part.names, part.upper, strict=True) if upper > 0}
        others = {key for group in campaign.one_of.values() for key in group} - has
        region, against = _narrow(part, (campaign.within or WithinSection()).without(others))
        if region is not None and campaign.capability_of(name) in UNVARIED and not _is_one_mixture(region):
            region, against = None, "it leaves the composition free"
        found += [region] if region is not None else []
    return found, "" if found else against


def _narrow(region: Region, within: WithinSection) -> tuple[Region | None, str]:
    """Return the part of a region where a campaign looks, or ``None`` and why there is none."""
    try:
        planes = [plane for item in within.constraints for plane in item.in_mole_fractions(region.names)]
    except InputError as error:
        return None, f"key 'within' needs a molar mass: {error}"
    try:
        return narrow(region, within.limits, [Constraint(it.coefficients, it.min, it.max) for it in planes]), ""
    except InputError:
        return None, "nothing of it is within what the campaign allows (key 'within')"


def make_trial(
    offer: Offer, region: Region, fixed: dict[str, Any], chemicals: dict[str, str], *, is_sure: bool = False
) -> dict[str, Any] | str:
    """Return the parameters of a request in the middle of a region, with what is fixed, or why there can be none.

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
        parameters: dict[str, Any] = capability.validate_parameters(asked)
        if not is_sure:
            capability.demand_no_slip(parameters)  # as every request is asked, also where no limitation would notice
    except FinalesError as error:
        return str(error)
    return parameters


def find_obstacle(offer: Offer, parameters: dict[str, Any] | str) -> str | None:
    """Return why an offer would not take what :func:`make_trial` returns."""
    if isinstance(parameters, str):
        return parameters
    findings = check(offer, parameters)
    if not findings or _moves_formulation_only(offer, parameters):
        return None
    return "; ".join(f"{item.path} is {item.given!r}, allowed is {item.allowed}" for item in findings)


def _moves_formulation_only(offer: Offer, parameters: dict[str, Any]) -> bool:
    """Return whether refused parameters become feasible by another formulation: its middle may lie between steps."""
    found, nothing = nearest(offer, parameters), place_formulation(offer.quantity, [])
    return found is not None and merge(found, nothing) == merge(parameters, nothing)
