"""The figures of a campaign: conductivity against molality, the composition triangle, and the progress.

matplotlib is imported when a figure is drawn; no display is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.entry_points.overview import Evaluation, Expected, Overview
from aiida_finales.entry_points.records import molality_or_none
from aiida_finales.schemas.chemicals import chemical_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: marker per source, in the order of the campaign file
MARKERS = ("o", "s", "^", "D", "v", "P")
#: colours that remain apart for colour-blind readers (Okabe and Ito)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
ACCENT = "#D55E00"
COLOUR_MAP = "viridis"
SIZE = (7.2, 5.0)
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def draw_figures(overview: Overview) -> dict[str, Figure]:
    """Return the figures of a campaign by name; the triangle only where there are three chemicals."""
    from matplotlib import rc_context

    from aiida_finales.entry_points.triangle import draw_triangle

    with rc_context(STYLE):
        figures = {"molality": draw_molality(overview), "progress": draw_progress(overview)}
        if len(overview.components) == 3:  # noqa: PLR2004 - a triangle has three corners
            figures["triangle"] = draw_triangle(overview)
    return figures


def new_figure(overview: Overview, title: str, pad: float = 8) -> tuple[Figure, Axes]:
    """Return an empty figure that says which campaign it shows, and whether the data are simulated.

    :param pad: points between title and axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(f"{title} ({overview.name})", loc="left", fontsize=12, fontweight="bold", pad=pad)
    if any(item.is_simulated for item in overview.evaluations):
        figure.text(0.995, 0.005, "simulated data", ha="right", va="bottom", color=ACCENT, fontsize=10, style="italic")
    return figure, axes


def style_of(overview: Overview, source: str) -> tuple[str, str]:
    """Return marker and colour of a source."""
    names = list(overview.campaign.sources)
    index = names.index(source) if source in names else len(names)
    return MARKERS[index % len(MARKERS)], COLOURS[index % len(COLOURS)]


def used_by_source(overview: Overview) -> dict[str, list[Evaluation]]:
    """Return the results that count, by source."""
    groups: dict[str, list[Evaluation]] = {}
    for item in overview.evaluations:
        if item.is_used:
            groups.setdefault(item.source, []).append(item)
    return groups


def name_source(overview: Overview, source: str) -> str:
    """Return how a source is called in a legend."""
    remarks = ["target"] if source == overview.target else []
    if any(item.is_simulated and item.source == source for item in overview.evaluations):
        remarks.append("simulated")
    return source.replace("_", " ") + (f" ({', '.join(remarks)})" if remarks else "")


def draw_molality(overview: Overview) -> Figure:
    """Draw the values against the molality of the salt, what was expected, and the recommendation."""
    figure, axes = new_figure(overview, f"{overview.campaign.quantity.capitalize()} against salt content")
    for source, items in used_by_source(overview).items():
        marker, colour = style_of(overview, source)
        points = [(x, item.value) for item in items if (x := molality_or_none(dict(item.fractions))) is not None]
        label = f"{name_source(overview, source)}, {len(points)}"
        axes.plot(*np.array(points, dtype=float).reshape(-1, 2).T, marker, color=colour, label=label,
                  markersize=7, markeredgecolor="white", markeredgewidth=0.6, alpha=0.9)  # fmt: skip
    _draw_expected(axes, overview)
    _draw_optimum(axes, overview)
    axes.set_xlabel("molality of the salt / mol kg$^{-1}$ of solvent")
    axes.set_ylabel(f"{overview.campaign.quantity} / {pretty_unit(overview.unit)}")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", fontsize=10)
    return figure


def _draw_expected(axes: Axes, overview: Overview) -> None:
    """Draw what the model expected of the target where it asked for it."""
    items = [item for item in overview.evaluations if item.expected and item.source == overview.target]
    points = [(molality_or_none(dict(item.fractions)), item.expected) for item in items]
    known = [(x, expected) for x, expected in points if x is not None and expected is not None]
    if known:
        axes.errorbar([x for x, _ in known], [item.mean for _, item in known], yerr=[item.sd for _, item in known],
                      fmt="none", ecolor="0.45", elinewidth=1.2, capsize=2.5, zorder=0,
                      label="suggestion: expected ± 1 sd")  # fmt: skip


def _draw_optimum(axes: Axes, overview: Overview) -> None:
    expected = overview.recommendation
    x = molality_or_none(dict(expected.fractions)) if expected else None
    if expected is None or x is None:
        return
    axes.errorbar([x], [expected.mean], yerr=[expected.sd], fmt="*", color=ACCENT, markersize=17, capsize=4,
                  markeredgecolor="white", zorder=5, label=f"recommended: {short(expected, overview)}")  # fmt: skip


def draw_progress(overview: Overview) -> Figure:
    """Draw each result in its order, the best so far, and what the model believed the best to be."""
    figure, axes = new_figure(overview, "Progress")
    for source, items in used_by_source(overview).items():
        marker, colour = style_of(overview, source)
        values = np.array([item.value for item in items], dtype=float)
        axes.plot([item.number for item in items], values, marker, color=colour, alpha=0.75,
                  markersize=6, markeredgecolor="white", markeredgewidth=0.5,
                  label=name_source(overview, source))  # fmt: skip
    numbers, best = best_so_far(overview)
    axes.step(numbers, best, where="post", color=COLOURS[0], linewidth=2, label="best so far (target)")
    _draw_forecasts(axes, overview)
    n_known = len(overview.evaluations) - overview.n_done
    if n_known:
        axes.axvspan(0.5, n_known + 0.5, color="0.94", zorder=-1, linewidth=0)
        axes.text(0.7, 0.99, "known before", transform=axes.get_xaxis_transform(), va="top", color="0.35", fontsize=10)
    axes.set_xlabel("number of the result")
    axes.set_ylabel(f"{overview.campaign.quantity} / {pretty_unit(overview.unit)}")
    axes.set_xlim(0.5, len(overview.evaluations) + 0.5)
    axes.legend(loc="best", fontsize=10)
    return figure


def best_so_far(overview: Overview) -> tuple[list[int], list[float]]:
    """Return, from the first result of the target on, the number of each result and the best of the target by then."""
    numbers: list[int] = []
    best: list[float] = []
    pick = max if overview.campaign.maximise else min
    for item in overview.evaluations:
        values = [best[-1]] if best else []
        if item.source == overview.target and item.is_used and item.value is not None:
            values.append(item.value)
        if values:
            numbers.append(item.number)
            best.append(pick(values))
    return numbers, best


def _draw_forecasts(axes: Axes, overview: Overview) -> None:
    """Draw what the model expected the optimum to be, after each number of results."""
    if not overview.forecasts:
        return
    latest = dict(overview.forecasts)
    numbers = np.array(sorted(latest))
    mean = np.array([latest[number].mean for number in numbers])
    sd = np.array([latest[number].sd for number in numbers])
    axes.fill_between(numbers, mean - sd, mean + sd, color=ACCENT, alpha=0.18, linewidth=0)
    axes.plot(numbers, mean, color=ACCENT, linewidth=1.5, label="optimum the model believes in, ± 1 sd")


def short(expected: Expected, overview: Overview) -> str:
    """Return an expectation in a few words for a legend."""
    return f"{expected.mean:.3f} ± {expected.sd:.3f} {pretty_unit(overview.unit, is_text=True)}"


def pretty_unit(unit: str, *, is_text: bool = False) -> str:
    """Return a unit as it stands on an axis."""
    if is_text or "/" not in unit:
        return unit or "1"
    above, below = unit.split("/", 1)
    return f"{above} {below}$^{{-1}}$"


def label_of(component: str) -> str:
    """Return the name of a chemical with subscripts."""
    name = chemical_label(component)
    return "".join(f"$_{letter}$" if letter.isdigit() else letter for letter in name)


def colour_scale(overview: Overview) -> Any:
    """Return the normalisation of the colours of all values that count."""
    from matplotlib.colors import Normalize

    values = [item.value for item in overview.evaluations if item.is_used and item.value is not None]
    return Normalize(min(values), max(values))
