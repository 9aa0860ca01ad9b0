"""Excel workbooks: the cells of each sheet, and a sheet as the text that tables are read from."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, time
from typing import Any

from aiida_finales.exceptions import InputError, MissingExtraError

Sheet = Sequence[Sequence[Any]]
#: bytes, unpacked: a small file can unpack to any size
LARGEST = 10**9


def read_sheets(content: bytes, name: str, n_rows: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Return the cells of each sheet by its title, what formulas gave instead of formulas.

    :param n_rows: of each sheet, at most; ``None``: all.
    :raises InputError: when it is damaged, or too large.
    :raises MissingExtraError: without openpyxl.
    """
    from importlib import import_module

    try:
        library: Any = import_module("openpyxl")
    except ImportError as error:
        raise MissingExtraError("instruments", "reading Excel workbooks") from error
    try:
        _demand_size(content, name)
        book = library.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        return {sheet.title: list(sheet.iter_rows(values_only=True, max_row=n_rows)) for sheet in book.worksheets}
    except InputError:
        raise
    except Exception as error:  # openpyxl raises what its parsers do
        raise InputError(f"{name} is no whole Excel workbook: {type(error).__name__}: {error}") from error


def _demand_size(content: bytes, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > LARGEST:
        raise InputError(f"{name} unpacks to {size / 1e9:.3g} GB, accepted is up to {LARGEST / 1e9:g} GB")


def write_text(rows: Sheet) -> str:
    """Return a sheet as text with tabs between its cells, all of them quoted: none is a comment."""
    target = io.StringIO()
    width = max((len(row) for row in rows), default=0)
    writer = csv.writer(target, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([*map(_write, row), *[""] * (width - len(row))] for row in rows)
    return target.getvalue()


def is_table(rows: Sheet) -> bool:
    """Return whether a sheet has a header of two names or more and something below it; others are notes."""
    written = [row for row in rows if _count(row)]
    return len(written) > 1 and _count(written[0]) > 1


def _count(row: Iterable[Any]) -> int:
    return sum(bool(_write(cell)) for cell in row)


def _write(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return cell.isoformat() if isinstance(cell, (date, time)) else str(cell).strip()
