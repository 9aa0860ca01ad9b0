"""Requests per second and latency of the engine: embedded default, trivial method, two workers.

The method is a closed form that takes a millisecond: the figures are those of broker, serving process and daemon.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.testing import Sandbox

#: requests submitted without waiting for each other
N_REQUESTS, N_REQUESTS_QUICK = 100, 30
#: requests submitted one after the other
N_SINGLE, N_SINGLE_QUICK = 20, 8
#: seconds after which the run is given up
GIVE_UP = 600.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    is_quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        sandbox.create()
        sandbox.start(2)
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        from aiida import load_profile

        load_profile()
        single = [_serve(1)[0] for _ in range(N_SINGLE_QUICK if is_quick else N_SINGLE)]
        n_requests = N_REQUESTS_QUICK if is_quick else N_REQUESTS
        began = time.perf_counter()
        _serve(n_requests)
        wall = time.perf_counter() - began
    print_row("engine", "embedded", "requests_per_second", round(n_requests / wall, 3), "1/s")
    print_row("engine", "embedded", "latency_median_s", round(statistics.median(single), 3), "s")


def _serve(number: int) -> list[float]:
    """Submit so many requests and wait for all; return the seconds from submission to result of each."""
    from aiida.engine import submit

    from aiida_finales.data.request import RequestData
    from aiida_finales.schemas.formulation import make_formulation
    from aiida_finales.workflows.serve import ServeRequestWorkChain

    began, nodes = [], []
    for index in range(number):
        salt = 0.05 + 0.03 * index / max(number, 1)
        formulation = make_formulation({"LiPF6": salt, "EC": 0.33, "EMC": 0.67 - salt})
        parameters = {"empirical_model": {"formulation": formulation, "temperature": 301.15}}
        began.append(time.time())
        nodes.append(submit(ServeRequestWorkChain, request=RequestData("conductivity", parameters, "benchmark")))
    _wait(nodes)
    return [node.outputs.result.ctime.timestamp() - start for node, start in zip(nodes, began, strict=True)]


def _wait(nodes: list[Any]) -> None:
    end = time.monotonic() + GIVE_UP
    while not all(node.is_terminated for node in nodes):
        if time.monotonic() > end:
            message = f"{sum(not node.is_terminated for node in nodes)} of {len(nodes)} requests did not end"
            raise RuntimeError(message)
        time.sleep(0.05)
    failed = [node for node in nodes if not node.is_finished_ok]
    if failed:
        message = f"{len(failed)} requests failed, the first with {failed[0].exit_message}"
        raise RuntimeError(message)


if __name__ == "__main__":
    main()
