"""Which tables of cells files are, and what stands in them: in our columns and units, by what their headings say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.data import is_workbook, read_columns, read_tables
from aiida_finales.science.lifetime.generator.headings import name_columns, read_headings, turn

Row = Mapping[str, str]
#: tables by the columns that only they have
_KINDS = {
    "cells": {"cell_id", "positive", "negative", "nominal_capacity_Ah", "temperature_C"},
    "electrodes": {"material", "working_ion", "practical_capacity"},
    "crossings": {"cell_id", "soh_percent", "cycle"},
    "capacities": {"cell_id", "cycle", "discharge_capacity_Ah"},
    "voltages": {"cell_id", "dq_3_100_Ah", "darea_3_100_Wh", "log10_var_dQ_100_10"},
}
#: columns by which a table of cells is known at first sight, and those that it must have as well
_CELLS, _OF_A_CELL = {"positive", "negative"}, {"format", "charge_rate_C", "discharge_rate_C"}
#: rates as people write them: 1.5C, C/3
_RATE = re.compile(r"(?P<times>[\d.]+)\s*C|C\s*/\s*(?P<over>[\d.]+)", re.IGNORECASE)


def is_ageing(files: Sequence[Path]) -> bool:
    """Return whether one of the files is a table of cells with their design."""
    texts = {".csv", ".txt", ".tsv"}
    tables = (path for path in files if texts & {*path.suffixes} or is_workbook(path))
    return any(name_columns(names) >= _CELLS for path in tables for names in read_columns(path))


def read_file(path: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield which table a file is, and its rows in our units; a workbook may be several, and have sheets of notes.

    :raises InputError: when one is none that is known; naming what the one that it is most like lacks.
    """
    tables = read_tables(path)
    # a sheet none of whose headings is known has other things, unless there is nothing else
    told = {
        name: rows for name, rows in tables.items() if rows and name_columns(rows[0]) & set().union(*_KINDS.values())
    }
    for name, rows in (told or tables).items():
        yield _recognise(name, rows)


def read_cells(path: Path) -> dict[str, Row]:
    """Return what a table of cells says of each, by name.

    :raises InputError: when the file is none, or names a cell twice.
    """
    tables: dict[str, list[Row]] = {}
    for kind, rows in read_file(path):
        tables.setdefault(kind, []).extend(rows)
    if "cells" not in tables:
        given, needed = ", ".join(tables), ", ".join(_KINDS["cells"])
        raise InputError(f"{path.name} is a table of {given}, accepted is one of cells: {needed}, ...")
    try:
        return by_name(tables["cells"])
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the row of each cell.

    :raises InputError: when there are two.
    """
    found = {row["cell_id"]: row for row in rows}
    if len(found) < len(rows):
        twice = next(name for name in found if sum(row["cell_id"] == name for row in rows) > 1)
        raise InputError(f"{twice} is there more than once, accepted is one row per cell")
    return found


def _recognise(name: str, given: Sequence[Row]) -> tuple[str, list[Row]]:
    try:
        headings = read_headings(given[0] if given else (), lambda column: [row[column] for row in given])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    columns = {*(given[0] if given else ()), *(item.column for item in headings.values())}
    kind = next((word for word, needed in _KINDS.items() if needed <= columns), None)
    likest = "cells" if columns >= _CELLS else kind or max(_KINDS, key=lambda word: len(_KINDS[word] & columns))
    needed = _KINDS[likest] | (_OF_A_CELL if likest == "cells" else set())
    if not needed <= columns:
        raise InputError(
            f"{name} has the columns {', '.join(sorted(columns))}; as a table of {likest} it lacks "
            f"{', '.join(sorted(needed - columns))}. Accepted are tables of {', '.join(_KINDS)}"
        )
    return likest, [turn(row, headings, read_optional) for row in given] if headings else list(given)


def read_number(row: Row, column: str) -> float:
    """Return the number in a column.

    :raises InputError: when there is none.
    """
    value = read_optional(row, column)
    if value is None:
        raise InputError(f"{column} of {row.get('cell_id') or row.get('material')} is empty, accepted is a number")
    return value


def read_optional(row: Row, column: str) -> float | None:
    """Return the number in a column, rates as ``1.5C`` and ``C/3``, too; ``None`` where nothing stands.

    :raises InputError: when it is no number.
    """
    text = (row.get(column) or "").strip()
    if not text:
        return None
    rate = _RATE.fullmatch(text) if "rate" in column else None
    if rate is not None:
        text = rate["times"] or repr(1 / float(rate["over"]))
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(
            f"{column} of {row.get('cell_id') or row.get('material')} is {text!r}, accepted is a number"
        ) from error
    return value if math.isfinite(value) else None
