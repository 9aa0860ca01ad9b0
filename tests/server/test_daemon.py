"""The server as a program, beside a real daemon: nothing lost, nothing twice, whatever is down."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.testing import PROFILE, Sandbox

pytestmark = pytest.mark.daemon

PASSWORD = "correct horse"
PARAMETERS = {"formulation": make_formulation({"LiPF6": 0.08, "EC": 0.4, "EMC": 0.52}), "temperature": 301.15}
REQUEST = {
    "quantity": "conductivity",
    "methods": ["literature"],
    "parameters": {"literature": PARAMETERS},
    "tenant_uuid": "00000000-0000-0000-0000-000000000000",
}
N_CLIENTS = 16
N_ROUNDS = 20

PREPARE = f"""
from aiida_finales.broker.registration import add_tenant
from aiida_finales.server.settings import default_folder
from argon2 import PasswordHasher
from aiida_finales.server.access import users
users.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the hash itself is not what is looked at
offer = {{"quantity": "conductivity", "method": "literature", "limitations": {{}}}}
tenant = add_tenant("librarian", [offer], kind="external", max_concurrent=100).tenant_uuid
store = users.UserStore(default_folder("{PROFILE}"))
for number in range({N_CLIENTS}):
    store.add(f"user{{number}}", "{PASSWORD}", ["requester", "tenant", "archiver"], [tenant])
print("null")
"""

FACTS = """
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.operations.request.serving import find_processes
facts = []
for request in orm.QueryBuilder().append(RequestData).all(flat=True):
    results = orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": request.uuid}).all(flat=True)
    facts.append({"uuid": request.uuid, "results": [node.uuid for node in results],
                  "creators": [node.creator.process_label for node in results],
                  "exits": [node.exit_status for node in find_processes(request)]})
print(json.dumps({fact["uuid"]: fact for fact in facts}))
"""


class ServedSandbox(Sandbox):
    """A sandbox with the server as a program of its own."""

    port = 0
    server: subprocess.Popen | None = None

    def python(self, program):
        import json

        text = "from aiida import load_profile, orm\nload_profile()\nimport json\n" + textwrap.dedent(program)
        return json.loads(self.run(sys.executable, "-c", text, timeout=300).strip().splitlines()[-1])

    def serve(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        log = (self.folder / "server.log").open("ab")
        command = ["aiida-finales", "serve", "--port", str(self.port)]
        self.server = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        assert self.wait_until(self.is_up, 120), (self.folder / "server.log").read_text()

    def is_up(self):
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/v1/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill_server(self):
        self.server.kill()
        self.server.wait()

    def client(self, name):
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120)
        reply = client.post("/user_management/authenticate", data={"username": name, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {reply.raise_for_status().json()['access_token']}"
        return client

    def facts(self):
        return self.python(FACTS)

    def have_ended(self, uuids):
        """Return whether the one process of each request ended well."""
        facts = self.facts()
        return all(facts[uuid]["exits"] == [0] for uuid in uuids)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with ServedSandbox(tmp_path_factory.mktemp("served")) as sandbox:
        sandbox.create("--no-cells")
        sandbox.python(PREPARE)
        sandbox.serve()
        yield sandbox
        sandbox.server.terminate()
        sandbox.server.wait(timeout=60)


def answer_to(uuid):
    meta = {"success": True, "rating": 5}
    return {
        "data": {
            "run_info": {"formulation": PARAMETERS["formulation"], "internal_reference": "test"},
            "conductivity": {"values": [0.9], "temperature": 301.15, "meta": meta},
        },
        "quantity": "conductivity",
        "method": ["literature"],
        "parameters": {"literature": PARAMETERS},
        "tenant_uuid": "",
        "request_uuid": uuid,
    }


def test_nothing_is_lost_when_daemon_and_server_are_down(served):
    """Requests and answers are taken without a daemon; the server is killed; both come back, later the daemon again."""
    client = served.client("user0")
    before = set(served.facts())
    promised = {}
    for _ in range(3):
        uuid = client.post("/requests/", json=REQUEST).raise_for_status().json()
        promised[uuid] = client.post("/results/", json=answer_to(uuid)).raise_for_status().json()
    assert client.get("/v1/health").json()["daemon"] == "not running"
    served.kill_server()
    served.serve()
    client = served.client("user0")
    for uuid, result in promised.items():  # a client whose reply was lost posts again
        assert client.post("/results/", json=answer_to(uuid)).json() == result
    served.start(1)
    assert served.wait_until(lambda: is_resolved(client, promised), 200), client.get("/v1/health").json()
    # the server lives longer than the daemon and its broker
    served.stop()
    uuid = client.post("/requests/", json=REQUEST).raise_for_status().json()
    promised[uuid] = client.post("/results/", json=answer_to(uuid)).raise_for_status().json()
    served.start(1)
    assert served.wait_until(lambda: is_resolved(client, promised), 200), client.get("/v1/health").json()
    assert served.wait_until(lambda: served.have_ended(promised), 100, 3)  # an answer that is kept counts as resolved
    facts = served.facts()
    for uuid, result in promised.items():
        assert facts[uuid]["results"] == [result]
        assert facts[uuid]["creators"] == ["AnswerCalculation"]
    assert not before & set(promised)


def test_everything_that_has_ended_can_be_copied(served):
    reply = served.client("user0").get("/database_dump/any-key")
    assert reply.status_code == 200, reply.text
    assert str(served.folder) not in str(reply.headers)
    archive = served.folder / "copy.aiida"
    archive.write_bytes(reply.content)
    assert "export_version: main_" in served.run("verdi", "archive", "info", str(archive))


def test_one_of_sixteen_clients_gets_a_request(served):
    clients = [served.client(f"user{number}") for number in range(N_CLIENTS)]
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        for _ in range(N_ROUNDS):
            uuid = clients[0].post("/requests/", json=REQUEST).json()
            path, start = f"/requests/{uuid}/update_status/?new_status=reserved", threading.Barrier(N_CLIENTS)

            def reserve(client, path=path, start=start):
                start.wait()
                return client.post(path).status_code

            replies = list(pool.map(reserve, clients))
            assert sorted(replies) == [200] + [409] * (N_CLIENTS - 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_while_the_daemon_is_killed_and_tenants_post(served):
    """Four clients ask and answer; meanwhile workers, the broker, and at last everything of the daemon is killed."""
    served.stop()
    served.start(2)
    promised, is_over = {}, threading.Event()

    def work(name):
        client, n_answered = served.client(name), 0
        while not is_over.is_set() or n_answered < 3:
            uuid = client.post("/requests/", json=REQUEST).raise_for_status().json()
            reply = client.post("/results/", json=answer_to(uuid)).raise_for_status()
            promised[uuid] = reply.json()
            n_answered += 1
            time.sleep(0.5)

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(work, f"user{number}") for number in range(4)]
        try:
            for choose in (served.workers, lambda: [served.broker()], served.workers, served.daemon_processes):
                time.sleep(3)
                for process in choose():
                    process.kill()
            time.sleep(3)
        finally:
            is_over.set()
        for future in done:
            future.result()
    served.stop()
    served.start(2)
    client = served.client("user0")
    if not served.wait_until(lambda: is_resolved(client, promised), 60):
        served.cure()
    assert served.wait_until(lambda: is_resolved(client, promised), 400, 3), client.get("/v1/health").json()
    assert len(promised) >= 12
    assert served.wait_until(lambda: served.have_ended(promised), 100, 5)
    facts = served.facts()
    for uuid, result in promised.items():
        assert facts[uuid]["results"] == [result]


def is_resolved(client, uuids):
    return all(client.get(f"/requests/{uuid}").json()["status"] == "resolved" for uuid in uuids)
