"""The single values of a result: repetitions of a measurement, or the cells of one formulation; how numbers are said.

What is shown to people goes through :func:`format_value`, :func:`format_number` or :func:`format_column`; JSON has all
digits.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiida_finales.schemas.structure import find_unit, is_number, model_schema, node_at
from aiida_finales.schemas.units import SYMBOLS
from aiida_finales.schemas.words import count

#: quantities of cells: one value per cell, each with its own success and rating, and the key of the value
PER_CELL = {"degradationEOL": "end_of_life"}
#: units of values whose schema states none
_UNITS = {"degradationEOL": "cycles"}
#: significant digits of a number that was computed, and of one that somebody gave, which is shown as it is
COMPUTED, GIVEN = 4, 5
#: an uncertainty has two digits when they are 10 to 35 (or 95 and more, rounded up), else one
FEW, MANY = 35, 95
#: numbers from and below these are written with a power of ten
GREAT, SMALL = 1e6, 1e-3
#: decimals that a number of double precision can have, and the powers of ten that it can be divided by
DOUBLE, POWERS = 15, 290
#: digits that the smallest number of a column keeps at least, and decimals that are added for that at most
LEAST, MORE = 2, 2


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
    stated = body.get("values_uncertainty")
    errors = stated if isinstance(stated, list) and len(stated) == len(values) else [None] * len(values)
    return tuple(
        Value(float(value), _number(error), is_valid, meta["rating"])
        for value, error in zip(values, errors, strict=True)
    )


def tell_series(quantity: str, data: dict[str, Any]) -> str:
    """Return in words what a result says that is no single value, else nothing.

    Of a capacity ``0.00182 Ah first, 0.00167 Ah last of 50``; of a curve of the lifetime ``1446 cycles at 80 %, 1069 to
    1955 (80 % interval)``; of a service what was done, as ``8 cells``, ``vial-1, now at AutoBASS, tray 2``.
    """
    return _TELL[quantity](data) if quantity in _TELL else ""


def read_reason(quantity: str, data: dict[str, Any]) -> str:
    """Return why an answer is no better, or none, in the words of who answered; nothing where nobody says so."""
    metas = (data, data.get("meta"), first_body(data.get(quantity)).get("meta"))
    reasons = (meta.get("reason") for meta in metas if isinstance(meta, dict))
    return next((reason for reason in reasons if isinstance(reason, str)), "")


def read_longer(quantity: str, data: dict[str, Any]) -> str:
    """Return what cycling a cell longer would bring to what is predicted of it; nothing where nobody says so."""
    meta = first_body(data.get(quantity)).get("meta")
    told = meta.get("longer") if isinstance(meta, dict) else data.get("longer")
    return told if isinstance(told, str) else ""


def _tell_cells(data: dict[str, Any]) -> str:
    made = data.get("batch_output")
    return count(len(made), "cell") if isinstance(made, list) else ""


def _tell_electrolyte(data: dict[str, Any]) -> str:
    made = data.get("electrolyte")
    volume = made.get("volume") if isinstance(made, dict) else None
    return f"{format_number(volume)} mL" if is_number(volume) else ""


def _tell_transport(data: dict[str, Any]) -> str:
    samples, place = data.get("samples"), data.get("actual_new_location")
    if not isinstance(place, dict) or not data.get("success"):
        return ""
    carried = samples if isinstance(samples, list) else []
    what = str(carried[0]) if len(carried) == 1 else count(len(carried), "sample") if carried else "everything"
    return f"{what}, now at {', '.join(str(part) for part in place.values() if part)}"


def _tell_channels(data: dict[str, Any]) -> str:
    channels = data.get("channels")
    return f"{count(len(channels), 'channel')} reserved" if isinstance(channels, list) and channels else ""


def _tell_curve(data: dict[str, Any]) -> str:
    columns = [data.get(name) for name in ("state_of_health", "cycle", "cycle_lower", "cycle_upper")]
    if not all(isinstance(column, list) and column and is_number(column[-1]) for column in columns):
        return "no answer" if read_reason("lifetimeCurve", data) else ""
    share, middle, low, high = (column[-1] for column in columns if column)
    coverage = data.get("coverage")
    domain = data.get("domain")
    regime = f", {domain['regime']}" if isinstance(domain, dict) and domain.get("regime") else ""
    interval = f" ({100 * coverage:g} % interval{regime})" if isinstance(coverage, float) else ""
    return f"{middle:.0f} cycles at {100 * share:g} %, {low:.0f} to {high:.0f}{interval}"


def _tell_capacities(data: dict[str, Any]) -> str:
    listed, own = data.get("capacity_list"), data.get("discharge_capacities")
    found = own if isinstance(own, list) else listed[1::2] if isinstance(listed, list) else []
    if not found or not all(is_number(item) for item in found):
        return ""
    first, last = format_column([float(found[0]), float(found[-1])])
    return f"{first} Ah first, {last} Ah last of {len(found)}" if len(found) > 1 else f"{first} Ah"


_TELL: dict[str, Callable[[dict[str, Any]], str]] = {
    "capacity": _tell_capacities,
    "lifetimeCurve": _tell_curve,
    "cell_assembly": _tell_cells,
    "electrolyte": _tell_electrolyte,
    "transport": _tell_transport,
    "cycling_channel": _tell_channels,
}


def is_readable(quantity: str, data: dict[str, Any]) -> bool:
    """Return whether an optimiser can read a result's data: numbers, and the composition they belong to.

    The published optimiser stops for good at the first result without: where the quantity itself, its values, their
    ``meta`` or ``run_info.formulation`` are missing, empty, or no numbers. Results of services have no numbers to read.
    """
    if not has_numbers(quantity):
        return True
    body, found = data.get(quantity), read_values(quantity, data)
    bodies = body if quantity in PER_CELL and isinstance(body, list) else [first_body(body)]
    has_meta = all(isinstance(item, dict) and isinstance(item.get("meta"), dict) for item in bodies)
    values = [item.value for item in found]
    is_finite = bool(values) and all(value is not None and math.isfinite(value) for value in values)
    return has_meta and is_finite and _has_composition(data.get("run_info"))


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


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


@cache
def has_numbers(quantity: str) -> bool:
    """Return whether results of a quantity are numbers of it; those of a service or over the cycles are not."""
    from aiida_finales.schemas.registry import SCHEMAS

    schemas = (schema.result for (name, _), schema in SCHEMAS.items() if name == quantity)
    return quantity in PER_CELL or any(node_at(model_schema(model), (quantity, "values")) for model in schemas)


@cache
def unit_of(quantity: str, number: str | None = None) -> str:
    """Return the symbol of the unit in which values of a quantity are stored; empty where there is none.

    :param number: of another number of its results, by the dotted keys of their data.
    """
    from aiida_finales.schemas.registry import SCHEMAS

    if number is None and quantity in _UNITS:
        return _UNITS[quantity]
    schemas = [schema.result for (name, _), schema in SCHEMAS.items() if name == quantity]
    units = (find_unit(model_schema(model), number or f"{quantity}.values") for model in schemas)
    return next((SYMBOLS.get(unit, unit) for unit in units if unit), "")


def stated_uncertainty(values: Sequence[Value]) -> float | None:
    """Return the mean of the uncertainties that a provider states of its valid values; many make it no less."""
    stated = [item.uncertainty for item in values if item.is_valid and item.uncertainty is not None]
    return statistics.fmean(stated) if stated else None


def format_value(value: float | None, uncertainty: float | None = None, unit: str = "") -> str:
    """Return a value as scientists write it: ``1.006 ± 0.006 S/m``; a dash where there is none.

    :param uncertainty: one standard deviation, in the unit of the value.
    """
    return f"{format_column([value], [uncertainty])[0]} {unit if value is not None else ''}".rstrip()


def format_number(value: float | None) -> str:
    """Return a number with the digits that mean something; a dash where there is none."""
    return format_column([value])[0]


def format_column(values: Sequence[float | None], uncertainties: Sequence[float | None] | None = None) -> list[str]:
    """Return numbers that stand below one another, all with the same number of decimals; a dash where there is none.

    The smallest uncertainty decides, and the greatest of the values that have none.

    :raises ValueError: when there are not as many uncertainties as values.
    """
    errors = [None] * len(values) if uncertainties is None else [_sound(error) for error in uncertainties]
    pairs = list(zip(values, errors, strict=True))
    spreads = [error for value, error in pairs if value is not None and error is not None]
    numbers = [abs(value) for value, _ in pairs if value is not None and math.isfinite(value)]
    power = _power_of_ten([*numbers, *spreads, 0.0])
    bare = [abs(value) / 10.0**power for value, error in pairs if value is not None and error is None]
    decimals = [_decimals_of_error(error / 10.0**power) for error in spreads]
    if bare or not spreads:
        decimals.append(_decimals([value for value in bare if math.isfinite(value)]))
    return [_write(value, error, power, min(max(decimals), DOUBLE)) for value, error in pairs]


def _sound(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) and error > 0 else None


def _power_of_ten(numbers: Sequence[float]) -> int:
    """Return the power of ten that is written behind numbers; 0 where they can be read without."""
    greatest = max(numbers)
    return (
        0 if greatest == 0 or SMALL <= greatest < GREAT else max(-POWERS, min(POWERS, math.floor(math.log10(greatest))))
    )


def _decimals(numbers: Sequence[float]) -> int:
    """Return the decimals of numbers without uncertainty."""
    if all(_round(number, GIVEN) == number for number in numbers):
        return max((_given_decimals(number) for number in numbers), default=0)
    sizes = [math.floor(math.log10(number)) for number in numbers if number]
    wanted = COMPUTED - 1 - max(sizes)
    return max(0, wanted, min(LEAST - 1 - min(sizes), wanted + MORE))


def _decimals_of_error(error: float) -> int:
    """Return the decimals of an uncertainty that mean something; negative where only tens, hundreds... do."""
    size = max(-POWERS, math.floor(math.log10(error))) if error else -POWERS
    leading = round(error / 10.0 ** (size - 1))
    if leading >= MANY:
        return -size
    return (1 if leading <= FEW else 0) - size


def _round(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")


def _given_decimals(number: float) -> int:
    return len(f"{number:.{GIVEN}g}".partition(".")[2]) if number >= SMALL else 0


def _write(value: float | None, error: float | None, power: int, decimals: int) -> str:
    if value is None:
        return "-"
    suffix = f"e{power}" if power else ""
    if error is not None:
        text = f"{_fix(value / 10.0**power, decimals)} ± {_fix(error / 10.0**power, decimals)}"
        return f"({text}){suffix}" if suffix else text
    if value and math.isfinite(value) and not round(value / 10.0**power, decimals):
        return f"{value:.{LEAST}g}"  # of a column that spans many orders the small ones have a form of their own
    return _fix(value / 10.0**power, decimals) + suffix


def _fix(number: float, decimals: int) -> str:
    """Return a number with so many decimals; where they are negative its last digits are 0."""
    return f"{round(number, decimals):.{max(0, decimals)}f}" if math.isfinite(number) else str(number)
