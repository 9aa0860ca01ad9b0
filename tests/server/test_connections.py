"""What a connection may take of the server when nobody reads, and when one computer opens many."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from aiida_finales.server import door
from aiida_finales.server.door import Connection

from .conftest import PATIENCE, wait_until
from .test_door import read_end


@pytest.mark.parametrize("path", ["/pages/static/pages.css", "/stream"])
def test_an_answer_that_nobody_reads_ends(path, monkeypatch):
    """Whoever reads slowly gets all of it; who reads nothing holds neither memory nor a connection."""
    monkeypatch.setattr(door, "IDLE", 0.5)
    monkeypatch.setattr(door, "UNREAD", 5.0)
    whole = 20_000_000

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = path == "/stream"
        while more and not ended:
            await send({"type": "http.response.body", "body": b"x" * whole, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"x" * whole})

    with run_small(answer) as (server, address):
        ended = []
        reader, idler = (socket.create_connection(address, timeout=PATIENCE) for _ in range(2))
        for connection in (reader, idler):
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        n_read, end = 0, time.monotonic() + 3.0
        while n_read < whole and (found := reader.recv(100_000)):
            n_read += len(found)
            time.sleep(0.02 if time.monotonic() < end else 0)
        assert n_read >= whole
        wait_until(lambda: len(server.server_state.connections) < 2)
        ended.append(True)
        reader.close()
        wait_until(lambda: not server.server_state.connections)
        idler.close()


@pytest.mark.parametrize(("most", "share"), [(2, 2.0), (4, door.SHARE)], ids=["in all", "of one address"])
def test_connections_have_a_number(address, thread, monkeypatch, most, share):
    """In all, and of one address half of it."""
    monkeypatch.setattr(door, "MOST_CONNECTIONS", most)
    monkeypatch.setattr(door, "SHARE", share)

    def work():
        some = [socket.create_connection(address, timeout=PATIENCE) for _ in range(3)]
        found = read_end(some[2])
        for connection in some:
            connection.close()
        return found

    assert thread.wait_for(work) == b""


@contextmanager
def run_small(answer):
    """Serve an application that is one function, under the limits of a connection."""
    config = uvicorn.Config(answer, port=0, http=Connection, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    program = threading.Thread(target=server.run, daemon=True)
    program.start()
    wait_until(lambda: server.started)
    yield server, server.servers[0].sockets[0].getsockname()
    server.should_exit = server.force_exit = True
    program.join(PATIENCE)
