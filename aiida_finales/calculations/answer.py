"""Wait for whoever answers a request: an external tenant, a person, or a free slot of an internal tenant."""

from __future__ import annotations

import math
import os
import time
from functools import cached_property
from typing import ClassVar, cast

import psutil
from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.engine import ProcessSpec
from aiida.engine.processes.exit_code import ExitCode
from plumpy.process_states import Wait

from aiida_finales.broker.changes import StoreWatch
from aiida_finales.broker.queue import find_free_slots
from aiida_finales.broker.requests import is_orphaned, open_states, retract_orphan
from aiida_finales.broker.reservation import (
    claim_answer,
    expire_lease,
    is_expired,
    reserve_for_process,
)
from aiida_finales.broker.state import OVERLAP, State, read_changes, read_state
from aiida_finales.broker.status import RequestStatus
from aiida_finales.calculations.waiting import WaitingCalculation, wake_process
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData, set_uuid
from aiida_finales.data.sample import SampleData, samples_made


class AnswerCalculation(WaitingCalculation):
    """Creates the result that somebody outside of the engine posted for a request.

    It ends without result when an internal tenant's slot became free and was reserved for the serving process.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        super().define(spec)
        spec.input("request", valid_type=RequestData, help="the request that waits")
        spec.input("server", valid_type=str, non_db=True, help="UUID of the process that serves the request")
        spec.input("ends_orphaned", valid_type=bool, non_db=True, default=False, help="give up when nobody is left")
        spec.input_namespace("samples", valid_type=SampleData, dynamic=True, help="samples that the request is about")
        spec.output("result", valid_type=ResultData, required=False, help="what was posted")
        spec.output_namespace("samples", valid_type=SampleData, dynamic=True, help="samples that were made")
        spec.exit_code(410, "ERROR_RETRACTED", message="the request was retracted: {reason}")
        spec.exit_code(411, "ERROR_ANSWER_UNUSABLE", message="the answer cannot be stored: {reason}")
        spec.exit_code(413, "ERROR_ORPHANED", message="no active tenant can serve the request any more")

    #: when the watcher looked last, what :func:`read_changes` told then, from where on, and when the next lease or
    #: pause ends
    _store: ClassVar[StoreWatch] = StoreWatch()
    _seen: ClassVar[tuple[int, int]] = (0, 0)
    _floor: ClassVar[int] = 0
    _due: ClassVar[float] = 0.0

    @classmethod
    def has_news(cls) -> bool:
        """Return whether a state was changed since the last look, or the time of a lease or a pause is over."""
        has_changed = cls._store.has_changed()
        is_due = time.time() >= cls._due or cls._store.must_look()
        if not has_changed and not is_due:
            return False
        seen = read_changes(cls._floor)
        if not seen[0]:  # entries were deleted, and their numbers are given again
            cls._floor, seen = 0, read_changes(0)
        if not is_due and seen == cls._seen:
            return False
        cls._floor = max(0, seen[1] - OVERLAP)
        cls._seen = read_changes(cls._floor)
        cls._store.begin_look()
        return True

    @classmethod
    def find_ready(cls, waiting: dict[int, WaitingCalculation]) -> set[int]:
        """Return those whose request was answered or closed, whose lease has run out, or that can be served inside."""
        states = open_states()
        cls._due = min(map(_find_due, states.values()), default=math.inf)
        takers = find_free_slots(states)
        requests = {pid: cast(AnswerCalculation, process).request_pk for pid, process in waiting.items()}
        return {
            pid
            for pid, process in waiting.items()
            if requests[pid] in takers or _is_ready(states.get(requests[pid]), process)
        }

    @classmethod
    def end_look(cls) -> None:
        """Note that all were looked at, not only one that began to wait or was sent a message."""
        cls._store.end_look()

    @cached_property
    def request_pk(self) -> int:
        """Primary key of the request; kept, because asking the node costs a query after every transaction."""
        return int(self.inputs.request.pk)

    @property
    def ends_orphaned(self) -> bool:
        """Whether whoever asked would rather ask something else than wait for tenants to come back."""
        return bool(self.inputs.get("ends_orphaned", False))

    @property
    def claimant(self) -> str:
        """Identity of this process in this worker."""
        return f"{self.pid}:{os.getpid()}:{find_start(psutil.Process())}"

    def finish_waiting(self) -> ExitCode | Wait | None:
        """Store the answer, or see what else happened."""
        request: RequestData = self.inputs.request
        expire_lease(request.pk)
        if self.ends_orphaned and retract_orphan(request.pk, f"process:{self.inputs.server}"):
            return self.exit_codes.ERROR_ORPHANED
        state = read_state(request.pk)
        if state["status"] == RequestStatus.RETRACTED.value:
            return self.exit_codes.ERROR_RETRACTED.format(reason=state.get("reason", ""))
        if state.get("answer"):
            return self._store_answer(request)
        if state["status"] == RequestStatus.PENDING.value and reserve_for_process(request.pk, self.inputs.server):
            return None
        if state["status"] == RequestStatus.RESOLVED.value or _is_served(state, self):
            return None
        return self.wait_more()

    def _store_answer(self, request: RequestData) -> ExitCode | Wait | None:
        answer = claim_answer(request.pk, self.claimant, _is_alive)
        if answer is None:
            return self.wait_more()
        try:
            capability = orm.load_node(request.capabilities[answer["method"]])
            result = ResultData(
                capability,
                answer["data"],
                answer["parameters"],
                tenant_uuid=answer["tenant"] or "",
                request_uuid=request.uuid,
                simulated=bool(answer.get("simulated", False)),
                is_sure=bool(answer.get("is_sure", False)),
            )
            if answer.get("uuid"):
                set_uuid(result, answer["uuid"])
            samples = samples_made(result)
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            return self.exit_codes.ERROR_ANSWER_UNUSABLE.format(reason=f"{type(error).__name__}: {error}")
        self.out("result", result)
        for label, sample in samples.items():
            self.out(f"samples.{label}", sample)
        return None


def _find_due(state: State) -> float:
    """Return when (s since 1970) the time that a lease or a pause takes is over, which no change of a state tells."""
    now = time.time()
    ends = [state.get("lease_until"), *(record["until"] for record in state.get("away", {}).values())]
    return min((end for end in ends if end is not None and end > now), default=math.inf)


def _is_ready(state: State | None, process: AnswerCalculation) -> bool:
    """Return whether a request is closed, answered, served by its own process, or was given up by its holder."""
    if state is None or is_expired(state) or _is_served(state, process):
        return True
    if process.ends_orphaned and is_orphaned(state):
        return True
    claimed = state.get("claimed")  # another worker may run the same process and be storing the answer
    return bool(state.get("answer")) and (not claimed or claimed == process.claimant or not _is_alive(claimed))


def _is_served(state: State, process: WaitingCalculation) -> bool:
    """Return whether the serving process holds the request already and no operator is waited for."""
    return state.get("holder") == f"process:{process.inputs.server}" and not state.get("needs_operator")


def _is_alive(claimant: str) -> bool:
    """Return whether the worker that claimed an answer still runs (on this machine)."""
    _, pid, created = claimant.split(":")
    try:
        return find_start(psutil.Process(int(pid))) == float(created)
    except psutil.NoSuchProcess:
        return False


def find_start(process: psutil.Process) -> float:
    """Return the seconds from the start of the machine to that of a process.

    As a time of day it would be another one as soon as somebody sets the clock, and whoever lives would seem dead.
    """
    return float(round(process.create_time() - psutil.boot_time(), 2))


def find_waiting(request_pk: int) -> list[int]:
    """Return the pks of the calculations that wait for an answer to a request."""
    query = (
        orm.QueryBuilder()
        .append(RequestData, filters={"id": request_pk}, tag="request")
        .append(
            orm.CalculationNode,
            with_incoming="request",
            filters={"process_type": "aiida.workflows:finales.answer", "attributes.process_state": "waiting"},
            project="id",
        )
    )
    return list(query.all(flat=True))


def wake_request(request_pk: int) -> bool:
    """Tell the process of a request that something has happened to it; return whether a worker took the message."""
    return True in [wake_process(pk) for pk in find_waiting(request_pk)]
