"""The loop: suggest, request, learn, until the campaign has what it was started for."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

from aiida import orm
from aiida.engine import if_, while_
from aiida.engine.processes.exit_code import ExitCode
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.results import list_results
from aiida_finales.broker.state import read_state
from aiida_finales.broker.status import RequestStatus
from aiida_finales.calculations.suggest import SuggestCalculation
from aiida_finales.calculations.tasks import ACTIVE
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import CampaignFileError, FinalesError, StatusError
from aiida_finales.optimisation.problem import Problem
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.schemas.campaign import CampaignFile, parse_campaign
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.values import format_value
from aiida_finales.schemas.words import count
from aiida_finales.workflows.problem import build_problem, choose_training
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, explain_end

#: extra on the process of a campaign: the reason why it is to stop
STOP = "finales_stop"
#: extra on the group of a campaign: what its process knows besides its nodes. Not on the process, where writing it
#: could undo that somebody wrote :data:`STOP` in the same moment
NOTES = "finales_notes"

#: requests to a source in a row that a change of its tenants left to nobody, before that counts as failure
MOST_TAKEN_BACK = 20

#: filter of a query for the processes of campaigns
IS_CAMPAIGN = {"process_type": "aiida.workflows:finales.campaign"}


class CampaignWorkChain(WaitAnyWorkChain):
    """Optimise over several sources at once; it wakes as soon as any of its requests ends."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        super().define(spec)
        spec.input(
            "campaign",
            valid_type=orm.Dict,
            validator=_check_campaign,
            help="the campaign file, with all defaults written out",
        )
        spec.input_namespace("known", valid_type=ResultData, dynamic=True, help="results that it starts with")
        spec.outline(
            cls.prepare,
            while_(cls.goes_on)(
                cls.take_news,
                if_(cls.has_request)(cls.launch_request).elif_(cls.has_room)(cls.launch_suggestion),
                cls.await_news,
            ),
            cls.launch_recommendation,
            cls.conclude,
        )
        spec.output("recommendation", valid_type=SuggestionData, required=False, help="where the target is best")
        spec.exit_code(401, "ERROR_IMPOSSIBLE", message="the campaign cannot go on: {reason}")
        spec.exit_code(402, "ERROR_NAME_TAKEN", message="a campaign {name!r} exists already: choose another name")
        spec.exit_code(420, "ERROR_NO_SUGGESTION", message="no suggestion could be made: {reason}")
        spec.exit_code(
            430,
            "ERROR_FAILURES",
            message="{number} requests in a row to {source} brought nothing to learn from, the last: {reason}",
        )
        spec.exit_code(431, "ERROR_NOTHING_LEARNED", message="no answer could be learned from, the last: {reason}")

    # --- outline

    def prepare(self) -> ExitCode | None:
        """Find out what can be asked of whom."""
        self.ctx.in_flight = []
        self.ctx.n_suggested = 0  # suggestions launched
        self.ctx.suggesting = None  # pk of the suggestion under way
        self.ctx.to_launch = None  # uuid of the request that was suggested last
        self.ctx.source = None  # and its source
        self.ctx.serving = {}  # pk of process: source
        self.ctx.requests = {}  # pk of process: uuid of request
        self.ctx.n_asked = {}  # requests launched per source
        self.ctx.n_answered = {}  # results per source
        self.ctx.results = []
        self.ctx.gains = []
        self._expect_trouble()
        self.ctx.problem = None
        try:
            name = self._campaign.name
            if has_older_namesake(self.node, name):
                remove_from_group(self.node, name)
                return self.exit_codes.ERROR_NAME_TAKEN.format(name=name)
            self._update_problem()
        except FinalesError as error:
            return self.exit_codes.ERROR_IMPOSSIBLE.format(reason=str(error))
        self._add_to_group(self.node, *self.inputs.get("known", {}).values())
        return None

    def goes_on(self) -> bool:
        """Whether anything is under way or still to be asked."""
        return bool(self.ctx.in_flight or self.ctx.to_launch or self._next_source())

    def take_news(self) -> None:
        """Look at what has ended."""
        for child in self.take_ended():
            if child.pk == self.ctx.suggesting:
                self.ctx.suggesting = None
                self._take_suggestion(child)
            else:
                self._take_answer(child)
        self._take_notes()

    def has_request(self) -> bool:
        """Whether a suggestion waits to become a request."""
        return self.ctx.to_launch is not None

    def launch_request(self) -> None:
        """Ask for what was suggested."""
        request = orm.load_node(self.ctx.to_launch)
        source = self.ctx.source
        child = self.submit_once(
            f"request_{self.ctx.n_suggested:04d}",
            ServeRequestWorkChain,
            request=request,
            may_wait=source in self._unavailable,
            ends_orphaned=True,
        )
        self.track(child)
        self.ctx.serving[child.pk] = source
        self.ctx.requests[child.pk] = request.uuid
        self.ctx.n_asked[source] = self.ctx.n_asked.get(source, 0) + 1
        self.ctx.to_launch = None
        self._add_to_group(request)

    def has_room(self) -> bool:
        """Whether another suggestion can be made now; one at a time, so that each knows of the others."""
        return self.ctx.suggesting is None and self._next_source() is not None

    def launch_suggestion(self) -> None:
        """Ask the optimiser."""
        try:
            self._update_problem()
        except FinalesError as error:
            self.report(f"the design space stays as it was: {error}")
        source = self._next_source()
        if source is None:
            return  # told to stop, or a tenant has gone, since there was room
        self.ctx.n_suggested += 1
        self.ctx.source = source
        self.ctx.suggesting = self._submit_suggestion(self.ctx.source, f"suggest_{self.ctx.n_suggested:04d}").pk

    def await_news(self) -> Any:
        """Wait until something has ended, unless there is something to do at once."""
        if self.ctx.to_launch is not None or self.has_room() or not self.ctx.in_flight:
            return None
        return self.wait_for_any()

    def launch_recommendation(self) -> Any:
        """Ask the optimiser where the target is best, given everything."""
        if not self._training()[0]:
            return None
        self.ctx.suggesting = self._submit_suggestion("", "recommend").pk
        return self.wait_for_any()

    def conclude(self) -> ExitCode | None:
        """Say what was found."""
        for child in self.take_ended():
            if not child.is_finished_ok:
                self.ctx.fatal = self.ctx.fatal or ["ERROR_NO_SUGGESTION", {"reason": explain_end(child)}]
                continue
            self.out("recommendation", child.outputs.suggestion)
            self._add_to_group(child.outputs.suggestion)
            document = child.outputs.suggestion.document
            best, unit = document["recommendation"]["sources"][self._campaign.target], document.get("unit", "")
            self.report(f"recommends {self._describe(best['x'])}: {format_value(best['mean'], best['sd'], unit)}")
        why = self._stop_reason() or "nothing more to ask"
        self.report(f"ended after {count(len(self.ctx.results), 'result')}: {why}")
        self._take_notes()
        if self.ctx.fatal is None and self.ctx.last_failure and not self.ctx.results:
            self.ctx.fatal = ["ERROR_NOTHING_LEARNED", {"reason": self.ctx.last_failure}]
        if self.ctx.fatal is None:
            return None
        name, words = self.ctx.fatal
        exit_code: ExitCode = self.exit_codes[name].format(**words)
        return exit_code

    # --- details, in the order in which they are called

    def load_instance_state(self, saved_state: Any, load_context: Any) -> None:
        """Go on also with a campaign that was begun by an older version."""
        super().load_instance_state(saved_state, load_context)
        self._expect_trouble()

    def _expect_trouble(self) -> None:
        """Begin to count what goes wrong."""
        self.ctx.setdefault("left_out", {})  # uuid of an answer that is not learned from: why
        self.ctx.setdefault("failures", {})  # requests in a row that brought nothing to learn from, per source
        self.ctx.setdefault("n_taken_back", {})  # and those in a row that nobody could serve any more
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

    def _update_problem(self) -> None:
        """Read the tenants' limitations again; keep the node of the problem where nothing has changed."""
        last = None if self.ctx.problem is None else self._problem
        document = build_problem(self._campaign, last)
        if document == last:
            return
        self.ctx.problem = orm.Dict(document).store().uuid
        for key in ("left_out", "unavailable"):
            known, found = (last or {}).get(key, ()), document[key]
            for item in (item for item in found if item not in known):
                self.report(item if key == "left_out" else f"waits for tenants: {found[item]}")

    def _take_notes(self) -> None:
        """Write down what nobody could find out from the nodes of the campaign."""
        costs = self._costs
        notes = {
            "spent": sum(costs[source] * number for source, number in self.ctx.n_asked.items()),
            "left_out": self.ctx.left_out,
            "failures": {source: number for source, number in self.ctx.failures.items() if number},
            "last_failure": self.ctx.last_failure,
        }
        group, _ = CampaignGroup.collection.get_or_create(label=self._campaign.name)
        if group.base.extras.get(NOTES, None) != notes:
            group.base.extras.set(NOTES, notes)

    def _next_source(self) -> str | None:
        """Return the source to ask next, or ``None``: the one asked least often among those with room."""
        if self._stop_reason() is not None:
            return None
        campaign = self._campaign
        free = [name for name in self._healthy(campaign) if self._has_room_for(name, campaign)]
        away = self._unavailable
        return min(free, key=lambda name: (name in away, self.ctx.n_asked.get(name, 0))) if free else None

    def _healthy(self, campaign: CampaignFile) -> list[str]:
        """Return the sources that may be asked and have not failed too often."""
        failures = self.ctx.failures
        return [
            name
            for name, section in campaign.sources.items()
            if section.ask and failures.get(name, 0) < campaign.stop.failures
        ]

    def _has_room_for(self, name: str, campaign: CampaignFile) -> bool:
        """Return whether a source may be asked once more: in flight, in evaluations and in cost."""
        section, stop, costs = campaign.sources[name], campaign.stop, self._costs
        n_serving = Counter(self.ctx.serving.values())
        n_own = self.ctx.n_answered.get(name, 0) + n_serving[name]
        n_all = len(self.ctx.results) + n_serving.total()
        spent = sum(costs[source] * number for source, number in self.ctx.n_asked.items())
        return (
            n_serving[name] < section.max_in_flight
            and (section.evaluations is None or n_own < section.evaluations)
            and (stop.evaluations is None or n_all < stop.evaluations)
            and (stop.budget is None or spent + costs[name] <= stop.budget)
        )

    @property
    def _costs(self) -> dict[str, float]:
        """Cost of one evaluation by source."""
        return {source["name"]: source["cost"] for source in self._problem["problem"]["sources"]}

    def _stop_reason(self) -> str | None:
        asked = self.node.base.extras.get(STOP, None)
        if asked or self.ctx.fatal:
            return str(asked or self.ctx.fatal[1]["reason"])
        problem = Problem.from_dict(self._problem["problem"])
        return stop_reason(problem, self.ctx.n_answered, self.ctx.gains)

    def _take_suggestion(self, child: orm.ProcessNode) -> None:
        if child.exit_status == SuggestCalculation.exit_codes.ERROR_REQUEST_REFUSED.status:
            self._count_failure(self.ctx.source, explain_end(child))
            return
        if not child.is_finished_ok:
            self._end_with("ERROR_NO_SUGGESTION", reason=explain_end(child))
            return
        suggestion, request = child.outputs.suggestion, child.outputs.request
        self._add_to_group(suggestion)
        document = suggestion.document
        if document.get("relative_gain") is not None:
            self.ctx.gains.append(document["relative_gain"])
        if self.node.base.extras.get(STOP, None) or self.ctx.fatal:
            return  # told to stop while the model was being fitted
        self.ctx.to_launch = request.uuid
        expected = document.get("predicted")
        words = document["reason"]
        if expected:
            words = f"expects {format_value(expected['mean'], expected['sd'], document.get('unit', ''))}"
        self.report(f"asks {suggestion.source_name} for {self._describe(document['x'])} ({words})")

    def _take_answer(self, child: orm.ProcessNode) -> None:
        source = self.ctx.serving.pop(child.pk)
        self.ctx.requests.pop(child.pk, None)
        codes = ServeRequestWorkChain.exit_codes
        if child.is_finished_ok:
            self._take_result(source, child.outputs.result)
        elif child.exit_status == codes.ERROR_ORPHANED.status:
            self._take_back(source, explain_end(child))
        elif child.exit_status == codes.ERROR_RETRACTED.status and self._stop_reason() is not None:
            self.report(f"no result from {source}: {explain_end(child)}")  # it was taken back because of the end
        else:
            self._count_failure(source, explain_end(child))

    def _take_result(self, source: str, result: ResultData) -> None:
        """Count a result, unless nothing can be learned from it: that is as good as none."""
        self._add_to_group(result)
        campaign = self._campaign
        _, excluded = choose_training(campaign, [result], self._problem["problem"]["components"])
        if excluded and campaign.sources[source].learn:
            reason = excluded[result.uuid]
            self.ctx.left_out[result.uuid] = reason
            self._count_failure(source, f"answer <{result.pk}> is left out: {reason}")
            return
        self.ctx.results.append(result.uuid)
        self.ctx.n_answered[source] = self.ctx.n_answered.get(source, 0) + 1
        self.ctx.failures[source] = self.ctx.n_taken_back[source] = 0

    def _take_back(self, source: str, reason: str) -> None:
        """Ask something else instead of what nobody can serve any more; it cost nothing.

        Each time tenants have changed, so that this does not go round by itself; the number is bounded all the same.
        """
        self.ctx.n_asked[source] -= 1
        number = self.ctx.n_taken_back.get(source, 0) + 1
        self.ctx.n_taken_back[source] = number
        self.report(f"takes back a request to {source}, and asks again within what tenants offer now: {reason}")
        if number > MOST_TAKEN_BACK:
            self._count_failure(source, f"{reason}, {number} times in a row")

    def _count_failure(self, source: str, reason: str) -> None:
        """Count a request that brought nothing to learn from; after too many in a row its source is asked no more."""
        campaign, number = self._campaign, self.ctx.failures.get(source, 0) + 1
        self.ctx.failures[source], self.ctx.last_failure = number, reason
        self.report(f"nothing to learn from {source} ({number} in a row): {reason}")
        if number < campaign.stop.failures:
            return
        if source == campaign.target or not self._healthy(campaign):
            self._end_with("ERROR_FAILURES", number=number, source=source, reason=reason)
        else:
            self.report(f"{source} is asked no more")

    def _end_with(self, exit_code: str, **words: Any) -> None:
        """Let the campaign end with an exit code once what tenants work on has come; what is pending is taken back."""
        self.ctx.fatal = self.ctx.fatal or [exit_code, words]
        self.ctx.to_launch = None
        for uuid in self.ctx.requests.values():
            request = orm.load_node(uuid)
            if read_state(request.pk).get("status") == RequestStatus.PENDING.value:
                with suppress(StatusError):  # somebody took it or answered it meanwhile
                    retract_request(request.pk, self._campaign.name, f"the campaign ends: {words['reason']}")

    def _submit_suggestion(self, source: str, key: str) -> orm.ProcessNode:
        results, excluded = self._training()
        child = self.submit_once(
            key,
            SuggestCalculation,
            problem=orm.load_node(self.ctx.problem),
            results={f"result_{result.pk}": result for result in results},
            pending={f"request_{pk}": orm.load_node(uuid) for pk, uuid in self.ctx.requests.items()},
            source=source,
            step=self.ctx.n_suggested - 1 if source else self.ctx.n_suggested,
            excluded=excluded,
            requester=self._campaign.name,
        )
        self.track(child)
        return child

    def _training(self) -> tuple[list[ResultData], dict[str, str]]:
        """Return the results to learn from, and why others are left out."""
        campaign = self._campaign
        uuids = [*self.ctx.results, *self.ctx.left_out]  # what was left out may have been amended
        query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": uuids}})
        own = query.all(flat=True) if uuids else []
        own += list(self.inputs.get("known", {}).values())
        if campaign.learn_from == "all":
            everything = [node for node, _ in list_results(campaign.quantity)]
            own = list({node.uuid: node for node in [*everything, *own]}.values())
        return choose_training(campaign, own, self._problem["problem"]["components"])

    def _describe(self, point: list[float]) -> str:
        components = self._problem["problem"]["components"]
        return " ".join(f"{chemical_label(name)} {share:.4f}" for name, share in zip(components, point, strict=True))

    def _add_to_group(self, *nodes: orm.Node) -> None:
        group, _ = CampaignGroup.collection.get_or_create(label=self._campaign.name)
        group.add_nodes(list(nodes))


def _check_campaign(node: orm.Dict, _: Any) -> str | None:
    """Return why a campaign cannot be started, or ``None``."""
    try:
        parse_campaign(node.get_dict())
    except CampaignFileError as error:
        return str(error)
    return None


def find_campaign_process(group: CampaignGroup) -> orm.WorkChainNode:
    """Return the process of a campaign.

    :raises CampaignFileError: when it never started.
    """
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    query.append(orm.WorkChainNode, with_group="group", filters=IS_CAMPAIGN, tag="process")
    found = query.order_by({"process": {"id": "asc"}}).all(flat=True)
    if not found:
        raise CampaignFileError(
            f"campaign {group.label!r} has no process: it is being started, or its process was deleted under it"
        )
    node: orm.WorkChainNode = found[0]
    return node


def has_older_namesake(process: orm.WorkChainNode, name: str) -> bool:
    """Return whether a campaign of this name was there before; of several begun at once the first has the name."""
    older = {**IS_CAMPAIGN, "id": {"<": process.pk}}
    known = orm.QueryBuilder().append(CampaignGroup, filters={"label": name}, tag="group")
    known.append(orm.WorkChainNode, with_group="group", filters=older)
    # one whose first step has not run yet is in no group
    alive = {**older, "attributes.process_state": {"in": list(ACTIVE)}}
    begun = orm.QueryBuilder().append(orm.WorkChainNode, filters=alive, tag="process")
    begun.append(
        orm.Dict, with_outgoing="process", edge_filters={"label": "campaign"}, filters={"attributes.name": name}
    )
    return bool(known.count() or begun.count())


def remove_from_group(process: orm.WorkChainNode, name: str) -> None:
    """Take a process that may not have this name out of the group of the campaign that has it."""
    for group in orm.QueryBuilder().append(CampaignGroup, filters={"label": name}).all(flat=True):
        group.remove_nodes([process])
