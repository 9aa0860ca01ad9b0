"""What PostgreSQL and RabbitMQ carry: requests per second by number of workers, latency, and who takes the processor.

A model of two numbers is fitted to one worker and compared with more of them: a request takes ``s`` seconds of one
worker, and ``c`` seconds of processors, of worker, database and broker together. ``n`` workers on ``k`` cores then
serve the lesser of ``n / s`` and ``k / c`` requests a second (the bounds of operational analysis: P. J. Denning and J.
P. Buzen, ACM Comput. Surv. 10 (1978) 225, doi:10.1145/356733.356735). It answers how many workers and cores a
laboratory needs. Needs the services of the tests, which ``tests/services.sh`` installs and starts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from engine import GIVE_UP, _submit_served, _wait
from rows import print_row

SERVICES = Path(__file__).parents[1] / "tests" / "services.sh"
PROGRAMS = Path(sys.executable).parent
PROFILE = "production"
SLOTS = "daemon.worker_process_slots"
#: numbers of workers, and requests for each
WORKERS, WORKERS_QUICK = (1, 2, 4, 8), (1, 2)
N_REQUESTS, N_REQUESTS_QUICK = 200, 12
#: share of the requests after which counting begins: until then the workers import what they need
WARM = 0.4
#: what is to be carried: tenants that ask once a second, requests that wait
N_TENANTS, N_IN_FLIGHT = 1000, 10_000
#: times that a tenant's question is asked to know what it takes
N_QUESTIONS = 50
UNITS = {
    "requests_per_second": "1/s",
    "worker_cpu": "ms",
    "database_cpu": "ms",
    "broker_cpu": "ms",
    "half_load_latency_median_seconds": "s",
    "load_average": "1",
}
START_TIMEOUT = 300.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one and two workers, few requests")
    parser.add_argument("--requests", type=int, help="for each number of workers")
    is_quick = parser.parse_args().quick
    number = parser.parse_args().requests or (N_REQUESTS_QUICK if is_quick else N_REQUESTS)
    with tempfile.TemporaryDirectory() as folder, _installation(Path(folder)) as services:
        from aiida import load_profile

        load_profile(PROFILE)
        found = {n: _measure(n, number, services) for n in (WORKERS_QUICK if is_quick else WORKERS)}
        question = _ask(services)
    for n, row in found.items():
        for figure, value in row.items():
            print_row("production", f"{n}-workers", figure, round(value, 4), UNITS[figure])
    _tell(found, question)


def _tell(found: dict[int, dict[str, float]], question: float) -> None:
    """Fit the model, compare it with what it was not fitted to, and print what it answers."""
    few = min(found)
    alone, cpu = few / found[few]["requests_per_second"], _processor_time(found[few])
    cores = len(os.sched_getaffinity(0))
    for n in sorted(set(found) - {few}):
        told = min(n / alone, cores / cpu)
        error = 100 * (told / found[n]["requests_per_second"] - 1)
        print_row("production", f"{n}-workers", "model_error_percent", round(error, 1), "%")
    print_row("production", "model", "seconds_alone", round(alone, 3), "s")
    print_row("production", "model", "cpu_seconds_per_request", round(cpu, 4), "s")
    print_row("production", "model", "cores_per_10_requests_per_second", round(10 * cpu, 2), "1")
    print_row("production", "1000-tenants", "cpu_ms_per_question", round(question * 1e3, 3), "ms")
    print_row("production", "1000-tenants", "cores", round(N_TENANTS * question, 2), "1")
    slots = _slots()
    print_row("production", "10000-in-flight", "slots_per_worker", slots, "1")
    print_row("production", "10000-in-flight", "workers", math.ceil(N_IN_FLIGHT / slots), "1")


def _processor_time(row: dict[str, float]) -> float:
    """Return the processor seconds of a request, of all that serve it."""
    return (row["worker_cpu"] + row["database_cpu"] + row["broker_cpu"]) / 1e3


def _measure(n_workers: int, number: int, services: dict[str, str]) -> dict[str, float]:
    """Serve a backlog of requests, then some at half of the rate that was reached.

    They are submitted before, because a submission takes processor time as well. Each worker may have its share at
    once and no more: the broker would give all that waits to the first one that comes.
    """
    nodes, slots = [_submit_served(index, number) for index in range(number)], _slots()
    _verdi("config", "set", SLOTS, str(math.ceil(number / n_workers)))
    _verdi("daemon", "start", str(n_workers))
    try:
        _wait_for(nodes, round(WARM * number))
        before, began = _processor_seconds(services), time.time()
        _wait(nodes)
        spent, after = _processor_seconds(services), sorted(_ended(nodes))
        counted = sum(moment > began for moment in after)
        row = {"requests_per_second": counted / (after[-1] - began)}
        row |= {f"{name}_cpu": (spent[name] - before[name]) / counted * 1e3 for name in spent}
        row["half_load_latency_median_seconds"] = _serve_at(row["requests_per_second"] / 2, max(4, number // 4))
        row["load_average"] = os.getloadavg()[0]
    finally:
        _verdi("daemon", "stop", "--timeout", "30")
        _verdi("config", "set", SLOTS, str(slots))
    return row


def _serve_at(rate: float, number: int) -> float:
    """Return the median seconds from submission to result at a rate of submission."""
    submitted = []
    for index in range(number):
        submitted.append((time.time(), _submit_served(index, number)))
        time.sleep(max(0.0, submitted[-1][0] + 1 / rate - time.time()))
    _wait([node for _, node in submitted])
    return statistics.median(node.outputs.result.ctime.timestamp() - began for began, node in submitted)


def _wait_for(nodes: list[Any], number: int) -> None:
    end = time.monotonic() + GIVE_UP
    while sum(node.is_terminated for node in nodes) < number:
        if time.monotonic() > end:
            message = f"fewer than {number} of {len(nodes)} requests were served"
            raise RuntimeError(message)
        time.sleep(1.0)


def _ended(nodes: list[Any]) -> list[float]:
    return [node.outputs.result.ctime.timestamp() for node in nodes]


def _ask(services: dict[str, str]) -> float:
    """Return the processor seconds, here and in the database, of one question for what is pending; without HTTP."""
    from aiida_finales.broker.listing import Selection, list_request_rows

    selection = Selection(statuses=("pending",), quantity="conductivity", method="two_electrode", limit=100)
    list_request_rows(selection)
    database, here = _processor_seconds(services)["database"], time.process_time()
    for _ in range(N_QUESTIONS):
        list_request_rows(selection)
    spent = time.process_time() - here + _processor_seconds(services)["database"] - database
    return spent / N_QUESTIONS


def _slots() -> int:
    from aiida.manage import get_manager

    return int(get_manager().get_option(SLOTS))


def _workers() -> list[psutil.Process]:
    return [item for item in _descendants(_supervisor()) if "worker" in _command(item)]


def _processor_seconds(services: dict[str, str]) -> dict[str, float]:
    """Return what workers, database and broker have used; of a database also what ended sessions used."""
    database = _listener(int(services["FINALES_TEST_PG_PORT"]))
    broker = _listener(int(services["FINALES_TEST_AMQP_PORT"]))
    return {
        "worker": sum(sum(item.cpu_times()[:2]) for item in _workers()),
        "database": sum(database.cpu_times()[:4]) + sum(sum(i.cpu_times()[:2]) for i in database.children()),
        "broker": sum(broker.cpu_times()[:2]),
    }


def _supervisor() -> psutil.Process | None:
    path = Path(os.environ["AIIDA_PATH"]) / ".aiida" / "daemon" / f"circus-{PROFILE}.pid"
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return psutil.Process(int(path.read_text()))
    return None


def _descendants(process: psutil.Process | None) -> list[psutil.Process]:
    return process.children(recursive=True) if process else []


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def _listener(port: int) -> psutil.Process:
    """Return the process that listens on a port of this computer."""
    for item in psutil.net_connections("tcp"):
        if item.status == psutil.CONN_LISTEN and item.laddr.port == port and item.pid:
            return psutil.Process(item.pid)
    message = f"nothing listens on port {port}"
    raise RuntimeError(message)


@contextmanager
def _installation(folder: Path) -> Iterator[dict[str, str]]:
    """Make an AiiDA of its own on a new database; yield the settings of the services."""
    subprocess.run([SERVICES, "start", "postgres", "rabbitmq"], stdout=2, check=True, timeout=START_TIMEOUT)
    shell = f'eval "$({SERVICES} env)"; env -0'
    told = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout
    services = dict(line.split("=", 1) for line in told.split("\0") if line.startswith("FINALES_"))
    os.environ |= {
        "AIIDA_PATH": str(folder),
        "AIIDA_BROKER_HOST": services["FINALES_TEST_AMQP_HOST"],
        "AIIDA_BROKER_PORT": services["FINALES_TEST_AMQP_PORT"],
        "PATH": os.pathsep.join([str(PROGRAMS), os.environ["PATH"]]),
        "PYTHONWARNINGS": "ignore",
    }
    name = f"finales_{secrets.token_hex(6)}"
    _statement(
        services, f"create database {name} template template0 encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'"
    )
    try:
        _set_up(folder, services, name)
        yield services
    finally:
        _verdi("daemon", "stop", "--timeout", "30", is_checked=False)
        _statement(services, f"drop database {name} with (force)")


def _set_up(folder: Path, services: dict[str, str], database: str) -> None:
    _verdi(
        *("profile", "setup", "core.psql_dos", "--non-interactive", "--profile-name", PROFILE),
        *("--email", "a@example.org", "--first-name", "A", "--last-name", "B", "--institution", "C"),
        *("--database-hostname", services["FINALES_TEST_PG_HOST"], "--database-port", services["FINALES_TEST_PG_PORT"]),
        *("--database-username", services["FINALES_TEST_PG_USER"]),
        *("--database-password", services["FINALES_TEST_PG_PASSWORD"], "--database-name", database),
        *("--repository-uri", (folder / "repository").as_uri(), "--broker", "core.rabbitmq", "--set-as-default"),
    )
    options = {"warnings.rabbitmq_version": False, "broker.task_timeout": 60, "daemon.timeout": 30}
    for option, value in options.items():
        _verdi("config", "set", option, json.dumps(value))
    _run("aiida-finales", "setup", "--folder", str(folder / "laboratory"))


def _statement(services: dict[str, str], text: str) -> None:
    import psycopg

    login = {key: services[f"FINALES_TEST_PG_{key.upper()}"] for key in ("host", "port", "user", "password")}
    with psycopg.connect(**login, dbname="postgres", autocommit=True) as connection:
        connection.execute(text)


def _verdi(*arguments: str, is_checked: bool = True) -> None:
    _run("verdi", *arguments, is_checked=is_checked)


def _run(*command: str, is_checked: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT, check=False)
    if is_checked and done.returncode:
        message = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)


if __name__ == "__main__":
    main()
