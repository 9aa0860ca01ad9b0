"""Requests and suggestions: who asked for what, why, and under which version of the limitations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiida_finales.data.training_set import PREVIOUS, RESULTS
from aiida_finales.fair.graph.provenance import created_by, iris, without_nothing
from aiida_finales.fair.graph.quantity import join, make_quantity, make_uncertainty
from aiida_finales.fair.graph.records import NodeRecord, Records
from aiida_finales.fair.graph.terms import QUANTITIES
from aiida_finales.schemas import Json
from aiida_finales.schemas.words import count


def describe_request(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield what was asked, and what became of it."""
    read, state = node.fields, node.state
    served = [records.nodes[state["node"]]] if state.get("node") in records.nodes else []
    checked = [records.nodes[item["node"]] for item in state.get("candidates", ()) if item["node"] in records.nodes]
    parent = records.nodes.get(read.get("parent") or "")
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:Request", "prov:Entity"],
            "name": f"{read['quantity']} by {' or '.join(read['methods'])}",
            "quantity": read["quantity"],
            "acceptsMethod": read["methods"],
            "requester": read["requester"],
            "dateCreated": node.created,
            "parameters": json.dumps(read["parameters"], sort_keys=True, ensure_ascii=False),
            "status": state.get("status") or "not posted",
            "statusReason": state.get("reason"),
            "attempts": state.get("attempt"),
            "capability": iris(_known(read["capabilities"].values(), records)),
            "checkedAgainst": iris(checked),
            "servedUnder": iris(served),
            "stepOf": parent.iri if parent else None,
            "wasGeneratedBy": created_by(node, records),
            "wasDerivedFrom": iris(_grounds(node, records)),
        }
    )


def describe_suggestion(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield what the optimiser proposed, what it learned from, and what it expected."""
    read = node.fields
    creator = records.creator(node.uuid)
    learned = _list_made(creator, records, "training_set") or _list_inputs(creator, records, RESULTS)
    asked = _list_made(creator, records, "request")
    prediction = _prediction(node, asked)
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:Suggestion", "prov:Entity"],
            "name": f"suggestion {read['step']}" if read["source_name"] else "recommendation",
            "step": read["step"],
            "source": read["source_name"],
            "description": read["reason"],
            "acquisition": _number(read["acquisition"]),
            "doubtfulBecause": node.doubtful,
            "dateCreated": node.created,
            "wasGeneratedBy": creator.iri if creator else None,
            "wasDerivedFrom": iris(learned),
            "variableMeasured": [item["@id"] for item in prediction],
        }
    )
    yield from prediction


def describe_training_set(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield what a suggestion learned from: the set of the one before, and what was added and taken out."""
    read, creator = node.fields, records.creator(node.uuid)
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:TrainingSet", "prov:Collection", "prov:Entity"],
            "name": f"training set of {count(read['n_results'], 'result')}",
            "dateCreated": node.created,
            "wasGeneratedBy": creator.iri if creator else None,
            "wasRevisionOf": iris(_list_inputs(creator, records, PREVIOUS)),
            "adds": iris(_list_inputs(creator, records, RESULTS)),
            "removes": iris(_known(read["removed"], records)),
        }
    )


def _list_inputs(process: NodeRecord | None, records: Records, label: str) -> list[NodeRecord]:
    """Return the inputs of a process whose label begins so."""
    links = records.incoming(process.uuid, "input_work", "input_calc") if process else []
    return [item for item, name in links if name.startswith(label)]


def _list_made(process: NodeRecord | None, records: Records, kind: str) -> list[NodeRecord]:
    made = records.outgoing(process.uuid, "create") if process else []
    return [item for item, _ in made if item.kind == kind]


def _prediction(node: NodeRecord, asked: list[NodeRecord]) -> list[Json]:
    """Return what the model expected, where the quantity is one of EMMO."""
    predicted = node.fields["predicted"]
    known = QUANTITIES.get(asked[0].fields["quantity"]) if asked else None
    if not predicted or known is None:
        return []
    uncertainty = make_uncertainty(abs(predicted["sd"]), known.unit, "standard deviation of the model")
    name = "expected by the model beforehand"
    iri = join(node.iri, "prediction")
    terms = (known.term, "ModelledProperty")
    about = {"name": name, "reportedIn": node.iri, "hasMetrologicalUncertainty": uncertainty}
    return [make_quantity(iri, terms, predicted["mean"], known.unit, **about)]


def _grounds(node: NodeRecord, records: Records) -> list[NodeRecord]:
    """Return what a request was made of: results that parameters were copied from, and the suggestion."""
    creator = records.creator(node.uuid)
    return _list_made(creator, records, "suggestion") + _known(node.fields.get("made_from") or (), records)


def _known(uuids: Any, records: Records) -> list[NodeRecord]:
    return [records.nodes[uuid] for uuid in uuids if uuid in records.nodes]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
