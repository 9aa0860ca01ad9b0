"""What the doctor says about a real daemon, and what its cure does."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import psutil
import pytest

from aiida_finales.operations.engine.leftovers import end_leftovers, find_leftovers
from aiida_finales.testing import PROFILE
from tests.daemon.conftest import PATIENCE

pytestmark = pytest.mark.daemon


def diagnose(lab) -> dict:
    """Return the diagnosis and the checks that are not well, by name."""
    document = json.loads(lab.run("aiida-finales", "doctor", "--format", "json", is_checked=False))
    return {check["name"]: check for check in document["checks"] if not check["is_well"]}


@pytest.mark.slow
def test_doctor_cures_a_daemon_whose_broker_was_killed(lab):
    assert diagnose(lab) == {}
    program = """
    from aiida_finales.operations.engine.daemon import read_daemon_state
    print(read_daemon_state().n_known or 0)
    """
    assert lab.wait_until(lambda: lab.python(program) >= 2, PATIENCE)  # those that were killed idle count as well
    deaf = lab.workers()
    for worker in deaf:
        worker.suspend()  # they would find it themselves
    try:
        lab.broker().kill()
        assert lab.wait_until(lambda: lab.broker() is not None, PATIENCE)
        time.sleep(1)
        trouble = diagnose(lab)
    finally:
        for worker in deaf:
            worker.resume()
    assert "verdi process repair --force" in trouble["daemon"]["cure"]
    lab.cure()
    assert diagnose(lab) == {}


@pytest.mark.slow
def test_doctor_starts_a_daemon_that_is_not_running(lab):
    lab.stop()
    assert "verdi daemon start" in " ".join(diagnose(lab)["daemon"]["cure"])
    lab.cure()
    assert diagnose(lab) == {}
    assert len(lab.workers()) == 2


@pytest.mark.slow
def test_doctor_ends_what_a_killed_supervisor_left(lab):
    supervisor, *others = lab.daemon_processes()
    assert {*lab.workers(), lab.broker()} < set(others)
    supervisor.kill()
    supervisor.wait(10)
    words = diagnose(lab)["daemon"]["words"]
    assert words.startswith(f"{len(others)} processes of a former daemon still run")
    lab.cure()
    assert diagnose(lab) == {}
    assert not any(process.is_running() for process in others)
    assert len(lab.workers()) == 2


@pytest.mark.slow
def test_doctor_ends_a_daemon_that_refused_to_end(lab):
    """Circus was ending a worker; AiiDA's client raises nothing, and takes away what the daemon hears with."""
    supervisor, workers = lab.daemon_processes()[0], lab.workers()
    for worker in workers:
        worker.suspend()  # whichever is to end takes its time
    program = """
    import threading, time
    from aiida.engine.daemon.client import get_daemon_client
    client = get_daemon_client()
    threading.Thread(target=client.decrease_workers, args=(1,), daemon=True).start()
    time.sleep(2)
    print(json.dumps(client.stop_daemon()["status"]))
    """  # one program: circus kills a worker that does not end after 30 s, and then would end
    try:
        assert lab.python(program) == "error"
        assert supervisor.is_running()
        words = diagnose(lab)["daemon"]["words"]
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.resume()
    assert words.startswith("the daemon goes on though it was stopped")
    lab.cure()
    assert not supervisor.is_running()
    assert diagnose(lab) == {}
    assert len(lab.workers()) == 2


@pytest.mark.slow
def test_a_second_daemon_is_found_and_ended(lab):
    """Its supervisor lives, but the file with its number is lost, so that ``verdi daemon`` started another one."""
    first = lab.daemon_processes()
    assert find_leftovers(PROFILE, lab.config, start_timeout=0.0) == []
    (lab.config / "daemon" / f"circus-{PROFILE}.pid").unlink()
    lab.start()
    assert not set(first) & set(lab.daemon_processes())
    assert not set(first) & set(find_leftovers(PROFILE, lab.config))  # it might have been started just now
    found = find_leftovers(PROFILE, lab.config, start_timeout=0.0)
    assert set(found) == set(first)
    end_leftovers(found)
    assert not any(process.is_running() for process in first)
    lab.cure()  # the broker was that of the first
    assert diagnose(lab) == {}
    assert len(lab.workers()) == 2


@pytest.mark.slow
def test_a_program_that_outlives_the_broker_can_ask_again(lab):
    program = """
    import os, signal, subprocess, time
    from aiida_finales import request
    from aiida_finales.schemas.formulation import make_formulation
    def ask():
        parameters = {"formulation": make_formulation({"LiPF6": 0.08, "EC": 0.31, "EMC": 0.61}), "temperature": 301.15}
        return request("conductivity", empirical_model=parameters, timeout=600).data["conductivity"]["values"]
    before = ask()
    os.kill(int(sys.argv[1]), signal.SIGKILL)
    time.sleep(2)
    subprocess.run(["aiida-finales", "doctor", "--cure", "--force"], check=True, stdout=subprocess.DEVNULL)
    print(json.dumps([before, ask()]))
    """
    before, after = lab.python(program, lab.broker().pid)
    assert before == after
