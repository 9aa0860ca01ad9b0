"""The graph as one of rdflib, which Oxigraph holds and answers; imported where somebody asks for it in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import MissingExtraError
from aiida_finales.fair.graph.triples import expand_prefixes
from aiida_finales.fair.query.ask import explained, refuse_services, spell_out

try:
    import pyoxigraph
    from oxrdflib import OxigraphStore
    from rdflib import BNode, Graph, Literal, URIRef
    from rdflib.graph import DATASET_DEFAULT_GRAPH_ID
    from rdflib.query import Result
    from rdflib.term import Variable
except ImportError as error:
    raise MissingExtraError("fair", "a graph for rdflib") from error

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_rdflib(store: pyoxigraph.Store) -> Graph:
    """Return a graph of rdflib with the triples of a store; what is added to it is added to the store.

    Questions may use the prefixes and words of the context; what cannot be understood is an
    :class:`~aiida_finales.exceptions.InputError`.
    """
    graph = Graph(_WordStore(store=store), identifier=DATASET_DEFAULT_GRAPH_ID, bind_namespaces="none")
    for name, address in expand_prefixes().items():
        graph.bind(name, address)
    return graph


class _WordStore(OxigraphStore):
    """Understands words, and makes each term of an answer once: rdflib takes longer for a literal than Oxigraph."""

    def query(self, query: Any, initNs: Mapping[str, Any], initBindings: Any, *others: Any, **options: Any) -> Result:  # noqa: N803 - names of rdflib
        """Return the answer to a question.

        :raises InputError: when it cannot be understood or asks other computers.
        """
        text = str(query)
        refuse_services(text)
        spelled = spell_out(text)
        with explained(spelled):
            if initBindings:
                return super().query(spelled, initNs, initBindings, *others, **options)
            found = self._inner.query(spelled, prefixes={**dict(self.namespaces()), **initNs})
            if isinstance(found, pyoxigraph.QuerySolutions):
                return _collect(found)
            return super().query(spelled, initNs, initBindings, *others, **options)


def _collect(found: pyoxigraph.QuerySolutions) -> Result:
    names = [Variable(variable.value) for variable in found.variables]
    terms: dict[Any, Any] = {None: None}
    answer = Result("SELECT")
    answer.vars = names
    answer.bindings = [
        {name: terms[item] if item in terms else terms.setdefault(item, _convert(item))
         for name, item in zip(names, solution, strict=True)}
        for solution in found
    ]  # fmt: skip
    return answer


def _convert(term: Any) -> URIRef | BNode | Literal:
    if isinstance(term, pyoxigraph.NamedNode):
        return URIRef(term.value)
    if isinstance(term, pyoxigraph.BlankNode):
        return BNode(term.value)
    return Literal(term.value, lang=term.language, datatype=None if term.language else URIRef(term.datatype.value))
