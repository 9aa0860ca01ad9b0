"""Parameters and data as rows that people can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiida_finales.schemas import Json
from aiida_finales.schemas.cells.record import Electrode
from aiida_finales.schemas.cells.registry import CATALOGUES
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.formulation import find_fractions
from aiida_finales.schemas.structure import format_path, node_at, without_null
from aiida_finales.schemas.units import SYMBOLS
from aiida_finales.schemas.values import format_column, format_number
from aiida_finales.schemas.words import count

Place = tuple[int | str, ...]

#: values of a list that are shown in one row; of longer ones the first and the last
SHOWN = 8
#: rows of one table
MOST = 400


@dataclass(frozen=True)
class Line:
    """One row.

    :param name: place in the document.
    :param hint: what it means, where the schema says so.
    """

    name: str
    value: str
    unit: str = ""
    hint: str = ""


def flatten(document: Any, schema: Json) -> list[Line]:
    """Return a document row by row, with the units of its schema; compositions are rows of mole fractions."""
    lines: list[Line] = []
    _collect(document, schema, (), lines)
    return lines[:MOST]


def _collect(value: Any, schema: Json, place: Place, lines: list[Line]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _collect(item, schema, (*place, str(key)), lines)
    elif isinstance(value, list) and place and any(isinstance(item, dict) and "chemical" in item for item in value):
        lines += _fractions(value, place)
    elif isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        lines.append(_line(_say_list(value), schema, place))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, schema, (*place, index), lines)
    else:
        lines.append(_line(_say(value), schema, place))


def _fractions(value: list[Any], place: Place) -> list[Line]:
    name, fractions = format_path(place), find_fractions({"formulation": value})
    if not fractions:
        return [Line(name, count(len(value), "component"))]
    return [
        Line(f"{name}: {_label(key)}", f"{share:.4f}", "mol/mol", "mole fraction of the whole")
        for key, share in fractions.items()
    ]


def _label(key: str) -> str:
    """Return the name of a chemical, or of an electrode whose material it is, as carbon is that of graphite."""
    label = chemical_label(key)
    electrode = CATALOGUES[Electrode].load().find(key) if label == key else None
    return electrode.name if electrode else label


def _line(words: str, schema: Json, place: Place) -> Line:
    node = node_at(schema, place) if schema else {}
    plain = without_null(node, schema) if node else {}
    unit = str(node.get("unit") or plain.get("unit") or (plain.get("items") or {}).get("unit") or "")
    unit = "" if unit == "dimensionless" else SYMBOLS.get(unit, unit)
    return Line(format_path(place), words, unit, str(node.get("description") or plain.get("description") or ""))


def _say_list(values: list[Any]) -> str:
    is_series = bool(values) and all(isinstance(value, float) for value in values)
    words = format_column(values) if is_series else list(map(_say, values))
    if len(values) <= SHOWN:
        return ", ".join(words) or "empty"
    return f"{', '.join(words[:3])} … {words[-1]} ({len(values)} values)"


def _say(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, float) else str(value)
