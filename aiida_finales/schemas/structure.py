"""Finding one's way in the JSON Schema of a model: which fields there are, of what kind, in which unit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel

from aiida_finales.schemas import Json
from aiida_finales.schemas.units import SYMBOLS

Path = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """One field of the parameters of a capability.

    :param kind: ``number``, ``text``, ``boolean``, ``numbers``, ``formulation``, ``object`` or ``other``.
    :param unit: symbol, empty for none.
    :param is_required: whether a document without it is refused; false when anything around it is optional.
    """

    kind: str
    unit: str
    is_required: bool


_KINDS = {"number": "number", "integer": "number", "string": "text", "boolean": "boolean", "object": "object"}


@cache
def model_schema(model: type[BaseModel]) -> Json:
    """Return the JSON Schema of a model, with its ranges."""
    return model.model_json_schema()


@cache
def find_places(model: type[BaseModel]) -> dict[Path, Place]:
    """Return every field of a model that is reached without entering a list."""
    schema = model_schema(model)
    return dict(_walk(schema, schema, (), is_required=True))


def _walk(node: Json, root: Json, path: Path, *, is_required: bool) -> Iterator[tuple[Path, Place]]:
    for name, child in node.get("properties", {}).items():
        needed = is_required and name in node.get("required", ())
        plain = without_null(child, root)
        unit = child.get("unit", plain.get("unit", ""))
        yield (*path, name), Place(_kind(plain, root), SYMBOLS.get(unit, unit), needed)
        yield from _walk(plain, root, (*path, name), is_required=needed)


def _kind(node: Json, root: Json) -> str:
    if node.get("type") != "array":
        return _KINDS.get(str(node.get("type")), "other")
    item = resolve(node.get("items", {}), root)
    if item.get("title") == "FormulationComponent":
        return "formulation"
    return "numbers" if item.get("type") in ("number", "integer") else "other"


def resolve(node: Json, root: Json) -> Json:
    """Return what a reference points to, or the node itself."""
    reference = node.get("$ref") or next((part["$ref"] for part in node.get("allOf", ()) if "$ref" in part), None)
    if reference is None:
        return node
    target: Json = root.get("$defs", {}).get(str(reference).rsplit("/", 1)[-1], {})
    return target


def without_null(node: Json, root: Json) -> Json:
    """Return a node with its references followed, and the first alternative where it may also be null."""
    plain = resolve(node, root)
    alternatives = [part for part in plain.get("anyOf", ()) if part.get("type") != "null"]
    return resolve(alternatives[0], root) if alternatives else plain


def node_at(schema: Json, location: tuple[int | str, ...]) -> Json:
    """Return the node that describes one place of a document, empty where nothing is said about it."""
    node = schema
    for step in location:
        plain = without_null(node, schema)
        if isinstance(step, int):
            items = plain.get("prefixItems", [])
            node = items[step] if step < len(items) else plain.get("items", {})
        else:
            extra = plain.get("additionalProperties", {})
            node = plain.get("properties", {}).get(step, extra if isinstance(extra, dict) else {})
    return node


def find_unit(schema: Json, keys: str) -> str:
    """Return the unit that a schema states at dotted keys, or of the list that a last place is in; else nothing."""
    found, nodes = "", [schema]
    for key in keys.split("."):
        children = [child for node in nodes for child in _children(node, key)]
        nodes = [part for child in children for part in _alternatives(child, schema)]
        told = (str(node["unit"]) for node in (*children, *nodes) if "unit" in node)  # of what may be null, beside it
        found = next(told, found if is_place(key) else "")
    return found


def why_no_number(schema: Json, keys: str) -> str:
    """Return why a schema has no number, nor a list of them, at dotted keys; nothing where it has, or may have.

    :param keys: of which those of lists are places; -1 is the last.
    """
    nodes, seen = _alternatives(schema, schema), "$"
    for key in keys.split("."):
        if not any(node for node in nodes):
            return ""  # whatever it likes
        children = [child for node in nodes for child in _children(node, key)]
        if not children:
            return _why_no_child(nodes, key, seen)
        nodes = [part for child in children for part in _alternatives(child, schema)]
        seen = key if seen == "$" else f"{seen}.{key}"
    kinds = {str(part.get("type", "")) for node in nodes for part in (node, *_children(node, "0"))}
    if kinds & {"", "number", "integer"}:
        return ""
    inner = [name for node in nodes for name in node.get("properties", {})]
    return f"{seen} is no number" + (f": it has {', '.join(dict.fromkeys(inner))}" if inner else "")


def _why_no_child(nodes: list[Json], key: str, seen: str) -> str:
    names = list(dict.fromkeys(name for node in nodes for name in node.get("properties", {})))
    if any(node.get("type") == "array" for node in nodes):
        return f"{key!r} is no place in the list {seen}: accepted is a whole number, 0 for the first, -1 for the last"
    if not names:
        return f"{seen} has nothing in it"
    near = get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    where = "they have" if seen == "$" else f"{seen} has"
    return f"{where} no {key!r}, only {', '.join(names)}{hint}"


def _alternatives(node: Json, root: Json) -> list[Json]:
    """Return what a node may be, with references followed and without null."""
    plain = resolve(node, root)
    parts = [part for kind in ("anyOf", "oneOf") for part in plain.get(kind, ()) if part.get("type") != "null"]
    return [found for part in parts for found in _alternatives(part, root)] or [plain]


def _children(node: Json, key: str) -> list[Json]:
    """Return what may stand at a key of an object, or at a place of a list."""
    if node.get("type") == "array" or "items" in node:
        return [node.get("items", {})] if is_place(key) else []
    if key in node.get("properties", {}):
        return [node["properties"][key]]
    extra = node.get("additionalProperties")
    return [extra] if isinstance(extra, dict) else []


def is_place(key: str) -> bool:
    """Return whether a key is a place in a list; -1 is the last."""
    return key.removeprefix("-").isdecimal()


def format_path(location: tuple[int | str, ...]) -> str:
    """Return a place of a document as people write it, e.g. ``formulation[0].fraction``; ``$`` is all of it."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".") or "$"


def nest(path: Path, value: Any) -> dict[str, Any]:
    """Return a document with a value at a path, and nothing else."""
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def get_at(document: Any, path: Path) -> Any:
    """Return what stands at a path of nested objects, ``None`` where there is nothing."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def set_at(document: dict[str, Any], path: Path, value: Any) -> None:
    """Replace what stands at an existing path of nested objects."""
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def is_number(value: object) -> bool:
    """Return whether a value is a finite number; a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -math.inf < value < math.inf
