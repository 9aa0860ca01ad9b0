"""What can be chosen about the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from aiida_finales.exceptions import InputError

#: s that a client may keep a reservation by one sign of life
LONGEST_LEASE = 7 * 86400.0


@dataclass(frozen=True)
class ServerSettings:
    """Settings of one server.

    :param folder: users and signing key are kept here; nobody else may read it.
    :param profile: AiiDA profile; the default one when ``None``.
    :param host: address to listen on; loopback, because the server itself speaks no TLS.
    :param port: the published platform's default.
    :param token_lifetime: s that a token is accepted.
    :param login_memory: s during which the same name and password are believed without hashing again: published
        clients log in before every call.
    :param failures_allowed: wrong logins per name and per address within :data:`failure_window`.
    :param failure_window: s.
    :param name_failures: wrong logins per name within :data:`name_window`, wherever they come from; those from where
        this name has logged in before are counted by themselves.
    :param name_window: s.
    :param proxies: addresses or networks of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` count.
    :param body_limit: bytes of a request's body.
    :param body_timeout: s that a body may take to arrive.
    :param bodies_limit: bytes of all bodies that are being read or answered; one caller gets half of it.
    :param calls_at_once: calls that are being answered; one caller gets half of them. Others are told to come again.
    :param streams_at_once: listeners to events, likewise.
    :param lease: s that a client keeps a reservation without a sign of life, unless it or its tenant asks for another;
        ``None``: until it answers or gives it back, because published tenants give no sign of life.
    :param strict: capabilities, ``quantity.method``, whose results are refused when they break their schema; those of
        others are stored as not valid, because published tenants never had their results checked.
    :param submit_interval: s between two looks for requests without a process.
    """

    folder: Path
    profile: str | None = None
    host: str = "127.0.0.1"
    port: int = 13371
    token_lifetime: float = 86400.0
    login_memory: float = 300.0
    failures_allowed: int = 10
    failure_window: float = 60.0
    name_failures: int = 20
    name_window: float = 300.0
    proxies: tuple[str, ...] = ()
    body_limit: int = 10 * 1024 * 1024
    body_timeout: float = 30.0
    bodies_limit: int = 64 * 1024 * 1024
    calls_at_once: int = 256
    streams_at_once: int = 400
    lease: float | None = None
    strict: frozenset[str] = field(default_factory=frozenset)
    submit_interval: float = 2.0

    def __post_init__(self) -> None:
        for proxy in self.proxies:
            try:
                network = ip_network(proxy)
            except ValueError as error:
                raise InputError(
                    f"the proxy is {proxy!r}, accepted is an address or a network: 10.0.0.2, 10.0.0.0/28"
                ) from error
            if network.prefixlen == 0:
                raise InputError(f"the proxy is {proxy!r}, which is everybody: accepted is where the proxy itself is")


def default_folder(profile: str) -> Path:
    """Return where the server of a profile keeps users and key: in AiiDA's configuration, not in the provenance."""
    from aiida.manage.configuration import get_config

    return Path(get_config().dirpath) / "finales-server" / profile
