"""The composition triangle: a stretched view of where the campaign looked, and the whole triangle as an inset.

Battery electrolytes lie in a thin strip at the foot of the triangle, so the strip is stretched upwards. The map stays
linear: straight lines are straight, and the three families of grid lines are read as in any triangle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.operations.campaign.evaluation import Point
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.style import (
    ACCENT,
    COLOUR_MAP,
    TRUTH,
    colour_scale,
    label_axis,
    label_of,
    name_source,
    name_truth,
    new_figure,
    short,
    style_of,
    used_by_source,
)
from aiida_finales.operations.campaign.truth import find_true_optimum
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import find_chemical

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: height of the drawn strip in units of its width
ASPECT = 0.62
#: free space around the points, as a share of their extent
MARGIN = 0.08
GRID: dict[str, Any] = {"color": "0.8", "linewidth": 0.7, "zorder": 0}


@dataclass(frozen=True)
class View:
    """A linear map from compositions to the plane: ``x = right + top / 2``, ``y = stretch * top``.

    :param top: the component of the upper corner (the salt, where there is one).
    :param right: of the right corner.
    :param left: of the left corner.
    :param low: least and greatest mole fraction shown, of right.
    :param high: greatest mole fraction shown, of top.
    """

    top: str
    right: str
    left: str
    low: tuple[float, float]
    high: float

    @property
    def stretch(self) -> float:
        """Height per mole fraction of the top component."""
        return ASPECT * (self.low[1] - self.low[0]) / self.high

    def place(self, top: Any, right: Any) -> tuple[Any, Any]:
        """Return where a composition is drawn."""
        return np.asarray(right) + 0.5 * np.asarray(top), self.stretch * np.asarray(top)

    def place_point(self, point: Point) -> tuple[float, float]:
        """Return where mole fractions by component are drawn."""
        x, y = self.place(point.get(self.top, 0.0), point.get(self.right, 0.0))
        return float(x), float(y)


def draw_triangle(overview: Overview) -> Figure:
    """Draw the compositions of a campaign of three chemicals, coloured by value."""
    figure, axes = new_figure(overview, "Where the campaign looked", pad=34)
    regions = design_space(overview.problem or {})
    view = choose_view(overview.components, regions, used_points(overview))
    _draw_grid(axes, view)
    for corners in regions:
        outline = [view.place_point(point) for point in corners]
        axes.fill(*zip(*outline, strict=True), facecolor="0.93", edgecolor="0.35", linewidth=1.2, zorder=-0.5,
                  label="design space of the target" if corners is regions[0] else None)  # fmt: skip
        axes.plot(*zip(*outline, outline[0], strict=True), color="0.35", linewidth=1.2, zorder=1)
    scatter = _draw_results(axes, overview, view)
    if overview.recommendation:
        x, y = view.place_point(overview.recommendation.fractions)
        axes.plot([x], [y], "*", color=ACCENT, markersize=19, markeredgecolor="white", zorder=5,
                  label=f"recommended: {short(overview.recommendation, overview)}")  # fmt: skip
    truth = find_true_optimum(overview)
    if truth is not None:
        x, y = view.place_point(truth.fractions)
        axes.plot([x], [y], zorder=6, label=name_truth(truth, overview), **TRUTH)
    figure.colorbar(scatter, ax=axes, label=label_axis(overview), fraction=0.045, pad=0.02)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9.5)
    _draw_inset(axes, overview, view, regions)
    return figure


def design_space(document: Json) -> list[list[Point]]:
    """Return the corners of each region of the target, in order around it; mole fractions by component.

    :param document: the optimiser's problem.
    """
    from scipy.spatial import ConvexHull, QhullError

    from aiida_finales.optimisation.polytope import find_corners
    from aiida_finales.optimisation.problem import Problem

    problem = Problem.from_dict(document)
    answer: list[list[Point]] = []
    for region in problem.sources[problem.index(problem.target)].regions:
        corners = find_corners(region)
        try:
            order = ConvexHull(corners[:, :2]).vertices
        except QhullError:  # a line, or a point: any order will do
            order = np.arange(len(corners))
        answer.append([dict(zip(region.names, corners[index].tolist(), strict=True)) for index in order])
    return answer


def used_points(overview: Overview) -> list[Point]:
    """Return where the results are that count."""
    return [item.fractions for item in overview.evaluations if item.is_used]


def choose_view(components: Sequence[str], regions: list[list[Point]], results: Sequence[Point] = ()) -> View:
    """Return the part of the triangle that holds the design space and all results."""
    salts = [name for name in components if (chemical := find_chemical(name)) and chemical.is_salt]
    top = (salts or list(components))[0]
    right, left = [name for name in components if name != top]
    points = [*(corner for corners in regions for corner in corners), *results]
    shares = np.array([[point.get(top, 0.0), point.get(right, 0.0)] for point in points])
    high = min(1.0, float(shares[:, 0].max()) * (1 + MARGIN))
    least, most = float(shares[:, 1].min()), float(shares[:, 1].max())
    margin = MARGIN * (most - least)
    return View(top, right, left, (max(0.0, least - margin), min(1.0, most + margin)), high)


def _draw_results(axes: Axes, overview: Overview, view: View) -> Any:
    norm = colour_scale(overview)
    scatter = None
    for source, items in used_by_source(overview).items():
        marker, colour = style_of(overview, source)
        x, y = zip(*(view.place_point(item.fractions) for item in items), strict=True)
        colours = np.array([item.value for item in items], dtype=float)
        # the inside is the value; the edge is the source, as in the other figures
        scatter = axes.scatter(x, y, c=colours, norm=norm, cmap=COLOUR_MAP, marker=marker, s=58, edgecolors=colour,
                               linewidths=1.6, zorder=3)  # fmt: skip
        axes.plot([], [], marker, color=colour, fillstyle="none", markeredgewidth=1.6, markersize=7,
                  label=f"{name_source(overview, source)}, {len(items)}")  # fmt: skip
    return scatter


def _draw_grid(axes: Axes, view: View) -> None:
    """Draw lines of equal mole fraction of each component, with the numbers where each family leaves the view."""
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_xticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    low, most = view.low
    for value, words in _ticks(0.0, view.high):
        x, y = view.place([value, value], [low, most])
        axes.plot(x, y, **GRID)
        axes.text(x[0] - 0.015 * (most - low), y[0], words, ha="right", va="center", fontsize=9)
    for value, words in _ticks(low, most):
        x, y = view.place([0.0, view.high], [value, value])
        axes.plot(x, y, **GRID)
        axes.text(x[0], y[0] - 0.02 * (most - low), words, ha="center", va="top", fontsize=9)
    _draw_left_family(axes, view)
    _name_axes(axes, view)


def _draw_left_family(axes: Axes, view: View) -> None:
    """Draw the lines of equal mole fraction of the left component; their numbers stand above."""
    low, most = view.low
    for value, words in _ticks(1 - most - view.high, 1 - low):
        top = np.linspace(0, view.high, 60)
        right = 1 - value - top
        inside = (right >= low) & (right <= most)
        if inside.any():
            x, y = view.place(top[inside], right[inside])
            axes.plot(x, y, linestyle=(0, (2, 2)), **GRID)
            if inside[-1]:
                above = y[-1] + 0.015 * (most - low)
                axes.text(x[-1], above, words, ha="center", va="bottom", fontsize=9, color="0.45")


def _name_axes(axes: Axes, view: View) -> None:
    low, most = view.low
    middle = (low + most) / 2
    height = view.stretch * view.high
    axes.text(middle, -0.075 * (most - low), f"mole fraction of {label_of(view.right)}  →  (solid)",
              ha="center", va="top")  # fmt: skip
    above = f"←  mole fraction of {label_of(view.left)}  (dashed)"
    axes.text(middle + view.high / 2, height + 0.06 * (most - low), above, ha="center", va="bottom", color="0.4")
    axes.text(low - 0.12 * (most - low), height / 2, f"mole fraction of {label_of(view.top)}  →",
              ha="center", va="center", rotation=90)  # fmt: skip


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return mole fractions on a grid, each as it is written: all with as many decimals as one of them needs."""
    from matplotlib.ticker import MaxNLocator

    found = [float(value) for value in MaxNLocator(6).tick_values(low, high) if low - 1e-9 <= value <= high + 1e-9]
    decimals = next((n for n in (2, 3) if all(abs(round(value, n) - value) < 1e-9 for value in found)), 4)  # noqa: PLR2004
    return [(value, f"{value:.{decimals}f}") for value in found]


def _draw_inset(axes: Axes, overview: Overview, view: View, regions: list[list[Point]]) -> None:
    """Draw the whole triangle in its true shape, so that the stretched view can be found in it."""
    inset = axes.inset_axes((0.93, 1.04, 0.16, 0.13))  # above the strip: no data there
    inset.set_axis_off()
    inset.set_aspect("equal")
    place: Callable[[Point], tuple[float, float]] = lambda point: (  # noqa: E731
        point.get(view.right, 0.0) + 0.5 * point.get(view.top, 0.0),
        np.sqrt(3) / 2 * point.get(view.top, 0.0),
    )
    inset.plot([0, 1, 0.5, 0], [0, 0, np.sqrt(3) / 2, 0], color="0.3", linewidth=1)
    for corners in regions:
        inset.fill(*zip(*(place(point) for point in corners), strict=True), facecolor=ACCENT, alpha=0.6)
    for name, x, y, side, height in (
        (view.left, 0, -0.04, "center", "top"),
        (view.right, 1, -0.04, "center", "top"),
        (view.top, 0.5, 0.9, "center", "bottom"),
    ):
        inset.text(x, y, label_of(name), ha=side, va=height, fontsize=9)
