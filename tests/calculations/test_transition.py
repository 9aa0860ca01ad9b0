"""A change of state is one transaction, and what that takes for granted about AiiDA is so."""

from __future__ import annotations

import hashlib
import inspect
import time

import plumpy
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed
from aiida.engine import Process, WorkChain, calcfunction, run_get_node
from aiida.engine.processes.functions import FunctionProcess
from aiida.engine.runners import Runner
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.orm.nodes.links import NodeLinks
from plumpy.base.state_machine import StateMachine
from plumpy.process_states import ProcessState
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from aiida_finales.broker.changes import LOOK_ANYWAY
from aiida_finales.broker.requests import post_request, read_candidates, retract_request
from aiida_finales.broker.reservation import reserve_request
from aiida_finales.broker.state import read_changes, read_state
from aiida_finales.calculations import transition
from aiida_finales.calculations.answer import AnswerCalculation
from aiida_finales.calculations.transition import ThriftyProcess, run_function
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, find_ended

#: what of AiiDA and plumpy is replaced, or relied on to do no more than it does now: the first digits of its SHA-256
PINNED = {
    Process.on_entered: "aecb3784938d",
    Process.update_outputs: "90a6e7b59fd1",
    Process.on_terminated: "994ec4ae40cb",
    Process._setup_inputs: "475d23297d0b",
    Process.get_parent_calc: "448008f50969",
    plumpy.Process.on_entered: "256e631f76d4",
    StateMachine.transition_to: "6941e1ca4be9",
    NodeLinks.add_incoming: "909ea8183d63",
    WorkChain._do_step: "1172a703ea7d",
    WorkChain._action_awaitables: "cb29c0c374db",
    WorkChain._on_awaitable_finished: "0ea8c30f545f",
    Runner.call_on_process_finish: "b5511ebb5f3a",
    Runner.submit: "8af0fe15f6f6",
}


@pytest.mark.parametrize(("function", "digest"), PINNED.items(), ids=[item.__qualname__ for item in PINNED])
def test_aiida_does_what_is_replaced_as_it_did(function, digest):
    source = "".join(inspect.getsource(function).split())
    assert hashlib.sha256(source.encode()).hexdigest()[: len(digest)] == digest, (
        f"{function.__module__}.{function.__qualname__} has changed: read it, see whether calculations/transition.py "
        "and workflows/wait_any.py still do all that it does (docs/explanations/engine.md says why they replace it), "
        "and write the new digest here"
    )


class PatientWorkChain(WaitAnyWorkChain):
    """Two steps, the second of which returns something."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.begin, cls.end)
        spec.output("number", valid_type=orm.Int, required=False)

    def begin(self):
        self.ctx.begun = True

    def end(self):
        self.out("number", orm.Int(1).store())


@pytest.fixture
def commits():
    """The number of commits so far, as a list that grows."""
    engine = get_manager().get_profile_storage().get_session().get_bind()
    found = []

    def count(_connection):
        found.append(1)

    event.listen(engine, "commit", count)
    yield found
    event.remove(engine, "commit", count)


@calcfunction
def double(number):
    return orm.Int(2 * number.value)


@calcfunction
def break_down(number):
    message = f"cannot stand {number.value}"
    raise RuntimeError(message)


seen = []


class CallingWorkChain(WaitAnyWorkChain):
    """Calls a function while something else waits for the event loop."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.call_it)

    def call_it(self):
        self.loop.call_soon(seen.append, "something else ran")
        run_function(double, self.runner, number=orm.Int(1).store())
        seen.append("the function has ended")


def start(number=3):
    """Return a process in which functions can be run, and a stored number."""
    return instantiate_process(get_manager().get_runner(), PatientWorkChain), orm.Int(number).store()


def test_a_process_is_created_with_its_checkpoint_in_one_transaction(commits):
    process = instantiate_process(get_manager().get_runner(), PatientWorkChain)
    n_commits = len(commits)
    assert process.node.checkpoint is not None
    assert n_commits == 1


def test_outputs_and_seal_are_there_when_it_has_ended():
    outputs, node = run_get_node(PatientWorkChain)
    assert (node.is_finished_ok, node.is_sealed, node.checkpoint) == (True, True, None)
    assert node.outputs.number.pk == outputs["number"].pk


def test_what_is_told_is_written_already(monkeypatch):
    told = []
    storage = get_manager().get_profile_storage()

    class Listener:
        def broadcast_send(self, body, sender, subject):
            state = orm.load_node(sender).process_state
            told.append((subject, state is not None and state.value, storage.in_transaction))

    process, _ = start()
    monkeypatch.setattr(process, "_communicator", Listener())
    process.transition_to(process.create_state(ProcessState.KILLED, None))
    assert told == [("state_changed.created.killed", "killed", False)]


def test_a_database_that_fails_leaves_nothing_half_written(monkeypatch):
    process, _ = start()
    monkeypatch.setattr(transition.plumpy.Process, "on_entered", _fail)
    with pytest.raises(OperationalError):
        process.transition_to(process.create_state(ProcessState.KILLED, None))
    monkeypatch.undo()
    node = orm.load_node(process.node.pk)
    assert (node.process_state, node.process_status, node.is_sealed) == (ProcessState.CREATED, None, False)


def test_what_another_worker_has_ended_is_given_up(monkeypatch):
    """Neither state nor exception can be written: it is not tried without end."""
    (process, _), failures = start(), []
    orm.load_node(process.pid).seal()
    failed = plumpy.Process.transition_failed
    monkeypatch.setattr(plumpy.Process, "transition_failed", lambda *given: failures.append(given[2]) or failed(*given))
    with pytest.raises(ModificationNotAllowed, match="sealed"):
        process.execute()
    assert 1 <= len(failures) <= 5


def _fail(*_args):
    raise OperationalError("UPDATE", {}, Exception("disk I/O error"))


def test_a_function_and_its_result_are_one_transaction(commits):
    process, number = start()
    before = len(commits)
    with process._process_scope():
        node = run_function(double, process.runner, is_instant=True, number=number)
    assert len(commits) - before == 1
    assert (node.is_finished_ok, node.is_sealed, node.caller.pk) == (True, True, process.node.pk)
    assert node.outputs.result.value == 6
    assert node.process_type == double.process_class.build_process_type()
    assert (node.process_label, node.label) == ("double", "double")
    assert node.get_source_code_function() == inspect.getsource(double.process_class._func)


@pytest.mark.parametrize("is_instant", [True, False])
def test_a_function_that_breaks_is_stored_with_what_broke_it(is_instant):
    process, number = start()
    with process._process_scope(), pytest.raises(RuntimeError, match="cannot stand 3"):
        run_function(break_down, process.runner, is_instant=is_instant, number=number)
    (node,) = process.node.called
    assert (node.is_excepted, node.is_sealed) == (True, True)
    assert "cannot stand 3" in node.exception


def test_a_function_does_not_give_way_to_the_event_loop():
    seen.clear()
    run_get_node(CallingWorkChain)
    assert seen[0] == "the function has ended", (
        "others run while a process function runs: another process of the worker would write into its transaction"
    )


def test_functions_are_processes_that_can_be_thrifty():
    kind = transition._make_thrifty(double)
    assert issubclass(kind, ThriftyProcess)
    assert issubclass(kind, FunctionProcess)


class TestNews:
    """The watcher looks at all open requests only when something may have happened to one of them."""

    @pytest.fixture(autouse=True)
    def _looked(self, desk, add_offer, make_request):
        add_offer("robot")
        self.request = post_request(make_request(), "tester")
        AnswerCalculation.has_news()
        AnswerCalculation.find_ready({})
        AnswerCalculation.end_look()

    def test_nothing_happened(self):
        assert not AnswerCalculation.has_news()

    def test_a_change_of_a_state_is_news_once(self):
        before = read_changes(0)
        retract_request(self.request.pk, "tester", "too late")
        assert read_changes(0) != before
        assert AnswerCalculation.has_news()
        AnswerCalculation.find_ready({})
        AnswerCalculation.end_look()
        assert not AnswerCalculation.has_news()

    def test_a_look_at_one_is_no_look_at_all(self, monkeypatch):
        now = time.monotonic() + LOOK_ANYWAY + 1
        monkeypatch.setattr(time, "monotonic", lambda: now)
        AnswerCalculation.find_ready({})  # as of one that begins to wait
        assert AnswerCalculation.has_news()

    def test_a_look_that_failed_is_repeated(self):
        retract_request(self.request.pk, "tester", "too late")
        assert AnswerCalculation.has_news()
        assert AnswerCalculation.has_news()

    def test_the_end_of_a_lease_is_news(self, monkeypatch):
        (candidate,) = read_candidates(read_state(self.request.pk))
        reserve_request(self.request.pk, "robot", candidate, lease=20)
        AnswerCalculation.has_news()
        AnswerCalculation.find_ready({})
        AnswerCalculation.end_look()
        assert not AnswerCalculation.has_news()
        later = time.time() + 21  # before all is looked at anyway
        monkeypatch.setattr(time, "time", lambda: later)
        assert AnswerCalculation.has_news()


def test_what_has_ended_is_found_by_one_statement():
    ended, living = orm.WorkChainNode(), orm.WorkChainNode()
    ended.set_process_state(ProcessState.KILLED)
    living.set_process_state(ProcessState.WAITING)
    pks = [ended.store().pk, living.store().pk]
    assert find_ended(pks) == {ended.pk}
    assert find_ended([]) == set()
