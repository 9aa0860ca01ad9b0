"""What a campaign makes of each answer, and what it knows of its sources by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from aiida import orm

from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.results import DOUBTFUL, is_usable, list_results
from aiida_finales.broker.state import STATE, read_state
from aiida_finales.broker.status import RequestStatus
from aiida_finales.calculations.question import make_question
from aiida_finales.calculations.suggest import describe_point
from aiida_finales.data.campaign import GIVEN_UP, NOTES, STOP, CampaignGroup, list_queued
from aiida_finales.data.nodes import load
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import name_tenants
from aiida_finales.exceptions import StatusError
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.optimisation.study import SAME_PLACE
from aiida_finales.optimisation.suggest import is_used_up
from aiida_finales.schemas.access import Access
from aiida_finales.schemas.campaign import CampaignFile, parse_campaign
from aiida_finales.schemas.words import count
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.training import choose_training, list_told_nothing
from aiida_finales.workflows.turns import Standing, healthy_sources
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, explain_end

#: requests to a source in a row that a change of its tenants left to nobody, before that counts as failure
MOST_TAKEN_BACK = 20
#: requests at one place that end without an answer, after which it is asked there no more: one may be a passing fault
MOST_IN_VAIN = 2


@dataclass(frozen=True)
class Place:
    """Where a source was asked.

    :param x: mole fractions and variables of the first request.
    :param requests: UUIDs of all that are of this place.
    """

    source: str
    x: tuple[float, ...]
    category: Mapping[str, str]
    requests: tuple[str, ...]


def group_by_place(problem: dict[str, Any], requests: Iterable[RequestData]) -> list[Place]:
    """Return the places that requests are of; what is no longer in the space of a problem is of none.

    :param problem: the input ``problem`` of a suggestion.
    """
    model = Problem.from_dict(problem["problem"])
    widths = [1.0] * len(model.components) + [item.upper - item.lower for item in model.variables]
    places: list[Place] = []
    for row in make_question(problem, [], list(requests), source="", step=0)["pending"]:
        x, options = tuple(row["x"]), row.get("category") or {}
        for number, place in enumerate(places):
            gaps = (abs(a - b) / width for a, b, width in zip(x, place.x, widths, strict=True))
            if (place.source, place.category) == (row["source"], options) and all(gap <= SAME_PLACE for gap in gaps):
                places[number] = replace(place, requests=(*place.requests, row["uuid"]))
                break
        else:
            places.append(Place(row["source"], x, options, (row["uuid"],)))
    return places


def load_requests(uuids: Iterable[str]) -> list[RequestData]:
    """Return the requests with these UUIDs."""
    wanted = list(uuids)
    query = orm.QueryBuilder().append(RequestData, filters={"uuid": {"in": wanted}})
    return query.all(flat=True) if wanted else []


def _tenant_of(request: str | None) -> str:
    """Return the UUID of the tenant who had a request last; empty of none."""
    found = load_requests([request] if request else [])
    return str(read_state(found[0].pk).get("tenant") or "") if found else ""


class AnswersWorkChain(WaitAnyWorkChain):
    """Keeps the account of a campaign: what was asked of each source, what came of it, and when it is enough."""

    def _expect_trouble(self) -> None:
        """Begin to count what goes wrong."""
        self.ctx.setdefault("left_out", {})  # uuid of an answer that is not learned from: why
        # uuid of a request of this process that ended without an answer, where none came since: why
        self.ctx.setdefault("in_vain", {})
        self.ctx.setdefault("failures", {})  # requests in a row that brought nothing to learn from, per source
        self.ctx.setdefault("n_taken_back", {})  # and those in a row that nobody could serve any more
        self.ctx.setdefault("used_up", [])  # sources that were asked for all that they can do
        self.ctx.setdefault("choices", [])  # of which the optimiser is to choose the source of the suggestion
        self.ctx.setdefault("training", None)  # uuid of what the latest suggestion learned from
        self.ctx.setdefault("last_failure", None)  # why, of the latest
        self.ctx.setdefault("fatal", None)  # name of the exit code with which it will end, and its words

    @property
    def _campaign(self) -> CampaignFile:
        return parse_campaign(self.inputs.campaign.get_dict(), is_stored=True)

    @property
    def _problem(self) -> dict[str, Any]:
        document: dict[str, Any] = orm.load_node(self.ctx.problem).get_dict()
        return document

    @property
    def _unavailable(self) -> dict[str, str]:
        """Why a source cannot be asked now, by source: nobody offers it."""
        return dict(self._problem.get("unavailable", {}))

    @property
    def _standing(self) -> Standing:
        costs = {source["name"]: source["cost"] for source in self._problem["problem"]["sources"]}
        return Standing(
            self.ctx.n_asked,
            self.ctx.n_answered,
            costs,
            Counter(self.ctx.serving.values()),
            Counter(source for _, source, _ in self.ctx.to_launch),
            self.ctx.failures,
            self._unavailable,
            self.ctx.used_up,
        )

    def _stop_reason(self) -> str | None:
        asked = self.node.base.extras.get(STOP, None)
        if asked or self.ctx.fatal:
            return str(asked or self.ctx.fatal[1]["reason"])
        problem = Problem.from_dict(self._problem["problem"])
        return stop_reason(problem, self.ctx.n_answered, self.ctx.gains)

    def _take_answer(self, child: orm.ProcessNode) -> None:
        source = self.ctx.serving.pop(child.pk)
        request = self.ctx.requests.pop(child.pk, None)
        codes = ServeRequestWorkChain.exit_codes
        if child.is_finished_ok:
            self._forgive(request)
            self._take_result(source, child.outputs.result)
            return
        self.ctx.used_up = []  # what brought no answer may be asked again
        if child.exit_status == codes.ERROR_ORPHANED.status:
            self._take_back(source, explain_end(child))
        elif child.exit_status == codes.ERROR_RETRACTED.status and self._stop_reason() is not None:
            self.report(f"no result from {source}: {explain_end(child)}")  # it was taken back because of the end
        else:
            self.ctx.in_vain = {**self.ctx.in_vain, **({request: explain_end(child)} if request else {})}
            self._count_failure(source, explain_end(child), _tenant_of(request))
            if any(request in item["requests"] for item in self._given_up()):
                self.report(f"asks {source} no more where {MOST_IN_VAIN} requests ended without an answer")

    def _forgive(self, request: str | None) -> None:
        """Forget what failed where there is an answer now."""
        if request and self.ctx.in_vain:
            places = group_by_place(self._problem, load_requests([*self.ctx.in_vain, request]))
            here = next((place.requests for place in places if request in place.requests), ())
            self.ctx.in_vain = {uuid: why for uuid, why in self.ctx.in_vain.items() if uuid not in here}

    def _take_result(self, source: str, result: ResultData, *, is_new: bool = True) -> None:
        """Count a result, unless nothing can be learned from it: that is as good as none.

        :param is_new: whether it has just come; what came of an earlier process is no failure of this one.
        """
        self._add_to_group(result)
        campaign = self._campaign
        _, excluded = choose_training(campaign, [result], self._problem["problem"]["components"])
        if excluded and campaign.sources[source].learn:
            reason = excluded[result.uuid]
            self.ctx.left_out[result.uuid] = reason
            if is_new:
                name = name_tenants().get(result.tenant_uuid)
                by = f" of {name}" if name else ""
                self._count_failure(source, f"answer <{result.pk}>{by} is left out: {reason}", result.tenant_uuid)
            return
        self.ctx.results.append(result.uuid)
        self.ctx.n_answered[source] = self.ctx.n_answered.get(source, 0) + 1
        self.ctx.failures[source] = self.ctx.n_taken_back[source] = 0

    def _recount(self) -> None:
        """Count no more what was deleted or replaced since, nor what became doubtful, and count what replaces it."""
        known = [*self.ctx.results, *self.ctx.left_out]
        columns = ["uuid", f"extras.{STATE}", f"extras.{DOUBTFUL}"]
        query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": known}}, project=columns)
        rows = query.all() if known else []
        changed = [(uuid, state or {}) for uuid, state, doubt in rows if doubt or not is_usable(state or {})]
        for uuid, state in changed:
            new = state.get("replacement")
            is_counted, is_replaced = uuid in self.ctx.results, bool(new) and new not in known
            if not (is_counted or is_replaced):
                continue
            result: ResultData = load(uuid)
            source = self._source_of(result)
            if is_counted:
                _, excluded = choose_training(self._campaign, [result], None)
                self.ctx.results = [other for other in self.ctx.results if other != uuid]
                self.ctx.left_out = {**self.ctx.left_out, uuid: excluded.get(uuid, "")}
                if source:  # else of one that the campaign has no more
                    self.ctx.n_answered[source] -= 1
                self.ctx.used_up = []
                self.report(f"result <{result.pk}> of {source} counts no more: {self.ctx.left_out[uuid]}")
            if is_replaced and source:
                replacement: ResultData = load(new)
                self.report(f"result <{replacement.pk}> counts instead of <{result.pk}>")
                self._take_result(self._source_of(replacement) or source, replacement, is_new=False)

    def _source_of(self, result: ResultData) -> str:
        """Return the name of the source that a result is of; empty where it is of none."""
        wanted = (result.quantity, result.method)
        return next((name for name in self._campaign.sources if self._campaign.capability_of(name) == wanted), "")

    def _take_back(self, source: str, reason: str) -> None:
        """Ask something else instead of what nobody can serve any more; it cost nothing.

        Each time tenants have changed, so that this does not go round by itself; the number is bounded all the same.
        """
        self.ctx.n_asked[source] -= 1
        number = self.ctx.n_taken_back.get(source, 0) + 1
        self.ctx.n_taken_back[source] = number
        self.report(f"takes back a request to {source}, and asks again within what tenants offer now: {reason}")
        if number > MOST_TAKEN_BACK:
            self._count_failure(source, f"{reason}, {count(number, 'time')} in a row")
        else:
            self._end_after_failures(source, self.ctx.last_failure or reason)  # nobody else works on it any more

    def _count_failure(self, source: str, reason: str, tenant: str = "") -> None:
        """Count a request that brought nothing to learn from; after too many in a row its source is asked no more.

        :param tenant: UUID of the tenant who answered or tried to, if there was one.
        """
        number = self.ctx.failures.get(source, 0) + 1
        self.ctx.failures[source], self.ctx.last_failure = number, reason
        self.ctx.reasons = {**self.ctx.get("reasons", {}), source: reason}
        self.report(f"nothing to learn from {source} ({number} in a row): {reason}")
        self._end_after_failures(source, reason, tenant)

    def _end_after_failures(self, source: str, reason: str, tenant: str = "") -> None:
        """End with a target that failed too often in a row, unless another tenant still works on a request to it.

        One who fails does so quickly, and takes the requests that a good one has no time for: what that one works on
        decides, and until then nothing more is asked.
        """
        campaign, number = self._campaign, self.ctx.failures.get(source, 0)
        if number < campaign.stop.failures:
            return
        if self.ctx.results and self._is_used_up(source):
            self.ctx.used_up = [*self.ctx.used_up, *({source} - set(self.ctx.used_up))]
        elif source not in campaign.targets and healthy_sources(campaign, self._standing):
            self.report(f"{source} is asked no more")
        elif others := self._busy_tenants(source) - {tenant}:
            names = " and ".join(sorted(name_tenants().get(other, other) for other in others))
            self.report(f"{source} is asked for nothing more unless the answer of {names}, who works on it, counts")
        else:
            self._end_with("ERROR_FAILURES", number=number, source=source, reason=reason)

    def _busy_tenants(self, source: str) -> set[str]:
        """Return the UUIDs of the tenants who work on requests to a source now."""
        uuids = [self.ctx.requests[pk] for pk, name in self.ctx.serving.items() if name == source]
        states = (read_state(request.pk) for request in load_requests(uuids))
        return {str(state["tenant"]) for state in states if state.get("status") == RequestStatus.RESERVED.value}

    def _is_used_up(self, source: str) -> bool:
        """Return whether a source was asked for all that it can do: then its failures are no reason to give up."""
        results, excluded = self._training()
        waiting = [*self._pending().values(), *self._told_nothing(excluded)]
        question = make_question(self._problem, results, waiting, source=source, step=0)
        rows = [Observation.from_dict(row) for row in question["observations"]]
        pending = [Pending.from_dict(row) for row in question["pending"]]
        return is_used_up(Problem.from_dict(question["problem"]), rows, pending, source)

    def _tell_lost(self) -> str:
        """Return in words, each part after a semicolon, how much of what was asked told nothing; empty of nothing."""
        left_out, given_up = len(self.ctx.left_out), len(self._given_up())
        words = f"; {count(left_out, 'answer')} left out" if left_out else ""
        return words + (f"; {count(given_up, 'point')} given up, of which no answer came" if given_up else "")

    def _has_learned_nothing(self) -> bool:
        """Return whether no result counts, or none of a target that was asked for all that it can do."""
        campaign = self._campaign
        asked = [name for name in campaign.targets if name in self.ctx.used_up and campaign.sources[name].learn]
        unknown = {campaign.capability_of(name) for name in asked if not self.ctx.n_answered.get(name)}
        if unknown:  # it may have begun with some
            unknown -= {(item.quantity, item.method) for item in self._training()[0]}
        return bool(unknown) or not self.ctx.results

    def _told_nothing(self, excluded: Mapping[str, str]) -> list[RequestData]:
        """Return the requests that are not to be made again although nothing was learned from them."""
        given_up = [uuid for item in self._given_up() for uuid in item["requests"]]
        return list_told_nothing(self._campaign, excluded, given_up)

    def _given_up(self) -> list[dict[str, Any]]:
        """Return where a source is asked no more as no answer ever came from there, the latest last."""
        order = list(self.ctx.in_vain)
        if len(order) < MOST_IN_VAIN:
            return []
        places = group_by_place(self._problem, load_requests(order))
        found = [
            {
                "source": place.source,
                "where": self._describe({"x": place.x, "category": place.category}),
                "why": self.ctx.in_vain[max(place.requests, key=order.index)],
                "requests": list(place.requests),
            }
            for place in places
            if len(place.requests) >= MOST_IN_VAIN
        ]
        return sorted(found, key=lambda item: max(map(order.index, item["requests"])))

    def _end_with(self, exit_code: str, **words: Any) -> None:
        """Let the campaign end with an exit code once what tenants work on has come; what is pending is taken back."""
        self.ctx.fatal = self.ctx.fatal or [exit_code, words]
        self.ctx.to_launch = []
        for uuid in self.ctx.requests.values():
            request = orm.load_node(uuid)
            if read_state(request.pk).get("status") == RequestStatus.PENDING.value:
                with suppress(StatusError):  # somebody took it or answered it meanwhile
                    retract_request(request.pk, self._campaign.name, f"the campaign ends: {words['reason']}")

    def _pending(self) -> dict[str, orm.Node]:
        """Return what has no answer yet: under way, about to be asked or in the queue."""
        found = {f"request_{pk}": orm.load_node(uuid) for pk, uuid in self.ctx.requests.items()}
        later: list[orm.Node] = [orm.load_node(uuid) for uuid, _, _ in self.ctx.to_launch]
        later += [request for request, _ in list_queued(self._campaign.name)]
        return {**found, **{f"later_{request.pk}": request for request in later}}

    def _training(self) -> tuple[list[ResultData], dict[str, str]]:
        """Return the results to learn from, and why others are left out."""
        campaign = self._campaign
        uuids = [*self.ctx.results, *self.ctx.left_out]  # what was left out may have been amended
        query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": uuids}})
        own = query.all(flat=True) if uuids else []
        own += list(self.inputs.get("known", {}).values())
        if campaign.learn_from == "all":
            quantities = dict.fromkeys(campaign.quantity_of(name) for name in campaign.sources)
            everything = [node for quantity in quantities for node, _ in list_results(quantity)]
            own = list({node.uuid: node for node in [*everything, *own]}.values())
        return choose_training(campaign, own, self._problem["problem"]["components"])

    def _take_notes(self) -> None:
        """Write down what nobody could find out from the nodes of the campaign."""
        notes = {
            "spent": self._standing.spent,
            "left_out": self.ctx.left_out,
            "failures": {source: number for source, number in self.ctx.failures.items() if number},
            "last_failure": self.ctx.last_failure,
            "reasons": self.ctx.get("reasons", {}),
            GIVEN_UP: self._given_up(),
            "used_up": list(self.ctx.used_up),
        }
        group, _ = CampaignGroup.collection.get_or_create(label=self._campaign.name)
        if group.base.extras.get(NOTES, None) != notes:
            group.base.extras.set(NOTES, notes)

    def _describe(self, point: dict[str, Any]) -> str:
        return describe_point(self._problem["problem"], point["x"], point.get("category"))

    def _add_to_group(self, *nodes: orm.Node) -> None:
        group, is_new = CampaignGroup.collection.get_or_create(label=self._campaign.name)
        if is_new and self._campaign.access != Access():
            group.set_access(self._campaign.access)
        group.add_nodes(list(nodes))
