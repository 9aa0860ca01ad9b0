"""Calls of a server: logged in, with a time limit each, and repeated where that is safe."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from ipaddress import ip_address
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import httpx

from aiida_finales.exceptions import InputError, LoginError, ServerAwayError, ServerRefusedError

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
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        LOGGER.warning("%s: without https others on the way can read the password", url)


def _is_loopback(host: str) -> bool:
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
