"""Saying what is wrong with a document: where, what was given, what is accepted."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidJsonSchema
from jsonschema.exceptions import ValidationError as JsonSchemaDefect
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.structure import format_path, model_schema, node_at, without_null
from aiida_finales.schemas.units import SYMBOLS

Defect = dict[str, Any]

_LONGEST_GIVEN = 120
#: per cent: all of it; and from where on a number is rather that than a share that is a little too large
_WHOLE, _LEAST_PERCENT = 100, 2


def find_defects(model: type[BaseModel], document: Any) -> list[Defect]:
    """Return what is wrong with a document, or nothing: one ``{path, given, accepted}`` per defect."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [_from_pydantic(model, detail) for detail in error.errors()]
    except RecursionError:
        return [{"path": "$", "given": "a structure that contains itself", "accepted": "a JSON document"}]
    return []


def _from_pydantic(model: type[BaseModel], detail: ErrorDetails) -> Defect:
    location, context, schema = detail["loc"], detail.get("ctx", {}), model_schema(model)
    node = node_at(schema, location)
    accepted = context.get("accepted") or describe(node, schema) + _hint(node, schema, detail["input"])
    if detail["type"] == "extra_forbidden":
        accepted = _describe_keys(node_at(schema, location[:-1]), schema)
    if detail["type"] == "missing":
        return {"path": format_path(location), "given": None, "accepted": f"{accepted}; it is required"}
    given = context["given"] if "given" in context else shorten(detail["input"])
    return {"path": format_path(location), "given": given, "accepted": accepted}


def _describe_keys(node: Json, root: Json) -> str:
    """Return in words which keys an object may have, where one was given that it has not."""
    keys = ", ".join(without_null(node, root).get("properties", ()))
    return f"one of the keys {keys}" if keys else "no such key"


def check_json_schema(schema: Json, document: Any) -> list[Defect]:
    """Return what is wrong with a document by a JSON Schema (draft 2020-12), in the words of :func:`find_defects`.

    :raises InputError: when the schema itself is none.
    """
    errors = _validator(json.dumps(schema)).iter_errors(document)
    found = [item for error in errors for item in _from_json_schema(error, schema)]
    return sorted(found, key=lambda defect: str(defect["path"]))


@lru_cache(maxsize=128)
def _validator(schema: str) -> Draft202012Validator:
    """Return what checks documents; kept, because looking at the schema itself takes longer than at a document."""
    document = json.loads(schema)
    try:
        Draft202012Validator.check_schema(document)
    except InvalidJsonSchema as error:
        message = f"not a JSON Schema of draft 2020-12: {error.message}"
        raise InputError(message) from error
    return Draft202012Validator(document)


def _from_json_schema(error: JsonSchemaDefect, root: Json) -> list[Defect]:
    location = tuple(error.absolute_path)
    value: Any = error.validator_value
    if error.validator == "required" and isinstance(error.instance, dict):
        missing = [name for name in value if name not in error.instance and repr(name) in error.message]
        accepted = "a value; it is required"
        return [{"path": format_path((*location, name)), "given": None, "accepted": accepted} for name in missing]
    if error.validator == "anyOf" and error.instance is not None:
        options = [part for part in value if part.get("type") != "null"]
        if len(options) == 1:  # an optional value: say what is wrong inside of it
            inner = (item for item in error.context or () if item.validator_value != "null")
            return [defect for item in inner for defect in _from_json_schema(item, root)]
    accepted = error.message
    if isinstance(error.schema, dict):
        accepted = describe(error.schema, root) + _hint(error.schema, root, error.instance)
    return [{"path": format_path(location), "given": shorten(error.instance), "accepted": accepted}]


def _hint(node: Json, root: Json, given: Any) -> str:
    """Return the slip that a number above 1 probably is, where a share is accepted; else nothing."""
    most = without_null(node, root).get("maximum")
    is_percent = isinstance(given, (int, float)) and most is not None and most <= 1 < given <= _WHOLE
    return f": {given:g} looks like %" if is_percent and given >= _LEAST_PERCENT else ""


def shorten(value: Any) -> Any:
    """Return a value as it may stand in a message: containers and long texts by their size only."""
    if isinstance(value, dict):
        return f"an object with {', '.join(map(str, list(value)[:6])) or 'no key'}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST_GIVEN else f"{text[:_LONGEST_GIVEN]}..."


def describe(node: Json, root: Json) -> str:
    """Return in words what a node of a JSON Schema accepts."""
    if not node:
        return "another value"
    plain = without_null(node, root)
    unit = node.get("unit", plain.get("unit"))
    words = _describe_plain(plain)
    if unit and unit != "dimensionless":
        words += f" ({SYMBOLS.get(unit, unit)})"
    return words + (" or null" if any(part.get("type") == "null" for part in node.get("anyOf", ())) else "")


def _describe_plain(node: Json) -> str:
    if "enum" in node:
        return " or ".join(map(repr, node["enum"]))
    kind = node.get("type")
    if kind in ("number", "integer"):
        return ("a number" if kind == "number" else "a whole number") + _describe_range(node)
    if kind == "object" and node.get("required"):
        return f"an object with {', '.join(node['required'])}"
    if kind == "string" and node.get("minLength"):
        return "a text that is not empty"
    if kind == "array" and "minItems" in node:
        return f"a list of {node['minItems']}"
    return _PLAIN.get(str(kind), "another value")


_PLAIN = {"string": "a text", "boolean": "true or false", "object": "an object", "array": "a list", "null": "null"}


_BOUNDS = {"minimum": "from", "maximum": "to", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}


def _describe_range(node: Json) -> str:
    return "".join(f" {word} {node[key]:g}" for key, word in _BOUNDS.items() if key in node)
