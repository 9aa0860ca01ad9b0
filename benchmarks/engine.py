"""What a served request costs beside AiiDA's simplest work chain: embedded default, trivial method, two workers.

The method is a closed form that takes a millisecond: the figures are those of broker, serving process and daemon.
Statements, commits and states do not depend on what else the machine does; processor time does a little, and is
therefore compared in the same run; requests per second and latency depend on it altogether.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.testing import Sandbox

#: requests submitted without waiting for each other
N_REQUESTS, N_REQUESTS_QUICK = 100, 30
#: requests submitted one after the other
N_SINGLE, N_SINGLE_QUICK = 20, 8
#: of each kind that are counted in this interpreter, after as many that warm it up
N_COUNTED = 3
#: seconds after which the run is given up
GIVE_UP = 600.0

Submit = Callable[[int, int], Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    is_quick = parser.parse_args().quick
    n_requests = N_REQUESTS_QUICK if is_quick else N_REQUESTS
    # the workers import the plain work chain
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        sandbox.create()
        sandbox.start(2)
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        from aiida import load_profile

        load_profile()
        single = [_serve(1) for _ in range(N_SINGLE_QUICK if is_quick else N_SINGLE)]
        _run(2, _submit_plain)
        measured = {name: _measure(sandbox, n_requests, submit) for name, submit in KINDS.items()}
        counted = {name: _count(submit) for name, submit in KINDS.items()}
    print_row("engine", "embedded", "requests_per_second", round(measured["served"]["per_second"], 3), "1/s")
    print_row("engine", "embedded", "latency_median_s", round(statistics.median(single), 3), "s")
    ratio = measured["served"]["worker_cpu_ms"] / measured["plain"]["worker_cpu_ms"]
    print_row("engine", "embedded", "cpu_ratio_to_plain", round(ratio, 3), "1")
    print_row("engine", "embedded", "submit_cpu_ms", round(measured["served"]["submit_cpu_ms"], 1), "ms")
    for name in KINDS:
        print_row("engine", "embedded", f"worker_cpu_ms_{name}", round(measured[name]["worker_cpu_ms"], 1), "ms")
        for figure, number in counted[name].items():
            print_row("engine", "embedded", f"{figure}_{name}", round(number, 1), "1")
    print_row("engine", "embedded", "submit_cpu_ms_plain", round(measured["plain"]["submit_cpu_ms"], 1), "ms")


def _submit_served(index: int, number: int) -> Any:
    from aiida.engine import submit

    from aiida_finales.workflows.serve import ServeRequestWorkChain

    return submit(ServeRequestWorkChain, request=_make_request(index, number))


def _make_request(index: int, number: int) -> Any:
    from aiida_finales.data.request import RequestData
    from aiida_finales.schemas.formulation import make_formulation

    salt = 0.05 + 0.03 * index / max(number, 1)
    formulation = make_formulation({"LiPF6": salt, "EC": 0.33, "EMC": 0.67 - salt})
    parameters = {"empirical_model": {"formulation": formulation, "temperature": 301.15}}
    return RequestData("conductivity", parameters, "benchmark")


def _submit_plain(index: int, _number: int) -> Any:
    from aiida import orm
    from aiida.engine import submit
    from plain import PlainWorkChain

    return submit(PlainWorkChain, number=orm.Dict({"x": index}))


KINDS: dict[str, Submit] = {"served": _submit_served, "plain": _submit_plain}


def _serve(number: int) -> float:
    """Serve so many requests; return the seconds from the first submission to the last result."""
    began = time.time()
    return max(node.outputs.result.ctime.timestamp() for node in _run(number, _submit_served)) - began


def _run(number: int, submit: Submit) -> list[Any]:
    nodes = [submit(index, number) for index in range(number)]
    _wait(nodes)
    return nodes


def _measure(sandbox: Sandbox, number: int, submit: Submit) -> dict[str, float]:
    """Return what so many processes take, submitted without waiting for each other: rate, and CPU of each."""
    workers, began, cpu = _worker_seconds(sandbox), time.perf_counter(), time.process_time()
    nodes = [submit(index, number) for index in range(number)]
    submitted = time.process_time() - cpu
    _wait(nodes)
    wall = time.perf_counter() - began
    return {
        "per_second": number / wall,
        "submit_cpu_ms": submitted / number * 1e3,
        "worker_cpu_ms": (_worker_seconds(sandbox) - workers) / number * 1e3,
    }


def _worker_seconds(sandbox: Sandbox) -> float:
    """Return the processor time that the workers have used."""
    return sum(sum(process.cpu_times()[:2]) for process in sandbox.workers())


def _count(submit: Submit) -> dict[str, float]:
    """Return the SQL statements, commits and process states of one process, from submission to end.

    It is run in this interpreter from its first checkpoint, as a worker does.
    """
    import plumpy
    from aiida.engine import submit as original
    from aiida.manage import get_manager
    from sqlalchemy import event

    counts: Counter[str] = Counter()
    engine = get_manager().get_profile_storage().get_session().get_bind()
    entered = plumpy.Process.on_entered

    def on_entered(process: Any, from_state: Any) -> None:
        counts["states"] += 1
        entered(process, from_state)

    def on_statement(*_args: Any) -> None:
        counts["statements"] += 1

    def on_commit(_connection: Any) -> None:
        counts["commits"] += 1

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_commit)
    plumpy.Process.on_entered = on_entered
    try:
        for index in range(2 * N_COUNTED):
            if index == N_COUNTED:
                counts.clear()
            _run_here(submit, index, original)
    finally:
        plumpy.Process.on_entered = entered
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_commit)
    return {figure: counts[figure] / N_COUNTED for figure in ("statements", "commits", "states")}


def _run_here(submit: Submit, index: int, original: Any) -> None:
    """Store a process with its first checkpoint, and run it from there in this interpreter."""
    import aiida.engine
    from aiida.engine.persistence import AiiDAPersister
    from aiida.engine.runners import Runner
    from aiida.engine.utils import instantiate_process
    from plumpy.persistence import LoadSaveContext

    loop, persister = asyncio.new_event_loop(), AiiDAPersister()
    runner = Runner(loop=loop, persister=persister)

    def store(process: Any, **inputs: Any) -> int:
        stored = instantiate_process(runner, process, **inputs)
        persister.save_checkpoint(stored)
        stored.close()
        return int(stored.pid)

    aiida.engine.submit = store
    try:
        pk = submit(index, 2 * N_COUNTED)
    finally:
        aiida.engine.submit = original
    again = persister.load_checkpoint(pk).unbundle(LoadSaveContext(loop=loop, runner=runner, persister=persister))
    loop.run_until_complete(again.step_until_terminated())
    runner.close()


def _wait(nodes: list[Any]) -> None:
    end, rest = time.monotonic() + GIVE_UP, list(nodes)
    # the last one first: who asks for all of them takes a core from the workers
    while rest:
        if rest[-1].is_terminated:
            rest.pop()
        elif time.monotonic() > end:
            message = f"{sum(not node.is_terminated for node in nodes)} of {len(nodes)} did not end"
            raise RuntimeError(message)
        else:
            time.sleep(0.05)
    failed = [node for node in nodes if not node.is_finished_ok]
    if failed:
        message = f"{len(failed)} failed, the first with {failed[0].exit_message}"
        raise RuntimeError(message)


if __name__ == "__main__":
    main()
