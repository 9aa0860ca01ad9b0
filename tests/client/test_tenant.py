"""A tenant outside of the platform, against the server: it acts once, and loses no answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiida.engine import run_get_node

from aiida_finales.broker.requests import find_request
from aiida_finales.broker.reservation import resolve_request
from aiida_finales.calculations.answer import AnswerCalculation
from aiida_finales.client import Answer, Order, Tenant
from aiida_finales.client.book import Fate
from aiida_finales.exceptions import (
    DeviceFaultError,
    DeviceLimitationError,
    DeviceUnavailableError,
    InputError,
    NeedsOperatorError,
    ServerRefusedError,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "tenant.py"
NARROW = {
    "quantity": "conductivity",
    "method": "two_electrode",
    "limitations": {"temperature": [{"min": 300, "max": 310}]},
}


@pytest.fixture
def history(client_of, do):
    """Return a function that tells the history of a request: statuses and reasons."""
    alice = client_of("alice")
    return lambda uuid: [(entry["to"], entry["why"]) for entry in do(alice.history, uuid)]


@pytest.fixture
def result_of(client_of, do):
    return lambda uuid: do(client_of("alice").result_of, uuid)


@pytest.fixture
def again(robot):
    """Return a function that makes the tenant anew, as after a restart of its program."""
    return lambda: Tenant(robot.client, "robot", "conductivity", "two_electrode", robot.book.folder, interval=0.05)


class Killed(BaseException):
    """Ends a tenant as nothing that it could catch."""


def key_of(uuid):
    return f"{uuid}.two_electrode"


def test_request_is_served_end_to_end(robot, do, ask, measured, client_of, result_of):
    uuid = ask(temperature=300.0)
    assert do(robot.serve_once, measured) == 1
    (order,) = measured.orders
    assert (order.request, order.parameters["temperature"]) == (uuid, 300.0)
    promised = result_of(uuid)
    assert promised["result"]["data"]["conductivity"]["values"] == [0.7]
    assert promised["result"]["tenant_uuid"] == do(client_of("alice").tenant, "robot")["tenant_uuid"]
    request = find_request(uuid)
    outputs, _ = run_get_node(AnswerCalculation, request=request, server="server-1")
    resolve_request(request.pk, outputs["result"], "process:server-1")
    assert (outputs["result"].uuid, outputs["result"].value) == (promised["uuid"], 0.7)
    assert do(client_of("alice").request, uuid)["status"] == "resolved"
    assert do(robot.serve_once, measured) == 0


def test_answer_says_what_was_really_done(robot, do, ask, make_data, make_parameters, result_of):
    uuid = ask()
    do(robot.serve_once, lambda _: Answer(make_data(), make_parameters(temperature=299.0), simulated=True))
    assert result_of(uuid)["result"]["parameters"]["two_electrode"]["temperature"] == 299.0


def test_what_is_beyond_its_own_limitations_is_not_reserved(robot, do, ask, measured, history, tmp_path):
    narrow = Tenant(robot.client, "robot", "conductivity", "two_electrode", tmp_path / "narrow", limitations=NARROW)
    outside, inside = ask(temperature=298.15), ask(temperature=305.0)
    assert do(narrow.serve_once, measured) == 1
    assert [order.request for order in measured.orders] == [inside]
    assert [status for status, _ in history(outside)] == ["pending"]


def test_limitations_are_those_registered(robot, do, ask, measured, add_offer):
    """They count from the moment in which they are changed; the request is left to who can."""
    ask(temperature=280.0)
    add_offer("robot", low=290.0)
    add_offer("third")
    assert do(robot.serve_once, measured) == 0


def test_capability_must_be_offered(robot, do, measured, tmp_path):
    with pytest.raises(InputError, match="does not offer conductivity by literature"):
        do(Tenant(robot.client, "robot", "conductivity", "literature", tmp_path / "other").serve_once, measured)
    with pytest.raises(ServerRefusedError, match="404"):
        do(Tenant(robot.client, "nobody", "conductivity", "two_electrode", tmp_path / "third").serve_once, measured)


PROGRAM = """
import os, sys, time
from pathlib import Path
from aiida_finales.client import Client, Tenant
from aiida_finales.client.posting import Outbox

url, folder, mood, data = sys.argv[1], Path(sys.argv[2]), sys.argv[3], eval(sys.argv[4])

def act(order):
    with (folder / "acts").open("a") as stream:
        stream.write(order.request + "\\n")
    if mood == "slow":
        time.sleep(1.0)
    return data

if mood == "dies before it posts":
    Outbox.post = lambda *_: os.kill(os.getpid(), 9)
tenant = Tenant(Client(url, "robin", os.environ["FINALES_PASSWORD"]), "robot", "conductivity", "two_electrode",
                folder / "journal", interval=0.1)
tenant.serve(act) if mood == "slow" else tenant.serve_once(act)
"""


@pytest.fixture
def start(listening, tmp_path, make_data):
    """Return a function that starts a tenant as a program of its own."""
    programs = []

    def begin(mood):
        words = [sys.executable, "-c", PROGRAM, listening.url, str(tmp_path), mood, repr(make_data(value=0.7))]
        programs.append(subprocess.Popen(words, env={**os.environ, "FINALES_PASSWORD": "correct horse"}))
        return programs[-1]

    yield begin
    for program in programs:
        program.kill()
        program.wait()


def test_tenant_that_is_killed_before_it_posts_acts_once(do, ask, start, tmp_path, result_of):
    uuid = ask()
    assert do(start("dies before it posts").wait, 60) == -signal.SIGKILL
    assert result_of(uuid) is None
    assert do(start("well").wait, 60) == 0
    assert result_of(uuid)["result"]["data"]["conductivity"]["values"] == [0.7]
    assert (tmp_path / "acts").read_text().splitlines() == [uuid]


def test_sigterm_lets_the_present_request_be_finished(do, ask, start, tmp_path, result_of, client_of):
    uuid, other = ask(), ask()
    program = start("slow")

    def stop_while_it_acts():
        while not (tmp_path / "acts").exists():
            time.sleep(0.02)
        program.send_signal(signal.SIGTERM)
        return program.wait(60)

    assert do(stop_while_it_acts) == 0
    assert result_of(uuid) is not None
    assert do(client_of("alice").request, other)["status"] == "pending"


def test_tenant_that_is_killed_while_it_acts_leaves_it_to_a_person(robot, again, do, ask, measured, result_of):
    uuid = ask()

    def die(_order):
        raise Killed

    with pytest.raises(Killed):
        do(robot.serve_once, die)
    tenant = again()
    assert do(tenant.serve_once, measured) == 0
    assert measured.orders == ()
    assert tenant.book.unfinished() == [key_of(uuid)]
    assert "needs an operator: it is not known whether the device acted" in do(tenant.client.history, uuid)[-1]["why"]
    do(tenant.settle_there, uuid, "not-done", "the display shows that nothing was started")
    assert do(tenant.client.request, uuid)["status"] == "pending"
    assert do(tenant.serve_once, measured) == 1
    assert result_of(uuid) is not None


def test_what_a_person_found_out_is_handed_in(robot, again, do, ask, make_data, make_parameters, measured, result_of):  # noqa: PLR0917
    uuid = ask()

    def ask_person(_order):
        raise NeedsOperatorError("the line to the device broke")

    with pytest.raises(NeedsOperatorError):
        do(robot.serve_once, ask_person)
    # the first sign of life, by a thread of its own, may come after it
    told = [entry["why"] for entry in do(robot.client.history, uuid)]
    assert "needs an operator: the line to the device broke" in told
    tenant = again()
    with pytest.raises(InputError, match="parameters really used"):
        tenant.settle(uuid, "done", "read from the display", Answer(make_data(value=0.6)))
    tenant.settle(uuid, "done", "read from the display", Answer(make_data(value=0.6), make_parameters()))
    do(tenant.serve_once, measured)
    assert measured.orders == ()
    assert result_of(uuid)["result"]["data"]["conductivity"]["values"] == [0.6]


def test_function_that_may_be_repeated_is_asked_again(robot, again, do, ask, measured, result_of):
    uuid = ask()

    def die(_order):
        raise Killed

    with pytest.raises(Killed):
        do(robot.serve_once, die, is_repeatable=True)
    assert do(again().serve_once, measured, is_repeatable=True) == 1
    assert [order.key for order in measured.orders] == [key_of(uuid)]
    assert result_of(uuid) is not None


def test_answer_that_comes_too_late_is_kept(robot, do, ask, client_of, make_data, make_parameters, result_of):  # noqa: PLR0917
    uuid = ask()
    oscar, olga = client_of("oscar"), client_of("olga")

    def act(order):
        oscar.release(uuid, "takes too long")
        assert olga.reserve(uuid, "mine now")
        body = Answer(make_data(value=0.5)).body(order, "")
        olga.post_result(body)
        return make_data(value=0.77)

    assert do(robot.serve_once, act) == 0
    assert result_of(uuid)["result"]["data"]["conductivity"]["values"] == [0.5]
    assert robot.book.fate(key_of(uuid)) == Fate.LATE
    values = [item["result"]["data"]["conductivity"]["values"] for item in do(oscar._call, "GET", "/results_requested")]
    assert values.count([0.77]) == 1


def test_answer_waits_for_the_server(robot, again, do, ask, listening, make_data, measured, result_of):  # noqa: PLR0917
    uuid = ask()

    def act(_order):
        listening.leave()
        return make_data(value=0.7)

    assert do(robot.serve_once, act) == 0
    tenant = again()
    assert do(tenant.serve_once, measured) == 0  # the server is still away
    assert tenant.book.unposted() == [key_of(uuid)]
    listening.start()
    do(tenant.serve_once, measured)
    assert (measured.orders, tenant.book.unposted()) == ((), [])
    assert result_of(uuid)["result"]["data"]["conductivity"]["values"] == [0.7]


def test_answer_that_the_server_refuses_stays_on_disk(robot, do, ask, make_data, measured):
    uuid = ask()
    do(robot.serve_once, lambda _: Answer(make_data(), {"formulation": "none"}))
    assert robot.book.fate(key_of(uuid)) == Fate.REFUSED
    assert robot.book.journal.find(key_of(uuid))["result"]["data"] == make_data()
    assert do(robot.serve_once, measured) == 0


def test_signs_of_life_keep_the_reservation(robot, do, ask, make_data, client_of, history):
    uuid = ask()
    robot.lease = 0.3

    def act(_order):
        time.sleep(0.9)
        assert not client_of("olga").reserve(uuid)
        return make_data()

    assert do(robot.serve_once, act) == 1
    assert len([why for _, why in history(uuid) if why.startswith("lease renewed")]) >= 3


def test_two_programs_of_one_user_do_not_share_a_request(robot, do, ask, make_data, measured, tmp_path):
    """The server lets a user reserve what it holds already; the second program sees that it was not the first."""
    uuid = ask()
    second = Tenant(robot.client, "robot", "conductivity", "two_electrode", tmp_path / "second")
    seen = do(robot.client.pending)

    def act(_order):
        assert not second._reserve(Order.of(seen[0], "two_electrode"))
        return make_data()

    assert do(robot.serve_once, act) == 1
    assert do(robot.client.request, uuid)["status"] == "resolved"


def test_one_program_per_journal(robot, again, do, ask, make_data, monkeypatch):
    monkeypatch.setattr("aiida_finales.client.book.PATIENCE", 0.05)
    ask()
    refused = []

    def act(_order):
        with pytest.raises(DeviceUnavailableError) as error:
            again().serve_once(act)
        refused.append(error)
        return make_data()

    assert do(robot.serve_once, act) == 1
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("error", "n_calls"),
    [
        (ValueError("a bug"), 1),
        (DeviceLimitationError("too hot"), 1),
        (DeviceUnavailableError("busy"), 5),
        (DeviceFaultError("lamp is red"), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failure_gives_the_request_back_with_the_reason(robot, do, ask, history, error, n_calls):
    """Only what has not acted is tried again: for ever when the device is busy, three times when it fails."""
    uuid, calls = ask(), []

    def fail(order):
        calls.append(order)
        raise error

    for _ in range(5):
        assert do(robot.serve_once, fail) == 0
    assert len(calls) == n_calls
    assert history(uuid)[-1] == ("pending", f"{type(error).__name__}: {error}")
    assert (robot.pause > 0) == isinstance(error, DeviceUnavailableError)


def test_tenant_goes_on_when_the_server_comes_back(robot, do, listening, ask, measured):
    listening.stop()
    assert do(robot.serve_once, measured) == 0
    listening.start()
    ask()
    assert do(robot.serve_once, measured) == 1


def test_example_serves(listening, do, ask, client_of, tmp_path):
    """The tenant that the guide shows; it stops when it is told to."""
    uuid = ask()
    environment = {**os.environ, "FINALES_PASSWORD": "correct horse"}
    command = [sys.executable, str(EXAMPLE), listening.url, "robin", "robot"]
    program = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        assert do(client_of("alice").wait, uuid, 60.0, interval=0.1)["result"]["data"]["conductivity"]["values"] == [
            0.9
        ]
        program.send_signal(signal.SIGTERM)
        assert do(program.wait, 120) == 0
    finally:
        program.kill()
