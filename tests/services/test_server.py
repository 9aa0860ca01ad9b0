"""The server as a program of its own, on PostgreSQL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from aiida.engine import run_get_node
from argon2 import PasswordHasher

from aiida_finales.broker.requests import find_request
from aiida_finales.broker.reservation import resolve_request
from aiida_finales.calculations.answer import AnswerCalculation
from aiida_finales.server.access import users
from aiida_finales.server.feed import last_event, read_events
from aiida_finales.server.settings import default_folder

pytestmark = pytest.mark.services

PASSWORD = "correct horse"
N_CLIENTS, N_ROUNDS = 16, 10
#: s that the server may take to start on a busy machine
PATIENCE = 60.0
PROGRAM = Path(sys.executable).with_name("aiida-finales")


@pytest.fixture
def url(on_postgresql, add_offer, tmp_path, monkeypatch):
    """Address of a server on the profile; all its users act for one tenant."""
    monkeypatch.setattr(users, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    tenant = add_offer("robot", slots=100).tenant_uuid
    store = users.UserStore(default_folder(on_postgresql.name))
    for number in range(N_CLIENTS):
        store.add(f"user{number}", PASSWORD, ["requester", "tenant"], [tenant])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PROGRAM, "--profile", on_postgresql.name, "serve", "start", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        program = subprocess.Popen(command, env=os.environ, stdout=log, stderr=log)
    found = f"http://127.0.0.1:{port}"
    try:
        wait_for(found, program)
        yield found
    finally:
        program.terminate()
        program.wait(timeout=PATIENCE)


def wait_for(url, program):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(f"{url}/v1/health", timeout=PATIENCE).raise_for_status()
        except httpx.TransportError:
            assert program.poll() is None, "the server did not start"
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def clients(url):
    def log_in(number):
        client = httpx.Client(base_url=url, timeout=PATIENCE)
        form = {"username": f"user{number}", "password": PASSWORD}
        token = client.post("/user_management/authenticate", data=form).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    found = [log_in(number) for number in range(N_CLIENTS)]
    yield found
    for client in found:
        client.close()


def test_request_is_reserved_by_one_of_sixteen_and_answered(clients, make_parameters, make_data):
    first = clients[0]
    body = {"quantity": "conductivity", "methods": ["two_electrode"], "tenant_uuid": "0" * 32}
    body["parameters"] = {"two_electrode": make_parameters()}
    uuids = [first.post("/requests/", json=body).raise_for_status().json() for _ in range(N_ROUNDS)]
    assert [item["uuid"] for item in first.get("/pending_requests/").json()] == uuids
    winners = [race(clients, uuid) for uuid in uuids]
    assert first.get("/pending_requests/").json() == []
    uuid, winner = uuids[-1], winners[-1]
    answer = {**body, "method": ["two_electrode"], "data": make_data(value=0.7), "request_uuid": uuid}
    result = clients[winner].post("/results/", json=answer).raise_for_status().json()
    assert clients[winner - 1].post("/results/", json={**answer, "data": make_data(value=0.1)}).status_code == 409
    assert first.get(f"/results_requested/{uuid}").json()["uuid"] == result
    # what the daemon does with an answer
    request = find_request(uuid)
    outputs, _ = run_get_node(AnswerCalculation, request=request, server="server-1")
    resolve_request(request.pk, outputs["result"], "process:server-1")
    assert first.get(f"/results/{result}").json()["result"]["data"] == make_data(value=0.7)
    assert [item["uuid"] for item in first.get("/results_requested/").json()] == [result]
    history = first.get(f"/v1/requests/{uuid}/history").json()
    changes = [(item["who"], item["to"]) for item in history if item["from"] != item["to"]]
    assert changes == [("user:user0", "pending"), (f"user:user{winner}", "reserved"), ("process:server-1", "resolved")]
    listed = first.get("/v1/requests/status/reserved", params={"limit": 3, "newest_first": True}).json()
    assert [item["uuid"] for item in listed] == uuids[-2:-5:-1]
    assert list(listed[0]) == ["uuid", "ctime", "status", "request"]
    assert list(listed[0]["request"]) == ["quantity", "methods", "parameters", "tenant_uuid"]


def race(clients, uuid):
    """Let all clients reserve a request at once; return which one got it."""
    start = threading.Barrier(len(clients))

    def reserve(client):
        start.wait()
        return client.post(f"/requests/{uuid}/update_status/", params={"new_status": "reserved"}).status_code

    with ThreadPoolExecutor(len(clients)) as pool:
        replies = list(pool.map(reserve, clients))
    assert sorted(replies) == [200] + [409] * (len(clients) - 1)
    return replies.index(200)


def test_no_event_is_passed_over_that_is_committed_late(on_postgresql, add_offer, make_request, services, database):
    """PostgreSQL numbers entries before it commits them, so one may come after another with a higher number."""
    import psycopg

    from aiida_finales.broker.requests import post_request

    add_offer("robot")
    early = make_request().store()
    start = last_event()
    login = {key: services[f"FINALES_TEST_PG_{key.upper()}"] for key in ("host", "port", "user", "password")}
    with psycopg.connect(**login, dbname=database) as other:
        other.execute(
            "insert into db_dblog (uuid, time, loggername, levelname, message, dbnode_id, metadata) values "
            "(gen_random_uuid(), now(), 'aiida_finales.status', 'REPORT', '', %s,"
            """ '{"who": "slow", "from": null, "to": "pending", "why": ""}')""",
            (early.pk,),
        )
        late = post_request(make_request(), "tester")
        assert read_events(start) == []
    events = read_events(start)
    assert [(event["uuid"], event["who"]) for event in events] == [(early.uuid, "slow"), (late.uuid, "tester")]
