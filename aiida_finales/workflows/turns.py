"""Whose turn it is: which source of a campaign is asked next, which may not be asked, and what was asked so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida import orm

from aiida_finales.broker.requests import OPEN
from aiida_finales.broker.state import STATE
from aiida_finales.data.campaign import SERVES, CampaignGroup
from aiida_finales.data.nodes import ACTIVE, born
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.words import count
from aiida_finales.workflows.serve import ServeRequestWorkChain

#: points that a target may be ahead of another one that is asked for the same points
AHEAD = 2


@dataclass(frozen=True)
class Standing:
    """What was asked and what came of it, by source.

    :param asked: requests made.
    :param answered: results that count.
    :param serving: requests under way.
    :param waiting: requests that are to be made as soon as the source has room.
    :param failures: requests in a row that brought nothing to learn from.
    :param away: sources that nobody offers now.
    :param costs: of one evaluation.
    :param used_up: sources that were asked for all that they can do.
    """

    asked: Mapping[str, int]
    answered: Mapping[str, int]
    costs: Mapping[str, float]
    serving: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    failures: Mapping[str, int] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)
    used_up: Collection[str] = ()

    @property
    def spent(self) -> float:
        """The sum of the costs of the requests made."""
        return sum(self.costs[source] * number for source, number in self.asked.items())


def next_source(campaign: CampaignFile, standing: Standing) -> str | None:
    """Return the source to ask next, or ``None``: the one asked least often among those with room.

    With ``policy: information`` the optimiser may choose another one of :func:`list_choices`.
    """
    return next(iter(_free_sources(campaign, standing)), None)


def list_choices(campaign: CampaignFile, standing: Standing) -> list[str]:
    """Return the sources among which the optimiser is to choose; none where it is the turn of one."""
    free = [name for name in _free_sources(campaign, standing) if name not in standing.away]
    return free if campaign.policy == "information" and len(free) > 1 else []


def _free_sources(campaign: CampaignFile, standing: Standing) -> list[str]:
    """Return the sources with room, the one asked least often first, those away last."""
    if any(name in standing.used_up for name in campaign.targets):
        return []  # what is looked for is known everywhere
    free = [name for name in healthy_sources(campaign, standing) if has_room_for(name, campaign, standing)]
    free = [name for name in free if name not in standing.used_up]
    if campaign.policy == "target" and any(campaign.sources[name].ask for name in campaign.targets):
        free = [name for name in free if name in campaign.targets]
    return sorted(free, key=lambda name: (name in standing.away, standing.asked.get(name, 0)))


def tell_end(campaign: CampaignFile, standing: Standing) -> str:
    """Return in words why no source is asked any more, where the campaign was neither stopped nor at its end."""
    used_up = [name for name in campaign.targets if name in standing.used_up]
    if used_up:
        return f"all that {' and '.join(used_up)} can do was asked"
    asked = [name for name, section in campaign.sources.items() if section.ask]
    together, most = [name for name in campaign.targets if name in asked], campaign.stop.evaluations
    if most is not None and 0 < (rest := most - sum(standing.answered.values())) < len(together):
        return f"{rest} of {count(most, 'evaluation')} left, and a point takes one of each of {', '.join(together)}"
    left = math.inf if campaign.stop.budget is None else campaign.stop.budget - standing.spent
    if asked and all(standing.costs[name] > left for name in asked):
        least = min(standing.costs[name] for name in asked)
        return f"{left:g} of the budget of {campaign.stop.budget:g} is left, and an evaluation costs {least:g}"
    failed = [name for name in asked if name not in healthy_sources(campaign, standing)]
    reasons = [f"{name} is asked no more, after {count(standing.failures[name], 'failure')}" for name in failed]
    reasons += [f"all that {name} can do was asked" for name in asked if name in standing.used_up]
    full = [name for name in asked if not _has_evaluations(name, campaign, standing)]
    reasons += [f"{name} was asked for its {count(standing.answered[name], 'evaluation')}" for name in full]
    return ", ".join(reasons) or "nothing more to ask"


def healthy_sources(campaign: CampaignFile, standing: Standing) -> list[str]:
    """Return the sources that may be asked and have not failed too often."""
    most = campaign.stop.failures
    return [name for name, section in campaign.sources.items() if section.ask and standing.failures.get(name, 0) < most]


def has_room_for(name: str, campaign: CampaignFile, standing: Standing) -> bool:
    """Return whether a source may be asked once more: in flight, in evaluations and in cost.

    Targets are asked for the same points: with one the others are, though each when it has room. A quick one does not
    run away from a slow one.
    """
    under_way = standing.serving + standing.waiting
    together = list(dict.fromkeys([name, *campaign.targets])) if name in campaign.targets else [name]
    together = [key for key in together if campaign.sources[key].ask]
    stop = campaign.stop
    n_all = sum(standing.answered.values()) + under_way.total() + len(together)
    due = sum(standing.costs[source] * number for source, number in standing.waiting.items())
    cost = standing.spent + due + sum(standing.costs[key] for key in together)
    return (
        under_way[name] < campaign.sources[name].max_in_flight
        and all(standing.waiting[key] < AHEAD for key in together)
        and all(_has_evaluations(key, campaign, standing) for key in together)
        and (stop.evaluations is None or n_all <= stop.evaluations)
        and (stop.budget is None or cost <= stop.budget)
    )


def _has_evaluations(name: str, campaign: CampaignFile, standing: Standing) -> bool:
    """Return whether a source has evaluations of its own left."""
    most = campaign.sources[name].evaluations
    return most is None or standing.answered.get(name, 0) + standing.serving[name] + standing.waiting[name] < most


@dataclass(frozen=True)
class Asked:
    """A request that a campaign made.

    :param process: pk of the process that serves it, unless that has ended.
    :param is_counted: whether it cost something.
    """

    pk: int
    uuid: str
    source: str
    is_open: bool
    process: int | None
    is_counted: bool


def read_asked(group: CampaignGroup, problem: Mapping[str, Any]) -> list[Asked]:
    """Return the requests that the processes of a campaign made so far, oldest first.

    :param problem: input of a suggestion: says which source a request belongs to.
    """
    names, orphaned = _name_sources(problem), ServeRequestWorkChain.exit_codes.ERROR_ORPHANED.status
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    columns = ["id", "uuid", "attributes.quantity", "attributes.methods", f"extras.{STATE}.status"]
    query.append(RequestData, with_group="group", project=columns, tag="request")
    columns = ["id", "attributes.process_state", "attributes.exit_status"]
    query.append(orm.WorkChainNode, with_incoming="request", filters=SERVES, project=columns, tag="process")
    found: dict[int, Asked] = {}
    for pk, uuid, quantity, methods, status, process, state, exit_status in query.all():
        name, known = names.get((quantity, methods[0])), found.get(pk)
        if name is None:
            continue  # of a source that the campaign has no more
        alive = process if state in ACTIVE else known.process if known else None
        # what nobody could serve any more cost nothing
        is_counted = exit_status != orphaned or bool(known and known.is_counted)
        found[pk] = Asked(pk, uuid, name, status in OPEN, alive, is_counted)
    return [found[pk] for pk in sorted(found)]


def count_asked(asked: list[Asked]) -> Counter[str]:
    """Return how many requests were made per source; what nobody could serve any more cost nothing."""
    return Counter(item.source for item in asked if item.is_counted)


def read_answers(
    group: CampaignGroup, problem: Mapping[str, Any], known: Iterable[ResultData]
) -> list[tuple[str, ResultData]]:
    """Return the results that a campaign asked for, with their sources, oldest first; also those nobody took yet.

    :param problem: input of a suggestion: says which source a result is of.
    :param known: results that it started with.
    """
    names = _name_sources(problem)
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    query.append(RequestData, with_group="group", project=f"extras.{STATE}.result")
    taken = {node.uuid: node for node in group.nodes if isinstance(node, ResultData)}
    late = [uuid for uuid in query.all(flat=True) if uuid and uuid not in taken]
    more = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": late}}).all(flat=True) if late else []
    started = {node.uuid for node in known}
    own = [node for node in [*taken.values(), *more] if node.uuid not in started]
    found = [(names.get((node.quantity, node.method)), node) for node in sorted(own, key=lambda node: int(node.pk))]
    return [(name, node) for name, node in found if name is not None]


def next_step(group: CampaignGroup) -> int:
    """Return the number of the next suggestion of a campaign: with it the same one comes out, whoever asks."""
    steps = [node.step for node in group.nodes if isinstance(node, SuggestionData) and node.source_name]
    return max(steps, default=-1) + 1


def find_last_suggestion(group: CampaignGroup) -> SuggestionData | None:
    """Return the latest suggestion or recommendation of a campaign, whichever process made it."""
    return max((node for node in group.nodes if isinstance(node, SuggestionData)), key=born, default=None)


def _name_sources(problem: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {(how["quantity"], how["method"]): name for name, how in problem["requests"].items()}
