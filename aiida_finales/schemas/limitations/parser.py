"""Reading limitations in the published form, and the older forms that are still about.

A list means alternatives; the components of one mixture stand together in an inner list; ``{}``, ``[]`` and ``[{}]``
mean no limitation. What cannot mean anything is refused with its path, all of it at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from aiida_finales.schemas.cells.naming import KINDS
from aiida_finales.schemas.chemicals import find_chemical, find_contradiction
from aiida_finales.schemas.defects import Defect, shorten
from aiida_finales.schemas.limitations.mixture import MOST_BOXES, Component, Mixture, whole_range
from aiida_finales.schemas.limitations.nodes import Choice, Group, Node, Numbers, Range, Words
from aiida_finales.schemas.names import MOLE_FRACTION, canonical_fraction_type
from aiida_finales.schemas.structure import Path, Place, is_number

_BOUND_KEYS = {"min": "min", "max": "max", "minimum": "min", "maximum": "max", "step": "step"}

# which kinds of node can limit which kind of field
_FITTING: dict[str, tuple[type[Any], ...]] = {
    "number": (Numbers,),
    "numbers": (Numbers,),
    "text": (Words,),
    "boolean": (Words,),
    "formulation": (Mixture,),
    "object": (Group,),
}
_FITTING_WORDS = {
    "number": "numbers or {min, max, step}",
    "numbers": "numbers or {min, max, step}",
    "text": "a text or a list of texts",
    "boolean": "true, false or a list of them",
    "formulation": "a list of components {chemical, fraction, fraction_type}, or a list of such lists",
    "object": "an object or a list of objects",
}


class LimitationParser:
    """Reads one limitations document; defects are collected in ``defects``.

    :param places: the fields of the parameters of the capability; empty for an unknown one.
    :param aliases: accepted spelling of a key: the published one.
    """

    def __init__(self, places: Mapping[Path, Place], aliases: Mapping[str, str]) -> None:
        self.places = places
        self.aliases = aliases
        self.defects: list[Defect] = []

    def parse(self, document: Any) -> tuple[Group, ...]:
        """Return the alternatives of a document; a group without limits when there is no limitation."""
        groups = []
        for item, path in flatten_alternatives(document, "limitations"):
            if isinstance(item, Mapping):
                groups.append(self._group(item, path, is_top=True))
            else:
                self._refuse(path, item, "an object with the limited fields, or a list of such objects")
        return tuple(groups) or (Group(()),)

    def _refuse(self, path: str, given: Any, accepted: str) -> None:
        self.defects.append({"path": path, "given": shorten(given), "accepted": accepted})

    def _group(self, document: Mapping[str, Any], path: str, *, is_top: bool = False) -> Group:
        limits: list[tuple[Path, Node]] = []
        for keys, raw in _leaves(document):
            place = _place_of(self.places, self.aliases, keys) if is_top else keys
            where = ".".join((path, *keys))
            node = self.value(raw, where)
            if node is None:
                continue
            kind = self.places[place].kind if is_top and place in self.places else "other"
            if _fits(node, kind):
                limits.append((place, node))
            else:
                self._refuse(where, raw, _FITTING_WORDS[kind])
        return Group(tuple(limits))

    def value(self, raw: Any, path: str) -> Node | None:
        """Return the limitation of one field, or ``None`` where there is none."""
        if isinstance(raw, Mapping) and set(raw) == {"anyOf"}:
            return self.value(raw["anyOf"], f"{path}.anyOf")
        if not isinstance(raw, list):
            return self._single(raw, path)
        if any(isinstance(item, Mapping) and "chemical" in item for item in raw):
            return self._mixture(raw, path)
        nodes = [self.value(item, f"{path}[{index}]") for index, item in enumerate(raw) if item is not None]
        given = [node for node in nodes if node is not None]
        # one alternative without limitation makes the others meaningless
        return _unite(given) if len(given) == len(nodes) and given else None

    def _single(self, raw: Any, path: str) -> Node | None:
        if isinstance(raw, Mapping):
            if not raw:
                return None
            return Numbers((self._range(raw, path),)) if set(raw) & set(_BOUND_KEYS) else self._group(raw, path)
        if is_number(raw):
            return Numbers((Range(float(raw), float(raw)),))
        if isinstance(raw, (str, bool)):
            return Words((raw,))
        if raw is not None:
            self._refuse(path, raw, "a finite number, a text, a truth value, an object or a list of these")
        return None

    def _range(self, raw: Mapping[str, Any], path: str) -> Range:
        wrong = [key for key in raw if key not in _BOUND_KEYS or not is_number(raw[key])]
        bounds = {_BOUND_KEYS[key]: float(value) for key, value in raw.items() if key not in wrong}
        for key in wrong:
            self._refuse(f"{path}.{key}", raw[key], "a finite number for min, max or step")
        low, high, step = bounds.get("min", -math.inf), bounds.get("max", math.inf), bounds.get("step")
        if low > high:
            self._refuse(path, f"min {low:g}, max {high:g}", "min not above max")
        if step is not None and step <= 0:
            self._refuse(f"{path}.step", step, "a number above 0")
        return Range(low, high, step)

    def _mixture(self, raw: list[Any], path: str) -> Node | None:
        choices = [self._component(item, f"{path}[{index}]") for index, item in enumerate(raw)]
        if any(not choice for choice in choices):
            return None
        if math.prod(len(choice) * len(choice[0].amounts.ranges) for choice in choices) > MOST_BOXES:
            self._refuse(path, raw, f"at most {MOST_BOXES} combinations of alternatives")
            return None
        mixtures = [Mixture(tuple(components)) for components in itertools.product(*choices)]
        if any(len(mixture.by_key) < len(mixture.components) for mixture in mixtures):
            self._refuse(path, raw, "each chemical once; alternatives of a mixture are lists of their own")
            return None
        return _unite(list(mixtures))

    def _component(self, raw: Any, path: str) -> list[Component]:
        """Return the alternatives of one component; none after a defect."""
        if not isinstance(raw, Mapping) or "chemical" not in raw:
            self._refuse(path, raw, "a component with chemical, fraction and fraction_type")
            return []
        kinds = _as_list(raw.get("fraction_type", MOLE_FRACTION))
        if not any(isinstance(kind, str) and canonical_fraction_type(kind) for kind in kinds):
            self._refuse(f"{path}.fraction_type", raw["fraction_type"], f"'{MOLE_FRACTION}': convert to mole fractions")
            return []
        amounts = self._amounts(raw.get("fraction"), f"{path}.fraction")
        chemicals = [pair for item in _as_list(raw["chemical"]) for pair in self._chemicals(item, f"{path}.chemical")]
        return [Component(key, smiles, amounts) for key, smiles in chemicals] if amounts else []

    def _chemicals(self, raw: Any, path: str) -> list[tuple[str, str]]:
        keys = _as_list(raw.get("InChIKey")) if isinstance(raw, Mapping) else []
        if not keys or not all(isinstance(key, str) and key for key in keys):
            self._refuse(f"{path}.InChIKey", keys[0] if keys else None, "the InChIKey of the chemical; it is required")
            return []
        smiles = _as_list(raw.get("SMILES", ""))
        paired = [str(word) for word in smiles] if len(smiles) == len(keys) else [""] * len(keys)
        for word, key in zip(paired, keys, strict=True):
            contradiction = find_contradiction(word, key) if word else None
            if contradiction is not None:
                self._refuse(path, f"{word} with {key}", f"one chemical: {contradiction}")
        known = [find_chemical(key) for key in keys]
        return [
            (key, word or (chemical.smiles if chemical else ""))
            for key, word, chemical in zip(keys, paired, known, strict=True)
        ]

    def _amounts(self, raw: Any, path: str) -> Numbers | None:
        node = whole_range() if raw is None else (self.value(raw, path) or whole_range())
        if not isinstance(node, Numbers):
            self._refuse(path, raw, "a mole fraction, {min, max} or a list of these")
            return None
        # a step of a fraction is the resolution of a pump, not a limitation: the sum could not be kept otherwise
        ranges = tuple(Range(max(item.low, 0.0), min(item.high, 1.0)) for item in node.ranges)
        if any(item.low > item.high for item in ranges):
            self._refuse(path, raw, "mole fractions from 0 to 1")
            return None
        return Numbers(ranges)


def _as_list(raw: Any) -> list[Any]:
    return list(raw) if isinstance(raw, list) else [raw]


def flatten_alternatives(document: Any, path: str) -> Iterator[tuple[Any, str]]:
    """Yield the alternatives of limitations, each with its path."""
    if isinstance(document, list):
        for index, item in enumerate(document):
            yield from flatten_alternatives(item, f"{path}[{index}]")
    elif isinstance(document, Mapping) and set(document) == {"anyOf"}:
        yield from flatten_alternatives(document["anyOf"], f"{path}.anyOf")
    else:
        yield document, path


def _leaves(document: Mapping[str, Any], keys: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, raw in document.items():
        is_object = isinstance(raw, Mapping) and not set(raw) & {*_BOUND_KEYS, "anyOf"}
        if is_object:
            yield from _leaves(raw, (*keys, key))
        else:
            yield (*keys, key), raw


def _unite(nodes: list[Node]) -> Node:
    """Return one node for alternatives; numbers and words keep together so that messages name all of them."""
    numbers = [item for node in nodes if isinstance(node, Numbers) for item in node.ranges]
    words = [item for node in nodes if isinstance(node, Words) for item in node.values]
    parts: list[Node] = [
        part for node in nodes for part in (node.alternatives if isinstance(node, Choice) else (node,))
    ]
    rest = [part for part in parts if not isinstance(part, (Numbers, Words))]
    united: list[Node] = [Numbers(tuple(numbers))] if numbers else []
    united += [Words(tuple(words))] if words else []
    united += rest
    return united[0] if len(united) == 1 else Choice(tuple(united))


def _fits(node: Node, kind: str) -> bool:
    if isinstance(node, Choice):
        return all(_fits(part, kind) for part in node.alternatives)
    return kind not in _FITTING or isinstance(node, _FITTING[kind])


def find_place(places: Mapping[Path, Place], keys: Path) -> Path:
    """Return the field that a path of keys means.

    Tenants in use write a field without what is around it, or around it something else
    (``formulation`` for ``electrolyte.formulation``): the field with the most last keys in common is meant.

    :param keys: returned unchanged when no field has even the last key.
    """
    if keys in places or (keys[-1] == "name" and keys[-2:-1] and keys[-2] in KINDS):
        return keys  # the name of a part of a cell stands beside what the published form has
    wanted = [_simple(key) for key in keys]
    scores = {path: _common_suffix([_simple(key) for key in path], wanted) for path in places}
    best = max(scores.values(), default=0)
    if best == 0:
        return keys
    return min((path for path, score in scores.items() if score == best), key=len)


def find_leaf(
    document: Mapping[str, Any], places: Mapping[Path, Place], aliases: Mapping[str, str], place: Path
) -> Path | None:
    """Return the keys under which a document limits a field, which may be short of those of the field, or ``None``."""
    return next((keys for keys, _ in _leaves(document) if _place_of(places, aliases, keys) == place), None)


def _place_of(places: Mapping[Path, Place], aliases: Mapping[str, str], keys: Path) -> Path:
    return find_place(places, (*keys[:-1], aliases.get(keys[-1], keys[-1])))


def _simple(key: str) -> str:
    return str(key).replace("_", "").lower()


def _common_suffix(first: list[str], second: list[str]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count
