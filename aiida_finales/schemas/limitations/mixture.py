"""Limitations of a formulation: a box of fractions per chemical, and what can be mixed from given solutions."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import SUM_TOLERANCE, chemical_label
from aiida_finales.schemas.formulation import fractions
from aiida_finales.schemas.limitations.finding import Finding, Spot
from aiida_finales.schemas.limitations.nodes import Numbers, Range
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.schemas.names import MOLE_FRACTION

#: Overshoot of a mole fraction that is still inside.
FRACTION_TOLERANCE = 1e-6

#: More alternatives than this come from a mistake, not from a laboratory.
MOST_BOXES = 256

_EVERYTHING = (0.0, 1.0)


@dataclass(frozen=True)
class Component:
    """One chemical of a mixture and the fractions it may have."""

    inchikey: str
    smiles: str
    amounts: Numbers


@dataclass(frozen=True)
class Hull:
    """Everything that can be mixed from given solutions.

    :param chemicals: InChIKeys, the order of the columns.
    :param vertices: mole fractions, one row per solution.
    """

    chemicals: tuple[str, ...]
    vertices: tuple[tuple[float, ...], ...]

    @cached_property
    def region(self) -> Region:
        """The compositions that can be mixed."""
        return Region.from_hull(self.chemicals, np.array(self.vertices))

    def restrict(self, region: Region) -> Region:
        """Return the part of a region that can be mixed."""
        return region.intersect(self.region)

    def __str__(self) -> str:
        names = ", ".join(map(chemical_label, self.chemicals))
        return f"what can be mixed from its {len(self.vertices)} solutions of {names}"


@dataclass(frozen=True)
class Plane:
    """A weighted sum of the mole fractions, between ``low`` and ``high``; chemicals without weight count 0."""

    weights: tuple[tuple[str, float], ...]
    low: float
    high: float

    def restrict(self, region: Region) -> Region:
        """Return the part of a region where the weighted sum is in range."""
        weights = dict(self.weights)
        row = np.array([[weights.get(name, 0.0) for name in region.names]])
        sides = [(row, self.high), (-row, -self.low)]
        kept = [(side, bound) for side, bound in sides if math.isfinite(bound)]
        matrix = np.vstack([region.matrix, *(side for side, _ in kept)])
        bound = np.concatenate([region.bound, [bound for _, bound in kept]])
        return Region(region.names, region.lower, region.upper, matrix, bound)

    def __str__(self) -> str:
        counted = [(weight, chemical_label(key)) for key, weight in self.weights if weight]
        if len(counted) == 1 and counted[0][0] > 0:
            [(weight, name)] = counted
            return f"mixtures with {name} {Range(self.low / weight, self.high / weight)}"
        terms = " ".join(f"{weight:+.4g} {name}" for weight, name in counted)
        return f"mixtures with {terms.removeprefix('+')} {Range(self.low, self.high)}"


Constraint = Hull | Plane


@dataclass(frozen=True)
class Mixture:
    """All components together; a chemical that is not named must be absent.

    :param constraints: what restricts the fractions beyond a range for each.
    """

    components: tuple[Component, ...]
    constraints: tuple[Constraint, ...] = ()

    @cached_property
    def by_key(self) -> dict[str, Component]:
        """The components by InChIKey."""
        return {component.inchikey: component for component in self.components}

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The allowed compositions: several where a component has alternatives, none where nothing is possible."""
        names = [component.inchikey for component in self.components]
        boxes = itertools.product(*(component.amounts.ranges for component in self.components))
        regions = []
        for box in boxes:
            limits = {name: (item.low, min(item.high, 1.0)) for name, item in zip(names, box, strict=True)}
            region = Region.from_box(limits)
            for constraint in self.constraints:
                region = constraint.restrict(region)
            if not region.is_empty():
                regions.append(region)
        return tuple(regions)

    def findings(self, value: Any, spot: Spot) -> list[Finding]:
        """Return why a formulation is not allowed, chemical by chemical."""
        try:
            shares = fractions(value)
        except InputError:
            return [Finding(spot.name, value, spot.phrase("a formulation"))]
        found = self._findings_of(shares, value, spot)
        total = math.fsum(shares.values())
        if found and 0 < abs(total - 1) <= SUM_TOLERANCE:
            # rounded fractions may sum to 0.9999: outside is only what is outside in both readings
            scaled = {key: share / total for key, share in shares.items()}
            return found if self._findings_of(scaled, value, spot) else []
        return found

    def _findings_of(self, shares: dict[str, float], value: list[Any], spot: Spot) -> list[Finding]:
        index = {component["chemical"]["InChIKey"]: position for position, component in enumerate(value)}
        found = self._foreign(shares, index, spot)
        for component in self.components:
            share = shares.get(component.inchikey, 0.0)
            _, distance = component.amounts.closest(share)
            if distance > FRACTION_TOLERANCE:
                position = index.get(component.inchikey)
                path = spot.name if position is None else f"{spot.name}[{position}].fraction"
                subject = f"fraction of {chemical_label(component.inchikey)} in {spot.name}"
                found.append(Finding(path, share, str(component.amounts), subject=subject, size=min(1.0, distance)))
        return found or self._broken_constraints(shares, spot)

    def _foreign(self, shares: dict[str, float], index: dict[str, int], spot: Spot) -> list[Finding]:
        known = ", ".join(chemical_label(component.inchikey) for component in self.components)
        return [
            Finding(
                f"{spot.name}[{index[key]}].fraction",
                share,
                f"no {chemical_label(key)}, only {known}",
                subject=f"fraction of {chemical_label(key)} in {spot.name}",
                size=min(1.0, share),
            )
            for key, share in shares.items()
            if key not in self.by_key and share > FRACTION_TOLERANCE
        ]

    def _broken_constraints(self, shares: dict[str, float], spot: Spot) -> list[Finding]:
        names = tuple(self.by_key)
        whole = Region.from_box(dict.fromkeys(names, _EVERYTHING))
        point = np.array([shares.get(name, 0.0) for name in names])
        words = ", ".join(f"{chemical_label(key)} {share:.4g}" for key, share in shares.items() if share)
        found = []
        for constraint in self.constraints:
            restricted = constraint.restrict(whole)
            excess = _excess(restricted, point)
            if excess > FRACTION_TOLERANCE:
                allowed = f"{constraint}{_tell_way_back(restricted, point)}"
                found.append(Finding(spot.name, words, allowed, size=min(1.0, excess)))
        return found

    def nearest(self, value: Any) -> tuple[Any, float] | None:
        """Return the nearest allowed formulation; chemicals that are not allowed are dropped, the rest is scaled up."""
        try:
            shares = fractions(value)
        except InputError:
            return None
        if not self.findings(value, Spot((), {})):
            return value, 0.0
        kept = {key: share for key, share in shares.items() if key in self.by_key}
        total = math.fsum(kept.values())
        target = {key: share / total for key, share in kept.items()} if total > 0 else {}
        found = [answer for region in self.regions if (answer := _project(region, target)) is not None]
        if not found:
            return None
        best = min(found, key=lambda answer: math.dist(*_aligned(answer, shares)))
        return self._write(best, value), min(1.0, math.dist(*_aligned(best, shares)))

    def _write(self, shares: dict[str, float], value: list[Any]) -> list[dict[str, Any]]:
        given = [part["chemical"]["InChIKey"] for part in value]
        answer = [
            {**part, "fraction": shares.get(key, 0.0)}
            for key, part in zip(given, value, strict=True)
            if key in self.by_key
        ]
        for key, share in shares.items():
            if key not in given and share > FRACTION_TOLERANCE:
                chemical = {"SMILES": self.by_key[key].smiles, "InChIKey": key}
                answer.append({"chemical": chemical, "fraction": share, "fraction_type": MOLE_FRACTION})
        return answer


def _excess(region: Region, point: npt.NDArray[np.float64]) -> float:
    """Return the worst violation apart from the sum, which rounded fractions may miss."""
    # a constraint may name chemicals that the box does not: they are absent
    padded = np.concatenate([point, np.zeros(len(region.names) - len(point))])
    parts = (region.lower - padded, padded - region.upper, region.matrix @ padded - region.bound)
    return max(0.0, float(np.concatenate(parts).max()))


def _tell_way_back(region: Region, point: npt.NDArray[np.float64]) -> str:
    """Return of what a mixture has too much and of what too little for the constraint that it misses most."""
    padded = np.concatenate([point, np.zeros(len(region.names) - len(point))])
    if not len(region.bound):
        return ""
    worst = int(np.argmax(region.matrix @ padded - region.bound))
    # fractions sum to 1, so that the bound is a part of each weight
    weights = dict(zip(region.names, region.matrix[worst] - region.bound[worst], strict=True))
    shares = dict(zip(region.names, padded, strict=True))
    less = [chemical_label(key) for key, weight in weights.items() if weight > FRACTION_TOLERANCE and shares[key]]
    more = [chemical_label(key) for key, weight in weights.items() if weight < -FRACTION_TOLERANCE]
    ways = [f"{word} {' and '.join(names)}" for word, names in (("less", less), ("more", more)) if names]
    return f": {' or '.join(ways)}" if ways else ""


def _project(region: Region, target: dict[str, float]) -> dict[str, float] | None:
    point = region.nearest(np.array([target.get(name, 0.0) for name in region.names]))
    if point is None:
        return None
    return dict(zip(region.names, map(float, point), strict=True))


def _aligned(first: dict[str, float], second: dict[str, float]) -> tuple[list[float], list[float]]:
    keys = list(dict.fromkeys([*first, *second]))
    return [first.get(key, 0.0) for key in keys], [second.get(key, 0.0) for key in keys]


def whole_range() -> Numbers:
    """Return every mole fraction."""
    return Numbers((Range(*_EVERYTHING),))
