"""Series of capacities, cleaned: what was changed is kept beside what came out of it."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.lab.files.cycled_cell import set_apart
from aiida_finales.lab.files.cycling import CycledCell, read_cells
from aiida_finales.schemas import Json
from aiida_finales.schemas.ranges import PLAUSIBLE
from aiida_finales.schemas.words import count
from aiida_finales.science.ageing.cleaning import Cleaned, Settings, clean_series, thin

#: exit status when a file or a series in it cannot be cleaned
NOT_CLEANABLE = 421
#: cells that are named where one is not among them, and how many that are written like it
_N_NAMED, _N_LIKE = 12, 3


@calcfunction
def clean_cycling(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return the series of each cell of a file, cleaned: a table of all cycles, and a document of what was changed.

    :param file: as the cycler wrote it, or a table of capacities.
    :param settings: ``limit``, ``window``, ``reference`` of :class:`aiida_finales.science.ageing.cleaning.Settings`;
        ``cell``: only that one; ``formation``: so many first cycles of each are set apart, the others count from 1.
    """
    said = settings.get_dict()
    only = said.pop("cell", None)
    try:
        cells = {cell.name or file.filename: cell for cell in read_cells(file.get_content("rb"), file.filename)}
        how = Settings(**said)
    except FinalesError as error:
        return ExitCode(NOT_CLEANABLE, f"{file.filename}: {error}")
    chosen = {name: cell for name, cell in cells.items() if only in (None, name)}
    cleaned, left_out = _clean_all(chosen, how)
    if chosen and not cleaned:
        return ExitCode(NOT_CLEANABLE, f"{file.filename}: {'; '.join(left_out.values())}")
    if not cleaned:
        known = count(len(cells), "cell") if len(cells) > _N_NAMED else ", ".join(cells)
        like = get_close_matches(str(only), list(cells), _N_LIKE)
        words = f"; it is most like {', '.join(like)}" if like and len(cells) > _N_NAMED else ""
        return ExitCode(NOT_CLEANABLE, f"{file.filename} has no cell {only!r}, but {known}{words}")
    table = orm.SinglefileData.from_string(write_table(cleaned), filename="capacity.csv")
    changes = {"cells": {name: describe(item) for name, item in cleaned.items()}, "left_out": left_out}
    return {"table": table, "changes": orm.Dict(changes)}


def _clean_all(cells: dict[str, CycledCell], how: Settings) -> tuple[dict[str, Cleaned], dict[str, str]]:
    """Return the series of cells, and why others have none."""
    cleaned, left_out = {}, {}
    for name, cell in cells.items():
        try:
            cleaned[name] = _clean(cell, how)
        except InputError as error:
            left_out[name] = f"cell {name}: {error}"
    return cleaned, left_out


def _clean(cell: CycledCell, how: Settings) -> Cleaned:
    used = set_apart(cell, how.formation or 0)[1]
    largest = float(np.nanmax(used.discharged, initial=0.0))
    if words := PLAUSIBLE["ampere_hour"].find_refusal(largest, "Ah"):
        raise InputError(f"its capacities go up to {largest:g} Ah, accepted are {words}")
    return clean_series(used.cycles, used.discharged, how)


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
