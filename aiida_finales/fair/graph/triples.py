"""From descriptions to triples, directly.

A general parser of JSON-LD takes several times as long, because it does not know the context beforehand; that both say
the same is tested. The triples are written as N-Triples (https://www.w3.org/TR/n-triples/), which the store reads
faster than it takes them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import MissingExtraError
from aiida_finales.fair.graph.terms import expand, load_context
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from pyoxigraph import Store


#: prefixes that the file of a graph shows
PREFIXES = ("emmo", "echem", "battery", "chems", "chameo", "manufacturing", "schema", "prov", "xsd", "finales")
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
#: descriptions that are loaded at once; their triples take some 10 MB as text
BLOCK = 10_000
#: characters that a literal of N-Triples may not have as they are
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def make_graph(descriptions: Iterable[Json]) -> Store:
    """Return the triples of descriptions, in memory.

    :raises MissingExtraError: when pyoxigraph is not installed.
    """
    graph: Store = _load_library().Store()
    _fill(graph, descriptions)
    return graph


def load_store(descriptions: Iterable[Json], folder: Path) -> None:
    """Write the triples of descriptions into a new folder, from which :func:`open_store` reads them.

    :raises MissingExtraError: when pyoxigraph is not installed.
    """
    store: Store = _load_library().Store(str(folder))
    _fill(store, descriptions)
    store.optimize()  # halves the time of most questions


def open_store(folder: Path) -> Store:
    """Return the triples in a folder; nobody may write them meanwhile.

    :raises MissingExtraError: when pyoxigraph is not installed.
    """
    store: Store = _load_library().Store.read_only(str(folder))
    return store


def _fill(store: Store, descriptions: Iterable[Json]) -> None:
    rest = iter(descriptions)
    while block := list(islice(rest, BLOCK)):
        store.bulk_load(input=_write(block), format=_load_library().RdfFormat.N_TRIPLES)


def write_turtle(descriptions: Iterable[Json]) -> str:
    """Return the triples of descriptions as Turtle, in the order of the descriptions.

    :raises MissingExtraError: when pyoxigraph is not installed.
    """
    oxigraph = _load_library()
    triples = oxigraph.parse(_write(descriptions), format=oxigraph.RdfFormat.N_TRIPLES)
    text: bytes = oxigraph.serialize(triples, format=oxigraph.RdfFormat.TURTLE, prefixes=expand_prefixes())
    return text.decode()


def expand_prefixes() -> dict[str, str]:
    """Return what each of :data:`PREFIXES` stands for."""
    return {name: expand(f"{name}:") for name in PREFIXES}


def _load_library() -> Any:
    try:
        import pyoxigraph
    except ImportError as error:
        raise MissingExtraError("fair", "a graph of meanings") from error
    return pyoxigraph


def _write(descriptions: Iterable[Json]) -> bytes:
    writer = _Writer()
    for description in descriptions:
        writer.add(description)
    return "".join(writer.lines).encode()


class _Writer:
    """Writes triples; keeps the text of each term, because most addresses and words are said several times."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._terms: dict[tuple[str, Any], str] = {}
        self._blank = _count_blank_nodes()

    def add(self, description: Json) -> str:
        """Add what is said of one thing, return the thing."""
        iri = description.get("@id")
        subject = next(self._blank) if iri is None else _address(iri)
        for key, given in description.items():
            if key == "@id":
                continue
            start = f"{subject} {_relation(key)} "
            for item in given if isinstance(given, list) else (given,):
                value = self.add(item) if isinstance(item, dict) else self._term(key, item)
                self.lines.append(f"{start}{value} .\n")
        return subject

    def _term(self, key: str, value: Any) -> str:
        place = (key, value)
        if place not in self._terms:
            self._terms[place] = _converter(key)(value)
        return self._terms[place]


def _count_blank_nodes() -> Iterator[str]:
    number = 0
    while True:
        yield f"_:b{number}"
        number += 1


@cache
def _relation(key: str) -> str:
    """Return what a key means."""
    return _address(RDF_TYPE if key == "@type" else expand(key))


@cache
def _converter(key: str) -> Callable[[Any], str]:
    """Return what makes a term of a value, from what the context says of its key."""
    term = load_context().get(key)
    kind = {"@type": "@vocab", "@id": "@id"}.get(key) or (term.get("@type") if isinstance(term, dict) else None)
    if kind == "@id":
        return _address
    if kind == "@vocab":
        return lambda name: _address(expand(name))
    datatype = None if kind is None else _address(expand(kind))
    return lambda value: write_literal(value, datatype)


def _address(iri: str) -> str:
    return f"<{iri}>"


def write_literal(value: Any, datatype: str | None = None) -> str:
    """Return a literal as N-Triples and SPARQL have it.

    :param datatype: address in angle brackets; what has none has that of JSON.
    """
    if isinstance(value, bool):
        return f'"{str(value).lower()}"^^{datatype or _address(expand("xsd:boolean"))}'
    if isinstance(value, int | float):
        kind = "xsd:integer" if isinstance(value, int) else "xsd:double"
        return f'"{value!r}"^^{datatype or _address(expand(kind))}'
    text = f'"{value.translate(_ESCAPES)}"'
    return f"{text}^^{datatype}" if datatype else text
