"""What a tenant can do, and whether a request is inside of it.

Limitations come in the published form; beside them stand our linear constraints on a formulation, because what a robot
can mix from its stock solutions is no box::

    {"path": "formulation", "hull": {"chemicals": [InChIKey, ...], "vertices": [[mole fraction, ...], ...]}}
    {"path": "formulation", "coefficients": {InChIKey: weight, ...}, "min": low, "max": high}

Either may say ``"alternatives": [0, 2]``: it holds in these of the alternatives alone, as they are listed.
``formulation`` is wherever the formulation stands in the parameters of the capability.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from aiida_finales.exceptions import InputError, SchemaError
from aiida_finales.schemas.cells.naming import spell_materials
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.defects import Defect, shorten
from aiida_finales.schemas.formulation import DEFAULT_PATH, formulation_path
from aiida_finales.schemas.limitations.finding import Finding, Spot
from aiida_finales.schemas.limitations.mixture import (
    FRACTION_TOLERANCE,
    Component,
    Constraint,
    Hull,
    Mixture,
    Plane,
    whole_range,
)
from aiida_finales.schemas.limitations.nodes import Choice, Group, Node, Numbers, Words
from aiida_finales.schemas.limitations.parser import LimitationParser, find_place
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.plausibility import Finding as Implausible
from aiida_finales.schemas.plausibility import judge_range
from aiida_finales.schemas.registry import SCHEMAS
from aiida_finales.schemas.structure import Path, Place, find_places, format_path, is_number
from aiida_finales.schemas.units import SYMBOLS

__all__ = ["Finding", "Offer", "allowed_values", "check", "formulation_regions", "nearest", "read_offers"]

UNLIMITED = (-math.inf, math.inf)


@dataclass(frozen=True)
class Offer:
    """What a tenant offers for one capability.

    :param limitations: in the published form.
    :param constraints: linear constraints on formulations, each holds in every alternative that it does not leave out.
    :raises SchemaError: naming the path of everything that makes no sense.
    """

    quantity: str
    method: str
    limitations: dict[str, Any] | list[Any]
    constraints: tuple[dict[str, Any], ...] = ()
    _alternatives: tuple[Group, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_alternatives", _compile(self))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Offer:
        """Return the offer that a JSON object describes; keys other than the four fields are ignored.

        :raises SchemaError: naming the path of everything that makes no sense.
        """
        if not isinstance(document, Mapping):
            raise SchemaError("offer", [_defect("$", type(document).__name__, "an object")])
        wrong = [
            _defect(key, document.get(key), "a name; it is required")
            for key in ("quantity", "method")
            if not isinstance(document.get(key), str) or not document.get(key)
        ]
        constraints = document.get("constraints") or ()
        if not isinstance(constraints, (list, tuple)):
            wrong.append(_defect("constraints", type(constraints).__name__, "a list of objects"))
        if wrong:
            raise SchemaError("offer", wrong)
        limitations = document.get("limitations")
        limits = {} if limitations is None else copy.deepcopy(limitations)
        return cls(document["quantity"], document["method"], limits, tuple(copy.deepcopy(list(constraints))))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that :meth:`from_dict` reads."""
        answer = {"quantity": self.quantity, "method": self.method, "limitations": copy.deepcopy(self.limitations)}
        return {**answer, "constraints": copy.deepcopy(list(self.constraints))} if self.constraints else answer

    @property
    def alternatives(self) -> tuple[Group, ...]:
        """The limitations, read."""
        return self._alternatives

    def split(self) -> tuple[Offer, ...]:
        """Return one offer for each alternative: within one, whatever is allowed goes with all else that is."""
        parts = tuple(copy.copy(self) for _ in self._alternatives)
        for part, group in zip(parts, self._alternatives, strict=True):
            object.__setattr__(part, "_alternatives", (group,))
        return parts

    @property
    def places(self) -> Mapping[Path, Place]:
        """The fields of the parameters; empty for a capability that is not known here."""
        schema = SCHEMAS.get(canonical_capability(self.quantity, self.method))
        return find_places(schema.parameters) if schema else {}

    @property
    def aliases(self) -> Mapping[str, str]:
        """Accepted spelling of a key of the parameters: the published one."""
        schema = SCHEMAS.get(canonical_capability(self.quantity, self.method))
        return schema.key_aliases if schema else {}


def _defect(path: str, given: Any, accepted: str) -> dict[str, Any]:
    return {"path": path, "given": given, "accepted": accepted}


def _compile(offer: Offer) -> tuple[Group, ...]:
    parser = LimitationParser(offer.places, offer.aliases)
    groups = parser.parse(offer.limitations)
    defects = list(parser.defects)
    for index, raw in enumerate(offer.constraints):
        where = f"constraints[{index}]"
        parsed = parse_constraint(raw, where, defects)
        if parsed is not None:
            keys, constraint = parsed
            path, bound = _place(offer, keys), bound_alternatives(raw, len(groups), where, defects)
            groups = tuple(
                restrict(group, path, constraint, where, defects) if place in bound else group
                for place, group in enumerate(groups)
            )
    if defects:
        subject = f"limitations of {offer.quantity}/{offer.method}"
        raise SchemaError(subject, defects)
    return groups


def _place(offer: Offer, keys: Path) -> Path:
    """Return the field that a path means; ``formulation`` is the declared place of the formulation."""
    return find_place(offer.places, formulation_path(offer.quantity) if keys == DEFAULT_PATH else keys)


def find_idle_limits(offer: Offer) -> list[str]:
    """Return what limitations name that is no parameter of the capability, so that it limits nothing.

    Empty for a capability that is not known here.
    """
    known = offer.places
    named = dict.fromkeys(path for group in offer.alternatives for path, _ in group.limits)
    idle = (path for path in named if known and find_place(known, path) not in known and path[-1] != "name")
    return [format_path(path) for path in idle if not any(place[: len(path)] == path for place in known)]


def read_offers(document: Any) -> tuple[Offer, ...]:
    """Return the offers in a JSON document: one offer, a list of offers, or a tenant with its ``limitations``.

    :raises SchemaError: naming the path of everything that makes no sense.
    """
    if isinstance(document, list):
        return tuple(offer for item in document for offer in read_offers(item))
    if isinstance(document, Mapping) and "quantity" not in document and "limitations" in document:
        return read_offers(document["limitations"])
    return (Offer.from_dict(document),)


def check(offer: Offer, parameters: dict[str, Any]) -> list[Finding]:
    """Return why a request is outside of what a tenant can do; empty when it is feasible.

    With alternatives, the findings are those of the nearest one. What the limitations do not mention is unlimited; what
    the request does not mention is the tenant's to choose.
    """
    return Choice(offer.alternatives).findings(spell_materials(parameters), Spot((), offer.places))


def nearest(offer: Offer, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Return the nearest feasible parameters, or ``None`` where nothing is feasible.

    Numbers move to the nearest allowed value, a formulation to the nearest allowed composition; a chemical that is not
    allowed is dropped and the rest scaled up before.
    """
    spelt = spell_materials(parameters)
    answer = Choice(offer.alternatives).nearest(spelt)
    if answer is None or check(offer, answer[0]):
        return None
    # what stays is called as it was
    return {key: parameters[key] if value == spelt[key] else value for key, value in answer[0].items()}


def _nodes_at(offer: Offer, path: str) -> Iterator[Node | None]:
    place = _place(offer, tuple(path.split(".")))
    for group in offer.alternatives:
        node = dict(group.limits).get(place)
        yield from node.alternatives if isinstance(node, Choice) else (node,)


def formulation_regions(offer: Offer, path: str = "formulation") -> tuple[Region, ...]:
    """Return the allowed compositions, one region per alternative of the formulation; components are InChIKeys.

    Empty where the formulation is not limited, or nothing is possible.

    :param path: of the formulation; the last keys are enough. The default is where the quantity has it.
    """
    found = [region for node in _nodes_at(offer, path) if isinstance(node, Mixture) for region in node.regions]
    # alternatives may differ elsewhere, as in electrodes
    return tuple(dict.fromkeys(reversed(found)))[::-1]


def allowed_values(offer: Offer, path: str) -> list[tuple[float, float]]:
    """Return the allowed ranges (lowest, highest) of a number, ascending; a single value is a range of its own.

    Steps are not shown. A number that any alternative leaves free has the one range from minus to plus infinity.

    :param path: of the number, e.g. ``temperature``.
    :raises InputError: when what is limited there is no number.
    """
    ranges: set[tuple[float, float]] = set()
    for node in _nodes_at(offer, path):
        if node is None:
            return [UNLIMITED]
        if not isinstance(node, Numbers):
            message = f"{path} of {offer.quantity}/{offer.method} is limited by {type(node).__name__}, not by numbers"
            raise InputError(message)
        ranges.update((item.low, item.high) for item in node.ranges)
    return sorted(ranges)


def allowed_options(offer: Offer) -> dict[Path, tuple[str | float, ...]]:
    """Return of what one may choose, by the path of the field: texts and single numbers, in the order they are offered.

    Fields that any alternative leaves free, or limits to ranges, are left out.
    """
    return _options_in(Choice(offer.alternatives))


def _options_in(node: Node) -> dict[Path, tuple[str | float, ...]]:
    if isinstance(node, Words) and all(isinstance(item, str) for item in node.values):
        return {(): node.values}
    if isinstance(node, Numbers) and all(item.low == item.high for item in node.ranges):
        return {(): tuple(item.low for item in node.ranges)}
    if isinstance(node, Group):
        return {(*path, *rest): found for path, item in node.limits for rest, found in _options_in(item).items()}
    if not isinstance(node, Choice):
        return {}
    each = [_options_in(item) for item in node.alternatives]
    shared = [path for path in each[0] if all(path in item for item in each)]
    return {path: tuple(dict.fromkeys(value for item in each for value in item[path])) for path in shared}


def parse_constraint(raw: Any, where: str, defects: list[Defect]) -> tuple[Path, Constraint] | None:
    """Return the keys of the formulation and the constraint on it; after a defect ``None``.

    :param where: the path of the constraint in the offer, for the defects.
    :param defects: what is wrong is added here.
    """
    if (
        not isinstance(raw, Mapping)
        or not isinstance(raw.get("path"), str)
        or ("hull" in raw) == ("coefficients" in raw)
    ):
        accepted = "an object with path and either hull or coefficients"
        defects.append({"path": where, "given": shorten(raw), "accepted": accepted})
        return None
    constraint = _hull(raw["hull"], f"{where}.hull", defects) if "hull" in raw else _plane(raw, where, defects)
    return (tuple(raw["path"].split(".")), constraint) if constraint else None


def bound_alternatives(raw: Mapping[str, Any], number: int, where: str, defects: list[Defect]) -> list[int]:
    """Return the places of the alternatives in which a constraint holds: those that it names, or else all.

    :param number: of alternatives.
    """
    places = raw.get("alternatives")
    if places is None:
        return list(range(number))
    if (
        not isinstance(places, list)
        or not places
        or not all(type(item) is int and 0 <= item < number for item in places)
    ):
        accepted = f"a list of places of alternatives, 0 to {number - 1}"
        defects.append({"path": f"{where}.alternatives", "given": shorten(places), "accepted": accepted})
        return []
    return places


def _hull(raw: Any, where: str, defects: list[Defect]) -> Hull | None:
    parts = raw if isinstance(raw, Mapping) else {}
    chemicals, vertices = parts.get("chemicals"), parts.get("vertices")
    if not _is_names(chemicals):
        defects.append({"path": f"{where}.chemicals", "given": shorten(chemicals), "accepted": "a list of InChIKeys"})
        return None
    width = len(chemicals)
    if not isinstance(vertices, list) or not vertices or not all(_is_row(row, width) for row in vertices):
        accepted = f"one row of {width} mole fractions per solution, each row with sum 1"
        defects.append({"path": f"{where}.vertices", "given": shorten(vertices), "accepted": accepted})
        return None
    hull = Hull(tuple(chemicals), tuple(tuple(float(value) for value in row) for row in vertices))
    try:
        hull.region  # noqa: B018 - computed once, here, so that a bad hull is refused when it is registered
    except InputError as error:
        defects.append({"path": f"{where}.vertices", "given": shorten(vertices), "accepted": str(error)})
        return None
    return hull


def _is_names(raw: Any) -> TypeGuard[list[str]]:
    is_list = isinstance(raw, list) and bool(raw) and all(isinstance(name, str) and name for name in raw)
    return is_list and len(set(raw)) == len(raw)


def _is_row(row: Any, width: int) -> bool:
    return (
        isinstance(row, list)
        and len(row) == width
        and all(is_number(value) and value >= 0 for value in row)
        and abs(math.fsum(row) - 1) <= FRACTION_TOLERANCE
    )


def _plane(raw: Mapping[str, Any], where: str, defects: list[Defect]) -> Plane | None:
    weights = raw["coefficients"]
    if not isinstance(weights, Mapping) or not weights or not all(is_number(value) for value in weights.values()):
        accepted = "a finite number per InChIKey"
        defects.append({"path": f"{where}.coefficients", "given": shorten(weights), "accepted": accepted})
        return None
    low, high = raw.get("min", -math.inf), raw.get("max", math.inf)
    bounds = [raw[key] for key in ("min", "max") if key in raw]
    if not bounds or not all(is_number(bound) for bound in bounds) or low > high:
        given = ", ".join(f"{key} {raw.get(key)}" for key in ("min", "max"))
        defects.append({"path": where, "given": given, "accepted": "min or max or both, min not above max"})
        return None
    return Plane(tuple((key, float(value)) for key, value in weights.items()), float(low), float(high))


def find_implausible_limits(offer: Offer) -> list[Implausible]:
    """Return the limits of numbers of which all is outside of what is to be expected, and inside in another unit."""
    units = {symbol: unit for unit, symbol in SYMBOLS.items()}
    found = []
    for group in offer.alternatives:
        for path, node in group.limits:
            place = offer.places.get(path)
            if place is None or not isinstance(node, Numbers):
                continue
            unit = units.get(place.unit, place.unit)
            ends = [(item.low, item.high) for item in node.ranges]
            found += [hit for low, high in ends if (hit := judge_range(("limitations", *path), unit, low, high))]
    return found


def restrict(group: Group, path: Path, constraint: Constraint, where: str, defects: list[Defect]) -> Group:
    """Return a group with one more constraint on its formulation.

    :param path: the formulation; it may be unlimited so far when the constraint is a hull, which names all chemicals.
    :param where: the path of the constraint in the offer, for the defects.
    :param defects: what is wrong is added here.
    """
    limits = dict(group.limits)
    node = limits.get(path)
    if node is None and isinstance(constraint, Hull):
        node = _whole_mixture(constraint)
    restricted = _restrict_node(node, constraint)
    if restricted is None:
        accepted = "the path of a formulation whose chemicals the limitations (or a hull before) name"
        defects.append({"path": f"{where}.path", "given": ".".join(path), "accepted": accepted})
        return group
    return Group(tuple({**limits, path: restricted}.items()))


def _whole_mixture(hull: Hull) -> Mixture:
    known = {key: find_chemical(key) for key in hull.chemicals}
    return Mixture(
        tuple(Component(key, chemical.smiles if chemical else "", whole_range()) for key, chemical in known.items())
    )


def _restrict_node(node: Node | None, constraint: Constraint) -> Node | None:
    if isinstance(node, Mixture):
        return Mixture(node.components, (*node.constraints, constraint))
    if isinstance(node, Choice):
        parts = [_restrict_node(part, constraint) for part in node.alternatives]
        kept = [part for part in parts if part is not None]
        return Choice(tuple(kept)) if len(kept) == len(parts) else None
    return None
