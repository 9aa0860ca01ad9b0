"""Cells to learn from, in tables: one of cells, one of their capacities or of the cycles at which these had fallen.

Which table is which is told by its columns. Capacities that nobody smoothed are cleaned as ``aiida-finales cycling
clean`` does. Rows that contradict the series beside them are left out, and the description says which
(:mod:`~aiida_finales.science.lifetime.generator.slips`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.words import count
from aiida_finales.science.ageing.cleaning import PERCENTS
from aiida_finales.science.ageing.end_of_life import explain_nominal
from aiida_finales.science.lifetime.generator.cell import (
    FORMATS,
    PROPERTIES,
    AgeingCell,
    AgeingDataset,
    CellDesign,
    Electrode,
    Step,
    describe,
    leave_out_twins,
    name_material,
)
from aiida_finales.science.lifetime.generator.early import FIRST, WINDOWS
from aiida_finales.science.lifetime.generator.files import (
    Row,
    by_name,
    read_cells,
    read_file,
    read_number,
    read_optional,
)
from aiida_finales.science.lifetime.generator.series import Series
from aiida_finales.science.lifetime.generator.slips import Slip, compare_capacities, compare_lives, find_slip

#: what a material is by its name, or ``None`` where nobody knows
Lookup = Callable[[str], Electrode | None]
#: between which numbers of a cell are, and what one beyond them looks like
_PLAUSIBLE = {"temperature_C": (-60.0, 100.0, "K"), "v_min": (-1.0, 6.0, "mV"), "v_max": (0.0, 6.0, "mV")}
#: the capacity that ends a published life, as ``0.88 Ah``
_CRITERION = re.compile(r"([\d.]+)\s*Ah")
#: numbers of the first cycles by the column of the table of voltages
_EARLY = {"area_difference": "darea_3_100_Wh", "log10_var_dQ": "log10_var_dQ_100_10"}
_EXACT = {"initial": "q3_Ah", "capacity_difference": "dq_3_100_Ah"}
#: ``5.4C(50%)-3C to 80 % SoC``, ``5C to 80 % SoC``, and parts of ``3C to 60 %, 1C to 0 % SoC``
_TWO_STEPS = re.compile(r"([\d.]+)C\((\d+)\s*%\)\s*-\s*([\d.]+)C to (\d+)\s*%")
_PART = re.compile(r"([\d.]+)C to (\d+)\s*%")
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")
#: diameter and height of round cells in their codes: 18 mm and 65.0 mm (also 4680: 46 mm and 80 mm), 20 mm and 3.2 mm
_CODES = (
    (re.compile(r"(?<!\d)(\d{5}|(14|18|21|26|32|33|46)[4-9]\d)(?!\d)"), "cylindrical"),
    (re.compile(r"(?<!\d)\d{4}(?!\d)"), "coin"),
)
#: per cent
_FULL = 100.0


def read_ageing(files: Sequence[Path], lookup: Lookup) -> AgeingDataset:
    """Return the cells of tables.

    :param lookup: tells the properties of materials that no table among the files has.
    :raises InputError: when a table lacks, has an unknown form or a number that is none, or no cell has a crossing.
    """
    tables: dict[str, list[Row]] = {}
    for path in files:
        for kind, rows in read_file(path):
            tables.setdefault(kind, []).extend(rows)
    if "cells" not in tables or not {"crossings", "capacities"} & set(tables):
        raise InputError(
            f"tables of {', '.join(tables)} were given, accepted are one of cells, and one of capacities or crossings"
        )
    return _join(tables, lookup)


def _join(tables: Mapping[str, Sequence[Row]], lookup: Lookup) -> AgeingDataset:
    electrodes = [_read_electrode(row, lookup) for row in tables.get("electrodes", ())]
    known = {electrode.material: electrode for electrode in electrodes}
    series = {name: _read_series(rows) for name, rows in _by_cell(tables.get("capacities", ())).items()}
    crossings = _by_cell(tables.get("crossings", ()))
    given = by_name(tables["cells"])
    rows, moved, shifted = _give_back(given, series)
    told = by_name(tables.get("voltages", ()))
    told = {name: told[source] for name in rows if (source := moved.get(name, name)) in told}
    voltages, strange = _sort_voltages(told, series)
    cells = []
    for cell in _read_cells(rows, lambda word: known.get(_name(word, lookup)) or lookup(word)).values():
        own = series.get(cell.name)
        found = _read_crossings(crossings.get(cell.name, ())) or (_find_crossings(rows[cell.name], own) if own else {})
        if found:
            cells.append(replace(cell, crossings=found, early=_early(cell, own, voltages.get(cell.name))))
    n_fell = len(cells)
    cells, twice = leave_out_twins(cells)
    if not cells:
        raise InputError(f"none of {count(len(rows), 'cell')} has a capacity below 99 % of its reference in the tables")
    sets = ", ".join(dict.fromkeys(filter(None, (cell.dataset for cell in cells))))
    n_silent = len(rows) - n_fell
    silent = f"left out as no table says that they fell: {n_silent}" if n_silent else ""
    words = (", ".join(filter(None, (count(len(cells), "cell"), sets))), shifted, strange, silent, twice)
    return AgeingDataset(tuple(cells), "; ".join(filter(None, words)))


def read_cell_table(path: Path, lookup: Lookup) -> dict[str, AgeingCell]:
    """Return what a table of cells says of each, by name; of what became of them it knows nothing.

    :raises InputError: when it is none, names a cell twice, or one makes no sense.
    """
    rows = read_cells(path)
    try:
        return _read_cells(rows, lookup)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def explain_slip(path: Path, series: Mapping[str, Series]) -> str:
    """Return in words which rows of a table of cells are true of those beside them; nothing where none are.

    :param series: of the cells, by name.
    """
    slip = _find_slip(read_cells(path), series)
    return slip.say("the published life") if slip else ""


def _read_cells(rows: Mapping[str, Row], lookup: Lookup) -> dict[str, AgeingCell]:
    found: dict[str, AgeingCell] = {}
    for name, row in rows.items():
        origin = row.get("licence") or "", row.get("doi") or row.get("repository") or "", _is_open(row)
        design = read_design(row, lookup)
        found[name] = AgeingCell(name, design, {}, row.get("protocol_id") or design.protocol,
                                 row.get("lab") or "", row.get("dataset") or "", {}, *origin)  # fmt: skip
        try:
            describe(found[name].design)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return found


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
    form = _find_form(row.get("format") or "")
    if form is None:
        raise InputError(f"format of {row['cell_id']} is {row.get('format')!r}, accepted are {', '.join(FORMATS)}")
    for column, (low, high, other) in _PLAUSIBLE.items():
        value = read_optional(row, column)
        if value is not None and not low <= value <= high:
            unit = "degC" if column.endswith("_C") else "V"
            raise InputError(
                f"{column} of {row['cell_id']} is {value:g} {unit}, accepted is {low:g} to {high:g} {unit}"
                f"{f'; it looks like {other}' if value > high else ''}"
            )
    return CellDesign(
        positive=_find(row["positive"], lookup),
        negative=_find(row["negative"], lookup),
        form=form,
        nominal_capacity=read_number(row, "nominal_capacity_Ah"),
        charging=_read_charging(row),
        discharging=_read_discharging(row),
        temperature=read_number(row, "temperature_C") + 273.15,
        voltage_minimum=read_optional(row, "v_min"),
        voltage_maximum=read_optional(row, "v_max"),
    )


def _find_form(text: str) -> str | None:
    """Return the format of a cell, also by the code of IEC 60086 for round cells: 18650 is cylindrical, CR2032 coin."""
    said = next((word for word in FORMATS if word in text.casefold()), None)
    return said or next((form for code, form in _CODES if code.search(text)), None)


def _name(word: str, lookup: Lookup) -> str:
    """Return the name of a material under which requests find it: that of its record, where it has one."""
    found = lookup(word)
    return word if found is None else found.material


def _find(word: str, lookup: Lookup) -> Electrode:
    name = name_material(word)
    return lookup(name) or Electrode(name)


def _read_charging(row: Row) -> tuple[Step, ...]:
    mean, highest = read_number(row, "charge_rate_C"), read_optional(row, "charge_rate_max_C")
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
    return (Step(read_number(row, "discharge_rate_C"), 0.0, read_optional(row, "discharge_rate_max_C")),)


def _read_electrode(row: Row, lookup: Lookup) -> Electrode:
    properties = {name: value for name in PROPERTIES if (value := read_optional(row, name)) is not None}
    return Electrode(_name(row["material"], lookup), row.get("working_ion", ""), properties)


def _by_cell(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["cell_id"], []).append(row)
    return found


def _read_crossings(rows: Sequence[Row]) -> dict[int, float]:
    """Return the cycle at each per cent.

    :raises InputError: when a state of health is no whole per cent, or a cycle falls as the state of health does.
    """
    found: dict[float, float] = {}
    for row in rows:
        percent, cycle = read_number(row, "soh_percent"), read_number(row, "cycle")
        if found.setdefault(percent, cycle) != cycle:
            raise InputError(
                f"soh_percent {percent:g} of {row['cell_id']} is there twice, at cycle {found[percent]:g} and "
                f"{cycle:g}; accepted is one cycle for each"
            )
    odd = [value for value in found if value not in PERCENTS]
    if odd:
        looks = ", which looks like a share" if odd[0] < 1 else ""
        raise InputError(
            f"soh_percent of {rows[0]['cell_id']} is {odd[0]:g}, accepted are whole per cent from {PERCENTS[0]} to "
            f"{PERCENTS[-1]}{looks}"
        )
    cycles = [found[percent] for percent in sorted(found, reverse=True)]
    if cycles and (cycles[0] <= 0 or cycles != sorted(cycles)):
        raise InputError(
            f"cycle of {rows[0]['cell_id']} is {cycles} as soh_percent falls, accepted are numbers above 0 that rise"
        )
    return {int(percent): cycle for percent, cycle in found.items()}


def _read_series(rows: Sequence[Row]) -> Series:
    """Return the series of the rows of one cell."""
    ordered = sorted(rows, key=lambda row: read_number(row, "cycle"))
    columns = ("cycle", "discharge_capacity_Ah", "smoothed_capacity_Ah")
    return Series(*(np.array([read_number(row, name) for row in ordered]) for name in columns if name in ordered[0]))


def _find_crossings(row: Row, series: Series) -> dict[int, float]:
    try:
        return series.find_crossings(read_optional(row, "q_ref_Ah"))
    except InputError as error:
        raise InputError(f"capacities of {row['cell_id']}: {error}") from error


def _early(cell: AgeingCell, series: Series | None, voltages: Row | None) -> dict[str, dict[str, float]]:
    """Return the numbers of the first cycles by the last of these.

    :raises InputError: when the capacities are not those of a cell of such a nominal capacity.
    """
    if series is None:
        return {}
    nominal = cell.design.nominal_capacity
    if words := explain_nominal(nominal, float(series.best.max())):
        raise InputError(f"{cell.name}: {words}")
    found = series.describe_begin(nominal)
    if voltages is not None and (longest := str(WINDOWS[-1])) in found:
        # measured at these very cycles, where the capacities may be thinned out
        exact = {name: read_number(voltages, column) / nominal for name, column in _EXACT.items() if column in voltages}
        found[longest] |= {name: read_number(voltages, column) for name, column in _EARLY.items()} | exact
    return found


def _give_back(rows: Mapping[str, Row], series: Mapping[str, Series]) -> tuple[dict[str, Row], dict[str, str], str]:
    """Return what is said of each cell, the names of those rows that say it of another, and in words what was moved.

    Of a stretch that has slipped each row goes to the cell whose series it fits; a cell that none fits is left out.
    """
    slip = _find_slip(rows, series)
    if slip is None:
        return dict(rows), {}, ""
    kept = {name: rows[name] for name in rows if name not in slip.cells}
    # the reference was found in the series, and stays with it
    moved = {name: {**rows[source], "cell_id": name, "q_ref_Ah": rows[name].get("q_ref_Ah", "")}
             for name, source in slip.moved.items()}  # fmt: skip
    n_lost = len(slip.cells) - len(moved)
    words = f"{slip.say('the published life')}, to which they were given; left out as none fits: {n_lost}"
    return {name: row for name in rows if (row := {**kept, **moved}.get(name))}, dict(slip.moved), words


def _find_slip(rows: Mapping[str, Row], series: Mapping[str, Series]) -> Slip | None:
    """Return the rows of which the lives that they state are those of the series so many rows away, to the cycle."""
    told = {name: (life, float(limit[1])) for name, row in rows.items() if name in series
            and (life := read_optional(row, "published_life")) is not None
            and (limit := _CRITERION.search(row.get("published_life_criterion") or ""))}  # fmt: skip
    ends = [series[name].find_end(limit) for name, (_, limit) in told.items()]
    lasts = [series[name].cycles[-1] for name in told]
    fits = compare_lives(np.array(ends), np.array(lasts), np.array([life for life, _ in told.values()]))
    return find_slip(list(told), fits)


def _sort_voltages(voltages: dict[str, Row], series: Mapping[str, Series]) -> tuple[dict[str, Row], str]:
    """Return the voltages whose capacities do not contradict those of the cell: others teach wrong things."""
    told = {name: value for name, row in voltages.items()
            if name in series and (value := read_optional(row, _EXACT["initial"])) is not None}  # fmt: skip
    if not told:
        return voltages, ""
    starts = np.array([float(np.interp(FIRST, series[name].cycles, series[name].measured)) for name in told])
    fits = compare_capacities(starts, np.array(list(told.values())))
    slip = find_slip(list(told), fits)
    # a capacity is not as sure a sign as a life: what fits other cells is said, and not given to them
    strange = {name for name, fit in zip(told, np.diag(fits), strict=True) if not fit} | set(slip.cells if slip else ())
    words = f"voltages of {len(strange)} are not those of its capacities, and left out" if strange else ""
    if slip:
        words += f": {slip.say('the capacity of their voltages')}"
    return {name: row for name, row in voltages.items() if name not in strange}, words
