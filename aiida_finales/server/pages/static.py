"""Style and script: files of the package, for everybody."""

from __future__ import annotations

from importlib.resources import files

from fastapi import Response

from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.server.pages.page import new_router

router = new_router()

FILES = {"pages.css": "text/css", "htmx.min.js": "text/javascript", "htmx.LICENSE.txt": "text/plain"}


@router.get("/static/{name}")
async def get_static(name: str) -> Response:
    """Return a file of the pages.

    :raises UnknownNodeError: when there is none of that name.
    """
    if name not in FILES:
        raise UnknownNodeError(f"no file {name!r}; there are {', '.join(FILES)}")
    content = files("aiida_finales.server.pages").joinpath("static", name).read_bytes()
    return Response(content, media_type=FILES[name], headers={"Cache-Control": "public, max-age=3600"})
