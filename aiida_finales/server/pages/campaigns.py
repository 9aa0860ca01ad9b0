"""Campaigns: how far they are, what they found, and what comes next and why."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import OrderedDict
from importlib.util import find_spec
from threading import Lock
from typing import Any

from fastapi import Request, Response

from aiida_finales.calculations.suggest import describe_expected, describe_point
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import born, pk_of
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import CampaignFileError, UnknownNodeError
from aiida_finales.operations.campaign.evaluation import linked_inputs
from aiida_finales.operations.campaign.front import FIGURES, list_figures
from aiida_finales.operations.campaign.overview import Overview, list_overviews, read_overview
from aiida_finales.operations.campaign.words import (
    describe_overview,
    format_rows,
    open_lines,
    progress_words,
    table_rows,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.server.context import ContextDep
from aiida_finales.server.pages.page import new_router, render
from aiida_finales.server.pages.session import ViewerDep

router = new_router()


#: status by which htmx learns that there is nothing more to ask for
OVER = 286


@router.get("/campaigns")
async def show_campaigns(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """List the campaigns: those that failed first, then the others, the latest first."""
    rows = await context.orm.call(lambda: [describe_overview(item) for item in list_overviews()])
    return render(request, "campaigns.html", user, rows=sorted(rows, key=lambda row: row["cure"] is not None)[::-1])


@router.get("/campaigns/{name}")
async def show_campaign(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show a campaign."""
    content = await context.orm.call(_look, name)
    return render(request, "campaign.html", user, name=name, **content)


@router.get("/campaigns/{name}/live")
async def refresh_campaign(request: Request, name: str, context: ContextDep, user: ViewerDep) -> Response:
    """Return the part of a campaign's page that changes by itself."""
    content = await context.orm.call(_look, name)
    code = OVER if content.get("is_ended") else 200
    return render(request, "campaign_live.html", user, code, name=name, **content)


@router.get("/campaigns/{name}/figures/{figure}.svg")
async def show_figure(name: str, figure: str, context: ContextDep, _: ViewerDep) -> Response:
    """Return a figure."""
    overview = await context.orm.call(lambda: read_overview(CampaignGroup.find(name)))
    svg = await asyncio.to_thread(draw, overview, figure)
    # its address holds the state that it shows, and it is for whoever is logged in
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "private, max-age=3600"})


def _look(name: str) -> Json:
    group = CampaignGroup.find(name)
    try:
        overview = read_overview(group)
    except CampaignFileError as error:
        return {"campaign": None, "words": str(error), "is_ended": False}
    can_draw = find_spec("matplotlib") is not None
    return {
        "campaign": describe_overview(overview),
        "words": progress_words(overview),
        "is_ended": overview.is_ended,
        "is_ok": overview.is_ok,
        "n_done": overview.n_done,
        "n_limit": overview.n_limit,
        "open_lines": open_lines(overview),
        "columns": [f"x_{chemical_label(component)}" for component in overview.components],
        "numbers": list(overview.units.items()) if len(overview.campaign.goals) > 1 else [],
        "variables": [*overview.campaign.variables, *overview.campaign.categories],
        "rows": format_rows(table_rows(overview))[::-1],
        "figures": [(item, WORDS[item]) for item in names_of(overview)] if can_draw else [],
        "can_draw": can_draw,
        "state": state_of_figures(overview),
        "suggestion": _latest_suggestion(group, overview),
    }


def _latest_suggestion(group: CampaignGroup, overview: Overview) -> Json | None:
    """Return what the optimiser proposed last, and why; a last word without proposal is the recommendation."""
    nodes = (node for node in group.nodes if isinstance(node, SuggestionData) and node.source_name)
    suggestions = sorted(nodes, key=born)
    if not suggestions:
        return None
    node = suggestions[-1]
    document = node.document
    x = document.get("x")
    return {
        "pk": pk_of(node),
        "step": node.step,
        "source": node.source_name,
        "formulation": describe_point(overview.problem, x, document.get("category")) if x and overview.problem else "",
        "acquisition": document.get("acquisition"),
        "reason": document.get("reason"),
        "predicted": document.get("predicted") if len(overview.campaign.optimised) == 1 else None,
        "expected": describe_expected(document) if len(overview.campaign.optimised) > 1 else "",
        "gain": document.get("expected_gain"),
        "n_learned": len(linked_inputs(node.creator, "results__")) if node.creator else 0,
        "n_pending": len(linked_inputs(node.creator, "pending__")) if node.creator else 0,
        "excluded": document.get("excluded") or {},
    }


#: figures that are kept
MOST = 60
#: what each shows, for those who do not see it
WORDS = {
    "progress": "Each result in its order, the best so far, and what the model believes the best to be",
    "triangle": "Where the campaign looked in the triangle of compositions, coloured by value",
    "molality": "Values against the molality of the salt",
    "front": "One objective against the other, in the order of the results, with the front measured and predicted",
    "parallel": "All objectives of each point side by side, each from its worst to its best",
    "hypervolume": "What the measured points dominate, against the number of results",
}

_DRAWN: OrderedDict[str, bytes] = OrderedDict()
#: matplotlib draws one figure at a time: its settings belong to the program
_LOCK = Lock()


def names_of(overview: Overview) -> list[str]:
    """Return the figures that a campaign has by now."""
    if not any(item.is_used and item.value is not None for item in overview.evaluations):
        return []
    if len(overview.campaign.optimised) > 1:
        found = list_figures(overview)
        return [*found, "molality"] if found else []
    is_triangle = len(overview.components) == 3 and overview.problem is not None  # noqa: PLR2004 - three corners
    return ["progress", *(["triangle"] if is_triangle else []), "molality"]


def state_of_figures(overview: Overview) -> str:
    """Return a short text that is another one as soon as the figures are."""
    content = (overview.evaluations, overview.forecasts, overview.recommendation, overview.unit, overview.front)
    return hashlib.sha256(repr((overview.name, content)).encode()).hexdigest()[:16]


def draw(overview: Overview, name: str) -> bytes:
    """Return a figure as SVG with title and description; takes a second when it was not drawn before.

    :raises UnknownNodeError: when the campaign has no such figure yet.
    """
    if name not in names_of(overview):
        there = ", ".join(names_of(overview)) or "none yet"
        raise UnknownNodeError(f"no figure {name!r} of campaign {overview.name!r}; there are {there}")
    key = f"{name} {state_of_figures(overview)}"
    with _LOCK:
        if key not in _DRAWN:
            _DRAWN[key] = _draw(overview, name)
            while len(_DRAWN) > MOST:
                _DRAWN.popitem(last=False)
        return _DRAWN[key]


def _draw(overview: Overview, name: str) -> bytes:
    from matplotlib import rc_context

    from aiida_finales.operations.campaign.figures import draw_progress, draw_salt
    from aiida_finales.operations.campaign.style import STYLE
    from aiida_finales.operations.campaign.triangle import draw_triangle

    makers: dict[str, Any] = {
        "progress": draw_progress,
        "molality": draw_salt,
        "triangle": draw_triangle,
        **FIGURES,
    }
    file = io.BytesIO()
    metadata = {"Title": f"{WORDS[name]} ({overview.name})", "Description": progress_words(overview), "Date": None}
    # text as text, so that it stays sharp and can be searched
    with rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": "aiida-finales"}):
        makers[name](overview).savefig(file, format="svg", metadata=metadata)
    return file.getvalue()
