"""Start the server."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from socket import AI_PASSIVE, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, gaierror, getaddrinfo, socket

import uvicorn
from fastapi import FastAPI

from aiida_finales.exceptions import InputError, explain_os_error
from aiida_finales.server.settings import ServerSettings

#: s that calls have to end when the server is told to stop; a client that reads nothing would hold it for ever
PATIENCE = 10


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Server(uvicorn.Server):
    """Serves an application until it is told to stop; tells those who listen to events, for whom it would wait."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="info",
            # no line per call: clients that poll write millions of them, and who changed what is in the history
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=PATIENCE,
        )
        super().__init__(config)
        self._ending = app.state.context.ending

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """End in order."""
        self._ending.set()
        await super().shutdown(sockets)


def demand_port(host: str, port: int) -> None:
    """Look whether one can listen there: the server itself says it in its log only, long after its start.

    :raises InputError: when one cannot, with the option that helps.
    """
    try:
        family, kind, protocol, _, address = getaddrinfo(host, port, type=SOCK_STREAM, flags=AI_PASSIVE)[0]
        with socket(family, kind, protocol) as trial:
            trial.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            trial.bind(address)
    except (gaierror, UnicodeError) as error:
        raise InputError(f"host is {host!r}, which is no address of this computer: name another with --host") from error
    except OSError as error:
        raise InputError(explain_os_error(error, f"port {port} of {host}")) from error


def run_server(settings: ServerSettings, *, is_open: bool = False) -> None:
    """Serve until it is told to stop.

    :param is_open: whether other machines may reach it; passwords then travel as they are unless a proxy speaks TLS.
    :raises InputError: when the address is no loopback and it is not said that others may reach it, or when one cannot
        listen there.
    """
    from aiida_finales.server.app import create_app

    if not is_open and not is_loopback(settings.host):
        raise InputError(
            f"host is {settings.host}, which other machines reach, and the server speaks no TLS: put a proxy that does "
            "in front of 127.0.0.1, or say --open"
        )
    demand_port(settings.host, settings.port)
    server = Server(create_app(settings), settings.host, settings.port)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)  # the log says why
