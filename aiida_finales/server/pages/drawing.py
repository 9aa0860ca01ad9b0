"""Small figures that the server draws as SVG: no script, no style inside; colours are those of the page's classes."""

from __future__ import annotations

import math
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
    xs = [EDGE + index * (WIDTH - 2 * EDGE) / (len(values) - 1) for index in range(len(values))]
    ys = [_scale(value, low, high, HEIGHT) for value in values]
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


#: user units of a figure with axes, and what lies around it
PLOT, LEFT, BOTTOM, TOP, RIGHT = (640, 320), 64, 44, 10, 14
#: marks on an axis, about
TICKS = 5
#: series of one figure that can be told apart
STYLES = 8
#: user units of a box of a graph, and between boxes
BOX, APART = (178, 52), (36, 14)
#: letters that fit into a box
LETTERS = 24


def draw_plot(figure: Json) -> Markup:
    """Return a figure with axes, as :mod:`aiida_finales.operations.origin.raw` describes it."""
    series = [item for item in figure["series"] if item["x"]]
    if not series:
        return Markup()
    xs = [value for item in series for value in item["x"]]
    ys = [value for item in series for key in ("y", "low", "high") for value in item.get(key, ())]
    frame = _Frame(_widen(min(xs), max(xs)), _widen(min(ys), max(ys)), is_equal=bool(figure["is_equal"]))
    parts = [*frame.axes(str(figure["x"]), str(figure["y"]))]
    for number, item in enumerate(series):
        parts += frame.line(item, number % STYLES)
    words = f"{figure['title']}: {', '.join(str(item['name']) for item in series)}"
    return _svg("".join(parts), *PLOT, words, "plot")


def _widen(low: float, high: float) -> tuple[float, float]:
    more = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
    return low - more, high + more


class _Frame:
    """Places values on the paper."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], *, is_equal: bool) -> None:
        self._width, self._height = PLOT[0] - LEFT - RIGHT, PLOT[1] - TOP - BOTTOM
        if is_equal:
            unit = max((x[1] - x[0]) / self._width, (y[1] - y[0]) / self._height)
            x, y = _stretch(x, unit * self._width), _stretch(y, unit * self._height)
        self._x, self._y = x, y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies."""
        left = LEFT + (x - self._x[0]) / (self._x[1] - self._x[0]) * self._width
        return left, TOP + (self._y[1] - y) / (self._y[1] - self._y[0]) * self._height

    def axes(self, x_words: str, y_words: str) -> list[str]:
        """Return the marks, their numbers and what they mean."""
        bottom, right = TOP + self._height, LEFT + self._width
        parts = [f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{self._width}" height="{self._height}"/>']
        for value, text in _ticks(*self._x):
            x, _ = self.place(value, self._y[0])
            parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
        for value, text in _ticks(*self._y):
            _, y = self.place(self._x[0], value)
            parts.append(f'<line class="tick" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        parts.append(f'<text x="{right}" y="{bottom + 36}" text-anchor="end">{escape(x_words)}</text>')
        turned = f'transform="translate(14 {TOP}) rotate(-90)"'
        return [*parts, f'<text {turned} text-anchor="end">{escape(y_words)}</text>']

    def line(self, item: Json, style: int) -> list[str]:
        """Return one series."""
        if item["kind"] == "band":
            edge = [*zip(item["x"], item["high"], strict=True), *reversed([*zip(item["x"], item["low"], strict=True)])]
            return [f'<polygon class="band c{style}" points="{self._points(edge)}"/>']
        points = [*zip(item["x"], item["y"], strict=True)]
        if item["kind"] == "line":
            return [f'<polyline class="line c{style}" points="{self._points(points)}"/>']
        dots = (self.place(*point) for point in points)
        return [f'<circle class="point c{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in dots]

    def _points(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.place(*point) for point in points))


def _stretch(limits: tuple[float, float], length: float) -> tuple[float, float]:
    middle = (limits[0] + limits[1]) / 2
    return middle - length / 2, middle + length / 2


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers within limits, and how they are written."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    values = [number * step for number in range(first, math.floor(high / step) + 1)]
    return [(value, f"{value:.6g}" if abs(value) > step / 2 else "0") for value in values]


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
