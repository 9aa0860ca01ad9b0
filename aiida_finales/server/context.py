"""What all routers share: users, the thread of AiiDA, the background; and who calls.

A router asks for them by annotation::

    router = APIRouter()

    @router.get("/v1/something")
    async def something(context: ContextDep, user: UserDep) -> list[str]:
        demand_role(user, "operator")
        return await context.orm.call(function_that_uses_aiida, user)

and is included in :func:`aiida_finales.server.app.create_app`. Nothing of AiiDA may be used outside of ``context.orm``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from aiida_finales.server.access.login import Gate
from aiida_finales.server.access.reading import Reading
from aiida_finales.server.access.users import User, UserStore
from aiida_finales.server.background import Background
from aiida_finales.server.bodies import Bodies
from aiida_finales.server.door import CALLER, WITHOUT_BODY, get_caller, read_token
from aiida_finales.server.feed import Feed
from aiida_finales.server.orm_thread import OrmThread
from aiida_finales.server.settings import ServerSettings


@dataclass(frozen=True)
class Context:
    """What belongs to one server.

    :param copies: how many copies of everything are being made or sent, and for whom.
    :param ending: set when the server is to stop; whoever answers without end must then end.
    """

    settings: ServerSettings
    users: UserStore
    gate: Gate
    orm: OrmThread
    background: Background
    requests: Bodies
    results: Bodies
    feed: Feed
    reading: Reading
    copies: Counter[str] = field(default_factory=Counter)
    ending: asyncio.Event = field(default_factory=asyncio.Event)


def get_context(request: Request) -> Context:
    """Return what belongs to this server."""
    context: Context = request.app.state.context
    return context


# FastAPI runs dependencies that are no coroutines in a thread, which takes longer than they do
async def _depend_on_context(request: Request) -> Context:
    return get_context(request)


#: tells in the description of the interface how one logs in; whether a token is right is decided by the gate
_SCHEME = OAuth2PasswordBearer(tokenUrl="user_management/authenticate", auto_error=False)


async def get_token(request: Request) -> str:
    """Return the token of the call, whatever it is worth.

    :raises LoginError: when there is none.
    """
    return read_token(request)


ContextDep = Annotated[Context, Depends(_depend_on_context)]
TokenDep = Annotated[str, Depends(get_token)]


async def get_user(request: Request, _: Annotated[str | None, Depends(_SCHEME)]) -> User:
    """Return who calls.

    :raises LoginError: when there is no token, or it is not accepted.
    """
    return get_caller(request)


UserDep = Annotated[User, Depends(get_user)]


async def demand_sight(request: Request, context: ContextDep) -> None:
    """Refuse a call that changes what its caller may not see; for all routes. What only reads is narrowed by the door.

    :raises UnknownNodeError: as if it were not there.
    """
    user = request.scope[CALLER]
    named = [str(value) for value in (*request.path_params.values(), *request.query_params.values())]
    if request.method not in WITHOUT_BODY and named and isinstance(user, User):
        await context.orm.call(context.reading.demand, user, named)
