"""What a person should know of a campaign: what it leaves out, what fails, and who is missing."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from aiida import orm

from aiida_finales.broker.state import State
from aiida_finales.data.campaign import GIVEN_UP
from aiida_finales.data.tenant import TenantData, name_tenants
from aiida_finales.operations.campaign.evaluation import Evaluation
from aiida_finales.operations.request.records import is_alone
from aiida_finales.schemas import Json
from aiida_finales.schemas.campaign import CampaignFile, doubt_references
from aiida_finales.schemas.cells.naming import tell_mixed
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.plausibility import tell_poor_conductor
from aiida_finales.schemas.words import be, count, name_some
from aiida_finales.science.electrolyte.composition import ABSENT

#: answers of a tenant of which none counts, from which on that is said
MANY_LOST = 3
#: in a reason
NUMBER = re.compile(r"\d[\d.e+-]*")


def read_tenants(problems: Iterable[tuple[Json, Json]]) -> dict[str, tuple[str, str]]:
    """Return identity and name of tenants, by UUID, of campaigns whose sources others serve than in the beginning.

    :param problems: of each campaign the input of the first and of the latest suggestion.
    """
    changed = [pair for pair in map(_served, problems) if pair[0] != pair[1]]
    uuids = list({uuid for pair in changed for served in pair for found in served.values() for uuid in found})
    columns = ["uuid", "attributes.tenant_uuid", "attributes.name"]
    query = orm.QueryBuilder().append(TenantData, filters={"uuid": {"in": uuids}}, project=columns)
    return {uuid: (identity, name) for uuid, identity, name in (query.all() if uuids else ())}


def name_providers(identities: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return identity and name of tenants by their identity; of none takes no statement."""
    wanted = set(filter(None, identities))
    return {key: (key, name) for key, name in (name_tenants().items() if wanted else ()) if key in wanted}


def _served(problems: tuple[Json, Json]) -> tuple[Json, Json]:
    """Return who serves each source, by UUID."""
    first, latest = (document.get("tenants", {}) for document in problems)
    return first, latest


def list_troubles(
    problems: tuple[Json, Json],
    tenants: Mapping[str, tuple[str, str]],
    notes: Json,
    campaign: CampaignFile,
    evaluations: tuple[Evaluation, ...],
    open_states: Mapping[int, State],
) -> Iterator[str]:
    """Yield what a person should know: what is left out, what fails, who is missing.

    :param problems: input of the first and of the latest suggestion.
    :param tenants: identity and name of those, by UUID, where others serve now; and, by identity, of those whose
        answers are not learned from.
    :param open_states: of the requests under way: where somebody can serve them by now, nobody is missing.
    """
    _, problem = problems
    yield from problem.get("left_out", ())
    yield from tell_strangers(problem, campaign.targets)
    yield from _tell_gone(problems, tenants)
    yield from _tell_forgotten(problem, evaluations)
    is_back = bool(open_states) and not any(map(is_alone, open_states.values()))
    for name, why in () if is_back else problem.get("unavailable", {}).items():
        yield f"waits for tenants of {name}: {why}"
    known = Counter(item.against for item in evaluations if item.is_known)
    for reason, number in known.items():
        if reason:
            known_words = count(known.total(), "result")
            yield f"{number} of {known_words} that it started with {be(number)} not learned from: {reason}"
    yield from _tell_left_out(campaign, evaluations, tenants)
    counted = [item for item in evaluations if item.is_used]
    for item in () if campaign.is_sure else counted:
        if words := _find_slip(item, campaign):
            yield f"result <{item.pk}> of {item.source} is learned from, but {words}"
    options = {name: section.options for name, section in campaign.categories.items()}
    yield from tell_mixed((item.parts for item in counted), options)
    told = {name: [item.numbers[name] for item in counted if name in item.numbers] for name in campaign.optimised}
    yield from doubt_references(campaign, told)
    for name, number in notes.get("failures", {}).items():
        over = ": it is asked no more" if number >= campaign.stop.failures else ""
        vain = f"the last {'request' if number == 1 else count(number, 'request')} to {name}"
        # notes of before this was kept have only that of all sources together
        last = notes.get("reasons", {}).get(name) or notes.get("last_failure")
        yield f"{vain} brought nothing to learn from{over}; the latest reason: {last}"
    yield from _tell_given_up(notes)


def tell_doubt(name: str) -> str:
    """Return that what a campaign recommended rests on results that do not count any more, and what to do."""
    again = f"'aiida-finales campaign continue {shlex.quote(name)} --evaluations NUMBER'"
    return f"what it recommended rests on results that do not count any more: {again} goes on without them"


def _tell_left_out(
    campaign: CampaignFile, evaluations: tuple[Evaluation, ...], tenants: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Yield which answers are not learned from, those of one tenant for one reason together, and whose none are.

    What differs in numbers only is one reason, told with those of the first: another unit is wrong each time.
    """
    groups: defaultdict[tuple[str, str, str], list[Evaluation]] = defaultdict(list)
    for item in (item for item in evaluations if item.against and not item.is_known):
        section = campaign.sources.get(item.source)
        if section is None or section.learn:
            groups[item.source, item.tenant, NUMBER.sub("", item.against)].append(item)
    for (source, tenant, _), items in groups.items():
        name = tenants.get(tenant, ("", ""))[1]
        by = f" by {name}" if name else ""
        pks = [f"<{item.pk}>" for item in items]
        what = f"result {pks[0]}" if len(pks) == 1 else f"{count(len(pks), 'result')} ({name_some(pks)})"
        alike = " (the others alike)" if len({item.against for item in items}) > 1 else ""
        yield f"{what} of {source}{by} {be(len(pks))} not learned from: {items[0].against}{alike}"
    used = Counter((item.source, item.tenant) for item in evaluations if item.is_used)
    lost = Counter((source, tenant) for (source, tenant, _), items in groups.items() for _ in items)
    for (source, tenant), number in lost.items():
        others = any(key[0] == source and key != (source, tenant) for key in used)
        if number >= MANY_LOST and not used[source, tenant] and others and tenant in tenants:
            name = tenants[tenant][1]
            yield (
                f"no answer of {name} counts, {number} were left out, while those of others do: 'aiida-finales tenant "
                f"deactivate {shlex.quote(name)}' lets {source} be asked of the others only"
            )


def tell_strangers(problem: Json, targets: Iterable[str]) -> Iterator[str]:
    """Yield where tenants offer mixtures that have no chemical in common: a campaign looks at all of them.

    :param problem: input of a suggestion; empty before the first.
    """
    for source in (item for item in problem.get("problem", {}).get("sources", ()) if item["name"] in targets):
        mixtures: list[list[str]] = []
        for region in source["regions"]:
            names = [name for name, upper in zip(region["names"], region["upper"], strict=True) if upper > ABSENT]
            if all(set(names).isdisjoint(known) for known in mixtures):
                mixtures.append(names)
        if len(mixtures) < 2:  # noqa: PLR2004 - what is said of one
            continue
        told = name_some([" / ".join(map(chemical_label, names)) for names in mixtures])
        yield (
            f"what is offered for {source['name']} has no chemical in common ({told}), and the campaign looks at all "
            "of it: a range of a chemical that all of yours have, under 'within: ranges', keeps to those"
        )


def _tell_given_up(notes: Json) -> Iterator[str]:
    """Yield where sources are asked no more, as no answer ever came from there."""
    places = notes.get(GIVEN_UP, ())
    for source in dict.fromkeys(item["source"] for item in places):
        *others, last = (item for item in places if item["source"] == source)
        more = f" and at {count(len(others), 'other point')}" if others else ""
        end = "; nothing else is left to ask of it" if source in notes.get("used_up", ()) else ""
        yield (f"{source} is not asked again at {last['where']}{more}: {len(last['requests'])} requests there ended "
               f"without an answer, the latest: {last['why']}{end}")  # fmt: skip


def _find_slip(item: Evaluation, campaign: CampaignFile) -> str:
    """Return that a conductivity looks like another unit; empty otherwise."""
    quantity = campaign.quantity_of(item.source) if item.source in campaign.sources else campaign.quantity
    values = [value.value for value in item.values if value.value is not None]
    return tell_poor_conductor(values, item.temperature, item.fractions) if quantity == "conductivity" else ""


def _tell_forgotten(problem: Json, evaluations: tuple[Evaluation, ...]) -> Iterator[str]:
    """Yield that results of before are not of the present space: they count, but the model cannot use them."""
    present = (problem.get("problem") or {}).get("components")
    gone = [
        {name for name, share in item.fractions.items() if share > 0 and name not in present}
        for item in evaluations
        if present and item.is_used
    ]
    names = sorted({chemical_label(name) for foreign in gone for name in foreign})
    if names:
        number = count(sum(map(bool, gone)), "result")
        yield f"the model learns no more from {number} with {', '.join(names)}, offered no longer; they count as before"


def _tell_gone(problems: tuple[Json, Json], tenants: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Yield which sources are served without somebody who served them in the beginning."""
    before, now = _served(problems)
    if before == now:
        return
    for source in (name for name in now if name not in problems[1].get("unavailable", {})):
        began, serve = (dict(tenants[uuid] for uuid in served.get(source, ()) if uuid in tenants)
                        for served in (before, now))  # fmt: skip
        gone = [name for identity, name in began.items() if identity not in serve]
        if gone and serve:
            yield (f"{source} is asked of {name_some([*serve.values()])} and no longer of {name_some(gone)}: what only "
                   "they offered is looked at no more")  # fmt: skip
