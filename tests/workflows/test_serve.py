"""The process of one request, within this interpreter."""

from __future__ import annotations

import time

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import ExitCode, calcfunction, run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.orm.utils.serialize import deserialize_unsafe, serialize
from plumpy import Bundle

from aiida_finales.broker import capability as installed
from aiida_finales.broker.registration import switch_tenant
from aiida_finales.broker.requests import post_request, retract_request
from aiida_finales.broker.reservation import answer_request, release_request, reserve_request
from aiida_finales.broker.state import change_state, read_history, read_state
from aiida_finales.calculations import waiting
from aiida_finales.calculations.answer import find_waiting
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData, name_tenants
from aiida_finales.operations.diagnosis.requests import _judge_request
from aiida_finales.operations.request.records import describe_wait
from aiida_finales.workflows.serve import ServeRequestWorkChain

called = []


@calcfunction
def obey(request, tenant):
    """Do what the tenant's contact says for this attempt: measure, fail with an exit status, or raise."""
    orders = tenant.contact.split()
    order = orders[min(called.count(tenant.name), len(orders) - 1)]
    called.append(tenant.name)
    if order.isdigit():
        return ExitCode(int(order), f"ordered to fail with {order}")
    if order == "raise":
        message = "ordered to break"
        raise RuntimeError(message)
    if order == "retract":
        retract_request(request.pk, "tester", "too late")
    source = orm.load_node(request.capabilities["two_electrode"])
    data = {"conductivity": {"values": [0.5], "meta": {"success": True, "rating": 3}}}
    return {"result": ResultData(source, data, request.parameters["two_electrode"], request_uuid=request.uuid)}


REMEDIES = {401: "give-up", 403: "retry", 350: "same-key", 405: "operator", 406: "later"}
keys_used = []


def prepare(request, tenant, _settings, key):
    keys_used.append(key)
    return obey, {"request": request, "tenant": tenant}


@pytest.fixture(autouse=True)
def _obedient(desk, monkeypatch):
    called.clear()
    keys_used.clear()
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
    capabilities = dict(installed.load_capabilities())
    known = capabilities["conductivity", "two_electrode"]
    obedient = installed.Capability(
        known.quantity,
        known.method,
        "does what it is told",
        known.parameters_schema,
        known.result_schema,
        prepare=prepare,
        remedies=REMEDIES,
    )
    monkeypatch.setattr(
        installed, "load_capabilities", lambda: {**capabilities, ("conductivity", "two_electrode"): obedient}
    )


@pytest.fixture
def add_obedient():
    """Return a function that registers an internal tenant that does what it is told, one order per attempt."""
    from aiida_finales.broker.registration import add_tenant

    def add(name, orders, slots=1, **settings):
        offer = {"quantity": "conductivity", "method": "two_electrode", "settings": settings}
        return add_tenant(name, [offer], kind="internal", max_concurrent=slots, contact=orders)

    return add


def serve(request, **inputs):
    return run_get_node(ServeRequestWorkChain, request=request, **inputs)


def once_waiting(request, event, left=2400):
    """Let something happen as soon as the process waits for an answer, within two minutes."""
    loop = get_manager().get_runner().loop
    if find_waiting(request.pk):
        event()
    elif left:
        loop.call_later(0.05, once_waiting, request, event, left - 1)


def call_once_waiting(request, event):
    get_manager().get_runner().loop.call_soon(once_waiting, request, event)


def descendants(node):
    return [
        link.node for link in node.base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    ]


def words(request):
    return [entry.why for entry in read_history(request.pk)]


def test_a_free_internal_tenant_serves_it_by_one_process_beside_the_method(add_obedient, make_request):
    add_obedient("inside", "measure")
    request = make_request()
    before = orm.QueryBuilder().append(orm.ProcessNode).count()
    outputs, node = serve(request)
    assert node.exit_status == 0, node.exit_message
    assert outputs["result"].value == 0.5
    assert orm.QueryBuilder().append(orm.ProcessNode).count() - before == 2  # itself and the method
    state = read_state(request.pk)
    assert (state["status"], state["result"], state["attempt"]) == ("resolved", outputs["result"].uuid, 1)
    assert [entry.after for entry in read_history(request.pk)] == ["pending", "reserved", "resolved"]
    assert keys_used == [f"{request.uuid}-two_electrode-1"]
    assert [child.process_label for child in descendants(node)] == ["obey"]


def test_waiting_for_a_slot_costs_one_process_more(add_obedient, make_request):
    tenant = add_obedient("inside", "measure")
    blocker = post_request(make_request(), "another")
    candidate = read_state(blocker.pk)["candidates"][0]
    reserve_request(blocker.pk, "process:another", installed_candidate(candidate), lease=None)
    request = make_request()
    before = orm.QueryBuilder().append(orm.ProcessNode).count()
    post_request(request, "tester")
    call_once_waiting(request, lambda: retract_request(blocker.pk, "another", "done"))
    outputs, node = serve(request)
    assert node.exit_status == 0, node.exit_message
    assert "result" in outputs
    assert orm.QueryBuilder().append(orm.ProcessNode).count() - before == 3
    assert read_state(request.pk)["tenant"] == tenant.tenant_uuid


def installed_candidate(document):
    from aiida_finales.broker.matching import Candidate

    return Candidate.from_dict(document)


def test_an_external_answer_is_published(add_offer, make_request, make_answer):
    add_offer("outside")
    request = post_request(make_request(), "tester")
    call_once_waiting(request, lambda: answer_request(request.pk, "alice", make_answer(value=0.66)))
    outputs, node = serve(request)
    assert node.exit_status == 0, node.exit_message
    assert outputs["result"].value == 0.66
    assert outputs["result"].creator.process_label == "AnswerCalculation"
    assert read_state(request.pk)["status"] == "resolved"


class TestExitCodes:
    def test_401_nobody_can_ever_serve_it(self, add_offer, make_request):
        add_offer("robot", high=280.0)
        outputs, node = serve(make_request().store())
        assert outputs == {}
        assert node.exit_status == 401
        assert "no active tenant can serve the request: " in node.exit_message
        assert "temperature is 298.15" in node.exit_message

    def test_410_retracted_while_it_waits(self, add_offer, make_request):
        add_offer("outside")
        request = post_request(make_request(), "tester")
        call_once_waiting(request, lambda: retract_request(request.pk, "tester", "wrong salt"))
        _, node = serve(request)
        assert node.exit_status == 410
        assert "wrong salt" in node.exit_message

    def test_410_retracted_while_the_method_runs_and_the_result_is_kept(self, add_obedient, make_request):
        add_obedient("inside", "retract")
        request = make_request()
        outputs, node = serve(request)
        assert node.exit_status == 410
        (child,) = descendants(node)
        assert f"its result {child.outputs.result.uuid} is kept" in node.exit_message
        assert outputs == {}
        assert read_state(request.pk)["status"] == "retracted"

    def test_411_an_answer_that_cannot_be_stored(self, add_offer, make_request, make_answer):
        from aiida_finales.broker.state import change_state

        add_offer("outside")
        request = post_request(make_request(), "tester")

        def damage():
            broken = {**make_answer(), "data": "lost"}
            change_state(
                request.pk,
                lambda state: ({**state, "status": "reserved", "holder": "x", "answer": broken}, "x", "damaged"),
            )

        call_once_waiting(request, damage)
        _, node = serve(request)
        assert node.exit_status == 411
        assert "data of a result is 'lost'" in node.exit_message

    def test_412_given_up_at_once(self, add_obedient, make_request):
        add_obedient("inside", "401")
        request = make_request()
        _, node = serve(request)
        assert node.exit_status == 412
        assert node.exit_message == "given up after 1 attempt, the last one: ordered to fail with 401"
        assert read_state(request.pk)["status"] == "retracted"
        assert called == ["inside"]

    def test_412_given_up_after_the_attempts_allowed(self, add_obedient, make_request):
        add_obedient("inside", "403")
        _, node = serve(make_request(), max_attempts=2)
        assert node.exit_status == 412
        assert "given up after 2 attempts" in node.exit_message
        assert called == ["inside", "inside"]


class TestRemedies:
    @pytest.mark.parametrize(("days", "exit_status"), [(0.6, 0), (3, 0), (8, 412)], ids=["night", "week-end", "gone"])
    def test_a_device_may_be_away_for_days_and_not_for_ever(self, add_obedient, make_request, days, exit_status):
        tenant = add_obedient("inside", "406 measure", pause_s=60)
        request = post_request(make_request(), "tester")
        away = {tenant.tenant_uuid: {"times": 9, "since": time.time() - days * 86400, "until": 0.0}}
        change_state(request.pk, lambda state: ({**state, "away": away}, "tester", "away since then"))
        told = []

        def look_and_come_back():
            told.append(describe_wait(read_state(request.pk), name_tenants()))
            change_state(request.pk, lambda state: ({**state, "away": away}, "tester", "its pause is over"))

        call_once_waiting(request, look_and_come_back)
        _, node = serve(request)
        assert node.exit_status == exit_status
        if exit_status == 0:
            assert told[0].startswith("waits for inside (away since ")
            assert "ordered to fail with 406; asked again at " in told[0]

    def test_413_nobody_is_left_for_what_may_not_wait(self, add_offer, make_request):
        add_offer("outside")
        request = post_request(make_request(), "tester")
        call_once_waiting(request, lambda: switch_tenant("outside", is_active=False))
        _, node = serve(request, ends_orphaned=True)
        assert node.exit_status == 413
        state = read_state(request.pk)
        assert (state["status"], state["reason"]) == ("retracted", "no active tenant can serve it any more")

    def test_others_wait_until_somebody_comes_back(self, add_offer, make_request, make_answer):
        tenant = add_offer("outside")
        request = post_request(make_request(), "tester")
        said = []

        def leave_and_return():
            switch_tenant("outside", is_active=False)
            said.append(describe_wait(read_state(request.pk), {}))
            said.extend(
                check.words
                for check in _judge_request(request.pk, read_state(request.pk), "conductivity", is_served=True)
            )
            switch_tenant(tenant.tenant_uuid, is_active=True)
            answer_request(request.pk, "alice", make_answer())

        call_once_waiting(request, leave_and_return)
        _, node = serve(request)
        assert node.exit_status == 0
        assert said[0] == "no active tenant can serve it any more"
        assert said[1].startswith(f"request <{request.pk}> is pending, but no active tenant can serve it any more")

    def test_what_may_wait_is_posted_though_nobody_is_there(self, add_offer, make_request):
        request = make_request()
        call_once_waiting(request, lambda: retract_request(request.pk, "tester", "enough"))
        _, node = serve(request, may_wait=True)
        assert node.exit_status == 410
        assert words(request)[0] == "posted; 0 tenants can serve it"

    def test_retry_uses_a_new_key(self, add_obedient, make_request):
        add_obedient("inside", "403 measure")
        request = make_request()
        _, node = serve(request)
        assert node.exit_status == 0, node.exit_message
        assert keys_used == [f"{request.uuid}-two_electrode-{attempt}" for attempt in (1, 2)]
        assert "attempt 1 failed: ordered to fail with 403" in words(request)

    def test_retry_goes_to_another_tenant_where_there_is_one(self, add_obedient, make_request):
        add_obedient("broken", "403")
        add_obedient("whole", "measure")
        _, node = serve(make_request())
        assert node.exit_status == 0, node.exit_message
        assert called == ["broken", "whole"]

    def test_what_is_not_known_is_asked_again_with_the_same_key(self, add_obedient, make_request):
        add_obedient("inside", "350 measure")
        request = make_request()
        _, node = serve(request)
        assert node.exit_status == 0, node.exit_message
        assert keys_used == [f"{request.uuid}-two_electrode-1"] * 2
        assert read_state(request.pk)["attempt"] == 1

    def test_an_operator_gives_it_back(self, add_obedient, make_request):
        add_obedient("inside", "405 measure")
        request = post_request(make_request(), "tester")

        def look_and_release():
            assert read_state(request.pk)["needs_operator"] == "ordered to fail with 405"
            release_request(request.pk, "operator", "nothing was dosed", is_operator=True)

        call_once_waiting(request, look_and_release)
        _, node = serve(request)
        assert node.exit_status == 0, node.exit_message
        assert keys_used == [f"{request.uuid}-two_electrode-{attempt}" for attempt in (1, 2)]
        assert "needs an operator: ordered to fail with 405" in words(request)

    def test_an_operator_answers(self, add_obedient, make_request, make_answer):
        add_obedient("inside", "405")
        request = post_request(make_request(), "tester")
        answer = make_answer(value=0.4)
        call_once_waiting(request, lambda: answer_request(request.pk, "operator", answer, is_operator=True))
        outputs, node = serve(request)
        assert node.exit_status == 0, node.exit_message
        assert outputs["result"].value == 0.4
        assert called == ["inside"]


def test_a_process_that_breaks_gives_up_its_slot(add_obedient, make_request):
    add_obedient("inside", "raise")
    request = make_request()
    with pytest.raises(RuntimeError, match="ordered to break"):
        serve(request)
    state = read_state(request.pk)
    assert (state["status"], state["holder"]) == ("retracted", None)
    assert "ordered to break" in state["reason"]


class TestOnce:
    """A step that is run again after a crash does nothing twice."""

    @pytest.fixture
    def start(self, make_request):
        def _start(request=None):
            process = instantiate_process(
                get_manager().get_runner(), ServeRequestWorkChain, request=request or make_request()
            )
            with process._process_scope():
                process.offer()
            return process

        return _start

    @staticmethod
    def run_again(process, *steps):
        """Run steps, forget everything since the checkpoint, and run them again in a new process object."""
        checkpoint = serialize(Bundle(process))  # as it is written to the database after each step
        for current in (process, None):
            again = current or deserialize_unsafe(checkpoint).unbundle()
            with again._process_scope():
                for step in steps:
                    getattr(again, step)()
        return again

    def test_waiting_is_launched_once(self, add_offer, start):
        add_offer("outside")
        process = start()
        self.run_again(process, "await_answer")
        assert [child.process_label for child in descendants(process.node)] == ["AnswerCalculation"]

    def test_a_method_is_run_once_with_one_reservation(self, add_obedient, start):
        add_obedient("inside", "measure")
        process = start()
        self.run_again(process, "launch_method")
        assert len(descendants(process.node)) == 1
        assert called == ["inside"]
        assert read_state(process.inputs.request.pk)["attempt"] == 1

    def test_a_function_whose_worker_was_killed_is_run_again(self, add_obedient, start):
        add_obedient("inside", "measure")
        process = start()
        orphan = orm.CalcFunctionNode()
        orphan.base.links.add_incoming(process.node, LinkType.CALL_CALC, "method_1")
        orphan.set_process_state("running")
        orphan.store()
        with process._process_scope():
            process.launch_method()
            assert process.take_result() is None
        assert process.ctx.result is not None
        assert called == ["inside"]

    def test_publishing_twice_gives_the_first_result(self, add_obedient, start, make_result):
        add_obedient("inside", "measure")
        process = start()
        with process._process_scope():
            process.launch_method()
            process.take_result()
        checkpoint = serialize(Bundle(process))
        for current in (process, deserialize_unsafe(checkpoint).unbundle()):
            with current._process_scope():
                assert current.publish() is None
        assert [entry.after for entry in read_history(process.inputs.request.pk)].count("resolved") == 1

    def test_offering_twice_posts_once(self, add_offer, start):
        add_offer("outside")
        process = start()
        with process._process_scope():
            process.offer()
        assert [entry.after for entry in read_history(process.inputs.request.pk)] == ["pending"]

    def test_two_processes_of_one_request_give_one_result(self, add_obedient, make_request):
        add_obedient("inside", "measure")
        request = make_request()
        first, _ = serve(request)
        second, node = serve(request)
        assert node.exit_status == 0
        assert second["result"].uuid == first["result"].uuid
        assert called == ["inside"]


def test_the_next_one_is_served_when_a_slot_frees(add_obedient, make_request):
    """Without a broker there is nobody to send a message to, and the watcher does it alone."""
    add_obedient("inside", "measure")
    older, younger = post_request(make_request(), "tester"), post_request(make_request(), "tester")
    runner = get_manager().get_runner()
    call_once_waiting(younger, lambda: runner.submit(ServeRequestWorkChain, request=older))
    _, node = serve(younger)
    assert node.exit_status == 0, node.exit_message
    assert {read_state(item.pk)["status"] for item in (older, younger)} == {"resolved"}


def test_real_tenants_are_nodes_of_their_version(add_obedient, make_request):
    add_obedient("inside", "measure")
    _, node = serve(make_request())
    (child,) = descendants(node)
    assert isinstance(child.inputs.tenant, TenantData)
    assert isinstance(child.inputs.request, RequestData)
