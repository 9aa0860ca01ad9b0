"""The single values of a result: repetitions of a measurement, or the cells made of one formulation."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiida_finales.schemas.structure import model_schema, node_at
from aiida_finales.schemas.units import SYMBOLS

#: quantities of cells: one value per cell, each with its own success and rating, and the key of the value
PER_CELL = {"degradationEOL": "end_of_life"}
#: units of values whose schema states none
_UNITS = {"degradationEOL": "cycles"}


@dataclass(frozen=True)
class Value:
    """One value of a result.

    :param value: in the unit of the quantity; ``None`` where there is none.
    :param uncertainty: as its provider states it, in the unit of the quantity.
    :param is_valid: whether its provider says that it can be used.
    :param rating: 1 (poor) to 5 (excellent).
    :param is_reached: false when the value is only a lower bound: the cell lives on.
    """

    value: float | None
    uncertainty: float | None
    is_valid: bool
    rating: int | None
    is_reached: bool = True


def read_values(quantity: str, data: dict[str, Any]) -> tuple[Value, ...]:
    """Return the single values of a result's data; data that break their schema give fewer, never an exception."""
    body = data.get(quantity)
    if quantity in PER_CELL:
        cells = body if isinstance(body, list) else [body]
        return tuple(_read_cell(cell, PER_CELL[quantity]) for cell in cells if isinstance(cell, dict))
    body = first_body(body)
    values, meta = body.get("values"), read_meta(body, data)
    if not isinstance(values, list) or not all(is_number(value) for value in values):
        return ()
    is_valid = meta["success"] is True
    return tuple(Value(float(value), None, is_valid, meta["rating"]) for value in values)


def is_readable(quantity: str, data: dict[str, Any]) -> bool:
    """Return whether an optimiser can read a result's data: numbers, and the composition they belong to.

    The published optimiser stops for good at the first result without: where the quantity itself, its values, their
    ``meta`` or ``run_info.formulation`` are missing, empty, or no numbers. Results of services have no numbers to read.
    """
    if not unit_of(quantity):
        return True
    body, found = data.get(quantity), read_values(quantity, data)
    bodies = body if quantity in PER_CELL and isinstance(body, list) else [first_body(body)]
    has_meta = all(isinstance(item, dict) and isinstance(item.get("meta"), dict) for item in bodies)
    values = [item.value for item in found]
    has_numbers = bool(values) and all(value is not None and math.isfinite(value) for value in values)
    return has_meta and has_numbers and _has_composition(data.get("run_info"))


def _has_composition(run_info: Any) -> bool:
    parts = run_info.get("formulation") if isinstance(run_info, dict) else None
    return isinstance(parts, list) and bool(parts) and all(_is_component(part) for part in parts)


def _is_component(part: Any) -> bool:
    chemical = part.get("chemical") if isinstance(part, dict) else None
    return isinstance(chemical, dict) and isinstance(chemical.get("SMILES"), str) and is_number(part.get("fraction"))


def _read_cell(cell: dict[str, Any], key: str) -> Value:
    meta = read_meta(cell, {})
    value, uncertainty = _number(cell.get(key)), _number(cell.get(f"{key}_uncertainty"))
    is_valid = meta["success"] is True and value is not None
    return Value(value, uncertainty, is_valid, meta["rating"], cell.get(f"{key}_reached") is not False)


def first_body(body: Any) -> dict[str, Any]:
    """Return what a result's data say about a quantity; of a list the first."""
    if isinstance(body, list):
        body = body[0] if body else {}
    return body if isinstance(body, dict) else {}


def read_meta(body: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return ``success`` and ``rating`` (a whole number or ``None``), from where the data have them."""
    meta = body.get("meta") if isinstance(body.get("meta"), dict) else data.get("meta")
    meta = meta if isinstance(meta, dict) else _implied_meta(data)
    rating = _number(meta.get("rating"))
    return {"success": meta.get("success", data.get("success")), "rating": None if rating is None else int(rating)}


def _implied_meta(data: dict[str, Any]) -> dict[str, Any]:
    """Return what the published forms without a word on success say: a batch by its cells, a cycler by its data."""
    batch = data.get("batch_output")
    if isinstance(batch, list):
        metas = [item["meta"] for item in batch if isinstance(item, dict) and isinstance(item.get("meta"), dict)]
        good = [meta for meta in metas if meta.get("success") is True]
        ratings = [meta["rating"] for meta in good if is_number(meta.get("rating"))]
        return {"success": bool(good), "rating": statistics.median_low(ratings) if ratings else None}
    if "success" not in data and isinstance(data.get("capacity_list"), list):
        return {"success": bool(data["capacity_list"])}
    return {}


def is_number(value: object) -> bool:
    """Return whether a value is a number; a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


@cache
def unit_of(quantity: str) -> str:
    """Return the symbol of the unit in which values of a quantity are stored; empty where there is none."""
    from aiida_finales.schemas.registry import SCHEMAS

    if quantity in _UNITS:
        return _UNITS[quantity]
    schemas = (schema.result for (name, _), schema in SCHEMAS.items() if name == quantity)
    units = (node_at(model_schema(model), (quantity, "values")).get("unit", "") for model in schemas)
    return next((SYMBOLS.get(unit, unit) for unit in units if unit), "")
