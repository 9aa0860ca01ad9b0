"""Reading the linear constraints on a formulation that stand beside the published limitations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.defects import Defect, shorten
from aiida_finales.schemas.limitations.mixture import (
    FRACTION_TOLERANCE,
    Component,
    Constraint,
    Hull,
    Mixture,
    Plane,
    whole_range,
)
from aiida_finales.schemas.limitations.nodes import Choice, Group, Node
from aiida_finales.schemas.structure import Path, is_number


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
