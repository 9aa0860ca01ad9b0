"""The diagnosis: each thing that can go wrong has its sentence and its cure."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiida import orm
from circus.stream.redirector import Redirector
from tornado.ioloop import IOLoop

from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.reservation import mark_needs_operator
from aiida_finales.broker.state import change_state
from aiida_finales.exceptions import DaemonError
from aiida_finales.operations.diagnosis import cure, diagnose, processes, requests
from aiida_finales.operations.diagnosis.check import SERVE_AGAIN, Check
from aiida_finales.operations.engine import daemon as daemon_module
from aiida_finales.operations.engine.daemon import (
    REPAIR,
    RESTART,
    Life,
    daemon_troubles,
    demand_daemon,
    is_stuck,
    newest_change,
)
from aiida_finales.operations.platform import places
from aiida_finales.schemas.moment import local_text
from tests.entry_points.conftest import state_of_daemon


@pytest.fixture
def healthy(lab, daemon, monkeypatch) -> None:
    """A daemon that is well."""
    from aiida_finales.operations.platform.installation import use_write_ahead_log

    use_write_ahead_log()
    daemon(state_of_daemon())
    monkeypatch.setattr(processes, "read_tasks", set)


def test_healthy(healthy, run, run_json) -> None:
    """When all is well the exit status is 0."""
    said = run("doctor")
    assert "all is well" in said.stderr
    assert "running with 2 workers" in said.stdout
    document = run_json("doctor")
    assert document["healthy"] is True
    names = {check["name"] for check in document["checks"]}
    assert names >= {
        "profile",
        "storage",
        "capabilities",
        "tenants",
        "extra optimise",
        "daemon",
        "processes",
        "requests",
    }


def test_chemicals_that_cannot_be_read_are_told(healthy, run_json, own_chemicals) -> None:
    """A broken file of the profile, and another package whose chemicals cannot be used, are no silence."""
    own_chemicals.parent.mkdir(parents=True, exist_ok=True)
    own_chemicals.write_text("{")
    (check,) = [check for check in diagnose.check_records() if not check.is_well]
    assert (check.name, check.needs_person) == ("chemicals", True)
    assert str(own_chemicals) in check.words
    assert str(own_chemicals) in check.cure[0]
    assert run_json("doctor", exit_code=1)["healthy"] is False


ILL = {
    "stopped": (state_of_daemon(supervisor=False), "no daemon is running", ["verdi daemon start 2"]),
    "old code": (state_of_daemon(code=100.9 + 1.05), "1 of 2 workers began before", ["verdi daemon restart"]),
    "broker replaced": (state_of_daemon(broker=102.0), "2 of 2 workers listen to a broker that has died", list(REPAIR)),
    "leftovers": (state_of_daemon(leftovers=3), "3 processes of a former daemon still run", list(REPAIR)),
    "stuck": (replace(state_of_daemon(broker=None), is_stuck=True), "starts nothing any more", list(REPAIR)),
    "unreachable": (replace(state_of_daemon(), is_unreachable=True), "goes on though it was stopped", list(REPAIR)),
    "broker dead": (state_of_daemon(broker=None), "the broker's process is dead", list(REPAIR)),
    "forgotten": (state_of_daemon(known=0), "the broker knows none of 2 workers: nobody gets a task", list(REPAIR)),
}


@pytest.mark.parametrize(("state", "words", "commands"), ILL.values(), ids=ILL)
def test_daemon(healthy, run_json, daemon, state, words, commands) -> None:
    """What is wrong with the daemon is said with the exact cure; exit status 1."""
    daemon(state)
    document = run_json("doctor", exit_code=1)
    ill = [check for check in document["checks"] if not check["is_well"]]
    assert [check["cure"] for check in ill] == [commands]
    assert words in ill[0]["words"]


def ill_folders(run_json) -> list[dict[str, Any]]:
    """Return what the diagnosis says of folders, where nothing else is wrong."""
    ill = [check for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert {(check["name"], check["needs_person"]) for check in ill} == {("folders", True)}
    return ill


def test_a_daemon_whose_home_is_away_is_told(healthy, run_json, daemon, tmp_path) -> None:
    """AiiDA runs jobs there: what counts is the HOME of the workers, of whoever looks only where there is none."""
    away = tmp_path / "away"
    with subprocess.Popen(["sleep", "60"], env={"HOME": str(away), "PATH": os.environ["PATH"]}) as worker:
        try:
            daemon(replace(state_of_daemon(), workers=(Life(worker.pid, 100.0),)))
            (check,) = ill_folders(run_json)
        finally:
            worker.kill()
    assert f"HOME is {away}, and that is no folder" in check["words"]
    assert check["cure"] == ["set HOME to one that can be: export HOME=/some/folder", RESTART]


def test_folders_in_which_nothing_can_be_written_are_told(healthy, run_json, lab) -> None:
    """The folder of devices and jobs has become a file."""
    aside = lab.rename(lab.with_name("aside"))
    lab.touch()
    try:
        (check,) = ill_folders(run_json)
    finally:
        lab.unlink()
        aside.rename(lab)
    assert f"nothing can be written in {lab}, because of {lab}" in check["words"]


def test_a_full_disk_is_told(healthy, run_json, monkeypatch) -> None:
    monkeypatch.setattr(places, "LEAST_FREE", 1e18)
    assert all("MB are left on the disk of" in check["words"] for check in ill_folders(run_json))


def test_rabbitmq() -> None:
    """The process of RabbitMQ is not the daemon's, so that no worker is called deaf."""
    state = state_of_daemon(kind="core.rabbitmq", broker=None)
    assert daemon_troubles(state) == []
    assert daemon_troubles(replace(state, database_started=1.0)) == []


def test_a_worker_has_time_to_say_that_it_is_there() -> None:
    assert daemon_troubles(state_of_daemon(known=1)) == []
    assert daemon_troubles(state_of_daemon(known=0, workers=(100.0, time.time()))) == []


def test_a_supervisor_that_starts_nothing_any_more(tmp_path) -> None:
    """Circus itself: one watcher listens to a pipe whose number a process of another one is given."""
    log, loop, (reading, writing) = tmp_path / "circus.log", IOLoop(make_current=False), os.pipe()
    assert not is_stuck(log)
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        process = SimpleNamespace(pipe_stdout=True, pipe_stderr=False, stdout=pipe)
        one, other = (Redirector(print, print, loop=loop) for _ in range(2))
        for watcher in (one, other):
            watcher.add_redirections(process)
        one.start()
        with pytest.raises(ValueError, match="fd") as failed:
            other.start()
    loop.close()
    log.write_text("a traceback\n" * 1000)
    assert not is_stuck(log)
    log.write_text(log.read_text() + f"ValueError: {failed.value}\n")
    assert is_stuck(log)
    os.utime(log, (time.time() - 60, time.time() - 60))  # it would say so every second
    assert not is_stuck(log)


def test_a_database_that_was_started_again() -> None:
    """Workers that began before it hold a session that is of no use any more."""
    state = replace(state_of_daemon(kind="core.rabbitmq", broker=None), database_started=1000.0)
    ((words, cure),) = daemon_troubles(state)
    assert "2 of 2 workers lost the database" in words
    assert cure == ("verdi daemon restart",)


def test_a_daemon_that_was_started_just_now_is_waited_for(monkeypatch) -> None:
    """Its broker and its workers need some seconds to come: meanwhile nothing is dead."""
    young = Life(1, time.time())
    states = [
        replace(state_of_daemon(broker=None), supervisor=young, workers=()),
        replace(state_of_daemon(broker=None), supervisor=young),
        replace(state_of_daemon(), supervisor=young),
    ]
    monkeypatch.setattr(daemon_module, "PAUSE", 0.0)
    monkeypatch.setattr(daemon_module, "read_daemon_state", lambda: states.pop(0))
    demand_daemon()
    assert not states
    old = state_of_daemon(broker=None)
    assert not old.is_beginning
    assert not replace(old, supervisor=Life(1, time.time() + 86400.0)).is_beginning
    with pytest.raises(DaemonError, match="the broker's process is dead"):
        demand_daemon(old)


def test_real_state(lab) -> None:
    """Of the test profile, which has no broker, the state can be read."""
    from aiida_finales.operations.engine.daemon import read_daemon_state

    state = read_daemon_state()
    assert state.supervisor is None
    assert state.workers == ()
    assert time.time() - 3600 * 24 * 365 < state.code_changed <= time.time()


def test_newest_change(tmp_path) -> None:
    """Only sources that a worker loads count."""
    for name, moment in (
        ("a.py", 100),
        ("cli/b.py", 300),
        ("__pycache__/c.pyc", 400),
        ("d.json", 500),
        ("e/f.py", 200),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (moment, moment))
    assert newest_change([tmp_path]) == 200


def test_lost_process(healthy, run_json, monkeypatch) -> None:
    """A process without task, and one that nobody takes, are found once they are old enough."""
    nodes = {state: orm.WorkChainNode() for state in ("waiting", "created")}
    for state, node in nodes.items():
        node.set_process_state(state)
        node.store()
    assert run_json("doctor")["healthy"] is True
    monkeypatch.setattr(processes, "STUCK_AFTER", -5.0)
    monkeypatch.setattr(processes, "read_tasks", lambda: {nodes["created"].pk})
    ill = [check["words"] for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert f"1 process (<{nodes['waiting'].pk}>) is active, but their task is lost" in ill
    assert f"1 process (<{nodes['created'].pk}>) is created, but no worker takes them" in ill
    for node in nodes.values():
        node.set_process_state("killed")
        node.seal()


ENDS = {"finished": {"exit_status": 0}, "excepted": {"exception": "ValueError"}, "killed": {}}


@pytest.mark.parametrize(("status", "attributes"), ENDS.items())
def test_ended_twice(healthy, run, run_json, status, attributes) -> None:
    """A process that one worker ended and another wrote as running after that is found, and written as it ended."""
    node = orm.WorkChainNode()
    node.set_process_state("running")
    for key, value in attributes.items():
        node.base.attributes.set(key, value)
    node.store()
    node.seal()
    ill = [check for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert [check["words"].partition(" sealed,")[0] for check in ill] == [f"1 process (<{node.pk}>) is"]
    assert f"process <{node.pk}> is written as ended" in run("doctor", "--cure", "--force").stderr
    assert orm.load_node(node.uuid).process_state.value == status


@pytest.mark.parametrize("status", ENDS)
def test_unclosed(healthy, run, run_json, status, monkeypatch) -> None:
    """A process whose worker was killed before it sealed it is found once it is old enough, and sealed."""
    node = orm.WorkChainNode()
    node.set_process_state(status)
    node.set_checkpoint("no longer needed")
    node.store()
    assert run_json("doctor")["healthy"] is True
    monkeypatch.setattr(processes, "STUCK_AFTER", -5.0)
    ill = [check["words"] for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert [words.partition(" closed,")[0] for words in ill] == [f"1 process (<{node.pk}>) is not"]
    assert f"process <{node.pk}> is closed" in run("doctor", "--cure", "--force").stderr
    assert (orm.load_node(node.uuid).is_sealed, orm.load_node(node.uuid).checkpoint) == (True, None)


def test_requests(healthy, posted, run, run_json) -> None:
    """A request without process, and one that needs an operator, are found."""
    ill = [check for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert ill[0]["words"] == f"request <{posted.pk}> is pending, but no process serves it"
    assert ill[0]["cure"] == ["aiida-finales doctor --cure"]
    run("request", "reserve", posted.pk, "--tenant", "bench")
    mark_needs_operator(posted.pk, "bench", "did it dose?")
    ill = [check for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert ill[0]["words"] == f"request <{posted.pk}> needs an operator: did it dose?"
    assert ill[0]["needs_person"] is True
    assert f"aiida-finales request release {posted.pk} --operator" in ill[0]["cure"][0]
    assert f"finales-tenant ... --settle done|not-done --request {posted.uuid}" in ill[0]["cure"][0]
    retract_request(posted.pk, "test", "over")


def test_many_of_one_kind_are_counted(healthy, run, run_json, monkeypatch) -> None:
    """Of a thousand requests with one trouble three are named, with the oldest; all on demand, and in JSON."""
    since = "2026-01-02T03:04:05.000+00:00"
    states = {pk: {"status": "pending", "since": since.replace("02T", f"{30 - pk % 20:02}T")} for pk in range(1, 1001)}
    monkeypatch.setattr(requests, "open_states", lambda: states)
    ill = [line for line in run("doctor", exit_code=1).stdout.splitlines() if line.startswith("ill  requests")]
    assert len(ill) == 4
    assert "1,000 requests are served by no process; the oldest since 2026-01-11T03:04:05Z" in ill[0]
    assert "'aiida-finales doctor --all' names all" in ill[0]
    assert [line.partition("request ")[2][:6] for line in ill[1:]] == ["<1> is", "<2> is", "<3> is"]
    assert run("doctor", "--all", exit_code=1).stdout.count("no process serves it") == 1000
    assert sum(not check["is_well"] for check in run_json("doctor", exit_code=1)["checks"]) == 1000


def test_a_silent_holder(healthy, posted, run, run_json, monkeypatch) -> None:
    """Who holds a request and was not heard from for long is shown, with release as the cure; nobody else gets it."""
    run("request", "reserve", posted.pk, "--tenant", "bench")
    change_state(posted.pk, lambda state: ({**state, "heard": "2026-01-02T03:04:05.000+00:00"}, "test", "long ago"))
    monkeypatch.setattr(requests, "find_served", set)
    (ill,) = [check for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    assert f"request <{posted.pk}>, was not heard from since 2026-01-02T03:04:05Z" in ill["words"]
    assert (ill["needs_person"], ill["cure"][0].split(" --")[0]) == (True, f"aiida-finales request release {posted.pk}")
    assert run_json("request", "show", posted.pk)["not_heard_from_since"] == "2026-01-02T03:04:05Z"
    assert local_text("2026-01-02T03:04:05Z") in run("request", "list").stdout
    assert "until it is answered or released" in run("request", "reserve", posted.pk, "--tenant", "bench").stderr
    retract_request(posted.pk, "test", "over")


def test_plan() -> None:
    """A repair makes other treatments of the daemon needless; requests come last; people are not replaced."""
    checks = [
        Check("requests", False, "x", ("aiida-finales doctor --cure",)),
        Check("daemon", False, "x", ("verdi daemon restart",)),
        Check("processes", False, "x", REPAIR),
        Check("storage", False, "x", ("aiida-finales setup",)),
        Check("requests", False, "x", ("aiida-finales request release 1",), needs_person=True),
        Check("daemon", True, "x", ("never",)),
    ]
    assert cure.plan_cure(checks) == [*REPAIR, "aiida-finales setup", "aiida-finales doctor --cure"]
    assert cure.plan_cure(checks[1:2]) == ["verdi daemon restart"]


def test_cure(healthy, run, daemon, monkeypatch) -> None:
    """The cure asks first, says each command, and looks again."""
    ran = []
    daemon(state_of_daemon(broker=102.0))

    def note(command, profile):
        ran.append(command)
        daemon(state_of_daemon())

    monkeypatch.setattr(cure, "_run", note)
    run("doctor", "--cure", answer="n\n", exit_code=1)
    assert ran == []
    assert "all is well" in run("doctor", "--cure", "--force").stderr
    assert ran == list(REPAIR)


def test_serve_again(healthy, posted, engine, monkeypatch) -> None:
    """A request without a process gets one."""
    submitted = []
    monkeypatch.setattr(cure, "submit_request", lambda request: submitted.append(request.pk))
    assert posted.pk in cure.serve_again()
    assert posted.pk in submitted
    retract_request(posted.pk, "test", "over")


def test_what_was_deleted_is_noticed(healthy, run, run_json, posted, monkeypatch) -> None:
    """A campaign whose nodes were deleted, a result that a request had, and a task of a process that is no more."""
    from aiida_finales.broker.state import change_state
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.operations.campaign import overview

    group = CampaignGroup.create_for("gone")
    monkeypatch.setattr(overview, "MAKING", -1.0)
    monkeypatch.setattr(processes, "read_tasks", lambda: {987654})
    change_state(posted.pk, lambda state: ({**state, "status": "resolved", "result": "no-uuid"}, "test", "test"))
    checks = [check for check in run_json("doctor", exit_code=1)["checks"] if not check["is_well"]]
    listed = run("campaign", "list").stdout
    CampaignGroup.collection.delete(group.pk)
    words = " | ".join(check["words"] for check in checks)
    assert "campaign 'gone' has no process: it was deleted ('verdi node delete')" in words
    assert f"1 request (<{posted.pk}>) is resolved, but the result was deleted" in words
    assert "1 process (<987654>) is deleted, but workers still look for it" in words
    assert "use 'aiida-finales result delete' instead of 'verdi node delete'" in words
    assert "gone" in listed
    assert "deleted" in listed


def test_a_process_that_ended_without_its_seal_is_closed(healthy, run, monkeypatch) -> None:
    """A worker that was killed between end and seal leaves it open, and exports leave it out."""
    node = orm.WorkChainNode(process_type="aiida.workflows:finales.serve").store()
    node.set_process_state("finished")
    node.set_exit_status(0)
    monkeypatch.setattr(processes, "STUCK_AFTER", 0.0)
    assert f"<{node.pk}>" in run("doctor", exit_code=1).stdout
    said: list[str] = []
    cure.carry_out(list(SERVE_AGAIN), said.append)
    assert f"process <{node.pk}> is closed" in said
    assert orm.load_node(node.pk).is_sealed
    assert processes.find_unclosed() == set()
