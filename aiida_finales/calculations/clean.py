"""Series of capacities, cleaned: what was changed is kept beside what came out of it."""

from __future__ import annotations

import json
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_finales.exceptions import FinalesError
from aiida_finales.lab.files.cycling import CycledCell, read_cells
from aiida_finales.schemas import Json
from aiida_finales.science.ageing.cleaning import Cleaned, Settings, clean_series, thin

#: exit status when a file or a series in it cannot be cleaned
NOT_CLEANABLE = 421


@calcfunction
def clean_cycling(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return the series of each cell of a file, cleaned: a table of all cycles, and a document of what was changed.

    :param file: as the cycler wrote it, or a table of capacities.
    :param settings: ``limit``, ``window``, ``reference`` of :class:`aiida_finales.science.ageing.cleaning.Settings`;
        ``cell``: only that one.
    """
    said = settings.get_dict()
    only = said.pop("cell", None)
    try:
        cells = [cell for cell in read_cells(file.get_content("rb"), file.filename) if only in (None, cell.name)]
        cleaned = {cell.name or file.filename: _clean(cell, Settings(**said)) for cell in cells}
    except FinalesError as error:
        return ExitCode(NOT_CLEANABLE, f"{file.filename}: {error}")
    if not cleaned:
        return ExitCode(NOT_CLEANABLE, f"{file.filename} has no cell {only!r}")
    table = orm.SinglefileData.from_string(write_table(cleaned), filename="capacity.csv")
    return {"table": table, "changes": orm.Dict({"cells": {name: describe(item) for name, item in cleaned.items()}})}


def _clean(cell: CycledCell, how: Settings) -> Cleaned:
    return clean_series(cell.cycles, cell.discharged, how)


def describe(cleaned: Cleaned) -> Json:
    """Return what was changed, where each per cent is reached, and points for a picture."""
    points = {name: values.tolist() for name, values in thin(cleaned).items()}
    crossings = {str(percent): round(cycle, 2) for percent, cycle in cleaned.crossings.items()}
    return json.loads(json.dumps({**cleaned.describe(), "crossings": crossings, "picture": points}))


def write_table(cleaned: dict[str, Cleaned]) -> str:
    """Return a table that ``aiida-finales model train`` reads: as given, smoothed, and which points were replaced."""
    lines = ["cell_id,cycle,discharge_capacity_Ah,smoothed_capacity_Ah,outlier,share"]
    for name, item in cleaned.items():
        columns = (item.cycles, item.measured, item.smoothed, item.is_outlier, item.share)
        lines += [
            f"{name},{cycle:g},{measured:.6g},{smoothed:.6g},{int(odd)},{share:.6g}"
            for cycle, measured, smoothed, odd, share in zip(*columns, strict=True)
        ]
    return "\n".join(lines) + "\n"
