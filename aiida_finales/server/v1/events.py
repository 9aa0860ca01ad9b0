"""What changes, as it changes; and everything at once."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query
from fastapi.responses import FileResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from aiida_finales.exceptions import LoginError, StatusError
from aiida_finales.operations.engine.profile import loaded_profile
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import Context, ContextDep, TokenDep, UserDep
from aiida_finales.server.door import SHARE
from aiida_finales.server.feed import PK
from aiida_finales.server.finales.requests import demand_role

router = APIRouter(tags=["events and export"])

#: s of silence after which a comment is sent, so that proxies keep the connection
SILENCE = 15.0
#: s that an export may take
EXPORT_TIMEOUT = 1800.0
#: copies of everything that are being made or sent: a program of minutes and a file each
MOST_COPIES = 2


@router.get("/v1/events")
async def stream_events(
    context: ContextDep,
    token: TokenDep,
    user: UserDep,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="begin after this event; default: from now")] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=2**62, description="goes before: who connects again repeats the address")
    ] = None,
) -> StreamingResponse:
    """Send each change of a status as a server-sent event, whoever made it: a client, a person, or the daemon."""
    start = after if last_event_id is None else last_event_id
    with context.feed.demand_place(user.name):
        begin = await context.feed.find_last() if start is None else start
    return StreamingResponse(_stream(context, token, user, begin), media_type="text/event-stream")


@router.get("/database_dump/{access_key}")
async def dump(access_key: str, context: ContextDep, user: UserDep) -> FileResponse:
    """Return an AiiDA archive of what has ended and this user may read; the key in the path is not looked at."""
    demand_role(user, "archiver")
    kept = ExitStack()
    try:
        kept.enter_context(_demand_place(context.copies, user.name))
        path = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="finales-export-"))) / "finales.aiida"
        profile = await _export(context, user, path)
    except BaseException:
        kept.close()
        raise
    return _Sent(path, f"finales-{profile}.aiida", kept.close)


@contextmanager
def _demand_place(copies: Counter[str], who: str) -> Iterator[None]:
    if copies[who] >= SHARE * MOST_COPIES:
        raise HTTPException(429, f"{who} is being sent a copy already: wait for its end", {"Retry-After": "60"})
    if copies.total() >= MOST_COPIES:
        raise HTTPException(503, "others are being sent copies: try again later", {"Retry-After": "60"})
    copies[who] += 1
    try:
        yield
    finally:
        copies[who] -= 1


class _Sent(FileResponse):
    """A file; when it was sent, or nobody waits for it any more, something is done.

    :param end: what.
    """

    def __init__(self, path: Path, name: str, end: Callable[[], None]) -> None:
        super().__init__(path, filename=name)
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


async def _export(context: Context, user: User, path: Path) -> str:
    """Write the archive; return the name of the profile.

    :raises StatusError: when it cannot be made.
    """
    profile, hidden = await context.orm.call(lambda: (loaded_profile().name, context.reading.find_hidden(user)))
    # a program of its own: the export takes minutes, and the thread of AiiDA is needed meanwhile
    command = (sys.executable, "-m", "aiida_finales.server.export", profile, str(path))
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe)
    given = json.dumps([sorted(hidden.nodes), sorted(hidden.groups)]).encode()
    try:
        _, said = await asyncio.wait_for(program.communicate(given), EXPORT_TIMEOUT)
    except BaseException:
        program.kill()
        raise
    if program.returncode != 0:
        words = said.decode(errors="replace").strip().splitlines()
        raise StatusError(f"nothing could be exported: {words[-1] if words else 'no reason was given'}")
    return profile


async def _stream(context: Context, token: str, user: User, after: int) -> AsyncIterator[str]:
    yield ": listening\n\n"
    said = time.monotonic()
    with context.feed.demand_place(user.name):
        while not context.ending.is_set() and is_welcome(context, token):
            # the reply itself ends when the client goes away
            events = await context.feed.after(after)
            hidden = (await context.orm.call(context.reading.find_hidden, user)).nodes if events else frozenset()
            for event in events:
                after = event["id"]
                if event[PK] not in hidden:
                    said = time.monotonic()
                    yield _write(event)
            if time.monotonic() - said >= SILENCE:
                said = time.monotonic()
                yield ": nothing new\n\n"
            await context.feed.wait(after)


def _write(event: Json) -> str:
    told = {key: value for key, value in event.items() if key != PK}
    return f"id: {event['id']}\nevent: {event['what']}\ndata: {json.dumps(told)}\n\n"


def is_welcome(context: Context, token: str) -> bool:
    """Return whether a token is still accepted: it may expire or be revoked while somebody listens."""
    try:
        context.gate.identify(token)
    except LoginError:
        return False
    return True
