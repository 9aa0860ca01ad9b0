"""The data behind a result as people want to see them: tables to keep, and figures of spectra, capacities, dynamics."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm

from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, UnknownNodeError
from aiida_finales.md.output import LOG
from aiida_finales.operations.campaign.lifetime_pictures import has_curve, show_answer, tell_inputs
from aiida_finales.schemas.chart import MODEL, QUIET, Axis, Chart, Mark, Series, line_of
from aiida_finales.schemas.structure import is_number

#: points of one line that are drawn: more cannot be told apart
MOST_POINTS = 400
#: figures of tables of one kind, and lines in one figure
MOST, MOST_LINES = 4, 8
#: points of the curve of a fit
N_FIT = 120
SIMULATED = "Simulated data."
#: of the log of a simulated cell: title and y axis of a figure, and the column that it shows
DYNAMICS = (
    ("density", "Density while it ran", "density / g/cm³", "density_g_cm3"),
    ("energy", "Potential energy while it ran", "potential energy / kJ/mol", "potential_kJ_mol"),
)


@dataclass(frozen=True)
class Table:
    """Numbers behind a result, side by side.

    :param name: as it stands in addresses and files.
    :param kind: ``spectrum``, ``pairs``, ``capacities``, ``trajectory`` or ``dynamics``.
    :param columns: sequences of numbers, or of words, all of one length; each name says the unit.
    """

    name: str
    kind: str
    title: str
    columns: Mapping[str, Any]

    @property
    def n_rows(self) -> int:
        """Rows of it."""
        return len(next(iter(self.columns.values())))


def read_tables(result: ResultData) -> list[Table]:
    """Return the numbers behind a result, whole: each spectrum, pair distribution, course of a capacity or dynamics."""
    return [*_arrays(result), *_dynamics(result), *_capacities(result), *_trajectories(result)]


def write_csv(result: ResultData, name: str) -> str:
    """Return one of the tables as CSV.

    :raises UnknownNodeError: when the result has none of that name.
    """
    table = next((item for item in read_tables(result) if item.name == name), None)
    if table is None:
        raise UnknownNodeError(f"result <{result.pk}> has no table {name!r}")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*table.columns.values(), strict=True))
    return stream.getvalue()


def write_hdf5(result: ResultData) -> bytes:
    """Return all tables as one HDF5 file: a group for each, with a dataset for each column, named by an attribute."""
    import h5py  # type: ignore[import-untyped]  # takes longer than a page may, where no file is needed

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        about = {"result": result.uuid, "quantity": result.quantity, "method": result.method}
        file.attrs.update({**about, "simulated": is_simulated(result)})
        for table in read_tables(result):
            group = file.create_group(table.name)
            group.attrs["title"] = table.title
            for name, values in table.columns.items():
                # a slash would make groups of the units
                dataset = group.create_dataset(name.replace(" / ", " in ").replace("/", " per "), data=list(values))
                dataset.attrs["name"] = name
    return stream.getvalue()


def find_figures(tables: Sequence[Table], *, is_simulated: bool) -> list[Chart]:
    """Return what can be drawn of the tables of a result."""
    note = SIMULATED if is_simulated else ""
    of_kind = {kind: [table for table in tables if table.kind == kind][:MOST] for kind in DRAW}
    charts = [chart for kind, some in of_kind.items() for table in some for chart in DRAW[kind](table, note)]
    capacities = [table for table in tables if table.kind == "capacities"]
    runs = [table for table in tables if table.kind == "dynamics"]
    if capacities:
        charts.append(_draw_capacities(capacities[:MOST_LINES], note))
    return charts + (_draw_dynamics(runs[:MOST_LINES], note) if runs else [])


def chart_lifetime(result: ResultData) -> list[Chart]:
    """Return the cycle at each share of the capacity, with its interval, and what it rests on in words."""
    if not has_curve(result):
        return []
    answer = show_answer(result)
    curve = answer["curve"]
    shares = _in_percent(curve)
    rows = zip(shares, curve["cycle"], curve["cycle_lower"], curve["cycle_upper"], strict=True)
    band = _thin([Mark(share, *(float(value) for value in values)) for share, *values in rows])
    series = [
        Series(f"interval, {100 * answer['coverage']:g} %", "band", band, MODEL),
        Series("predicted", "line", _points(shares, curve["cycle"]), MODEL),
    ]
    for cell in answer["nearest"][:MOST]:
        marks = _points(_in_percent(cell), cell["cycle"])
        series.append(Series(f"learned from: {cell['name']}", "line", marks, QUIET, is_dashed=True))
    moved = tell_inputs(answer["contributions"])
    title = f"When the capacity falls to a share ({answer['regime']}: {answer['words']})"
    words = f"{title}{f'; moved most, as factors: {moved}' if moved else ''}"
    axes = Axis("capacity / % of the reference"), Axis("cycle", 0.0, is_whole=True)
    note = SIMULATED if answer["simulated"] else ""
    return [Chart("lifetime", words, words, *axes, tuple(series), note=note)]


def _in_percent(curve: Mapping[str, Any]) -> list[float]:
    return [100 * share for share in curve["state_of_health"]]


def is_simulated(result: ResultData) -> bool:
    """Return whether the numbers come from a simulated laboratory."""
    return bool(result.base.attributes.get("simulated", False))


def _arrays(result: ResultData) -> Iterator[Table]:
    if result.creator is None:
        return
    nodes = [link.node for link in result.creator.base.links.get_outgoing().all()]
    # a workflow has its arrays one step below
    nodes += [link.node for link in result.creator.base.links.get_incoming(node_class=orm.ArrayData).all()]
    known = [(node, set(node.get_arraynames())) for node in nodes if isinstance(node, orm.ArrayData)]
    spectra = [node for node, names in known if {"frequency", "impedance"} <= names]
    pairs = [node for node, names in known if {"radius", "g"} <= names]
    for number, node in enumerate(spectra, start=1):
        yield tell_spectrum(node.get_array("frequency"), node.get_array("impedance"), number)
    for number, node in enumerate(pairs, start=1):
        radius, all_g = node.get_array("radius"), np.atleast_2d(node.get_array("g"))
        names = node.base.attributes.get("pair_title", []) or [""] * len(all_g)
        columns = {f"g(r) of {name}".removesuffix(" of "): g for name, g in zip(names, all_g, strict=False) if len(g)}
        yield Table(f"pairs-{number}", "pairs", "Pair distributions", {"r / Å": radius, **columns})


def tell_spectrum(frequency: Any, impedance: Any, number: int = 1) -> Table:
    """Return a spectrum as a table.

    :param frequency: Hz.
    :param impedance: ohm, complex, same shape.
    """
    hertz, ohm = np.asarray(frequency, float), np.asarray(impedance, complex)
    columns = {"frequency / Hz": hertz, "Re Z / Ω": ohm.real, "Im Z / Ω": ohm.imag}
    return Table(f"spectrum-{number}", "spectrum", "Impedance", columns)


def _dynamics(result: ResultData) -> Iterator[Table]:
    """Yield what each simulated cell wrote while it ran."""
    if result.creator is None:
        return
    cells = [link.node.creator for link in result.creator.base.links.get_incoming(node_class=orm.Dict).all()]
    runs = {node.pk: node for node in cells if isinstance(node, orm.CalcJobNode) and "retrieved" in node.outputs}
    for number, node in enumerate(runs.values(), start=1):
        repository = node.outputs.retrieved.base.repository
        if LOG not in repository.list_object_names():
            continue
        found = csv.DictReader(io.StringIO(repository.get_object_content(LOG, "r")))
        # the last line of a run that was cut off may be a part of one
        rows = [row for row in found if None not in row.values()]
        if rows:
            columns = {name: [_read(row[name], name) for row in rows] for name in rows[0]}
            yield Table(f"dynamics-{number}", "dynamics", f"cell {number}", columns)


def _read(text: str, name: str) -> Any:
    return text if name == "stage" else float(text)


def _capacities(result: ResultData) -> Iterator[Table]:
    """Yield the discharge capacities over the cycles, of each cell."""
    cells = result.data.get("cells") or [result.data]
    for number, cell in enumerate(cells if isinstance(cells, list) else (), start=1):
        values, cycles = _numbers(cell.get("discharge_capacities")), _numbers(cell.get("cycles"))
        if not values:
            values = _numbers(cell.get("capacity_list"))[1::2]
        if values:
            info = cell.get("cell_info") or {}
            title = str(info.get("uuid") or info.get("cell_name") or f"cell {number}")
            counted: Any = cycles if len(cycles) == len(values) else list(range(1, len(values) + 1))
            columns = {"cycle": counted, "discharge capacity / Ah": values}
            yield Table(f"capacities-{number}", "capacities", title, columns)


def _trajectories(result: ResultData) -> Iterator[Table]:
    """Yield the capacities that a model expects, with their standard deviation, of each cell."""
    body = result.data.get("degradationEOL")
    for number, cell in enumerate(body if isinstance(body, list) else [body], start=1):
        if not isinstance(cell, dict):
            continue
        values, errors = (_numbers(cell.get(key)) for key in ("capacity_trajectory", "capacity_trajectory_uncertainty"))
        if values and len(values) == len(errors):
            name = (cell.get("cell_info") or {}).get("uuid") or "cell"
            columns = {
                "coming cycle": list(range(1, len(values) + 1)),
                "capacity / mAh": values,
                "standard deviation / mAh": errors,
            }
            yield Table(f"trajectory-{number}", "trajectory", f"Expected capacity of {name}", columns)


def _draw_spectrum(table: Table, note: str) -> Iterator[Chart]:
    """Yield a Nyquist plot with the fit by which the resistance was found; where that fails, without."""
    from aiida_finales.science.electrolyte.impedance import circuit_impedance, fit_resistance

    hertz, real, imaginary = (np.asarray(values, float) for values in table.columns.values())
    told = zip(real, -imaginary, hertz, strict=True)
    marks = [Mark(float(x), float(y), lines=_tell_point(x, y, f)) for x, y, f in told]
    series = [Series("measured", "points", _thin(marks))]
    try:
        fit = fit_resistance(hertz, real + 1j * imaginary)
    except FinalesError as error:
        title = f"Impedance; it cannot be fitted: {error}"
    else:
        curve = circuit_impedance(
            np.geomspace(hertz.min(), hertz.max(), N_FIT), fit.resistance, fit.q, fit.n, fit.inductance
        )
        series.append(Series(f"fit: R = {fit.resistance:.4g} Ω", "line", line_of(curve.real, -curve.imag), MODEL))
        title = f"Impedance, {_say_hertz(hertz.min())} to {_say_hertz(hertz.max())}; R = {fit.resistance:.4g} Ω"
    words = f"Nyquist plot of {len(hertz)} frequencies."
    yield Chart(table.name, title, words, Axis("Re Z / Ω"), Axis("-Im Z / Ω"), tuple(series), note=note, is_equal=True)


def _say_hertz(hertz: float) -> str:
    """Return a frequency with the prefix that keeps its number short."""
    factor, unit = next((item for item in ((1e6, "MHz"), (1e3, "kHz")) if hertz >= item[0]), (1.0, "Hz"))
    return f"{hertz / factor:.4g} {unit}"


def _tell_point(x: float, y: float, hertz: float) -> tuple[tuple[str, str], ...]:
    return ("frequency", _say_hertz(hertz)), ("Re Z", f"{x:.5g} Ω"), ("-Im Z", f"{y:.5g} Ω")


def _draw_pairs(table: Table, note: str) -> Iterator[Chart]:
    (_, radius), *others = table.columns.items()
    lines = [(name.removeprefix("g(r) of "), values) for name, values in others[:MOST_LINES]]
    series = tuple(Series(name, "line", _points(radius, g), place) for place, (name, g) in enumerate(lines))
    words = f"Pair distributions of {', '.join(name for name, _ in lines)}."
    yield Chart(table.name, table.title, words, Axis("r / Å", 0.0), Axis("g(r)", 0.0), series, note=note)


def _draw_trajectory(table: Table, note: str) -> Iterator[Chart]:
    x, mean, sd = (np.asarray(values, float) for values in table.columns.values())
    rows = zip(x, mean, mean - sd, mean + sd, strict=True)
    band = [Mark(float(at), float(y), float(low), float(high)) for at, y, low, high in rows]
    series = (
        Series("± 1 standard deviation", "band", _thin(band), MODEL),
        Series("expected", "line", _points(x, mean), MODEL),
    )
    words = f"{table.title} over {len(x)} coming cycles, with one standard deviation."
    yield Chart(
        table.name, table.title, words, Axis("coming cycle", is_whole=True), Axis("capacity / mAh"), series, note=note
    )


DRAW = {"spectrum": _draw_spectrum, "pairs": _draw_pairs, "trajectory": _draw_trajectory}


def _draw_capacities(tables: Sequence[Table], note: str) -> Chart:
    series = []
    for place, table in enumerate(tables):
        cycles, values = table.columns.values()
        series.append(Series(table.title, "points", _points(cycles, values), place))
    words = f"Discharge capacity over the cycles of {', '.join(table.title for table in tables)}."
    axes = Axis("cycle", is_whole=True), Axis("discharge capacity / Ah")
    return Chart("capacities", "Capacity over the cycles", words, *axes, tuple(series), note=note)


def _draw_dynamics(tables: Sequence[Table], note: str) -> list[Chart]:
    """Return a figure of each column of :data:`DYNAMICS`; stages follow each other on one line of time."""
    charts = []
    for name, title, axis, column in DYNAMICS:
        series = []
        for place, table in enumerate(tables):
            if column in table.columns:
                series.append(Series(table.title, "line", _points(_add_stages(table), table.columns[column]), place))
        if series:
            words = f"{title}, of {len(series)} simulated cells, all stages one after the other."
            charts.append(Chart(name, title, words, Axis("time / ps", 0.0), Axis(axis), tuple(series), note=note))
    return charts


def _add_stages(table: Table) -> list[float]:
    """Return the time since the first stage began: the log counts from the begin of each stage, ps."""
    moments: list[float] = []
    before, last, stage = 0.0, 0.0, ""
    for name, moment in zip(table.columns["stage"], table.columns["time_ps"], strict=True):
        if name != stage:
            before, stage = before + last, name
        last = float(moment)
        moments.append(before + last)
    return moments


def _points(x: Any, y: Any) -> tuple[Mark, ...]:
    return _thin(line_of(x, y))


def _thin(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Return so many points, evenly chosen, that a figure can show them; none that is no number."""
    known = [mark for mark in marks if all(math.isfinite(value) for value in (mark.x, mark.y, mark.low or 0.0))]
    return tuple(known[:: max(1, -(-len(known) // MOST_POINTS))])


def _numbers(values: Any) -> list[float]:
    """Return a list of numbers; an empty one where it is something else."""
    return values if isinstance(values, list) and all(is_number(value) for value in values) else []
