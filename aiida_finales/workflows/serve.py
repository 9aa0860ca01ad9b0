"""The process of one request: find somebody who serves it, wait for the answer, publish the result."""

from __future__ import annotations

import contextlib
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.engine import if_, while_
from aiida.engine.processes.exit_code import ExitCode
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.broker.capability import load_capabilities, load_capability
from aiida_finales.broker.patience import one_transaction
from aiida_finales.broker.queue import find_next
from aiida_finales.broker.requests import post_request, retract_request
from aiida_finales.broker.reservation import (
    Reservation,
    mark_needs_operator,
    postpone_request,
    release_request,
    reserve_for_process,
    resolve_request,
)
from aiida_finales.broker.samples import find_inputs
from aiida_finales.broker.state import read_state
from aiida_finales.broker.status import RequestStatus
from aiida_finales.calculations.answer import AnswerCalculation, find_waiting
from aiida_finales.calculations.waiting import WAKE
from aiida_finales.data.active import read_stored
from aiida_finales.data.nodes import OUTPUTS, find_linked, load
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, LimitationError, StatusError
from aiida_finales.schemas.words import count
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, explain_end

#: how often a request may fail at its tenants before it is given up, unless the caller says otherwise
MAX_ATTEMPTS = 3
#: s until a device that is busy or away is asked again, the first time; a tenant's setting ``pause_s`` replaces it
PAUSE = 5.0
#: s that a device may be away before its request is given up: a week, so that no night, week-end or repair ends what
#: ran for weeks; the setting ``patience_s`` of a tenant's offer replaces it
PATIENCE = 7 * 24 * 3600.0


class ServeRequestWorkChain(WaitAnyWorkChain):
    """Serve one request, whoever posted it; it runs until the request is resolved, retracted or given up.

    What its steps change is kept by the broker, and done again it changes nothing more. Only the failure of a method is
    counted here, and remembered.
    """

    remembers_every_step = False

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        super().define(spec)
        spec.input("request", valid_type=RequestData, help="the request")
        spec.input(
            "max_attempts", valid_type=int, non_db=True, default=MAX_ATTEMPTS, help="reservations before giving up"
        )
        spec.input(
            "may_wait", valid_type=bool, non_db=True, default=False, help="post also when nobody can serve it now"
        )
        spec.input(
            "ends_orphaned", valid_type=bool, non_db=True, default=False, help="end when nobody can serve it any more"
        )
        spec.outline(
            cls.offer,
            while_(cls.is_open)(
                if_(cls.is_unassigned)(cls.await_answer, cls.take_answer),
                if_(cls.is_assigned)(cls.launch_method, cls.take_result),
            ),
            cls.publish,
        )
        spec.output("result", valid_type=ResultData, required=False, help="the result that counts")
        spec.exit_code(401, "ERROR_IMPOSSIBLE", message="no active tenant can serve the request: {reason}")
        spec.exit_code(410, "ERROR_RETRACTED", message="the request was retracted: {reason}")
        spec.exit_code(411, "ERROR_ANSWER_UNUSABLE", message="the answer cannot be stored: {reason}")
        spec.exit_code(412, "ERROR_METHOD_FAILED", message="given up after {attempts}, the last one: {reason}")
        spec.exit_code(413, "ERROR_ORPHANED", message="no active tenant can serve the request any more")

    # --- outline

    def offer(self) -> ExitCode | None:
        """Post the request, unless it was posted by whoever submitted this process."""
        self.ctx.result = None
        self.ctx.n_launched = 0
        self.ctx.n_failures = 0
        self.ctx.failed_attempt = 0
        self.ctx.n_same_key = 0
        try:
            who = self.inputs.request.requester or "process"
            post_request(self.inputs.request, who=who, may_wait=self.inputs.get("may_wait", False))
        except LimitationError as error:
            return self.exit_codes.ERROR_IMPOSSIBLE.format(reason=str(error))
        self._try_to_reserve()
        return None

    def is_open(self) -> bool:
        """Whether there is no answer yet."""
        return self.ctx.result is None

    def is_unassigned(self) -> bool:
        """Whether nobody inside can take it now."""
        return self.ctx.reservation is None

    def await_answer(self) -> Any:
        """Wait for an external tenant, a person, or a free slot."""
        self.ctx.n_launched += 1
        request = self.inputs.request
        try:
            samples = find_inputs(request)
        except FinalesError as error:
            return self._give_up(f"process:{self.uuid_text}", str(error))
        inputs = {"request": request, "server": self.uuid_text, "samples": samples}
        inputs["ends_orphaned"] = self.inputs.get("ends_orphaned", False)
        child = self.submit_once(f"answer_{self.ctx.n_launched}", AnswerCalculation, **inputs)
        self.track(child)
        self.report(f"waits for a tenant ({child.process_label} <{child.pk}>)")
        return self.wait_for_any()

    def take_answer(self) -> ExitCode | None:
        """Look at what ended the waiting: an answer, a free slot, or a retraction."""
        for child in self.take_ended():
            result = find_linked(child.pk, "result", OUTPUTS)
            if result:
                self.ctx.result = result[0].uuid
                return None
            if not child.is_finished_ok:
                return self._end_without_answer(child)
        state = read_state(self.inputs.request.pk)
        if state["status"] == RequestStatus.RESOLVED.value:
            self.ctx.result = state["result"]
            return None
        self._try_to_reserve()
        return None

    def is_assigned(self) -> bool:
        """Whether an internal tenant holds the request."""
        return self.ctx.result is None and self.ctx.reservation is not None

    def launch_method(self) -> Any:
        """Start the tenant's process with a key that is the same however often this step is run."""
        reservation = Reservation(**self.ctx.reservation)
        request: RequestData = self.inputs.request
        self.ctx.n_launched += 1
        capability = load_capability(request.quantity, reservation.method)
        prepare = capability.demand_prepare()
        key = f"{request.uuid}-{reservation.method}-{reservation.attempt}"
        try:
            process, inputs = prepare(request, load(reservation.node), self._settings(reservation), key)
        except (FinalesError, NotExistent) as error:  # a sample is invalid; a code or a model is gone
            return self._give_up(reservation.holder, str(error))
        label = f"method_{self.ctx.n_launched}"
        if hasattr(process, "is_process_function"):
            # a process function cannot be submitted
            self.track(self.run_once(label, process, is_instant=capability.is_instant, **inputs))
            return None
        self.track(self.submit_once(label, process, **inputs))
        return self.wait_for_any()

    def take_result(self) -> ExitCode | None:
        """Look at how the method ended; give the request back when it failed."""
        reservation = Reservation(**self.ctx.reservation)
        for child in self.take_ended():
            result = find_linked(child.pk, "result", OUTPUTS) if child.is_finished_ok else []
            if result:
                self.ctx.result = result[0].uuid
                return None
            return self._handle_failure(child, reservation)
        return None

    def publish(self) -> ExitCode | None:
        """Close the request with the result; the first result that was published counts."""
        request, result = self.inputs.request, load(self.ctx.result)
        try:
            uuid = resolve_request(request.pk, result, who=f"process:{self.uuid_text}")
        except StatusError as error:
            return self.exit_codes.ERROR_RETRACTED.format(reason=f"{error}; its result {self.ctx.result} is kept")
        if uuid != result.uuid:
            result = load(uuid)
        self.out("result", result)
        capability = load_capabilities().get((request.quantity, result.method))
        if capability is not None and capability.after is not None:
            try:
                capability.after(request, result)
            except FinalesError as error:  # the result counts all the same
                self.report(f"what follows from result <{result.pk}> could not be recorded: {error}")
        rating = "" if result.rating is None else f", rating {result.rating}"
        quality = f"successful{rating}" if result.is_successful else "not successful"
        value = "" if result.value is None else f" {result.value}"
        self.report(f"answered: {result.quantity}{value} ({quality}), result <{result.pk}>")
        self._wake_next()
        return None

    # --- details, in the order in which they are called

    def _build_process_label(self) -> str:
        """Return what people read in `verdi process status`: what is asked for."""
        request = self.inputs.request
        return f"{request.quantity}/{'|'.join(request.methods)}"

    @property
    def uuid_text(self) -> str:
        """UUID of this process."""
        return str(self.node.uuid)

    def _try_to_reserve(self) -> None:
        with one_transaction():
            reservation = reserve_for_process(self.inputs.request.pk, self.uuid_text)
            self.ctx.reservation = None if reservation is None else asdict(reservation)
            if reservation is not None:
                name = read_stored([reservation.node])[reservation.node].attributes["name"]
                self.report(f"given to {name} by {reservation.method}, attempt {reservation.attempt}")

    def _end_without_answer(self, child: orm.ProcessNode) -> ExitCode:
        reason = explain_end(child)
        if child.exit_status == AnswerCalculation.exit_codes.ERROR_RETRACTED.status:
            return self.exit_codes.ERROR_RETRACTED.format(reason=reason)
        if child.exit_status == AnswerCalculation.exit_codes.ERROR_ORPHANED.status:
            return self.exit_codes.ERROR_ORPHANED
        pk = self.inputs.request.pk
        with contextlib.suppress(StatusError):  # closed already: this step was run before, and its worker killed
            retract_request(pk, f"process:{self.uuid_text}", f"given up: {reason}", has_unusable_answer=True)
        return self.exit_codes.ERROR_ANSWER_UNUSABLE.format(reason=reason)

    def _handle_failure(self, child: orm.ProcessNode, reservation: Reservation) -> ExitCode | None:
        """Decide by what is known about the device: retry, ask an operator, or give up."""
        self.remember()
        request = self.inputs.request
        reason = explain_end(child)
        capability = load_capability(request.quantity, reservation.method)
        self.report(f"{reservation.method} failed in <{child.pk}>: {reason}")
        verdict = capability.judge_failure(child.exit_status)
        if verdict == "operator":
            mark_needs_operator(request.pk, reservation.holder, reason)
            self.ctx.reservation = None
            return None
        self.ctx.n_same_key = 1 if self.ctx.failed_attempt != reservation.attempt else self.ctx.n_same_key + 1
        self.ctx.failed_attempt = reservation.attempt
        if verdict == "same-key" and self.ctx.n_same_key < self.inputs.max_attempts:
            return None  # it is not known whether the device acted: ask again with the same key
        if verdict == "later" and self._postpone(reservation, reason):
            return None
        self.ctx.n_failures += 1
        if verdict == "retry" and self.ctx.n_failures < self.inputs.max_attempts:
            why = f"attempt {reservation.attempt} failed: {reason}"
            release_request(request.pk, reservation.holder, why, has_failed=True)
            self._try_to_reserve()
            return None
        return self._give_up(reservation.holder, reason)

    def _postpone(self, reservation: Reservation, reason: str) -> bool:
        """Leave a device that is busy or away alone for a while; return whether there is still patience with it."""
        settings = self._settings(reservation)
        pause, patience = settings.get("pause_s", PAUSE), settings.get("patience_s", PATIENCE)
        is_pending = postpone_request(self.inputs.request.pk, reservation.holder, reason, pause, patience)
        if is_pending:
            self.ctx.reservation = None
            self._try_to_reserve()  # another tenant may be there
        return is_pending

    def _give_up(self, who: str, reason: str) -> ExitCode:
        pk = self.inputs.request.pk
        with contextlib.suppress(StatusError):  # closed already: this step was run before, and its worker killed
            retract_request(pk, who=who, why=f"given up: {reason}")
        return self.exit_codes.ERROR_METHOD_FAILED.format(
            attempts=count(read_state(pk)["attempt"], "attempt"), reason=reason
        )

    def _settings(self, reservation: Reservation) -> dict[str, Any]:
        """Return the settings of the tenant that holds the request."""
        wanted = (self.inputs.request.quantity, reservation.method)
        offers = read_stored([reservation.node])[reservation.node].attributes["offers"]
        offer: dict[str, Any] = next((offer for offer in offers if (offer["quantity"], offer["method"]) == wanted), {})
        return deepcopy(offer.get("settings", {}))

    def _wake_next(self) -> None:
        """Tell the oldest request that waits for a slot that one may be free."""
        pk = find_next(self.ctx.reservation["tenant"]) if self.ctx.reservation else None
        if pk is not None:
            for process in find_waiting(pk):
                self._send_wake(process)

    def _send_wake(self, pk: int) -> None:
        """Send the message and wait for no reply: the watcher is the guarantee."""
        if self.runner.communicator is None:
            return  # no broker: everything runs in this interpreter
        try:
            self.runner.communicator.rpc_send(str(pk), {"intent": WAKE})
        except Exception:
            # a broker that is away must not break a process whose result is published already
            self.logger.warning("process <%d> could not be woken; it will look by itself", pk, exc_info=True)

    def on_killed(self) -> None:
        """Retract the request when its process is killed by a person."""
        super().on_killed()
        self._take_back("its process was killed")

    def on_except(self, exc_info: Any) -> None:
        """Retract the request when its process breaks: nobody would serve it, and it would keep its slot for ever."""
        super().on_except(exc_info)
        try:
            with one_transaction() as session, session.begin_nested():
                self._take_back(f"its process excepted: {exc_info[1]}")
        except Exception:
            # whatever broke the process may break this as well; its end must be recorded all the same
            self.logger.exception("the request of an excepted process could not be retracted")

    def _take_back(self, why: str) -> None:
        with contextlib.suppress(StatusError):  # closed already, or never posted: nothing to take back
            retract_request(self.inputs.request.pk, who=f"process:{self.uuid_text}", why=why)
