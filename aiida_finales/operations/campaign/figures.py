"""The figures of a campaign: values against molality, the composition triangle, and the progress.

matplotlib is imported when a figure is drawn; no display is needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aiida_finales.operations.campaign.overview import Overview, best_so_far
from aiida_finales.operations.campaign.style import (
    ACCENT,
    STYLE,
    TRUTH_LINE,
    draw_points,
    label_axis,
    name_source,
    name_truth,
    new_figure,
    style_of,
    used_by_source,
)
from aiida_finales.operations.campaign.truth import find_true_optimum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_figures(overview: Overview) -> dict[str, Figure]:
    """Return the figures of a campaign by name; the triangle only of three chemicals, with a result that counts.

    That of the molality only where it varies. Of several objectives there are those of the front, one of molality, and
    the others of each objective.
    """
    from matplotlib import rc_context

    from aiida_finales.operations.campaign.front import draw_fronts

    with rc_context(STYLE):
        if len(overview.campaign.optimised) == 1:
            return {**_draw_salt(overview), **_draw_alone(overview)}
        figures = draw_fronts(overview)
        if not figures:
            return {}
        figures |= _draw_salt(overview)
        for name in overview.campaign.optimised:
            alone = _draw_alone(of_objective(overview, name))
            figures |= {f"{kind}_{name}": figure for kind, figure in alone.items()}
    return figures


def _draw_salt(overview: Overview) -> dict[str, Figure]:
    """Return the figure of values against the molality of the salt, of several objectives in a panel each."""
    from aiida_finales.operations.campaign.molality import draw_molality, draw_together, varies

    if not varies(overview):
        return {}
    if len(overview.campaign.optimised) == 1:
        return {"molality": draw_molality(overview)}
    return {"molality": draw_together([of_objective(overview, name) for name in overview.campaign.optimised])}


def _draw_alone(overview: Overview) -> dict[str, Figure]:
    """Return the figures that can show one objective only."""
    from aiida_finales.operations.campaign.triangle import draw_triangle

    figures = {"progress": draw_progress(overview)}
    counts = any(item.is_used and item.value is not None for item in overview.evaluations)
    is_triangle = len(overview.components) == 3 and overview.problem is not None  # noqa: PLR2004 - three corners
    if counts and is_triangle:
        figures["triangle"] = draw_triangle(overview)
    return figures


def of_objective(overview: Overview, name: str) -> Overview:
    """Return a campaign as if it had one objective alone, with the results that tell of it.

    Repetitions and uncertainties are left out of results of another quantity, of which they are.
    """
    goal, campaign = overview.campaign.goals[name], overview.campaign
    alone = campaign.model_copy(
        update={
            "objectives": {name: goal},
            "quantity": name,
            "target": goal.target,
            "maximise": goal.direction != "minimise",
            "transform": goal.transform,
        }
    )
    evaluations = []
    for item in (item for item in overview.evaluations if name in item.numbers):
        is_own = campaign.quantity_of(item.source) == goal.quantity and not goal.number
        told = replace(item, value=item.numbers[name], values=(), spread=None, expected=None)
        evaluations.append(item if is_own else told)
    problem = overview.problem
    if problem is not None:
        first = sorted(problem["objectives"], key=lambda objective: objective["name"] != name)
        problem = {**problem, "objectives": first}
    unit = overview.units.get(name, "")
    return replace(overview, campaign=alone, unit=unit, problem=problem,
                   evaluations=tuple(evaluations), recommendation=None, forecasts=(), front=None)  # fmt: skip


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
    n_known = sum(item.is_known for item in overview.evaluations)
    if n_known:
        axes.axvspan(0.5, n_known + 0.5, color="0.94", zorder=-1, linewidth=0)
        axes.text(0.7, 0.99, "known before", transform=axes.get_xaxis_transform(), va="top", color="0.35", fontsize=10)
    axes.set_xlabel("number of the result")
    axes.set_ylabel(label_axis(overview))
    axes.set_xlim(0.5, len(overview.evaluations) + 0.5)
    # outside: there is no corner in which there are never data
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


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
