"""Style and script: files of the package, for everybody; and the description of the interface that is made of them."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Request, Response

from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.server.pages.page import PageRoute, new_router, render

router = new_router()

FILES = {
    "pages.css": "text/css",
    "laboratory.css": "text/css",
    "htmx.min.js": "text/javascript",
    "htmx.LICENSE.txt": "text/plain",
    "idiomorph-ext.min.js": "text/javascript",
    "idiomorph.LICENSE.txt": "text/plain",
    "echarts.min.js": "text/javascript",
    "echarts.LICENSE.txt": "text/plain",
    "theme.js": "text/javascript",
    "live.js": "text/javascript",
    "typed.js": "text/javascript",
    "charts.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.LICENSE.txt": "text/plain",
    "docs.js": "text/javascript",
}
#: where the published platform describes itself
docs_router = APIRouter(route_class=PageRoute, include_in_schema=False)


@docs_router.get("/docs")
@docs_router.get("/redoc")
async def show_docs(request: Request) -> Response:
    """Describe every path, to read and to try; nothing of it comes from the internet."""
    return render(request, "docs.html")


@router.get("/static/{name}")
async def get_static(name: str) -> Response:
    """Return a file of the pages.

    :raises UnknownNodeError: when there is none of that name.
    """
    if name not in FILES:
        raise UnknownNodeError(f"no file {name!r}; there are {', '.join(FILES)}")
    content = files("aiida_finales.server.pages").joinpath("static", name).read_bytes()
    return Response(content, media_type=FILES[name], headers={"Cache-Control": "public, max-age=3600"})
