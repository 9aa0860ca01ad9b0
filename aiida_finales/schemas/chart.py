"""A figure as data: what is drawn, and what each point of it tells; drawn by ``charts.js`` of the pages.

It says nothing of colours in pixels or of a library: a series has a place in the palette, a shape and a kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from aiida_finales.schemas import Json

#: places in the palette that are no source: what the model says, what is known or demanded, and what only helps to read
MODEL, TRUTH, QUIET = -1, -2, -3

#: ``points``; ``line``; ``steps`` (each value holds until the next); ``band`` (between ``low`` and ``high``); ``area``
#: (the inside of a polygon); ``guide`` (a thin line with words at its first point); ``paths`` (each point is a line
#: over all labels of the x axis)
Kind = Literal["points", "line", "steps", "band", "area", "guide", "paths"]
Shape = Literal["circle", "rect", "triangle", "diamond", "arrow", "star"]


@dataclass(frozen=True)
class Axis:
    """One direction of a figure.

    :param title: quantity and unit, as ``conductivity / S/m``.
    :param low: where it begins; where the data do when ``None``.
    :param is_whole: its numbers are whole.
    :param is_bare: it is not drawn: the figure has guides of its own.
    :param labels: for an axis of names instead of numbers.
    """

    title: str
    low: float | None = None
    high: float | None = None
    is_whole: bool = False
    is_bare: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mark:
    """One point of a series.

    :param low: lower end of its error bar, or of the band there, in the unit of the y axis.
    :param value: what its colour says, in the unit of :attr:`Chart.colour`.
    :param title: what it is, in a few words.
    :param lines: all that is known of it: words and what they say.
    :param link: page that a click opens.
    :param path: instead of ``y``: the height (0 to 1) at each label of the x axis.
    """

    x: float
    y: float = 0.0
    low: float | None = None
    high: float | None = None
    value: float | None = None
    title: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    link: str = ""
    path: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Series:
    """What a legend names once, and shows or hides.

    :param name: for the legend; empty: none.
    :param place: in the palette, from 0; below 0 see :data:`MODEL`.
    """

    name: str
    kind: Kind
    marks: tuple[Mark, ...]
    place: int = 0
    shape: Shape = "circle"
    is_dashed: bool = False
    is_open: bool = False
    is_big: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure.

    :param name: as it stands in addresses and files.
    :param words: what it shows, for whoever does not see it.
    :param colour: what the colours of the points say; without it they are those of the series.
    :param note: what must stand in it, as ``simulated data``.
    :param is_equal: a unit is as long on both axes.
    """

    name: str
    title: str
    words: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    colour: Axis | None = None
    note: str = ""
    is_equal: bool = False

    def document(self) -> Json:
        """Return it as JSON; what is as by default is left out."""
        return {
            "name": self.name, "title": self.title, "words": self.words, "note": self.note, "is_equal": self.is_equal,
            "x": _lean(self.x), "y": _lean(self.y), "colour": _lean(self.colour) if self.colour else None,
            "series": [{**_lean(item, skip="marks"), "kind": item.kind, "marks": [_lean(mark) for mark in item.marks]}
                       for item in self.series],
        }  # fmt: skip


def _lean(item: Any, skip: str = "") -> Json:
    defaults = {one.name: one.default for one in fields(item)}
    return {
        name: value
        for name, value in _shallow(item).items()
        if name != skip and (value != defaults[name] or name == "x")
    }


def _shallow(item: Any) -> Json:
    return {one.name: getattr(item, one.name) for one in fields(item)}


def line_of(x: Sequence[float], y: Sequence[float]) -> tuple[Mark, ...]:
    """Return the marks of a line that tells nothing but its numbers."""
    return tuple(Mark(float(a), float(b)) for a, b in zip(x, y, strict=True))


def documents(charts: Sequence[Chart], state: str) -> Json:
    """Return charts as one answer.

    :param state: another one as soon as a chart is.
    """
    return {"state": state, "charts": [chart.document() for chart in charts]}
