"""What a call may take before anybody has looked at it, over real connections; and what guessing gets."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from dataclasses import replace

import httpx
import pytest

from aiida_finales.exceptions import InputError, LoginError, TooManyFailuresError
from aiida_finales.server import door, feed
from aiida_finales.server.access.login import Gate
from aiida_finales.server.access.reading import Reading
from aiida_finales.server.access.users import UserStore
from aiida_finales.server.door import Door
from aiida_finales.server.pages.page import refuse_page
from aiida_finales.server.settings import ServerSettings

from .conftest import PASSWORD, PATIENCE, wait_until

LOGIN = "/user_management/authenticate"


@pytest.fixture
def proxies():
    return ()


@pytest.fixture
def settings(settings, proxies):
    return replace(settings, body_timeout=3.0, bodies_limit=2_000_000, body_limit=900_000, proxies=proxies)


@pytest.fixture
def begin(address):
    """Return a function that sends the head of a call and a part of its body, and gives the connection."""

    def do(path, length, sent=b"", token=""):
        connection = socket.create_connection(address, timeout=PATIENCE)
        connections.append(connection)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        head += f"Authorization: {token}\r\n" if token else ""
        connection.sendall(f"{head}\r\n".encode() + sent)
        return connection

    connections = []
    yield do
    for connection in connections:
        connection.close()


def status_of(connection):
    return int(connection.recv(4096).split()[1])


def test_of_a_stranger_no_body_is_read(begin, thread, app):
    """It is answered before the body has come, whatever it is and wherever it goes."""

    def work():
        return [
            status_of(begin("/requests", 10_000_000)),
            status_of(begin("/requests/", 800_000, b"x" * 1000, "Bearer forged")),
            status_of(begin("/v1/tenants", 10**12, b"{")),
            status_of(begin("/nothing", 10_000_000)),
            status_of(begin("/pages/logout", 10_000_000)),
        ]

    assert thread.wait_for(work) == [401, 401, 401, 404, 303]  # a form leads to the login


def test_a_stranger_who_sends_everything_is_answered_too(log_in, thread, address):
    """A client whose token has expired must read that, not a connection that breaks."""
    url = f"http://127.0.0.1:{address[1]}"
    reply = thread.wait_for(lambda: httpx.post(f"{url}/requests", content=b"x" * 5_000_000, timeout=PATIENCE))
    assert reply.status_code == 401


def test_a_body_has_a_time_a_length_and_a_sum(begin, log_in, thread, app):
    def work():
        token, bob, robin = (log_in(name).headers["Authorization"] for name in ("alice", "bob", "robin"))
        half = begin("/requests", 1000, b"{", token)
        late = begin(LOGIN, 100, b"username=")
        began = time.monotonic()
        assert status_of(begin("/requests", 10_000_000, b"", token)) == 413  # before it has come
        assert status_of(half) == 408
        assert time.monotonic() - began < PATIENCE / 2
        first = begin("/requests", 850_000, b"x" * 840_000, token)
        wait_until(lambda: held(app) > 800_000)
        assert status_of(begin("/requests", 850_000, b"x" * 840_000, token)) == 429  # alice has her share
        others = [begin("/requests", 850_000, b"x" * 840_000, bob)]
        wait_until(lambda: held(app) > 1_600_000)
        assert status_of(begin("/requests", 850_000, b"x" * 840_000, robin)) == 503
        assert [status_of(item) for item in (first, *others)] == [408, 408]
        wait_until(lambda: not held(app))
        return late

    assert thread.wait_for(work)


def held(app):
    layer = app.middleware_stack
    while not isinstance(layer, Door):
        layer = layer._app if hasattr(layer, "_app") else layer.app
    return layer._held.total()


def test_calls_at_once(settings, tmp_path):
    """One caller gets half of the places, all together no more than there are; then they are free again."""
    gate, ended = make_gate(tmp_path, "alice", "bob", "carol"), asyncio.Event()
    statuses = []

    async def hang(scope, receive, send):
        await ended.wait()

    async def call(entrance, token, path="/test"):
        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        head = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "path": path, "headers": head, "query_string": b""}
        await entrance(scope, None, send)

    async def work():
        entrance = Door(hang, gate, replace(settings, calls_at_once=4), Reading(), refuse_page)
        tokens = {name: gate.log_in(name, PASSWORD, "here") for name in ("alice", "bob", "carol")}
        names = ("alice", "alice", "alice", "bob", "bob", "carol")
        tasks = [asyncio.create_task(call(entrance, tokens[name])) for name in names]
        tasks.append(asyncio.create_task(call(entrance, tokens["carol"], "/v1/events")))
        while len(statuses) < 2:
            await asyncio.sleep(0)
        ended.set()
        await asyncio.gather(*tasks)
        await call(entrance, tokens["carol"])

    asyncio.run(work())
    assert statuses == [429, 503]


def test_a_connection_without_a_call_ends(address, thread, monkeypatch):
    monkeypatch.setattr(door, "IDLE", 0.2)

    def work():
        silent, half = (socket.create_connection(address, timeout=PATIENCE) for _ in range(2))
        half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        found = [read_end(silent), read_end(half)]
        silent.close()
        half.close()
        return found

    assert thread.wait_for(work) == [b"", b""]


def read_end(connection):
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def test_listeners_share_one_look(log_in, thread, app, monkeypatch):
    looks = []
    read = feed.read_events
    monkeypatch.setattr(feed, "POLL_INTERVAL", 0.1)
    monkeypatch.setattr(feed, "read_events", lambda after: looks.append(after) or read(after))

    def work():
        alice = log_in("alice")
        streams = [alice.stream("GET", "/v1/events") for _ in range(8)]
        for stream in streams:
            stream.__enter__()
        wait_until(lambda: app.state.context.feed._last is not None)
        time.sleep(0.3)
        looks.clear()
        wait_until(lambda: len(looks) >= 4)
        found = set(looks)
        for stream in streams:
            stream.__exit__(None, None, None)
        wait_until(lambda: not app.state.context.feed._listeners.total())
        return found

    assert len(thread.wait_for(work)) == 1
    assert app.state.context.feed._task is None


def test_listeners_have_a_number(log_in, thread, app):
    app.state.context.feed._limit = 4

    def work():
        alice = log_in("alice")
        with alice.stream("GET", "/v1/events"), alice.stream("GET", "/v1/events"):
            return alice.get("/v1/events").status_code

    assert thread.wait_for(work) == 429


@pytest.mark.parametrize(("proxies", "n_wrong"), [((), 10), (("127.0.0.1",), 20)])
def test_a_header_shifts_no_limit(app, server, thread, address, proxies, n_wrong):
    """Without a proxy the header is nothing; behind one, the limit of the name counts wherever guesses come from."""

    def work():
        url = f"http://127.0.0.1:{address[1]}{LOGIN}"
        form = {"username": "alice", "password": "wrong"}
        return [
            httpx.post(url, data=form, headers={"X-Forwarded-For": f"10.1.{number}.2"}, timeout=PATIENCE).status_code
            for number in range(n_wrong + 3)
        ]

    assert thread.wait_for(work) == [401] * n_wrong + [429] * 3


@pytest.mark.parametrize("proxy", ["*", "0.0.0.0/0", "::/0", "proxy.example.org", "10.0.0.1/28", ""])
def test_proxies_that_are_none(proxy, tmp_path):
    with pytest.raises(InputError, match="the proxy is"):
        ServerSettings(tmp_path, proxies=(proxy,))


def make_gate(folder, *names):
    users = UserStore(folder)
    for name in names:
        users.add(name, PASSWORD, ["requester"])
    return Gate(ServerSettings(folder, login_memory=0.0, failures_allowed=5, name_failures=8), users, "k" * 64)


def guess(gate, n_times, name="alice", address="place {}"):
    for number in range(n_times):
        with pytest.raises(LoginError):
            gate.log_in(name, "wrong", address.format(number))


def test_guessing_from_everywhere_stops_at_the_name(tmp_path):
    gate = make_gate(tmp_path, "alice", "bob")
    guess(gate, 8)
    with pytest.raises(TooManyFailuresError):
        gate.log_in("alice", PASSWORD, "one more")
    assert gate.log_in("bob", PASSWORD, "one more")
    guess(gate, 8, "nobody")  # a name that is none is treated alike
    with pytest.raises(TooManyFailuresError):
        gate.log_in("nobody", "wrong", "one more")


def test_who_was_here_before_is_not_locked_out(tmp_path):
    gate = make_gate(tmp_path, "alice", "bob")
    before = gate.log_in("alice", PASSWORD, "home")
    stranger = gate.log_in("bob", PASSWORD, "work")
    guess(gate, 8)
    restarted = make_gate(tmp_path, "bob")  # the places are on disk
    assert gate.log_in("alice", PASSWORD, "home")
    guess(restarted, 8)
    assert restarted.log_in("alice", PASSWORD, "home")
    with pytest.raises(TooManyFailuresError):
        gate.log_in("alice", PASSWORD, "hotel", proof=stranger)
    assert gate.log_in("alice", PASSWORD, "hotel", proof=before)


def test_a_guesser_at_the_same_address_does_not_lock_out_who_has_a_token(tmp_path):
    gate = make_gate(tmp_path, "alice")
    proof = gate.issue_proof(UserStore(tmp_path).all()["alice"])
    guess(gate, 5, address="home")
    with pytest.raises(TooManyFailuresError):
        gate.log_in("alice", PASSWORD, "home")
    assert gate.log_in("alice", PASSWORD, "home", proof)
    with pytest.raises(LoginError):
        gate.identify(proof)  # it is good for nothing else
    for _ in range(5):
        with pytest.raises(LoginError):
            gate.log_in("alice", "wrong", "home", proof)
    with pytest.raises(TooManyFailuresError):
        gate.log_in("alice", PASSWORD, "home", proof)


def test_few_hash_and_few_wait(tmp_path, monkeypatch):
    """40 strangers who log in at once would need 2.5 GB for their hashes."""
    gate, at_once, most = make_gate(tmp_path, "alice"), [], []

    def verify(*_):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.01)
        at_once.pop()
        return False

    monkeypatch.setattr(Gate, "_verify", verify)

    async def work():
        calls = [gate.admit(f"name{number}", "wrong", f"place {number}") for number in range(60)]
        return await asyncio.gather(*calls, return_exceptions=True)

    kinds = [type(error) for error in asyncio.run(work())]
    assert max(most) <= 2
    assert (kinds.count(LoginError), kinds.count(TooManyFailuresError)) == (40, 20)


@pytest.mark.usefixtures("server")
def test_what_a_server_is_made_of_is_not_looked_through_for_garbage():
    """Some 300,000 objects that stay: to look at all of them in the midst of an answer would take longer than most."""
    wait_until(lambda: gc.get_freeze_count() > 100_000)
    assert gc.get_freeze_count() > 100_000


def test_a_long_answer_goes_in_pieces(settings, tmp_path):
    """So that the call counts until it was read; not a byte is lost or twice there."""
    gate, parts = make_gate(tmp_path, "alice"), []
    body = bytes(range(256)) * 1000

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (body, b"", body[: 2 * door.PIECE], b"end"):
            await send({"type": "http.response.body", "body": part, "more_body": part != b"end"})

    async def send(message):
        parts.append(message)

    entrance = Door(answer, gate, settings, Reading(), refuse_page)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(entrance(scope, None, send))
    assert b"".join(part.get("body", b"") for part in parts) == body + body[: 2 * door.PIECE] + b"end"
    assert max(len(part.get("body", b"")) for part in parts) == door.PIECE
    assert [part.get("more_body") for part in parts[1:]] == [True] * (len(parts) - 2) + [False]


def test_one_address_has_half_of_the_calls_of_strangers(settings, tmp_path):
    gate, ended, statuses = make_gate(tmp_path, "alice"), asyncio.Event(), []

    async def hang(scope, receive, send):
        await ended.wait()

    async def call(entrance, address):
        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append((address, message["status"]))

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [],
            "query_string": b"",
            "client": (address, 1),
        }
        await entrance(scope, None, send)

    async def work():
        entrance = Door(hang, gate, replace(settings, calls_at_once=8), Reading(), refuse_page)
        tasks = [asyncio.create_task(call(entrance, address)) for address in ("a", "a", "a", "b", "b", "c")]
        while len(statuses) < 2:
            await asyncio.sleep(0)
        ended.set()
        await asyncio.gather(*tasks)
        await call(entrance, "a")

    asyncio.run(work())
    assert statuses == [("a", 429), ("c", 429)]


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::4", "2001:db8:1:3::3"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%eth0", "fe80::2%eth0", "?"),
    ],
)
def test_many_addresses_of_one_computer_are_one_place(tmp_path, address, same, other):
    gate = make_gate(tmp_path, "alice", "bob")
    guess(gate, 5, address=address)
    with pytest.raises(TooManyFailuresError):
        gate.log_in("bob", PASSWORD, same)
    assert gate.log_in("bob", PASSWORD, other)
