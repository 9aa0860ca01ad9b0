"""Bring existing data in as unsolicited results."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.data.capability import CapabilityData, find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.formulation_path import place_formulation
from aiida_finales.schemas.table_map import apply_map, parse_map
from aiida_finales.schemas.values import PER_CELL

#: column of the value by quantity, and its factor to the unit of storage
VALUE_COLUMNS: dict[str, dict[str, float]] = {
    "conductivity": {"conductivity_S_per_m": 1.0, "conductivity_mS_cm": 0.1},
    "density": {"density_g_cm3": 1.0},
    "viscosity": {"viscosity_mPa_s": 1.0},
    "degradationEOL": {"end_of_life_cycles": 1.0},
}
#: between several values of a row: repetitions, or the cells of a formulation
SEPARATOR = ";"
#: stated uncertainty of each cell, cycles
UNCERTAINTY_COLUMN = "uncertainty_cycles"
SIMULATED_COLUMN = "simulated"
SIMULATED_WORDS = {"yes": True, "no": False, "": False}
TEMPERATURE_COLUMN = "temperature_K"
FRACTION_PREFIX = "x_"
DEFAULT_RATING = 3


@calcfunction
def import_results(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return one result per row of a CSV file.

    :param file: comma-separated, with columns ``temperature_K`` (not for cells), ``x_<chemical>`` (mole fraction) and
        the value, or several separated by semicolons; ``simulated`` is yes or no; lines that begin with ``#`` are
        comments.
    :param settings: ``quantity``, ``method``, ``tenant`` (who measured), ``rating`` (1-5), ``reference``, ``map``
        where the table has other columns, and ``rows``: numbers of the first row to read and of the first one not to.
    """
    return _read(file, settings.get_dict())


def _read(file: orm.SinglefileData, settings: dict[str, Any]) -> dict[str, ResultData]:
    rows = read_rows(map_columns(file.get_content("r"), settings.get("map")))
    first, end = settings.get("rows") or (1, len(rows) + 1)
    rows = rows[first - 1 : end - 1]
    capability = find_capability(settings["quantity"], settings["method"])
    return {f"result_{number:05d}": _make_result(row, settings, number, capability) for number, row in rows}


def map_columns(content: str, document: dict[str, Any] | None) -> str:
    """Return a table with our columns; without a map it has them.

    :raises InputError: when the map cannot be used.
    """
    return content if document is None else apply_map(content, parse_map(document))


def read_rows(content: str) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV file with their numbers, counted from 1 without comments and header.

    :raises InputError: when there is no row.
    """
    lines = [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    if not rows:
        raise InputError("the file has no rows: accepted is a CSV file with a header line and at least one row")
    return list(enumerate(rows, start=1))


def check_rows(content: str, quantity: str, method: str = "literature") -> int:
    """Look at every row before anything is stored; return how many there are.

    :param method: the method under which the rows are to be stored.
    :raises InputError: naming each row that cannot be used and why.
    """
    rows = read_rows(content)
    _columns_of(quantity)
    capability = find_capability(quantity, method)
    defects = []
    for number, row in rows:
        try:
            _make_result(row, {"quantity": quantity, "method": method}, number, capability)
        except FinalesError as error:
            defects.append(f"row {number}: {error}")
    if defects:
        shown = "; ".join(defects[:5])
        raise InputError(f"{len(defects)} of {len(rows)} rows cannot be used, nothing was stored: {shown}")
    return len(rows)


@dataclass(frozen=True)
class _Row:
    """What a row says: mole fractions by name, temperature (K), values and their uncertainties (unit of storage)."""

    shares: dict[str, float]
    temperature: float | None
    values: list[float]
    uncertainties: list[float]
    is_simulated: bool


def _columns_of(quantity: str) -> dict[str, float]:
    if quantity not in VALUE_COLUMNS:
        raise InputError(f"{quantity} cannot be imported from a table; accepted are {', '.join(VALUE_COLUMNS)}")
    return VALUE_COLUMNS[quantity]


def _read_row(row: dict[str, str], quantity: str) -> _Row:
    columns = _columns_of(quantity)
    column = next((name for name in columns if row.get(name)), None)
    if column is None:
        raise InputError(f"no value: accepted columns are {', '.join(columns)}")
    names = {key: key.removeprefix(FRACTION_PREFIX) for key in row if key and key.startswith(FRACTION_PREFIX)}
    unknown = [key for key, name in names.items() if find_chemical(name) is None and _number(row, key)]
    if unknown:
        raise InputError(f"columns {unknown} name no known chemical")
    shares = {name: _number(row, key) for key, name in names.items() if find_chemical(name) and _number(row, key)}
    has_temperature = quantity not in PER_CELL or bool(row.get(TEMPERATURE_COLUMN))
    word = (row.get(SIMULATED_COLUMN) or "").strip().lower()
    if word not in SIMULATED_WORDS:
        raise InputError(f"{SIMULATED_COLUMN} is {word!r}, but accepted is yes or no")
    values = [value * columns[column] for value in _numbers(row, column)]
    return _Row(
        shares,
        _number(row, TEMPERATURE_COLUMN) if has_temperature else None,
        values,
        _uncertainties(row, len(values)),
        SIMULATED_WORDS[word],
    )


def _uncertainties(row: dict[str, str], number: int) -> list[float]:
    """Return the uncertainty of each value; 0 where none is stated."""
    found = _numbers(row, UNCERTAINTY_COLUMN) if row.get(UNCERTAINTY_COLUMN) else [0.0] * number
    if len(found) != number:
        raise InputError(f"{UNCERTAINTY_COLUMN} has {len(found)} numbers, but accepted is one per value, {number}")
    return found


def _numbers(row: dict[str, str], column: str) -> list[float]:
    return [_parse(text, column) for text in (row.get(column) or "").split(SEPARATOR)]


def _number(row: dict[str, str], column: str) -> float:
    text = row.get(column) or ""
    return 0.0 if not text.strip() and column != TEMPERATURE_COLUMN else _parse(text, column)


def _parse(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{column} is {text!r}, but accepted is a number")
    return number


def _make_result(row: dict[str, str], settings: dict[str, Any], number: int, capability: CapabilityData) -> ResultData:
    quantity, read = settings["quantity"], _read_row(row, settings["quantity"])
    formulation = make_formulation(read.shares)
    reference = row.get("doi") or settings.get("reference", "")
    meta = {"success": True, "rating": settings.get("rating", DEFAULT_RATING)}
    make = _make_cells if quantity in PER_CELL else _make_measurement
    data = {
        "run_info": {"formulation": formulation, "internal_reference": f"{reference}#row{number}"},
        quantity: make(read, capability, meta),
    }
    others = {} if read.temperature is None else {"temperature": read.temperature}
    return ResultData(
        capability,
        data,
        place_formulation(quantity, formulation, others),
        tenant_uuid=settings.get("tenant", ""),
        simulated=read.is_simulated,
        strict=True,
    )


def _make_measurement(read: _Row, _: CapabilityData, meta: dict[str, Any]) -> dict[str, Any]:
    return {"values": read.values, "temperature": read.temperature, "meta": meta}


def _make_cells(read: _Row, capability: CapabilityData, meta: dict[str, Any]) -> Any:
    """Return one end of life per cell; a table says nothing about the cycles before it."""
    unknown: dict[str, Any] = {"capacity_trajectory": [], "capacity_trajectory_uncertainty": [], "cell_info": {}}
    cells = [
        {
            "end_of_life": int(value) if value.is_integer() else value,
            "end_of_life_uncertainty": uncertainty,
            "meta": meta,
            **unknown,
        }
        for value, uncertainty in zip(read.values, read.uncertainties, strict=True)
    ]
    if capability.result_schema["properties"][capability.quantity].get("type") == "array":
        return cells
    if len(cells) != 1:
        raise InputError(f"{len(cells)} cells, but a result of {capability.method} is one cell: use a row for each")
    return cells[0]
