"""How fast the HTTP server answers with thousands of stored requests and many clients, and that one client wins.

Requests are stored beforehand by one bulk insert of copies of a request that was posted over HTTP, each with its own
UUID and moment; what is measured goes over HTTP to a server in a process of its own, on SQLite in WAL mode. The daemon
does not run, so that the figures are those of the server alone: processes are submitted when it starts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import httpx
import psutil
from rows import print_row

from aiida_finales.testing import PROFILE, Sandbox

PORT = 13399
N_CLIENTS = 16
ROUNDS, ROUNDS_QUICK = 200, 10
#: requests and results posted by all clients together
N_POSTED, N_POSTED_QUICK = 320, 96
#: lists asked for, and logins
N_LISTS = 10
#: entries of a list where it is limited
LIMIT = 100
PASSWORD = "of the benchmark"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    is_quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        sandbox.create("--no-cells")
        prepare(sandbox)
        server = start(sandbox)
        try:
            asyncio.run(measure(sandbox, psutil.Process(server.pid), is_quick=is_quick))
        finally:
            server.terminate()
            server.wait(timeout=30)


def prepare(sandbox: Sandbox) -> None:
    """Register a tenant and the users."""
    program = f"""
    from aiida import load_profile; load_profile()
    from aiida_finales.broker.registration import add_tenant
    from aiida_finales.server.settings import default_folder
    from argon2 import PasswordHasher
    from aiida_finales.server.access import users
    users.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the hash itself is not measured
    offer = {{"quantity": "conductivity", "method": "literature", "limitations": {{}}}}
    tenant = add_tenant("librarian", [offer], kind="external", max_concurrent=100000).tenant_uuid
    store = users.UserStore(default_folder("{PROFILE}"))
    for number in range({N_CLIENTS}):
        store.add(f"user{{number}}", "{PASSWORD}", ["requester", "tenant"], [tenant])
    """
    sandbox.run(sys.executable, "-c", "\n".join(line[4:] for line in program.splitlines()))


def start(sandbox: Sandbox) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers."""
    command = ["aiida-finales", "serve", "--port", str(PORT)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, env=sandbox.environment, stdout=quiet, stderr=quiet)
    if not sandbox.wait_until(_is_up, 600):  # it loads much, and a busy machine has little time for it
        server.kill()
        raise RuntimeError("the server does not answer")
    return server


def _is_up() -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{PORT}/v1/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


async def measure(sandbox: Sandbox, server: psutil.Process, *, is_quick: bool) -> None:
    """Measure everything and print it.

    :param server: whose processor time is measured: it says what a busy machine hides.
    """
    clients = [await _log_in(f"user{number}") for number in range(N_CLIENTS)]
    n_posted = N_POSTED_QUICK if is_quick else N_POSTED
    uuids: list[str] = []
    await _answer(clients, await _warm_up(clients))
    for figure, calls in (
        ("post_request", _post(clients, n_posted, uuids)),
        ("change_status", _reserve_and_give_back(clients, uuids)),
        ("post_result", _answer(clients, uuids)),
    ):
        began = sum(server.cpu_times()[:2])
        rate, number = await calls
        cost = 1000 * (sum(server.cpu_times()[:2]) - began) / number
        print_row("server", "16-clients", f"{figure}_per_second", round(rate, 1), "1/s")
        print_row("server", "16-clients", f"{figure}_processor_ms", round(cost, 1), "ms")
    rate, _ = await _post(clients[:1], n_posted // 4, [])
    print_row("server", "1-client", "post_request_per_second", round(rate, 1), "1/s")
    print_row("server", "1-client", "log_in_again_ms", await _time_login(clients[0]), "ms")
    rounds = ROUNDS_QUICK if is_quick else ROUNDS
    winners = [await _race(clients) for _ in range(rounds)]
    print_row("server", "16-clients", "reserve_winners", max(winners), "1")
    print_row("server", "16-clients", "reserve_winners_min", min(winners), "1")
    print_row("server", "16-clients", "reserve_rounds", rounds, "1")
    stored = 0
    for case, number in (("1000-stored", 1000), ("10000-stored", 10_000)):
        _store_copies(sandbox, number - stored)
        stored = number
        print_row("server", case, "get_pending_ms", await _time_list(clients[0], "/pending_requests/"), "ms")
        limited = await _time_list(clients[0], f"/pending_requests/?limit={LIMIT}")
        print_row("server", case, "get_pending_limit_100_ms", limited, "ms")


async def _log_in(name: str) -> httpx.AsyncClient:
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", timeout=120)
    reply = await client.post("/user_management/authenticate", data=_form(name))
    client.headers["Authorization"] = f"Bearer {reply.raise_for_status().json()['access_token']}"
    return client


def _form(name: str) -> dict[str, str]:
    return {"username": name, "password": PASSWORD}


async def _time_login(client: httpx.AsyncClient) -> float:
    """Return the median time, ms, of logins within minutes of another one, as published clients do."""
    times = []
    for _ in range(N_LISTS):
        began = time.perf_counter()
        (await client.post("/user_management/authenticate/", data=_form("user0"))).raise_for_status()
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times), 1)


def _parameters() -> dict[str, Any]:
    from aiida_finales.schemas.formulation import make_formulation

    return {"formulation": make_formulation({"LiPF6": 0.08, "EC": 0.4, "EMC": 0.52}), "temperature": 301.15}


async def _warm_up(clients: list[httpx.AsyncClient]) -> list[str]:
    """Make some calls of each kind that is measured, because the first ones load code; return the requests."""
    uuids: list[str] = []
    await _post(clients, N_CLIENTS, uuids)
    await _reserve_and_give_back(clients, uuids)
    return uuids


async def _post(clients: list[httpx.AsyncClient], number: int, uuids: list[str]) -> tuple[float, int]:
    """Post requests by all clients at once, and append their UUIDs; return how many a second, and how many."""
    body = {"quantity": "conductivity", "methods": ["literature"], "parameters": {"literature": _parameters()}}
    body["tenant_uuid"] = "00000000-0000-0000-0000-000000000000"

    async def work(client: httpx.AsyncClient) -> None:
        for _ in range(number // len(clients)):
            uuids.append((await client.post("/requests/", json=body)).raise_for_status().json())

    began = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    return len(uuids) / (time.perf_counter() - began), len(uuids)


async def _reserve_and_give_back(clients: list[httpx.AsyncClient], uuids: list[str]) -> tuple[float, int]:
    """Reserve requests by all clients at once, each its own, and give them back; return how many changes a second."""
    left = list(uuids)

    async def work(client: httpx.AsyncClient) -> None:
        while left:
            uuid = left.pop()
            for status in ("reserved", "pending"):
                reply = await client.post(f"/requests/{uuid}/update_status/?request_id={uuid}&new_status={status}")
                reply.raise_for_status()

    began = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    return 2 * len(uuids) / (time.perf_counter() - began), 2 * len(uuids)


async def _answer(clients: list[httpx.AsyncClient], uuids: list[str]) -> tuple[float, int]:
    """Answer requests by all clients at once; return how many a second."""
    parameters, left = _parameters(), list(uuids)
    meta = {"success": True, "rating": 5}
    data = {
        "run_info": {"formulation": parameters["formulation"], "internal_reference": "benchmark"},
        "conductivity": {"values": [0.9], "temperature": 301.15, "meta": meta},
    }
    body = {"data": data, "quantity": "conductivity", "method": ["literature"], "simulated": True, "tenant_uuid": ""}

    async def work(client: httpx.AsyncClient) -> None:
        while left:
            result = {**body, "parameters": {"literature": parameters}, "request_uuid": left.pop()}
            (await client.post("/results/", json=result)).raise_for_status()

    began = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    return len(uuids) / (time.perf_counter() - began), len(uuids)


async def _race(clients: list[httpx.AsyncClient]) -> int:
    """Let all clients reserve one request at once; return how many got it."""
    await _post(clients[:1], 1, uuids := [])
    (uuid,) = uuids
    path = f"/requests/{uuid}/update_status/?request_id={uuid}&new_status=reserved"
    replies = await asyncio.gather(*(client.post(path) for client in clients))
    if {reply.status_code for reply in replies} > {200, 409}:
        raise RuntimeError(f"unexpected replies: {[reply.text for reply in replies]}")
    return sum(reply.status_code == 200 for reply in replies)


def _store_copies(sandbox: Sandbox, number: int) -> None:
    """Store pending requests by one statement."""
    program = f"""
    from aiida import load_profile; load_profile()
    import uuid
    import sqlalchemy as sa
    from aiida.common import timezone
    from aiida.manage import get_manager
    from aiida.orm.entities import EntityTypes
    from aiida_finales.data.request import RequestData
    storage = get_manager().get_profile_storage()
    statement = "SELECT attributes, extras FROM db_dbnode WHERE node_type = :kind ORDER BY id DESC LIMIT 1"
    with storage.transaction() as session:
        import json
        attributes, extras = session.execute(sa.text(statement), {{"kind": RequestData.class_node_type}}).first()
    state = json.loads(extras)["finales"]
    state = {{**state, "status": "pending", "holder": None, "tenant": None, "unserved": False}}
    row = {{"node_type": RequestData.class_node_type, "attributes": json.loads(attributes), "user_id": 1,
           "extras": {{"finales": state}}, "label": "", "description": "", "repository_metadata": {{}},
           "ctime": timezone.now(), "mtime": timezone.now()}}
    with storage.transaction():
        storage.bulk_insert(EntityTypes.NODE, [{{**row, "uuid": str(uuid.uuid4())}} for _ in range({number})],
                            allow_defaults=True)
    """
    sandbox.run(sys.executable, "-c", "\n".join(line[4:] for line in program.splitlines()), timeout=600)


async def _time_list(client: httpx.AsyncClient, path: str) -> float:
    """Return the median time of a list, ms, as a client sees it; the first one, which fills memory, is left out."""
    times = []
    for _ in range(N_LISTS + 1):
        began = time.perf_counter()
        (await client.get(path)).raise_for_status()
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times[1:]), 1)


if __name__ == "__main__":
    main()
