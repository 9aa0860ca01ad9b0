"""A process whose change of state is written at once: one transaction, and only what somebody needs.

AiiDA writes a change of state bit by bit: the outputs it asks the database for, state, exit status and message, the
checkpoint, a time for `verdi process list`, the seal; each is a transaction of its own, after which every loaded node
is read again. Here all of it is one transaction, which is also safer: a worker that is killed leaves either all or
nothing. What is left out, why, and what it saves is told in ``docs/explanations/engine.md``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from typing import Any

import kiwipy
import plumpy
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import Process
from aiida.engine.runners import Runner
from aiida.engine.utils import set_process_state_change_timestamp
from aiida.manage import get_manager
from aiida.orm.utils.links import validate_link
from aiida.storage.psql_dos.orm.utils import disable_expire_on_commit
from aio_pika.exceptions import ChannelInvalidStateError, ConnectionClosed
from plumpy.base.utils import call_with_super_check
from plumpy.process_states import ProcessState, State
from plumpy.processes import BundleKeys

from aiida_finales.broker.patience import one_transaction
from aiida_finales.calculations.presence import PRESENCE

#: s between two notes of when a process of this worker changed its state, which `verdi process list` shows: each is a
#: transaction of its own, and one row for all workers
NOTE_INTERVAL = 1.0

#: when the time was noted last, by class of node
_noted: dict[type, float] = {}


@contextmanager
def kept_nodes() -> Iterator[None]:
    """Keep what is known of loaded nodes when a transaction ends, instead of reading all of each again.

    What may change is read again all the same: AiiDA does that for each column whenever it is asked for.
    """
    storage: Any = get_manager().get_profile_storage()
    with disable_expire_on_commit(storage.get_session()):
        yield


class _HeldMessages:
    """Takes what a process tells about its state, to be sent when that is written; readers would find the old one."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def broadcast_send(self, **message: Any) -> None:
        """Keep a message."""
        self.messages.append(message)


class ThriftyProcess(Process):
    """Base of processes that write a change of their state in one transaction.

    A subclass must bear that what it did since it was created, or since it last began to wait, is done again after a
    crash: entering these states leaves a checkpoint, and so does going on from one step to the next; beginning to run
    does not, because a restart from the checkpoint before does the same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._n_linked: int | None = 0
        self._is_deaf = True
        super().__init__(*args, **kwargs)

    def load_instance_state(self, saved_state: Any, load_context: Any) -> None:
        """Ask the database for the outputs once: a worker may have been killed after it linked some."""
        self._n_linked = None if saved_state.get(BundleKeys.OUTPUTS) else 0
        self._is_deaf = False
        super().load_instance_state(saved_state, load_context)

    def init(self) -> None:
        """Listen to messages, unless the process was created just now: who submits it lets a worker listen."""
        communicator = self._communicator
        if self._is_deaf:
            self._communicator = None
        try:
            super().init()
        finally:
            self._communicator = communicator

    async def step_until_terminated(self) -> None:
        """Listen to messages from now on, where the process was created here."""
        if self.runner.is_daemon_runner:
            PRESENCE.watch(self.runner)
        if self._is_deaf:
            self._is_deaf = False
            call_with_super_check(self.init)
        await super().step_until_terminated()

    def transition_to(self, new_state: State | None, **kwargs: Any) -> None:
        """Change the state; what follows from it is written, then told to others."""
        storage: Any = get_manager().get_profile_storage()
        if new_state is None or storage.in_transaction:
            super().transition_to(new_state, **kwargs)
            return
        before, communicator, held = self.state, self._communicator, _HeldMessages()
        self._communicator = None if communicator is None else held
        try:
            with kept_nodes():
                if any(node.is_stored for node in self._flat_outputs().values()):
                    # AiiDA ends the transaction when it links a node that is stored already; what goes wrong here goes
                    # wrong again in the transition, which makes an exception of the process
                    with suppress(Exception):
                        self.update_outputs()
                with one_transaction():
                    super().transition_to(new_state, **kwargs)
        except Exception as error:
            storage.get_session().rollback()
            if before is None or self.has_terminated() or new_state.LABEL is ProcessState.EXCEPTED:
                # to whoever drives the process: it cannot change its state any more, not even to say so; as when two
                # workers had it after the broker came back, and the other one has ended it
                raise
            # nothing was written: a database that failed ends a process as it does in AiiDA
            self.transition_failed(before, new_state.LABEL, error, error.__traceback__)
        finally:
            self._communicator = communicator
        if before is not None:
            self._tell(held.messages)

    def on_entered(self, from_state: State | None) -> None:
        """Write the state; a checkpoint only where a restart would go on otherwise than from the one before."""
        if self._state.LABEL is ProcessState.EXCEPTED:
            super().on_entered(from_state)
            return
        try:
            self.update_outputs()
        finally:
            self.node.set_process_state(self._state.LABEL)
        begins = from_state is not None and from_state.LABEL in (ProcessState.CREATED, ProcessState.WAITING)
        if not (begins and self._state.LABEL is ProcessState.RUNNING):
            self._save_checkpoint()
        plumpy.Process.on_entered(self, from_state)

    def on_terminated(self) -> None:
        """Take the checkpoint away from the node that is at hand; AiiDA loads it again."""
        if self._enable_persistence:
            self.node.delete_checkpoint()
            self._enable_persistence = False
        super().on_terminated()

    def save_instance_state(self, out_state: Any, save_context: Any) -> None:
        """Save the inputs once: as they were given nobody asks for them after the process was created."""
        super().save_instance_state(out_state, save_context)
        out_state.pop(BundleKeys.INPUTS_RAW, None)

    def get_parent_calc(self) -> orm.ProcessNode | None:
        """Return the node of the parent, which is at hand where the parent is what runs."""
        parent = Process.current()
        if isinstance(parent, Process) and parent.pid == self._parent_pid:
            return parent.node
        return super().get_parent_calc()

    def _setup_inputs(self) -> None:
        """Link the inputs; AiiDA also asks the database whether a node that is not stored is in a circle with them."""
        kind = LinkType.INPUT_CALC if isinstance(self.node, orm.CalculationNode) else LinkType.INPUT_WORK
        for name, node in self._flat_inputs().items():
            if node is not None:
                validate_link(node, self.node, kind, name, backend=self.node.backend)
                self.node.base.links._add_incoming_cache(node, kind, name)  # noqa: SLF001

    def update_outputs(self) -> None:
        """Link outputs that are new; the database is not asked when there are none."""
        if not self.metadata.store_provenance:
            return
        outputs = self._flat_outputs()
        if len(outputs) == self._n_linked:
            return
        is_first = self._n_linked == 0 and isinstance(self.node, orm.CalculationNode)
        if is_first and not any(node.is_stored for node in outputs.values()):
            for name, node in outputs.items():  # as for the inputs: what is not stored is in no circle
                node.base.links._add_incoming_cache(self.node, LinkType.CREATE, name)  # noqa: SLF001
                node.store()
        else:
            super().update_outputs()
        self._n_linked = len(outputs)

    def _tell(self, messages: list[dict[str, Any]]) -> None:
        try:
            _note_time(self)
        except Exception:
            # the state is written: that people see when must not end the process
            self.logger.warning("process <%s>: when it changed its state is not noted", self.pid, exc_info=True)
        communicator: Any = self._communicator
        for message in messages:
            try:
                communicator.broadcast_send(**message)
            except (ConnectionClosed, ChannelInvalidStateError, kiwipy.TimeoutError) as error:
                self.logger.warning("process <%s>: %s could not be told: %s", self.pid, message["subject"], error)


def _note_time(process: Process) -> None:
    """Note that a process has changed its state, unless that was noted just now."""
    kind = type(process.node)
    if time.monotonic() - _noted.get(kind, -NOTE_INTERVAL) >= NOTE_INTERVAL:
        _noted[kind] = time.monotonic()
        set_process_state_change_timestamp(process.node)


class _ThriftyFunction(ThriftyProcess):
    """A process function that runs to its end within one step of its parent: nobody could send it a message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._communicator = None

    async def step_until_terminated(self) -> None:
        """Run to the end at once; AiiDA gives way to the event loop first, and others would get into the transaction.

        :raises RuntimeError: when the function itself gives way.
        """
        steps = plumpy.Process.step_until_terminated(self)
        try:
            steps.send(None)
        except StopIteration:
            return
        steps.close()
        message = f"{type(self).__name__} waits for the event loop: what waits is a work chain or a calculation job"
        raise RuntimeError(message)


@cache
def _make_thrifty(function: Any) -> type[Process]:
    process: type[Process] = function.process_class
    names = {key: getattr(process, key) for key in ("__module__", "__name__", "__qualname__")}
    return type(process.__name__, (_ThriftyFunction, process), names)


def run_function(function: Any, runner: Runner, *, is_instant: bool = False, **inputs: Any) -> orm.ProcessNode:
    """Run a process function; one that breaks is stored with what broke it, and that is raised.

    :param is_instant: whether it takes milliseconds: then all that is written of it is one transaction, so that it is
        stored with its result or not at all. Nobody else can write to SQLite meanwhile.
    """
    process = None
    with kept_nodes(), one_transaction() if is_instant else nullcontext():
        try:
            process = _make_thrifty(function)(inputs=inputs, runner=runner)
            process.execute()
        except Exception as error:
            if process is None:
                raise
            broken = error
        else:
            return process.node
    raise broken
