"""The base of work chains that react to each of their children."""

from __future__ import annotations

import json
import time
import weakref
from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import WorkChain, calcfunction, run_get_node, while_
from aiida.manage import get_manager
from plumpy.process_states import ProcessState
from sqlalchemy import event

from aiida_finales.broker.changes import LOOK_ANYWAY, SETTLED
from aiida_finales.calculations import tasks
from aiida_finales.workflows import wait_any as child_watch
from aiida_finales.workflows.wait_any import ChildWatch, WaitAnyWorkChain, find_lost


@pytest.mark.parametrize("name", ["step", "run", "kill_now", "pause", "call_soon", "result", "kill"])
def test_steps_with_names_of_the_engine_are_refused(name):
    namespace = {name: lambda self: None}
    if name in ("kill_now", "kill"):  # no such method, and one that is meant to be overridden
        assert type("Mine", (WaitAnyWorkChain,), namespace)
        return
    with pytest.raises(TypeError, match=f"Mine overrides {name} of the engine: rename these outline steps"):
        type("Mine", (WaitAnyWorkChain,), namespace)


class ChildWorkChain(WorkChain):
    """Ends after some seconds of waiting."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("delay", valid_type=float, non_db=True)
        spec.outline(cls.pass_time)

    async def _sleep(self):
        import asyncio

        await asyncio.sleep(self.inputs.delay)

    def pass_time(self):
        pass


class ParentWorkChain(WaitAnyWorkChain):
    """Starts two children under the same key and another, and takes them as they end."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.launch_first, cls.launch_again, cls.launch_other, while_(cls.is_busy)(cls.take, cls.await_any))
        spec.output("n_children", valid_type=orm.Int, required=False)

    def launch_first(self):
        self.ctx.taken = []
        self.track(self.submit_once("first", ChildWorkChain, delay=0.0))

    def launch_again(self):
        child = self.submit_once("first", ChildWorkChain, delay=0.0)
        self.track(child)
        assert self.ctx.in_flight == [child.pk]

    def launch_other(self):
        self.track(self.submit_once("second", ChildWorkChain, delay=0.0))

    def is_busy(self):
        return bool(self.ctx.in_flight)

    def take(self):
        self.ctx.taken += [child.pk for child in self.take_ended()]

    def await_any(self):
        return self.wait_for_any() if self.ctx.in_flight else None


def test_one_child_per_key_and_every_child_is_taken(registered):
    _, node = run_get_node(ParentWorkChain)
    assert node.is_finished_ok, node.exit_message
    links = node.base.links.get_outgoing().all()
    assert sorted(link.link_label for link in links) == ["first", "second"]
    assert all(link.node.is_finished_ok for link in links)


class BereavedWorkChain(WaitAnyWorkChain):
    """Its worker was killed while it stored its child; the step is run again."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.launch_child, cls.await_child, cls.take)
        spec.output("ended", valid_type=orm.Int, required=False)

    def launch_child(self):
        for state in (None, ProcessState.CREATED):  # stored with its link, but without a checkpoint
            stillborn = orm.WorkChainNode()
            stillborn.base.links.add_incoming(self.node, link_type=LinkType.CALL_WORK, link_label="child")
            if state is not None:
                stillborn.set_process_state(state)
            stillborn.store()
            assert (stillborn.process_state, stillborn.checkpoint) == (state, None)
        self.track(self.submit_once("child", ChildWorkChain, delay=0.0))

    def await_child(self):
        return self.wait_for_any()

    def take(self):
        (child,) = self.take_ended()
        assert child.is_finished_ok
        assert self.find_child("child").pk == child.pk
        self.out("ended", orm.Int(child.pk).store())


@pytest.mark.usefixtures("registered")
def test_a_child_that_never_came_to_life_is_replaced():
    outputs, node = run_get_node(BereavedWorkChain)
    assert node.is_finished_ok, node.exception
    *stillborn, child = sorted(node.called, key=lambda item: item.pk)
    assert outputs["ended"].value == child.pk
    assert len(stillborn) == 2
    for lost in stillborn:
        assert lost.is_excepted
        assert "never ran" in lost.exception
        assert lost.is_sealed


@calcfunction
def double(number: orm.Int) -> orm.Int:
    """A function that takes no time."""
    return orm.Int(2 * number.value)


class InterruptedWorkChain(WaitAnyWorkChain):
    """Its worker ended twice while it ran a function, and once just after that."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.compute, cls.compute_again)
        spec.output("doubled", valid_type=orm.Int)

    def compute(self):
        for _ in range(2):
            cut_off = orm.CalcFunctionNode()
            cut_off.base.links.add_incoming(self.node, link_type=LinkType.CALL_CALC, link_label="double")
            cut_off.set_process_state(ProcessState.RUNNING)
            cut_off.store()
        self.ctx.first = self.run_once("double", double, number=orm.Int(3)).pk
        unsealed = orm.CalcFunctionNode()  # its worker was killed just after its end was written
        unsealed.base.links.add_incoming(self.node, link_type=LinkType.CALL_CALC, link_label="ended")
        unsealed.set_process_state(ProcessState.FINISHED)
        unsealed.set_exit_status(0)
        unsealed.store()

    def compute_again(self):
        again = self.run_once("double", double, number=orm.Int(3))
        assert again.pk == self.ctx.first
        self.out("doubled", again.outputs.result)


@pytest.mark.usefixtures("registered")
def test_a_function_that_was_cut_off_is_run_again_and_closed():
    outputs, node = run_get_node(InterruptedWorkChain)
    assert node.is_finished_ok, node.exception
    assert outputs["doubled"].value == 6
    *cut_off, ran, unsealed = sorted(node.called, key=lambda item: item.pk)
    assert ran.is_finished_ok
    assert unsealed.is_finished_ok
    assert unsealed.is_sealed
    assert len(cut_off) == 2
    for function in cut_off:
        assert function.is_excepted
        assert function.is_sealed
        assert "its worker ended while the function ran" in function.exception


@pytest.fixture
def write_task(registered, tmp_path, monkeypatch):
    """A function that writes the task of a process into the folder of a broker."""
    monkeypatch.setattr(tasks, "broker_folder", lambda: tmp_path)

    def write(pk: int, state: str) -> None:
        path = tmp_path / "storage" / "tasks" / state / f"1_{pk}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"body": {"args": {"pid": pk}}}))

    return write


def make_process(state: ProcessState) -> int:
    node = orm.WorkChainNode()
    node.set_process_state(state)
    return node.store().pk


def test_only_what_never_began_and_has_no_task_is_lost(write_task):
    lost, queued, taken = (make_process(ProcessState.CREATED) for _ in range(3))
    waiting = make_process(ProcessState.WAITING)
    unasked = make_process(ProcessState.CREATED)
    write_task(queued, "pending")
    write_task(taken, "processing")
    asked = [lost, queued, taken, waiting]
    assert find_lost(asked) == {lost}
    assert unasked in find_lost([*asked, unasked])
    assert find_lost([]) == set()


def test_what_is_taken_up_meanwhile_is_not_lost(write_task, monkeypatch):
    pk = make_process(ProcessState.CREATED)

    def end_meanwhile() -> set[int]:
        orm.load_node(pk).set_process_state(ProcessState.RUNNING)
        return set()

    monkeypatch.setattr(child_watch, "read_tasks", end_meanwhile)
    assert find_lost([pk]) == set()


class Parent:
    """As a work chain that waits for children in a worker; what it is told is kept."""

    def __init__(self, children: list[int]) -> None:
        self.awaited_children, self.sent, self.ended, self.reported = children, [], [], []
        self.runner = SimpleNamespace(controller=SimpleNamespace(continue_process=self._send))

    def _send(self, pk: int, **_how: bool) -> None:
        self.sent.append(pk)

    def call_soon(self, function, pk: int) -> None:
        function(pk)

    def take_end(self, pk: int) -> None:
        self.ended.append(pk)
        self.awaited_children.remove(pk)

    def report(self, text: str) -> None:
        self.reported.append(text)


@pytest.fixture
def look(write_task, monkeypatch):
    """A function that lets a watch look after the children of a parent; it returns the number of statements."""
    monkeypatch.setattr(child_watch, "has_visible_tasks", lambda: True)
    statements = []

    def count(*_: object) -> None:
        statements.append(1)

    engine = get_manager().get_profile_storage().get_session().get_bind()
    event.listen(engine, "before_cursor_execute", count)
    watch = ChildWatch()

    def do(parent: Parent) -> int:
        for pk in parent.awaited_children:
            watch._parents.setdefault(pk, weakref.WeakSet()).add(parent)
        statements.clear()
        watch._look(SimpleNamespace(call_at=lambda *_: None, time=time.monotonic))
        return len(statements)

    yield do
    event.remove(engine, "before_cursor_execute", count)


def test_a_task_is_sent_again_when_it_was_missing_at_two_looks(look, write_task):
    lost, queued = make_process(ProcessState.CREATED), make_process(ProcessState.CREATED)
    write_task(queued, "pending")
    parent = Parent([lost, queued])
    look(parent)
    assert parent.sent == []  # too young: its task may be on the way
    look(parent)
    assert parent.sent == [lost]
    look(parent)
    assert parent.sent == [lost, lost]
    assert len(parent.reported) == 1


def test_no_task_is_sent_to_a_broker_that_stands_still(look, monkeypatch):
    """It may have it in its line already, and would give it to several workers."""
    asked = []
    monkeypatch.setattr(child_watch.PRESENCE, "call_when_heard", asked.append)
    parent = Parent([make_process(ProcessState.CREATED)])
    for _ in range(4):
        look(parent)
    asked[0]()  # said late, of what was sent before
    look(parent)
    assert parent.sent == []
    asked[-1]()
    look(parent)
    assert parent.sent == parent.awaited_children


def pass_time(monkeypatch, seconds: float) -> None:
    """Set the clock of the day and the one that nobody sets forward."""
    for clock in ("time", "monotonic"):
        now = getattr(time, clock)() + seconds
        monkeypatch.setattr(time, clock, lambda now=now: now)


def test_an_end_is_seen_without_a_message_and_the_store_is_left_alone_while_nobody_writes(look, monkeypatch):
    pk = make_process(ProcessState.WAITING)
    parent = Parent([pk])
    assert look(parent) == 1
    assert look(parent) == 1  # the file was written to just now
    pass_time(monkeypatch, 2 * SETTLED)
    assert look(parent) == 1
    assert look(parent) == 0
    time.sleep(0.05)  # the clock of a file goes in steps
    orm.load_node(pk).set_process_state(ProcessState.FINISHED)
    assert look(parent) == 1
    assert parent.ended == [pk]


def test_all_is_looked_at_from_time_to_time_and_after_a_look_that_failed(look, monkeypatch):
    parent = Parent([make_process(ProcessState.WAITING)])
    pass_time(monkeypatch, 2 * SETTLED)
    look(parent)
    assert look(parent) == 0
    pass_time(monkeypatch, LOOK_ANYWAY + 1)
    with monkeypatch.context() as patch:
        patch.setattr(child_watch, "read_states", lambda _pks: 1 / 0)
        look(parent)
    assert look(parent) == 1
    assert look(parent) == 0
    pass_time(monkeypatch, LOOK_ANYWAY + 1)
    assert look(parent) == 1
