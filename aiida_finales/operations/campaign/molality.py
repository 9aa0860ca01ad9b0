"""Values against the molality of the salt: one panel per quantity, for one campaign or several together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.operations.campaign.evaluation import Evaluation
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.style import (
    ACCENT,
    SIZE,
    STYLE,
    TRUTH,
    draw_points,
    label_axis,
    mark_simulated,
    name_quantity,
    name_source,
    name_truth,
    new_canvas,
    new_figure,
    short,
    style_of,
    used_by_source,
)
from aiida_finales.operations.campaign.truth import find_true_optimum
from aiida_finales.schemas.chemicals import find_chemical, molality_or_none
from aiida_finales.schemas.values import PER_CELL, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: width of a panel of several, relative to a figure of one
PANEL = 0.95
#: above the highest value, as a share of it
HEADROOM = 1.05
#: lowest value, as a share of the highest, from which the axis does not begin at 0
NARROW = 0.6
#: share by which molalities differ that rounding left apart
SAME = 1e-3


def varies(overview: Overview) -> bool:
    """Return whether results of the same salts differ in molality: else there is nothing to draw against it."""
    found: dict[frozenset[str], list[float]] = {}
    for item in overview.evaluations:
        x = molality_or_none(item.fractions)
        if item.is_used and x is not None:
            present = (find_chemical(name) for name, share in item.fractions.items() if share > 0)
            salts = frozenset(known.name for known in present if known and known.is_salt)
            found.setdefault(salts, []).append(x)
    return any(max(values) - min(values) > SAME * max(values) for values in found.values())


def draw_molality(overview: Overview) -> Figure:
    """Draw the values of a campaign, what was expected, and the recommendation."""
    figure, axes = new_figure(overview, f"{name_quantity(overview).capitalize()} against salt content")
    _draw_panel(axes, [overview])
    return figure


def draw_together(overviews: Sequence[Overview]) -> Figure:
    """Draw several campaigns side by side, one panel per quantity; those of one quantity share a panel."""
    from matplotlib import rc_context

    by_quantity: dict[str, list[Overview]] = {}
    for overview in overviews:
        by_quantity.setdefault(overview.campaign.quantity, []).append(overview)
    with rc_context(STYLE):
        figure = new_canvas((PANEL * SIZE[0] * len(by_quantity), SIZE[1]))
        panels = np.atleast_1d(np.asarray(figure.subplots(1, len(by_quantity))))
        for letter, axes, members in zip("abcdefgh", panels, by_quantity.values(), strict=False):
            names = ", ".join(item.name for item in members)
            title = f"{letter}  {name_quantity(members[0]).capitalize()} ({names})"
            axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
            _draw_panel(axes, members)
        mark_simulated(figure, overviews)
    return figure


def _draw_panel(axes: Axes, overviews: Sequence[Overview]) -> None:
    offset = 0
    for overview in overviews:
        owner = f"{overview.name}: " if len(overviews) > 1 else ""
        is_per_cell = overview.campaign.quantity in PER_CELL
        for source, items in used_by_source(overview).items():
            marker, colour = style_of(overview, source, offset)
            style = {"marker": marker, "color": colour}
            found = [(x, item) for item in items if (x := molality_or_none(item.fractions)) is not None]
            label = f"{owner}{name_source(overview, source)}, {len(found)}"
            (_draw_cells if is_per_cell else _draw_values)(axes, found, style, label)
        offset += len(overview.campaign.sources)
        _draw_expected(axes, overview, owner)
        _draw_optimum(axes, overview, owner)
        _draw_truth(axes, overview, owner)
    axes.set_xlabel("molality of the salt / mol kg$^{-1}$ of solvent")
    axes.set_ylabel(label_axis(overviews[0]))
    low, high = axes.get_ylim()
    values = [item.value or 0.0 for overview in overviews for item in overview.evaluations if item.is_used]
    # what varies little beside its size, as a density, would be a line
    if low < NARROW * high and min(values, default=0.0) >= 0:
        axes.set_ylim(0, HEADROOM * high)
    if not axes.get_legend_handles_labels()[0]:
        return
    # below the axes: cells and intervals leave no corner free
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=4.5, fontsize=9)


def _draw_values(axes: Axes, found: list[tuple[float, Evaluation]], style: dict[str, Any], label: str) -> None:
    draw_points(axes, found, {**style, "markersize": 7}, label)


def _draw_cells(axes: Axes, found: list[tuple[float, Evaluation]], style: dict[str, Any], label: str) -> None:
    """Draw every valid cell as a point with its stated uncertainty, the median of a formulation as a bar.

    A cell whose end of life was not reached is an open triangle: it lives longer than that.
    """
    colour = style["color"]
    cells = [(x, cell) for x, item in found for cell in item.values if cell.is_valid]
    for is_reached, look in ((True, style), (False, {"marker": "^", "color": colour, "fillstyle": "none"})):
        chosen = [(x, cell) for x, cell in cells if cell.is_reached is is_reached]
        if chosen:
            words = f"cells, {len(chosen)}" if is_reached else f"cells alive at the end, {len(chosen)}"
            axes.errorbar([x for x, _ in chosen], [_height(cell) for _, cell in chosen],
                          yerr=[cell.uncertainty or 0.0 for _, cell in chosen], linestyle="none", markersize=5,
                          alpha=0.45, elinewidth=0.8, label=f"{words} (± as predicted)", **look)  # fmt: skip
    axes.plot([x for x, _ in found], [item.value for _, item in found], "_", color=colour, markersize=20,
              markeredgewidth=3, zorder=3, label=f"median of {label}")  # fmt: skip


def _height(cell: Value) -> float:
    return float("nan") if cell.value is None else cell.value


def _draw_expected(axes: Axes, overview: Overview, owner: str) -> None:
    """Draw what the model expected of the target where it asked for it."""
    items = [item for item in overview.evaluations if item.expected and item.source == overview.target]
    points = [(molality_or_none(item.fractions), item.expected) for item in items]
    known = [(x, expected) for x, expected in points if x is not None and expected is not None]
    if known:
        axes.errorbar([x for x, _ in known], [item.mean for _, item in known],
                      yerr=np.array([[item.mean - item.low, item.high - item.mean] for _, item in known]).T,
                      fmt="_", color="0.45", markersize=9, elinewidth=1.2, capsize=2.5, zorder=0,
                      label=f"{owner}suggestion: expected ± 1 sd")  # fmt: skip


def _draw_optimum(axes: Axes, overview: Overview, owner: str) -> None:
    expected = overview.recommendation
    x = molality_or_none(expected.fractions) if expected else None
    if expected is None or x is None:
        return
    axes.errorbar([x], [expected.mean], yerr=[[expected.mean - expected.low], [expected.high - expected.mean]], fmt="*",
                  color=ACCENT, markersize=17, capsize=4, markeredgecolor="white", zorder=5,
                  label=f"{owner}recommended: {short(expected, overview)}")  # fmt: skip


def _draw_truth(axes: Axes, overview: Overview, owner: str) -> None:
    """Draw the true optimum where a simulated laboratory knows it."""
    truth = find_true_optimum(overview)
    x = molality_or_none(truth.fractions) if truth else None
    if truth is not None and x is not None:
        axes.plot([x], [truth.mean], zorder=6, label=f"{owner}{name_truth(truth, overview)}", **TRUTH)
