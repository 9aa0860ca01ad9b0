"""The application: routers, and what they share.

A router is added by importing it here and naming it in :data:`ROUTERS`; how it is written says
:mod:`aiida_finales.server.context`.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from socket import AI_PASSIVE, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, gaierror, getaddrinfo, socket

import uvicorn
from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from aiida_finales import __version__
from aiida_finales.client.client import is_loopback
from aiida_finales.exceptions import InputError, explain_os_error
from aiida_finales.schemas.finales_form import request_document, result_document
from aiida_finales.server import pages, v1
from aiida_finales.server.access.login import Gate
from aiida_finales.server.access.private_files import read_signing_key
from aiida_finales.server.access.reading import Reading
from aiida_finales.server.access.users import UserStore
from aiida_finales.server.background import Background
from aiida_finales.server.bodies import Bodies
from aiida_finales.server.context import Context, demand_sight
from aiida_finales.server.door import Connection, Door
from aiida_finales.server.errors import add_error_handlers
from aiida_finales.server.feed import Feed
from aiida_finales.server.finales import routes as finales
from aiida_finales.server.notify.loop import Notifier
from aiida_finales.server.orm_thread import OrmThread
from aiida_finales.server.pages.page import refuse_page
from aiida_finales.server.settings import ServerSettings

ROUTERS = (finales.router, *v1.ROUTERS, *pages.ROUTERS)


def create_app(settings: ServerSettings, executor: Executor | None = None) -> FastAPI:
    """Return the application of one server.

    :param executor: where everything of AiiDA runs; default: a thread of its own.
    :raises InputError: when the signing key is readable for others, or the notifications make no sense.
    """
    context = make_context(settings, executor)
    notifier = Notifier(settings.folder, context.orm)

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await context.orm.open()
        context.background.start()
        notifier.start()
        yield
        await notifier.stop()
        await context.background.stop()
        context.orm.close()

    app = FastAPI(
        title="aiida-finales",
        version=__version__,
        description="Requests for quantities, and who answers them: the interface of FINALES 2, and more below /v1.",
        lifespan=live,
        redirect_slashes=False,
        # pages of our own: FastAPI's take their scripts from elsewhere
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(demand_sight)],
    )
    app.state.context = context
    add_error_handlers(app, refuse_page)
    app.add_middleware(Door, gate=context.gate, settings=settings, reading=context.reading, show=refuse_page)
    app.add_middleware(BothSlashes)
    for router in ROUTERS:
        app.include_router(router)
    return app


def make_context(settings: ServerSettings, executor: Executor | None = None) -> Context:
    """Return what the routers share; nothing of AiiDA is loaded yet."""
    users = UserStore(settings.folder)
    orm_thread = OrmThread(settings.profile, executor)
    return Context(
        settings=settings,
        users=users,
        gate=Gate(settings, users, read_signing_key(settings.folder)),
        orm=orm_thread,
        background=Background(orm_thread, settings.submit_interval),
        requests=Bodies("request", request_document),
        results=Bodies("result", result_document),
        feed=Feed(orm_thread, settings.streams_at_once),
        reading=Reading(),
    )


class BothSlashes:
    """Serve each path with and without a slash at the end.

    A redirect would cost clients a round trip and, behind a proxy that speaks TLS, their token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the slash off."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


#: s that calls have to end when the server is told to stop; a client that reads nothing would hold it for ever
PATIENCE = 10


class Server(uvicorn.Server):
    """Serves an application until it is told to stop; tells those who listen to events, for whom it would wait."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        proxies = app.state.context.settings.proxies
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Connection,
            # nothing here speaks it, and what is upgraded would be under none of the limits of a connection
            ws="none",
            # whoever calls may write such headers: they count from the addresses that are named, and from no other
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            log_level="info",
            # no line per call: clients that poll write millions of them, and who changed what is in the history
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=PATIENCE,
        )
        super().__init__(config)
        self._context: Context = app.state.context

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin; what the server is made of is no garbage, and to look for some in it would take a page 0.2 s."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """End in order."""
        gc.unfreeze()
        self._context.ending.set()
        self._context.feed.wake()
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
