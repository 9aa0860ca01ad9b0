"""Read what was typed into a form made of a JSON Schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import SchemaError
from aiida_finales.schemas import Json
from aiida_finales.schemas.defects import describe
from aiida_finales.schemas.structure import format_path, without_null
from aiida_finales.server.finales.documents import demand_plain
from aiida_finales.server.pages.form import Field, Place, count_items, kind_of, node_of, options_of

#: nothing was typed
NOTHING = object()


class Reader:
    """Reads a document, and collects what is wrong with it by the name of the field.

    :param typed: texts by name of the field.
    """

    def __init__(self, schema: Json, typed: Mapping[str, str]) -> None:
        self._schema = schema
        self._typed = typed
        self.errors: dict[str, str] = {}

    def read(self, place: Place = (), *, is_required: bool = True) -> Any:
        """Return what was typed at a place, or :data:`NOTHING`; see :attr:`errors` then."""
        return self._read(node_of(self._schema, place), place, is_required)

    def _read(self, node: Json, place: Place, is_required: bool) -> Any:
        kind = kind_of(node, self._schema, len(place))
        if kind == "group":
            return self._read_group(without_null(node, self._schema), place, is_required)
        if kind == "list":
            return self._read_list(without_null(node, self._schema), place, is_required)
        return self._read_text(node, kind, format_path(place), is_required)

    def _read_group(self, plain: Json, place: Place, is_required: bool) -> Any:
        if not is_required and not self._is_touched(format_path(place)):
            return NOTHING
        demanded = plain.get("required", ())
        found = {key: self._read(child, (*place, key), key in demanded) for key, child in plain["properties"].items()}
        return {key: value for key, value in found.items() if value is not NOTHING}

    def _read_list(self, plain: Json, place: Place, is_required: bool) -> Any:
        name = format_path(place)
        places = [(*place, index) for index in range(count_items(name, plain, self._typed))]
        # an item left blank is no item, unless the list would be too short without it
        demanded = max(int(plain.get("minItems", 0)), int(is_required))
        items = [
            self._read(plain["items"], item, index < demanded)
            for index, item in enumerate(places)
            if index < demanded or self._is_touched(format_path(item))
        ]
        return items if items or is_required else NOTHING

    def _read_text(self, node: Json, kind: str, name: str, is_required: bool) -> Any:
        text = self._typed.get(name, "").strip()
        if not text:
            if is_required:
                self.errors[name] = f"nothing was given, accepted is {describe(node, self._schema)}"
            return NOTHING
        plain = without_null(node, self._schema)
        try:
            return demand_plain(_convert(text, kind, plain, self._schema))
        except (ValueError, RecursionError):
            self.errors[name] = f"{text[:60]!r} was given, accepted is {describe(node, self._schema)}"
            return NOTHING

    def _is_touched(self, name: str) -> bool:
        return any(text.strip() and _is_within(key, name) for key, text in self._typed.items() if not key.endswith("#"))


def place_defects(error: SchemaError, field: Field) -> tuple[dict[str, str], list[str]]:
    """Return the defects of a document by the field they concern, and those that concern none.

    :param field: all of the form.
    """
    names = sorted((item.name for item in field.walk()), key=len, reverse=True)
    placed: dict[str, str] = {}
    others: list[str] = []
    for defect in error.errors:
        words = f"{defect['given']!r} was given, accepted is {defect['accepted']}"
        name = next((name for name in names if name != "$" and _is_within(str(defect["path"]), name)), None)
        if name is None:
            others.append(f"{defect['path']}: {words}")
        else:
            placed[name] = words
    return placed, others


def _is_within(name: str, outer: str) -> bool:
    return outer in ("$", name) or name.startswith((f"{outer}.", f"{outer}["))


def _convert(text: str, kind: str, plain: Json, root: Json) -> Any:
    if kind == "choice":
        options = options_of(plain)
        if text not in options:
            raise ValueError(text)
        return options[text]
    if kind == "lines":
        item = without_null(plain["items"], root)
        return [_convert_one(line.strip(), item.get("type")) for line in text.splitlines() if line.strip()]
    return json.loads(text) if kind == "json" else _convert_one(text, plain.get("type"))


def _convert_one(text: str, kind: Any) -> Any:
    if kind == "integer":
        return int(text)
    if kind == "number":
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return value
    return text
