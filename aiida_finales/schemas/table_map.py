"""How the columns of somebody's table become ours: names, units, constants."""

from __future__ import annotations

import csv
import io
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aiida_finales.exceptions import InputError

#: factor and offset to the unit of our column, by the beginning of its name and the unit of theirs
UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature_K": {"K": (1.0, 0.0), "degC": (1.0, 273.15)},
    "conductivity_S_per_m": {"S/m": (1.0, 0.0), "mS/cm": (0.1, 0.0), "S/cm": (100.0, 0.0), "mS/m": (0.001, 0.0)},
    "density_g_cm3": {"g/cm3": (1.0, 0.0), "kg/m3": (0.001, 0.0)},
    "viscosity_mPa_s": {"mPa s": (1.0, 0.0), "cP": (1.0, 0.0), "Pa s": (1000.0, 0.0)},
    "x_": {"mol/mol": (1.0, 0.0), "%": (0.01, 0.0)},
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Column(_Section):
    """Where the values of one of our columns come from."""

    column: str
    unit: str = Field("", description="their unit, where it is not ours")
    factor: float = Field(1.0, description="by which their number is multiplied")
    offset: float = Field(0.0, description="what is added then")

    def convert(self, text: str, name: str) -> str:
        """Return their text in our unit; what is no number is left to whoever reads it."""
        factor, offset = self.scale(name)
        if not text.strip() or (factor, offset) == (1.0, 0.0):
            return text
        try:
            return repr(float(text) * factor + offset)
        except ValueError:
            return text

    def scale(self, name: str) -> tuple[float, float]:
        """Return factor and offset.

        :raises InputError: when the unit is not known for our column.
        """
        if not self.unit:
            return self.factor, self.offset
        units = next((units for start, units in UNITS.items() if name.startswith(start)), {})
        if self.unit not in units:
            known = ", ".join(units) or "none: give factor and offset"
            raise InputError(f"unit of {name} is {self.unit!r}, but accepted are {known}")
        return units[self.unit]


class TableMap(_Section):
    """A map from a table to ours; keys of ``columns`` and ``constants`` are names of our columns."""

    quantity: str
    method: str = "literature"
    reference: str = ""
    rating: int | None = Field(None, ge=1, le=5)
    delimiter: str = Field(",", min_length=1, max_length=1)
    columns: dict[str, Column]
    constants: dict[str, str | float] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, document: Any) -> Any:
        """Let a column be named without more."""
        if not isinstance(document, dict) or not isinstance(document.get("columns"), dict):
            return document
        columns = {
            key: {"column": value} if isinstance(value, str) else value for key, value in document["columns"].items()
        }
        return {**document, "columns": columns}


def parse_map(document: Any) -> TableMap:
    """Return the map that a document describes.

    :raises InputError: naming each key that is missing, unknown or not acceptable.
    """
    try:
        found = TableMap.model_validate(document)
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'map'}: {item['msg']}" for item in error.errors())
        raise InputError(f"the map cannot be used: {words}") from error
    for name, column in found.columns.items():
        column.scale(name)
    return found


def apply_map(content: str, table_map: TableMap) -> str:
    """Return a table with our columns, as CSV.

    :raises InputError: when a column is not there, naming those that are.
    """
    lines = [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    reader = csv.DictReader(io.StringIO("\n".join(lines)), delimiter=table_map.delimiter)
    there = [name.strip() for name in reader.fieldnames or []]
    lacking = [item.column for item in table_map.columns.values() if item.column not in there]
    if lacking:
        raise InputError(f"the table has no columns {lacking}; it has {there}")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*table_map.columns, *table_map.constants])
    for row in reader:
        stripped = {(name or "").strip(): value or "" for name, value in row.items() if not isinstance(value, list)}
        values = [item.convert(stripped[item.column], name) for name, item in table_map.columns.items()]
        writer.writerow([*values, *table_map.constants.values()])
    return stream.getvalue()
