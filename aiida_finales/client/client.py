"""The calls of a server, one method each: logged in, with a time limit, and repeated where that is safe."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from time import sleep
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from aiida_finales.exceptions import InputError, LoginError, ServerAwayError, ServerRefusedError, StatusError
from aiida_finales.schemas import Json

LOGGER = logging.getLogger("aiida_finales.client")

#: s that a server may take for one call: an archive apart, the slowest answers within seconds
TIMEOUT = 30.0
#: calls of one kind in a row, at most; with the pauses below they outlast the restart of a server
ATTEMPTS = 5
#: s between two calls: the first pause, which doubles, and the longest, also when the server asks for more
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

UNAUTHORISED, TOO_MANY = 401, 429
#: a server, or the proxy before it, that says this may do the same call later
AWAY = frozenset({500, 502, 503, 504})
#: errors after which it is certain that the server has not seen the call
UNSEEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


#: who asks, when no tenant of the server does; so does the published optimiser
NOBODY = "00000000-0000-0000-0000-000000000000"
#: s between two looks for a result
LOOK_INTERVAL = 2.0
#: s that a reservation is kept without a further sign of life
LEASE = 600.0

CONFLICT = 409


class Connection:
    """One user at one server; may be used by several threads.

    :param url: such as ``https://map.example.org`` or ``http://127.0.0.1:13371``.
    :param timeout: s that one call may take.
    :param attempts: how often a call is made, at most.
    :raises InputError: when the address is none.
    """

    def __init__(
        self, url: str, username: str, password: str, *, timeout: float = TIMEOUT, attempts: int = ATTEMPTS
    ) -> None:
        _check_url(url)
        self.url = url.rstrip("/")
        self._form = {"username": username, "password": password}
        self._attempts = attempts
        self._http = httpx.Client(base_url=self.url, timeout=timeout)
        self._lock = threading.Lock()
        self._token = ""
        self.pause: Callable[[float], object] = sleep

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def call(self, method: str, path: str, *, is_repeatable: bool = True, **content: Any) -> Any:
        """Return what the server answers to a call.

        :param is_repeatable: whether the call may be made again when it is not known whether it had an effect.
        :param content: ``json`` or ``params``, as httpx takes them.
        :raises LoginError: when user and password are not accepted.
        :raises ServerRefusedError: when the server says no.
        :raises ServerAwayError: when it does not answer.
        """
        token = self._token or self._log_in("")
        reply = self._send(method, path, token, is_repeatable, content)
        if reply.status_code == UNAUTHORISED:  # the token is too old, or the server has another key since
            reply = self._send(method, path, self._log_in(token), is_repeatable, content)
        return _read(reply)

    def _log_in(self, refused: str) -> str:
        """Return a token; of several threads whose token was refused one logs in.

        :param refused: the token that is not accepted.
        """
        with self._lock:
            if self._token == refused:
                reply = self._send("POST", "/user_management/authenticate", "", True, {"data": self._form})
                self._token = str(_read(reply)["access_token"])
            return self._token

    def _send(self, method: str, path: str, token: str, is_repeatable: bool, content: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        wait = FIRST_PAUSE
        for left in range(self._attempts - 1, -1, -1):
            asked = None
            try:
                reply = self._http.request(method, path, headers=headers, **content)
            except httpx.TransportError as error:
                trouble, is_unseen = f"{type(error).__name__}: {error}", isinstance(error, UNSEEN)
            else:
                if reply.status_code not in AWAY and reply.status_code != TOO_MANY:
                    return reply
                trouble, is_unseen = f"{reply.status_code}: {_detail(reply)}", reply.status_code == TOO_MANY
                asked = _retry_after(reply)
            if not is_repeatable and not is_unseen:
                raise ServerAwayError(
                    f"{method} {self.url}{path}: {trouble}; it is not known whether this had an effect: look before "
                    "you ask again"
                )
            if left:
                self.pause(min(asked or wait, LONGEST_PAUSE))
                wait *= 2
        raise ServerAwayError(f"{method} {self.url}{path}: {trouble}; tried {self._attempts} times. Try again later")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"the address of the server is {url!r}, accepted is e.g. https://map.example.org")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        LOGGER.warning("%s: without https others on the way can read the password", url)


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(reply: httpx.Response) -> float | None:
    """Return the s after which the server wants to be asked again; a date, which is permitted too, is not read."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None


def _read(reply: httpx.Response) -> Any:
    if reply.is_success:
        try:
            return reply.json()
        except ValueError as error:
            raise ServerRefusedError(f"{reply.url} answers with no JSON: is it this server?", 200) from error
    words = f"{reply.status_code}: {_detail(reply)}"
    if reply.status_code == UNAUTHORISED:
        raise LoginError(f"{reply.url}: {words}")
    raise ServerRefusedError(f"{reply.request.method} {reply.url}: {words}", reply.status_code)


def _detail(reply: httpx.Response) -> str:
    """Return why the server says no; for a defect in a document, one phrase each."""
    try:
        detail = reply.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return reply.text[:500] or reply.reason_phrase
    if isinstance(detail, list):
        return "; ".join(str(item.get("msg", item)) if isinstance(item, dict) else str(item) for item in detail)
    return str(detail)


class Client:
    """A user of a server. Logs in when it is needed; calls are repeated where that is safe.

    :param url: such as ``http://127.0.0.1:13371``.
    :param timeout: s that one call may take.
    :param attempts: how often a call is made, at most.
    :raises InputError: when the address is none. All methods raise :class:`~aiida_finales.exceptions.LoginError`,
        :class:`~aiida_finales.exceptions.ServerRefusedError` and :class:`~aiida_finales.exceptions.ServerAwayError`.
    """

    def __init__(
        self, url: str, username: str, password: str, *, timeout: float = TIMEOUT, attempts: int = ATTEMPTS
    ) -> None:
        self.connection = Connection(url, username, password, timeout=timeout, attempts=attempts)
        self.username = username
        self._call = self.connection.call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()

    def post_request(
        self, quantity: str, parameters: dict[str, Json], *, tenant_uuid: str = NOBODY, parent: str | None = None
    ) -> str:
        """Ask for a quantity; return the UUID of the request.

        It is not repeated when its reply was lost, because it might then be asked for twice.

        :param parameters: by method; the preferred one first.
        :param parent: UUID of the request that this one is a step of.
        """
        body = {"quantity": quantity, "methods": list(parameters), "parameters": parameters, "tenant_uuid": tenant_uuid}
        steps = {} if parent is None else {"parent": parent}
        return str(self._call("POST", "/requests", json={**body, **steps}, is_repeatable=False))

    def request(self, uuid: str) -> Json | None:
        """Return a request: ``uuid``, ``ctime``, ``status``, ``request``; ``None``: it is not known."""
        return self._find(f"/requests/{quote(uuid, safe='')}")

    def pending(
        self, quantity: str | None = None, method: str | None = None, *, limit: int | None = None
    ) -> list[Json]:
        """Return what nobody holds yet, oldest first.

        :param limit: the oldest so many.
        """
        wanted = {"quantity": quantity, "method": method, "limit": limit}
        params = {key: value for key, value in wanted.items() if value is not None}
        return list(self._call("GET", "/pending_requests", params=params))

    def reserve(self, uuid: str, why: str = "", lease: float | None = None) -> bool:
        """Reserve a request; return whether this user holds it now. Holding it already is no error.

        :param why: for the history.
        :param lease: s until it is offered again without a sign of life (:meth:`renew`); ``None``: as the server or the
            settings of the tenant say, which is usually never.
        """
        try:
            self._change(uuid, "reserved", why, lease)
        except ServerRefusedError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True

    def renew(self, uuid: str, seconds: float = LEASE) -> float:
        """Give a sign of life; return until when the reservation is kept, s since 1970 by the server's clock."""
        reply = self._call("POST", f"/v1/requests/{quote(uuid, safe='')}/heartbeat", json={"seconds": seconds})
        return float(reply["lease_until"] or 0.0)

    def ask_operator(self, uuid: str, why: str) -> None:
        """Keep a reservation until a person has looked at the device; nobody else gets it meanwhile."""
        self._call("POST", f"/v1/requests/{quote(uuid, safe='')}/needs_operator", json={"why": why})

    def release(self, uuid: str, why: str) -> None:
        """Give a request back that one holds; giving back what is pending already changes nothing."""
        self._change(uuid, "pending", why)

    def retract(self, uuid: str, why: str) -> None:
        """Take back what one has asked for."""
        self._change(uuid, "retracted", why)

    def history(self, uuid: str) -> list[Json]:
        """Return who changed the status of a request: ``time``, ``who``, ``from``, ``to``, ``why``; oldest first."""
        return list(self._call("GET", f"/v1/requests/{quote(uuid, safe='')}/history"))

    def post_result(self, result: Json) -> str:
        """Answer a request; return the UUID of the result. The same answer posted again has the same UUID.

        :param result: ``data``, ``quantity``, ``method`` ([one]), ``parameters`` ({method: really used}),
            ``tenant_uuid``, ``request_uuid``; ``simulated`` where it is.
        """
        return str(self._call("POST", "/results", json=result))

    def post_unsolicited(self, result: Json) -> str:
        """Hand in a result that nobody (any more) asks for; return its UUID, the same for the same result."""
        return str(self._call("POST", "/results/post_unsolicited_result", json=result))

    def result_of(self, request_uuid: str) -> Json | None:
        """Return the result of a request: ``uuid``, ``ctime``, ``status``, ``result``; ``None``: there is none yet."""
        return self._find(f"/results_requested/{quote(request_uuid, safe='')}")

    def wait(self, request_uuid: str, timeout: float, *, interval: float = LOOK_INTERVAL) -> Json:
        """Return the result of a request as soon as there is one.

        :param timeout: s.
        :param interval: s between two looks.
        :raises StatusError: when the request was taken back, or is not known.
        :raises TimeoutError: when there is none by then; the request stays.
        """
        end = time.monotonic() + timeout
        while True:
            found = self.result_of(request_uuid)
            if found is not None:
                return found
            request = self.request(request_uuid)
            if request is None or request["status"] == "retracted":
                raise StatusError(
                    f"request {request_uuid} is {'retracted' if request else 'not known'}: it has no result"
                )
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"request {request_uuid} is {request['status']}, without result after {timeout:g} s")
            time.sleep(min(interval, left))

    def capabilities(self, *, only_available: bool = True) -> list[Json]:
        """Return what can be asked for, with the schemas of parameters and results."""
        return list(self._call("GET", "/capabilities", params={"currently_available": only_available}))

    def templates(self, quantity: str | None = None, method: str | None = None) -> Json:
        """Return the skeletons of parameters and results by ``quantity-method``."""
        wanted = {"quantity": quantity, "method": method}
        params = {key: value for key, value in wanted.items() if value is not None}
        return dict(self._call("GET", "/capabilities/templates", params=params))

    def limitations(self) -> list[Json]:
        """Return within which limitations each capability is offered, all tenants together."""
        return list(self._call("GET", "/limitations"))

    def tenants(self) -> list[Json]:
        """Return all tenants, also those that are not active."""
        return list(self._call("GET", "/tenants"))

    def tenant(self, name_or_uuid: str) -> Json:
        """Return one tenant with its offers, linear constraints included."""
        return dict(self._call("GET", f"/v1/tenants/{quote(name_or_uuid, safe='')}"))

    def _find(self, path: str) -> Json | None:
        found = self._call("GET", path)
        return dict(found) if found else None

    def _change(self, uuid: str, status: str, why: str, lease: float | None = None) -> None:
        params = {"request_id": uuid, "new_status": status, "status_change_message": why}
        if lease is not None:
            params["lease"] = str(lease)
        self._call("POST", f"/requests/{quote(uuid, safe='')}/update_status", params=params)
