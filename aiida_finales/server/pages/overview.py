"""What runs, what waits, what failed, and who must do something."""

from __future__ import annotations

from datetime import UTC, datetime

from aiida import orm
from fastapi import Request, Response

from aiida_finales.broker.requests import OPEN, list_requests
from aiida_finales.broker.state import STATE, State
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import name_tenants
from aiida_finales.operations.campaign.overview import find_failed
from aiida_finales.operations.campaign.words import failure_cure
from aiida_finales.operations.engine.daemon import daemon_troubles, read_daemon_state
from aiida_finales.operations.request.records import describe_request, describe_result, describe_wait
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.pages.page import new_router, render
from aiida_finales.server.pages.session import ViewerDep
from aiida_finales.server.pages.tasks import list_rows
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.wait_any import explain_end

router = new_router()


#: exit statuses of the process of a request that was taken back
TAKEN_BACK = tuple(ServeRequestWorkChain.exit_codes[name].status for name in ("ERROR_RETRACTED", "ERROR_ORPHANED"))
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
    names = name_tenants()
    open_requests = [_row(*item, names) for item in list_requests(OPEN)]
    return {
        "running": [row for row in open_requests if row["status"] != "pending" and not row["needs_operator"]],
        "waiting": [row for row in open_requests if row["status"] == "pending"],
        "stuck": [row for row in open_requests if row["needs_operator"]],
        "silent": [row for row in open_requests if row["not_heard_from_since"]],
        "tasks": list_rows(user),
        "failed": _failed(),
        "failed_campaigns": [
            {"name": name, "reason": explain_end(process), "cure": failure_cure(name, pk_of(process))}
            for name, process in find_failed(MOST)
        ],
        "failed_requests": _failed_requests(),
        "daemon": daemon_troubles(read_daemon_state()),
        "most": MOST,
        "now": datetime.now(UTC),
    }


def _row(request: RequestData, state: State, names: dict[str, str]) -> Json:
    lease = state.get("lease_until")
    return {
        **describe_request(request, state),
        "waits": describe_wait(state, names),
        "needs_operator": state.get("needs_operator"),
        "tenant": names.get(str(state.get("tenant")), state.get("tenant")),
        "until": datetime.fromtimestamp(lease, UTC) if isinstance(lease, (int, float)) else None,
    }


def _failed_requests() -> list[Json]:
    """Return the latest requests that were given up, or whose process broke; what was taken back has not failed."""
    failed = {"or": [{"attributes.exit_status": {"!in": [0, *TAKEN_BACK]}}, {"attributes.process_state": "excepted"}]}
    query = orm.QueryBuilder().append(RequestData, tag="request", project=["uuid", "id", "attributes.quantity"])
    filters = {"process_type": "aiida.workflows:finales.serve", **failed}
    query.append(orm.WorkChainNode, with_incoming="request", filters=filters, project="*", tag="process")
    query.order_by({"process": {"id": "desc"}}).limit(MOST)
    return [
        {"uuid": uuid, "pk": pk, "quantity": quantity, "reason": explain_end(process)}
        for uuid, pk, quantity, process in query.all()
        if process.is_terminated
    ]


def _failed() -> list[Json]:
    """Return the latest results of methods that did not work."""
    query = orm.QueryBuilder().append(
        ResultData,
        filters={"attributes.success": False, f"extras.{STATE}.status": "original"},
        tag="result",
    )
    query.order_by({"result": {"id": "desc"}}).limit(MOST)
    return [describe_result(node) for node in query.all(flat=True)]
