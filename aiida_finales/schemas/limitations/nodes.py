"""What a limitation can be: numbers, words, groups of fields, and alternatives of these.

Every node answers two questions about a value: what is wrong with it, and what is the nearest acceptable one.
Mixtures, the fifth kind, are in :mod:`~aiida_finales.schemas.limitations.mixture`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from aiida_finales.schemas.limitations.finding import Finding, Spot, join_phrases
from aiida_finales.schemas.structure import Path, get_at, is_number, set_at

#: Relative overshoot that is still inside: numbers that went through text or unit conversion.
NUMBER_TOLERANCE = 1e-9


class Node(Protocol):
    """One limitation."""

    def findings(self, value: Any, spot: Spot) -> list[Finding]:
        """Return why a value is not allowed; empty when it is."""

    def nearest(self, value: Any) -> tuple[Any, float] | None:
        """Return the nearest allowed value and its distance (comparable with :attr:`Finding.size`), if any."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``, both included, in steps counted from ``low`` where there is a step."""

    low: float
    high: float
    step: float | None = None

    def nearest(self, value: float) -> float:
        """Return the number of this range closest to a value."""
        inside = min(max(value, self.low), self.high)
        if self.step is None or math.isinf(self.low):
            return inside
        n_steps = round((inside - self.low) / self.step)
        # the last whole step below the end; the tiny share keeps 0.3 a multiple of 0.1
        last = math.inf if math.isinf(self.high) else math.floor((self.high - self.low) / self.step + NUMBER_TOLERANCE)
        return float(self.low + min(n_steps, last) * self.step)

    def tolerance(self, value: float) -> float:
        """Return how far a value may miss this range and still count as inside."""
        return NUMBER_TOLERANCE * max(abs(end) for end in (value, self.low, self.high) if math.isfinite(end))

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.low:.8g}"
        if math.isinf(self.low) or math.isinf(self.high):
            return f"at most {self.high:.8g}" if math.isinf(self.low) else f"at least {self.low:.8g}"
        words = f"{self.low:.8g} to {self.high:.8g}"
        return words if self.step is None else f"{words} in steps of {self.step:.8g}"


@dataclass(frozen=True)
class Numbers:
    """A union of ranges; every element of a list of numbers must be in it."""

    ranges: tuple[Range, ...]

    def __str__(self) -> str:
        return join_phrases([str(item) for item in self.ranges])

    def closest(self, value: float) -> tuple[float, float]:
        """Return the closest allowed number and the distance to it, 0 within the tolerance."""
        choices = [(item.nearest(value), item.tolerance(value)) for item in self.ranges]
        best, tolerance = min(choices, key=lambda choice: abs(choice[0] - value))
        distance = abs(best - value)
        return best, distance if distance > tolerance else 0.0

    def findings(self, value: Any, spot: Spot) -> list[Finding]:
        """Return why a number, or a list of them, is not allowed."""
        if isinstance(value, list):
            return [found for item in value for found in self.findings(item, spot)][:1]
        if not is_number(value):
            return [Finding(spot.name, value, spot.phrase(str(self)), size=1.0)]
        best, distance = self.closest(value)
        if distance == 0.0:
            return []
        return [
            Finding(spot.name, value, spot.phrase(str(self)), unit=spot.unit, size=_relative(distance, value, best))
        ]

    def nearest(self, value: Any) -> tuple[Any, float] | None:
        """Return the nearest allowed number, or list of numbers."""
        if isinstance(value, list):
            answers = [self.nearest(item) for item in value]
            found = [answer for answer in answers if answer is not None]
            return [item for item, _ in found], max((distance for _, distance in found), default=0.0)
        if not is_number(value):
            return self.ranges[0].nearest(0.0), 1.0
        best, distance = self.closest(value)
        if distance == 0.0:
            return value, 0.0
        size = _relative(distance, value, best)
        return int(best) if isinstance(value, int) and best.is_integer() else best, size


def _relative(distance: float, value: float, best: float) -> float:
    return min(1.0, distance / max(abs(value), abs(best)))


@dataclass(frozen=True)
class Words:
    """A list of accepted texts (or truth values); every element of a list must be in it."""

    values: tuple[Any, ...]

    def _accepts(self, value: Any) -> bool:
        # True == 1 in Python, but not in JSON
        return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in self.values)

    def findings(self, value: Any, spot: Spot) -> list[Finding]:
        """Return why a text, or a list of them, is not allowed."""
        wrong = [item for item in (value if isinstance(value, list) else [value]) if not self._accepts(item)]
        if not wrong:
            return []
        return [Finding(spot.name, wrong[0], spot.phrase(join_phrases([str(item) for item in self.values])))]

    def nearest(self, value: Any) -> tuple[Any, float] | None:
        """Return the value, or the most similar accepted one."""
        if isinstance(value, list):
            pairs = [self._closest(item) for item in value]
            return [item for item, _ in pairs], max((size for _, size in pairs), default=0.0)
        return self._closest(value)

    def _closest(self, value: Any) -> tuple[Any, float]:
        if self._accepts(value):
            return value, 0.0
        close = get_close_matches(str(value), [str(item) for item in self.values], n=1, cutoff=0.0)
        return next(item for item in self.values if str(item) == close[0]) if close else self.values[0], 1.0


@dataclass(frozen=True)
class Group:
    """Limitations of several fields of one object; a field that is absent is the tenant's to choose.

    They hold for every element of a list, such as the steps of a protocol.
    """

    limits: tuple[tuple[Path, Node], ...]

    def findings(self, value: Any, spot: Spot) -> list[Finding]:
        """Return why an object is not allowed, for every limited field."""
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            return [found for item in value for found in self.findings(item, spot)]
        if not isinstance(value, dict):
            return [Finding(spot.name, value, "an object")]
        present = [(path, node, get_at(value, path)) for path, node in self.limits]
        return [
            found for path, node, item in present if item is not None for found in node.findings(item, spot.child(path))
        ]

    def nearest(self, value: Any) -> tuple[Any, float] | None:
        """Return the object with every limited field at its nearest allowed value."""
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            pairs = [pair for item in value if (pair := self.nearest(item)) is not None]
            return ([item for item, _ in pairs], sum(size for _, size in pairs)) if len(pairs) == len(value) else None
        if not isinstance(value, dict):
            return None
        answer, total = copy.deepcopy(value), 0.0
        for path, node in self.limits:
            item = get_at(answer, path)
            if item is None:
                continue
            best = node.nearest(item)
            if best is None:
                return None
            set_at(answer, path, best[0])
            total += best[1]
        return answer, total


@dataclass(frozen=True)
class Choice:
    """Alternatives, of which one must accept the value."""

    alternatives: tuple[Node, ...]

    def findings(self, value: Any, spot: Spot) -> list[Finding]:
        """Return the findings of the nearest alternative; of equally near ones, what any of them allows."""
        found = [node.findings(value, spot) for node in self.alternatives]
        if any(not items for items in found):
            return []
        sizes = [math.fsum(item.size for item in items) for items in found]
        near = [items for items, size in zip(found, sizes, strict=True) if size <= min(sizes) + NUMBER_TOLERANCE]
        return _merge(near)

    def nearest(self, value: Any) -> tuple[Any, float] | None:
        """Return the nearest value that any alternative allows."""
        found = [answer for node in self.alternatives if (answer := node.nearest(value)) is not None]
        return min(found, key=lambda answer: answer[1], default=None)


def _merge(near: list[list[Finding]]) -> list[Finding]:
    first = near[0]
    if len(first) != 1:
        return first
    same = [items[0] for items in near if len(items) == 1 and items[0].path == first[0].path]
    suffix = " or absent"
    allowed = join_phrases([item.allowed.removesuffix(suffix) for item in same])
    allowed += suffix if first[0].allowed.endswith(suffix) else ""
    only = first[0]
    return [Finding(only.path, only.given, allowed, only.unit, only.subject, only.size)]
