"""Start the server."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from socket import socket

import uvicorn
from fastapi import FastAPI

from aiida_finales.exceptions import InputError
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


def run_server(settings: ServerSettings, *, is_open: bool = False) -> None:
    """Serve until it is told to stop.

    :param is_open: whether other machines may reach it; passwords then travel as they are unless a proxy speaks TLS.
    :raises InputError: when the address is no loopback and it is not said that others may reach it.
    """
    from aiida_finales.server.app import create_app

    if not is_open and not is_loopback(settings.host):
        raise InputError(
            f"host is {settings.host}, which other machines reach, and the server speaks no TLS: put a proxy that does "
            "in front of 127.0.0.1, or say --open"
        )
    server = Server(create_app(settings), settings.host, settings.port)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)  # the log says why
