"""Where no page is: people are told so by a page, too; what only takes a form leads to the page on which that is."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.routing import Match

from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.server.pages.page import HOME, go_to, new_router
from aiida_finales.server.pages.session import ViewerDep

router = new_router()


@router.get("/static/{path:path}")
async def show_no_file(path: str) -> Response:
    """Refuse a file that no page has: what asks for one cannot log in.

    :raises UnknownNodeError: always.
    """
    raise UnknownNodeError(f"there is no file {HOME}/static/{path}")


@router.get("/{path:path}")
async def show_nothing(request: Request, path: str, _: ViewerDep) -> Response:
    """Refuse an address that no page has; go to the page whose form is sent there.

    :raises UnknownNodeError: when no form is.
    """
    posted = {**request.scope, "method": "POST"}
    if any(route.matches(posted)[0] is Match.FULL for route in request.app.routes):
        return go_to(f"{HOME}/{path}".rpartition("/")[0])
    raise UnknownNodeError(f"there is no page {HOME}/{path}")
