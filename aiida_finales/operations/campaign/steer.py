"""A person takes part in a campaign: adds a point of one's own, goes on with what has ended."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiida import orm

from aiida_finales.broker.matching import match
from aiida_finales.calculations.question import place_variables
from aiida_finales.data.campaign import NOTES, QUEUED, CampaignGroup, find_campaign_process, list_queued
from aiida_finales.data.nodes import make_dict
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import CampaignFileError, InputError, LimitationError, StatusError
from aiida_finales.operations.campaign.evaluation import linked_inputs
from aiida_finales.operations.campaign.start import demand_engine
from aiida_finales.operations.engine.connection import connect_to_daemon
from aiida_finales.operations.request.matching import explain_refusals
from aiida_finales.optimisation.problem import Problem
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.schemas.campaign import CampaignFile, parse_campaign
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.formulation import make_formulation, merge, place_formulation
from aiida_finales.schemas.moment import timestamp
from aiida_finales.science.electrolyte.known_density import find_density
from aiida_finales.workflows.campaign import CampaignWorkChain
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.training import choose_training
from aiida_finales.workflows.turns import Standing, count_asked, next_source, read_answers, read_asked, tell_end

#: a value with its name, in a point that a person wrote
_ASSIGNED = re.compile(r"[^\s,;=]+=[^\s,;]*")
#: evaluations more that are given as an example where a limit is reached
MORE = 10
#: what makes a campaign the campaign that it is, and is not changed when it goes on
FIXED_KEYS = ("name", "quantity", "maximise", "target", "transform", "objectives", "variables", "fixed", "warm_start")


def read_campaign(group: CampaignGroup) -> tuple[orm.WorkChainNode, CampaignFile]:
    """Return the latest process of a campaign, and what it was told to do.

    :raises CampaignFileError: when it has no process.
    """
    process = find_campaign_process(group)
    return process, parse_campaign(process.inputs.campaign.get_dict(), is_stored=True)


def read_point(text: str, categories: Collection[str] = ()) -> dict[str, Any]:
    """Return the numbers of a point that a person wrote: ``LiPF6=0.08 EC=0.3 EMC=0.62``, or a mixture in words.

    Behind a mixture, as ``1 M LiPF6 in EC:EMC 3:7 w/w``, variables and options may follow as ``NAME=VALUE``.

    :param categories: names of what is no number, but an option.
    :raises InputError: when a part is no ``NAME=NUMBER``, or the mixture cannot be read.
    """
    found: dict[str, Any] = {}
    if "=" not in text or " in " in text:
        said, numbers = _ASSIGNED.sub(" ", text).strip(" ,;"), " ".join(_ASSIGNED.findall(text))
        found, text = dict(read_mixture(said, find_density).fractions), numbers
    for part in re.split(r"[\s,;]+", text.strip()) if text.strip() else ():
        name, _, number = part.partition("=")
        if name in categories and name not in found:
            found[name] = number
            continue
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not name or not math.isfinite(value) or name in found:
            raise InputError(
                f"{part!r} of the point {text!r} cannot be read: accepted is NAME=NUMBER, each name once, as in "
                "'LiPF6=0.08 EC=0.3 EMC=0.62'"
            )
        found[name] = value
    return found


def add_point(
    name: str, point: Mapping[str, Any], who: str, why: str = "", source: str | None = None
) -> list[RequestData]:
    """Put a point of one's own into the queue of a campaign, which asks for it next, before what the model suggests.

    :param point: mole fraction by chemical, the value of each variable and the option of each category by its name.
    :param source: of which to ask; default: the target, of several objectives all targets.
    :raises InputError: when the campaign or its tenants cannot ask for that; nothing was stored.
    """
    group = CampaignGroup.find(name)
    _, campaign = read_campaign(group)
    able = [key for key, item in campaign.sources.items() if item.ask]
    if source is not None and source not in able:
        raise InputError(f"source is {source!r}, but accepted is one that the campaign asks: {', '.join(able)}")
    problem = build_problem(campaign)
    chosen = [source] if source else [key for key in campaign.targets if key in able]
    requests = [_make_request(campaign, problem, key, point) for key in chosen]
    for request in requests:
        matching = match(request.quantity, request.parameters)
        if not matching.is_feasible:
            raise LimitationError(explain_refusals(request.quantity, matching))
    for key, request in zip(chosen, requests, strict=True):
        request.base.extras.set(QUEUED, {"source": key, "who": who, "why": why, "since": timestamp()})
        group.add_nodes([request.store()])
    return requests


def _make_request(
    campaign: CampaignFile, problem: Mapping[str, Any], source: str, point: Mapping[str, Any]
) -> RequestData:
    """Return the request of a source for a point, not stored."""
    how, variables = problem["requests"][source], problem["paths"]
    missing = [key for key in variables if key not in point]
    if missing:
        raise InputError(f"the point {dict(point)} lacks {', '.join(missing)}, which the campaign varies")
    for key, options in problem["categories"].items():
        if point.get(key) not in options:
            raise InputError(f"{key} of the point is {point.get(key)!r}, but accepted is one of {', '.join(options)}")
    fractions = {key: value for key, value in point.items() if key not in variables and key not in campaign.categories}
    fixed = place_variables(how["fixed"], {path: point[key] for key, path in variables.items()})
    for key, options in problem["categories"].items():
        fixed = merge(fixed, options[point[key]])
    parameters = place_formulation(how["quantity"], make_formulation(fractions, problem["chemicals"]), fixed)
    asked = {how["method"]: parameters}
    return RequestData(how["quantity"], asked, requester=campaign.name, is_sure=campaign.is_sure)


def describe_queue(name: str) -> list[str]:
    """Return what people put into the queue of a campaign and nobody was asked yet, in words."""
    return [
        f"request <{request.pk}> to {entry['source']}, added by {entry['who']}"
        + (f": {entry['why']}" if entry.get("why") else "")
        for request, entry in list_queued(name)
    ]


def change_campaign(document: Mapping[str, Any], changes: Mapping[str, Any]) -> CampaignFile:
    """Return a campaign with some of its keys changed.

    :param changes: new value by dotted key: ``{"stop.evaluations": 40, "sources.two_electrode.cost": 8}``.
    :raises CampaignFileError: when a key is none, or may not change.
    """
    changed = copy.deepcopy(dict(document))
    for path, value in changes.items():
        *around, last = path.split(".")
        if path.split(".")[0] in FIXED_KEYS:
            raise CampaignFileError(
                f"{path} cannot change when a campaign goes on: start another one, with 'learn_from: all' to keep what "
                "was measured"
            )
        place = changed
        for key in around:
            if not isinstance(place.get(key), dict):
                raise CampaignFileError(f"key {path!r} is not known: there is no {key!r} in the campaign")
            place = place[key]
        place[last] = value
    return parse_campaign(changed, "campaign", is_stored=True)


def continue_campaign(name: str, changes: Mapping[str, Any]) -> orm.WorkChainNode:
    """Go on with a campaign that has ended in whatever way, as a new process of it.

    What it measured counts, and what is still under way is waited for.

    :param changes: as in :func:`change_campaign`.
    :raises StatusError: when it has not ended, or would end again at once.
    :raises CampaignFileError: when nobody offers what it asks for, or a change is not acceptable.
    :raises DaemonError: when there is no daemon that can be relied on; nothing was stored.
    """
    from aiida.engine import submit

    group = CampaignGroup.find(name)
    process = find_campaign_process(group)
    if not process.is_terminated:
        raise StatusError(f"campaign {name!r} is still running: stop it first ('aiida-finales campaign stop')")
    campaign = change_campaign(process.inputs.campaign.get_dict(), changes)
    demand_engine(campaign)
    problem = build_problem(campaign)
    known = list_known(process)
    standing = read_standing(group, campaign, problem, known)
    ended = _why_at_once(campaign, problem, standing)
    if ended:
        raise StatusError(f"campaign {name!r} would end at once: {ended}")
    connect_to_daemon()
    # whoever goes on says that what failed is mended: nobody is told of it until the new process writes its own
    notes = group.base.extras.get(NOTES, None) or {}
    group.base.extras.set(NOTES, {key: notes[key] for key in ("spent", "left_out") if key in notes})
    new: orm.WorkChainNode = submit(  # type: ignore[assignment]
        CampaignWorkChain,
        campaign=make_dict(campaign.to_dict()),
        known={f"result_{result.pk}": result for result in known},
        continues=orm.Str(process.uuid),
    )
    group.add_nodes([new])
    return new


def read_standing(
    group: CampaignGroup, campaign: CampaignFile, problem: dict[str, Any], known: Sequence[ResultData]
) -> Standing:
    """Return what a campaign asked and what came of it, as its nodes tell.

    :param problem: input of a suggestion.
    :param known: results that it started with.
    """
    asked, answered = read_asked(group, problem), read_answers(group, problem, known)
    nodes = [node for source, node in answered if campaign.sources[source].learn]
    _, excluded = choose_training(campaign, nodes, problem["problem"]["components"])
    counts = dict.fromkeys(campaign.sources, 0)
    for source, node in answered:
        counts[source] += node.uuid not in excluded
    costs = {item["name"]: item["cost"] for item in problem["problem"]["sources"]}
    serving = count_asked([item for item in asked if item.is_open])
    return Standing(count_asked(asked), counts, costs, serving, away=problem["unavailable"])


def _why_at_once(campaign: CampaignFile, problem: dict[str, Any], standing: Standing) -> str | None:
    """Return why a campaign would end without asking for anything, or ``None``."""
    reason = stop_reason(Problem.from_dict(problem["problem"]), standing.answered)
    if reason is None and (standing.serving or next_source(campaign, standing)):
        return None
    more = " ".join(f"--set {key}={value:g}" for key, value in _list_more(campaign, standing).items())
    cure = f"; allow more of what is used up, such as {more}" if more else ""
    return f"{reason or tell_end(campaign, standing)}{cure}"


def _list_more(campaign: CampaignFile, standing: Standing) -> dict[str, float]:
    """Return the limits that nothing is left of, by key of the campaign file, each with a larger value."""
    stop, answered, more = campaign.stop, standing.answered, dict[str, float]()
    asked = {name: section for name, section in campaign.sources.items() if section.ask}
    if stop.evaluations is not None and sum(answered.values()) >= stop.evaluations:
        more["stop.evaluations"] = stop.evaluations + MORE
    if stop.budget is not None and asked and stop.budget - standing.spent < min(standing.costs[key] for key in asked):
        more["stop.budget"] = stop.budget + MORE * max(standing.costs[key] for key in asked)
    for name, section in asked.items():
        if section.evaluations is not None and answered.get(name, 0) >= section.evaluations:
            more[f"sources.{name}.evaluations"] = section.evaluations + MORE
    return more


def list_known(process: orm.WorkChainNode) -> list[ResultData]:
    """Return the results that a campaign started with."""
    return [node for node in linked_inputs(process, "known__").values() if isinstance(node, ResultData)]
