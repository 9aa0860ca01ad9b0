"""Samples: stock solutions, vials of electrolyte and coin cells, with what they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiida_finales.fair.graph.provenance import created_by, iris, without_nothing
from aiida_finales.fair.graph.quantity import join, make_mixture
from aiida_finales.fair.graph.records import NodeRecord, Records
from aiida_finales.fair.graph.results import used_samples
from aiida_finales.schemas import Json
from aiida_finales.schemas.formulation import find_fractions

#: key of the published form, class and relation
_ELECTRODES = (
    ("anode", "NegativeElectrode", "hasNegativeElectrode"),
    ("cathode", "PositiveElectrode", "hasPositiveElectrode"),
)


def describe_sample(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield a sample and its parts."""
    read, state = node.fields, node.state
    place = state.get("location") or {}
    is_cell = read["kind"] == "cell"
    parts, others = _describe_cell(node, records) if is_cell else _describe_solution(node)
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:Sample", "CoinCell" if is_cell else "ElectrolyteSolution", "prov:Entity"],
            "identifier": read["identity"],
            "sampleKind": read["kind"],
            "dateCreated": node.created,
            "isSimulated": bool(read["simulated"]),
            "status": state.get("status"),
            "statusReason": state.get("reason"),
            "location": ", ".join(str(part) for part in place.values() if part),
            "wasGeneratedBy": created_by(node, records),
            "wasDerivedFrom": iris(used_samples(node, records)),
            **parts,
        }
    )
    yield from others


def _describe_solution(node: NodeRecord) -> tuple[Json, list[Json]]:
    fractions = node.fields["fractions"]
    volume = node.fields["content"].get("volume_mL")
    parts, others = make_mixture(node.iri, fractions) if fractions else ({}, [])
    return {**parts, **({"volume": float(volume)} if volume else {})}, others


def _describe_cell(node: NodeRecord, records: Records) -> tuple[Json, list[Json]]:
    """Return the electrolyte, the electrodes and the separator of a cell, as far as they are known."""
    cell = node.fields["content"].get("cell") or {}
    chemistry = cell.get("battery_chemistry") or {}
    parts: Json = {}
    others: list[Json] = []
    if node.fields["fractions"]:
        vials = [item for item in used_samples(node, records) if item.fields["kind"] == "vial"]
        parts["hasElectrolyte"] = [join(node.iri, "electrolyte")]
        mixture, molalities = make_mixture(join(node.iri, "electrolyte"), node.fields["fractions"])
        volume = cell.get("electrolyte_volume")  # uL
        about = {"specializationOf": iris(vials), "volume": volume / 1000.0 if volume else None}
        others.append(
            without_nothing(
                {
                    "@id": join(node.iri, "electrolyte"),
                    "@type": ["ElectrolyteSolution", "prov:Entity"],
                    "isSimulated": bool(node.fields["simulated"]),
                    **mixture,
                    **about,
                }
            )
        )
        others += molalities
    for key, term, relation in _ELECTRODES:
        if chemistry.get(key):
            parts[relation] = [join(node.iri, key)]
            others.append(_describe_electrode(join(node.iri, key), term, chemistry[key]))
    separator = cell.get("separator")
    if separator:
        parts["hasSeparator"] = [join(node.iri, "separator")]
        about = {"name": separator.get("material"), "area": _float(separator.get("size"))}
        others.append(without_nothing({"@id": join(node.iri, "separator"), "@type": ["Separator"], **about}))
    return parts, others


def _describe_electrode(iri: str, term: str, electrode: Json) -> Json:
    fractions = find_fractions(electrode.get("material"))
    parts = {"hasConstituent": make_mixture(iri, fractions)[0]["hasConstituent"]} if fractions else {}
    sizes = {"massLoading": _float(electrode.get("mass_loading")), "area": _float(electrode.get("size"))}
    return without_nothing({"@id": iri, "@type": [term], **sizes, **parts})


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
