"""Start the server."""

from __future__ import annotations

from ipaddress import ip_address

import uvicorn

from aiida_finales.exceptions import InputError
from aiida_finales.server.settings import ServerSettings


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


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
    app = create_app(settings)
    # no line per call: clients that poll write millions of them, and who changed what is in the history
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="info", access_log=False, server_header=False)
