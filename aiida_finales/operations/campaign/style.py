"""Colours, markers and axes that all figures of a campaign share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.operations.campaign.evaluation import Evaluation, Expected
from aiida_finales.operations.campaign.overview import Overview
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
        write_simulated(figure)


def write_simulated(figure: Figure) -> None:
    """Write on a figure that data in it are simulated."""
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


def short(expected: Expected, overview: Overview) -> str:
    """Return an expectation in a few words for a legend."""
    return format_value(expected.mean, expected.sd, pretty_unit(overview.unit, is_text=True))


def name_quantity(overview: Overview) -> str:
    """Return what a campaign optimises in words; another number of a result has the name of its objective."""
    name, goal = next(iter(overview.campaign.optimised.items()))
    quantity = name if goal.number else overview.campaign.quantity
    return {"degradationEOL": "end of life"}.get(quantity, quantity.replace("_", " "))


def label_axis(overview: Overview, *, is_text: bool = False) -> str:
    """Return quantity and unit as they stand on an axis."""
    return f"{name_quantity(overview)} / {pretty_unit(overview.unit, is_text=is_text)}"


def pretty_unit(unit: str, *, is_text: bool = False) -> str:
    """Return a unit as it stands on an axis."""
    if is_text or "/" not in unit:
        return unit or "1"
    above, below = unit.translate({ord("²"): "2", ord("³"): "3"}).split("/", 1)
    name = below.rstrip("0123456789")
    return f"{above} {name}$^{{-{below[len(name) :] or 1}}}$"


def label_of(component: str) -> str:
    """Return the name of a chemical with subscripts."""
    name = chemical_label(component)
    return "".join(f"$_{letter}$" if letter.isdigit() else letter for letter in name)


def colour_scale(overview: Overview) -> Any:
    """Return the normalisation of the colours of all values that count."""
    from matplotlib.colors import Normalize

    values = [item.value for item in overview.evaluations if item.is_used and item.value is not None]
    return Normalize(min(values), max(values))
