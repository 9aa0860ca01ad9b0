"""How the columns of somebody's table become ours: names, units, constants."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.defects import spell_defect
from aiida_finales.schemas.result_table import TEXT_COLUMNS, convert, is_column, scale_of
from aiida_finales.schemas.table import Dialect, Row, Table, read_table


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Column(_Section):
    """Where the values of one of our columns come from."""

    column: str
    unit: str = Field("", description="their unit, where it is not ours")
    factor: float = Field(1.0, description="by which their number is multiplied")
    offset: float = Field(0.0, description="what is added then")

    def convert(self, text: str, name: str) -> str:
        """Return their text, one number or several, in our unit; what is no number is left to whoever reads it."""
        return convert(text, name, self.scale(name))

    def scale(self, name: str) -> tuple[float, float]:
        """Return factor and offset.

        :raises InputError: when the unit is not known for our column.
        """
        if not self.unit:
            return self.factor, self.offset
        return scale_of(name, self.unit, name)


class TableMap(_Section):
    """A map from a table to ours; keys of ``columns`` and ``constants`` are names of our columns."""

    quantity: str
    method: str = "literature"
    reference: str = ""
    rating: int | None = Field(None, ge=1, le=5)
    delimiter: str = Field("", description="between cells; empty: comma, semicolon or tab, as the header")
    decimal: str = Field("", pattern="^[.,]?$", description="before fractions; empty: a point, or what is clear")
    encoding: str | None = Field(None, description="of the file; default: UTF-8, or what its first bytes say")
    columns: dict[str, Column]
    constants: dict[str, str | float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_dialect(self) -> TableMap:
        Dialect(self.delimiter, self.decimal)
        return self

    @property
    def dialect(self) -> Dialect:
        """How the table is written."""
        return Dialect(self.delimiter, self.decimal)

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
        words = "; ".join(spell_defect(TableMap, item) for item in error.errors())
        raise InputError(f"the map cannot be used: {words}") from error
    unknown = [name for name in [*found.columns, *found.constants] if not is_column(name)]
    if unknown:
        raise InputError(f"the map gives {unknown}, which are no columns of ours: temperature_K, x_<chemical>, ...")
    for name, column in found.columns.items():
        column.scale(name)
    return found


def map_rows(text: str, table_map: TableMap) -> list[tuple[int, Row]]:
    """Return the rows of a table with other columns, as rows with ours, and their numbers.

    :raises InputError: when it is no table, or a column is not there, naming those that are.
    """
    table = read_table(text, table_map.dialect)
    lacking = [item.column for item in table_map.columns.values() if item.column not in table.header]
    if lacking:
        raise InputError(f"the table has no columns {lacking}; it has {list(table.header)}")
    constants = {name: str(value) for name, value in table_map.constants.items()}
    return table.change(lambda row: {**_map_row(row, table, table_map), **constants})


def _map_row(row: Row, table: Table, table_map: TableMap) -> dict[str, str]:
    mapped = {}
    for name, item in table_map.columns.items():
        cell = row[item.column]
        is_text = name in TEXT_COLUMNS
        mapped[name] = cell if is_text else item.convert(table.plain(cell), name)
    return mapped
