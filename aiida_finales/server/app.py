"""The application: routers, and what they share.

A router is added by importing it here and naming it in :data:`ROUTERS`; how it is written says
:mod:`aiida_finales.server.context`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from fastapi import FastAPI

from aiida_finales import __version__
from aiida_finales.schemas.finales_form import request_document, result_document
from aiida_finales.server import pages, v1
from aiida_finales.server.access.login import Gate
from aiida_finales.server.access.private_files import read_signing_key
from aiida_finales.server.access.users import UserStore
from aiida_finales.server.background import Background
from aiida_finales.server.bodies import Bodies
from aiida_finales.server.context import Context
from aiida_finales.server.errors import add_error_handlers
from aiida_finales.server.finales import routes as finales
from aiida_finales.server.middleware import BodyLimit, BothSlashes
from aiida_finales.server.notify.loop import Notifier
from aiida_finales.server.orm_thread import OrmThread
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
    )
    app.state.context = context
    add_error_handlers(app)
    app.add_middleware(BodyLimit, limit=settings.body_limit)
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
    )
