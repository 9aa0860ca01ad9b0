"""A work chain that goes on as soon as any of its children has ended, and looks after children that no worker runs.

When the daemon stops, its broker ends at once, but a worker finishes the step that it is in. A child submitted in that
step is stored and its task is lost: in AiiDA its parent then waits for ever. The same happens when a worker is killed
between storing a child and sending its task. The watch of a worker sends such a task again.

Should a task be sent twice all the same, two workers run the child: like every launch, it is made to bear that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import weakref
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import kiwipy
import sqlalchemy as sa
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed
from aiida.engine import ToContext, WorkChain
from aiida.engine.processes.workchains.awaitable import Awaitable
from aiida.manage import get_manager
from plumpy.process_states import Continue, ProcessState

from aiida_finales.broker.changes import StoreWatch
from aiida_finales.broker.patience import end_reading, one_transaction
from aiida_finales.calculations.presence import PRESENCE
from aiida_finales.calculations.tasks import ENDED, has_visible_tasks, read_tasks
from aiida_finales.calculations.transition import ThriftyProcess, kept_nodes, run_function
from aiida_finales.calculations.waiting import call_at_tick
from aiida_finales.data.nodes import CALLS, find_linked, load

LOGGER = logging.getLogger("aiida.finales.child_watch")


#: methods of the engine that an outline step of the same name would override in silence
RESERVED_STEPS = frozenset(name for name in dir(WorkChain) if not name.startswith("__"))

#: nodes of what runs inside its parent, without a task and without a checkpoint
FUNCTIONS = (orm.CalcFunctionNode, orm.WorkFunctionNode)

_UNSEALED = (
    "SELECT n.id FROM db_dbnode AS n JOIN db_dblink AS l ON l.output_id = n.id"
    " WHERE l.input_id = :pk AND l.type IN ('call_calc', 'call_work') AND {}"
)
_UNSEALED_SQLITE = sa.text(_UNSEALED.format("json_type(n.attributes, '$.sealed') IS NULL"))
_UNSEALED_POSTGRESQL = sa.text(_UNSEALED.format("NOT jsonb_exists(n.attributes, 'sealed')"))

#: states that a watch is told of, and one statement for any number of processes, because a worker asks again and again
_TOLD = json.dumps(["created", *ENDED])
_STATES_SQLITE = sa.text(
    "SELECT id, json_extract(attributes, '$.process_state') AS state FROM db_dbnode"
    " WHERE id IN (SELECT value FROM json_each(:pks)) AND state IN (SELECT value FROM json_each(:states))"
)
_STATES_POSTGRESQL = sa.text(
    "SELECT id, attributes ->> 'process_state' AS state FROM db_dbnode"
    " WHERE id IN (SELECT CAST(value AS integer) FROM json_array_elements_text(CAST(:pks AS json)))"
    " AND attributes ->> 'process_state' IN (SELECT value FROM json_array_elements_text(CAST(:states AS json)))"
)

#: extra on a process that was closed because nobody ran it
BURIED = "finales_stillborn"


class WaitAnyWorkChain(ThriftyProcess, WorkChain):
    """Base of work chains that keep several children in flight and react to each.

    ``self.ctx.in_flight`` holds the pks of the children (it survives restarts). A child is launched once per key: the
    key is the label of its call link, which is stored together with the child, so that a step that is run again after a
    crash finds the child that it launched before.

    :cvar remembers_every_step: whether each step leaves a checkpoint, as in AiiDA. Without, a step that neither waits
        for a child nor calls :meth:`remember` is done again after a crash, together with those that followed it.
    """

    remembers_every_step: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        mine = {name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")}
        clash = sorted((mine & RESERVED_STEPS) - OVERRIDABLE)
        if clash:
            message = f"{cls.__name__} overrides {', '.join(clash)} of the engine: rename these outline steps"
            raise TypeError(message)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._subscribed: set[int] = set()
        self._is_remembered = True

    def load_instance_state(self, saved_state: Any, load_context: Any) -> None:
        """Subscribe again to the children after a restart."""
        self._subscribed = set()
        self._is_remembered = True
        super().load_instance_state(saved_state, load_context)

    def find_child(self, key: str) -> orm.ProcessNode | None:
        """Return the child that was launched with this key, or ``None``.

        A child whose worker was killed while it was being stored does not count: it is closed, with the reason.
        """
        exact = find_linked(self.node.pk, key, CALLS)
        for node in exact:
            if is_stillborn(node):
                bury(node, "its worker was killed while the process was being stored; it never ran")
        alive = [node for node in exact if BURIED not in node.base.extras]
        # a function may have been begun several times, and have ended once
        return next((node for node in alive if node.is_terminated), alive[0] if alive else None)

    def submit_once(self, key: str, process: Any, **inputs: Any) -> orm.ProcessNode:
        """Submit a child, unless the one with this key exists already; at most one submit per outline step."""
        child = self.find_child(key)
        if child is None:
            metadata = {**inputs.pop("metadata", {}), "call_link_label": key}
            child = self.submit(process, **inputs, metadata=metadata)
        return child

    def run_once(self, key: str, function: Any, *, is_instant: bool = False, **inputs: Any) -> orm.ProcessNode:
        """Run a process function here, unless it ran to its end under this key already.

        :param is_instant: whether it takes milliseconds: it is one transaction then.
        """
        child = self.find_child(key)
        if child is None or not child.is_terminated:  # its worker was killed meanwhile: nobody goes on with it
            child = run_function(
                function, self.runner, is_instant=is_instant, **inputs, metadata={"call_link_label": key}
            )
        return child

    def remember(self) -> None:
        """Leave a checkpoint after this step: after a crash it must not be done again."""
        self._is_remembered = True

    def _do_step(self) -> Any:
        """Do a step, and those after it until one is to be remembered or waits for a child."""
        while True:
            self._is_remembered = type(self).remembers_every_step
            with kept_nodes():
                command = super()._do_step()
            if self._is_remembered or not isinstance(command, Continue):
                return command

    def track(self, child: orm.ProcessNode) -> None:
        """Count a child among those in flight."""
        if child.pk not in self.ctx.setdefault("in_flight", []):
            self.ctx.in_flight.append(child.pk)

    def wait_for_any(self) -> Any:
        """Return what lets the engine wait until one of the children in flight has ended."""
        return ToContext(**{f"child_{pk}": orm.load_node(pk) for pk in self.ctx.get("in_flight", [])})

    def take_ended(self) -> list[orm.ProcessNode]:
        """Return the children that have ended, and count them no longer among those in flight."""
        ended = [node for node in map(load, self.ctx.get("in_flight", [])) if node.is_terminated]
        for node in ended:
            self.ctx.in_flight.remove(node.pk)
            self.ctx.pop(f"child_{node.pk}", None)
        return ended

    @property
    def awaited_children(self) -> list[int]:
        """The pks of the children that this process waits for now."""
        return [item.pk for item in self._awaitables] if self.state == ProcessState.WAITING else []

    # --- engine

    def on_terminated(self) -> None:
        """Close children whose worker was killed, so that nothing of this process looks as if it ran on."""
        super().on_terminated()
        try:
            with one_transaction() as session, session.begin_nested():
                for node in find_unsealed(self.node):
                    if node.is_terminated:  # killed after the end was written
                        close(node)
                    elif isinstance(node, FUNCTIONS):
                        bury(node, "its worker ended while the function ran; whatever needed it ran it again")
        except Exception:
            # this process has ended, whatever becomes of what it left
            self.logger.exception("children that were abandoned could not be closed")

    def _action_awaitables(self) -> None:
        if self.runner.is_daemon_runner:
            WATCH.add(self, [item.pk for item in self._awaitables])
            return
        new = [item for item in self._awaitables if item.pk not in self._subscribed]
        known = [item for item in self._awaitables if item.pk in self._subscribed]
        everything, self._awaitables = self._awaitables, new
        try:
            super()._action_awaitables()
        finally:
            self._awaitables = everything
        self._subscribed.update(item.pk for item in new)
        for item in known:
            # its end was announced between two waits, when nobody listened
            if orm.load_node(item.pk).is_terminated:
                self.call_soon(self._on_awaitable_finished, item)

    def take_end(self, pk: int) -> None:
        """Go on because a child has ended; nothing happens when it is not waited for (any more)."""
        for item in [item for item in self._awaitables if item.pk == pk]:
            self._on_awaitable_finished(item)

    def _on_awaitable_finished(self, awaitable: Awaitable) -> None:
        current = next((item for item in self._awaitables if item.pk == awaitable.pk), None)
        if current is None:
            return
        super()._on_awaitable_finished(current)
        if self.state == ProcessState.WAITING and self._awaitables:
            self.resume()


def explain_end(process: orm.ProcessNode) -> str:
    """Return why a process ended, in words."""
    state = process.process_state.value if process.process_state else "lost"
    return process.exit_message or f"process <{process.pk}> was {state}"


#: what subclasses of a work chain are meant to override
OVERRIDABLE = frozenset({"define", "load_instance_state", "on_killed", "on_except", "on_terminated", "kill"})


def is_stillborn(node: orm.ProcessNode) -> bool:
    """Return whether a process was stored, but not what a worker needs to run it: its state first, then its checkpoint.

    A function never has a checkpoint.
    """
    if node.checkpoint is not None:
        return False
    is_function = isinstance(node, FUNCTIONS)
    return node.process_state is None or (node.process_state == ProcessState.CREATED and not is_function)


def find_unsealed(parent: orm.WorkChainNode) -> list[orm.ProcessNode]:
    """Return the children of a process that are not closed."""
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    found = session.execute(_UNSEALED_POSTGRESQL if is_postgresql else _UNSEALED_SQLITE, {"pk": parent.pk})
    return [load(pk) for pk in found.scalars().all()]


def bury(node: orm.ProcessNode, why: str) -> None:
    """Close a process that nobody runs, so that nobody waits for it."""
    node.base.extras.set(BURIED, True)
    node.set_exception(why)
    node.set_process_state(ProcessState.EXCEPTED)
    node.seal()


def close(node: orm.ProcessNode) -> None:
    """Do what was still to be done for a process after its end was written; until then no export takes it."""
    node.delete_checkpoint()
    with suppress(ModificationNotAllowed):  # its worker lives and was faster
        node.seal()


class ChildWatch:
    """Tells the work chains of this worker which of their children have ended, and sends the lost tasks of others.

    A message about the end of a child is heard once for all parents, and one statement looks at all children that are
    waited for. AiiDA subscribes for each child, so that each message is read as often as children are waited for, and
    asks the database for each child on its own.
    """

    def __init__(self) -> None:
        # several objects of one process, where a broker sent its task twice: the second one lives for a moment
        self._parents: dict[int, weakref.WeakSet[WaitAnyWorkChain]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._reported: set[int] = set()
        #: children that had not begun at the last look
        self._unbegun: set[int] = set()
        #: those of them whose task the broker would have by now
        self._delivered: set[int] = set()
        self._store = StoreWatch()
        self._heard: Any = None

    def add(self, parent: WaitAnyWorkChain, children: list[int]) -> None:
        """Look after the children of a work chain while it waits."""
        for pk in children:
            self._parents.setdefault(pk, weakref.WeakSet()).add(parent)
        self._listen(parent.runner.communicator)
        for pk in find_ended(children):  # before anybody listened
            parent.call_soon(parent.take_end, pk)
        if self._timer is None:
            self._timer = call_at_tick(parent.loop, self._look, parent.loop)

    def _listen(self, communicator: Any) -> None:
        """Hear of the ends of processes; a worker has one communicator as long as it lives."""
        if communicator is None or communicator is self._heard:
            return
        self._heard = communicator
        heard = kiwipy.BroadcastFilter(self._hear)
        for state in ENDED:
            heard.add_subject_filter(f"state_changed.*.{state}")
        communicator.add_broadcast_subscriber(heard, str(uuid4()))

    def _hear(self, _communicator: Any, _body: Any, sender: Any, _subject: Any, _correlation_id: Any) -> None:
        for parent in self._parents.get(sender, ()):
            parent.call_soon(parent.take_end, sender)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = call_at_tick(loop, self._look, loop) if self._parents else None
        try:
            # that a task is missing changes nothing in the store
            if self._store.has_changed() or self._unbegun or self._store.must_look():
                self._store.begin_look()
                self._look_after(self._find_waiting())
                end_reading()
                self._store.end_look()
        except Exception:
            # a database or a broker that is away for a moment must not end the watch: the next look tries again
            LOGGER.exception("looking after %d children failed; trying again", len(self._parents))

    def _find_waiting(self) -> dict[int, list[WaitAnyWorkChain]]:
        """Return who waits for each child; whoever is waited for no more is forgotten."""
        parents = {id(parent): parent for known in self._parents.values() for parent in known}
        waiting: dict[int, list[WaitAnyWorkChain]] = {}
        for parent in parents.values():
            for pk in parent.awaited_children:
                waiting.setdefault(pk, []).append(parent)
        self._parents = {pk: weakref.WeakSet(known) for pk, known in waiting.items()}
        self._reported &= set(waiting)
        return waiting

    def _look_after(self, waiting: dict[int, list[WaitAnyWorkChain]]) -> None:
        states = read_states(waiting)
        for pk in sorted(pk for pk, state in states.items() if state in ENDED):
            for parent in waiting[pk]:
                parent.call_soon(parent.take_end, pk)
        self._unbegun = {pk for pk, state in states.items() if state not in ENDED}
        if has_visible_tasks():
            for pk in sorted(find_lost(self._unbegun & self._delivered)):
                self._send_task(waiting[pk][0], pk)
            # what was sent is with the broker when it answers: one that stands still would get each task many times
            self._delivered = set()  # another one at each look: a late answer tells nothing of the next
            if self._unbegun:
                PRESENCE.call_when_heard(partial(self._delivered.update, self._unbegun))

    def _send_task(self, parent: WaitAnyWorkChain, pk: int) -> None:
        if parent.runner.controller is None:
            return
        parent.runner.controller.continue_process(pk, nowait=False, no_reply=True)
        if pk not in self._reported:  # once: whatever makes a worker refuse the task may last
            self._reported.add(pk)
            parent.report(f"the task of child <{pk}> was lost, as when the daemon stops; it is sent again")


def read_states(pks: Iterable[int]) -> dict[int, str]:
    """Return the states of those of the processes that have ended or were never begun."""
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    statement = _STATES_POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _STATES_SQLITE
    wanted = {"pks": json.dumps(sorted(pks)), "states": _TOLD}
    with session.no_autoflush:
        return {row.id: row.state for row in session.execute(statement, wanted)}


def find_ended(pks: Iterable[int]) -> set[int]:
    """Return those of the processes that have ended."""
    return {pk for pk, state in read_states(pks).items() if state in ENDED}


def find_lost(pks: Iterable[int]) -> set[int]:
    """Return those of the processes that were not begun and have no task."""
    # the states are read after the tasks: one that began meanwhile is not lost
    without = set(pks) - read_tasks() if pks else set()
    return {pk for pk, state in read_states(without).items() if state not in ENDED} if without else set()


#: of this worker
WATCH = ChildWatch()
