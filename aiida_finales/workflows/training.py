"""Which results a campaign learns from, what they tell about which objective, and why others are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiida import orm

from aiida_finales.broker.results import DOUBTFUL, is_usable
from aiida_finales.broker.state import STATE
from aiida_finales.calculations.question import composition_defect, is_usable_number, read_categories, read_variable
from aiida_finales.data.capability import Schemas, read_result_schemas
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import Facts, ResultData, read_facts, read_number
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.words import count
from aiida_finales.science.electrolyte.composition import ABSENT

#: by objective, which number of a result tells about it: its quantity, and the keys of the number
Wanted = dict[str, dict[str, Any]]


def wanted_numbers(campaign: CampaignFile, source: str) -> Wanted:
    """Return which numbers of the results of a source tell about which objective.

    :raises CampaignFileError: when they tell about none.
    """
    found = find_numbers(campaign, source, read_result_schemas())
    if not found:
        raise CampaignFileError(
            f"source {source!r} is asked for {campaign.quantity_of(source)}, but the objectives are of "
            f"{', '.join(str(goal.quantity) for goal in campaign.goals.values())}"
        )
    return found


def find_numbers(campaign: CampaignFile, source: str, schemas: Schemas) -> Wanted:
    """Return the same of a campaign that is stored; nothing where the source tells about no objective any more.

    :param schemas: of :func:`~aiida_finales.data.capability.read_result_schemas`.
    """
    quantity, method = campaign.capability_of(source)
    # none: it is only learned from, by what was stored once
    told = schemas.get((quantity, method), {}).get("properties", {})
    return {
        name: {"quantity": goal.quantity, "number": goal.number}
        for name, goal in campaign.goals.items()
        if goal.quantity == quantity or goal.quantity in told
    }


def choose_training(
    campaign: CampaignFile, results: list[ResultData], components: list[str] | None
) -> tuple[list[ResultData], dict[str, str]]:
    """Return the results to learn from, and the reason against each of the others by UUID.

    :param components: InChIKeys of the chemicals of the design space; ``None`` where it is not known yet.
    """
    facts = read_facts(results)
    wanted = {name: wanted_numbers(campaign, name) for name in campaign.sources}
    excluded = find_reasons(campaign, {item.uuid: facts[item.uuid] for item in results}, components, wanted)
    return [item for item in results if item.uuid not in excluded], excluded


def find_reasons(
    campaign: CampaignFile, results: Mapping[str, Facts], components: list[str] | None, wanted: Mapping[str, Wanted]
) -> dict[str, str]:
    """Return the reason against each result that is not learned from, by its UUID; see :func:`choose_training`.

    :param results: what they say, by UUID.
    :param wanted: by name of the source, see :func:`find_numbers`.
    """
    sources = {campaign.capability_of(name): name for name in campaign.sources}
    excluded = {}
    for uuid, facts in results.items():
        source = sources.get((facts.quantity, facts.method))
        against = _doubt(facts, campaign, source)
        if against is None and source is not None:
            against = _mismatch(facts, campaign, wanted[source], components)
        if against is not None:
            excluded[uuid] = against
    return excluded


def list_told_nothing(
    campaign: CampaignFile, excluded: Mapping[str, str], given_up: Iterable[str] = ()
) -> list[RequestData]:
    """Return the requests of a campaign that told nothing: their answers are not learned from, or none came.

    They count as pending: else the same point, of which nothing became known, would be asked for again and again.

    :param excluded: of :func:`choose_training`.
    :param given_up: UUIDs of those that ended without an answer, and are not to be asked again.
    """
    query = orm.QueryBuilder().append(
        ResultData, filters={"uuid": {"in": list(excluded)}}, project="attributes.request_uuid"
    )
    uuids = [*(uuid for uuid in query.all(flat=True) if uuid), *given_up] if excluded else [*given_up]
    asked = orm.QueryBuilder().append(
        RequestData, filters={"uuid": {"in": uuids}, "attributes.requester": campaign.name}
    )
    return asked.order_by({RequestData: "id"}).all(flat=True) if uuids else []


def _doubt(result: Facts, campaign: CampaignFile, source: str | None) -> str | None:
    """Return what is wrong with a result, by its source's demands."""
    section = campaign.sources[source] if source else None
    if section is None or not section.learn:
        return f"{result.method} is no source of this campaign"
    state = result.extras.get(STATE) or {}
    if not is_usable(state):
        return f"{state.get('status')}: {state.get('reason', '')}"
    if result.extras.get(DOUBTFUL):
        return f"doubtful: {result.extras[DOUBTFUL]}"
    implausible = () if campaign.is_sure else result.implausible or ()
    if implausible or not result.success:
        return _tell_implausible(result, len(implausible)) if implausible else "not successful"
    if section.min_rating and (result.rating or 0) < section.min_rating:
        without = f"it has no rating, and at least {section.min_rating} is asked for"
        return without if result.rating is None else f"rating {result.rating} is below {section.min_rating}"
    return None


def _tell_implausible(result: Facts, number: int) -> str:
    """Return a number that is not to be expected, what is accepted, what it looks like, and how many there are more.

    :param number: of those that are not to be expected; the last of the defects.
    """
    told = (result.errors or [])[-number:]
    if not told:  # stored by a version that kept the paths alone
        return f"not plausible: {', '.join(result.implausible or ())}"
    first, *others = told
    more = f", and {count(len(others), 'other number')}" if others else ""
    return f"not plausible: {first['path']}: {first['given']!r} was given, accepted is {first['accepted']}{more}"


def _mismatch(
    result: Facts, campaign: CampaignFile, wanted: Mapping[str, dict[str, Any]], components: list[str] | None
) -> str | None:
    """Return why a good result says nothing about what the campaign looks for."""
    goals = campaign.goals
    reasons = [
        _defect(read_number(result, how["quantity"], how["number"]), goals[name].transform)
        for name, how in wanted.items()
    ]
    if all(reasons):
        return reasons[0] if reasons else f"{result.method} tells about no objective any more"
    wanted_t, given = campaign.fixed.get("temperature"), result.temperature
    if wanted_t is not None and given is not None and abs(given - wanted_t) > campaign.temperature_tolerance:
        return f"measured at {given} K, not at {wanted_t} K"
    for name in campaign.variables:
        if read_variable(result.parameters, result.temperature, campaign.path_of(name)) is None:
            return f"it does not say its {name}"
    told = read_categories(result.parameters, {key: item.options for key, item in campaign.categories.items()})
    for name in (name for name in campaign.categories if name not in told):
        return f"its {name} is none of {', '.join(campaign.categories[name].options)}"
    for name, group in campaign.one_of.items():
        present = [chemical_label(key) for key in group if result.fractions.get(key, 0.0) > ABSENT]
        if len(present) > 1:
            return f"it has {' and '.join(present)}, but {name} is to be one of them"
    return None if components is None else composition_defect(result.fractions, components)


def _defect(value: float | None, transform: str | None) -> str | None:
    """Return why a number cannot be learned from, or ``None``."""
    if not is_usable_number(value, "none"):
        return f"its value is {value}: the data have no usable number"
    return None if is_usable_number(value, transform) else f"a value of {value:g} has no logarithm"
