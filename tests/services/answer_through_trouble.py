"""Ask, and answer, while a worker is killed and RabbitMQ is restarted; run as a script, prints what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from aiida import load_profile, orm
from aiida.engine import submit
from aiida.engine.daemon.client import get_daemon_client

from aiida_finales.broker.requests import post_request, read_candidates
from aiida_finales.broker.reservation import answer_request, reserve_request
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.calculations.answer import find_waiting, wake_request
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.serve import ServeRequestWorkChain

PATIENCE = 120.0
FORMULATION = make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})
PARAMETERS = {"formulation": FORMULATION, "temperature": 298.15}
ANSWER = {
    "method": "two_electrode",
    "parameters": PARAMETERS,
    "data": {
        "run_info": {"formulation": FORMULATION, "internal_reference": "vial 1"},
        "conductivity": {"values": [0.9], "temperature": 298.15, "meta": {"success": True, "rating": 4}},
    },
}


def wait_until(condition, patience=PATIENCE):
    """Wait; return whether it came in time (s)."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True


def is_ended(pk):
    """Return whether a process has ended, asking the database and not the loaded node."""
    project = "attributes.process_state"
    found = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": pk}, project=project).first(flat=True)
    return found in ("finished", "excepted", "killed")


def main():
    """Do it."""
    services = sys.argv[1]
    load_profile()
    request = post_request(RequestData("conductivity", {"two_electrode": PARAMETERS}, "tester"), "tester")
    process = submit(ServeRequestWorkChain, request=request)
    assert wait_until(lambda: find_waiting(request.pk)), "the process never waited"

    workers = [pid for pid in get_daemon_client().get_worker_info()["info"] if str(pid).isdigit()]
    os.kill(int(workers[0]), signal.SIGKILL)

    reserve_request(request.pk, "alice", read_candidates(read_state(request.pk))[0])
    subprocess.run([services, "restart", "rabbitmq"], capture_output=True, check=True, timeout=120)
    answer_request(request.pk, "alice", ANSWER)
    try:
        wake_request(request.pk)
    except Exception as error:
        print(f"no message: {error}", file=sys.stderr)  # the watcher is the guarantee
    # AiiDA may have run the process in two workers at once, and the one that wrote last need not have ended it
    is_cured = not wait_until(lambda: is_ended(process.pk), 30.0)
    if is_cured:
        subprocess.run(["aiida-finales", "doctor", "--cure", "--force"], stdout=sys.stderr, check=False, timeout=200)
    ended = wait_until(lambda: is_ended(process.pk))

    results = orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": request.uuid}, project="uuid")
    processes = orm.QueryBuilder().append(orm.ProcessNode, project=["id", "attributes.process_state"])
    print(
        json.dumps(
            {
                "ended": ended,
                "is_cured": is_cured,
                "exit_status": orm.load_node(process.pk).exit_status,
                "results": results.all(flat=True),
                "state": read_state(request.pk),
                "history": [entry.after for entry in read_history(request.pk)],
                "n_workers": len(workers),
                "processes": processes.all(),
            }
        )
    )


if __name__ == "__main__":
    main()
