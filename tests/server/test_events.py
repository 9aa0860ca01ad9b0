"""Events, listened to over a real connection: none is lost, also not between two connections; nobody holds the server.

The thread of the test does the server's part of AiiDA.
"""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager

from aiida_finales.exceptions import StatusError
from aiida_finales.server.v1 import events as routes

from .conftest import PASSWORD, wait_until


@contextmanager
def listen(client, **headers):
    """Listen; gives the lines as they come, once the server has said that it listens."""
    with client.stream("GET", "/v1/events", headers=headers) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        assert next(lines) == ": listening"
        yield lines


def take(lines, number):
    """Return so many events: their numbers and what they tell."""
    found, identity = [], None
    for line in lines:
        key, _, text = line.partition(": ")
        if key == "id":
            identity = int(text)
        elif key == "data":
            found.append((identity, json.loads(text)))
        if len(found) == number:
            break
    return found


def test_events_arrive_and_none_is_lost_between_two_connections(log_in, thread, request_body):
    def work():
        alice, robin = log_in("alice"), log_in("robin")
        uuids = []

        def post():
            uuids.append(alice.post("/requests", json=request_body()).raise_for_status().json())

        with listen(robin) as lines:
            post()
            (first,) = take(lines, 1)
        for _ in range(3):
            post()
        with listen(robin, **{"Last-Event-ID": str(first[0])}) as lines:  # as a browser connects again
            post()
            later = take(lines, 4)
        return uuids, [first, *later]

    uuids, found = thread.wait_for(work)
    assert [event["uuid"] for _, event in found] == uuids
    assert {(event["what"], event["from"], event["to"], event["who"]) for _, event in found} == {
        ("RequestData", None, "pending", "user:alice")
    }
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))


def test_what_a_browser_repeats_of_the_address_counts_less_than_its_last_event(log_in, thread, request_body):
    def work():
        alice = log_in("alice")
        with listen(alice) as lines:
            for _ in range(2):
                alice.post("/requests", json=request_body()).raise_for_status()
            first, second = take(lines, 2)
        with alice.stream("GET", "/v1/events", params={"after": 0}, headers={"Last-Event-ID": str(first[0])}) as reply:
            return take(reply.iter_lines(), 1), second

    (found,), second = thread.wait_for(work)
    assert found == second


def test_listening_ends_with_its_session(log_in, thread):
    def work():
        alice = log_in("alice")
        with listen(alice) as lines:
            alice.post("/v1/logout").raise_for_status()
            return list(lines)

    assert not any(line.startswith("id") for line in thread.wait_for(work))


def test_who_listens_or_hangs_does_not_hold_the_server(server, address, log_in, thread, monkeypatch):
    """One listens, one has sent half of a call, one reads nothing of a reply that never ends."""

    def work():
        alice = log_in("alice")
        token = alice.headers["Authorization"]
        half, deaf = (socket.create_connection(address) for _ in range(2))
        half.sendall(
            f"POST /requests HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        deaf.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        deaf.recv(1)
        with listen(alice) as lines:
            wait_until(lambda: len(server.server_state.tasks) >= 3)
            server.should_exit = True
            rest = list(lines)
            wait_until(lambda: not server.server_state.tasks)
        half.close()
        deaf.close()
        return rest

    # long enough for who listens to be told, however busy the computer is; the others are cut off then
    monkeypatch.setattr(server.config, "timeout_graceful_shutdown", 3.0)
    assert not any(line.startswith("id") for line in thread.wait_for(work))


def test_few_copies_of_everything_are_made_and_kept_at_once(app, user, monkeypatch):
    """Each is a program of minutes and a file: one of a user, two of all; both are gone when it was sent."""
    made = []

    async def export(context, user, path):
        made.append((path, dict(context.copies)))
        if user.name == "arthur":
            raise StatusError("nothing could be exported: no reason was given")
        path.write_bytes(b"x" * 1000)
        return "profile"

    monkeypatch.setattr(routes, "_export", export)
    copies = app.state.context.copies
    for name in ("anna", "arthur"):
        app.state.context.users.add(name, PASSWORD, ["archiver"])
    anna, arthur = user("anna"), user("arthur")
    assert anna.get("/database_dump/x").content == b"x" * 1000
    assert arthur.get("/database_dump/x").status_code == 409
    assert [kept for _, kept in made] == [{"anna": 1}, {"anna": 0, "arthur": 1}]
    assert not copies.total()
    assert not any(path.parent.exists() for path, _ in made)
    copies["anna"] = 1
    assert anna.get("/database_dump/x").status_code == 429
    copies["another"] = 1
    assert arthur.get("/database_dump/x").status_code == 503
