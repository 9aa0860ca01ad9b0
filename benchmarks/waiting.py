"""What a hundred waiting requests cost, or as many as ``--waiting`` says, and how fast a posted answer is taken."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from rows import print_row

from aiida_finales.testing import Sandbox

N_WAITING = 100
N_WORKERS = 2
#: seconds over which the processor time of the workers is taken
OBSERVED, OBSERVED_QUICK = 60.0, 10.0
#: answers posted with and without a message
N_ANSWERS, N_ANSWERS_QUICK = 12, 4
GIVE_UP = 60.0
#: a program of the size of a worker that is woken as often and looks at two files: what no worker can cost less than
WOKEN = """
import os, time
import aiida.orm
while True:
    time.sleep({interval})
    os.stat({file!r}), os.stat({file!r})
"""
#: seconds until the last checkpoints are written, and what a thousand new processes left to do is done
SETTLE = 30.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--waiting", type=int, default=N_WAITING, help="requests that wait")
    is_quick, n_waiting = parser.parse_args().quick, parser.parse_args().waiting
    observed = OBSERVED_QUICK if is_quick else OBSERVED
    n_answers = N_ANSWERS_QUICK if is_quick else N_ANSWERS
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        sandbox.create()
        sandbox.start(N_WORKERS)
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        from aiida import load_profile

        load_profile()
        candidate = _add_tenant(n_waiting)
        time.sleep(SETTLE)
        idle, woken = _observe(sandbox, observed), _observe_woken(observed)
        requests = _post(n_waiting)
        time.sleep(SETTLE)
        busy = _observe(sandbox, observed)
        silent = [_answer(request, candidate, with_message=False) for request in requests[:n_answers]]
        told = [_answer(request, candidate, with_message=True) for request in requests[n_answers : 2 * n_answers]]
    # what the daemon's own supervision costs without any request is not the cost of waiting
    print_row("waiting", f"{n_waiting}-waiting", "cpu_percent_of_core", round(busy - idle, 3), "%")
    print_row("waiting", f"{n_waiting}-waiting", "cpu_percent_of_core_idle_daemon", round(idle, 3), "%")
    print_row("waiting", f"{n_waiting}-waiting", "cpu_percent_of_core_woken_as_often", round(woken, 3), "%")
    print_row("waiting", f"{n_waiting}-waiting", "wake_seconds", round(statistics.median(silent), 3), "s")
    print_row("waiting", f"{n_waiting}-waiting", "wake_seconds_max", round(max(silent), 3), "s")
    print_row("waiting", f"{n_waiting}-waiting", "wake_with_message_seconds", round(statistics.median(told), 3), "s")
    print_row("waiting", f"{n_waiting}-waiting", "wake_with_message_seconds_max", round(max(told), 3), "s")


def _add_tenant(n_waiting: int) -> Any:
    """Register an external tenant for a method that nobody inside provides; return it as candidate."""
    from aiida_finales.broker.matching import Candidate
    from aiida_finales.broker.registration import add_tenant

    offer = {"quantity": "conductivity", "method": "literature", "limitations": {}}
    tenant = add_tenant("librarian", [offer], kind="external", max_concurrent=n_waiting)
    return Candidate(tenant.tenant_uuid, tenant.uuid, "literature", "external", n_waiting)


def _parameters() -> dict[str, Any]:
    from aiida_finales.schemas.formulation import make_formulation

    return {"formulation": make_formulation({"LiPF6": 0.08, "EC": 0.4, "EMC": 0.52}), "temperature": 301.15}


def _post(number: int) -> list[Any]:
    """Post so many requests and wait until all of them wait."""
    from aiida.engine import submit

    from aiida_finales.calculations.answer import find_waiting
    from aiida_finales.data.request import RequestData
    from aiida_finales.workflows.serve import ServeRequestWorkChain

    requests = [RequestData("conductivity", {"literature": _parameters()}, "benchmark") for _ in range(number)]
    for request in requests:
        submit(ServeRequestWorkChain, request=request.store())
    end = time.monotonic() + 5 * GIVE_UP
    while not all(find_waiting(request.pk) for request in requests):
        if time.monotonic() > end:
            message = "not all requests came to wait"
            raise RuntimeError(message)
        time.sleep(0.5)
    return requests


def _observe(sandbox: Sandbox, seconds: float) -> float:
    """Return the processor time that the daemon takes, in percent of one core."""
    before = _processor_seconds(sandbox)
    time.sleep(seconds)
    return (_processor_seconds(sandbox) - before) / seconds * 100


def _observe_woken(seconds: float) -> float:
    """Return the processor time that as many programs take which are woken as often as the workers, in percent."""
    from aiida_finales.broker.changes import find_file
    from aiida_finales.calculations.waiting import WATCH_INTERVAL

    code = WOKEN.format(interval=WATCH_INTERVAL, file=find_file())
    programs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(N_WORKERS)]
    try:
        time.sleep(SETTLE)
        before = _sum_seconds(programs)
        time.sleep(seconds)
        return (_sum_seconds(programs) - before) / seconds * 100
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _sum_seconds(programs: list[subprocess.Popen[bytes]]) -> float:
    return sum(sum(psutil.Process(program.pid).cpu_times()[:2]) for program in programs)


def _processor_seconds(sandbox: Sandbox) -> float:
    """Return the processor time that all workers, broker and supervisor have used."""
    return sum(sum(process.cpu_times()[:2]) for process in sandbox.daemon_processes())


def _answer(request: Any, candidate: Any, *, with_message: bool) -> float:
    """Post an answer; return the seconds until its waiting calculation has ended."""
    from aiida import orm

    from aiida_finales.broker.reservation import answer_request
    from aiida_finales.calculations.answer import find_waiting, wake_request

    parameters = _parameters()
    data = {
        "run_info": {"formulation": parameters["formulation"], "internal_reference": "benchmark"},
        "conductivity": {"values": [0.9], "temperature": 301.15, "meta": {"success": True, "rating": 5}},
    }
    process = orm.load_node(find_waiting(request.pk)[0])
    answer = {"method": "literature", "data": data, "parameters": parameters, "simulated": True}
    began = time.perf_counter()
    answer_request(request.pk, "librarian", answer, candidate)
    if with_message:
        wake_request(request.pk)
    while not process.is_terminated:
        if time.perf_counter() - began > GIVE_UP:
            message = f"the answer to request {request.pk} was not taken within {GIVE_UP} s"
            raise RuntimeError(message)
        time.sleep(0.02)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
