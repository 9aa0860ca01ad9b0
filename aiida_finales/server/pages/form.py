"""A form made of a JSON Schema: what is asked for, what was typed, and what is wrong with it.

A field is named by its place in the document, e.g. ``run_info.formulation[0].fraction``. What was typed is kept as text
until it is read, so that nothing is lost when something is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiida_finales.exceptions import InputError, SchemaError
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.defects import describe
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.structure import format_path, resolve, without_null
from aiida_finales.science.electrolyte.known_density import find_density
from aiida_finales.server.finales.documents import demand_plain

Place = tuple[int | str, ...]

#: levels below which a document is typed as JSON: a schema may contain itself
DEEPEST = 8
#: items of a list that a form shows at most
LONGEST = 200
#: characters of what is wrong with a mixture: it repeats what was typed
LONGEST_WORDS = 600
#: behind the name of a list: how many items of it the form has
COUNT = "#"
#: behind the name of a formulation: the mixture in words, which counts instead of its components
SAID = "~"
SIMPLE = ("string", "number", "integer")


@dataclass(frozen=True)
class Field:
    """One field, a group of fields, or a list of groups.

    :param name: its place in the document.
    :param kind: ``text``, ``number``, ``choice``, ``lines`` (one value per line), ``json``, ``group`` or ``list``.
    :param hint: what it means, with the unit.
    :param accepted: what may be typed, in words.
    :param required: whether it must be filled; within a group that need not be there, only if something there is.
    :param is_mixture: a list of components, which may also be said in words.
    """

    name: str
    label: str
    kind: str
    hint: str
    accepted: str
    required: bool
    options: tuple[str, ...] = ()
    parts: tuple[Field, ...] = ()
    is_mixture: bool = False

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
        is_mixture=kind == "list" and _holds_components(plain, root),
    )


def _holds_components(plain: Json, root: Json) -> bool:
    return without_null(plain["items"], root).get("title") == "FormulationComponent"


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


#: nothing was typed
NOTHING = object()


class Reader:
    """Reads a document, and collects what is wrong with it by the name of the field.

    ``given`` has the mixtures that were said in words, by the name of the field.

    :param typed: texts by name of the field.
    """

    def __init__(self, schema: Json, typed: Mapping[str, str]) -> None:
        self._schema = schema
        self._typed = typed
        self.errors: dict[str, str] = {}
        self.given: dict[str, Any] = {}

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
        if _holds_components(plain, self._schema):
            if self._typed.get(name + SAID, "").strip():
                return self._read_mixture(name)
            if is_required and not self._is_touched(name):
                self.errors[name] = "nothing was given, accepted is a mixture in words, or its components"
                return NOTHING
        places = [(*place, index) for index in range(count_items(name, plain, self._typed))]
        # an item left blank is no item, unless the list would be too short without it
        demanded = max(int(plain.get("minItems", 0)), int(is_required))
        items = [
            self._read(plain["items"], item, index < demanded)
            for index, item in enumerate(places)
            if index < demanded or self._is_touched(format_path(item))
        ]
        return items if items or is_required else NOTHING

    def _read_mixture(self, name: str) -> Any:
        try:
            mixed = read_mixture(self._typed[name + SAID].strip(), find_density)
        except InputError as error:
            words = str(error)
            self.errors[name] = words if len(words) <= LONGEST_WORDS else f"{words[:LONGEST_WORDS]}…"
            return NOTHING
        self.given[name] = mixed.to_dict()
        return make_formulation(mixed.fractions)

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
        return any(
            text.strip() and _is_within(key.removesuffix(SAID), name)
            for key, text in self._typed.items()
            if not key.endswith(COUNT)
        )


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
