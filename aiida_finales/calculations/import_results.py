"""Bring existing data in as unsolicited results."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.formulation import make_formulation

#: column of the value by quantity, and its factor to the unit of storage
VALUE_COLUMNS: dict[str, dict[str, float]] = {
    "conductivity": {"conductivity_S_per_m": 1.0, "conductivity_mS_cm": 0.1},
    "density": {"density_g_cm3": 1.0},
    "viscosity": {"viscosity_mPa_s": 1.0},
}
TEMPERATURE_COLUMN = "temperature_K"
FRACTION_PREFIX = "x_"
DEFAULT_RATING = 3


@calcfunction
def import_results(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return one result per row of a CSV file.

    :param file: comma-separated, with columns ``temperature_K``, ``x_<chemical>`` (mole fraction) and the value; lines
        that begin with ``#`` are comments; other columns are kept as they are.
    :param settings: ``quantity``, ``method``, ``tenant`` (who measured), ``rating`` (1-5) and ``reference``.
    """
    return _read(file, settings.get_dict())


def _read(file: orm.SinglefileData, settings: dict[str, Any]) -> dict[str, ResultData]:
    rows = read_rows(file.get_content("r"))
    return {f"result_{number:05d}": _make_result(row, settings, number) for number, row in rows}


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
    defects = []
    for number, row in rows:
        try:
            _make_result(row, {"quantity": quantity, "method": method}, number)
        except FinalesError as error:
            defects.append(f"row {number}: {error}")
    if defects:
        shown = "; ".join(defects[:5])
        raise InputError(f"{len(defects)} of {len(rows)} rows cannot be used, nothing was stored: {shown}")
    return len(rows)


def _read_row(row: dict[str, str], quantity: str) -> tuple[dict[str, float], float, float]:
    """Return mole fractions by name, temperature (K) and value (unit of storage) of a row."""
    columns = VALUE_COLUMNS.get(quantity)
    if columns is None:
        raise InputError(f"{quantity} cannot be imported from a table; accepted are {', '.join(VALUE_COLUMNS)}")
    column = next((name for name in columns if row.get(name)), None)
    if column is None:
        raise InputError(f"no value: accepted columns are {', '.join(columns)}")
    names = {key: key.removeprefix(FRACTION_PREFIX) for key in row if key and key.startswith(FRACTION_PREFIX)}
    unknown = [key for key, name in names.items() if find_chemical(name) is None and _number(row, key)]
    if unknown:
        raise InputError(f"columns {unknown} name no known chemical")
    shares = {name: _number(row, key) for key, name in names.items() if find_chemical(name) and _number(row, key)}
    return shares, _number(row, TEMPERATURE_COLUMN), _number(row, column) * columns[column]


def _number(row: dict[str, str], column: str) -> float:
    text = row.get(column) or ""
    if not text.strip() and column != TEMPERATURE_COLUMN:
        return 0.0
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{column} is {text!r}, but accepted is a number")
    return number


def _make_result(row: dict[str, str], settings: dict[str, Any], number: int) -> ResultData:
    quantity = settings["quantity"]
    shares, temperature, value = _read_row(row, quantity)
    formulation = make_formulation(shares)
    reference = row.get("doi") or settings.get("reference", "")
    data = {
        "run_info": {"formulation": formulation, "internal_reference": f"{reference}#row{number}"},
        quantity: {
            "values": [value],
            "temperature": temperature,
            "meta": {"success": True, "rating": settings.get("rating", DEFAULT_RATING)},
        },
    }
    parameters = {"formulation": formulation, "temperature": temperature}
    capability = find_capability(quantity, settings["method"])
    return ResultData(capability, data, parameters, tenant_uuid=settings.get("tenant", ""), strict=True)
