"""Waiting for whoever answers, within this interpreter."""

from __future__ import annotations

import gc
import os
import time

import psutil
import pytest
from aiida import orm
from aiida.engine import Process, run_get_node
from aiida.manage import get_manager
from aiida.orm.utils.serialize import deserialize_unsafe, serialize
from kiwipy import DuplicateSubscriberIdentifier
from plumpy import Bundle
from sqlalchemy import event

from aiida_finales.broker import changes
from aiida_finales.broker.requests import post_request, retract_request
from aiida_finales.broker.reservation import answer_request, claim_answer, reserve_request, resolve_request
from aiida_finales.broker.state import change_state, read_state
from aiida_finales.calculations import waiting
from aiida_finales.calculations.answer import AnswerCalculation, find_start, find_waiting, wake_request
from aiida_finales.data.result import ResultData


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)


@pytest.fixture
def request_node(desk, add_offer, make_request):
    add_offer("robot")
    return post_request(make_request(), "tester")


@pytest.fixture
def serve(request_node):
    """Return a function that waits for the answer; what is given happens while it waits."""

    def run(*events, delay=0.2):
        loop = get_manager().get_runner().loop

        def begin(left=100):
            if find_waiting(request_node.pk):
                for number, event in enumerate(events):
                    loop.call_later(number * delay + 0.05, event)
            elif left:
                loop.call_later(0.05, begin, left - 1)

        if events:
            loop.call_soon(begin)
        return run_get_node(AnswerCalculation, request=request_node, server="server-1")

    return run


def test_an_answer_that_is_there_already_is_stored(request_node, serve, make_answer):
    answer_request(request_node.pk, "alice", {**make_answer(value=0.77), "simulated": True})
    outputs, node = serve()
    assert node.exit_status == 0
    result = outputs["result"]
    assert result.value == 0.77
    assert result.request_uuid == request_node.uuid
    assert result.base.attributes.get("simulated") is True
    assert isinstance(node, orm.CalculationNode)
    assert result.creator.pk == node.pk


def test_an_answer_wakes_it(request_node, serve, make_answer, candidate_of):
    seen = []

    def answer():
        seen.extend(find_waiting(request_node.pk))
        reserve_request(request_node.pk, "alice", candidate_of(request_node.pk, "robot"))
        answer_request(request_node.pk, "alice", make_answer())

    outputs, node = serve(answer)
    assert outputs["result"].tenant_uuid == read_state(request_node.pk)["tenant"]
    assert seen == [node.pk]
    assert find_waiting(request_node.pk) == []
    assert wake_request(request_node.pk) is False


def test_a_retraction_ends_it(request_node, serve):
    outputs, node = serve(lambda: retract_request(request_node.pk, "tester", "no longer needed"))
    assert outputs == {}
    assert (node.exit_status, node.exit_message) == (410, "the request was retracted: no longer needed")


def test_a_lease_that_ran_out_is_noticed_and_the_next_holder_answers(request_node, serve, make_answer, candidate_of):
    candidate = candidate_of(request_node.pk, "robot")
    reserve_request(request_node.pk, "alice", candidate, lease=0.2)
    statuses = []

    def bob():
        statuses.append(read_state(request_node.pk)["status"])
        reserve_request(request_node.pk, "bob", candidate)
        answer_request(request_node.pk, "bob", make_answer())

    _, node = serve(lambda: time.sleep(0.2), bob, delay=0.5)
    assert statuses == ["pending"]
    assert node.exit_status == 0


def test_a_free_slot_is_reserved_for_the_server(request_node, serve, add_offer):
    outputs, node = serve(lambda: add_offer("inside", kind="internal"))
    assert (outputs, node.exit_status) == ({}, 0)
    assert read_state(request_node.pk)["holder"] == "process:server-1"


def test_it_ends_when_another_process_resolved_the_request(request_node, serve, make_result, candidate_of):
    def resolve():
        reserve_request(request_node.pk, "alice", candidate_of(request_node.pk, "robot"))
        resolve_request(request_node.pk, make_result().store(), "another process")

    outputs, node = serve(resolve)
    assert (outputs, node.exit_status) == ({}, 0)


@pytest.mark.parametrize("change", [{"method": "crystal_ball"}, {"data": [1]}, {"parameters": 3}])
def test_an_answer_that_cannot_be_stored_is_an_exit_code(request_node, serve, make_answer, change):
    answer_request(request_node.pk, "alice", make_answer())
    broken = {**make_answer(), **change}  # as if written by another version
    change_state(request_node.pk, lambda state: ({**state, "answer": broken}, "test", "damaged"))
    outputs, node = serve()
    assert outputs == {}
    assert node.exit_status == 411
    assert node.exit_message.startswith("the answer cannot be stored: ")


def test_another_living_worker_has_the_right_to_store_it(request_node, serve, make_answer, make_result):
    answer_request(request_node.pk, "alice", make_answer())
    other = psutil.Process(os.getppid())
    claimant = f"1:{other.pid}:{find_start(other)}"
    assert claim_answer(request_node.pk, claimant, lambda _: True)
    statements = []
    engine = get_manager().get_profile_storage().get_session().get_bind()

    def resolve():
        resolve_request(request_node.pk, make_result().store(), "the other worker")

    before = orm.QueryBuilder().append(ResultData).count()
    seen = "before_cursor_execute", lambda *given: statements.append(given[2])
    outputs, node = serve(lambda: event.listen(engine, *seen), lambda: event.remove(engine, *seen), resolve, delay=1.0)
    assert (outputs, node.exit_status) == ({}, 0)
    assert orm.QueryBuilder().append(ResultData).count() == before + 1
    assert 0 < len(statements) < 300  # within a second: it looks every tenth on a free machine, and does not spin


def test_a_clock_that_is_set_makes_no_worker_another_one(monkeypatch):
    process, real = psutil.Process(), psutil.boot_time()
    before = find_start(process)
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: real + 86400.0)  # the kernel's, as time of day
    monkeypatch.setattr(psutil, "boot_time", lambda: real + 86400.0)
    assert psutil.Process().create_time() > time.time() + 80000.0
    assert find_start(psutil.Process()) == before


def test_the_claim_of_a_dead_worker_is_taken_over(request_node, serve, make_answer):
    answer_request(request_node.pk, "alice", make_answer())
    assert claim_answer(request_node.pk, "1:999999999:1.0", lambda _: True)
    outputs, _ = serve()
    assert outputs["result"].request_uuid == request_node.uuid


def test_a_database_that_is_away_for_a_moment_does_not_end_the_watch(request_node, serve, make_answer, monkeypatch):
    original, failures = AnswerCalculation.find_ready.__func__, []

    def fail_at_first(cls, waiting_ones):
        if len(failures) < 2 and read_state(request_node.pk).get("answer"):
            failures.append(1)
            raise ConnectionError("the database is away")
        return original(cls, waiting_ones)

    monkeypatch.setattr(AnswerCalculation, "find_ready", classmethod(fail_at_first))
    outputs, _ = serve(lambda: answer_request(request_node.pk, "alice", make_answer()))
    assert len(failures) == 2
    assert "result" in outputs


@pytest.mark.parametrize("seconds", [0.0, 0.5], ids=["at once", "after the watcher has seen the answer"])
def test_a_paused_process_is_watched_again_when_it_plays(request_node, make_answer, monkeypatch, seconds):
    from aiida.engine.utils import instantiate_process

    monkeypatch.setattr(changes, "LOOK_ANYWAY", 1e9)
    runner = get_manager().get_runner()
    process = instantiate_process(runner, AnswerCalculation, request=request_node, server="server-1")

    def pause():
        if find_waiting(request_node.pk):
            process.pause()
            runner.loop.call_later(0.5, answer_and_play)
        else:
            runner.loop.call_later(0.05, pause)

    def answer_and_play():
        answer_request(request_node.pk, "alice", make_answer())
        runner.loop.call_later(seconds, process.play)

    runner.loop.call_soon(pause)
    too_late = runner.loop.call_later(30, process.kill)
    process.execute()
    too_late.cancel()
    assert process.node.exit_status == 0
    assert "result" in process.node.outputs


def test_a_task_that_is_sent_twice_does_not_take_the_process_from_the_watch(
    request_node, serve, make_answer, monkeypatch
):
    """After a reconnection the broker sends tasks again; the second object is dropped where it would subscribe."""
    made = []

    def send_again():
        (pk,) = find_waiting(request_node.pk)
        checkpoint = serialize(Bundle(AnswerCalculation._watched[pk]))
        with monkeypatch.context() as patch:
            patch.setattr(Process, "init", refuse)
            with pytest.raises(DuplicateSubscriberIdentifier, match="runs here"):
                deserialize_unsafe(checkpoint).unbundle()
        made.append(pk)
        loop = get_manager().get_runner().loop
        loop.call_later(0.3, gc.collect)

    def refuse(_):
        raise DuplicateSubscriberIdentifier("the process runs here already")

    outputs, node = serve(send_again, lambda: answer_request(request_node.pk, "alice", make_answer()), delay=0.6)
    assert made == [node.pk]
    assert "result" in outputs
