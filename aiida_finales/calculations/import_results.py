"""Bring existing data in as unsolicited results."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.calculations.creating import create_results
from aiida_finales.data.capability import CapabilityVersion, find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.schemas.result_table import DEFAULT_RATING, Row, RowResult, read_row, read_rows, value_columns
from aiida_finales.schemas.table_map import apply_map, parse_map

#: of the link from the import to a result; the number of its row follows
_LABEL = "result_"


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
    capability = find_capability(settings["quantity"], settings["method"]).content
    results = {}
    for number, row in rows[first - 1 : end - 1]:
        read = _read_row(row, number, settings, capability)
        results[f"{_LABEL}{number:05d}"] = ResultData(
            capability,
            read.data,
            read.parameters,
            tenant_uuid=settings.get("tenant", ""),
            simulated=read.is_simulated,
            strict=True,
        )
    return create_results(results)


def row_of(label: str) -> int:
    """Return the number of the row that a result was made of.

    :param label: of the link from the import to the result.
    """
    return int(label.removeprefix(_LABEL))


def map_columns(content: str, document: dict[str, Any] | None) -> str:
    """Return a table with our columns; without a map it has them.

    :raises InputError: when the map cannot be used.
    """
    return content if document is None else apply_map(content, parse_map(document))


def check_rows(content: str, quantity: str, method: str = "literature") -> int:
    """Look at every row before anything is stored; return how many there are.

    :param method: the method under which the rows are to be stored.
    :raises InputError: naming each row that cannot be used and why.
    """
    rows = read_rows(content)
    value_columns(quantity)
    capability = find_capability(quantity, method).content
    defects = []
    for number, row in rows:
        try:
            read = _read_row(row, number, {}, capability)
            capability.judge_result(read.data, read.parameters, strict=True)
        except FinalesError as error:
            defects.append(f"row {number}: {error}")
    if defects:
        shown = "; ".join(defects[:5])
        raise InputError(f"{len(defects)} of {len(rows)} rows cannot be used, nothing was stored: {shown}")
    return len(rows)


def _read_row(row: Row, number: int, settings: dict[str, Any], capability: CapabilityVersion) -> RowResult:
    body = capability.result_schema["properties"][capability.quantity]
    return read_row(
        row,
        number,
        capability.quantity,
        is_one_cell=body.get("type") != "array",
        reference=settings.get("reference", ""),
        rating=settings.get("rating", DEFAULT_RATING),
    )
