"""What a campaign has found so far, read from its group: nothing else is needed, also in an imported archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiida import orm

from aiida_finales.broker.requests import OPEN
from aiida_finales.broker.state import STATE, State
from aiida_finales.data.campaign import IS_CAMPAIGN, NOTES, STOP, CampaignGroup, find_campaign_process
from aiida_finales.data.nodes import pk_of, state_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import follow
from aiida_finales.operations.campaign.evaluation import (
    Evaluation,
    Expected,
    Point,
    Spaces,
    read_evaluations,
    read_expected,
    read_spaces,
    unite,
)
from aiida_finales.operations.campaign.troubles import list_troubles
from aiida_finales.schemas.campaign import CampaignFile, parse_campaign
from aiida_finales.schemas.structure import is_number

#: s that the making of a group and of its members takes at most
MAKING = 30.0
#: state of a campaign that ended otherwise than it should; AiiDA says "finished" or "excepted" of its process
FAILED = "failed"


@dataclass(frozen=True)
class FrontPoint:
    """A point of a front: one that no other one surpasses in all objectives.

    :param fractions: mole fraction by InChIKey.
    :param variables: value by name of the variable.
    :param mean: by objective, in its unit: the measured values, or what the model expects.
    :param sd: standard deviation by objective; empty of what was measured.
    :param uuids: of the results that it was measured by.
    :param options: by name of the category.
    """

    fractions: Point
    variables: Mapping[str, float]
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    uuids: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Front:
    """What several objectives are traded for.

    :param measured: in the order of the first objective.
    :param predicted: by the model, likewise.
    :param reference: the worst value that counts, by objective.
    :param hypervolumes: of the measured points: number of the latest result known then, volume and its sd.
    """

    measured: tuple[FrontPoint, ...]
    predicted: tuple[FrontPoint, ...]
    reference: Mapping[str, float]
    hypervolumes: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class Overview:
    """A campaign by now.

    :param state: of the process, in AiiDA's words; ``failed`` when it ended otherwise than it should.
    :param n_limit: evaluations after which it ends, if any.
    :param open_states: state of the requests under way by pk.
    :param spent: sum of the costs of the requests made; ``None`` where nobody wrote it down.
    :param left_out: why the campaign could not learn from answers when they came, by UUID of the result.
    :param troubles: what a person should know, each in a sentence.
    :param forecasts: the recommendations made on the way: number of the latest result known then, and the expectation.
    :param problem: of the latest suggestion; has the design space.
    :param units: of each objective by its name.
    :param front: of several objectives; ``None`` of one, and before there is a model.
    """

    name: str
    campaign: CampaignFile
    pk: int
    state: str
    is_ended: bool
    is_ok: bool
    stop_reason: str
    unit: str
    components: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    open_states: dict[int, State]
    spent: float | None
    left_out: dict[str, str]
    troubles: tuple[str, ...]
    forecasts: tuple[tuple[int, Expected], ...]
    recommendation: Expected | None
    problem: dict[str, Any] | None
    units: Mapping[str, str] = field(default_factory=dict)
    front: Front | None = None

    @property
    def target(self) -> str:
        """The source whose values are optimised."""
        return str(self.campaign.target)

    @property
    def n_limit(self) -> int | None:
        """Evaluations after which it ends, if any."""
        return self.campaign.stop.evaluations

    @property
    def n_done(self) -> int:
        """Results of its own, without those that were left out: they brought nothing."""
        return sum(not item.is_known and item.uuid not in self.left_out for item in self.evaluations)

    @property
    def has_failed(self) -> bool:
        """Whether it ended otherwise than it should, and not because a person ended it."""
        return self.state == FAILED

    @property
    def open_requests(self) -> dict[int, str]:
        """The status of the requests under way by pk."""
        return {pk: str(state["status"]) for pk, state in self.open_states.items()}

    @property
    def temperature(self) -> float | None:
        """K, at which its results hold; ``None`` when it takes them at any."""
        fixed = self.campaign.fixed.get("temperature")
        return float(fixed) if is_number(fixed) else None

    @property
    def best(self) -> Evaluation | None:
        """The best result of the target that counts; ``None`` of several objectives: none of them alone counts."""
        if len(self.campaign.optimised) > 1:
            return None
        counted = [item for item in self.evaluations if item.source == self.target and item.is_used]
        sign = 1 if self.campaign.maximise else -1
        return max(counted, key=lambda item: sign * (item.value or 0.0), default=None)


def read_overview(group: CampaignGroup) -> Overview:
    """Return what a campaign has found so far.

    :raises CampaignFileError: when its process has not started.
    """
    process = find_campaign_process(group)
    campaign = parse_campaign(process.inputs.campaign.get_dict(), is_stored=True)
    nodes = _list_members(group)
    suggestions = [node for node in nodes if isinstance(node, SuggestionData)]
    ends = [node.creator.inputs.problem.get_dict() for node in (*suggestions[:1], *suggestions[1:][-1:])] or [{}]
    first, document = ends[0], ends[-1]
    problem = document.get("problem")
    spaces = read_spaces(suggestions)
    components = unite(spaces)
    evaluations = read_evaluations(nodes, process, campaign, spaces)
    is_one = len(campaign.optimised) == 1
    forecasts = _forecasts(suggestions, evaluations, spaces, campaign) if is_one else []
    is_recommended = bool(suggestions) and not suggestions[-1].source_name
    notes = group.base.extras.get(NOTES, {})
    open_states = _open_states(nodes)
    return Overview(
        name=group.label,
        campaign=campaign,
        pk=pk_of(process),
        state=FAILED if has_failed(process) else state_of(process),
        is_ended=process.is_terminated,
        is_ok=process.is_finished_ok,
        stop_reason=_stop_reason(process),
        unit=next(iter(campaign.optimised.values())).unit,
        components=components,
        evaluations=evaluations,
        open_states=open_states,
        spent=notes.get("spent"),
        left_out=dict(notes.get("left_out", {})),
        troubles=tuple(list_troubles(document, first, notes, campaign, evaluations, open_states)),
        forecasts=tuple(forecasts),
        recommendation=forecasts[-1][1] if is_recommended and forecasts else None,
        problem=problem,
        units={name: goal.unit for name, goal in campaign.goals.items()},
        front=None if is_one else _read_front(suggestions, evaluations, problem),
    )


def _list_members(group: CampaignGroup) -> list[orm.Node]:
    """Return the nodes of a campaign, the oldest first: by one statement, not by one more for the time of each."""
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    query.append(orm.Node, with_group="group", tag="node")
    # primary keys alone are in any order after an import
    return query.order_by([{"node": {"ctime": "asc"}}, {"node": {"id": "asc"}}]).all(flat=True)


def _read_front(
    suggestions: list[SuggestionData], evaluations: tuple[Evaluation, ...], problem: dict[str, Any] | None
) -> Front | None:
    """Return the latest front, and the hypervolumes on the way; ``None`` before there is a model."""
    pks = [pk_of(node) for node in suggestions]
    columns = ["id", "attributes.document.front"]
    query = orm.QueryBuilder().append(SuggestionData, filters={"id": {"in": pks}}, project=columns)
    found = {pk: front for pk, front in (query.all() if pks else ()) if front}
    if not found or problem is None:
        return None
    learned = _count_learned(suggestions, {item.pk: item.number for item in evaluations})
    steps = sorted((learned.get(pk, 0), front["hypervolume"], front.get("hypervolume_sd") or 0.0)
                   for pk, front in found.items() if front.get("hypervolume") is not None)  # fmt: skip
    latest = found[max(found, key=pks.index)]
    measured, predicted = (
        sorted(
            (_front_point(item, problem) for item in latest.get(key) or ()), key=lambda point: [*point.mean.values()]
        )
        for key in ("measured", "predicted")
    )
    return Front(tuple(measured), tuple(predicted), latest.get("reference") or {}, tuple(steps))


def _front_point(item: Mapping[str, Any], problem: Mapping[str, Any]) -> FrontPoint:
    fractions, variables = split_point(problem, item["x"])
    told = {name: value if isinstance(value, dict) else {"mean": value} for name, value in item["values"].items()}
    mean, sd = ({name: value[key] for name, value in told.items() if key in value} for key in ("mean", "sd"))
    return FrontPoint(fractions, variables, mean, sd, tuple(item.get("uuids") or ()), dict(item.get("category") or {}))


def split_point(problem: Mapping[str, Any], x: list[float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return mole fractions by InChIKey and values by variable of a point of the optimiser."""
    components = problem["components"]
    names = [item["name"] for item in problem.get("variables", ())]
    return dict(zip(components, x, strict=False)), dict(zip(names, x[len(components) :], strict=True))


def has_failed(process: orm.ProcessNode) -> bool:
    """Return whether a process ended otherwise than it should, and not because a person ended it."""
    return bool(process.is_terminated and not process.is_finished_ok and not process.is_killed)


def find_failed(limit: int) -> list[tuple[str, orm.WorkChainNode]]:
    """Return the campaigns that failed by name, with their process; the latest first.

    One that was continued since is not among them, unless it failed again.
    """
    failed = {"or": [{"attributes.exit_status": {">": 0}}, {"attributes.process_state": "excepted"}]}
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={**IS_CAMPAIGN, **failed}, project="*", tag="process")
    query.append(CampaignGroup, with_node="process", project="*")
    found = query.order_by({"process": {"id": "desc"}}).limit(limit).all()
    return [(group.label, process) for process, group in found if find_campaign_process(group).pk == process.pk]


def list_vanished() -> list[CampaignGroup]:
    """Return the campaigns whose process was deleted: their names are left, and what was not deleted with it.

    A group is never without the process that made it, but for the moment of its making.
    """
    before = datetime.now(UTC) - timedelta(seconds=MAKING)
    groups = orm.QueryBuilder().append(CampaignGroup, filters={"time": {"<": before}}, tag="group")
    with_process = orm.QueryBuilder().append(CampaignGroup, project="id", tag="group")
    with_process.append(orm.WorkChainNode, with_group="group", filters=IS_CAMPAIGN)
    alive = set(with_process.all(flat=True))
    found = groups.order_by({"group": {"id": "asc"}}).all(flat=True)
    return [group for group in found if group.pk not in alive]


def _stop_reason(process: orm.WorkChainNode) -> str:
    """Return why a campaign ended, or was asked to end; empty while it goes on."""
    if not process.is_terminated:
        asked = process.base.extras.get(STOP, None)
        return f"asked to stop: {asked}" if asked else ""
    if not process.is_finished_ok:
        return str(process.exit_message or state_of(process))
    messages = [log.message for log in orm.Log.collection.get_logs_for(process)]
    return next((words.split("]: ")[-1] for words in reversed(messages) if "ended after" in words), "")


def find_suggestion(result: ResultData) -> SuggestionData | None:
    """Return the suggestion that led to a result, or ``None`` where nobody suggested it or it is not here."""
    query = orm.QueryBuilder().append(RequestData, filters={"uuid": result.request_uuid or ""}, tag="request")
    query.append(orm.CalculationNode, with_outgoing="request", tag="calculation")
    query.append(SuggestionData, with_incoming="calculation")
    found: SuggestionData | None = query.first(flat=True)
    return found


def _forecasts(
    suggestions: list[SuggestionData], evaluations: tuple[Evaluation, ...], spaces: Spaces, campaign: CampaignFile
) -> list[tuple[int, Expected]]:
    learned = _count_learned(suggestions, {item.pk: item.number for item in evaluations})
    recommendations = _recommendations(suggestions)
    found = []
    for node in suggestions:
        recommended = (recommendations[pk_of(node)] or {}).get("sources", {}).get(campaign.target)
        if recommended:
            expected = read_expected(recommended, spaces.get(pk_of(node), ()), tuple(campaign.variables))
            found.append((learned.get(pk_of(node), 0), expected))
    return found


def _recommendations(suggestions: list[SuggestionData]) -> dict[int, dict[str, Any] | None]:
    """Return the recommendation of each suggestion by its pk; all that it says besides is not read."""
    pks = [pk_of(node) for node in suggestions]
    columns = ["id", "attributes.document.recommendation"]
    query = orm.QueryBuilder().append(SuggestionData, filters={"id": {"in": pks}}, project=columns)
    return dict(query.all()) if pks else {}


def _count_learned(suggestions: list[SuggestionData], numbers: Mapping[int, int]) -> dict[int, int]:
    """Return the number of the latest result that each suggestion learned from, by its pk."""
    pks = [pk_of(node) for node in suggestions]
    query = orm.QueryBuilder().append(SuggestionData, filters={"id": {"in": pks}}, project="id", tag="suggestion")
    made = query.append(orm.CalculationNode, with_outgoing="suggestion", project="id").all() if pks else []
    latest = {
        calculation: max((numbers.get(pk, 0) for pk in members), default=0)
        for calculation, members in follow([calculation for _, calculation in made])
    }
    return {suggestion: latest[calculation] for suggestion, calculation in made}


def _open_states(nodes: list[orm.Node]) -> dict[int, State]:
    pks = [pk_of(node) for node in nodes if isinstance(node, RequestData)]
    filters = {"id": {"in": pks}, f"extras.{STATE}.status": {"in": list(OPEN)}}
    columns = ["id", f"extras.{STATE}"]  # the extras of loaded nodes may be old
    query = orm.QueryBuilder().append(RequestData, filters=filters, project=columns, tag="request")
    return dict(query.order_by({"request": {"id": "asc"}}).all()) if pks else {}


def best_so_far(overview: Overview) -> tuple[list[int], list[float]]:
    """Return, from the first result of the target on, the number of each result and the best of the target by then."""
    numbers: list[int] = []
    best: list[float] = []
    pick = max if overview.campaign.maximise else min
    for item in overview.evaluations:
        values = [best[-1]] if best else []
        if item.source == overview.target and item.is_used and item.value is not None:
            values.append(item.value)
        if values:
            numbers.append(item.number)
            best.append(pick(values))
    return numbers, best
