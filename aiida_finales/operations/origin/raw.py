"""The data behind a result as people want to see them: a spectrum with its fit, capacities, distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm

from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError
from aiida_finales.operations.campaign.lifetime_pictures import has_curve, show_answer, tell_inputs
from aiida_finales.schemas import Json
from aiida_finales.schemas.structure import is_number

#: points of one line that are drawn: more cannot be told apart
MOST_POINTS = 400
#: figures of one kind that are told
MOST = 4
#: points of the curve of a fit
N_FIT = 120


def find_figures(result: ResultData) -> list[Json]:
    """Return what can be drawn of a result.

    Each figure has ``title``, ``x`` and ``y`` (words with the unit), ``is_equal`` (both axes have one scale) and
    ``series``: ``name``, ``kind`` (``dots``, ``line`` or ``band``), ``x`` and ``y``; a band has ``low`` and ``high``.
    """
    found = _figures_of_arrays(result)
    found += _capacities(result)
    return [*found, *_trajectories(result), *_lifetimes(result)]


def _figures_of_arrays(result: ResultData) -> list[Json]:
    if result.creator is None:
        return []
    links = result.creator.base.links.get_outgoing().all()
    arrays = [link.node for link in links if isinstance(link.node, orm.ArrayData)]
    # a workflow has its arrays one step below
    arrays += [link.node for link in result.creator.base.links.get_incoming(node_class=orm.ArrayData).all()]
    figures = []
    for node in arrays:
        names = set(node.get_arraynames())
        if {"frequency", "impedance"} <= names:
            figures.append(draw_spectrum(node.get_array("frequency"), node.get_array("impedance")))
        elif {"radius", "g"} <= names:
            figures.append(_draw_pairs(node))
    return figures[:MOST]


def draw_spectrum(frequency: Any, impedance: Any) -> Json:
    """Return a Nyquist plot with the fit by which the resistance was found; where that fails, without.

    :param frequency: Hz.
    :param impedance: ohm, complex, same shape.
    """
    from aiida_finales.science.electrolyte.impedance import circuit_impedance, fit_resistance

    hertz, ohm = np.asarray(frequency, float), np.asarray(impedance, complex)
    series = [_line("measured", ohm.real, -ohm.imag, "dots")]
    title = "Impedance"
    try:
        fit = fit_resistance(hertz, ohm)
    except FinalesError as error:
        title = f"Impedance; it cannot be fitted: {error}"
    else:
        dense = np.geomspace(hertz.min(), hertz.max(), N_FIT)
        curve = circuit_impedance(dense, fit.resistance, fit.q, fit.n, fit.inductance)
        series.append(_line(f"fit: R = {fit.resistance:.4g} Ω", curve.real, -curve.imag))
        title = f"Impedance, {hertz.min():.3g} to {hertz.max():.3g} Hz; R = {fit.resistance:.4g} Ω"
    return {"title": title, "x": "Re Z / Ω", "y": "-Im Z / Ω", "is_equal": True, "series": series}


def _draw_pairs(node: orm.ArrayData) -> Json:
    radius, all_g = node.get_array("radius"), np.atleast_2d(node.get_array("g"))
    names = node.base.attributes.get("pair_title", [])
    series = [_line(str(name), radius, g) for name, g in zip(names or [""] * len(all_g), all_g, strict=False) if len(g)]
    return {"title": "Pair distributions", "x": "r / Å", "y": "g(r)", "is_equal": False, "series": series[:MOST]}


def _capacities(result: ResultData) -> list[Json]:
    """Return the discharge capacities over the cycles."""
    data = result.data
    cells = data.get("cells") or [data]
    series = []
    for number, cell in enumerate(cells if isinstance(cells, list) else (), start=1):
        cycles, values = _read_capacities(cell)
        if values:
            info = cell.get("cell_info") or {}
            name = info.get("uuid") or info.get("cell_name") or f"cell {number}"
            series.append(_line(str(name), cycles, values, "dots"))
    if not series:
        return []
    axes = {"x": "cycle", "y": "discharge capacity / Ah", "is_equal": False}
    return [{"title": "Capacity over the cycles", **axes, "series": series[: 2 * MOST]}]


def _read_capacities(cell: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    values, cycles = _numbers(cell.get("discharge_capacities")), _numbers(cell.get("cycles"))
    if not values:
        values = _numbers(cell.get("capacity_list"))[1::2]
    return (cycles if len(cycles) == len(values) else list(range(1, len(values) + 1))), values


def _trajectories(result: ResultData) -> list[Json]:
    """Return the capacities that a model expects, with one standard deviation."""
    body = result.data.get("degradationEOL")
    figures = []
    for cell in body if isinstance(body, list) else [body]:
        if not isinstance(cell, dict):
            continue
        values, errors = (_numbers(cell.get(key)) for key in ("capacity_trajectory", "capacity_trajectory_uncertainty"))
        if not values or len(values) != len(errors):
            continue
        x = np.arange(1, len(values) + 1)
        mean, sd = np.asarray(values, float), np.asarray(errors, float)
        band = {**_line("± 1 standard deviation", x, mean, "band"), "low": _thin(mean - sd), "high": _thin(mean + sd)}
        name = (cell.get("cell_info") or {}).get("uuid") or "cell"
        axes = {"x": "coming cycle", "y": "capacity", "is_equal": False}
        figures.append({"title": f"Expected capacity of {name}", **axes, "series": [band, _line("expected", x, mean)]})
    return figures[:MOST]


def _lifetimes(result: ResultData) -> list[Json]:
    """Return the cycle at each share of the capacity, with its interval, and what it rests on in words."""
    if not has_curve(result):
        return []
    answer = show_answer(result)
    curve, shares = answer["curve"], [100 * share for share in answer["curve"]["state_of_health"]]
    title = f"When the capacity falls to a share ({answer['regime']}: {answer['words']})"
    moved = tell_inputs(answer["contributions"])
    low, high = _thin(curve["cycle_lower"]), _thin(curve["cycle_upper"])
    band = _line(f"interval, {100 * answer['coverage']:g} %", shares, curve["cycle"], "band") | {
        "low": low,
        "high": high,
    }
    nearest = [_line(f"learned from: {cell['name']}", [100 * share for share in cell["state_of_health"]], cell["cycle"])
               for cell in answer["nearest"]]  # fmt: skip
    axes = {"x": "capacity / % of the reference", "y": "cycle", "is_equal": False}
    series = [band, _line("predicted", shares, curve["cycle"]), *nearest[:MOST]]
    return [{"title": f"{title}{f'; moved most, as factors: {moved}' if moved else ''}", **axes, "series": series}]


def _line(name: str, x: Any, y: Any, kind: str = "line") -> Json:
    return {"name": name, "kind": kind, "x": _thin(x), "y": _thin(y)}


def _thin(values: Any) -> list[float]:
    """Return so many values, evenly chosen, that a figure can show them."""
    array = np.asarray(values, float)
    step = max(1, -(-len(array) // MOST_POINTS))
    return [round(float(value), 9) for value in array[::step]]


def _numbers(values: Any) -> list[float]:
    """Return a list of numbers; an empty one where it is something else."""
    return values if isinstance(values, list) and all(is_number(value) for value in values) else []
