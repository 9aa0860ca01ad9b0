"""From a campaign and the registered tenants to the optimiser's problem, and which results it learns from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiida_finales.broker.results import DOUBTFUL, is_usable
from aiida_finales.broker.state import STATE
from aiida_finales.calculations.suggest import composition_defect
from aiida_finales.data.capability import find_active_capability
from aiida_finales.data.result import Facts, ResultData, read_facts
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import CampaignFileError, FinalesError
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.problem import OptimiserSettings, Problem, Source
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.chemicals import chemical_label, find_chemical, get_chemical
from aiida_finales.schemas.formulation import make_formulation, merge, place_formulation
from aiida_finales.schemas.limitations.offer import Offer, check, formulation_regions, nearest
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.words import count

#: in any unit; the square of a larger value is no number that a computer has
LARGEST = 1e100


#: widest extent (mole fraction) of a component that counts as absent from the design space
ABSENT = 1e-9
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
    told = ({**offer, "chemicals": tenant.chemicals} for found in offers.values() for tenant, offer in found)
    chemicals = _chemicals(told) | (last or {}).get("chemicals", {})
    spaces = {name: _space(campaign, name, found, chemicals) for name, found in offers.items()}
    for name, space in spaces.items() if last else ():
        space.leave_out_foreign(name, (last or {})["problem"]["components"])
    unavailable = {name: space.trouble for name, space in spaces.items() if space.trouble}
    if unavailable and last is None:
        raise CampaignFileError("; ".join(unavailable.values()))
    known = {source.name: source for source in Problem.from_dict(last["problem"]).sources} if last else {}
    regions = {name: known[name].regions if name in unavailable else space.regions for name, space in spaces.items()}
    target = str(campaign.target)
    components = _components(regions[target], target)
    whole = Region.from_box(dict.fromkeys(components, (0.0, 1.0)))
    sources = tuple(
        Source(
            name,
            tuple(regions[name]) or (whole,),
            section.cost or (known[name].cost if name in unavailable else _declared_cost(offers[name])),
        )
        for name, section in campaign.sources.items()
    )
    settings = {"n_initial": campaign.initial, "max_evaluations": campaign.stop.evaluations, **campaign.optimiser}
    settings |= {key: getattr(campaign.stop, key) for key in ("budget", "gain_tolerance", "gain_patience")}
    problem = Problem(components, sources, target, campaign.maximise, OptimiserSettings.from_dict(settings))
    return {
        "problem": problem.to_dict(),
        "transform": str(campaign.transform),
        "requests": {
            name: {
                "quantity": campaign.quantity,
                "method": canonical_capability(campaign.quantity, str(section.method))[1],
                "fixed": campaign.fixed,
            }
            for name, section in campaign.sources.items()
        },
        "tenants": {name: [tenant.uuid for tenant, _ in found] for name, found in offers.items()},
        "chemicals": {name: chemicals.get(name) or get_chemical(name).smiles for name in components},
        "left_out": [words for space in spaces.values() for words in space.left_out],
        "unavailable": unavailable,
    }


@dataclass
class _Space:
    """Where a source may be asked, why not elsewhere, and why not at all."""

    regions: list[Region] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    trouble: str = ""

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
    quantity, method = canonical_capability(campaign.quantity, str(campaign.sources[name].method))
    found = [(tenant, tenant.find_offer(quantity, method)) for tenant in list_tenants()]
    return [(tenant, offer) for tenant, offer in found if offer is not None]


def _lack_of_offers(campaign: CampaignFile, name: str) -> str:
    quantity, method = canonical_capability(campaign.quantity, str(campaign.sources[name].method))
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
    campaign: CampaignFile, name: str, offers: list[tuple[TenantData, dict[str, Any]]], chemicals: dict[str, str]
) -> _Space:
    """Return the compositions that a source can be asked for, whatever else its tenants offer."""
    space = _Space()
    for tenant, document in offers:
        offer = Offer.from_dict(document)
        for region in formulation_regions(offer):
            against = find_obstacle(offer, region, campaign.fixed, chemicals)
            if against is None:
                space.regions.append(region)
            else:
                space.left_out.append(f"what {tenant.name} offers of {' / '.join(map(chemical_label, region.names))} "
                                      f"is left out for {name}: {against}")  # fmt: skip
    space.left_out = list(dict.fromkeys(space.left_out))
    if campaign.sources[name].ask and not offers:
        space.trouble = _lack_of_offers(campaign, name)
    elif campaign.sources[name].ask and not space.regions:
        reasons = "".join(f"; {words}" for words in space.left_out)
        space.trouble = f"source {name!r} has no formulation to vary within the limitations of its tenants{reasons}"
    return space


def find_obstacle(offer: Offer, region: Region, fixed: dict[str, Any], chemicals: dict[str, str]) -> str | None:
    """Return why no request can be made in a region, with what is fixed; tried in its middle.

    :param chemicals: SMILES by InChIKey of chemicals that the platform does not know by itself.
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


def choose_training(
    campaign: CampaignFile, results: list[ResultData], components: list[str] | None
) -> tuple[list[ResultData], dict[str, str]]:
    """Return the results to learn from, and the reason against each of the others by UUID.

    :param components: InChIKeys of the chemicals of the design space; ``None`` where it is not known yet.
    """
    known = read_facts(results)
    used, excluded = [], {}
    for result in results:
        facts = known[result.uuid]
        against = _doubt(facts, campaign) or _mismatch(facts, campaign, components)
        if against is None:
            used.append(result)
        else:
            excluded[result.uuid] = against
    return used, excluded


def _doubt(result: Facts, campaign: CampaignFile) -> str | None:
    """Return what is wrong with a result, by its source's demands."""
    sources = {
        canonical_capability(campaign.quantity, str(section.method)): section for section in campaign.sources.values()
    }
    section = sources.get((result.quantity, result.method))
    if section is None or not section.learn:
        return f"{result.method} is no source of this campaign"
    state = result.extras.get(STATE) or {}
    if not is_usable(state):
        return f"{state.get('status')}: {state.get('reason', '')}"
    if result.extras.get(DOUBTFUL):
        return f"doubtful: {result.extras[DOUBTFUL]}"
    if result.implausible or not result.success:
        return f"not plausible: {', '.join(result.implausible)}" if result.implausible else "not successful"
    if section.min_rating and (result.rating or 0) < section.min_rating:
        return f"rating {result.rating} is below {section.min_rating}"
    return None


def _mismatch(result: Facts, campaign: CampaignFile, components: list[str] | None) -> str | None:
    """Return why a good result says nothing about what the campaign looks for."""
    if result.value is None or not abs(result.value) < LARGEST:
        return f"its value is {result.value}: the data have no usable number"
    if campaign.transform == "log" and result.value <= 0:
        return f"a value of {result.value:g} has no logarithm"
    wanted, given = campaign.fixed.get("temperature"), result.temperature
    if wanted is not None and given is not None and abs(given - wanted) > campaign.temperature_tolerance:
        return f"measured at {given} K, not at {wanted} K"
    return None if components is None else composition_defect(result.fractions, components)
