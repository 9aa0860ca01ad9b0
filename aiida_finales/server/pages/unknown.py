"""Where no page is: people are told so by a page, too."""

from __future__ import annotations

from fastapi import Response

from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.server.pages.page import HOME, new_router
from aiida_finales.server.pages.session import ViewerDep

router = new_router()


@router.get("/{path:path}")
async def show_nothing(path: str, _: ViewerDep) -> Response:
    """Refuse an address that no page has.

    :raises UnknownNodeError: always.
    """
    raise UnknownNodeError(f"there is no page {HOME}/{path}")
