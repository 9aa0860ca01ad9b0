"""The calls of a server, against the server."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from aiida_finales.client import Client
from aiida_finales.exceptions import InputError, LoginError, ServerAwayError, ServerRefusedError, StatusError


def test_request_goes_round(client_of, do, ask, make_data, make_parameters):
    alice, robin = client_of("alice"), client_of("robin")
    uuid = ask()
    assert [item["uuid"] for item in do(robin.pending, "conductivity", "two_electrode")] == [uuid]
    assert do(robin.reserve, uuid, "I have time")
    assert not do(client_of("olga").reserve, uuid)
    assert do(robin.renew, uuid, 100.0) > 0
    do(robin.release, uuid, "no, I have not")
    body = {"data": make_data(), "quantity": "conductivity", "method": ["two_electrode"], "request_uuid": uuid}
    body |= {"parameters": {"two_electrode": make_parameters()}, "tenant_uuid": ""}
    assert do(alice.result_of, uuid) is None
    result = do(robin.post_result, body)
    assert do(robin.post_result, body) == result
    assert do(alice.wait, uuid, 5.0)["uuid"] == result
    whys = [entry["why"] for entry in do(alice.history, uuid)]
    assert whys[1:4:2] == ["I have time", "no, I have not"]


def test_what_can_be_asked(client_of, do):
    alice = client_of("alice")
    assert {item["method"] for item in do(alice.capabilities)} == {"two_electrode"}
    assert list(do(alice.templates)) == ["conductivity-two_electrode"]
    assert do(alice.limitations)[0]["quantity"] == "conductivity"
    assert "robot" in [item["name"] for item in do(alice.tenants)]


def test_waiting_ends(client_of, do, ask):
    alice, uuid = client_of("alice"), ask()
    with pytest.raises(TimeoutError, match="pending, without result"):
        do(alice.wait, uuid, 0.05, interval=0.01)
    do(alice.retract, uuid, "changed my mind")
    with pytest.raises(StatusError, match="retracted"):
        do(alice.wait, uuid, 5.0)


def test_old_token_is_replaced(client_of, do, app):
    alice = client_of("alice")
    do(alice.pending)
    alice.connection._token = "too old"
    assert do(alice.pending) == []


def test_refusals_say_why(client_of, do, ask):
    with pytest.raises(LoginError, match="Wrong username or password"):
        do(client_of("alice", "wrong").pending)
    with pytest.raises(ServerRefusedError, match="No records for this quantity: colour") as refused:
        do(client_of("alice").post_request, "colour", {"look": {}})
    assert refused.value.status == 400
    with pytest.raises(InputError, match=r"accepted is e\.g\. https"):
        Client("map.example.org", "alice", "secret")


class Moody(BaseHTTPRequestHandler):
    """Answers as it is told, one reply per call."""

    replies: ClassVar[list] = []
    seen: ClassVar[list] = []

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.reply()

    def do_GET(self):
        self.reply()

    def reply(self):
        self.seen.append(self.path.partition("?")[0])
        status, headers, body = self.replies.pop(0)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


TOKEN = (200, {}, b'{"access_token": "x"}')


@pytest.fixture
def moody():
    """A server of moods, and a client of it that notes its pauses."""
    Moody.seen = []
    server = HTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = Client(f"http://127.0.0.1:{server.server_port}", "alice", "secret", attempts=3)
    pauses = []
    client.connection.pause = pauses.append
    yield client, pauses
    client.close()
    server.shutdown()
    server.server_close()


def test_call_is_repeated_with_growing_pauses(moody):
    client, pauses = moody
    Moody.replies = [TOKEN, (503, {}, b"down"), (502, {}, b"down"), (200, {}, b"[]")]
    assert client.pending() == []
    assert pauses == [0.5, 1.0]


def test_server_says_how_long_to_wait(moody):
    client, pauses = moody
    Moody.replies = [TOKEN, (429, {"Retry-After": "7"}, b"{}"), (429, {"Retry-After": "999"}, b"{}"), (200, {}, b"[]")]
    assert client.pending() == []
    assert pauses == [7.0, 30.0]


def test_repetition_has_an_end(moody):
    client, pauses = moody
    Moody.replies = [TOKEN, *[(503, {}, b'{"detail": "the database does not answer"}')] * 3]
    with pytest.raises(ServerAwayError, match="the database does not answer; tried 3 times"):
        client.pending()
    assert len(pauses) == 2


def test_request_is_not_posted_twice(moody):
    client, _ = moody
    Moody.replies = [TOKEN, (503, {}, b"who knows")]
    with pytest.raises(ServerAwayError, match="not known whether this had an effect"):
        client.post_request("conductivity", {"two_electrode": {}})
    assert Moody.seen == ["/user_management/authenticate", "/requests"]


def test_something_else_answers(moody):
    client, _ = moody
    Moody.replies = [TOKEN, (200, {}, b"<html>")]
    with pytest.raises(ServerRefusedError, match="is it this server"):
        client.pending()


def test_nobody_answers():
    with Client("http://127.0.0.1:9", "alice", "secret", attempts=2) as client:
        client.connection.pause = lambda _: None
        with pytest.raises(ServerAwayError, match="tried 2 times"):
            client.pending()
