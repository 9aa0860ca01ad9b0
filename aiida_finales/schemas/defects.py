"""Saying what is wrong with a document: where, what was given, what is accepted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
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


def spell_defect(model: type[BaseModel], detail: ErrorDetails, advice: Mapping[str, str] | None = None) -> str:
    """Return a defect of a file that people write, in a sentence: the key, what was given, what is accepted.

    :param model: of the file.
    :param advice: what to say instead of the nearest key, by an unknown key in small letters.
    """
    keys = [str(part) for part in detail["loc"] if part != "[key]"]
    path, given, kind = ".".join(keys), detail["input"], detail["type"]
    if kind == "missing":
        return f"key '{path}' is missing"
    if kind == "extra_forbidden":
        return _spell_unknown(model, detail, path, advice or {})
    if kind == "value_error":
        return _spell_own(detail["msg"].removeprefix("Value error, "), path, given)
    if "[key]" in detail["loc"]:
        accepted = "a text as key: put it in quotes, as YAML takes yes, no, on and off for true and false"
        return f"{'.'.join([*keys[:-1]])} has the key {given!r}, but accepted is {accepted}"
    if given is None:
        return f"{path} has no value behind it or below it: give one, or leave the key out"
    schema = model_schema(model)
    node = node_at(schema, detail["loc"])
    accepted = _tell_accepted(without_null(node, schema), schema, detail)
    shown = shorten(given) if isinstance(given, (dict, list, tuple)) else repr(shorten(given))
    return f"{path} is {shown}, but accepted is {accepted}{_hint(node, schema, given) or _cure(given, kind)}"


def _spell_own(words: str, path: str, given: Any) -> str:
    """Return what a rule of ours says, with the place and what was given, unless it says so itself."""
    if words.startswith(path):
        return words
    return f"{path}: {words}" if isinstance(given, (dict, list, tuple)) else f"{path} is {given!r}: {words}"


def _spell_unknown(model: type[BaseModel], detail: ErrorDetails, path: str, advice: Mapping[str, str]) -> str:
    """Return that a key is not known, and which one may be meant."""
    schema, given = model_schema(model), str(detail["loc"][-1]).lower()
    accepted = list(without_null(node_at(schema, detail["loc"][:-1]), schema).get("properties", ()))
    near = get_close_matches(given, accepted, n=1, cutoff=0.6)
    hint = advice.get(given) or (f"did you mean '{near[0]}'? " if near else "")
    return f"unknown key '{path}': {hint}accepted are {', '.join(accepted)}"


#: a number with a comma, and one with something behind it that is no exponent
_COMMA = re.compile(r"[+-]?\d*,\d+")
_WITH_UNIT = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*(?![eE][+-]?\d)([^\d.,].*)")


def _tell_accepted(plain: Json, root: Json, detail: ErrorDetails) -> str:
    """Return what is accepted where a person wrote something else; ``plain`` is its node, without null."""
    expected = detail.get("ctx", {}).get("expected")
    if plain.get("type") != "object" or expected:
        return str(expected or describe(plain, root))
    names = ", ".join(plain.get("properties", ()))
    keys = f"keys ({names})" if names else "names, each with what belongs to it"
    least = f", {plain['minProperties']} at least" if "minProperties" in plain else ""
    return f"a section: {keys}{least}, one per line below it, indented by spaces"


def _cure(given: Any, kind: str) -> str:
    """Return what to write instead of a value of the wrong kind, where that is clear."""
    if kind == "string_type":
        return ": put it in quotes" if not isinstance(given, (dict, list)) else ""
    if kind == "too_long" and isinstance(given, (list, tuple)) and all(isinstance(item, int) for item in given):
        return ": write decimals with a point, as 0.05"
    text = given.strip() if isinstance(given, str) else ""
    if _COMMA.fullmatch(text):
        return f": write {text.replace(',', '.')}, with a point"
    found = _WITH_UNIT.fullmatch(text)
    if found is None or kind not in ("float_parsing", "int_parsing"):
        return ""
    if found[2] == "%":
        return f": write {float(found[1].replace(',', '.')) / 100:g} for {text}"
    return ": write the number alone, without a unit"


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
        return f"a list of {node['minItems']}" + ("" if node.get("maxItems") == node["minItems"] else " or more")
    return _PLAIN.get(str(kind), "another value")


_PLAIN = {"string": "a text", "boolean": "true or false", "object": "an object", "array": "a list", "null": "null"}


_BOUNDS = {"minimum": "from", "maximum": "to", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}


def _describe_range(node: Json) -> str:
    return "".join(f" {word} {node[key]:g}" for key, word in _BOUNDS.items() if key in node)
