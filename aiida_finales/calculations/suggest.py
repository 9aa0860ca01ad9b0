"""Ask the optimiser for the next suggestion and make a request of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec
from aiida.engine.processes.exit_code import ExitCode
from plumpy.process_states import Wait

from aiida_finales.calculations.question import make_question, place_variables, transform_of, units_of
from aiida_finales.calculations.waiting import WaitingCalculation
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import PREVIOUS, TRAINING, TrainingSetData, load_members, read_members
from aiida_finales.exceptions import FinalesError, OptimiserError, OptimiserLostError, UsedUpError
from aiida_finales.optimisation.transform import to_natural
from aiida_finales.schemas.formulation import make_formulation, merge, place_formulation
from aiida_finales.schemas.values import format_value
from aiida_finales.science.electrolyte.composition import describe

#: how often the optimiser's process may end without an answer before that is taken for its own fault
MAX_LOST = 3
#: seconds before it is asked again; a daemon that is being stopped is gone by then
LOST_PAUSE = 3.0

#: what is expected to be largest where a suggestion asks, by the name of the acquisition function
ACQUISITIONS = {
    "NoisyExpectedImprovement": "largest expected improvement over the best result",
    "LogNoisyExpectedImprovement": "largest expected improvement over the best result",
    "NoisyHypervolumeImprovement": "largest expected gain of hypervolume",
    "LogNoisyHypervolumeImprovement": "largest expected gain of hypervolume",
    "ScalarImprovement": "largest expected improvement of the objectives made one number",
    "VarianceReduction": "tells most about where the target is best",
    "Together": "tells most about where the targets are best",
    "space filling": "fills the space",
}


class SuggestCalculation(WaitingCalculation):
    """A pure function of its inputs: the results it learns from, what is still asked for, the problem and the step.

    It learns from the set of the suggestion before, without what is removed, and from the results that are new; what
    it learned from is the next set.

    The model is fitted in another process; until it is done this one waits and the worker stays free.
    """

    _reply: Future[dict[str, Any]] | None = None
    _n_lost: int = 0
    _asked: dict[str, Any] | None = None

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        super().define(spec)
        spec.input("problem", valid_type=orm.Dict, help="components, sources with regions, settings, scale, how to ask")
        spec.input(PREVIOUS, valid_type=TrainingSetData, required=False, help="what the suggestion before learned from")
        spec.input_namespace("results", valid_type=ResultData, dynamic=True, help="what is learned from besides")
        spec.input_namespace(
            "told_nothing", valid_type=RequestData, dynamic=True, help="asked and answered, but nothing was learned"
        )
        spec.input("removed", valid_type=list, non_db=True, default=list, help="UUIDs of the set before that are left")
        spec.input_namespace("pending", valid_type=RequestData, dynamic=True, help="what is asked for but not answered")
        spec.input("source", valid_type=str, non_db=True, help="the source to ask next; empty: only recommend")
        spec.input("choices", valid_type=list, non_db=True, default=list, help="of which it is to choose the source")
        spec.input("step", valid_type=int, non_db=True, help="number of the suggestion, from 0")
        spec.input("excluded", valid_type=dict, non_db=True, default=dict, help="results left out: UUID and reason")
        spec.input("requester", valid_type=str, non_db=True, help="name of the campaign")
        spec.output("suggestion", valid_type=SuggestionData)
        spec.output(TRAINING, valid_type=TrainingSetData, required=False, help="all that was learned from")
        spec.output("request", valid_type=RequestData, required=False, help="what to ask, unless only recommending")
        spec.output_namespace("others", valid_type=RequestData, dynamic=True, help="what to ask of other targets there")
        spec.exit_code(420, "ERROR_NO_SUGGESTION", message="{reason}")
        spec.exit_code(421, "ERROR_REQUEST_REFUSED", message="the suggestion makes no acceptable request: {reason}")
        spec.exit_code(422, "ERROR_USED_UP", message="{reason}")

    @classmethod
    def find_ready(cls, waiting: dict[int, WaitingCalculation]) -> set[int]:
        """Return those whose model is fitted."""
        return {pid for pid, process in waiting.items() if process.is_answered}  # type: ignore[attr-defined]

    @property
    def is_answered(self) -> bool:
        """Whether the optimiser has answered."""
        return self._reply is not None and self._reply.done()

    def begin(self) -> None:
        """Ask; after a restart of the worker ask again, the answer will be the same."""
        if self._reply is None:
            self.loop.call_later(LOST_PAUSE if self._n_lost else 0.0, self._ask)

    def _ask(self) -> None:
        if self._reply is not None or not self.is_waiting:
            return
        try:
            self._asked = self._question()
            self._reply = OPTIMISER.ask(self._asked)
        except Exception as error:  # raised again where the engine sees it: lost in the loop, the process would hang
            self._reply = Future()
            self._reply.set_exception(error)
        self._reply.add_done_callback(lambda _: self.loop.call_soon_threadsafe(self.look))

    def finish_waiting(self) -> ExitCode | Wait | None:
        """Store the suggestion and the request made of it."""
        if self._reply is None:
            return self.wait_more()
        try:
            reply = self._reply.result()
        except OptimiserLostError as error:
            return self._ask_again(error)
        except UsedUpError as error:
            return self.exit_codes.ERROR_USED_UP.format(reason=str(error))
        except OptimiserError as error:
            return self.exit_codes.ERROR_NO_SUGGESTION.format(reason=str(error))
        document = self._describe(reply)
        self.out(TRAINING, self._make_training())
        self.out("suggestion", SuggestionData(document, self._question_for_replay()))
        try:
            for number, source in enumerate(asked_sources(document)):
                request = self._make_request(document, source)
                self.out(f"others.target_{number}" if number else "request", request)
        except FinalesError as error:
            return self.exit_codes.ERROR_REQUEST_REFUSED.format(reason=str(error))
        return None

    def _ask_again(self, error: OptimiserLostError) -> ExitCode | Wait:
        """Wait for a new answer: the service of a worker that is being stopped ends before the worker does."""
        self._n_lost += 1
        if self._n_lost >= MAX_LOST:
            return self.exit_codes.ERROR_NO_SUGGESTION.format(reason=f"{error}, {self._n_lost} times")
        self._reply = None
        return self.wait_more()

    def _describe(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Return the answer in the unit of the quantity, with what the optimiser does not know."""
        problem = self.inputs.problem.get_dict()
        document = to_natural(transform_of(problem), reply)
        units = units_of(problem)
        document |= {"unit": next(iter(units.values())), "excluded": dict(self.inputs.excluded)}
        warnings = (self._asked or {}).get("warnings")
        document |= {"warnings": warnings} if warnings else {}
        if document.get("training"):
            document["training"] = _tell_scale(document["training"])
        if document.get("trainings"):
            document["trainings"] = {name: _tell_scale(item) for name, item in document["trainings"].items()}
        return document if len(units) == 1 else {**document, "units": units}

    @property
    def _members(self) -> dict[str, int]:
        """Pks of all that is learned from, by UUID."""
        previous = self.inputs.get(PREVIOUS)
        known = read_members(previous.creator) if previous else {}
        new = [*self.inputs.get("results", {}).values(), *self.inputs.get("told_nothing", {}).values()]
        kept = {uuid: pk for uuid, pk in known.items() if uuid not in self._removed}
        return kept | {node.uuid: node.pk for node in new}

    @property
    def _removed(self) -> list[str]:
        """UUIDs of what is in the set before and not learned from; a suggestion of an older version says none."""
        return list(self.inputs.get("removed", ()))

    def _make_training(self) -> TrainingSetData:
        """Return the set that was learned from, with what the optimiser was told that the set before does not say."""
        asked = self._asked or self._question()
        previous = self.inputs.get(PREVIOUS)
        told = {node.uuid for node in self.inputs.get("results", {}).values()}
        problem = self.inputs.problem.get_dict()
        is_other = previous is None or _reading(previous.creator.inputs.problem.get_dict()) != _reading(problem)
        rows = [
            {key: value for key, value in row.items() if key != "ctime"}
            for row in asked["observations"]
            if is_other or row["uuid"] in told
        ]
        return TrainingSetData(rows, self._removed, self._members, len(asked["observations"]))

    def _question(self) -> dict[str, Any]:
        problem = self.inputs.problem.get_dict()
        results, told_nothing = load_members(self._members.values())
        return make_question(
            problem,
            results,
            [*self.inputs.get("pending", {}).values(), *told_nothing],
            source=self.inputs.source,
            step=self.inputs.step,
            choices=self.inputs.choices,
        )

    def _question_for_replay(self) -> dict[str, Any]:
        """Return what is not found again among the inputs."""
        choices = {"choices": self.inputs.choices} if self.inputs.choices else {}
        return {"source": self.inputs.source, "step": self.inputs.step, **choices}

    def _make_request(self, document: dict[str, Any], source: str) -> RequestData:
        problem = self.inputs.problem.get_dict()
        how, components = problem["requests"][source], problem["problem"]["components"]
        fractions = dict(zip(components, document["x"], strict=False))
        fixed = place_variables(
            how["fixed"], dict(zip(problem.get("paths", {}).values(), document["x"][len(components) :], strict=True))
        )
        for name, option in (document.get("category") or {}).items():
            fixed = merge(fixed, problem["categories"][name][option])
        parameters = place_formulation(how["quantity"], make_formulation(fractions, problem.get("chemicals")), fixed)
        is_sure = bool(problem.get("is_sure"))
        return RequestData(
            how["quantity"], {how["method"]: parameters}, requester=self.inputs.requester, is_sure=is_sure
        )


def _reading(problem: Mapping[str, Any]) -> list[Any]:
    """Return what decides how the optimiser is told of a result."""
    found = [problem["problem"]["components"], problem["problem"].get("objectives")]
    return found + [problem.get(key) for key in ("requests", "numbers", "paths", "categories", "transform")]


def _tell_scale(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return how values were scaled, and how many: the rows are in the training sets, each once."""
    return {"n_rows": len(training["uuids"]), "offset": training["offset"], "scale": training["scale"]}


def asked_sources(document: Mapping[str, Any]) -> list[str]:
    """Return the sources that a suggestion asks: whose turn it is, then other targets without an answer there."""
    asks, first = list(document.get("asks") or ()), document["source"]
    return ([first] if first in asks or not asks else []) + [name for name in asks if name != first] if first else []


def describe_point(problem: Mapping[str, Any], x: Sequence[float], category: Mapping[str, str] | None = None) -> str:
    """Return a point in words: mole fractions, then the variables with their units, then options of categories.

    :param problem: of the optimiser, as JSON.
    """
    components, variables = problem["components"], problem.get("variables", ())
    words = [describe(dict(zip(components, x, strict=False)))]
    values = zip(variables, x[len(components) :], strict=True)
    words += [f"{item['name']} {value:g} {item['unit']}".rstrip() for item, value in values]
    return ", ".join([*words, *(f"{name} {option}" for name, option in (category or {}).items())])


def describe_expected(document: Mapping[str, Any]) -> str:
    """Return what a suggestion expects where it asks, in words; empty where it has no model."""
    predictions, units = document.get("predictions") or {}, document.get("units", {})
    if len(predictions) > 1:
        words = (
            f"{name} {format_value(item['mean'], item['sd'], units.get(name, ''))}"
            for name, item in predictions.items()
        )
        return f"expects {', '.join(words)}"
    expected = document.get("predicted")
    return f"expects {format_value(expected['mean'], expected['sd'], document.get('unit', ''))}" if expected else ""


def name_acquisition(name: str | None) -> str:
    """Return for people what a suggestion was chosen by: the node has the name of the function."""
    return ACQUISITIONS.get(name or "", name or "")


class BackgroundOptimiser:
    """The optimiser service of this worker, so that the worker's event loop is never held up by a fit of seconds.

    The service ``python -m aiida_finales.optimisation`` answers one question after the other. It is started at the
    first one, keeps torch loaded, and ends by itself when its standard input closes, that is, when the worker ends in
    whatever way.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="finales-optimiser")
        self._service: subprocess.Popen[str] | None = None

    def ask(self, question: dict[str, Any]) -> Future[dict[str, Any]]:
        """Return a future of the answer; it fails with :class:`OptimiserError` when there is none.

        With :class:`UsedUpError` when nothing is left to ask; with :class:`OptimiserLostError` when the service ended,
        as it does when the daemon is being stopped.
        """
        return self._thread.submit(self._answer, question)

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        service = self._start()
        try:
            service.stdin.write(json.dumps(question) + "\n")  # type: ignore[union-attr]
            service.stdin.flush()  # type: ignore[union-attr]
            line = service.stdout.readline()  # type: ignore[union-attr]
        except OSError as error:
            raise OptimiserLostError(f"the optimiser's process cannot be reached: {error}") from error
        if not line:
            raise OptimiserLostError(f"the optimiser's process ended without an answer (exit status {service.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise (UsedUpError if answer.get("is_used_up") else OptimiserError)(answer["error"])
        return answer

    def _start(self) -> subprocess.Popen[str]:
        if self._service is None or self._service.poll() is not None:
            # one thread: a suggestion must not depend on their number, and the other cores belong to the methods
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            environment = {**os.environ, **threads}
            self._service = subprocess.Popen(
                [sys.executable, "-m", "aiida_finales.optimisation"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        return self._service


OPTIMISER = BackgroundOptimiser()
