"""JSON Schemas as the published platform serves them, and the request templates derived from them."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from pydantic import BaseModel

from aiida_finales.schemas import Json
from aiida_finales.schemas.registry import get_schema
from aiida_finales.schemas.structure import model_schema, resolve

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: What the published schemas do not restrict; left out by default so that every published document stays valid.
_RANGES = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength")


def parameters_json_schema(quantity: str, method: str, *, with_ranges: bool = False) -> Json:
    """Return the JSON Schema (draft 2020-12) of the parameters of a capability.

    :param with_ranges: also write minimum and maximum of numbers, which the published schemas lack.
    :raises UnknownCapabilityError: when there is no such capability.
    """
    return export_model(get_schema(quantity, method).parameters, with_ranges=with_ranges)


def result_json_schema(quantity: str, method: str, *, with_ranges: bool = False) -> Json:
    """Return the JSON Schema (draft 2020-12) of the data of a result; see :func:`parameters_json_schema`.

    :raises UnknownCapabilityError: when there is no such capability.
    """
    return export_model(get_schema(quantity, method).result, with_ranges=with_ranges)


@cache
def export_model(model: type[BaseModel], *, with_ranges: bool = False) -> Json:
    """Return the JSON Schema of a model in the published form; kept, so do not change it."""
    schema = copy.deepcopy(model_schema(model))
    for node in [schema, *schema.get("$defs", {}).values()]:
        # the published schemas accept unknown keys by saying nothing about them
        node.pop("additionalProperties", None)
        for name, child in node.get("properties", {}).items():
            node["properties"][name] = _publish(child)
    if not with_ranges:
        _drop_ranges(schema)
    return {"$schema": DIALECT, **schema}


def _publish(child: Json) -> Json:
    answer = dict(child)
    if "$ref" in answer:  # clients of the published platform look for allOf
        answer = {"allOf": [{"$ref": answer.pop("$ref")}], **answer}
    for part in answer.get("anyOf", ()):
        if "unit" in part:
            answer["unit"] = part.pop("unit")
    return answer


def _drop_ranges(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _drop_ranges(item)
    elif isinstance(node, dict):
        for key in [key for key in _RANGES if key in node and not isinstance(node[key], dict)]:
            del node[key]
        for value in node.values():
            _drop_ranges(value)


_WORDS = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}


def request_template(schema: Json) -> Json:
    """Return the skeleton of a document, each leaf saying whether it is required and of which type.

    Workflows of the published platform fill this skeleton by position and by text, so its odd form is kept to the
    letter: what may be null is not a structure but the text of one.

    :param schema: a JSON Schema with ``properties`` at its top.
    """
    return _object_template(schema, schema)


def _object_template(node: Json, root: Json) -> Json:
    required = node.get("required", ())
    return {
        name: _template(child, root, "required" if name in required else "optional")
        for name, child in node.get("properties", {}).items()
    }


def _template(node: Json, root: Json, need: str) -> Any:
    if "anyOf" in node:
        parts = [_alternative(part, root, need) for part in node["anyOf"] if part.get("type") != "null"]
        return f"optional, {' or '.join(parts)}"
    node = resolve(node, root)
    if node.get("type") == "array":
        return [_template(node.get("items", {}), root, need)]
    if "properties" in node:
        return _object_template(node, root)
    return f"{need}, {_WORDS.get(str(node.get('type')), 'any')}"


def _alternative(node: Json, root: Json, need: str) -> str:
    node = resolve(node, root)
    if "prefixItems" in node:
        return str(tuple(_WORDS.get(str(item.get("type")), "any") for item in node["prefixItems"]))
    if node.get("type") == "array":
        return str([_template(node.get("items", {}), root, need)])
    values = node.get("additionalProperties")
    if isinstance(values, dict) and "$ref" in values:
        return str({f"{need}, str": _object_template(resolve(values, root), root)})
    if isinstance(values, dict):
        return _WORDS.get(str(values.get("type")), "any")
    if "properties" in node:
        return str(_object_template(node, root))
    return _WORDS.get(str(node.get("type")), "any")
