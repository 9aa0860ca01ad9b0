"""What can be chosen about the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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
    :param body_limit: bytes of a request's body.
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
    body_limit: int = 10 * 1024 * 1024
    lease: float | None = None
    strict: frozenset[str] = field(default_factory=frozenset)
    submit_interval: float = 2.0


def default_folder(profile: str) -> Path:
    """Return where the server of a profile keeps users and key: in AiiDA's configuration, not in the provenance."""
    from aiida.manage.configuration import get_config

    return Path(get_config().dirpath) / "finales-server" / profile
