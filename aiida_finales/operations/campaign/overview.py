"""What a campaign has found so far, read from its group: nothing else is needed, also in an imported archive."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from aiida import orm

from aiida_finales.broker.state import State
from aiida_finales.data.campaign import IS_CAMPAIGN, CampaignGroup, read_campaign_processes
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.operations.campaign.evaluation import (
    Evaluation,
    Expected,
    Point,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.campaign import CampaignFile
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
    :param is_preferred: by the weights that the campaign file gives the objectives.
    """

    fractions: Point
    variables: Mapping[str, float]
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    uuids: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    is_preferred: bool = False


@dataclass(frozen=True)
class Front:
    """What several objectives are traded for.

    :param measured: in the order of the first objective.
    :param predicted: by the model, likewise.
    :param reference: the worst value that counts, by objective.
    :param hypervolumes: of the measured points: number of the latest result known then, volume and its sd.
    :param hypervolume: the latest; ``None`` where the measured points are fewer by now.
    """

    measured: tuple[FrontPoint, ...]
    predicted: tuple[FrontPoint, ...]
    reference: Mapping[str, float]
    hypervolumes: tuple[tuple[int, float, float], ...]
    hypervolume: float | None = None


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
    :param proposed: pk of the latest suggestion that asks for something; ``None`` before there is one.
    :param is_doubtful: whether its last word, the recommendation, rests on results that do not count any more.
    :param learned: number of the latest result that each suggestion learned from, by its pk.
    :param basis: what results were judged by; as long as it is the same, those that were judged are not read again.
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
    proposed: int | None = None
    is_doubtful: bool = False
    learned: Mapping[int, int] = field(default_factory=dict, repr=False)
    basis: tuple[Any, ...] = field(default=(), repr=False, compare=False)

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
        """Results of its own, without those that were left out, or count no more: they brought nothing."""
        taught = {name: section.learn for name, section in self.campaign.sources.items()}
        own = (item for item in self.evaluations if not item.is_known and item.uuid not in self.left_out)
        return sum(item.is_used or not taught.get(item.source, True) for item in own)

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

    @cached_property
    def best(self) -> Evaluation | None:
        """The best result of the target that counts; ``None`` of several objectives: none of them alone counts."""
        if len(self.campaign.optimised) > 1:
            return None
        counted = [item for item in self.evaluations if item.source == self.target and item.is_used]
        sign = 1 if self.campaign.maximise else -1
        return max(counted, key=lambda item: sign * (item.value or 0.0), default=None)


def split_point(problem: Mapping[str, Any], x: list[float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return mole fractions by InChIKey and values by variable of a point of the optimiser."""
    components = problem["components"]
    names = [item["name"] for item in problem.get("variables", ())]
    return dict(zip(components, x, strict=False)), dict(zip(names, x[len(components) :], strict=True))


def find_failed(limit: int) -> list[tuple[str, orm.WorkChainNode]]:
    """Return the campaigns that failed by name, with their process; the latest first.

    One that was continued since is not among them, unless it failed again.
    """
    failed = {"or": [{"attributes.exit_status": {">": 0}}, {"attributes.process_state": "excepted"}]}
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={**IS_CAMPAIGN, **failed}, project="*", tag="process")
    query.append(CampaignGroup, with_node="process", project=["id", "label"])
    found = query.order_by({"process": {"id": "desc"}}).limit(limit).all()
    latest = {item.pk for item in read_campaign_processes([group for _, group, _ in found]).values()}
    return [(name, process) for process, _, name in found if process.pk in latest]


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


def find_suggestion(result: ResultData) -> SuggestionData | None:
    """Return the suggestion that led to a result, or ``None`` where nobody suggested it or it is not here."""
    query = orm.QueryBuilder().append(RequestData, filters={"uuid": result.request_uuid or ""}, tag="request")
    query.append(orm.CalculationNode, with_outgoing="request", tag="calculation")
    query.append(SuggestionData, with_incoming="calculation")
    found: SuggestionData | None = query.first(flat=True)
    return found


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


def read_front(found: Sequence[tuple[int, Json]], problem: Json, gone: Collection[str] = ()) -> Front | None:
    """Return the latest front, and the hypervolumes on the way; ``None`` before there is a model.

    :param found: number of the latest result known, and the front of the suggestion that was made then.
    :param gone: UUIDs of results that count no more: nobody has suggested anything since.
    """
    if not found:
        return None
    steps = sorted((number, front["hypervolume"], front.get("hypervolume_sd") or 0.0)
                   for number, front in found if front.get("hypervolume") is not None)  # fmt: skip
    latest = found[-1][1]
    measured, predicted = (
        sorted(
            (_front_point(item, problem) for item in latest.get(key) or ()), key=lambda point: [*point.mean.values()]
        )
        for key in ("measured", "predicted")
    )
    kept = tuple(point for point in measured if not set(point.uuids) & set(gone))
    volume = latest.get("hypervolume") if len(kept) == len(measured) else None
    return Front(kept, tuple(predicted), latest.get("reference") or {}, tuple(steps), volume)


def _front_point(item: Mapping[str, Any], problem: Mapping[str, Any]) -> FrontPoint:
    fractions, variables = split_point(problem, item["x"])
    told = {name: value if isinstance(value, dict) else {"mean": value} for name, value in item["values"].items()}
    mean, sd = ({name: value[key] for name, value in told.items() if key in value} for key in ("mean", "sd"))
    uuids, options = tuple(item.get("uuids") or ()), dict(item.get("category") or {})
    return FrontPoint(fractions, variables, mean, sd, uuids, options, bool(item.get("is_preferred")))
