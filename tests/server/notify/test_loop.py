"""People and programs are told what has happened: at least once, whatever is down."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import socketserver
import threading
import time
from concurrent.futures import Executor, Future
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from aiida import orm
from plumpy import ProcessState

from aiida_finales.broker.requests import post_request
from aiida_finales.broker.reservation import mark_needs_operator, reserve_request, resolve_request
from aiida_finales.broker.results import delete_result
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import InputError
from aiida_finales.server.notify import events as notify_events
from aiida_finales.server.notify import loop as notify
from aiida_finales.server.notify.loop import Notifier, Teller
from aiida_finales.server.notify.settings import FILENAME, read_notifications
from aiida_finales.server.orm_thread import OrmThread

ALL = ["request-resolved", "needs-operator", "task-waiting", "campaign-ended", "result-doubtful"]


class Inline(Executor):
    """Runs everything at once."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


class Receiver(HTTPServer):
    """Takes webhooks; answers with the statuses it is told, then with 200."""

    def __init__(self):
        self.messages, self.headers, self.statuses = [], [], []
        super().__init__(("127.0.0.1", 0), Hook)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.messages.append(json.loads(body))
            self.server.headers.append((dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(notify, "INTERVAL", 0.05)
    monkeypatch.setattr(notify, "FIRST_PAUSE", 0.0)


@pytest.fixture
def configure(tmp_path):
    """Return a function that writes the settings of one way of telling and returns it."""

    def write(events=ALL, **way):
        content = {"notifications": [{"name": "way", "events": list(events), **way}]}
        (tmp_path / FILENAME).write_text(yaml.safe_dump(content))
        return read_notifications(tmp_path)[0]

    return write


@pytest.fixture
def teller(desk, configure, tmp_path):
    """Return a function that makes a way of telling, as after a start of the server, and one that lets it work."""

    def make(events=ALL, **way):
        return Teller(configure(events, **way), tmp_path / "notifications", OrmThread(executor=Inline()))

    return make


def work(teller):
    asyncio.run(teller.work())


@pytest.fixture
def resolve(make_request, make_result, candidate_of, add_offer):
    """Return a function that posts a request and resolves it; it returns request and result."""

    def do():
        add_offer("robot")
        request = make_request()
        post_request(request, "tester")
        reserve_request(request.pk, "user:robin", candidate_of(request.pk, "robot"))
        result = make_result(request_uuid=request.uuid).store()
        resolve_request(request.pk, result, "tester")
        return request, result

    return do


def test_what_has_happened_is_told_in_words(teller, receiver, resolve, add_offer, make_request, candidate_of):
    way = teller(webhook={"url": receiver.url})
    work(way)  # the first look only finds out where the present is
    request, result = resolve()
    delete_result(result.pk, "tester", "the probe was dry")
    doubted = make_request()
    post_request(doubted, "tester")
    reserve_request(doubted.pk, "user:robin", candidate_of(doubted.pk, "robot"))
    mark_needs_operator(doubted.pk, "user:robin", "the line is broken")
    add_offer("ada", kind="human", method="literature")
    task = make_request("literature")
    post_request(task, "tester")
    work(way)
    told = [(message["event"], message["uuid"]) for message in receiver.messages]
    assert told == [
        ("request-resolved", request.uuid),
        ("result-doubtful", result.uuid),
        ("needs-operator", doubted.uuid),
        ("task-waiting", task.uuid),
    ]
    assert "the probe was dry" in receiver.messages[1]["text"]
    assert "the line is broken" in receiver.messages[2]["text"]
    assert len({message["id"] for message in receiver.messages}) == 4


def test_only_chosen_events_are_told(teller, receiver, resolve):
    way = teller(["result-doubtful"], webhook={"url": receiver.url})
    work(way)
    _, result = resolve()
    work(way)
    assert receiver.messages == []
    delete_result(result.pk, "tester", "wrong")
    work(way)
    assert [message["event"] for message in receiver.messages] == ["result-doubtful"]


def make_campaign(name, state):
    process = orm.WorkChainNode(process_type=notify_events.CAMPAIGN)
    process.set_process_state(state)
    CampaignGroup.create_for(name).add_nodes([process.store()])
    return process


def test_end_of_a_campaign_is_told_once(teller, receiver):
    """Of one that ran when the server started, and of one that came and ended while it was down."""
    old = make_campaign("over for long", ProcessState.FINISHED)
    running = make_campaign("electrolytes", ProcessState.WAITING)
    way = teller(webhook={"url": receiver.url})
    work(way)
    work(way)
    assert receiver.messages == []
    running.set_process_state(ProcessState.FINISHED)
    quick = make_campaign("quick one", ProcessState.EXCEPTED)
    for _ in range(2):
        work(teller(webhook={"url": receiver.url}))
    assert [message["uuid"] for message in receiver.messages] == [running.uuid, quick.uuid]
    assert "electrolytes: finished" in receiver.messages[0]["text"]
    assert "quick one: excepted" in receiver.messages[1]["text"]
    assert old.uuid not in str(receiver.messages)


def test_restart_neither_repeats_nor_loses(teller, receiver, resolve):
    work(teller(["request-resolved"], webhook={"url": receiver.url}))
    first, _ = resolve()
    work(teller(["request-resolved"], webhook={"url": receiver.url}))
    second, _ = resolve()  # while the server is down
    for _ in range(2):
        work(teller(["request-resolved"], webhook={"url": receiver.url}))
    assert [message["uuid"] for message in receiver.messages] == [first.uuid, second.uuid]


def test_receiver_that_fails_is_tried_again(teller, receiver, resolve):
    way = teller(["request-resolved"], webhook={"url": receiver.url})
    work(way)
    receiver.statuses = [500, 503]
    resolve()
    work(way)
    assert len(receiver.messages) == 1


def test_message_that_nobody_takes_is_put_aside(teller, receiver, resolve, monkeypatch, tmp_path):
    monkeypatch.setattr(notify, "ATTEMPTS", 2)
    way = teller(["request-resolved"], webhook={"url": receiver.url})
    work(way)
    receiver.statuses = [500, 500]
    (first, _), (second, _) = resolve(), resolve()
    work(way)
    (line,) = (tmp_path / "notifications" / "undelivered.jsonl").read_text().splitlines()
    assert json.loads(line)["uuid"] == first.uuid
    assert [message["uuid"] for message in receiver.messages] == [second.uuid]


def test_body_is_signed(teller, receiver, resolve, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    way = teller(["request-resolved"], webhook={"url": receiver.url, "secret_env": "HOOK_SECRET"})
    work(way)
    resolve()
    work(way)
    ((headers, body),) = receiver.headers
    assert headers["X-Finales-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()


class Post(socketserver.StreamRequestHandler):
    """As much of SMTP as a letter needs."""

    def handle(self):
        self.say("220 post")
        for line in iter(self.rfile.readline, b""):
            word = line.split()[0].upper()
            if word == b"DATA":
                self.say("354 go on")
                letter = list(iter(self.rfile.readline, b".\r\n"))
                self.server.letters.append(b"".join(letter).decode())
            self.say("221 bye" if word == b"QUIT" else "250 good")

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")


class Broker(socketserver.BaseRequestHandler):
    """As much of MQTT 3.1.1 as one message needs: CONNECT, PUBLISH with quality of service 1, DISCONNECT."""

    def handle(self):
        while (first := self.request.recv(1)) and first[0] >> 4 != 14:
            body = self.take(self.length())
            if first[0] >> 4 == 1:
                self.request.sendall(bytes([0x20, 2, 0, 0]))
            elif first[0] >> 4 == 3:
                size = int.from_bytes(body[:2])
                topic, number, message = body[2 : 2 + size], body[2 + size : 4 + size], body[4 + size :]
                self.server.letters.append((topic.decode(), json.loads(message)))
                self.request.sendall(bytes([0x40, 2]) + number)

    def length(self):
        size, shift = 0, 0
        while True:
            (byte,) = self.request.recv(1)
            size |= (byte & 127) << shift
            if not byte & 128:
                return size
            shift += 7

    def take(self, size):
        return self.request.recv(size, socket.MSG_WAITALL) if size else b""


@pytest.fixture
def office():
    """Return a function that starts a server that keeps what it gets in ``letters``."""
    servers = []

    def start(handler):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.letters = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_letter_is_sent(teller, office, resolve):
    post = office(Post)
    mail = {"host": "127.0.0.1", "port": post.server_address[1], "sender": "map@example.org", "starttls": False}
    way = teller(["request-resolved"], mail={**mail, "to": ["ada@example.org", "bob@example.org"]})
    work(way)
    request, _ = resolve()
    work(way)
    (letter,) = post.letters
    assert "To: ada@example.org, bob@example.org" in letter
    assert request.uuid in letter


def test_no_letter_goes_unencrypted_by_itself(teller, office, resolve, monkeypatch, tmp_path):
    """The server of this test cannot encrypt, so the letter stays here."""
    monkeypatch.setattr(notify, "ATTEMPTS", 1)
    post = office(Post)
    mail = {"host": "127.0.0.1", "port": post.server_address[1], "sender": "map@example.org", "to": ["a@example.org"]}
    way = teller(["request-resolved"], mail=mail)
    work(way)
    resolve()
    work(way)
    assert post.letters == []
    assert "STARTTLS" in (tmp_path / "notifications" / "undelivered.jsonl").read_text()


def test_broker_gets_a_message(teller, office, resolve):
    broker = office(Broker)
    way = teller(["request-resolved"], mqtt={"host": "127.0.0.1", "port": broker.server_address[1], "tls": False})
    work(way)
    request, _ = resolve()
    work(way)
    ((topic, message),) = broker.letters
    assert (topic, message["uuid"]) == ("finales/request-resolved", request.uuid)


def test_server_tells_beside_its_work(receiver, settings, request, thread, resolve):
    settings.folder.mkdir()
    way = {"name": "way", "events": ["request-resolved"], "webhook": {"url": receiver.url}}
    (settings.folder / FILENAME).write_text(yaml.safe_dump({"notifications": [way]}))
    request.getfixturevalue("anyone")  # starts the server
    position = settings.folder / "notifications" / "way.json"

    def wait_until(condition):
        end = time.monotonic() + 30
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)
        return condition()

    assert thread.wait_for(lambda: wait_until(position.exists))
    asked, _ = resolve()
    assert thread.wait_for(lambda: wait_until(lambda: receiver.messages))
    assert [message["uuid"] for message in receiver.messages] == [asked.uuid]


HOOK = {"webhook": {"url": "https://example.org"}}
MAIL = {"host": "localhost", "sender": "a@b.c", "to": ["d@e.f"]}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "a", "events": ["sunrise"], **HOOK}, "request-resolved"),
        ({"name": "a", "events": [], **HOOK}, "a list of 0, but accepted is a list of 1 or more"),
        ({"name": "a", "events": ALL}, "one of webhook, mail, mqtt"),
        ({"name": "a/b", "events": ALL, **HOOK}, "name"),
        ({"name": "a", "events": ALL, "webhook": {"url": "ftp://example.org"}}, "url"),
        ({"name": "a", "events": ALL, "mail": {**MAIL, "password": "secret"}}, "password"),
        ({"name": "a", "events": ALL, "mail": {**MAIL, "user": "a", "starttls": False}}, "starttls only"),
    ],
    ids=["event", "no event", "no way", "name", "address", "secret in the file", "open password"],
)
def test_settings_that_make_no_sense(tmp_path, entry, words):
    (tmp_path / FILENAME).write_text(yaml.safe_dump({"notifications": [entry]}))
    with pytest.raises(InputError, match=words):
        read_notifications(tmp_path)


def test_secret_must_be_there(tmp_path, configure, monkeypatch):
    monkeypatch.delenv("LACKING", raising=False)
    configure(webhook={"url": "https://example.org", "secret_env": "LACKING"})
    with pytest.raises(InputError, match="LACKING, which is not set"):
        Notifier(tmp_path, OrmThread(executor=Inline()))


def test_names_are_used_once(tmp_path):
    entry = {"name": "a", "events": ALL, **HOOK}
    (tmp_path / FILENAME).write_text(yaml.safe_dump({"notifications": [entry, entry]}))
    with pytest.raises(InputError, match="a is there twice"):
        read_notifications(tmp_path)
