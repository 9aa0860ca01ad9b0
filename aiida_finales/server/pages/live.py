"""Tells pages that something has changed; what it is they ask for themselves, each as far as it may be seen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from aiida_finales.server.access.users import User
from aiida_finales.server.context import Context, ContextDep, TokenDep, UserDep
from aiida_finales.server.pages.page import new_router
from aiida_finales.server.v1.events import SILENCE, is_welcome

router = new_router()


@router.get("/events")
async def stream_changes(context: ContextDep, token: TokenDep, user: UserDep) -> StreamingResponse:
    """Send an event whenever anything in the profile has changed, without saying what."""
    with context.feed.demand_place(user.name):
        return StreamingResponse(_stream(context, token, user), media_type="text/event-stream")


async def _stream(context: Context, token: str, user: User) -> AsyncIterator[str]:
    yield ": listening\n\n"
    said = time.monotonic()
    beat = context.feed.beat
    with context.feed.demand_place(user.name):
        while not context.ending.is_set() and is_welcome(context, token):
            await context.feed.wait_for_beat(beat)
            if context.feed.beat != beat:
                beat, said = context.feed.beat, time.monotonic()
                yield "event: changed\ndata: {}\n\n"
            elif time.monotonic() - said >= SILENCE:
                said = time.monotonic()
                yield ": nothing new\n\n"
