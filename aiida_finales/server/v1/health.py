"""Whether everything runs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from aiida_finales import __version__
from aiida_finales.operations.engine.daemon import daemon_troubles, read_daemon_state
from aiida_finales.server.context import ContextDep

router = APIRouter(prefix="/v1", tags=["health"])


@router.get("/health")
async def get_health(context: ContextDep) -> dict[str, Any]:
    """Say whether the daemon runs and how many requests wait for their process; needs no login."""
    is_running, troubles = await context.orm.call(_look)
    return {
        "version": __version__,
        "daemon": "running" if is_running else "not running",
        "troubles": troubles,
        "unserved_requests": context.background.n_unserved,
    }


def _look() -> tuple[bool, list[str]]:
    state = read_daemon_state()
    return state.supervisor is not None, [words for words, _ in daemon_troubles(state)]
