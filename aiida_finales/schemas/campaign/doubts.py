"""What whoever wrote a campaign file may not have meant: nothing here prevents a start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiida_finales.schemas.campaign.file import CampaignFile, ObjectiveSection
from aiida_finales.schemas.ranges import PLAUSIBLE, Range
from aiida_finales.schemas.registry import SCHEMAS
from aiida_finales.schemas.units import SYMBOLS
from aiida_finales.schemas.values import format_number
from aiida_finales.schemas.words import count

#: suggestions that fill the space where the file does not say how many: so many, and one per component
N_INITIAL = 5
#: results that say whether a reference can be reached
ENOUGH = 5


def list_doubts(campaign: CampaignFile, n_components: int = 2) -> list[str]:
    """Return a sentence for each number of a campaign file that cannot be of use.

    :param n_components: of the design space, where it is known; there are two at least.
    """
    return [*_doubt_initial(campaign, n_components), *_doubt_limits(campaign), *_doubt_temperature(campaign)]


def is_any_temperature(campaign: CampaignFile) -> bool:
    """Return whether results at any temperature are compared, though one could be asked for."""
    options = [option for item in campaign.categories.values() for option in item.options.values()]
    if "temperature" in campaign.variables or any("temperature" in given for given in (campaign.fixed, *options)):
        return False
    return any(
        name == campaign.quantity and "temperature" in schema.parameters.model_fields
        for (name, _), schema in SCHEMAS.items()
    )


def _doubt_temperature(campaign: CampaignFile) -> Iterator[str]:
    if is_any_temperature(campaign):
        yield (
            f"no temperature is fixed: results of {campaign.quantity} at any temperature are compared with each other; "
            "if that is not meant, say 'fixed: {temperature: 298.15}' (K) in the file, and start it anew if it runs"
        )


def _doubt_initial(campaign: CampaignFile, n_components: int) -> Iterator[str]:
    given, last = campaign.initial, campaign.stop.evaluations
    initial = N_INITIAL + n_components if given is None else given
    if last is not None and initial >= last:
        said = f"initial is {initial}" if given is not None else f"{initial} or more suggestions fill the space first"
        yield f"{said}, and the campaign ends after {count(last, 'evaluation')}: its model is never used"


def _doubt_limits(campaign: CampaignFile) -> Iterator[str]:
    """Yield what is wrong with references and limits that are outside of what the quantity can be."""
    units = {symbol: unit for unit, symbol in SYMBOLS.items()}
    for name, goal in campaign.goals.items():
        expected = PLAUSIBLE.get(units.get(goal.unit, goal.unit))
        if expected is None or goal.number is not None:
            continue
        for key, number, consequence in _list_limits(goal, expected):
            slips = expected.find_slips(number)
            looks = f" ({number:g} looks like {' or '.join(slips)})" if slips else ""
            span = f"{expected.low:g} to {expected.high:g}"
            yield f"{key} of {name} is {number:g} {goal.unit}, and {span} is to be expected{looks}: {consequence}"


def _list_limits(goal: ObjectiveSection, expected: Range) -> Iterator[tuple[str, float, str]]:
    """Yield key, number and consequence of what nothing, or everything, can be better than."""
    worst, best = expected.low, expected.high
    if goal.direction == "minimise":
        worst, best = best, worst
    if goal.reference is not None and goal.direction in ("maximise", "minimise"):
        sign = 1 if goal.direction == "maximise" else -1
        if sign * goal.reference >= sign * best:
            yield "reference", goal.reference, "nothing can be better, and the hypervolume stays 0"
        elif sign * goal.reference < sign * worst:
            yield "reference", goal.reference, "everything is better, and the hypervolume says little"
    if goal.value is not None and not expected.low <= goal.value <= expected.high:
        yield "value", goal.value, "nothing can reach it"
    if goal.at_least is not None and goal.at_least > expected.high:
        yield "at_least", goal.at_least, "nothing can be used"
    if goal.at_most is not None and goal.at_most < expected.low:
        yield "at_most", goal.at_most, "nothing can be used"


def doubt_references(campaign: CampaignFile, values: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield the references that no result reaches, where there are enough to tell.

    :param values: by objective, of the results that are known.
    """
    for name, goal in campaign.optimised.items():
        known = values.get(name, ())
        if goal.reference is None or goal.direction == "reach" or len(known) < ENOUGH:
            continue
        best = min(known) if goal.direction == "minimise" else max(known)
        is_better = best < goal.reference if goal.direction == "minimise" else best > goal.reference
        if not is_better:
            reference = f"{goal.reference:g} {goal.unit}".rstrip()
            yield (
                f"reference of {name} is {reference}, and none of {count(len(known), 'result')} is "
                f"better, the best {format_number(best)}: the hypervolume stays 0"
            )
