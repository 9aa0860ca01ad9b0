"""The meaning of nodes as one JSON-LD document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from aiida_finales.fair.graph import provenance, requests, results, samples
from aiida_finales.fair.graph.records import NodeRecord, Records
from aiida_finales.fair.graph.terms import load_context
from aiida_finales.fair.graph.triples import write_turtle
from aiida_finales.schemas import Json

#: forms of files and their usual endings
FORMS = {"turtle": ".ttl", "json-ld": ".jsonld"}

#: how each kind of node is described
DESCRIBERS: dict[str, Callable[[NodeRecord, Records], Iterator[Json]]] = {
    "request": requests.describe_request,
    "suggestion": requests.describe_suggestion,
    "training_set": requests.describe_training_set,
    "result": results.describe_result,
    "sample": samples.describe_sample,
    "tenant": provenance.describe_tenant,
    "capability": provenance.describe_capability,
    "model": provenance.describe_model,
    "potential": provenance.describe_potential,
    "process": provenance.describe_process,
}


def make_document(records: Records, context: str | None = None) -> Json:
    """Return a JSON-LD document about what was read; the same nodes give the same document.

    :param context: name of a file beside the document that has the context; it is written into the document when
        ``None``: nothing is fetched.
    """
    return {"@context": load_context() if context is None else context, "@graph": describe_records(records)}


def serialise(records: Records, form: str) -> str:
    """Return what was read as the text of a file.

    :param form: a key of :data:`FORMS`.
    :raises MissingExtraError: when pyoxigraph is not installed and the form is not JSON-LD.
    """
    if form == "json-ld":
        return json.dumps(make_document(records), indent=1, ensure_ascii=False) + "\n"
    return write_turtle(describe_records(records))


def describe_records(records: Records) -> list[Json]:
    """Return what is known of everything, sorted by ``@id``; needs no database."""
    found = {description["@id"]: description for description in _describe(records)}
    return [found[iri] for iri in sorted(found)]


def _describe(records: Records) -> Iterator[Json]:
    for node in records.nodes.values():
        yield from DESCRIBERS[node.kind](node, records)
    yield from provenance.describe_agents(records)
    yield from provenance.describe_campaigns(records)
