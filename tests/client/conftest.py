"""The server, listening on a port, on a profile without broker; the test's thread does its part of AiiDA."""

from __future__ import annotations

import socket
import threading
import time
from importlib import util
from pathlib import Path

import pytest
import uvicorn

from aiida_finales.client import Client, Tenant

_SPEC = util.spec_from_file_location("server_fixtures", Path(__file__).parents[1] / "server" / "conftest.py")
server_fixtures = util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(server_fixtures)

# users, tenants and bodies are those of the tests of the server
thread = server_fixtures.thread
hash_quickly = server_fixtures._hash_quickly
settings = server_fixtures.settings
app = server_fixtures.app
PASSWORD = server_fixtures.PASSWORD


class Listening:
    """The application, served by uvicorn on loopback; may go away and come back on the same port."""

    def __init__(self, app, thread):
        self.app, self.thread = app, thread
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        config = uvicorn.Config(self.app, port=self.port, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._runner = threading.Thread(target=self._server.run, daemon=True)
        self._runner.start()
        while not self._server.started:
            time.sleep(0.01)

    def leave(self):
        """Stop listening; to be called while the test's thread does what the server asks for."""
        self._server.should_exit = True
        self._runner.join()

    def stop(self):
        self.thread.wait_for(self.leave)


@pytest.fixture
def listening(app, thread):
    server = Listening(app, thread)
    yield server
    server.stop()


@pytest.fixture
def do(thread):
    """Return a function that calls a function in another thread, while this one does what the server asks for."""
    return lambda function, *args, **kwargs: thread.wait_for(lambda: function(*args, **kwargs))


@pytest.fixture
def client_of(listening):
    """Return a function that gives the client of a user."""
    clients = []

    def make(name, password=PASSWORD, **options):
        client = Client(listening.url, name, password, **{"attempts": 2, **options})
        client.connection.pause = lambda _: None
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def robot(client_of, tmp_path):
    """The tenant ``robot``, for which robin acts."""
    return Tenant(client_of("robin"), "robot", "conductivity", "two_electrode", tmp_path / "journal", interval=0.05)


@pytest.fixture
def ask(client_of, do, make_parameters):
    """Return a function that asks, as alice, for a conductivity."""
    alice = client_of("alice")
    return lambda temperature=298.15, method="two_electrode": do(
        alice.post_request, "conductivity", {method: make_parameters(temperature=temperature)}
    )


@pytest.fixture
def measured(make_data):
    """A function that a tenant serves with, and what it was asked."""

    class Measure:
        orders = ()

        def __call__(self, order):
            self.orders = (*self.orders, order)
            return make_data(value=0.7)

    return Measure()
