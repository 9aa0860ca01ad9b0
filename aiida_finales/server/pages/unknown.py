"""Where no page is: people are told so by a page, too."""

from __future__ import annotations

from fastapi import Response

from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.server.pages.page import HOME, new_router
from aiida_finales.server.pages.session import ViewerDep

router = new_router()


@router.get("/static/{path:path}")
async def show_no_file(path: str) -> Response:
    """Refuse a file that no page has: what asks for one cannot log in.

    :raises UnknownNodeError: always.
    """
    raise UnknownNodeError(f"there is no file {HOME}/static/{path}")


@router.get("/{path:path}")
async def show_nothing(path: str, _: ViewerDep) -> Response:
    """Refuse an address that no page has.

    :raises UnknownNodeError: always.
    """
    raise UnknownNodeError(f"there is no page {HOME}/{path}")
