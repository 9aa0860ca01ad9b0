"""Figures of a campaign as SVG, drawn once for each state of it."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from threading import Lock
from typing import Any

from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.words import progress_words

#: figures that are kept
MOST = 60
#: what each shows, for those who do not see it
WORDS = {
    "progress": "Each result in its order, the best so far, and what the model believes the best to be",
    "triangle": "Where the campaign looked in the triangle of compositions, coloured by value",
    "molality": "Values against the molality of the salt",
}

_DRAWN: OrderedDict[str, bytes] = OrderedDict()
#: matplotlib draws one figure at a time: its settings belong to the program
_LOCK = Lock()


def names_of(overview: Overview) -> list[str]:
    """Return the figures that a campaign has by now."""
    if not any(item.is_used and item.value is not None for item in overview.evaluations):
        return []
    is_triangle = len(overview.components) == 3 and overview.problem is not None  # noqa: PLR2004 - three corners
    return ["progress", *(["triangle"] if is_triangle else []), "molality"]


def state_of_figures(overview: Overview) -> str:
    """Return a short text that is another one as soon as the figures are."""
    content = (overview.evaluations, overview.forecasts, overview.recommendation, overview.unit)
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

    from aiida_finales.operations.campaign.figures import draw_progress
    from aiida_finales.operations.campaign.molality import draw_molality
    from aiida_finales.operations.campaign.style import STYLE
    from aiida_finales.operations.campaign.triangle import draw_triangle

    makers: dict[str, Any] = {"progress": draw_progress, "molality": draw_molality, "triangle": draw_triangle}
    file = io.BytesIO()
    metadata = {"Title": f"{WORDS[name]} ({overview.name})", "Description": progress_words(overview), "Date": None}
    # text as text, so that it stays sharp and can be searched
    with rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": "aiida-finales"}):
        makers[name](overview).savefig(file, format="svg", metadata=metadata)
    return file.getvalue()
