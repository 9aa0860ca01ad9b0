"""What several objectives are traded for: figures of the front, and the point of it that a person chooses."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.campaign.evaluation import Evaluation
from aiida_finales.operations.campaign.naming import place_words
from aiida_finales.operations.campaign.overview import Front, FrontPoint, Overview
from aiida_finales.operations.campaign.style import ACCENT, COLOUR_MAP, COLOURS, new_figure, pretty_unit
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import molality_or_none
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.values import format_value
from aiida_finales.schemas.words import count
from aiida_finales.science.electrolyte.composition import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: digits of fractions and variables by which two results are of one point: devices dose no finer
SAME_PLACE = 3
#: of what the points span, how far beyond them a reference or a limit is still shown, and the room around it
NEAR, MARGIN = 0.5, 0.04
#: objectives that two axes can show
TWO = 2
#: points of a front that are shown of many
MOST_SHOWN = 12
#: the point of a front that fixed weights prefer
PREFERRED = "best by the weights of the campaign file"
#: what was measured, and what the model expects
KINDS = ("measured", "predicted")


def draw_fronts(overview: Overview) -> dict[str, Figure]:
    """Return the figures of a campaign with several objectives by name."""
    return {name: FIGURES[name](overview) for name in list_figures(overview)}


def list_figures(overview: Overview) -> list[str]:
    """Return the names of the figures that there are by now."""
    if not measured_points(overview):
        return []
    names = ["front"] if len(overview.campaign.optimised) == TWO else ["parallel"]
    return [*names, *(["hypervolume"] if overview.front and overview.front.hypervolumes else [])]


def measured_points(overview: Overview) -> list[tuple[int, dict[str, float]]]:
    """Return the points at which all targets have answered: number of the last result, and values by objective."""
    goals = overview.campaign.optimised
    found: dict[Any, tuple[int, dict[str, float]]] = {}
    for item in (item for item in overview.evaluations if item.is_used):
        own = [name for name, goal in goals.items() if item.source == goal.target]
        told = {name: item.numbers[name] for name in own if name in item.numbers}
        if told:
            _, before = found.get(_place(item), (0, {}))
            found[_place(item)] = (item.number, {**before, **told})
    return [(number, values) for number, values in found.values() if len(values) == len(goals)]


def _place(item: Evaluation) -> Any:
    shares = tuple(sorted((key, round(share, SAME_PLACE)) for key, share in item.fractions.items() if share))
    others = tuple((key, round(value, SAME_PLACE)) for key, value in sorted(item.variables.items()))
    return shares, others, tuple(sorted(item.options.items()))


def draw_front(overview: Overview) -> Figure:
    """Draw one objective against the other: what was measured in its order, the front, and the one predicted."""
    first, second = overview.campaign.optimised
    figure, axes = new_figure(overview, f"{_words(second).capitalize()} against {_words(first)}")
    points = measured_points(overview)
    drawn = axes.scatter([values[first] for _, values in points], [values[second] for _, values in points],
                         c=[number for number, _ in points], cmap=COLOUR_MAP, edgecolors="white", s=60, zorder=3,
                         label=f"measured, {len(points)}")  # fmt: skip
    figure.colorbar(drawn, ax=axes, label="number of the result")
    if overview.front is not None:
        _draw_predicted(axes, overview.front.predicted, first, second)
        _draw_measured(axes, overview.front, first, second)
        for point in (point for point in overview.front.predicted if point.is_preferred):
            axes.plot(
                point.mean[first], point.mean[second], "*", color=ACCENT, markersize=15, zorder=4, label=PREFERRED
            )
    _draw_beside(axes, overview, first, second)
    axes.set_xlabel(_label(overview, first))
    axes.set_ylabel(_label(overview, second))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


def _draw_predicted(axes: Axes, points: Sequence[FrontPoint], first: str, second: str) -> None:
    """Draw the front that the model predicts, with a band of one standard deviation."""
    if not points:
        return
    x, y = (np.array([point.mean[name] for point in points]) for name in (first, second))
    sd = np.array([point.sd.get(second, 0.0) for point in points])
    axes.fill_between(x, y - sd, y + sd, color=ACCENT, alpha=0.18, linewidth=0)
    axes.plot(x, y, color=ACCENT, linewidth=1.5, label="front that the model predicts, ± 1 sd")


def _draw_measured(axes: Axes, front: Front, first: str, second: str) -> None:
    if front.measured:
        axes.plot([point.mean[first] for point in front.measured], [point.mean[second] for point in front.measured],
                  "o--", color="black", fillstyle="none", markersize=11, linewidth=0.8, zorder=2,
                  label=f"front, measured, {len(front.measured)}")  # fmt: skip


def _draw_beside(axes: Axes, overview: Overview, first: str, second: str) -> None:
    """Draw the reference, and what a value must not pass, where they are near the points: these fill the figure."""
    reference = overview.front.reference if overview.front else {}
    spans = {first: axes.get_xlim(), second: axes.get_ylim()}
    view = {name: list(span) for name, span in spans.items()}
    for name, draw in ((first, axes.axvline), (second, axes.axhline)):
        goal = overview.campaign.goals[name]
        for words, limit in (("at least", goal.at_least), ("at most", goal.at_most)):
            if _is_near(limit, spans[name]):
                draw(limit, color="0.4", linestyle=":", linewidth=1.2)
                _widen(view[name], limit)
            elif limit is not None:
                axes.plot([], [], " ", label=f"{_words(name)} {words} {limit:g}, beyond the figure")
    if first in reference and second in reference:
        is_near = all(_is_near(reference[name], spans[name]) for name in spans)
        if is_near:
            axes.plot(reference[first], reference[second], "x", color="0.4", markersize=9, label="reference")
            for name in spans:
                _widen(view[name], reference[name])
        else:
            axes.plot([], [], " ", label=f"reference at {reference[first]:g}, {reference[second]:g}, beyond the figure")
    axes.set_xlim(*view[first])
    axes.set_ylim(*view[second])


def _widen(view: list[float], value: float) -> None:
    """Let a view show a value, with some room around it."""
    room = MARGIN * (view[1] - view[0])
    view[:] = [min(view[0], value - room), max(view[1], value + room)]


def _is_near(value: float | None, span: tuple[float, float]) -> bool:
    """Return whether a value is in a span, or so close that showing it leaves most of the figure to the span."""
    room = NEAR * (span[1] - span[0])
    return value is not None and span[0] - room <= value <= span[1] + room


def draw_parallel(overview: Overview) -> Figure:
    """Draw three objectives and more side by side: a line per point, the measured front in colour."""
    names = list(overview.campaign.optimised)
    figure, axes = new_figure(overview, "Objectives, each from its worst to its best")
    points = [values for _, values in measured_points(overview)]
    best = [dict(point.mean) for point in overview.front.measured] if overview.front else []
    worst, top = (np.array([pick(values[name] * _sign(overview, name) for values in points) for name in names])
                  for pick in (min, max))  # fmt: skip
    for group, colour, label in ((points, "0.75", "measured"), (best, COLOURS[0], "front, measured")):
        for number, values in enumerate(group):
            height = np.array([values[name] * _sign(overview, name) for name in names])
            scaled = (height - worst) / np.where(top > worst, top - worst, 1.0)
            words = None if number else f"{label}, {len(group)}"
            axes.plot(range(len(names)), scaled, linewidth=1.4, color=colour, label=words)
    axes.set_xticks(range(len(names)), [_label(overview, name) for name in names])
    axes.set_yticks([0, 1], ["worst", "best"])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


def _sign(overview: Overview, name: str) -> float:
    return -1.0 if overview.campaign.goals[name].direction == "minimise" else 1.0


def draw_hypervolume(overview: Overview) -> Figure:
    """Draw what the measured points dominate, against the number of results."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(overview, "Hypervolume of the measured points", pad=20)  # a power of ten stands above
    steps = overview.front.hypervolumes if overview.front else ()
    numbers, volumes, sds = (np.array(column, dtype=float) for column in zip(*steps, strict=True))
    band = {"color": ACCENT, "alpha": 0.18, "linewidth": 0, "step": "post", "label": "± 1 sd"}
    axes.fill_between(numbers, volumes - sds, volumes + sds, **band)
    axes.step(numbers, volumes, where="post", color=COLOURS[0], linewidth=2, label="hypervolume, as the model sees it")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("number of the result")
    axes.set_ylabel("hypervolume / product of the units")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9.5)
    return figure


FIGURES = {"front": draw_front, "parallel": draw_parallel, "hypervolume": draw_hypervolume}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _label(overview: Overview, name: str) -> str:
    return f"{_words(name)} / {pretty_unit(overview.units.get(name, ''))}"


def describe_fronts(overview: Overview) -> dict[str, Any]:
    """Return what several objectives are, and what they are traded for; nothing of one."""
    if len(overview.campaign.goals) == 1:
        return {}
    front, goals = overview.front, {name: _describe_goal(name, overview) for name in overview.campaign.goals}
    if len(overview.campaign.optimised) == 1:
        return {"objectives": goals}
    return {
        "objectives": goals,
        "hypervolume": front.hypervolume if front else None,
        **{f"front_{kind}": describe_front(getattr(front, kind) if front else (), overview) for kind in KINDS},
    }


def _describe_goal(name: str, overview: Overview) -> dict[str, Any]:
    goal = overview.campaign.goals[name]
    told = goal.model_dump(include={"direction", "value", "reference", "at_least", "at_most"}, exclude_none=True)
    return {**told, "unit": overview.units[name]}


def describe_front(points: Iterable[FrontPoint], overview: Overview) -> list[dict[str, Any]]:
    """Return the points of a front as rows, numbered from 1: values with standard deviation, and where.

    All have the same keys: a remark where weights prefer one of them.
    """
    points = list(points)
    has_remark = any(point.is_preferred for point in points)
    return [
        {
            "point": number,
            **{name: format_value(point.mean.get(name), point.sd.get(name), overview.units.get(name, ""))
               for name in overview.campaign.optimised},
            "formulation": describe(point.fractions),
            **point.variables,
            **point.options,
            **({"remark": PREFERRED if point.is_preferred else ""} if has_remark else {}),
        }
        for number, point in enumerate(points, start=1)
    ]  # fmt: skip


def point_lines(overview: Overview, kind: str) -> Iterator[str]:
    """Yield the points of a front in words; of many some, over all of it.

    :param kind: of :data:`KINDS`.
    """
    points = list(enumerate(getattr(overview.front, kind), start=1)) if overview.front else []
    step = max(1, -(-len(points) // MOST_SHOWN))
    for number, point in points:
        if (number - 1) % step and not point.is_preferred:
            continue
        values = ", ".join(
            f"{name} {format_value(point.mean.get(name), point.sd.get(name), overview.units.get(name, ''))}"
            for name in overview.campaign.optimised
        )
        yield f"{number}: {values} at {place_words(point, overview)}{f', {PREFERRED}' if point.is_preferred else ''}"
    if step > 1:
        yield f"{count(len(points), 'point')} in all: 'aiida-finales campaign choose {shlex.quote(overview.name)}'"


def front_lines(overview: Overview) -> Iterator[str]:
    """Yield the front that was measured and the one that the model predicts; of many points some, over all of it."""
    if overview.front is None:
        return
    for kind in KINDS:
        yield f"front, {kind}: {count(len(getattr(overview.front, kind)), 'point')}"
        yield from (f"  {words}" for words in point_lines(overview, kind))
    best = next((k for k, point in enumerate(overview.front.predicted, start=1) if point.is_preferred), 1)
    yield f"choose one: 'aiida-finales campaign choose {shlex.quote(overview.name)} --point {best}'"


def explain_no_front(overview: Overview, kind: str) -> str:
    """Return why a campaign has no front.

    :param kind: ``measured`` or ``predicted``.
    """
    if len(overview.campaign.optimised) == 1:
        why = "it has one objective: 'aiida-finales campaign show' says what is recommended"
    elif overview.front is None:
        why = "it has no model yet"
    else:
        why = (
            "no point is likely to hold all limits" if kind == "predicted" else "no point was found to hold all limits"
        )
    return f"campaign {overview.name!r} has no {kind} front: {why}"


def choose_point(overview: Overview, number: int, *, is_measured: bool = False) -> Json:
    """Return a point of the front that a person chooses: its formulation, and what it is expected to give.

    :param number: from 1, as :func:`describe_front` numbers them.
    :param is_measured: of the measured front instead of the predicted one.
    :raises StatusError: when there is no front yet.
    :raises InputError: when it has no such point.
    """
    kind = "measured" if is_measured else "predicted"
    points = getattr(overview.front, kind) if overview.front else ()
    if not points:
        raise StatusError(explain_no_front(overview, kind))
    if not 1 <= number <= len(points):
        raise InputError(f"point {number} of the {kind} front: accepted is 1 to {len(points)}")
    point: FrontPoint = points[number - 1]
    others = (overview.problem or {}).get("chemicals")
    return {
        "campaign": overview.name,
        "point": f"{number} of {count(len(points), 'point')} of the {kind} front",
        **{
            name: format_value(mean, point.sd.get(name), overview.units.get(name, ""))
            for name, mean in point.mean.items()
        },
        **point.variables,
        **point.options,
        **({"remark": PREFERRED} if point.is_preferred else {}),
        "molality": molality_or_none(point.fractions),
        "mole_fractions": describe(point.fractions),
        "results": list(point.uuids),
        "expected": {name: {"mean": mean, "sd": point.sd.get(name)} for name, mean in point.mean.items()},
        "formulation": make_formulation(point.fractions, others),
    }
