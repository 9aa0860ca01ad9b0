"""A server on a profile without broker; its users; and what they post."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from aiida_finales.data.tenant import find_tenant
from aiida_finales.server.access import users
from aiida_finales.server.access.users import ROLES
from aiida_finales.server.app import Server, create_app
from aiida_finales.server.settings import ServerSettings

PASSWORD = "correct horse"
#: UUID under which the published optimiser posts by default
NOBODY = "00000000-0000-0000-0000-000000000000"

#: s that anything over a real connection may take on a busy machine
PATIENCE = 30.0


class MainThread(Executor):
    """Runs everything of AiiDA in the thread of the test, which has loaded the profile, while that waits."""

    def __init__(self):
        self._calls = queue.Queue()

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        self._calls.put((future, lambda: function(*args, **kwargs)))
        return future

    def wait_for(self, function):
        """Run a function in another thread, and do meanwhile what the server asks for."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(function)
            while not done.done():
                self.work(0.005)
            return done.result()

    def work(self, patience):
        """Do one thing that the server asks for, should it ask within so many seconds."""
        with contextlib.suppress(queue.Empty):
            self._do(*self._calls.get(timeout=patience))

    def _do(self, future, call):
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


class Caller(TestClient):
    """A client of the server that can log in.

    :param thread: where the server's part of AiiDA runs.
    """

    def __init__(self, app, thread):
        super().__init__(app, raise_server_exceptions=False)
        self.thread = thread

    def log_in(self, name: str, password: str = PASSWORD) -> Caller:
        """Send the token of a user from now on."""
        reply = self.post("/user_management/authenticate", data={"username": name, "password": password})
        assert reply.status_code == 200, reply.text
        self.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
        return self

    def request(self, *args, **kwargs):
        """Call the server."""
        return self.thread.wait_for(lambda: super(Caller, self).request(*args, **kwargs))


@pytest.fixture
def thread():
    return MainThread()


@pytest.fixture(autouse=True)
def _hash_quickly(monkeypatch):
    """Hash passwords with hardly any work: what takes long by design would take half of the time of these tests."""
    monkeypatch.setattr(users, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def settings(tmp_path):
    return ServerSettings(folder=tmp_path / "server", submit_interval=0.1)


@pytest.fixture
def app(desk, add_offer, settings, thread):
    """The application on the profile of the module; ``robot`` and ``other`` are its external tenants."""
    robot, other = add_offer("robot").tenant_uuid, add_offer("other", low=290.0).tenant_uuid
    app = create_app(settings, thread)
    add = app.state.context.users.add
    add("alice", PASSWORD, ["requester"])
    add("bob", PASSWORD, ["requester"])
    add("robin", PASSWORD, ["tenant"], [robot])
    add("olga", PASSWORD, ["tenant"], [other])
    add("stranger", PASSWORD, ["tenant", "requester"])
    add("oscar", PASSWORD, ["operator"])
    add("root", PASSWORD, ["admin"])
    return app


@pytest.fixture
def anyone(app, thread):
    """A client that has not logged in."""
    client = Caller(app, thread)
    thread.wait_for(client.__enter__)
    yield client
    thread.wait_for(lambda: client.__exit__(None, None, None))


@pytest.fixture
def user(app, thread, anyone):
    """Return a function that gives the client of a user; all share the one server."""
    return lambda name: Caller(app, thread).log_in(name)


@pytest.fixture
def sovereign(app, user):
    """The client of a user who may do everything, and acts for a tenant."""
    app.state.context.users.add("sol", PASSWORD, ROLES, [find_tenant("robot").tenant_uuid])
    return user("sol")


@pytest.fixture
def request_body(make_parameters):
    """Return a function that makes the body of a request for a conductivity."""

    def make(*methods, **changes):
        parameters = dict.fromkeys(methods or ("two_electrode",), make_parameters())
        body = {"quantity": "conductivity", "methods": list(parameters), "parameters": parameters}
        return {**body, "tenant_uuid": NOBODY, **changes}

    return make


@pytest.fixture
def result_body(make_data, make_parameters):
    """Return a function that makes the body of a result for a request."""

    def make(request_uuid, method="two_electrode", value=0.9, **changes):
        body = {"data": make_data(value=value), "quantity": "conductivity", "method": [method]}
        body |= {"parameters": {method: make_parameters()}, "tenant_uuid": find_tenant("robot").tenant_uuid}
        return {**body, "request_uuid": request_uuid, **changes}

    return make


@pytest.fixture
def posted(user, request_body):
    """UUID of a request that alice posted."""
    reply = user("alice").post("/requests", json=request_body())
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture
def change(user):
    """Return a function that asks for another status of a request, as a user."""

    def do(name, uuid, status, message="as the test wants", what="request"):
        query = {f"{what}_id": uuid, "new_status": status, "status_change_message": message}
        return user(name).post(f"/{what}s/{uuid}/update_status/", params=query)

    return do


@pytest.fixture
def server(app, thread):
    """A server on loopback, in a thread of its own."""
    server = Server(app, "127.0.0.1", 0)
    program = threading.Thread(target=server.run, daemon=True)
    program.start()
    thread.wait_for(lambda: wait_until(lambda: server.started))
    yield server
    server.should_exit = True
    thread.wait_for(program.join)


@pytest.fixture
def address(server):
    return server.servers[0].sockets[0].getsockname()


@pytest.fixture
def log_in(address):
    """Return a function that gives a client of a user; to be called while the thread of the test works."""

    def do(name):
        client = httpx.Client(base_url=f"http://127.0.0.1:{address[1]}", timeout=PATIENCE)
        reply = client.post("/user_management/authenticate", data={"username": name, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {reply.raise_for_status().json()['access_token']}"
        clients.append(client)
        return client

    clients = []
    yield do
    for client in clients:
        client.close()


def wait_until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
