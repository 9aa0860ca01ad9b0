"""A form made of a JSON Schema: what is asked for, what was typed, and what is wrong with it.

A field is named by its place in the document, e.g. ``run_info.formulation[0].fraction``. What was typed is kept as text
until it is read, so that nothing is lost when something is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiida_finales.schemas import Json
from aiida_finales.schemas.defects import describe
from aiida_finales.schemas.structure import format_path, resolve, without_null

Place = tuple[int | str, ...]

#: levels below which a document is typed as JSON: a schema may contain itself
DEEPEST = 8
#: items of a list that a form shows at most
LONGEST = 200
#: behind the name of a list: how many items of it the form has
COUNT = "#"
SIMPLE = ("string", "number", "integer")


@dataclass(frozen=True)
class Field:
    """One field, a group of fields, or a list of groups.

    :param name: its place in the document.
    :param kind: ``text``, ``number``, ``choice``, ``lines`` (one value per line), ``json``, ``group`` or ``list``.
    :param hint: what it means, with the unit.
    :param accepted: what may be typed, in words.
    :param required: whether it must be filled; within a group that need not be there, only if something there is.
    """

    name: str
    label: str
    kind: str
    hint: str
    accepted: str
    required: bool
    options: tuple[str, ...] = ()
    parts: tuple[Field, ...] = ()

    @property
    def key(self) -> str:
        """A name that may stand in an address after ``#``."""
        return "field-" + "".join(letter if letter.isalnum() else "-" for letter in self.name)

    def walk(self) -> Iterator[Field]:
        """Return the field and everything in it."""
        yield self
        for part in self.parts:
            yield from part.walk()


def make_field(schema: Json, place: Place, typed: Mapping[str, str], *, is_required: bool = True) -> Field:
    """Return the field of one place of a document.

    :param typed: what was typed so far; says how many items each list has.
    """
    return _make(node_of(schema, place), schema, place, typed, is_required)


def node_of(schema: Json, place: Place) -> Json:
    """Return the node of a schema that describes a place, as it is written there."""
    node = schema
    for step in place:
        plain = without_null(node, schema)
        node = plain["items"] if isinstance(step, int) else plain["properties"][step]
    return node


def kind_of(node: Json, root: Json, depth: int) -> str:
    """Return how a node of a schema is typed."""
    plain = without_null(node, root)
    n_alternatives = sum(part.get("type") != "null" for part in resolve(node, root).get("anyOf", ()))
    if n_alternatives > 1 or depth > DEEPEST:
        return "json"
    if options_of(plain):
        return "choice"
    kind = plain.get("type")
    if kind == "object" and plain.get("properties"):
        return "group"
    if kind == "array" and isinstance(plain.get("items"), dict):
        return _kind_of_list(plain["items"], root)
    return {"string": "text", "number": "number", "integer": "number"}.get(str(kind), "json")


def options_of(plain: Json) -> dict[str, Any]:
    """Return the values that may be chosen, by what is shown for them."""
    if plain.get("type") == "boolean":
        return {"yes": True, "no": False}
    values = plain.get("enum", [plain["const"]] if "const" in plain else [])
    return {str(value): value for value in values}


def count_items(name: str, plain: Json, typed: Mapping[str, str]) -> int:
    """Return how many items of a list the form shows: those typed, at least one and what the schema demands."""
    text = typed.get(name + COUNT, "")
    return min(LONGEST, max(int(text) if text.isascii() and text.isdigit() else 0, int(plain.get("minItems", 0)), 1))


def type_document(value: Any, name: str) -> dict[str, str]:
    """Return a document as it would have been typed, from a place on."""
    if isinstance(value, dict):
        parts = [type_document(item, f"{name}.{key}".removeprefix(".")) for key, item in value.items()]
    elif isinstance(value, list):
        parts = [{name + COUNT: str(len(value))}]
        parts += [type_document(item, f"{name}[{index}]") for index, item in enumerate(value)]
    else:
        return {name: "" if value is None else value if isinstance(value, str) else json.dumps(value)}
    return {key: text for part in parts for key, text in part.items()}


def find_places(schema: Json, name: str) -> list[Place]:
    """Return where a document has something of this name, lists left out."""

    def search(node: Json, place: Place) -> Iterator[Place]:
        if kind_of(node, schema, len(place)) != "group":
            return
        for key, child in without_null(node, schema)["properties"].items():
            if key == name:
                yield (*place, key)
            else:
                yield from search(child, (*place, key))

    return list(search(schema, ()))


def _make(node: Json, root: Json, place: Place, typed: Mapping[str, str], is_required: bool) -> Field:
    plain, name, kind = without_null(node, root), format_path(place), kind_of(node, root, len(place))
    parts: tuple[Field, ...] = ()
    if kind == "group":
        demanded = plain.get("required", ())
        parts = tuple(
            _make(child, root, (*place, key), typed, key in demanded) for key, child in plain["properties"].items()
        )
    if kind == "list":
        places = [(*place, index) for index in range(count_items(name, plain, typed))]
        parts = tuple(_make(plain["items"], root, item, typed, is_required) for item in places)
    return Field(
        name=name,
        label=_label(place),
        kind=kind,
        hint=str(node.get("description") or plain.get("description") or ""),
        accepted=describe(node, root).removesuffix(" or null"),
        required=is_required,
        options=tuple(options_of(plain)) if kind == "choice" else (),
        parts=parts,
    )


def _label(place: Place) -> str:
    if not place:
        return "Result"
    step = place[-1]
    words = f"{_label(place[:-1])} {step + 1}" if isinstance(step, int) else step.replace("_", " ")
    return words[:1].upper() + words[1:]


def _kind_of_list(items: Json, root: Json) -> str:
    plain = without_null(items, root)
    if plain.get("type") in SIMPLE and "anyOf" not in resolve(items, root):
        return "lines"
    return "list" if plain.get("type") == "object" and plain.get("properties") else "json"
