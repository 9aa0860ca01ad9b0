"""The figures of a campaign: values against molality, the composition triangle, and the progress.

matplotlib is imported when a figure is drawn; no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.operations.campaign.overview import Evaluation, Expected, Overview
from aiida_finales.operations.campaign.truth import find_true_optimum
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.values import format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: marker per source, in the order of the campaign file
MARKERS = ("o", "s", "^", "D", "v", "P")
#: colours that remain apart for colour-blind readers (Okabe and Ito)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
ACCENT = "#D55E00"
#: the true optimum of a simulated laboratory, as a point and as a line
TRUTH: dict[str, Any] = {"marker": "*", "color": "black", "fillstyle": "none", "linestyle": "none", "markersize": 15}
TRUTH_LINE: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 3)), "linewidth": 1.0, "zorder": 0}
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
    """Return the figures of a campaign by name; the triangle only of three chemicals, with a result that counts."""
    from matplotlib import rc_context

    from aiida_finales.operations.campaign.molality import draw_molality
    from aiida_finales.operations.campaign.triangle import draw_triangle

    with rc_context(STYLE):
        figures = {"molality": draw_molality(overview), "progress": draw_progress(overview)}
        counts = any(item.is_used and item.value is not None for item in overview.evaluations)
        if counts and len(overview.components) == 3:  # noqa: PLR2004 - a triangle has three corners
            figures["triangle"] = draw_triangle(overview)
    return figures


def new_figure(overview: Overview, title: str, pad: float = 8) -> tuple[Figure, Axes]:
    """Return an empty figure that says which campaign it shows, and whether the data are simulated.

    :param pad: points between title and axes.
    """
    figure = new_canvas(SIZE)
    axes = figure.add_subplot()
    axes.set_title(f"{title} ({overview.name})", loc="left", fontsize=12, fontweight="bold", pad=pad, y=1.0)
    mark_simulated(figure, [overview])
    return figure, axes


def new_canvas(size: tuple[float, float]) -> Figure:
    """Return an empty figure that needs no display; size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure


def mark_simulated(figure: Figure, overviews: Iterable[Overview]) -> None:
    """Write on a figure that data in it are simulated, where they are."""
    if any(item.is_simulated for overview in overviews for item in overview.evaluations):
        figure.text(0.995, 0.005, "simulated data", ha="right", va="bottom", color=ACCENT, fontsize=10, style="italic")


def style_of(overview: Overview, source: str, offset: int = 0) -> tuple[str, str]:
    """Return marker and colour of a source, the same in every figure: they follow the order of the campaign file.

    :param offset: sources of other campaigns that stand before it in the same panel.
    """
    names = list(overview.campaign.sources)
    index = offset + (names.index(source) if source in names else len(names))
    # beyond as many sources as there are colours, each colour meets another marker
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)], COLOURS[index % len(COLOURS)]


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


def draw_progress(overview: Overview) -> Figure:
    """Draw each result in its order, the best so far, and what the model believed the best to be."""
    figure, axes = new_figure(overview, "Progress")
    for source, items in used_by_source(overview).items():
        marker, colour = style_of(overview, source)
        draw_points(axes, [(item.number, item) for item in items], {"marker": marker, "color": colour, "markersize": 6},
                    name_source(overview, source))  # fmt: skip
    numbers, best = best_so_far(overview)
    _, colour = style_of(overview, overview.target)
    axes.step(numbers, best, where="post", color=colour, linewidth=2, label="best so far (target)")
    _draw_forecasts(axes, overview)
    truth = find_true_optimum(overview)
    if truth is not None:
        axes.axhline(truth.mean, label=name_truth(truth, overview), **TRUTH_LINE)
    n_known = len(overview.evaluations) - overview.n_done
    if n_known:
        axes.axvspan(0.5, n_known + 0.5, color="0.94", zorder=-1, linewidth=0)
        axes.text(0.7, 0.99, "known before", transform=axes.get_xaxis_transform(), va="top", color="0.35", fontsize=10)
    axes.set_xlabel("number of the result")
    axes.set_ylabel(label_axis(overview))
    axes.set_xlim(0.5, len(overview.evaluations) + 0.5)
    # outside: there is no corner in which there are never data
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


def draw_points(axes: Axes, found: Sequence[tuple[float, Evaluation]], style: dict[str, Any], label: str) -> None:
    """Draw values at places on the x axis, with the uncertainty of those that have one."""
    errors = np.array([item.uncertainty or np.nan for _, item in found], dtype=float)
    axes.errorbar([x for x, _ in found], np.array([item.value for _, item in found], dtype=float),
                  yerr=errors if np.isfinite(errors).any() else None, linestyle="none", label=label, alpha=0.9,
                  markeredgecolor="white", markeredgewidth=0.6, elinewidth=0.8, capsize=0, **style)  # fmt: skip


def name_truth(truth: Expected, overview: Overview) -> str:
    """Return how the true optimum of a simulated laboratory is called in a legend."""
    return (
        f"true optimum (of the simulation): {format_value(truth.mean, unit=pretty_unit(overview.unit, is_text=True))}"
    )


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
    low = np.array([latest[number].low for number in numbers])
    high = np.array([latest[number].high for number in numbers])
    axes.fill_between(numbers, low, high, color=ACCENT, alpha=0.18, linewidth=0)
    axes.plot(numbers, mean, color=ACCENT, linewidth=1.5, label="optimum the model believes in, ± 1 sd")


def short(expected: Expected, overview: Overview) -> str:
    """Return an expectation in a few words for a legend."""
    return format_value(expected.mean, expected.sd, pretty_unit(overview.unit, is_text=True))


def name_quantity(overview: Overview) -> str:
    """Return what a campaign optimises in words."""
    quantity = overview.campaign.quantity
    return {"degradationEOL": "end of life"}.get(quantity, quantity.replace("_", " "))


def label_axis(overview: Overview) -> str:
    """Return quantity and unit as they stand on an axis."""
    return f"{name_quantity(overview)} / {pretty_unit(overview.unit)}"


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
