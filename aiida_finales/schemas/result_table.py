"""Tables of existing data: what one row says, in the form of a result."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.chemicals.recipe import DensityOf
from aiida_finales.schemas.formulation import make_formulation, place_formulation
from aiida_finales.schemas.table import Dialect, Row, read_number, read_table
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.schemas.units import plain_unit
from aiida_finales.schemas.values import PER_CELL

#: column of the value by quantity, and its factor to the unit of storage
VALUE_COLUMNS: dict[str, dict[str, float]] = {
    "conductivity": {"conductivity_S_per_m": 1.0, "conductivity_mS_cm": 0.1},
    "density": {"density_g_cm3": 1.0},
    "viscosity": {"viscosity_mPa_s": 1.0},
    "degradationEOL": {"end_of_life_cycles": 1.0},
}
#: factor and offset to the unit of our column, by the beginning of its name and the unit of theirs
UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature_K": {"K": (1.0, 0.0), "degC": (1.0, 273.15)},
    "conductivity_S_per_m": {"S/m": (1.0, 0.0), "mS/cm": (0.1, 0.0), "S/cm": (100.0, 0.0), "mS/m": (0.001, 0.0)},
    "density_g_cm3": {"g/cm3": (1.0, 0.0), "kg/m3": (0.001, 0.0)},
    "viscosity_mPa_s": {"mPa s": (1.0, 0.0), "cP": (1.0, 0.0), "Pa s": (1000.0, 0.0)},
    "temperature_C": {"degC": (1.0, 0.0), "K": (1.0, -273.15)},
    "x_": {"mol/mol": (1.0, 0.0), "%": (0.01, 0.0)},
    "w_": {"g/g": (1.0, 0.0), "%": (0.01, 0.0)},
}
#: our column by the name that stands before a unit, in lower case
_SAID = {
    **{"temperature": "temperature_K", "temp": "temperature_K", "t": "temperature_K"},
    **{"conductivity": "conductivity_S_per_m", "ionic conductivity": "conductivity_S_per_m"},
    **{"density": "density_g_cm3", "viscosity": "viscosity_mPa_s"},
}
#: a heading with its unit: conductivity [mS/cm], T (°C), T / K. Names of chemicals have brackets, but no blank before
_HEADING = re.compile(r"(?P<name>[^\[(/]+?)\s*(?:\[(?P<square>[^\[\]]+)\]|\((?P<round>[^()]+)\)|/\s*(?P<rest>.+))")
_FRACTION_HEADING = re.compile(r"(?P<name>[xw]_\S+)\s+(?:\[(?P<square>[^\[\]]+)\]|\((?P<round>[^()]+)\))")
#: between several values of a row: repetitions, or the cells of a formulation
SEPARATOR = ";"
#: stated uncertainty of each cell, cycles
UNCERTAINTY_COLUMN = "uncertainty_cycles"
SIMULATED_COLUMN = "simulated"
SIMULATED_WORDS = {"yes": True, "no": False, "": False}
TEMPERATURE_COLUMN = "temperature_K"
CELSIUS_COLUMN = "temperature_C"
FRACTION_PREFIX = "x_"
MASS_PREFIX = "w_"
#: the mixture in words, as ``1 M LiPF6 in EC:EMC 3:7 w/w``
MIXTURE_COLUMN = "electrolyte"
SOURCE_COLUMN = "doi"
#: columns that hold no numbers
TEXT_COLUMNS = (SOURCE_COLUMN, SIMULATED_COLUMN, MIXTURE_COLUMN)
#: before the number of its row in the reference of a result
_ROW = "#row"
#: what of the information on a run says where it comes from, not what was measured
_ABOUT = ("internal_reference", "given")
DEFAULT_RATING = 3
#: with which a temperature ends that has its unit
_UNIT_ENDS = tuple("CcKk℃")


@dataclass(frozen=True)
class RowResult:
    """What a row says, in the form of a result.

    :param data: what was found.
    :param parameters: of the capability.
    """

    data: dict[str, Any]
    parameters: dict[str, Any]
    is_simulated: bool


def read_rows(text: str, quantity: str, dialect: Dialect | None = None) -> list[tuple[int, Row]]:
    """Return the rows of a table with our columns and their numbers, counted from 1 without comments and header.

    A heading may be the name of what it holds with the unit beside it, as ``conductivity [mS/cm]``.

    :raises InputError: when it is no table, naming the columns that are needed and those that are there, or a unit that
        is not known.
    """
    table = read_table(text, dialect)
    said = _read_headings(table.header, quantity)
    ours = {name: said.get(name, (name, ""))[0] for name in table.header}
    _demand_columns(table.header, tuple(ours.values()), quantity)
    scales = {name: scale_of(column, unit, f"column {name!r}") for name, (column, unit) in said.items()}
    numbers = {name for name, column in ours.items() if column not in TEXT_COLUMNS and is_column(column)}

    def change(name: str, cell: str) -> str:
        plain = table.plain(cell) if name in numbers else cell
        return convert(plain, ours[name], scales[name]) if name in scales else plain

    return table.change(lambda row: {ours[name]: change(name, cell) for name, cell in row.items()})


def _read_headings(header: tuple[str, ...], quantity: str) -> dict[str, tuple[str, str]]:
    """Return our column and the unit by the headings that state one; where a table has our own name, that counts.

    :raises InputError: when two headings say the same.
    """
    found: dict[str, tuple[str, str]] = {}
    values = value_columns(quantity)
    for heading in header:
        match = _FRACTION_HEADING.fullmatch(heading) or _HEADING.fullmatch(heading)
        if match is None:
            continue
        unit = plain_unit(next(part for part in match.groups()[1:] if part))
        name = match["name"]
        column = name if name.startswith((FRACTION_PREFIX, MASS_PREFIX)) else _SAID.get(name.lower(), "")
        column = CELSIUS_COLUMN if (column, unit) == (TEMPERATURE_COLUMN, "degC") else column
        same = {TEMPERATURE_COLUMN, CELSIUS_COLUMN} if column in (TEMPERATURE_COLUMN, CELSIUS_COLUMN) else {column}
        same = set(values) if column in values else same
        is_of_another = column.split("_")[0] in VALUE_COLUMNS and column not in values
        if not column or is_of_another or same.intersection(header):
            continue
        for other in (other for other, (known, _) in found.items() if known in same):
            raise InputError(f"columns {other!r} and {heading!r} say the same: leave out one of them")
        found[heading] = column, unit
    return found


def scale_of(column: str, unit: str, whose: str) -> tuple[float, float]:
    """Return factor and offset from a unit to that of our column.

    :param whose: what has the unit, for the message.
    :raises InputError: when the unit is not known for our column.
    """
    units = next((units for start, units in UNITS.items() if column.startswith(start)), {})
    plain = plain_unit(unit)
    if plain not in units:
        known = ", ".join(units) or "none"
        raise InputError(f"unit of {whose} is {unit!r}, but accepted are {known}; a map ('--map FILE') takes any "
                         "other by its factor and offset")  # fmt: skip
    return units[plain]


def convert(text: str, column: str, scale: tuple[float, float]) -> str:
    """Return a cell, one number or several, in the unit of our column; what is no number is left to whoever reads it.

    :param scale: factor and offset.
    """
    factor, offset = scale
    if not text.strip() or scale == (1.0, 0.0):
        return text
    try:
        return SEPARATOR.join(repr(read_number(part, column) * factor + offset) for part in text.split(SEPARATOR))
    except InputError:
        return text


def is_column(name: str) -> bool:
    """Return whether a column is one of ours."""
    values = {column for columns in VALUE_COLUMNS.values() for column in columns}
    others = (TEMPERATURE_COLUMN, CELSIUS_COLUMN, UNCERTAINTY_COLUMN, *TEXT_COLUMNS)
    return name in values or name in others or name.startswith((FRACTION_PREFIX, MASS_PREFIX))


def _demand_columns(given: tuple[str, ...], header: tuple[str, ...], quantity: str) -> None:
    """Refuse a table that lacks columns.

    :param given: as the table names its columns.
    :param header: as we do.
    """
    values = list(value_columns(quantity))
    needed = {" or ".join(values): not any(name in header for name in values)}
    has_temperature = TEMPERATURE_COLUMN in header or CELSIUS_COLUMN in header
    needed[f"{TEMPERATURE_COLUMN} (or {CELSIUS_COLUMN})"] = quantity not in PER_CELL and not has_temperature
    has_mixture = any(name == MIXTURE_COLUMN or name.startswith((FRACTION_PREFIX, MASS_PREFIX)) for name in header)
    needed[f"{FRACTION_PREFIX}<chemical> (or {MASS_PREFIX}<chemical>, {MIXTURE_COLUMN})"] = not has_mixture
    lacking = [words for words, is_lacking in needed.items() if is_lacking]
    if lacking:
        raise InputError(
            f"the table has no column {', '.join(lacking)}; it has {', '.join(given)}. Name its columns so, or by what "
            "they hold and its unit, as 'conductivity [mS/cm]', or say by '--map FILE' which is which"
        )


def row_key(data: dict[str, Any], parameters: dict[str, Any], *, is_simulated: bool) -> str:
    """Return what tells a measurement from others: all that a row says but where it comes from and how it is rated."""
    run_info = {key: value for key, value in data.get("run_info", {}).items() if key not in _ABOUT}
    said = {"data": {**data, "run_info": run_info}, "parameters": parameters, "simulated": is_simulated}
    return json.dumps(_simplify(said), sort_keys=True)


def source_of(data: dict[str, Any]) -> str:
    """Return where the result of a row comes from, as its table said."""
    return str(data.get("run_info", {}).get("internal_reference", "")).rpartition(_ROW)[0]


def _simplify(document: Any) -> Any:
    """Return a document without ratings, in which equal numbers are written equally: stored floats are rounded."""
    if isinstance(document, dict):
        return {key: _simplify(value) for key, value in document.items() if key != "rating"}
    if isinstance(document, list):
        return [_simplify(item) for item in document]
    is_number = isinstance(document, (int, float)) and not isinstance(document, bool)
    return f"{float(document):.12g}" if is_number else document


def value_columns(quantity: str) -> dict[str, float]:
    """Return the columns that hold values of a quantity, with the factor to its unit.

    :raises InputError: naming the quantities that a table may hold.
    """
    if quantity not in VALUE_COLUMNS:
        hint = "; 'aiida-finales import cycling FILE' reads capacities over cycles" if quantity == "capacity" else ""
        raise InputError(f"{quantity} cannot be imported from a table; accepted are {', '.join(VALUE_COLUMNS)}{hint}")
    return VALUE_COLUMNS[quantity]


def read_row(  # noqa: PLR0913 - what is said of all rows
    row: Row,
    number: int,
    quantity: str,
    *,
    is_one_cell: bool,
    reference: str = "",
    rating: int = DEFAULT_RATING,
    density_of: DensityOf | None = None,
) -> RowResult:
    """Return what a row says.

    :param number: of the row, part of its reference.
    :param is_one_cell: a result is one cell, not a list of cells; for quantities of cells.
    :param reference: where the data come from, unless the row says so.
    :param rating: 1 to 5.
    :param density_of: asked for the density of a mixture that is said with mol/L.
    :raises InputError: when the row cannot be used, naming column, what was given and what is accepted.
    """
    found = _find_values(row, value_columns(quantity))
    formulation, given = _find_mixture(row, density_of)
    meta = {"success": True, "rating": rating}
    temperature = _find_temperature(row, is_demanded=quantity not in PER_CELL)
    if row.get(CELSIUS_COLUMN):
        given["temperature"] = {"given": _with_unit(row[CELSIUS_COLUMN])}
    if quantity in PER_CELL:
        body: Any = _make_cells(found, _find_uncertainties(row, len(found)), meta)
        if is_one_cell:
            body = _take_only(body)
    else:
        body = {"values": found, "temperature": temperature, "meta": meta}
    source = row.get(SOURCE_COLUMN) or reference
    run_info: dict[str, Any] = {"formulation": formulation, "internal_reference": f"{source}{_ROW}{number}"}
    run_info |= {"given": given} if given else {}
    others = {} if temperature is None else {"temperature": temperature}
    return RowResult(
        {"run_info": run_info, quantity: body}, place_formulation(quantity, formulation, others), _is_simulated(row)
    )


def _find_values(row: Row, columns: dict[str, float]) -> list[float]:
    """Return the values of a row in the unit of storage."""
    column = next((name for name in columns if row.get(name)), None)
    if column is None:
        raise InputError(f"no value: accepted columns are {', '.join(columns)}")
    return [value * columns[column] for value in _numbers(row, column)]


def _find_temperature(row: Row, *, is_demanded: bool) -> float | None:
    """Return K, or ``None`` where a row need not say it and does not."""
    found = [column for column in (TEMPERATURE_COLUMN, CELSIUS_COLUMN) if row.get(column)]
    if len(found) > 1:
        raise InputError(f"{TEMPERATURE_COLUMN} and {CELSIUS_COLUMN} are both given: say one of them")
    if not found and not is_demanded:
        return None
    for column in found:
        text = (row[column] or "").strip()
        if text[-1:] in _UNIT_ENDS:  # it says itself what it is
            return read_temperature(text, column)
    if found == [CELSIUS_COLUMN]:
        return read_temperature(f"{_number(row, CELSIUS_COLUMN)!r} °C", CELSIUS_COLUMN)
    return _number(row, TEMPERATURE_COLUMN)


def _with_unit(text: str | None) -> str:
    plain = (text or "").strip()
    return plain if plain[-1:] in _UNIT_ENDS else f"{plain} °C"


def _find_mixture(row: Row, density_of: DensityOf | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the formulation of a row, and what was given where that is something else than mole fractions."""
    said = row.get(MIXTURE_COLUMN) or ""
    shares, masses = (_find_fractions(row, prefix) for prefix in (FRACTION_PREFIX, MASS_PREFIX))
    if sum(map(bool, (said, shares, masses))) > 1:
        raise InputError(f"say the mixture once: {FRACTION_PREFIX}..., {MASS_PREFIX}... or {MIXTURE_COLUMN}")
    if not (said or shares or masses):
        raise InputError(f"it says no mixture: {FRACTION_PREFIX}..., {MASS_PREFIX}... or {MIXTURE_COLUMN} is empty")
    if shares:
        return make_formulation(shares), {}
    mixed = read_mixture(said or {"mass_fractions": masses}, density_of)
    return make_formulation(mixed.fractions), {"formulation": mixed.to_dict()}


def _find_fractions(row: Row, prefix: str) -> dict[str, float]:
    """Return fractions by the names that the columns give."""
    shares, unknown = {}, []
    columns: dict[str, str] = {}
    for key in row:
        if not key or not key.startswith(prefix):
            continue
        share, name = _fraction(row, key), key.removeprefix(prefix)
        if share and (found := find_chemical(name)) is None:
            unknown.append(key)
        elif share and found is not None:
            if found.inchikey in columns:
                raise InputError(f"columns {columns[found.inchikey]} and {key} are one chemical: add up its fractions")
            shares[name], columns[found.inchikey] = share, key
    if unknown:
        raise InputError(
            f"columns {unknown} name no known chemical: 'aiida-finales chemical list' shows those that are"
        )
    return shares


def _is_simulated(row: Row) -> bool:
    word = (row.get(SIMULATED_COLUMN) or "").strip().lower()
    if word not in SIMULATED_WORDS:
        raise InputError(f"{SIMULATED_COLUMN} is {word!r}, but accepted is yes or no")
    return SIMULATED_WORDS[word]


def _find_uncertainties(row: Row, number: int) -> list[float]:
    """Return the uncertainty of each value in cycles; 0 where none is stated."""
    found = _numbers(row, UNCERTAINTY_COLUMN) if row.get(UNCERTAINTY_COLUMN) else [0.0] * number
    if len(found) != number:
        raise InputError(f"{UNCERTAINTY_COLUMN} has {len(found)} numbers, but accepted is one per value, {number}")
    return found


def _make_cells(lives: list[float], uncertainties: list[float], meta: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one end of life per cell; a table says nothing about the cycles before it."""
    unknown: dict[str, Any] = {"capacity_trajectory": [], "capacity_trajectory_uncertainty": [], "cell_info": {}}
    return [
        {
            "end_of_life": int(life) if life.is_integer() else life,
            "end_of_life_uncertainty": uncertainty,
            "meta": meta,
            **unknown,
        }
        for life, uncertainty in zip(lives, uncertainties, strict=True)
    ]


def _take_only(cells: list[dict[str, Any]]) -> dict[str, Any]:
    if len(cells) != 1:
        raise InputError(f"{len(cells)} cells, but a result of this method is one cell: use a row for each")
    return cells[0]


def _numbers(row: Row, column: str) -> list[float]:
    return [read_number(text, column) for text in (row.get(column) or "").split(SEPARATOR)]


def _fraction(row: Row, column: str) -> float:
    """Return a fraction, also said as ``8 %``; 0 of an empty cell."""
    text = (row.get(column) or "").strip()
    return read_number(text[:-1].replace(",", "."), column) / 100 if text.endswith("%") else _number(row, column)


def _number(row: Row, column: str) -> float:
    text = row.get(column) or ""
    return 0.0 if not text.strip() and column != TEMPERATURE_COLUMN else read_number(text, column)
