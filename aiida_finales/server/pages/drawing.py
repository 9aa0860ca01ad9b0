"""Small figures that the server draws as SVG: no script, no style inside; colours are those of the page's classes."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup, escape

from aiida_finales.schemas import Json
from aiida_finales.schemas.values import format_number

#: user units of a small curve
WIDTH, HEIGHT, EDGE = 160, 36, 3


def draw_curve(values: Sequence[float], unit: str = "") -> Markup:
    """Return the course of a value as a small line with a dot at its end; nothing of fewer than two values."""
    if len(values) < 2:  # noqa: PLR2004 - one point is no course
        return Markup()
    low, high = min(values), max(values)
    # more points than the figure is wide cannot be told apart
    shown = sorted({round(step * (len(values) - 1) / WIDTH) for step in range(WIDTH + 1)})
    xs = [EDGE + index * (WIDTH - 2 * EDGE) / (len(values) - 1) for index in shown]
    ys = [_scale(values[index], low, high, HEIGHT) for index in shown]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    words = f"{len(values)} values, from {format_number(values[0])} to {format_number(values[-1])} {unit}".rstrip()
    return _svg(
        f'<polyline class="curve" points="{points}"/><circle class="dot" cx="{xs[-1]:.1f}" cy="{ys[-1]:.1f}" r="3"/>',
        WIDTH,
        HEIGHT,
        words,
        "spark",
    )


def _scale(value: float, low: float, high: float, height: float) -> float:
    """Return how far down a value lies."""
    share = 0.5 if high == low else (value - low) / (high - low)
    return EDGE + (1 - share) * (height - 2 * EDGE)


def _svg(content: str, width: float, height: float, words: str, kind: str) -> Markup:
    """Return a figure of its own size; what it shows is said in words for those who do not see it."""
    about = f'role="img" aria-label="{escape(words)}" class="{kind}" width="{width}" height="{height}"'
    return Markup(f'<svg viewBox="0 0 {width} {height}" {about}>{content}</svg>')  # noqa: S704 - numbers and escaped


#: user units of a box of a graph, and between boxes
BOX, APART = (178, 52), (36, 14)
#: letters that fit into a box
LETTERS = 24


def draw_graph(graph: Json) -> Markup:
    """Return a graph of boxes that lead to their pages, as :mod:`aiida_finales.operations.origin.graph` makes it."""
    places = [_place(box) for box in graph["boxes"]]
    width = max((x for x, _ in places), default=0) + BOX[0] + 2
    height = max((y for _, y in places), default=0) + BOX[1] + 2
    lines = []
    for first, second in graph["edges"]:
        (x1, y1), (x2, y2) = places[first], places[second]
        x1, y1, y2 = x1 + BOX[0], y1 + BOX[1] / 2, y2 + BOX[1] / 2
        middle = (x1 + x2) / 2
        lines.append(f'<path class="edge" d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"/>')
    boxes = [_box(box, place) for box, place in zip(graph["boxes"], places, strict=True)]
    about = f'class="graph" width="{width}" height="{height}" role="group" aria-label="Where it comes from"'
    content = "".join([*lines, *boxes])
    return Markup(f'<svg viewBox="0 0 {width} {height}" {about}>{content}</svg>')  # noqa: S704 - numbers and escaped


def _place(box: Json) -> tuple[int, int]:
    return 1 + box["column"] * (BOX[0] + APART[0]), 1 + box["row"] * (BOX[1] + APART[1])


def _box(box: Json, place: tuple[int, int]) -> str:
    x, y = place
    words = str(box["words"])
    text = (
        f"<title>{escape(box['title'])}: {escape(words)}</title>"
        f'<rect class="box is-{escape(box["kind"])}" x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>'
        f'<text class="box-title" x="{x + 10}" y="{y + 21}">{escape(_shorten(str(box["title"]), LETTERS - 3))}</text>'
        f'<text class="box-words" x="{x + 10}" y="{y + 40}">{escape(_shorten(words, LETTERS))}</text>'
    )
    if box["kind"] not in PATHS:
        return text
    return f'<a href="{PATHS[box["kind"]]}/{quote(str(box["key"]), safe="")}">{text}</a>'


def _shorten(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


#: where the page of a box is
PATHS = {
    "campaign": "/pages/campaigns",
    "request": "/pages/requests",
    "result": "/pages/results",
    "node": "/pages/nodes",
}
