"""From a campaign and the registered tenants to the optimiser's problem: what to vary, within what, asked of whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from aiida import orm

from aiida_finales.data.capability import find_active_capability
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import CampaignFileError, UnknownCapabilityError
from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.problem import Category, Problem, Variable
from aiida_finales.optimisation.settings import OptimiserSettings
from aiida_finales.schemas.campaign import CampaignFile, ObjectiveSection
from aiida_finales.schemas.chemicals import chemical_label, find_chemical, get_chemical
from aiida_finales.schemas.limitations.offer import Offer, formulation_regions
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.schemas.registry import SCHEMAS
from aiida_finales.schemas.structure import find_unit, node_at, why_no_number, without_null
from aiida_finales.schemas.units import SYMBOLS
from aiida_finales.schemas.values import has_numbers
from aiida_finales.schemas.words import count
from aiida_finales.science.electrolyte.composition import ABSENT
from aiida_finales.workflows.left_out import tell_left_out
from aiida_finales.workflows.space import UNITS, Offers, find_space
from aiida_finales.workflows.training import wanted_numbers

#: likeness from which one key is taken for another, mistyped
ALIKE = 0.75


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
    spaces = {name: find_space(campaign, name, found, chemicals) for name, found in offers.items()}
    served = {name: list(space.costs) for name, space in spaces.items()} if last is None else last["tenants"]
    for name, space in spaces.items() if last else ():
        space.leave_out_foreign(name, (last or {})["problem"]["components"], _find_owners(offers[name], served[name]))
    unavailable = {name: space.trouble for name, space in spaces.items() if space.trouble}
    if unavailable and last is None:
        raise CampaignFileError("; ".join(unavailable.values()))
    for source in Problem.from_dict(last["problem"]).sources if last else ():
        if source.name in unavailable:
            spaces[source.name].take(source)
    target_regions = [region for name in campaign.targets for region in spaces[name].regions]
    components = _components(target_regions, str(campaign.target))
    numbers = {name: wanted_numbers(campaign, name) for name in campaign.sources}
    one_of = {key: tuple(name for name in group if name in components) for key, group in campaign.one_of.items()}
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
        one_of={key: group for key, group in one_of.items() if len(group) > 1},
    ).to_dict()
    return {
        "problem": problem,
        "numbers": numbers,
        **_how_to_ask(campaign),
        "tenants": {name: list(space.costs) or served[name] for name, space in spaces.items()},
        "chemicals": {name: chemicals.get(name) or get_chemical(name).smiles for name in components},
        "left_out": tell_left_out(item for space in spaces.values() for item in space.left_out),
        "unavailable": unavailable,
    }


def _settings(campaign: CampaignFile) -> OptimiserSettings:
    for key, given in campaign.optimiser.items():
        if isinstance(getattr(OptimiserSettings, key, None), int) and not isinstance(given, (int, float)):
            raise CampaignFileError(f"optimiser.{key} is {given!r}, but accepted is a number")
    settings = {"n_initial": campaign.initial, "max_evaluations": campaign.stop.evaluations, **campaign.optimiser}
    if campaign.scalarise:
        weights = [campaign.weights[name] for name in campaign.optimised] if campaign.weights else []
        settings |= {"scalarise": campaign.scalarise, "weights": weights}
    settings |= {key: getattr(campaign.stop, key) for key in ("budget", "gain_tolerance", "gain_patience")}
    return OptimiserSettings.from_dict(settings)


def _objective(name: str, goal: ObjectiveSection) -> Objective:
    fields = ("direction", "value", "reference", "at_least", "at_most", "usual")
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
    return Variable(name, low, high, campaign.variables[name].unit or read_unit(campaign, campaign.path_of(name)))


def read_unit(campaign: CampaignFile, path: str) -> str:
    """Return the symbol of the unit that the methods of a campaign state for a parameter; empty where none does.

    :param path: dotted keys.
    """
    units = (find_unit(_read_schema(campaign, name), path) for name in campaign.sources)
    return next((SYMBOLS.get(unit, unit) for unit in units if unit), UNITS.get(path, ""))


def _find_offers(campaign: CampaignFile, name: str) -> Offers:
    quantity, method = campaign.capability_of(name)
    found = [(tenant, tenant.find_offer(quantity, method)) for tenant in list_tenants()]
    return [(tenant, offer) for tenant, offer in found if offer is not None]


def _find_owners(offers: Offers, served: list[str]) -> list[str]:
    """Return the UUIDs of those who offer something now and served before, be it as another version.

    :param served: UUIDs of those who served.
    """
    query = orm.QueryBuilder().append(TenantData, filters={"uuid": {"in": served}}, project="attributes.tenant_uuid")
    known = set(query.all(flat=True)) if served else set()
    return [tenant.uuid for tenant, _ in offers if tenant.tenant_uuid in known]


def _demand_known(campaign: CampaignFile, offers: Mapping[str, Offers]) -> None:
    """Refuse variables that no method knows, and limits on chemicals that no tenant offers: they are mistyped.

    :raises CampaignFileError: naming them and what is known or offered.
    """
    _demand_numbers(campaign)
    _demand_spelling(campaign)
    _demand_options_told_apart(campaign)
    known = {key: 0 for name in campaign.sources for key in _read_schema(campaign, name).get("properties", {})}
    for name in campaign.variables if known else ():
        if campaign.path_of(name).split(".")[0] not in known:
            raise CampaignFileError(
                f"variable {name!r} is no parameter of the methods of the sources, which are {', '.join(known)}: name "
                "one of them, or say under 'path' where it stands"
            )
    found = [offer for items in offers.values() for _, offer in items]
    regions = [region for offer in found for region in formulation_regions(Offer.from_dict(offer))]
    offered = list(dict.fromkeys(name for region in regions for name in region.names))
    asked = {"within": campaign.within.names if campaign.within else set()}
    asked["one_of"] = {name for group in campaign.one_of.values() for name in group}
    for place, names in asked.items() if offered else ():
        strange = sorted(names - set(offered))
        if not strange:
            continue
        named, able = ([chemical_label(key) for key in keys] for keys in (strange, offered))
        near = [close for word in named for close in get_close_matches(word, able, n=1)]
        hint = f"; did you mean {' and '.join(near)}?" if near else ""
        raise CampaignFileError(f"{place} names {', '.join(named)}, but the tenants offer {', '.join(able)}{hint}")


def _demand_spelling(campaign: CampaignFile) -> None:
    """Refuse parameters that no method knows where one that is known looks alike: they would be of no effect.

    :raises CampaignFileError: naming the place and what may be meant.
    """
    schemas = [_read_schema(campaign, name) for name in campaign.sources]
    places = {"fixed": campaign.fixed}
    for name, section in campaign.categories.items():
        places |= {f"option {option!r} of category {name!r}": given for option, given in section.options.items()}
    for place, given in places.items() if not campaign.is_sure else ():
        for path, near in _find_mistyped(schemas, given, ()):
            raise CampaignFileError(
                f"{place} has {'.'.join(path)}, which no method of the sources knows: did you mean {near}? A parameter "
                "that only a tenant knows is let through with 'is_sure: true' or --yes-really"
            )


def _demand_options_told_apart(campaign: CampaignFile) -> None:
    """Refuse a category of which a target knows nothing: it would measure the same for each of its options.

    :raises CampaignFileError: naming the category, what its options say, and what the target knows.
    """
    for name in () if campaign.is_sure else campaign.targets:
        for category in list_unheeded(campaign, name):
            section, schema = campaign.categories[category], _read_schema(campaign, name)
            said = sorted({path for option in section.options.values() for path in _list_paths(option)})
            raise CampaignFileError(
                f"target {name!r} cannot tell the options {', '.join(section.options)} of category {category!r} apart: "
                f"it knows nothing of {', '.join(said)}, its parameters are {', '.join(schema['properties'])}. Name "
                "some that it has beside those of the other sources, or make a source that knows them the target. A "
                "parameter that only a tenant knows is let through with 'is_sure: true' or --yes-really"
            )


def list_unheeded(campaign: CampaignFile, source: str) -> list[str]:
    """Return the categories of whose options the method of a source knows no parameter that differs."""
    known = _read_schema(campaign, source).get("properties", {})
    found = []
    for name, section in campaign.categories.items() if known else ():
        # what stands below a parameter is its tenant's to know, as the names of electrodes beside their materials
        heeded = [{key: value for key, value in option.items() if key in known} for option in section.options.values()]
        if all(option == heeded[0] for option in heeded):
            found.append(name)
    return found


def _list_paths(given: Mapping[str, Any], around: str = "") -> Iterator[str]:
    for key, value in given.items():
        if isinstance(value, Mapping) and value:
            yield from _list_paths(value, f"{around}{key}.")
        else:
            yield f"{around}{key}"


def _find_mistyped(
    schemas: list[dict[str, Any]], given: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the paths of keys that are not known, with the known one that each looks like."""
    nodes = [without_null(node_at(schema, path), schema) for schema in schemas]
    known = [key for node in nodes for key in node.get("properties", {})]
    for key, value in given.items():
        near = get_close_matches(str(key).lower(), known, n=1, cutoff=ALIKE)
        if key in known and isinstance(value, Mapping):
            yield from _find_mistyped(schemas, value, (*path, str(key)))
        elif key not in known and near and near[0] not in given:
            yield (*path, str(key)), near[0]


def _read_schema(campaign: CampaignFile, source: str) -> dict[str, Any]:
    """Return the schema of the parameters of a source's method; empty where the method is not registered."""
    try:
        return find_active_capability(*campaign.capability_of(source)).parameters_schema
    except UnknownCapabilityError:
        return {}


def _demand_numbers(campaign: CampaignFile) -> None:
    """Refuse objectives whose results have no values, such as capacities over the cycles, and numbers that none has.

    :raises CampaignFileError: naming the objective and how one of the numbers is named, or what there is instead.
    """
    built_in = {quantity for quantity, _ in SCHEMAS}  # those of other packages may tell values that no schema names
    for name, goal in campaign.goals.items():
        quantity = str(goal.quantity)
        if goal.number is None and quantity in built_in and not has_numbers(quantity):
            number = "capacity_list.-1" if quantity == "capacity" else "KEYS"
            raise CampaignFileError(
                f"a result of {quantity} has no single value that could be optimised: name the number of its data that "
                f"counts, as 'objectives: {{{name}: {{number: {number}, direction: maximise}}}}'"
            )
        why = _why_no_number(campaign, name) if goal.number is not None and not campaign.is_sure else ""
        if why:
            raise CampaignFileError(
                f"objective {name!r} wants the number {goal.number!r} of the results of {quantity}, but {why}; where "
                "a tenant tells what its capability does not promise, say so with 'is_sure: true' or --yes-really"
            )


def _why_no_number(campaign: CampaignFile, name: str) -> str:
    """Return why no source tells the number that an objective names; nothing where one may."""
    goal, reasons = campaign.goals[name], []
    for source in campaign.sources:
        try:
            schema = find_active_capability(*campaign.capability_of(source)).result_schema
        except UnknownCapabilityError:  # it is only learned from
            return ""
        if goal.quantity == campaign.quantity_of(source) or goal.quantity in schema.get("properties", {}):
            reasons.append(why_no_number(schema, str(goal.number)))
    return "" if "" in reasons else next(iter(reasons), "")


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
