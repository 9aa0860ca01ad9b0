"""What pictures of a model of the lifetime, and of its answers, show: as data for pages, and as files.

Of a model: where the electrodes that it knows are on its map, and its errors by regime and set. Of an answer: the curve
with its interval, what each input contributes, and the cells learned from that are nearest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.operations.campaign.style import ACCENT, COLOURS, MARKERS, SIZE, STYLE, new_canvas
from aiida_finales.schemas import Json
from aiida_finales.science.lifetime.generator.cell import AgeingDataset
from aiida_finales.science.lifetime.generator.regime import REGIMES, WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = "lifetimeCurve"


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
    if result.quantity != CURVE or not result.data["meta"]["success"]:
        raise InputError(f"result {result.pk} is no curve of a lifetime, accepted is one of {CURVE} with success")
    data = result.data
    regime = data["domain"]["regime"]
    keys = ("state_of_health", "cycle", "cycle_lower", "cycle_upper")
    return {
        "curve": {key: list(data[key]) for key in keys},
        "coverage": data["coverage"],
        "regime": regime,
        "words": WORDS[regime],
        "contributions": data.get("contributions") or {},
        "nearest": _find_curves(data["model"]["uuid"], data["domain"]["nearest_cells"]),
        "simulated": result.base.attributes.get("simulated", False),
    }


def _find_curves(model_uuid: str, names: list[str]) -> list[Json]:
    """Return the curves of cells that a model learned from, nearest first."""
    found = orm.QueryBuilder().append(LifetimeModelData, filters={"uuid": model_uuid}).first(flat=True)
    source = None if found is None else found.training["data"]["uuid"]
    dataset = orm.QueryBuilder().append(orm.SinglefileData, filters={"uuid": source or ""}).first(flat=True)
    if dataset is None:
        return []
    cells = {cell.name: cell for cell in AgeingDataset.from_json(dataset.get_content("r")).cells}
    return [
        {"name": name, "state_of_health": [percent / 100 for percent in order],
         "cycle": [cells[name].crossings[percent] for percent in order]}
        for name in names if name in cells for order in [sorted(cells[name].crossings, reverse=True)]
    ]  # fmt: skip


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
        from matplotlib import rc_context
    except ImportError as error:
        raise MissingExtraError("plot", "pictures of a model") from error
    with rc_context(STYLE):
        figure = new_canvas(SIZE)
        paint(figure.add_subplot(), shown)
        if is_simulated:
            figure.text(0.995, 0.005, "simulated data", ha="right", va="bottom", color=ACCENT, style="italic")
        figure.savefig(target, dpi=120)
    return target


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
