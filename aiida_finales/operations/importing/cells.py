"""The table of cells beside files of cyclers: electrodes, housing, protocol, licence and source of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida_finales.schemas import Json
from aiida_finales.science.lifetime.generator.cell import AgeingCell
from aiida_finales.science.lifetime.generator.records import find_record
from aiida_finales.science.lifetime.generator.table import read_cell_table

#: key of the settings of a file that its cells are under
CELLS = "cells"


def add_cells(files: Mapping[Path, Json], table: Path, cell: str | None = None) -> dict[Path, Json]:
    """Return the settings of files of cyclers with what a table says of their cells.

    Of a file that is called as one of the cells, only that one is kept: the others are not in it.

    :param cell: name of the cell, where all files are of one.
    :raises InputError: when the table makes no sense.
    """
    known = {name: _tell(item) for name, item in read_cell_table(table, find_record).items()}
    found = {}
    for path, settings in files.items():
        name = settings.get("cell") or cell or path.stem
        found[path] = {**settings, CELLS: {name: known[name]} if name in known else known}
    return found


def find_closed_cells(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the cells of a file that must not be passed on."""
    return [name for name, told in settings.get(CELLS, {}).items() if not told["is_open"]]


def _tell(cell: AgeingCell) -> Json:
    about = {"dataset": cell.dataset, "licence": cell.licence, "reference": cell.source}
    laboratory = {"laboratory": cell.laboratory} if cell.laboratory else {}
    return {
        "parameters": {"aged_cell": cell.design.to_form() | laboratory, "cycling_protocol": cell.protocol},
        "about": {key: word for key, word in about.items() if word},
        "is_open": cell.is_open,
    }
