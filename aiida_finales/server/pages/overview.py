"""What runs, what waits, what failed, and who must do something."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiida import orm
from fastapi import Request, Response

from aiida_finales.broker.requests import OPEN, list_requests
from aiida_finales.broker.state import STATE, State
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import name_tenants
from aiida_finales.operations.daemon_state import daemon_troubles, read_daemon_state
from aiida_finales.operations.records import describe_request, describe_result
from aiida_finales.server.context import ContextDep
from aiida_finales.server.pages.page import new_router, render
from aiida_finales.server.pages.session import ViewerDep
from aiida_finales.server.pages.tasks import list_rows
from aiida_finales.server.users import User

router = new_router()

Json = dict[str, Any]

#: rows of a table on this page; the lists have all
MOST = 25


@router.get("")
async def show_overview(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Show how things are."""
    return render(request, "overview.html", user, **await context.orm.call(_look, user))


@router.get("/live/overview")
async def refresh_overview(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Return the part of the overview that changes by itself."""
    return render(request, "overview_live.html", user, **await context.orm.call(_look, user))


def _look(user: User) -> Json:
    open_requests = [_row(*item) for item in list_requests(OPEN)]
    return {
        "running": [row for row in open_requests if row["status"] != "pending" and not row["needs_operator"]],
        "waiting": [row for row in open_requests if row["status"] == "pending"],
        "stuck": [row for row in open_requests if row["needs_operator"]],
        "silent": [row for row in open_requests if row["not_heard_from_since"]],
        "tasks": list_rows(user),
        "failed": _failed(),
        "daemon": daemon_troubles(read_daemon_state()),
        "most": MOST,
        "now": datetime.now(UTC),
    }


def _row(request: RequestData, state: State) -> Json:
    lease = state.get("lease_until")
    return {
        **describe_request(request, state),
        "needs_operator": state.get("needs_operator"),
        "tenant": _names().get(str(state.get("tenant")), state.get("tenant")),
        "until": datetime.fromtimestamp(lease, UTC) if isinstance(lease, (int, float)) else None,
    }


def _names() -> dict[str, str]:
    return name_tenants()


def _failed() -> list[Json]:
    """Return the latest results of methods that did not work."""
    query = orm.QueryBuilder().append(
        ResultData,
        filters={"attributes.success": False, f"extras.{STATE}.status": "original"},
        tag="result",
    )
    query.order_by({"result": {"id": "desc"}}).limit(MOST)
    return [describe_result(node) for node in query.all(flat=True)]
