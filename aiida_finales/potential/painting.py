"""A figure that is data as a picture: of what a learning has, points and lines, by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiida_finales.schemas.chart import QUIET, Axis, Chart, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches of one figure, and figures side by side
WIDTH, HEIGHT, COLUMNS = 5.2, 3.8, 3
#: of matplotlib
PALETTE = tuple(f"C{number}" for number in range(10))


def paint_all(charts: Sequence[Chart], colours: Sequence[str] = PALETTE) -> Figure:
    """Return figures side by side, with what must stand in them once.

    :param colours: of the places of the palette.
    :raises ImportError: when matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(charts))
    rows = math.ceil(len(charts) / columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), layout="constrained")
    figure.suptitle(" ".join(dict.fromkeys(chart.note for chart in charts)), fontsize=10)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, chart in zip(places, charts, strict=False):
        _paint(axes, chart, colours)
    for axes in places[len(charts) :]:
        axes.set_axis_off()
    return figure


def _paint(axes: Axes, chart: Chart, colours: Sequence[str]) -> None:
    for series in chart.series:
        _paint_series(axes, series, "0.5" if series.place == QUIET else colours[series.place % len(colours)])
    axes.set_title(chart.title, loc="left", fontsize=10)
    # what an axis begins with counts for its margin: the largest value would else be cut
    for axis, is_x in ((chart.x, True), (chart.y, False)):
        if axis.low is not None:
            axes.update_datalim([(axis.low, axis.low)], updatex=is_x, updatey=not is_x)
    axes.autoscale_view()
    axes.set(xlabel=chart.x.title, ylabel=chart.y.title, xlim=_ends(chart.x), ylim=_ends(chart.y))
    if chart.x.labels:
        axes.set_xticks(range(len(chart.x.labels)), chart.x.labels, rotation=30, ha="right", fontsize="small")
        axes.margins(x=0.1)
    if chart.x.is_whole:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if any(series.name for series in chart.series):
        axes.legend(fontsize="x-small")


def _ends(axis: Axis) -> tuple[float | None, float | None]:
    return axis.low, axis.high


def _paint_series(axes: Axes, series: Series, colour: str) -> None:
    x, y = [mark.x for mark in series.marks], [mark.y for mark in series.marks]
    label = series.name or "_"
    if series.kind == "line":
        axes.plot(x, y, "--" if series.is_dashed else "-", color=colour, lw=1.0, label=label)
    else:
        face = "none" if series.is_open else colour
        size = 9.0 if series.is_big else 4.0
        axes.plot(x, y, "o", color=colour, markerfacecolor=face, alpha=0.8, label=label, markersize=size)
