"""What pictures of a model of the lifetime, and of its answers, show: as data for pages, and as files.

Of a model: where the electrodes that it knows are on its map, and its errors by regime and set. Of an answer: the curve
with its interval, what each input contributes, and the cells learned from that are nearest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.operations.campaign.style import ACCENT, COLOURS, MARKERS, SIZE, STYLE, new_canvas
from aiida_finales.schemas import Json
from aiida_finales.science.lifetime.generator.cell import AgeingDataset
from aiida_finales.science.lifetime.generator.domain import REGIMES, WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from aiida_finales.operations.campaign.overview import Overview

CURVE, LIFE, GENERATOR = "lifetimeCurve", "degradationEOL", "lifetime_generator"
#: factors are rounded: one that is nothing is less than this
_LEAST_FACTOR = 1e-3


def show_model(node: LifetimeModelData) -> Json:
    """Return what the pictures of a model show.

    :returns: ``electrodes``: ``chemistry``, ``x``, ``y``, ``n_cells`` of each (axes of the map have no unit);
        ``errors``: ``name``, ``mape_percent``, ``median_percent``, ``n_cells``, ``factor_80`` of each regime, set or
        way of leaving out; ``simulated``.
    """
    model = node.load()
    errors = [
        {"name": name, "mape_percent": found.get("mape"), "median_percent": found.get("median"),
         "n_cells": int(found.get("n_cells", 0)), "factor_80": found.get("factor_80")}
        for name, found in node.base.attributes.get("errors", {}).items()
    ]  # fmt: skip
    places = model.domain.points @ model.encoder.map_axes.T if hasattr(model, "encoder") else []
    chemistries: dict[str, Json] = {}
    for cell, (x, y) in zip(model.domain.cells if len(places) else (), places, strict=True):
        known = chemistries.setdefault(cell["chemistry"], {"x": float(x), "y": float(y), "n_cells": 0})
        known["n_cells"] += 1
    electrodes = [{"chemistry": name, **item} for name, item in sorted(chemistries.items())]
    return {"electrodes": electrodes, "errors": errors, "simulated": node.is_simulated}


def show_answer(result: ResultData) -> Json:
    """Return what the pictures of an answer show.

    :returns: ``curve``: ``state_of_health``, ``cycle``, ``cycle_lower``, ``cycle_upper``; ``coverage``; ``regime``;
        ``words`` for it; ``contributions``: factor on the end of life by input; ``nearest``: ``name`` and curve of each
        cell (empty where the data of the training are not here); ``simulated``.
    :raises InputError: when it is no curve, or one without an answer.
    """
    told, data = _curve_of(result), result.data
    if told is None or not has_curve(result):
        raise InputError(
            f"result {result.pk} is no curve of a lifetime, accepted is one of {CURVE}, or of {LIFE} by {GENERATOR}, "
            "with success"
        )
    regime = data["domain"]["regime"]
    keys = ("state_of_health", "cycle", "cycle_lower", "cycle_upper")
    return {
        "curve": {key: list(told[key]) for key in keys},
        "coverage": told["coverage"],
        "regime": regime,
        "words": WORDS.get(regime, ""),
        "contributions": told.get("contributions") or {},
        "nearest": _find_curves(data["model"]["uuid"], data["domain"]["nearest_cells"]),
        "simulated": result.base.attributes.get("simulated", False),
    }


def has_curve(result: ResultData) -> bool:
    """Return whether a result tells how the capacity of a cell falls, by a model of many designs."""
    told = _curve_of(result) if result.keeps_schema else None
    return isinstance(told, dict) and bool(told.get("cycle"))


def _curve_of(result: ResultData) -> Json | None:
    """Return the part of the data that has the curve."""
    if result.quantity == CURVE:
        return result.data
    return result.data.get("curve") if (result.quantity, result.method) == (LIFE, GENERATOR) else None


def tell_inputs(contributions: Mapping[str, float], most: int = 3) -> str:
    """Return in words what moves the end of life most, against a typical cell."""
    order = sorted(contributions, key=lambda name: -abs(math.log(max(contributions[name], _LEAST_FACTOR))))
    return ", ".join(f"{name} by {contributions[name]:.2g}" for name in order[:most])


def _find_curves(model_uuid: str, names: list[str]) -> list[Json]:
    """Return the curves of cells that a model learned from, nearest first; none of what must not be passed on."""
    found = orm.QueryBuilder().append(LifetimeModelData, filters={"uuid": model_uuid}).first(flat=True)
    source = None if found is None else found.training["data"]["uuid"]
    dataset = orm.QueryBuilder().append(orm.SinglefileData, filters={"uuid": source or ""}).first(flat=True)
    if dataset is None:
        return []
    cells = {cell.name: cell for cell in AgeingDataset.from_json(dataset.get_content("r")).cells if cell.is_open}
    return [
        {"name": name, "state_of_health": [percent / 100 for percent in order],
         "cycle": [cells[name].crossings[percent] for percent in order]}
        for name in names if name in cells for order in [sorted(cells[name].crossings, reverse=True)]
    ]  # fmt: skip


def draw_lifetime(overview: Overview) -> dict[str, Figure]:
    """Return the pictures of the best lifetime that was predicted, and of its model; nothing where there is none."""
    result = _find_predicted(overview)
    if result is None:
        return {}
    answer = show_answer(result)
    shown: dict[str, tuple[Callable[[Axes, Any], None], Any]] = {"lifetime": (_curve, answer)}
    if answer["contributions"]:
        shown["inputs"] = (_factors, answer)
    node = orm.QueryBuilder().append(LifetimeModelData, filters={"uuid": result.data["model"]["uuid"]}).first(flat=True)
    if node is not None:
        of_model = show_model(node)
        kinds: dict[str, Callable[[Axes, Any], None]] = {"electrodes": _map, "errors": _bars}
        shown |= {key: (paint, of_model[key]) for key, paint in kinds.items() if of_model[key]}
    return {kind: _paint(answer["simulated"], *item) for kind, item in shown.items()}


def _find_predicted(overview: Overview) -> ResultData | None:
    """Return the curve of what is best: as it was predicted, or as it was beside what others measured.

    Before anything is measured, or where nobody predicted that, it is the best life that was predicted.
    """
    campaign, best = overview.campaign, overview.best
    asked = [name for name in campaign.sources if campaign.capability_of(name) == (LIFE, GENERATOR)]
    told = [item for item in overview.evaluations if item.source in asked and item.is_used and item.value is not None]
    sign = 1 if campaign.maximise else -1
    told.sort(key=lambda item: sign * (item.value or 0.0), reverse=True)
    if best is not None:
        told.sort(key=lambda item: (item.pk != best.pk, item.options != best.options))
    results = (orm.load_node(item.pk) for item in told)
    return next((node for node in results if isinstance(node, ResultData) and has_curve(node)), None)


def draw_model(node: LifetimeModelData, folder: Path, results: list[ResultData]) -> list[Path]:
    """Draw a model, and answers; return the files.

    :raises InputError: when a result is no answer of such a model.
    :raises MissingExtraError: when matplotlib is not installed.
    """
    shown = show_model(node)
    answers = {result.pk: show_answer(result) for result in results}
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if shown["electrodes"]:
        files.append(_draw(folder / "electrode_map.png", shown["simulated"], _map, shown["electrodes"]))
    if shown["errors"]:
        files.append(_draw(folder / "errors.png", shown["simulated"], _bars, shown["errors"]))
    for pk, answer in answers.items():
        files.append(_draw(folder / f"curve_{pk}.png", answer["simulated"], _curve, answer))
        if answer["contributions"]:
            files.append(_draw(folder / f"contributions_{pk}.png", answer["simulated"], _factors, answer))
    return files


def _draw(target: Path, is_simulated: bool, paint: Any, shown: Any) -> Path:
    try:
        figure = _paint(is_simulated, paint, shown)
    except ImportError as error:
        raise MissingExtraError("plot", "pictures of a model") from error
    figure.savefig(target, dpi=120)
    return target


def _paint(is_simulated: bool, paint: Callable[[Axes, Any], None], shown: Any) -> Figure:
    from matplotlib import rc_context

    with rc_context(STYLE):
        figure = new_canvas(SIZE)
        paint(figure.add_subplot(), shown)
        if is_simulated:
            figure.text(0.995, 0.005, "simulated data", ha="right", va="bottom", color=ACCENT, style="italic")
    return figure


def _map(axes: Axes, electrodes: list[Json]) -> None:
    for place, item in enumerate(electrodes):
        label = f"{item['chemistry']} ({item['n_cells']})"
        axes.plot(item["x"], item["y"], MARKERS[place % len(MARKERS)], color=COLOURS[place % len(COLOURS)], label=label)
    axes.set(xlabel="first axis of the properties", ylabel="second axis", title="Electrodes (cells learned from)")
    axes.legend(fontsize=8)


def _bars(axes: Axes, errors: list[Json]) -> None:
    known = [item for item in errors if item["mape_percent"] is not None]
    known.sort(key=lambda item: item["name"] not in REGIMES)
    places = range(len(known))
    axes.barh(places, [item["mape_percent"] for item in known], color=COLOURS[0], alpha=0.5, label="mean")
    axes.plot([item["median_percent"] for item in known], places, "D", color=COLOURS[5], label="median cell")
    axes.set_yticks(places, [f"{item['name']} ({item['n_cells']})" for item in known], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="error of the cycle on cells left out / %", title="Errors by regime and set (cells)")
    axes.legend()


def _curve(axes: Axes, answer: Json) -> None:
    curve = answer["curve"]
    shares = [100 * share for share in curve["state_of_health"]]
    label = f"interval, {100 * answer['coverage']:g} %"
    axes.fill_betweenx(shares, curve["cycle_lower"], curve["cycle_upper"], color=COLOURS[0], alpha=0.2, label=label)
    axes.plot(curve["cycle"], shares, color=COLOURS[0], label="predicted")
    for place, cell in enumerate(answer["nearest"]):
        label = "nearest cells learned from" if not place else "_"
        axes.plot(cell["cycle"], [100 * share for share in cell["state_of_health"]], "--", color="0.5", label=label)
    axes.set(xlabel="cycle", ylabel="capacity / % of the reference", xscale="log")
    axes.set_title(f"{answer['regime']}: {answer['words']}", fontsize=9, loc="left")
    axes.legend()


def _factors(axes: Axes, answer: Json) -> None:
    names = list(answer["contributions"])
    axes.barh(names, [answer["contributions"][name] - 1 for name in names], left=1, color=COLOURS[0])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="factor on the end of life, against a typical cell", title="What each input does")
