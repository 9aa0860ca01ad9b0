"""The door: who calls, what they may see, and how much of the server a call may take before anybody has looked at it.

The token is looked at first. Of a stranger no body is read, except that of a log-in, which is short. Bodies have a
length, a time, and a sum over all that are being read or answered; calls and connections have a number.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address, ip_network

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from aiida_finales.exceptions import LoginError
from aiida_finales.server.access.login import Gate
from aiida_finales.server.access.reading import Reading
from aiida_finales.server.access.users import User
from aiida_finales.server.errors import PAGES, refuse
from aiida_finales.server.orm_thread import LOOK
from aiida_finales.server.settings import ServerSettings

#: the cookie of who is logged in on the pages; a token in a header counts elsewhere only, a cookie here only
SESSION = "finales_session"
#: paths whose bodies strangers send: a name and a password
LOGINS = ("/user_management/authenticate", "/pages/login")
#: bytes and s of such a body
LOGIN_LIMIT, LOGIN_TIMEOUT = 16 * 1024, 10.0
#: share of the limits that one caller may take; all strangers together are one, and one address has as much of theirs
SHARE = 0.5
#: answers without end have limits of their own
ENDLESS = ("/v1/events", "/pages/events")
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
#: under which key of the scope the door says who calls
CALLER = "finales.caller"
#: s between two looks at a connection; it ends when there was no call under way at two of them
IDLE = 10.0
#: s after which a connection ends when nothing of an answer was read
UNREAD = 60.0
#: connections at once, some kB each; below the 1,024 files that a program may usually open
MOST_CONNECTIONS = 800
#: bytes of an answer that are written at once: what is longer waits until its reader has taken these
PIECE = 64 * 1024


def get_caller(request: Request) -> User:
    """Return who calls.

    :raises LoginError: when nobody is logged in, or not any more.
    """
    found: User | LoginError = request.scope[CALLER]
    if isinstance(found, LoginError):
        raise found
    return found


def read_token(request: Request) -> str:
    """Return the token of a call, whatever it is worth: of the cookie on the pages, of ``Authorization`` elsewhere.

    :raises LoginError: when there is none.
    """
    if request.scope["path"].startswith(PAGES):
        token = request.cookies.get(SESSION, "")
    else:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else ""
    if not token.strip():
        raise LoginError("Not authenticated")
    return token.strip()


class Refusal(Exception):  # noqa: N818 - no error of the program: an answer
    """A call that is not looked at any further.

    :param status: of the answer; 0 when the client went away.
    :param pause: s after which one may come again; 0 when that would not help.
    """

    def __init__(self, status: int = 0, words: str = "", pause: int = 0) -> None:
        super().__init__("refused at the door")
        self.status = status
        self.words = words
        self.headers = {"Retry-After": str(pause)} if pause else {}


class Door:
    """Looks who calls, reads the body within bounds, and lets the application answer so many calls at once.

    :param show: makes a page of a refusal, given the call, status and words: who looks at pages reads no JSON.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        settings: ServerSettings,
        reading: Reading,
        show: Callable[[Request, int, str], Response],
    ) -> None:
        self._app = app
        self._show = show
        self._gate = gate
        self._settings = settings
        self._reading = reading
        self._calls: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        #: calls of strangers by address
        self._strangers: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, or refuse the call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = self._identify(scope)
        user = caller if isinstance(caller, User) else None
        who = user.name if user else ""
        if scope["method"] in WITHOUT_BODY:
            LOOK.set(partial(self._reading.find_hidden, user))
        scope = {**scope, CALLER: caller}
        try:
            with self._place(scope, who) as held:
                reader = receive if scope["method"] in WITHOUT_BODY else await self._read(scope, receive, who, held)
                await self._app(scope, reader, _in_pieces(send))
        except Refusal as refusal:
            if refusal.status:
                await self._answer(scope, refusal)(scope, receive, send)

    def _answer(self, scope: Scope, refusal: Refusal) -> Response:
        if not scope["path"].startswith(PAGES):
            return refuse(refusal.status, refusal.words, refusal.headers)
        response = self._show(Request(scope), refusal.status, refusal.words)
        response.headers.update(refusal.headers)
        return response

    def _identify(self, scope: Scope) -> User | LoginError:
        try:
            return self._gate.identify(read_token(Request(scope)))
        except LoginError as error:
            return error

    @contextmanager
    def _place(self, scope: Scope, who: str) -> Iterator[Counter[str]]:
        """Keep a place for a call; gives what counts the bytes that it holds."""
        limit = self._settings.calls_at_once
        counted = Counter[str]() if scope["path"] in ENDLESS else Counter({who: 1})
        if counted and self._calls[who] >= SHARE * limit:
            raise _come_again(429, f"{who or 'whoever is not logged in'} has as many calls at once as one may have")
        if counted and self._calls.total() >= limit:
            raise _come_again(503, "the server answers as many calls as it can")
        address = Counter({str((scope.get("client") or ("",))[0]): 1} if counted and not who else {})
        if any(self._strangers[key] >= SHARE**2 * limit for key in address):
            raise _come_again(429, "one address has as many calls at once as it may have without a login")
        held = Counter[str]()
        self._calls += counted
        self._strangers += address
        try:
            yield held
        finally:
            self._calls -= counted
            self._strangers -= address
            self._held -= held

    async def _read(self, scope: Scope, receive: Receive, who: str, held: Counter[str]) -> Receive:
        """Return what gives the application the body; of a stranger an empty one, so that it answers 401.

        :param held: is told how many bytes are held for whom until the call has ended.
        """
        limit, seconds = self._settings.body_limit, self._settings.body_timeout
        if not who:
            limit, seconds = LOGIN_LIMIT, LOGIN_TIMEOUT
        body = bytearray()
        if who or scope["path"] in LOGINS:
            _demand_length(scope, limit)
            try:
                async with asyncio.timeout(seconds):
                    await self._fill(body, receive, limit, lambda size: self._hold(who, size, held))
            except TimeoutError:
                raise Refusal(408, f"the body did not come within {seconds:.0f} s") from None
        return _replay(bytes(body), receive)

    async def _fill(self, body: bytearray, receive: Receive, limit: int, hold: Callable[[int], None]) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise Refusal
            part = message.get("body", b"")
            if len(body) + len(part) > limit:
                raise _too_long(limit)
            hold(len(part))
            body += part
            more = message.get("more_body", False)

    def _hold(self, who: str, size: int, held: Counter[str]) -> None:
        limit = self._settings.bodies_limit
        if self._held[who] + size > SHARE * limit:
            raise _come_again(429, f"{who or 'whoever is not logged in'} sends as much at once as one may send")
        if self._held.total() + size > limit:
            raise _come_again(503, "the server holds as much of bodies as it can")
        held[who] += size
        self._held[who] += size


def _replay(body: bytes, receive: Receive) -> Receive:
    is_read = False

    async def replay() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _in_pieces(send: Send) -> Send:
    """Return what sends a long answer bit by bit: a call counts until its answer was read."""

    async def send_pieces(message: Message) -> None:
        body = message.get("body", b"")
        last = max(0, len(body) - 1) // PIECE * PIECE
        for start in range(0, last, PIECE):
            await send({**message, "body": body[start : start + PIECE], "more_body": True})
        await send({**message, "body": body[last:]} if last else message)

    return send_pieces


def _demand_length(scope: Scope, limit: int) -> None:
    """Refuse a body that says that it is too long before it is read."""
    said = Headers(scope=scope).get("content-length", "")
    if said.isascii() and said.isdigit() and int(said) > limit:
        raise _too_long(limit)


def _too_long(limit: int) -> Refusal:
    return Refusal(413, f"the body is longer than {limit} bytes")


def _come_again(status: int, words: str) -> Refusal:
    return Refusal(status, f"{words}: try again in a moment", pause=2)


class Connection(H11Protocol):
    """A connection that ends when nobody completes a call on it or reads the answer; too many are refused.

    uvicorn waits without end for the head of a call, for the rest of a body that it throws away, and for a reader.
    """

    _seen: object = None
    _again: asyncio.TimerHandle | None = None
    #: how much was not read at the latest look, and at how many looks it was the same
    _unread, _n_stalled = (0, 0), 0
    #: how often the reader has made room
    _n_read = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take the connection, unless there are too many, or too many of one address."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS or self._has_share():
            transport.abort()
            return
        self._again = self.loop.call_later(IDLE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._again is not None:
            self._again.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Go on with an answer: something of it was read."""
        self._n_read += 1
        super().resume_writing()

    def _has_share(self) -> bool:
        """Return whether the address has more than its share of the connections; a proxy that is named has all."""
        if self.client is None:
            return False
        host = self.client[0]
        n_own = sum(item.client is not None and item.client[0] == host for item in self._others())
        return n_own > SHARE * MOST_CONNECTIONS and not self._is_proxy(host)

    def _others(self) -> list[H11Protocol]:
        return [item for item in self.connections if isinstance(item, H11Protocol)]

    def _is_proxy(self, host: str) -> bool:
        named = self.config.forwarded_allow_ips if self.config.proxy_headers else ()
        return any(ip_address(host) in ip_network(proxy) for proxy in named or ())

    def _look(self) -> None:
        """End the connection if nobody has read anything for a while, or no call was under way at two looks."""
        unread = (self.transport.get_write_buffer_size(), self._n_read)
        self._n_stalled = self._n_stalled + 1 if unread[0] and unread == self._unread else 0
        self._unread = unread
        if self._n_stalled * IDLE >= UNREAD or (not unread[0] and self._is_idle()):
            self.transport.abort()
            return
        self._again = self.loop.call_later(IDLE, self._look)

    def _is_idle(self) -> bool:
        """Return whether no call was under way now and at the look before, and none ended in between."""
        is_busy = self.cycle is not None and not self.cycle.response_complete
        before, self._seen = self._seen, None if is_busy else (self.cycle or self)
        return self._seen is not None and self._seen is before
