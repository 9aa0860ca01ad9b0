"""The figures of a campaign as data, for pages and notebooks: each point tells its whole result and leads to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from aiida_finales.operations.campaign.evaluation import Evaluation, Expected, Point
from aiida_finales.operations.campaign.figures import of_objective
from aiida_finales.operations.campaign.front import PREFERRED, TWO, measured_points
from aiida_finales.operations.campaign.naming import variable_units
from aiida_finales.operations.campaign.overview import FrontPoint, Overview, best_so_far
from aiida_finales.operations.campaign.style import name_quantity, name_source, used_by_source
from aiida_finales.operations.campaign.triangle import View, choose_view, design_space, used_points
from aiida_finales.operations.campaign.truth import find_true_optimum
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import MODEL, QUIET, TRUTH, Axis, Chart, Mark, Series, Shape, line_of
from aiida_finales.schemas.chemicals import chemical_label, molality_or_none
from aiida_finales.schemas.values import format_value
from aiida_finales.science.electrolyte.composition import describe

SHAPES: tuple[Shape, ...] = ("circle", "rect", "triangle", "diamond", "arrow")
#: corners of a triangle
THREE = 3
SIMULATED = "Simulated data are in it."
#: lines of each family of a triangle
LINES = 6


def make_charts(overview: Overview, address: str) -> list[Chart]:
    """Return the figures that a campaign has by now: none before the first result that counts.

    :param address: where the pages of results are, as ``/pages/results``.
    """
    if not any(item.is_used and item.value is not None for item in overview.evaluations):
        return []
    charts = [_progress(overview, address)] if len(overview.campaign.optimised) == 1 else []
    if len(overview.campaign.optimised) == TWO and measured_points(overview):
        charts.append(_front(overview, address))
    if len(overview.campaign.optimised) > 1 and overview.front and overview.front.hypervolumes:
        charts.append(_hypervolume(overview))
    if len(overview.components) == THREE and overview.problem is not None:
        charts += _triangles(overview, address)
    beside = _parallel(overview, address)
    return [*charts, beside] if len(beside.x.labels) > 1 else charts  # of one result nothing varies


def _progress(overview: Overview, address: str) -> Chart:
    truth, numbers = find_true_optimum(overview), best_so_far(overview)
    latest = dict(overview.forecasts)
    believed = [(number, latest[number]) for number in sorted(latest)]
    series = [
        *_sources(overview, lambda item: (float(item.number), item.value), address),
        Series("best so far", "steps", line_of(*numbers), _place(overview, overview.target)),
        *_believed(believed),
    ]
    if truth is not None:
        words = f"true optimum of the simulation: {format_value(truth.mean, None, overview.unit)}"
        ends = (0.0, len(overview.evaluations) + 1.0)
        series.append(Series(words, "line", line_of(ends, (truth.mean, truth.mean)), TRUTH, is_dashed=True))
    quantity = _label(name_quantity(overview), overview.unit)
    return Chart(
        "progress", f"{name_quantity(overview).capitalize()} of each result",
        f"Each result of {len(overview.evaluations)} in its order, the best so far, and what the model believes.",
        Axis("number of the result", 0.0, len(overview.evaluations) + 1.0, is_whole=True), Axis(quantity),
        tuple(item for item in series if item.marks), note=_note(overview),
    )  # fmt: skip


def _believed(steps: list[tuple[int, Expected]]) -> Iterator[Series]:
    name = "optimum that the model believes in, ± 1 sd"
    marks = tuple(Mark(number, item.mean, item.low, item.high) for number, item in steps)
    yield Series(name, "band", marks, MODEL)
    yield Series(name, "line", line_of([mark.x for mark in marks], [mark.y for mark in marks]), MODEL)


def _triangles(overview: Overview, address: str) -> Iterator[Chart]:
    """Yield the triangle; of several objectives one of each, as colours of two quantities say nothing together."""
    if len(overview.campaign.optimised) == 1:
        yield _triangle(overview, address)
        return
    for name in overview.campaign.optimised:
        alone = of_objective(overview, name)
        if used_by_source(alone):
            drawn = _triangle(alone, address)
            yield replace(drawn, name=f"triangle_{name}", title=f"{drawn.title}: {name.replace('_', ' ')}")


def _triangle(overview: Overview, address: str) -> Chart:
    """Return the stretched strip of the triangle that holds the design space, with guides for each component."""
    regions = design_space(overview.problem or {})
    view = choose_view(overview.components, regions, used_points(overview))
    area = [_area("design space of the target", view, corners) for corners in regions]
    series = [*_guides(view), *area, *_sources(overview, lambda item: view.place_point(item.fractions), address)]
    for words, found in (("recommended", overview.recommendation), ("true optimum", find_true_optimum(overview))):
        if found is not None:
            told = (("composition", describe(found.fractions)), ("value", _measured(found, overview.unit)))
            mark = Mark(*view.place_point(found.fractions), title=words, lines=told)
            place = MODEL if words == "recommended" else TRUTH
            series.append(Series(words, "points", (mark,), place, "star", is_big=True, is_open=place == TRUTH))
    names = [chemical_label(name) for name in (view.top, view.right, view.left)]
    return Chart(
        "triangle", f"Where it looked: {', '.join(names)}",
        f"The strip of the triangle of {', '.join(names)} in which the campaign looked, coloured by value.",
        *_axes(view), tuple(series), Axis(_label(name_quantity(overview), overview.unit)),
        f"{_tell_guides(names)} {_note(overview)}".strip(),
    )  # fmt: skip


def _area(name: str, view: View, corners: list[Point]) -> Series:
    return Series(name, "area", tuple(Mark(*view.place_point(corner)) for corner in corners), QUIET)


def draw_space(document: Json, samples: Sequence[Point] = ()) -> Chart | None:
    """Return where a campaign would look: the space that its target offers, in the triangle; ``None`` of other spaces.

    :param document: the optimiser's problem.
    """
    components = document["components"]
    if len(components) != THREE:
        return None
    regions = design_space(document)
    view = choose_view(components, regions, samples)
    names = [chemical_label(name) for name in (view.top, view.right, view.left)]
    series = [*_guides(view), *(_area("what the tenants of the target offer", view, corners) for corners in regions)]
    return Chart(
        "space", f"Where it would look: {', '.join(names)}",
        f"The strip of the triangle of {', '.join(names)} that the tenants of the target offer.",
        *_axes(view), tuple(series), note=_tell_guides(names),
    )  # fmt: skip


def _axes(view: View) -> tuple[Axis, Axis]:
    low, high = view.low
    x = Axis("", low - 0.02 * (high - low), high + view.high / 2, is_bare=True)
    return x, Axis("", 0.0, 1.05 * view.stretch * view.high, is_bare=True)


def _tell_guides(names: list[str]) -> str:
    return f"Lines: {names[0]} level, {names[1]} rising to the right, {names[2]} rising to the left."


def _guides(view: View) -> Iterator[Series]:
    """Yield lines of equal mole fraction of each component, each with its number."""
    low, high = view.low
    for value in _ticks(0.0, view.high):
        yield _guide(view, [(value, low), (value, high)], f"{chemical_label(view.top)} {value:g}", "circle")
    for value in _ticks(low, high):
        yield _guide(view, [(0.0, value), (view.high, value)], f"{chemical_label(view.right)} {value:g}", "rect")
    for value in _ticks(1 - high - view.high, 1 - low):
        ends = sorted({min(max(top, 0.0), view.high) for top in (1 - value - high, 1 - value - low)}, reverse=True)
        if len(ends) == TWO:
            words = f"{chemical_label(view.left)} {value:g}"
            yield _guide(view, [(top, 1 - value - top) for top in ends], words, "triangle")


def _guide(view: View, ends: list[tuple[float, float]], words: str, shape: Shape) -> Series:
    (x, y), (x_end, y_end) = (view.place(top, right) for top, right in ends)
    return Series("", "guide", (Mark(float(x), float(y), title=words), Mark(float(x_end), float(y_end))), QUIET, shape)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two others, :data:`LINES` of them or a few less."""
    from math import ceil, floor, log10

    raw = (high - low) / LINES
    power = 10.0 ** floor(log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw)
    return [round(number * step, 10) for number in range(ceil(low / step), floor(high / step) + 1)]


def _parallel(overview: Overview, address: str) -> Chart:
    """Return all results as lines over what was varied and what was found."""
    goals = overview.campaign.optimised
    names = list(overview.campaign.variables)
    options = {name: list(item.options) for name, item in overview.campaign.categories.items()}
    columns: list[tuple[str, Any]] = [
        *((chemical_label(key), lambda item, key=key: item.fractions.get(key, 0.0)) for key in overview.components),
        ("molality", lambda item: molality_or_none(item.fractions)),
        *((name, lambda item, name=name: item.variables.get(name)) for name in names),
        *((name, lambda item, name=name: _place_option(item.options.get(name), options[name])) for name in options),
        *((name.replace("_", " "), lambda item, name=name: item.numbers.get(name)) for name in goals),
    ]
    units = {**variable_units(overview), "molality": "mol/kg"}
    units |= {name.replace("_", " "): overview.units.get(name, "") for name in goals}
    used = [item for items in used_by_source(overview).values() for item in items]
    spans = [_span([read(item) for item in used]) for _, read in columns]
    kept = [(column, span) for column, span in zip(columns, spans, strict=True) if span[1] > span[0]]

    def mark(item: Evaluation) -> Mark:
        path = tuple(_share(read(item), span) for (_, read), span in kept)
        return Mark(0.0, value=item.value, title=_title(item), lines=_lines(item, overview),
                    link=f"{address}/{item.uuid}", path=path)  # fmt: skip

    series = tuple(
        Series(name_source(overview, source), "paths", tuple(map(mark, items)), _place(overview, source))
        for source, items in used_by_source(overview).items()
    )
    labels = tuple(_tell_axis(name, span, units.get(name, ""), options.get(name, ())) for (name, _), span in kept)
    is_one = len(goals) == 1
    return Chart(
        "parallel", "All that was varied and found, side by side",
        "A line for each result over mole fractions, molality, variables and values, each from its least to its most.",
        Axis("", labels=labels), Axis("", 0.0, 1.0, is_bare=True), series,
        Axis(_label(name_quantity(overview), overview.unit)) if is_one else None, _note(overview),
    )  # fmt: skip


def _place_option(option: str | None, options: list[str]) -> float | None:
    """Return where an option of a category stands on its axis: the first one is lowest."""
    return float(options.index(option)) if option in options else None


def _tell_axis(name: str, span: tuple[float, float], unit: str, options: Sequence[str]) -> str:
    """Return name and ends of an axis; of a category its lowest and highest option."""
    low, high = (options[round(end)] if options else f"{end:.3g}" for end in span)
    return f"{name}\n{low} to\n{high} {unit}".rstrip()


def _front(overview: Overview, address: str) -> Chart:
    """Return one objective against the other."""
    first, second = overview.campaign.optimised
    by_number = {item.number: item for item in overview.evaluations}
    measured = tuple(
        Mark(values[first], values[second], value=float(number), title=_title(by_number[number]),
             lines=_lines(by_number[number], overview), link=f"{address}/{by_number[number].uuid}")
        for number, values in measured_points(overview)
    )  # fmt: skip
    series = [Series("measured", "points", measured)]
    if overview.front is not None:
        predicted, best = ([_front_mark(point, overview) for point in points]
                           for points in (overview.front.predicted, overview.front.measured))  # fmt: skip
        name = "front that the model predicts, ± 1 sd"
        series += [Series(name, "band", tuple(predicted), MODEL), Series(name, "line", tuple(predicted), MODEL)]
        series.append(Series("front, measured", "line", tuple(best), TRUTH, is_dashed=True))
        preferred = tuple(_front_mark(point, overview) for point in overview.front.predicted if point.is_preferred)
        series.append(Series(PREFERRED, "points", preferred, MODEL, "star", is_big=True))
    title = f"{second.replace('_', ' ').capitalize()} against {first.replace('_', ' ')}"
    return Chart(
        "front", title, "One objective against the other, with the front measured and the one predicted.",
        Axis(_label(first, overview.units.get(first, ""))), Axis(_label(second, overview.units.get(second, ""))),
        tuple(item for item in series if item.marks), Axis("number of the result"), _note(overview),
    )  # fmt: skip


def _front_mark(point: FrontPoint, overview: Overview) -> Mark:
    first, second = overview.campaign.optimised
    x, y, sd = point.mean[first], point.mean[second], point.sd.get(second, 0.0)
    told = [(name, format_value(point.mean[name], point.sd.get(name), overview.units.get(name, "")))
            for name in (first, second)]  # fmt: skip
    return Mark(x, y, y - sd, y + sd, title="front", lines=(("composition", describe(point.fractions)), *told))


def _hypervolume(overview: Overview) -> Chart:
    steps = overview.front.hypervolumes if overview.front else ()
    marks = tuple(Mark(float(number), volume, volume - sd, volume + sd) for number, volume, sd in steps)
    series = (Series("± 1 sd", "band", marks, MODEL), Series("hypervolume, as the model sees it", "steps", marks))
    return Chart(
        "hypervolume", "What the measured points dominate", "The hypervolume against the number of results.",
        Axis("number of the result", is_whole=True), Axis("hypervolume / product of the units"), series,
        note=_note(overview),
    )  # fmt: skip


def _sources(overview: Overview, place: Any, address: str) -> Iterator[Series]:
    """Yield the results that count, a series per source."""
    for source, items in used_by_source(overview).items():
        marks = []
        for item in items:
            x, y = place(item)
            error = item.uncertainty
            has_bar = error is not None and y == item.value
            marks.append(Mark(x, y, y - error if has_bar else None, y + error if has_bar else None, item.value,
                              _title(item), _lines(item, overview), f"{address}/{item.uuid}"))  # fmt: skip
        index = _place(overview, source)
        yield Series(name_source(overview, source), "points", tuple(marks), index, SHAPES[index % len(SHAPES)])


def _place(overview: Overview, source: str) -> int:
    names = list(overview.campaign.sources)
    return names.index(source) if source in names else len(names)


def _title(item: Evaluation) -> str:
    return f"Result {item.number} of {item.source.replace('_', ' ')}{' (simulated)' if item.is_simulated else ''}"


def _lines(item: Evaluation, overview: Overview) -> tuple[tuple[str, str], ...]:
    """Return all that a person wants to know of a result without opening it."""
    molality, unit = molality_or_none(item.fractions), overview.unit
    told = [
        ("value", format_value(item.value, item.uncertainty, unit)) if len(overview.units) < TWO else ("", ""),
        *((name.replace("_", " "), format_value(value, None, overview.units.get(name, "")))
          for name, value in item.numbers.items() if len(overview.units) >= TWO),
        ("expected", _measured(item.expected, unit) if item.expected else ""),
        ("composition", describe(item.fractions)),
        ("molality", format_value(molality, None, "mol/kg") if molality is not None else ""),
        ("temperature", format_value(item.temperature, None, "K")
         if item.temperature is not None and "temperature" not in item.variables else ""),
        *((name, format_value(value, None, variable_units(overview).get(name, "")))
          for name, value in item.variables.items()),
        *item.options.items(),
        ("single values", f"{item.n_valid} of {len(item.values)} valid" if len(item.values) > 1 else ""),
        ("rating", f"{item.rating} of 5" if item.rating is not None else ""),
        ("known before", "yes" if item.is_known else ""),
    ]  # fmt: skip
    return tuple((words, said) for words, said in told if said)


def _measured(found: Expected, unit: str) -> str:
    return format_value(found.mean, found.sd, unit)


def _note(overview: Overview) -> str:
    return SIMULATED if any(item.is_simulated for item in overview.evaluations) else ""


def _label(words: str, unit: str) -> str:
    return f"{words.replace('_', ' ')} / {unit or '1'}"


def _span(values: list[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _share(value: float | None, span: tuple[float, float]) -> float | None:
    return None if value is None else round((value - span[0]) / (span[1] - span[0]), 5)
