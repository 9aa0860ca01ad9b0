"""The laboratory as it is now: who does what for whom, what is wrong, what waits for people; and what was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Annotated

from aiida import orm
from fastapi import Query, Request, Response

from aiida_finales.broker.holding import Book, Failure
from aiida_finales.broker.processes import find_given_up
from aiida_finales.broker.requests import open_states
from aiida_finales.broker.state import State
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.operations.campaign.overview import find_failed
from aiida_finales.operations.campaign.words import failure_cure
from aiida_finales.operations.diagnosis.check import Check, shorten
from aiida_finales.operations.diagnosis.requests import check_requests
from aiida_finales.operations.engine.daemon import daemon_troubles, read_daemon_state
from aiida_finales.operations.laboratory.devices import read_laboratory
from aiida_finales.operations.laboratory.things import ask, leave_out_hidden, list_places, list_probes
from aiida_finales.operations.laboratory.timeline import SPANS, choose_span, draw_campaign, draw_timeline
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import Context, ContextDep
from aiida_finales.server.pages.campaigns import list_latest
from aiida_finales.server.pages.page import new_router, render
from aiida_finales.server.pages.session import ViewerDep
from aiida_finales.server.pages.tasks import list_rows
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.wait_any import explain_end

router = new_router()

Word = Annotated[str, Query(max_length=200)]

#: exit statuses of the process of a request that was taken back
TAKEN_BACK = tuple(ServeRequestWorkChain.exit_codes[name].status for name in ("ERROR_RETRACTED", "ERROR_ORPHANED"))
#: rows of a table on this page; the lists have all
MOST = 8
#: s for which what drivers told of themselves is shown before they are asked again, while somebody looks
PROBED_FOR = 30.0
#: s for which a look at the daemon counts
DAEMON_FOR = 5.0
#: open requests that are looked at for troubles, the oldest: whatever their number, the page is quick
MOST_CHECKED = 500


class Probed:
    """What drivers told of themselves, asked again in the background while somebody looks: a page waits for none."""

    def __init__(self) -> None:
        self.told: list[Json] = []
        self.moment: datetime | None = None
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    def look(self, context: Context) -> None:
        """Have them asked unless that was done a moment ago, or is being done."""
        if time.monotonic() > self._due and (self._task is None or self._task.done()):
            self._due = time.monotonic() + PROBED_FOR
            self._task = asyncio.create_task(self._ask(context))

    async def _ask(self, context: Context) -> None:
        probes = await context.orm.call_when_free(list_probes)
        # one after the other: they are programs that start, on a machine that has other work
        told = [await asyncio.to_thread(ask, probe) for probe in probes]
        self.told, self.moment = told, datetime.now(UTC)


@router.get("")
async def show_laboratory(request: Request, context: ContextDep, user: ViewerDep, span: Word = "") -> Response:
    """Show how things are."""
    return render(request, "laboratory.html", user, **await _look(request, context, user, span))


@router.get("/live/laboratory")
async def refresh_laboratory(request: Request, context: ContextDep, user: ViewerDep, span: Word = "") -> Response:
    """Return the part of the page that moves by itself."""
    return render(request, "laboratory_live.html", user, **await _look(request, context, user, span))


@router.get("/timeline/{name}")
async def show_timeline(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show who worked for a campaign, and when."""
    timeline = await context.orm.call(draw_campaign, name)
    return render(request, "timeline.html", user, name=name, timeline=timeline)


async def _look(request: Request, context: Context, user: User, span: str) -> Json:
    state = request.app.state
    if not hasattr(state, "probed"):
        state.probed, state.book = Probed(), Book()
    probed: Probed = state.probed
    probed.look(context)
    content = await context.orm.call(_read, user, span, state.book, probed.told)
    return {**content, "told_at": probed.moment}


def _read(user: User, span: str, book: Book, told: list[Json]) -> Json:
    states = open_states()
    laboratory = read_laboratory(book, states)
    checked = dict(islice(states.items(), MOST_CHECKED))
    tasks, n_tasks = list_rows(user, states, MOST)
    troubles = _find_troubles(checked)
    return {
        "laboratory": laboratory,
        "timeline": draw_timeline(book, span if span in SPANS else choose_span(book), laboratory["tenants"]),
        "spans": list(SPANS),
        "troubles": shorten(troubles),
        "n_troubles": len(troubles),
        "n_unchecked": len(states) - len(checked),
        "tasks": tasks,
        "n_tasks": n_tasks,
        "failed": [_describe_failure(item, laboratory["tenants"]) for item in book.read()[1][: -MOST - 1 : -1]],
        "failed_campaigns": [
            {"name": name, "reason": explain_end(process), "cure": failure_cure(name, pk_of(process))}
            for name, process in find_failed(MOST)
        ],
        "failed_requests": _failed_requests(),
        "daemon": _look_at_daemon(int(time.monotonic() / DAEMON_FOR)),
        "campaigns": list_latest(MOST),
        "places": list_places(),
        "told": leave_out_hidden(told),
        "most": MOST,
        "now": datetime.now(UTC),
    }


@lru_cache(maxsize=1)
def _look_at_daemon(_: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is wrong with the daemon; a look costs as much as the rest of the page, so it counts for a while."""
    return daemon_troubles(read_daemon_state())


def _find_troubles(states: Mapping[int, State]) -> list[Check]:
    """Return what is wrong with open requests, and is so at a second look: some end between two queries."""
    found = [check for check in check_requests(states) if not check.is_well]
    if not found:
        return []
    again = {pk: state for pk, state in open_states().items() if pk in states}
    confirmed = {check.words for check in check_requests(again)}
    return [check for check in found if check.words in confirmed]


def _failed_requests() -> list[Json]:
    """Return the latest requests that were given up, or whose process broke; what was taken back has not failed."""
    pks = find_given_up(MOST, TAKEN_BACK)
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": {"in": pks}}, project="*", tag="process")
    query.append(RequestData, with_outgoing="process", tag="request", project=["uuid", "id", "attributes.quantity"])
    query.order_by({"process": {"id": "desc"}})
    return [
        {"uuid": uuid, "pk": pk, "quantity": quantity, "reason": explain_end(process)}
        for process, uuid, pk, quantity in (query.all() if pks else ())
    ]


def _describe_failure(item: Failure, tenants: list[Json]) -> Json:
    name = next((row["name"] for row in tenants if row["tenant_uuid"] == item.tenant), "")
    return {"pk": item.pk, "quantity": item.quantity, "tenant": name, "moment": item.moment}
