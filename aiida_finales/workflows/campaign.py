"""The loop: suggest, request, learn, until the campaign has what it was started for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiida import orm
from aiida.engine import if_, while_
from aiida.engine.processes.exit_code import ExitCode
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.calculations.suggest import SuggestCalculation, asked_sources, describe_expected
from aiida_finales.data.campaign import (
    CONTINUES,
    STOP,
    CampaignGroup,
    has_older_namesake,
    list_queued,
    remove_from_group,
    runs_already,
)
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import PREVIOUS, find_training, read_members
from aiida_finales.exceptions import CampaignFileError, FinalesError
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.values import format_value
from aiida_finales.schemas.words import count
from aiida_finales.workflows.answers import AnswersWorkChain
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.turns import (
    count_asked,
    find_last_suggestion,
    has_room_for,
    list_choices,
    next_source,
    next_step,
    read_answers,
    read_asked,
    tell_end,
)
from aiida_finales.workflows.wait_any import explain_end


class CampaignWorkChain(AnswersWorkChain):
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
        spec.input(CONTINUES, valid_type=orm.Str, required=False, help="UUID of the process that it goes on for")
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
        spec.exit_code(403, "ERROR_GOES_ON", message="the campaign {name!r} goes on already: it was continued twice")
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
        self.ctx.to_launch = []  # of each request to be made: uuid, source, key
        self.ctx.source = None  # of the suggestion under way
        self.ctx.serving = {}  # pk of process: source
        self.ctx.requests = {}  # pk of process: uuid of request
        self.ctx.n_asked = {}  # requests launched per source
        self.ctx.n_answered = {}  # results per source
        self.ctx.results = []
        self.ctx.gains = []
        self._expect_trouble()
        self.ctx.problem = None
        try:
            refused = self._demand_name(self._campaign.name)
            if refused is not None:
                return refused
            self._update_problem()
        except FinalesError as error:
            return self.exit_codes.ERROR_IMPOSSIBLE.format(reason=str(error))
        self._add_to_group(self.node, *self.inputs.get("known", {}).values())
        if CONTINUES in self.inputs:
            self._take_over()
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
        self._recount()
        if self.node.base.extras.get(STOP, None):
            self.ctx.to_launch = []
        self._take_notes()

    def has_request(self) -> bool:
        """Whether a suggestion waits to become a request, and its source has room."""
        return self._next_request() is not None

    def launch_request(self) -> None:
        """Ask for what was suggested."""
        entry = self._next_request()
        if entry is None:
            return
        uuid, source, key = entry
        request = orm.load_node(uuid)
        self._add_to_group(request)  # before anybody is told of it: the campaign says who may know
        child = self.submit_once(
            key,
            ServeRequestWorkChain,
            request=request,
            may_wait=source in self._unavailable,
            ends_orphaned=True,
        )
        self.track(child)
        self.ctx.serving[child.pk] = source
        self.ctx.requests[child.pk] = request.uuid
        self.ctx.n_asked[source] = self.ctx.n_asked.get(source, 0) + 1
        self.ctx.to_launch.remove(entry)

    def has_room(self) -> bool:
        """Whether another suggestion can be made now; one at a time, so that each knows of the others."""
        return self.ctx.suggesting is None and self._next_source() is not None

    def launch_suggestion(self) -> None:
        """Ask the optimiser, unless a person has put a point into the queue."""
        try:
            self._update_problem()
        except FinalesError as error:
            self.report(f"the design space stays as it was: {error}")
        source = self._next_source()
        if source is None:
            return  # told to stop, or a tenant has gone, since there was room
        if self._take_queued():
            return
        self.ctx.n_suggested += 1
        self.ctx.source = source
        self.ctx.choices = list_choices(self._campaign, self._standing)
        self.ctx.suggesting = self._submit_suggestion(
            source, f"suggest_{self.ctx.n_suggested:04d}", self.ctx.choices
        ).pk

    def await_news(self) -> Any:
        """Wait until something has ended, unless there is something to do at once."""
        if self.has_request() or self.has_room() or not self.ctx.in_flight:
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
            self._report_recommendation(child.outputs.suggestion.document)
        why = self._stop_reason() or tell_end(self._campaign, self._standing)
        self.report(f"ended after {count(len(self.ctx.results), 'result')}: {why}{self._tell_lost()}")
        self._take_notes()
        if self.ctx.fatal is None and self.ctx.last_failure and self._has_learned_nothing():
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
        waiting = self.ctx.get("to_launch", None)
        if not isinstance(waiting, list):  # one request at most, before a point was asked of several sources
            self.ctx.to_launch = [[waiting, self.ctx.source, self._key()]] if waiting else []

    def _update_problem(self) -> None:
        """Read the tenants' limitations again; keep the node of the problem where nothing has changed."""
        last = None if self.ctx.problem is None else self._problem
        document = build_problem(self._campaign, last)
        if document == last:
            return
        self.ctx.problem, self.ctx.used_up = orm.Dict(document).store().uuid, []
        for key in ("left_out", "unavailable"):
            known, found = (last or {}).get(key, ()), document[key]
            for item in (item for item in found if item not in known):
                self.report(item if key == "left_out" else f"waits for tenants: {found[item]}")

    def _demand_name(self, name: str) -> ExitCode | None:
        """Refuse a name that a campaign has, or to go on with a campaign that goes on."""
        if CONTINUES in self.inputs:
            is_taken, exit_code = runs_already(self.node, name), self.exit_codes.ERROR_GOES_ON
        else:
            is_taken, exit_code = has_older_namesake(self.node, name), self.exit_codes.ERROR_NAME_TAKEN
        if not is_taken:
            return None
        remove_from_group(self.node, name)
        refused: ExitCode = exit_code.format(name=name)
        return refused

    def _take_over(self) -> None:
        """Go on with the counts of the processes before, and with what they asked and nobody has answered yet."""
        group = CampaignGroup.find(self._campaign.name)
        asked = read_asked(group, self._problem)
        self.ctx.n_asked = dict(count_asked(asked))
        self.ctx.n_suggested = next_step(group)
        self._take_training(last.creator if (last := find_last_suggestion(group)) else None)
        for source, result in read_answers(group, self._problem, self.inputs.get("known", {}).values()):
            self._take_result(source, result, is_new=False)
        for item in (item for item in asked if item.is_open):
            if item.process is None:  # its process broke; it is begun anew, and counts once
                self.ctx.n_asked[item.source] -= item.is_counted
                self.ctx.to_launch.append([item.uuid, item.source, f"adopted_{item.pk}"])
            else:
                self.track(orm.load_node(item.process))
                self.ctx.serving[item.process] = item.source
                self.ctx.requests[item.process] = item.uuid
        self.report(f"goes on with {count(len(self.ctx.results), 'result')} and {len(self.ctx.in_flight)} under way")

    def _next_source(self) -> str | None:
        """Return the source to ask next, or ``None``."""
        if self._stop_reason() is not None:
            return None
        queued = self._next_queued() if self.ctx.used_up else None  # a point of a person's own is left
        return str(queued[1]["source"]) if queued else next_source(self._campaign, self._standing)

    def _next_request(self) -> list[str] | None:
        """Return the first request to be made whose source has room."""
        serving, sources = Counter(self.ctx.serving.values()), self._campaign.sources
        ready = (entry for entry in self.ctx.to_launch if serving[entry[1]] < sources[entry[1]].max_in_flight)
        return next(ready, None)

    def _key(self, number: int = 0) -> str:
        """Return the key of a request of the present suggestion."""
        return f"request_{self.ctx.n_suggested:04d}" + (f"_{number + 1}" if number else "")

    def _take_queued(self) -> bool:
        """Make ready the first point of the queue whose source has room; return whether there is one."""
        queued = self._next_queued()
        if queued is None:
            return False
        request, entry = queued
        self.ctx.to_launch.append([request.uuid, str(entry["source"]), f"added_{request.pk}"])
        self.report(f"asks {entry['source']} for what {entry['who']} added: request <{request.pk}>")
        return True

    def _next_queued(self) -> tuple[RequestData, dict[str, Any]] | None:
        """Return the first point of the queue whose source has room, and what the queue says of it."""
        standing, waiting = self._standing, {entry[0] for entry in self.ctx.to_launch}
        return next(
            (
                (request, entry)
                for request, entry in list_queued(self._campaign.name)
                if request.uuid not in waiting and has_room_for(str(entry["source"]), self._campaign, standing)
            ),
            None,
        )

    def _take_suggestion(self, child: orm.ProcessNode) -> None:
        self._take_training(child)
        if child.exit_status == SuggestCalculation.exit_codes.ERROR_REQUEST_REFUSED.status:
            self._count_failure(child.outputs.suggestion.document["source"], explain_end(child))
            return
        if child.exit_status == SuggestCalculation.exit_codes.ERROR_USED_UP.status:
            self.ctx.used_up = [*self.ctx.used_up, *(self.ctx.choices or [self.ctx.source])]
            self.report(f"nothing is left to ask: {explain_end(child)}")
            return
        if not child.is_finished_ok:
            self._end_with("ERROR_NO_SUGGESTION", reason=explain_end(child))
            return
        suggestion = child.outputs.suggestion
        self._add_to_group(suggestion)
        document = suggestion.document
        if document.get("relative_gain") is not None:
            self.ctx.gains.append(document["relative_gain"])
        if self.node.base.extras.get(STOP, None) or self.ctx.fatal:
            return  # told to stop while the model was being fitted
        asked = asked_sources(document)
        for number, source in enumerate(asked):
            request = getattr(child.outputs.others, f"target_{number}") if number else child.outputs.request
            if self._campaign.sources[source].ask:
                self.ctx.to_launch.append([request.uuid, source, self._key(number)])
        words = describe_expected(document) or document["reason"]
        self.report(f"asks {' and '.join(asked)} for {self._describe(document)} ({words})")

    def _take_training(self, calculation: orm.ProcessNode | None) -> None:
        """Let the next suggestion go on from what one learned from; one of an older version has links to all of it."""
        training = find_training(calculation) if calculation else None
        self.ctx.training = training.uuid if training else self.ctx.training

    def _submit_suggestion(self, source: str, key: str, choices: Sequence[str] = ()) -> orm.ProcessNode:
        results, excluded = self._training()
        told_nothing = self._told_nothing(excluded)
        members = {node.uuid: node for node in (*results, *told_nothing)}
        previous = {PREVIOUS: orm.load_node(self.ctx.training)} if self.ctx.training else {}
        known = read_members(previous[PREVIOUS].creator) if previous else {}
        child = self.submit_once(
            key,
            SuggestCalculation,
            **previous,
            problem=orm.load_node(self.ctx.problem),
            results={f"result_{node.pk}": node for node in results if node.uuid not in known},
            told_nothing={f"request_{node.pk}": node for node in told_nothing if node.uuid not in known},
            removed=sorted(set(known) - set(members)),
            pending=self._pending(),
            source=source,
            choices=list(choices),
            step=self.ctx.n_suggested - 1 if source else self.ctx.n_suggested,
            excluded=excluded,
            requester=self._campaign.name,
        )
        self.track(child)
        return child

    def _report_recommendation(self, document: dict[str, Any]) -> None:
        """Say where the target is expected to be best, or what the objectives are traded for."""
        best = (document.get("recommendation") or {}).get("sources", {}).get(self._campaign.target)
        if len(self._campaign.optimised) > 1:
            front = document.get("front") or {}
            self.report(
                f"found {count(len(front.get('measured') or ()), 'measured point')} that no other one surpasses"
            )
        elif best:
            words = format_value(best["mean"], best["sd"], document.get("unit", ""))
            self.report(f"recommends {self._describe(best)}: {words}")


def _check_campaign(node: orm.Dict, _: Any) -> str | None:
    """Return why a campaign cannot be started, or ``None``."""
    try:
        parse_campaign(node.get_dict())
    except CampaignFileError as error:
        return str(error)
    return None
