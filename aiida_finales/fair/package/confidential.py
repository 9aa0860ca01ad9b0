"""What must not leave: nodes marked as confidential, and what would give them away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from aiida_finales.fair.package.archive import OPENNESS, TYPES, Archive, Node
from aiida_finales.schemas.access import Openness

#: digits after the point from which a number is its own fingerprint
FINGERPRINT_DIGITS = 5
_NUMBER = re.compile(rf"-?\d+\.\d{{{FINGERPRINT_DIGITS},}}(?:[eE][+-]?\d+)?")
#: what stands on its own and is not given away by the confidential things that were done with it
_SHARED = {
    TYPES[name]
    for name in (
        "capability",
        "lifetime_model",
        "potential",
        "result",
        "sample",
        "suggestion",
        "tenant",
        "training_set",
    )
}


def find_withheld(archive: Archive, openness: Openness, more: Iterable[str] = ()) -> set[str]:
    """Return the UUIDs of what must not be in a package of this openness.

    That is what is marked (extra ``finales_openness``) beyond the openness, and what would give it away: the process
    that made it with its files, raw data, arguments and request; and what calculations made of it. A request that was
    merely *suggested* on its ground, and what was measured for that, stays.

    :param more: UUIDs that count as confidential for this package alone.
    """
    given = set(more)
    marked = [
        node
        for node in archive.nodes
        if _level(node) > openness.level or (node.uuid in given and openness is not Openness.CONFIDENTIAL)
    ]
    return _Closure(archive).of(marked)


def fingerprints(archive: Archive, withheld: set[str]) -> set[str]:
    """Return the numbers of withheld results that are long enough to be recognised anywhere."""
    kept, secret = set[str](), set[str]()
    for node in archive.of_type("result"):
        (secret if node.uuid in withheld else kept).update(numbers_in(repr(list(_numbers(node.attributes)))))
    return secret - kept


def numbers_in(text: str) -> set[str]:
    """Return the long numbers in a text."""
    return set(_NUMBER.findall(text))


def _level(node: Node) -> int:
    try:
        return Openness(node.extras.get(OPENNESS, Openness.PUBLIC)).level
    except ValueError:
        return Openness.CONFIDENTIAL.level  # a mark that cannot be understood protects


def _numbers(attributes: dict[str, Any]) -> Iterator[float]:
    """Yield the single values and their mean."""

    def walk(item: Any) -> Iterator[float]:
        if isinstance(item, float):
            yield item
        elif isinstance(item, dict):
            for key, value in item.items():
                if key not in ("formulation", "fraction", "molar_mass"):
                    yield from walk(value)
        elif isinstance(item, list):
            for value in item:
                yield from walk(value)

    yield from walk({key: attributes.get(key) for key in ("value", "spread", "data")})


class _Closure:
    """Walks from what is marked to what gives it away."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.found: set[str] = set()

    def of(self, marked: Iterable[Node]) -> set[str]:
        """Return the UUIDs of everything."""
        for node in marked:
            self._add(node)
        while self._add_arguments():
            pass
        return self.found

    def _add(self, node: Node) -> None:
        if node.uuid in self.found:
            return
        self.found.add(node.uuid)
        neighbours = self._around_process(node) if node.is_process else self._around_data(node)
        for other in neighbours:
            self._add(other)

    def _around_data(self, node: Node) -> Iterator[Node]:
        for link in self.archive.outgoing.get(node.uuid, []):
            if link.kind == "input_calc":
                yield self.archive.by_uuid[link.target]
        creator = self.archive.creator_of(node)
        if node.node_type == TYPES["request"]:
            yield from (item for item in self.archive.of_type("result") if item.attributes["request_uuid"] == node.uuid)
            # the suggestion says what was asked; the calculation that made both used only what others may see
            made = self.archive.outgoing.get(creator.uuid, []) if creator else []
            together = (self.archive.by_uuid[link.target] for link in made)
            yield from (item for item in together if item.node_type == TYPES["suggestion"])
            return
        if creator is not None and node.node_type != TYPES["suggestion"]:
            yield creator
        asked = self.archive.by_uuid.get(str(node.attributes.get("request_uuid")))
        if asked is not None:
            yield asked

    def _around_process(self, node: Node) -> Iterator[Node]:
        for link in self.archive.outgoing.get(node.uuid, []):
            other = self.archive.by_uuid[link.target]
            if link.kind == "create" and other.node_type != TYPES["request"]:
                yield other

    def _add_arguments(self) -> bool:
        """Add data that only withheld processes used; return whether there was any."""
        before = len(self.found)
        for node in self.archive.nodes:
            if node.is_process or node.uuid in self.found or node.node_type in _SHARED or ".code." in node.node_type:
                continue
            if node.node_type == TYPES["request"]:
                continue
            users = [link.target for link in self.archive.outgoing.get(node.uuid, []) if link.kind == "input_calc"]
            if users and all(user in self.found for user in users):
                self._add(node)
        return len(self.found) > before
