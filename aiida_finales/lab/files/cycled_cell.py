"""What a cell that was read from an instrument's file tells, as the driver of a cycler would have written it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import PurePath

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.lab.files.cycling import CycledCell
from aiida_finales.lab.simulated.cycling_file import assess
from aiida_finales.schemas import Json
from aiida_finales.science.ageing.cycling import (
    VOLTAGE_WINDOW,
    EarlyFeatures,
    HalfCycle,
    capacity_list,
    charging_rates,
    early_features,
)
from aiida_finales.science.ageing.end_of_life import THRESHOLD, crossing_uncertainty
from aiida_finales.science.lifetime.model import EndOfLifeRule

#: of a table of capacities, as of other tables: nothing behind its numbers can be looked at
TABLE_RATING = 3
#: so many cycles in a row must be below the limit, as in the chain that predicts lives
PERSISTENCE = 3
#: V beyond the usual window: cells may have cycles in a wider one, but no broken sensor stays within it
OTHER_WINDOW = 0.45


def cycling_output(cell: CycledCell, about: Json, name: str) -> Json:
    """Return what the driver of a cycler would have written that cycled this cell, and what a file says besides.

    :param about: may have ``cell`` (name), ``formation_cycles``, ``nominal_capacity_Ah``, ``threshold``,
        ``persistence`` and ``protocol`` (name).
    :param name: of the file.
    :raises InputError: when formation is all that there is.
    """
    formation, cell = set_apart(cell, int(about.get("formation_cycles", 0)))
    rule = EndOfLifeRule(
        about.get("threshold", THRESHOLD), about.get("nominal_capacity_Ah"), about.get("persistence", PERSISTENCE)
    )
    reference = rule.reference_of(cell.discharged)
    reached = rule.find(cell.discharged)
    features = find_features(cell)
    return {
        **_assess(cell, _find_window(cell.halves)),
        "capacity_list": _list_in_turn(cell),
        **charging_rates(cell.halves, reference),
        "channel_list": [],
        "cell_info": {"cell_name": about.get("cell") or cell.name or PurePath(name).stem},
        "features": features.values() | {"reasons": dict(features.reasons)},
        "formation": {"capacities": formation},
        "protocol": about.get("protocol"),
        "file": name,
        "cycles": list(cell.cycles),
        "discharge_capacities": cell.discharged.tolist(),
        "end_of_life": None if reached is None else cell.cycles[reached - 1],
        "end_of_life_uncertainty": None
        if reached is None
        else round(crossing_uncertainty(cell.cycles, cell.discharged, cell.cycles[reached - 1]), 2),
        "end_of_life_rule": {**asdict(rule), "reference": reference},
    }


def find_features(cell: CycledCell) -> EarlyFeatures:
    """Return the features of the early cycles, as the driver of a cycler does; none of a table of capacities."""
    return early_features(cell.halves, window=_find_window(cell.halves)) if cell.halves else EarlyFeatures()


def set_apart(cell: CycledCell, n_formation: int) -> tuple[list[float], CycledCell]:
    """Return the capacities in formation, charge and discharge in turn, and the cell after it, counted from 1.

    :raises InputError: when formation is all that there is.
    """
    if n_formation >= len(cell.cycles):
        raise InputError(f"{n_formation} cycles of formation were given, but the file has {len(cell.cycles)} cycles")
    if not n_formation:
        return [], cell
    last = cell.cycles[n_formation - 1]
    rest = replace(
        cell,
        cycles=tuple(cycle - last for cycle in cell.cycles[n_formation:]),
        discharged=cell.discharged[n_formation:],
        charged=None if cell.charged is None else cell.charged[n_formation:],
        halves={number - 2 * last: half for number, half in cell.halves.items() if number > 2 * last},
    )
    return capacity_list({number: half for number, half in cell.halves.items() if number <= 2 * last}), rest


def _find_window(halves: Mapping[int, HalfCycle]) -> tuple[float, float]:
    """Return the voltages in V between which most discharges are."""
    records = [half.voltage for number, half in halves.items() if number % 2 == 0]
    if not records:
        return VOLTAGE_WINDOW
    return float(np.median([record.min() for record in records])), float(
        np.median([record.max() for record in records])
    )


def _assess(cell: CycledCell, window: tuple[float, float]) -> Json:
    """Return success, rating and what is wrong; of a table only its numbers can be looked at.

    The first cycle may begin with a discharge, and the last one may go on.
    """
    if not cell.halves:
        return {"success": True, "meta": {"success": True, "rating": TABLE_RATING}, "missing_cycles": []}
    whole = [k for k in {(number + 1) // 2 for number in cell.halves} if {2 * k - 1, 2 * k} <= cell.halves.keys()]
    first, last = min(whole, default=1), max(whole, default=0)
    halves = {number - 2 * (first - 1): half for number, half in cell.halves.items()}
    within = {number: half for number, half in halves.items() if 1 <= number <= 2 * (last - first + 1)}
    low, high = window
    return assess(within, last - first + 1, (low - OTHER_WINDOW, high + OTHER_WINDOW))


def _list_in_turn(cell: CycledCell) -> list[float]:
    """Return the capacities of charge and discharge in turn of the cycles of which both are known."""
    if cell.charged is None:
        return []
    pairs = np.column_stack([cell.charged, cell.discharged])
    return [float(value) for value in pairs[np.isfinite(pairs).all(axis=1)].ravel()]
