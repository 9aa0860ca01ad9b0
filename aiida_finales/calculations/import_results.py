"""Bring existing data in as unsolicited results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.calculations.creating import create_results
from aiida_finales.data.capability import CapabilityVersion, find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, InputError, SchemaError
from aiida_finales.schemas.result_table import DEFAULT_RATING, RowResult, read_row, read_rows
from aiida_finales.schemas.table import Dialect, Row
from aiida_finales.schemas.table_map import map_rows, parse_map

#: of the link from the import to a result; the number of its row follows
_LABEL = "result_"
#: defects that a message names; the rest is counted
_SHOWN = 5


@calcfunction
def import_results(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return one result per row of a CSV file.

    :param file: in UTF-8, with columns ``temperature_K`` (not for cells), ``x_<chemical>`` (mole fraction) and the
        value, or several separated by semicolons; ``simulated`` is yes or no; lines that begin with ``#`` are comments.
    :param settings: ``quantity``, ``method``, ``tenant`` (who measured), ``rating`` (1-5), ``reference``, ``map``
        where the table has other columns, or ``dialect`` (``delimiter``, ``decimal``), ``is_sure`` where numbers that
        are not to be expected are right, and ``rows``: numbers of the first row to read and of the first one not to.
    """
    return _read(file, settings.get_dict())


def _read(file: orm.SinglefileData, settings: dict[str, Any]) -> dict[str, ResultData]:
    rows = _read_rows(file.get_content("r"), settings)
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
            is_sure=bool(settings.get("is_sure")),
        )
    return create_results(results)


def row_of(label: str) -> int:
    """Return the number of the row that a result was made of.

    :param label: of the link from the import to the result.
    """
    return int(label.removeprefix(_LABEL))


def check_rows(text: str, settings: dict[str, Any]) -> dict[int, RowResult]:
    """Return what each row says by its number, before anything is stored.

    :param settings: as those of :func:`import_results`.
    :raises InputError: naming each row that cannot be used and why.
    """
    rows = _read_rows(text, settings)
    capability = find_capability(settings["quantity"], settings["method"]).content
    found, defects = {}, []
    for number, row in rows:
        try:
            found[number] = _read_row(row, number, settings, capability)
            capability.judge_result(found[number].data, found[number].parameters, strict=True)
        except FinalesError as error:
            defects.append(f"row {number}: {error}")
    if defects:
        raise InputError(f"{len(defects)} of {len(rows)} rows cannot be used, nothing was stored: {_shorten(defects)}")
    return found


def demand_plausible(found: Mapping[int, RowResult], settings: dict[str, Any]) -> None:
    """Refuse rows with numbers that no electrolyte or cell is expected to have.

    :raises InputError: naming each of them, and the unit that it looks like.
    """
    capability = find_capability(settings["quantity"], settings["method"]).content
    defects = []
    for number, read in found.items():
        errors = capability.find_implausible(read.data, read.parameters)
        defects += [f"row {number}: {SchemaError('', errors)}".replace(": : ", ": ")] if errors else []
    if defects:
        raise InputError(
            f"{len(defects)} rows have numbers that are not plausible, nothing was stored: {_shorten(defects)}. Give "
            "the right unit (a map says it for a column); should they be right, say so with --yes-really"
        )


def _shorten(defects: list[str]) -> str:
    more = len(defects) - _SHOWN
    return "; ".join(defects[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _read_rows(text: str, settings: dict[str, Any]) -> list[tuple[int, Row]]:
    """Return the rows of a table with our columns, or with those of the map."""
    if settings.get("map") is not None:
        return map_rows(text, parse_map(settings["map"]))
    return read_rows(text, settings["quantity"], Dialect(**settings.get("dialect") or {}))


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
