"""What changes, as it changes; and everything at once."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from aiida.manage import get_manager
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from aiida_finales.broker.state import LOGGER_NAME
from aiida_finales.exceptions import LoginError, StatusError
from aiida_finales.operations.engine.profile import loaded_profile
from aiida_finales.schemas.moment import utc_text
from aiida_finales.server.context import Context, ContextDep, TokenDep, UserDep
from aiida_finales.server.finales.requests import demand_role

router = APIRouter(tags=["events and export"])

#: s between two looks into the history while somebody listens; a look takes a millisecond
POLL_INTERVAL = 1.0
#: s of silence after which a comment is sent, so that proxies keep the connection
SILENCE = 15.0
#: entries that are read at once
MOST = 500
#: s that an export may take
EXPORT_TIMEOUT = 1800.0

_NEW = """
SELECT l.id, l.time, l.metadata, n.uuid, n.node_type FROM db_dblog AS l JOIN db_dbnode AS n ON n.id = l.dbnode_id
WHERE l.id > :after AND l.loggername = :name {settled} ORDER BY l.id LIMIT :limit
"""
#: PostgreSQL numbers entries before it commits them: what is younger than the oldest transaction that still writes may
#: be followed by an entry with a lower number, which whoever asks for later ones would never see
_SETTLED = "AND age(l.xmin) > age(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS xid))"


@router.get("/v1/events")
async def stream_events(
    request: Request,
    context: ContextDep,
    token: TokenDep,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="begin after this event; default: from now")] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=2**62, description="goes before: who connects again repeats the address")
    ] = None,
) -> StreamingResponse:
    """Send each change of a status as a server-sent event, whoever made it: a client, a person, or the daemon."""
    context.gate.identify(token)
    start = after if last_event_id is None else last_event_id
    begin = await context.orm.call(last_event) if start is None else start
    return StreamingResponse(_stream(request, context, token, begin), media_type="text/event-stream")


@router.get("/database_dump/{access_key}")
async def dump(access_key: str, context: ContextDep, user: UserDep) -> FileResponse:
    """Return an AiiDA archive of everything that has ended; the key in the path is not looked at, the role is."""
    demand_role(user, "archiver")
    profile = await context.orm.call(lambda: loaded_profile().name)
    folder = tempfile.TemporaryDirectory(prefix="finales-export-")
    path = Path(folder.name) / "finales.aiida"
    # a program of its own: the export takes minutes, and the thread of AiiDA is needed meanwhile
    command = (sys.executable, "-m", "aiida_finales.server.export", profile, str(path))
    program = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        _, said = await asyncio.wait_for(program.communicate(), EXPORT_TIMEOUT)
    except BaseException:
        program.kill()
        folder.cleanup()
        raise
    if program.returncode != 0:
        folder.cleanup()
        words = said.decode(errors="replace").strip().splitlines()
        raise StatusError(f"nothing could be exported: {words[-1] if words else 'no reason was given'}")
    name = f"finales-{profile}.aiida"
    return FileResponse(path, filename=name, background=BackgroundTask(folder.cleanup))


async def _stream(request: Request, context: Context, token: str, after: int) -> AsyncIterator[str]:
    yield ": listening\n\n"
    silent = 0.0
    while not context.ending.is_set() and _is_welcome(context, token) and not await request.is_disconnected():
        events = await context.orm.call(read_events, after)
        for event in events:
            after = event["id"]
            yield f"id: {after}\nevent: {event['what']}\ndata: {json.dumps(event)}\n\n"
        silent = 0.0 if events else silent + POLL_INTERVAL
        if silent >= SILENCE:
            silent = 0.0
            yield ": nothing new\n\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(context.ending.wait(), POLL_INTERVAL)


def _is_welcome(context: Context, token: str) -> bool:
    """Return whether a token is still accepted: it may expire or be revoked while somebody listens."""
    try:
        context.gate.identify(token)
    except LoginError:
        return False
    return True


def read_events(after: int) -> list[dict[str, Any]]:
    """Return the changes of statuses after an event, oldest first; none with a lower number comes later."""
    with get_manager().get_profile_storage().transaction() as session:
        settled = _SETTLED if session.get_bind().dialect.name == "postgresql" else ""
        statement = sa.text(_NEW.format(settled=settled))
        rows = session.execute(statement, {"after": after, "name": LOGGER_NAME, "limit": MOST}).all()
    return [_event(row) for row in rows]


def _event(row: Any) -> dict[str, Any]:
    entry = row[2] if isinstance(row[2], dict) else json.loads(row[2])
    return {
        "id": row[0],
        "time": utc_text(row[1], "microseconds"),
        "what": row[4].split(".")[-2],
        "uuid": str(row[3]),
        **entry,
    }


def last_event() -> int:
    """Return the number of the latest event, or 0."""
    with get_manager().get_profile_storage().transaction() as session:
        return int(session.execute(sa.text("SELECT max(id) FROM db_dblog")).scalar() or 0)
