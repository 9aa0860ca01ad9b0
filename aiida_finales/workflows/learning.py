"""Which results a campaign learns from, and why others are left out."""

from __future__ import annotations

from aiida_finales.broker.results import DOUBTFUL, is_usable
from aiida_finales.broker.state import STATE
from aiida_finales.calculations.suggest import composition_defect
from aiida_finales.data.result import Facts, ResultData, read_facts
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.names import canonical_capability

#: in any unit; the square of a larger value is no number that a computer has
LARGEST = 1e100


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
