"""Cells to learn from, in tables: one of cells, one of their capacities or of the cycles at which these had fallen.

Which table is which is told by its columns. Capacities that nobody smoothed are cleaned as ``aiida-finales cycling
clean`` does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cleaning import LEAST_POINTS, PERCENTS, Settings, clean_series
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.data import read_rows
from aiida_finales.science.lifetime.generator.cell import (
    FORMATS,
    PROPERTIES,
    AgeingCell,
    AgeingDataset,
    CellDesign,
    Electrode,
    Step,
    describe,
    name_material,
)
from aiida_finales.science.lifetime.generator.early import FIRST, WINDOWS, describe_early

Row = Mapping[str, str]
#: what a material is by its name, or ``None`` where nobody knows
Lookup = Callable[[str], Electrode | None]
#: tables by the columns that only they have
_KINDS = {
    "cells": {"cell_id", "positive", "negative", "nominal_capacity_Ah", "temperature_C"},
    "electrodes": {"material", "working_ion", "practical_capacity"},
    "crossings": {"cell_id", "soh_percent", "cycle"},
    "capacities": {"cell_id", "cycle", "discharge_capacity_Ah"},
    "voltages": {"cell_id", "dq_3_100_Ah", "darea_3_100_Wh", "log10_var_dQ_100_10"},
}
#: numbers of the first cycles by the column of the table of voltages
_EARLY = {"area_difference": "darea_3_100_Wh", "log10_var_dQ": "log10_var_dQ_100_10"}
_EXACT = {"initial": "q3_Ah", "capacity_difference": "dq_3_100_Ah"}
#: how much the ratio of the capacity of cycle 3 to that of the voltages may be off the usual one
_SAME_CELL = 0.003
#: ``5.4C(50%)-3C to 80 % SoC``, ``5C to 80 % SoC``, and parts of ``3C to 60 %, 1C to 0 % SoC``
_TWO_STEPS = re.compile(r"([\d.]+)C\((\d+)\s*%\)\s*-\s*([\d.]+)C to (\d+)\s*%")
_PART = re.compile(r"([\d.]+)C to (\d+)\s*%")
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")
#: per cent
_FULL = 100.0


def is_ageing(files: Sequence[Path]) -> bool:
    """Return whether files are tables of cells with their design (or JSON documents of them)."""
    return any(identify(path) == "cells" for path in files if ".csv" in path.suffixes)


def identify(path: Path) -> str | None:
    """Return which table a file is, or ``None``."""
    rows = read_rows(path)
    columns = set(rows[0]) if rows else set()
    return next((kind for kind, needed in _KINDS.items() if needed <= columns), None)


def read_ageing(files: Sequence[Path], lookup: Lookup) -> AgeingDataset:
    """Return the cells of tables.

    :param lookup: tells the properties of materials that no table among the files has.
    :raises InputError: when a table lacks, has an unknown form or a number that is none, or no cell has a crossing.
    """
    tables: dict[str, list[Row]] = {}
    for path in files:
        kind = identify(path)
        if kind is None:
            needed = "; ".join(f"{name}: {', '.join(sorted(columns))}" for name, columns in _KINDS.items())
            raise InputError(f"{path.name} is no table that is known here, accepted are, by columns, {needed}")
        tables.setdefault(kind, []).extend(read_rows(path))
    if "cells" not in tables or not {"crossings", "capacities"} & set(tables):
        raise InputError(
            f"tables of {', '.join(tables)} were given, accepted are one of cells, and one of capacities or crossings"
        )
    return _join(tables, lookup, files)


def _join(tables: Mapping[str, Sequence[Row]], lookup: Lookup, files: Sequence[Path]) -> AgeingDataset:
    known = {row["material"]: _read_electrode(row) for row in tables.get("electrodes", ())}
    series = _by_cell(tables.get("capacities", ()))
    crossings = _by_cell(tables.get("crossings", ()))
    told = {row["cell_id"]: row for row in tables.get("voltages", ())}
    voltages = _fitting(series, told)
    cells = []
    for row in tables["cells"]:
        name = row["cell_id"]
        found = _read_crossings(crossings.get(name, ())) or _find_crossings(row, series.get(name, ()))
        if found:
            cell = _read_cell(row, lambda word: known.get(word) or lookup(word))
            early = _early(series.get(name, ()), voltages.get(name), cell.design.nominal_capacity)
            cells.append(replace(cell, crossings=found, early=early))
    if not cells:
        raise InputError(f"no cell of {files[0].name} has a capacity below 99 % of its reference in the other tables")
    sets = ", ".join(dict.fromkeys(filter(None, (cell.dataset for cell in cells)))) or files[0].name
    n_strange = len(told) - len(voltages)
    strange = f"; voltages of {n_strange} are not those of its capacities, and left out" if n_strange else ""
    return AgeingDataset(tuple(cells), f"{len(cells)} cells, {sets}{strange}")


def read_cell_table(path: Path, lookup: Lookup) -> dict[str, AgeingCell]:
    """Return what a table of cells says of each, by name; of what became of them it knows nothing.

    :raises InputError: when it is none, names a cell twice, or one makes no sense.
    """
    rows = read_rows(path)
    lacking = sorted(_KINDS["cells"] - set(rows[0] if rows else ()))
    if lacking:
        raise InputError(f"{path.name} is no table of cells: it lacks the columns {', '.join(lacking)}")
    found: dict[str, AgeingCell] = {}
    for row in rows:
        if row["cell_id"] in found:
            raise InputError(f"{path.name} has {row['cell_id']} more than once, accepted is one row per cell")
        found[row["cell_id"]] = cell = _read_cell(row, lookup)
        try:
            describe(cell.design)
        except InputError as error:
            raise InputError(f"{path.name}, {cell.name}: {error}") from error
    return found


def _read_cell(row: Row, lookup: Lookup) -> AgeingCell:
    name = row["cell_id"]
    origin = row.get("licence") or "", row.get("doi") or row.get("repository") or "", _is_open(row)
    return AgeingCell(name, read_design(row, lookup), {}, row.get("protocol_id") or name, row.get("lab") or "",
                      row.get("dataset") or "", {}, *origin)  # fmt: skip


def read_series(cycles: Sequence[float], capacities: Sequence[float], cell: AgeingCell) -> AgeingCell:
    """Return a cell with what its series says: no crossings where it is too short, or never fell.

    :param cycles: numbers; :param capacities: Ah of the discharge of each, as measured.
    """
    if len(cycles) < LEAST_POINTS:
        return cell
    crossings = {key: cycle for key, cycle in clean_series(cycles, capacities).crossings.items() if key in PERCENTS}
    numbers, values = np.asarray(cycles, dtype=np.float64), np.asarray(capacities, dtype=np.float64)
    return replace(cell, crossings=crossings, early=_look_early(numbers, values, cell.design.nominal_capacity))


def _look_early(cycles: Array, values: Array, nominal: float) -> dict[str, dict[str, float]]:
    """Return the numbers of the first cycles by the last of these."""
    return {str(last): early for last in WINDOWS if (early := describe_early(cycles, values, nominal, last))}


def _is_open(row: Row) -> bool:
    """Return whether the data of a cell may be given to others; where nothing is said, they may.

    :raises InputError: when it is neither yes nor no.
    """
    word = (row.get("redistributable") or "").strip().casefold()
    if word not in {"", *_YES, *_NO}:
        raise InputError(f"redistributable of {row['cell_id']} is {word!r}, accepted are {', '.join((*_YES, *_NO))}")
    return word not in _NO


def read_design(row: Row, lookup: Lookup) -> CellDesign:
    """Return what a row of a table of cells says.

    :raises InputError: when a number or the format is none.
    """
    form = next((word for word in FORMATS if row.get("format", "").startswith(word)), None)
    if form is None:
        raise InputError(f"format of {row['cell_id']} is {row.get('format')!r}, accepted are {', '.join(FORMATS)}")
    return CellDesign(
        positive=_find(row["positive"], lookup),
        negative=_find(row["negative"], lookup),
        form=form,
        nominal_capacity=_number(row, "nominal_capacity_Ah"),
        charging=_read_charging(row),
        discharging=_read_discharging(row),
        temperature=_number(row, "temperature_C") + 273.15,
        voltage_minimum=_optional(row, "v_min"),
        voltage_maximum=_optional(row, "v_max"),
    )


def _find(word: str, lookup: Lookup) -> Electrode:
    name = name_material(word)
    return lookup(name) or Electrode(name)


def _read_charging(row: Row) -> tuple[Step, ...]:
    mean, highest = _number(row, "charge_rate_C"), _optional(row, "charge_rate_max_C")
    text = row.get("charge_protocol", "")
    if two := _TWO_STEPS.match(text):
        first, until, second, end = map(float, two.groups())
        return Step(first, until / 100), Step(second, end / 100), Step(1.0, 1.0)
    if (one := _PART.match(text)) and float(one[2]) < _FULL:
        return Step(float(one[1]), float(one[2]) / 100), Step(1.0, 1.0)
    return (Step(mean, 1.0, highest),)


def _read_discharging(row: Row) -> tuple[Step, ...]:
    parts = _PART.findall(row.get("discharge_protocol", ""))
    if parts and float(parts[-1][1]) == 0:
        return tuple(Step(float(rate), float(until) / 100) for rate, until in parts)
    return (Step(_number(row, "discharge_rate_C"), 0.0, _optional(row, "discharge_rate_max_C")),)


def _read_electrode(row: Row) -> Electrode:
    properties = {name: value for name in PROPERTIES if (value := _optional(row, name)) is not None}
    return Electrode(row["material"], row.get("working_ion", ""), properties)


def _by_cell(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["cell_id"], []).append(row)
    return found


def _read_crossings(rows: Sequence[Row]) -> dict[int, float]:
    return {int(_number(row, "soh_percent")): _number(row, "cycle") for row in rows}


def _find_crossings(cell: Row, rows: Sequence[Row]) -> dict[int, float]:
    """Return the crossings of a series of capacities; one that somebody smoothed is not smoothed again."""
    if len(rows) < LEAST_POINTS:
        return {}
    is_smooth = "smoothed_capacity_Ah" in rows[0]
    column = "smoothed_capacity_Ah" if is_smooth else "discharge_capacity_Ah"
    cycles, values = [_number(row, "cycle") for row in rows], [_number(row, column) for row in rows]
    how = Settings(
        limit=math.inf if is_smooth else 4.0, window=1 if is_smooth else None, reference=_optional(cell, "q_ref_Ah")
    )
    return {key: cycle for key, cycle in clean_series(cycles, values, how).crossings.items() if key in PERCENTS}


def _early(rows: Sequence[Row], voltages: Row | None, nominal: float) -> dict[str, dict[str, float]]:
    """Return the numbers of the first cycles by the last of these."""
    column = "smoothed_capacity_Ah" if rows and "smoothed_capacity_Ah" in rows[0] else "discharge_capacity_Ah"
    cycles = np.array([_number(row, "cycle") for row in rows])
    values = np.array([_number(row, column) for row in rows])
    found = _look_early(cycles, values, nominal)
    if voltages is not None and (longest := str(WINDOWS[-1])) in found:
        # measured at these very cycles, where the capacities may be thinned out
        exact = {name: _number(voltages, column) / nominal for name, column in _EXACT.items() if column in voltages}
        found[longest] |= {name: _number(voltages, column) for name, column in _EARLY.items()} | exact
    return found


def _fitting(series: Mapping[str, Sequence[Row]], voltages: Mapping[str, Row]) -> dict[str, Row]:
    """Return the voltages of cells whose capacities do not contradict them: those of another cell teach wrong things.

    Voltages may end before the cycler's discharge does, so that capacities differ by about the same in all cells.
    """
    shifts = {}
    for name, row in voltages.items():
        cycles = [_number(item, "cycle") for item in series.get(name, ())]
        capacities = [_number(item, "discharge_capacity_Ah") for item in series.get(name, ())]
        told = _optional(row, _EXACT["initial"])
        if cycles and told is not None:
            shifts[name] = float(np.interp(FIRST, cycles, capacities)) / told
    usual = float(np.median(list(shifts.values()))) if shifts else 0.0
    return {name: row for name, row in voltages.items() if abs(shifts.get(name, usual) - usual) <= _SAME_CELL}


def _number(row: Row, column: str) -> float:
    value = _optional(row, column)
    if value is None:
        raise InputError(f"{column} of {row.get('cell_id') or row.get('material')} is empty, accepted is a number")
    return value


def _optional(row: Row, column: str) -> float | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(
            f"{column} of {row.get('cell_id') or row.get('material')} is {text!r}, accepted is a number"
        ) from error
    return value if math.isfinite(value) else None
