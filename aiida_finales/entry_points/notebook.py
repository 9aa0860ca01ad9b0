"""How a campaign shows itself in a notebook: HTML that follows the colours of the notebook, and figures that move."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aiida_finales.entry_points.watching import follow_campaign
from aiida_finales.exceptions import MissingExtraError
from aiida_finales.operations.campaign.evaluation import Evaluation
from aiida_finales.operations.campaign.front import TWO, measured_points
from aiida_finales.operations.campaign.naming import variable_units
from aiida_finales.operations.campaign.overview import Front, Overview, best_so_far
from aiida_finales.operations.campaign.style import ACCENT, label_axis, name_source, style_of, used_by_source
from aiida_finales.operations.campaign.words import (
    final_words,
    format_rows,
    progress_words,
    table_rows,
    troubled_lines,
)
from aiida_finales.schemas.values import format_value
from aiida_finales.science.electrolyte.composition import describe

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from aiida_finales.entry_points.python import Campaign

#: rows of the table that are shown, the latest; all are in ``Campaign.tables()``
MOST_ROWS = 10
#: columns that are for programs
_HIDDEN = ("uuid", "spread", "uncertainty", "expected_sd", "n_valid", "n_values")


def show_campaign(overview: Overview) -> str:
    """Return a campaign as HTML: how far it is, what is wrong, the latest results."""
    words = final_words(overview) if overview.is_ended else [progress_words(overview)]
    notes = [f"note: {line}" for line in (*overview.troubles, *troubled_lines(overview))]
    parts = [
        f"<strong>campaign {escape(overview.name)}</strong> {escape(overview.state)}",
        _progress(overview),
        *_lines(dict.fromkeys([*words, *notes])),
        _table(overview),
    ]
    return f"<div>{''.join(parts)}</div>"


def show(campaign: Campaign) -> None:
    """Show a campaign below the present cell: words, table and, where plotly is installed, figures."""
    from IPython.display import HTML, display

    overview = campaign.overview()
    display(HTML(show_campaign(overview)))
    for figure in draw_figures(overview).values() if find_spec("plotly") else ():
        display(figure)


def draw_figures(overview: Overview) -> dict[str, Figure]:
    """Return figures that tell each result under the mouse: ``progress``, of two objectives ``front`` as well.

    :raises MissingExtraError: when plotly is not installed.
    """
    if find_spec("plotly") is None:
        raise MissingExtraError("notebook", "interactive figures")
    goals = overview.campaign.optimised
    if len(goals) == 1:
        return {"progress": _draw_progress(overview)}
    return {"front": _draw_front(overview, overview.front)} if len(goals) == TWO else {}


def watch(campaign: Campaign) -> Overview:
    """Show a campaign in the present cell, again and again until it has ended.

    To interrupt the cell ends the watching, not the campaign.

    :raises ImportError: outside a notebook, where there is no IPython.
    """
    from IPython.display import HTML, display

    handle: Any = None
    for overview in follow_campaign(campaign):
        page = HTML(show_campaign(overview))
        if handle is None:
            handle = display(page, display_id=True)
        else:
            handle.update(page)
    return overview


def _progress(overview: Overview) -> str:
    if not overview.n_limit:
        return ""
    label = f"{overview.n_done} of {overview.n_limit} evaluations"
    return f' <progress max="{overview.n_limit}" value="{overview.n_done}" aria-label="{label}">{label}</progress>'


def _lines(lines: Iterable[str]) -> list[str]:
    return [f'<div style="white-space: pre-wrap">{escape(line)}</div>' for line in lines]


def _table(overview: Overview) -> str:
    """Return the latest results; empty where there is none."""
    rows = table_rows(overview)
    if not rows:
        return ""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in _HIDDEN]
    shown = format_rows(rows)[-MOST_ROWS:]
    head = "".join(f'<th scope="col">{escape(_title(key, overview))}</th>' for key in keys)
    lines = ("".join(f"<td>{escape(row.get(key, ''))}</td>" for key in keys) for row in shown)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    left = len(rows) - len(shown)
    more = (
        f"<caption>the latest {len(shown)} of {len(rows)}; all are in <code>.tables()</code></caption>" if left else ""
    )
    return f"<table>{more}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _title(key: str, overview: Overview) -> str:
    """Return the name of a column with its unit."""
    units = {**variable_units(overview), "molality": "mol/kg", "value": overview.unit, "expected": overview.unit}
    units |= overview.units
    name = f"x({key.removeprefix('x_')})" if key.startswith("x_") else key
    unit = "mol/mol" if key.startswith("x_") else units.get(key, "")
    return f"{name} / {unit}" if unit else name


def _draw_progress(overview: Overview) -> Figure:
    """Draw each result in its order by source, and the best of the target so far."""
    figure = _new_figure(overview, "number of the result", label_axis(overview, is_text=True))
    for source, items in used_by_source(overview).items():
        shown = [item for item in items if item.value is not None]
        figure.add_scatter(
            x=[item.number for item in shown],
            y=[item.value for item in shown],
            error_y={"array": [item.uncertainty or 0.0 for item in shown], "thickness": 1},
            text=[_tell(item, overview) for item in shown],
            hoverinfo="text",
            mode="markers",
            marker={"color": style_of(overview, source)[1], "size": 8},
            name=name_source(overview, source),
        )
    numbers, best = best_so_far(overview)
    line = {"color": style_of(overview, overview.target)[1], "shape": "hv"}
    figure.add_scatter(x=numbers, y=best, mode="lines", line=line, name="best so far (target)")
    return figure


def _draw_front(overview: Overview, front: Front | None) -> Figure:
    """Draw the points at which all targets have answered, and the front as measured and as the model predicts it."""
    first, second = overview.campaign.optimised
    names = [f"{name} / {overview.units[name] or 1}" for name in (first, second)]
    figure = _new_figure(overview, *names)
    points = measured_points(overview)
    figure.add_scatter(
        x=[values[first] for _, values in points],
        y=[values[second] for _, values in points],
        text=[f"result {number}" for number, _ in points],
        mode="markers",
        name="measured",
    )
    for name, found in (("measured", front.measured), ("predicted", front.predicted)) if front else ():
        dashes = {"dash": "dot", "color": ACCENT} if name == "predicted" else {"color": style_of(overview, first)[1]}
        figure.add_scatter(
            x=[point.mean[first] for point in found],
            y=[point.mean[second] for point in found],
            text=[describe(point.fractions) for point in found],
            mode="lines+markers",
            line=dashes,
            name=f"front, {name}",
        )
    return figure


def _new_figure(overview: Overview, x: str, y: str) -> Figure:
    from plotly.graph_objects import Figure

    simulated = ", simulated data" if any(item.is_simulated for item in overview.evaluations) else ""
    title = f"{escape(overview.name)}{simulated}"
    return Figure(layout={"title": title, "xaxis": {"title": x}, "yaxis": {"title": y}, "template": "plotly_white"})


def _tell(item: Evaluation, overview: Overview) -> str:
    """Return a result in three lines."""
    value = format_value(item.value, item.uncertainty, overview.unit)
    expected = item.expected and format_value(item.expected.mean, item.expected.sd, overview.unit)
    return "<br>".join([f"<b>{value}</b>, result {item.pk}", describe(item.fractions),
                        f"expected {expected}" if expected else f"by {escape(item.source)}"])  # fmt: skip
