"""Start and stop campaigns: everything that can be wrong is found before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.broker.requests import OPEN
from aiida_finales.broker.state import read_state
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.campaign import STARTER, STOP, CampaignGroup, find_campaign_process
from aiida_finales.data.capability import find_capability
from aiida_finales.data.nodes import make_dict, pk_of, state_of
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import CampaignFileError, FinalesError, MissingExtraError, StatusError
from aiida_finales.operations.campaign.troubles import tell_strangers
from aiida_finales.operations.engine.connection import connect_to_daemon
from aiida_finales.operations.importing.table import check_table, import_file
from aiida_finales.operations.request.serving import retract
from aiida_finales.schemas.campaign import CampaignFile, parse_campaign, read_campaign_file
from aiida_finales.schemas.words import count
from aiida_finales.workflows.campaign import CampaignWorkChain
from aiida_finales.workflows.problem import build_problem

#: modules that the optimiser engine needs
TORCH_ENGINES = {"botorch": ("torch", "gpytorch", "botorch")}


@dataclass(frozen=True)
class CampaignPlan:
    """A campaign that can be started.

    :param tables: the files of the warm start, in its order.
    """

    campaign: CampaignFile
    tables: tuple[Path, ...]


def plan_campaign(
    given: str | Path | dict[str, Any], name: str | None = None, *, may_exist: bool = False, is_sure: bool = False
) -> CampaignPlan:
    """Return a campaign after all checks but that of the daemon; stores nothing.

    :param given: a campaign file, or its content.
    :param name: instead of the name in the file.
    :param may_exist: whether it is only looked at, also when its name is taken.
    :param is_sure: numbers that are not to be expected are right.
    :raises CampaignFileError: when the file cannot be understood, or nobody offers what it asks for with what is fixed.
    :raises UnknownCapabilityError: when the quantity or a method is not registered.
    :raises MissingExtraError: when the optimiser's engine is not installed.
    :raises InputError: when the name is taken, or a row of the warm start cannot be used.
    """
    is_document = isinstance(given, dict)
    renamed: dict[str, Any] = ({} if name is None else {"name": name}) | ({"is_sure": True} if is_sure else {})
    if isinstance(given, dict):
        campaign = parse_campaign({**given, **renamed})
    else:
        campaign = read_campaign_file(Path(given), renamed)
    if not may_exist:
        demand_free_name(campaign.name)
    for source in campaign.sources:
        find_capability(*campaign.capability_of(source))
    demand_engine(campaign)
    _demand_space(campaign, build_problem(campaign))
    base = Path() if is_document else Path(str(given)).parent
    tables = tuple(base / section.file for section in campaign.warm_start)
    for table, section in zip(tables, campaign.warm_start, strict=True):
        check_table(table, section.quantity or campaign.quantity, section.method)
    return CampaignPlan(campaign, tables)


def start_campaign(plan: CampaignPlan, starter: str = "") -> orm.WorkChainNode:
    """Start a campaign in the daemon.

    :param starter: account of the server that starts it, as ``user:alice``.
    :raises DaemonError: when there is no daemon that can be relied on; nothing was stored.
    """
    from aiida.engine import submit

    connect_to_daemon()
    group = CampaignGroup.create_for(plan.campaign.name, plan.campaign.access)
    process: orm.WorkChainNode = submit(CampaignWorkChain, **campaign_inputs(plan))  # type: ignore[assignment]
    group.add_nodes([process])
    if starter:
        group.base.extras.set(STARTER, starter)
    return process


def campaign_inputs(plan: CampaignPlan) -> dict[str, Any]:
    """Return the inputs of the campaign's process; imports the tables of the warm start."""
    campaign = plan.campaign
    known: dict[str, orm.Node] = {}
    for table, section in zip(plan.tables, campaign.warm_start, strict=True):
        quantity = section.quantity or campaign.quantity
        imported = import_file(table, quantity, section.method, reference=section.reference)
        known |= {f"result_{result.pk}": result for result in imported.results}
    return {"campaign": make_dict(campaign.to_dict()), "known": known}


def stop_campaign(name: str, reason: str, who: str, *, is_now: bool = False) -> list[str]:
    """Let a campaign ask for nothing more: what is pending is retracted, then it ends with its recommendation.

    :param is_now: retract also what tenants are working on.
    :returns: what became of its requests, in words.
    :raises StatusError: when it has ended already.
    """
    group = CampaignGroup.find(name)
    process = find_campaign_process(group)
    if process.is_terminated:
        raise StatusError(f"campaign {name!r} has ended already ({state_of(process)})")
    process.base.extras.set(STOP, reason)
    statuses: tuple[str, ...] = OPEN if is_now else (RequestStatus.PENDING.value,)
    lines = []
    for request in [node for node in group.nodes if isinstance(node, RequestData)]:
        if str(read_state(pk_of(request)).get("status")) in statuses:
            try:
                lines.append(f"request <{request.pk}>: {retract(request, who, f'campaign stopped: {reason}')}")
            except StatusError as error:
                lines.append(f"request <{request.pk}>: {error}")  # it was answered meanwhile
    return lines


def demand_free_name(name: str) -> None:
    """Refuse a name that a campaign has.

    :raises CampaignFileError: when the name is taken.
    """
    if is_taken(name):
        raise CampaignFileError(
            f"a campaign {name!r} exists already: choose another name (key 'name' or option --name)"
        )


def is_taken(name: str) -> bool:
    """Return whether a campaign has this name."""
    query = orm.QueryBuilder().append(CampaignGroup, filters={"label": name})
    return any(group.count() for group in query.all(flat=True))


def demand_engine(campaign: CampaignFile) -> None:
    """Refuse settings whose optional dependencies are absent.

    :raises MissingExtraError: naming the extra.
    """
    engine = str(campaign.optimiser.get("engine", ""))
    if any(find_spec(module) is None for module in TORCH_ENGINES.get(engine, ())):
        raise MissingExtraError("optimise", f"optimiser engine {engine!r}")


def _demand_space(campaign: CampaignFile, document: dict[str, Any]) -> None:
    """Refuse a campaign of which the optimiser could not say what to ask, at once or after some evaluations.

    That may be because of its margin, or because there are fewer points than evaluations are wanted.

    :raises CampaignFileError: naming the source.
    """
    from aiida_finales.optimisation.problem import Problem
    from aiida_finales.optimisation.space import DesignSpace

    problem = Problem.from_dict(document["problem"])
    for name, section in campaign.sources.items():
        try:
            space = DesignSpace.of_source(problem, name)
        except FinalesError as error:
            fate = "asked" if section.ask else "learned from"
            hint = "".join(f"; {words}" for words in tell_strangers(document, campaign.targets))
            raise CampaignFileError(f"source {name!r} cannot be {fate}: {error}{hint}") from error
        if not section.ask:
            continue
        n_points = space.count_points()
        wanted = section.evaluations or campaign.stop.evaluations
        if n_points is not None and not problem.settings.allow_replicates and (wanted or 0) > n_points:
            raise CampaignFileError(
                f"source {name!r} has {count(n_points, 'point')} that can be asked for, but {wanted} evaluations "
                f"are wanted: accepted are up to {n_points}, or more with 'optimiser: {{allow_replicates: true}}'"
            )
