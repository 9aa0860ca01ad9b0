"""From descriptions to triples, directly.

A general parser of JSON-LD takes several times as long, because it does not know the context beforehand; that both say
the same is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import MissingExtraError
from aiida_finales.fair.terms import expand, load_context

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import Identifier, URIRef

Json = dict[str, Any]

#: prefixes that the file of a graph shows
PREFIXES = ("emmo", "echem", "battery", "chems", "chameo", "manufacturing", "schema", "prov", "xsd", "finales")


def make_graph(descriptions: Iterable[Json]) -> Graph:
    """Return the triples of descriptions, in memory.

    :raises MissingExtraError: when rdflib is not installed.
    """
    try:
        import rdflib
    except ImportError as error:
        raise MissingExtraError("fair", "a graph of meanings") from error
    # the default store keeps for each triple in which graphs it is, which takes as long as all the rest
    graph = rdflib.Graph("SimpleMemory", bind_namespaces="none")
    for prefix in PREFIXES:
        graph.bind(prefix, expand(f"{prefix}:"))
    writer = _Writer(graph)
    for description in descriptions:
        writer.add(description)
    return graph


class _Writer:
    """Makes each term once: most addresses and words are said several times, and rdflib looks at every character."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._add = graph.store.add
        self._terms: dict[tuple[str, Any], Identifier] = {}
        self._n_blank = 0

    def add(self, description: Json) -> Identifier:
        """Add what is said of one thing, return the thing."""
        subject = self._subject(description.get("@id"))
        for key, given in description.items():
            if key == "@id":
                continue
            predicate = _relation(key)
            for item in given if isinstance(given, list) else (given,):
                value = self.add(item) if isinstance(item, dict) else self._term(key, item)
                self._add((subject, predicate, value), self._graph)
        return subject

    def _subject(self, iri: str | None) -> Identifier:
        from rdflib.term import BNode

        if iri is not None:
            return self._term("@id", iri)
        self._n_blank += 1
        return BNode(f"b{self._n_blank}")

    def _term(self, key: str, value: Any) -> Identifier:
        convert = _converter(key)
        # addresses are the same whatever refers to them
        place = ("@id" if convert is _address else key, value)
        if place not in self._terms:
            self._terms[place] = convert(value)
        return self._terms[place]


@cache
def _relation(key: str) -> URIRef:
    """Return what a key means."""
    from rdflib.namespace import RDF
    from rdflib.term import URIRef

    return RDF.type if key == "@type" else URIRef(expand(key))


@cache
def _converter(key: str) -> Callable[[Any], Identifier]:
    """Return what makes a term of a value, from what the context says of its key."""
    from rdflib.term import Literal, URIRef

    term = load_context().get(key)
    kind = {"@type": "@vocab", "@id": "@id"}.get(key) or (term.get("@type") if isinstance(term, dict) else None)
    if kind == "@id":
        return _address
    if kind == "@vocab":
        return lambda name: URIRef(expand(name))
    datatype = None if kind is None else URIRef(expand(kind))
    return lambda value: Literal(value, datatype=datatype)


def _address(iri: str) -> Identifier:
    from rdflib.term import URIRef

    return URIRef(iri)
