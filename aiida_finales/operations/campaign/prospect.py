"""What a campaign would ask for next, without asking."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from aiida import orm

from aiida_finales.broker.results import list_results
from aiida_finales.calculations.question import make_question, units_of
from aiida_finales.calculations.suggest import asked_sources, describe_expected, describe_point, name_acquisition
from aiida_finales.data.campaign import GIVEN_UP, NOTES, STOP, CampaignGroup, list_queued
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.campaign.steer import describe_queue, list_known, read_campaign, read_standing
from aiida_finales.optimisation.__main__ import answer
from aiida_finales.optimisation.problem import Problem
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.schemas import Json
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.values import format_value
from aiida_finales.schemas.words import count
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.training import choose_training, list_told_nothing
from aiida_finales.workflows.turns import (
    Standing,
    list_choices,
    next_source,
    next_step,
    read_answers,
    read_asked,
    tell_end,
)


def preview_suggestion(name: str, source: str | None = None) -> Json:
    """Return what a campaign would ask for next and why; nothing is stored and nobody is asked.

    :param source: of which; default: the one whose turn it is.
    :raises StatusError: when nothing would be asked.
    :raises OptimiserError: when no suggestion can be made.
    """
    group = CampaignGroup.find(name)
    process, campaign = read_campaign(group)
    problem = build_problem(campaign, read_last_problem(group))
    known = list_known(process)
    standing = read_standing(group, campaign, problem, known)
    chosen = source or next_source(campaign, standing)
    if (told := process.base.extras.get(STOP, None)) and not process.is_terminated:
        cure = f"when the last answer is there, 'aiida-finales campaign continue {shlex.quote(name)}' goes on"
        raise StatusError(f"campaign {name!r} asks for nothing more, it was told to stop ({told}); {cure}")
    if chosen is None:
        raise StatusError(f"campaign {name!r} would ask for nothing now: {_why_nothing(campaign, problem, standing)}")
    if chosen not in campaign.sources:
        raise InputError(f"source is {chosen!r}, but the sources are {', '.join(campaign.sources)}")
    used, excluded = read_training(group, campaign, problem, known)
    pending = _pending(group, problem)
    # who goes on with a campaign that has ended asks anew for what failed
    places = () if process.is_terminated else (group.base.extras.get(NOTES, None) or {}).get(GIVEN_UP, ())
    given_up = [uuid for place in places for uuid in place["requests"]]
    choices = () if source else list_choices(campaign, standing)
    question = make_question(
        problem,
        used,
        [*pending, *list_told_nothing(campaign, excluded, given_up)],
        source=chosen,
        step=next_step(group),
        choices=choices,
    )
    document, units = answer(question), units_of(problem)
    best = (document.get("recommendation") or {}).get("sources", {}).get(campaign.target)
    return {
        "source": document["source"],
        "formulation": _describe_point(document, problem),
        "x": dict(zip(map(chemical_label, problem["problem"]["components"]), document["x"], strict=False)),
        "reason": document["reason"],
        "acquisition": document["acquisition"],
        "predicted": document.get("predicted"),
        "predictions": document.get("predictions"),
        "probability_feasible": document.get("probability_feasible"),
        "asks": asked_sources(document),
        "expected_gain": document.get("expected_gain") if len(units) == 1 else None,
        "unit": next(iter(units.values())),
        "words": describe_expected({**document, "units": units, "unit": next(iter(units.values()))}),
        "alternatives": [_describe_point(item, problem) for item in document.get("candidates", ())[1:]],
        "learned_from": len(used),
        "left_out": excluded,
        "left_out_words": _tell_left_out(excluded),
        "warnings": question.get("warnings", []),
        "under_way": len(pending),
        "queue": describe_queue(name),
        "recommended": best,
        "best_formulation": _describe_point(best, problem) if best else None,
    }


def _tell_left_out(excluded: Mapping[str, str]) -> list[str]:
    """Return which results are not learned from, by the numbers that people see of them."""
    filters = {"uuid": {"in": list(excluded)}}
    query = orm.QueryBuilder().append(ResultData, filters=filters, project=["id", "uuid"], tag="result")
    rows = query.order_by({"result": "id"}).all() if excluded else []
    return [f"result <{pk}>: {excluded[uuid]}" for pk, uuid in rows]


def _why_nothing(campaign: CampaignFile, problem: Json, standing: Standing) -> str:
    """Return why no source would be asked, and what to do."""
    reason = stop_reason(Problem.from_dict(problem["problem"]), standing.answered)
    if reason is None and standing.serving:
        return f"no source has room, {count(standing.serving.total(), 'request')} under way; wait for the answers"
    cure = f"'aiida-finales campaign continue {shlex.quote(campaign.name)} --set ...' goes on with more"
    return f"{reason or tell_end(campaign, standing)}; {cure}"


def read_last_problem(group: CampaignGroup) -> Json | None:
    """Return the input ``problem`` of the latest suggestion of a campaign, or ``None``."""
    suggestions = [node for node in group.nodes if isinstance(node, SuggestionData) and node.creator]
    last = max(suggestions, key=lambda node: int(node.pk), default=None)
    return None if last is None else dict(last.creator.inputs.problem.get_dict())


def read_training(
    group: CampaignGroup, campaign: CampaignFile, problem: Json, known: Sequence[ResultData]
) -> tuple[list[ResultData], dict[str, str]]:
    """Return the results that a campaign learns from now, and the reason against each of the others by UUID."""
    own = [*(node for _, node in read_answers(group, problem, known)), *known]
    if campaign.learn_from == "all":
        own += [node for name in campaign.sources for node, _ in list_results(campaign.quantity_of(name))]
    own = list({node.uuid: node for node in own}.values())
    return choose_training(campaign, own, problem["problem"]["components"])


def _pending(group: CampaignGroup, problem: Json) -> list[RequestData]:
    """Return what has no answer yet: under way or in the queue."""
    pks = [item.pk for item in read_asked(group, problem) if item.is_open]
    query = orm.QueryBuilder().append(RequestData, filters={"id": {"in": pks}})
    return [*(query.all(flat=True) if pks else ()), *(request for request, _ in list_queued(group.label))]


def _describe_point(point: Json, problem: Json) -> str:
    return describe_point(problem["problem"], point["x"], point.get("category"))


def suggestion_lines(found: Json) -> list[str]:
    """Return what a campaign would ask for next, in words."""
    lines = [f"next, of {' and '.join(found['asks'])}: {found['formulation']} (mole fractions)"]
    if found["queue"]:
        lines = ["first what is in the queue: " + "; ".join(found["queue"]), f"then{lines[0].removeprefix('next')}"]
    lines.append(f"because: {name_acquisition(found['acquisition'])}, {found['reason']}")
    if found["words"]:
        lines.append(f"there it {found['words']}")
    if found["probability_feasible"] is not None:
        lines.append(f"the limits hold there with probability {found['probability_feasible']:.2f}")
    best = found["recommended"]
    if best and len(found["asks"]) == 1:
        words = format_value(best["mean"], best["sd"], found["unit"])
        lines.append(f"best in sight: {words} at {found['best_formulation']}")
    if found["expected_gain"] is not None:
        lines.append(f"expected gain: {format_value(found['expected_gain'], None, found['unit'])}")
    lines.append(f"learned from {count(found['learned_from'], 'result')}, {found['under_way']} without an answer yet")
    lines += [f"left out: {why}" for why in found["left_out_words"]]
    lines += [f"note: {words}" for words in found["warnings"]]
    return lines + [f"or: {words}" for words in found["alternatives"]]
