"""Small figures that the server draws as SVG: no script, no style inside; colours are those of the page's classes."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

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
