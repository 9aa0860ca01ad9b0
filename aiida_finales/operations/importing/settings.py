"""What people say of instruments' files that these do not: as options, or in a table with a row per file."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from aiida_finales.exceptions import InputError, explain_syntax_error
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.result_table import FRACTION_PREFIX
from aiida_finales.schemas.table import Row, decode, read_number, read_table
from aiida_finales.science.electrolyte.known_density import find_density

#: keys of the settings of a file by the column of a table of files, and the factor and offset to our unit
COLUMNS: dict[str, tuple[str, float, float]] = {
    "cell_constant_per_m": ("cell_constant_per_m", 1.0, 0.0),
    "cell_constant_per_cm": ("cell_constant_per_m", 100.0, 0.0),
    "contact_resistance_ohm": ("contact_resistance_ohm", 1.0, 0.0),
    "temperature_K": ("temperature", 1.0, 0.0),
    "temperature_degC": ("temperature", 1.0, 273.15),
    "min_frequency_Hz": ("min_frequency_Hz", 1.0, 0.0),
    "max_frequency_Hz": ("max_frequency_Hz", 1.0, 0.0),
    "nominal_capacity_Ah": ("nominal_capacity_Ah", 1.0, 0.0),
    "nominal_capacity_mAh": ("nominal_capacity_Ah", 1e-3, 0.0),
    "formation_cycles": ("formation_cycles", 1.0, 0.0),
}
#: settings of which something is a share or a multiple
_DIVISORS = ("cell_constant_per_m", "nominal_capacity_Ah")
TEXTS = ("cell", "reference", "licence", "protocol")
FORMULATION = "formulation"
#: setting that keeps how the mixture was said
GIVEN = "given"
#: units in which a person may give them, and the factor to ours
CELL_CONSTANTS = {"1/m": 1.0, "m-1": 1.0, "1/cm": 100.0, "cm-1": 100.0}
CAPACITIES = {"": 1.0, "Ah": 1.0, "mAh": 1e-3}
_NUMBER_AND_UNIT = re.compile(r"(?P<number>[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>.*)")


def read_quantity(text: str, option: str, units: Mapping[str, float]) -> float:
    """Return a number above 0 with its unit in ours.

    :param units: factor to our unit by the word for theirs.
    :raises InputError: when it is none, or the unit is not known.
    """
    found = _NUMBER_AND_UNIT.fullmatch(text.strip())
    number = 0.0 if found is None else float(found["number"].replace(",", "."))
    unit = unicodedata.normalize("NFKC", found["unit"] if found else "").replace("\u2212", "-").replace("^", "")
    unit = f"1{unit}" if re.search(r"\d\s+/", text) else unit  # '1/cm' alone is no number
    if found is None or unit not in units or not 0.0 < number < math.inf:
        known = ", ".join(word for word in units if word)
        raise InputError(f"{option} is {text!r}, but accepted are a number above 0 and a unit of {known}")
    return number * units[unit]


def read_formulation(text: str) -> Json:
    """Return ``formulation`` and how it was said: in words, as an object (JSON), or as ``LiPF6=0.08,EC=0.3,EMC=0.62``.

    :raises InputError: when it is none of them, names no known chemical, or does not sum to 1.
    """
    try:
        said = json.loads(text) if text.lstrip().startswith(("{", "[")) else text
    except ValueError as error:
        raise InputError(f"formulation is {text!r}, but that is no JSON: {explain_syntax_error(error)}") from error
    mixed = read_mixture(said, find_density)
    return {"formulation": make_formulation(mixed.fractions), GIVEN: mixed.to_dict()}


def read_file_table(path: Path) -> dict[Path, Json]:
    """Return the settings of each file that a table names: column ``file`` and those of :data:`COLUMNS`.

    Paths are those from the table on. Mole fractions have columns ``x_<chemical>``, or ``formulation`` says the mixture
    in words; a name is in ``cell``, a source in ``reference``, what may be done with it in ``licence``.

    :raises InputError: when a column is not known, a file is not there or named twice, or a number is none.
    """
    table = read_table(decode(path.read_bytes(), path.name))
    unknown = [name for name in table.header if not _is_column(name)]
    if unknown or "file" not in table.header:
        accepted = ["file", *COLUMNS, *TEXTS, FORMULATION, f"{FRACTION_PREFIX}<chemical>"]
        wrong = f"columns {', '.join(unknown)} are not known" if unknown else "it has no column file"
        raise InputError(f"table {path.name}: {wrong}; accepted are {', '.join(accepted)}")
    found: dict[Path, Json] = {}
    for number, row in table.change(lambda row: {key: table.plain(cell) for key, cell in row.items()}):
        file = path.parent / row["file"]
        if file in found or not file.is_file():
            defect = "is named before" if file in found else "is not there"
            raise InputError(f"table {path.name}, row {number}: {row['file']} {defect}; accepted is one row per file")
        found[file] = _read_row(row)
    return found


def _is_column(name: str) -> bool:
    return name in ("file", FORMULATION, *COLUMNS, *TEXTS) or name.startswith(FRACTION_PREFIX)


def _read_row(row: Row) -> Json:
    settings: Json = {key: row[key] for key in TEXTS if row.get(key)}
    for column, (key, factor, offset) in COLUMNS.items():
        if row.get(column):
            settings[key] = read_number(row[column], column) * factor + offset
            if key in _DIVISORS and settings[key] <= 0:
                raise InputError(f"{column} of {row['file']} is {row[column]}, but accepted is a number above 0")
    if row.get(FORMULATION):
        settings |= read_formulation(row[FORMULATION])
    shares = {
        name.removeprefix(FRACTION_PREFIX): read_number(cell, name)
        for name, cell in row.items()
        if name.startswith(FRACTION_PREFIX) and cell
    }
    if shares and FORMULATION in settings:
        raise InputError(f"{row['file']} has a formulation and mole fractions: leave one out")
    return settings | ({"formulation": make_formulation(shares)} if shares else {})
