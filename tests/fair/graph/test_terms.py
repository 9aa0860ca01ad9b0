"""Every word means something that exists."""

from __future__ import annotations

import csv
import json
import re

import pytest

from aiida_finales.fair.graph.terms import (
    CHEMICALS,
    CONTEXT_FILE,
    FINALES,
    METHODS,
    QUANTITIES,
    VOCABULARY_FILE,
    expand,
    load_context,
)

rdflib = pytest.importorskip("rdflib")

#: names that are easily invented, but that EMMO does not have
INVENTED = (
    "Temperature", "Viscosity", "MassDensity", "AmbientTemperature", "CellTemperature", "DischargeCapacity",
    "EndOfLife", "CyclingProtocol", "CellConstant", "MolecularDynamics", "CapacityRetention", "Uncertainty",
    "hasNumericalValue",
)  # fmt: skip
EMMO = "https://w3id.org/emmo"


@pytest.fixture(scope="module")
def terms(shared_data) -> dict[str, str]:
    """Address by label, as resolved in the files of EMMO, and in the context that its battery domain publishes."""
    context = json.loads((shared_data / "ontology" / "domain-battery.context.json").read_text())["@context"]
    published = {label: item["@id"] if isinstance(item, dict) else item for label, item in context.items()}
    with (shared_data / "ontology" / "terms.csv").open() as file:
        return published | {row["label"]: row["iri"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def vocabulary() -> set[str]:
    graph = rdflib.Graph().parse(VOCABULARY_FILE)
    assert all(graph.value(item, rdflib.RDFS.comment) for item in set(graph.subjects()))
    return {str(item) for item in graph.subjects()}


def words() -> dict[str, str]:
    """Words of the context and what they mean, without the prefixes."""
    return {name: expand(name) for name in load_context() if not expand(name).endswith(("#", "/", ":"))}


def test_words_of_emmo_are_those_of_emmo(terms) -> None:
    own = {name: address for name, address in words().items() if address.startswith(EMMO)}
    assert len(own) > 60
    assert {name: terms.get(name) for name in own} == own


def test_no_word_is_invented() -> None:
    assert not set(INVENTED) & set(load_context())


def test_own_words_are_described(vocabulary) -> None:
    """What is ours is in our vocabulary with a sentence about it."""
    own = {address for address in words().values() if address.startswith(FINALES)}
    assert own <= vocabulary
    assert len(own) > 20


def test_words_of_prov_and_schema_exist() -> None:
    from rdflib.namespace import PROV, SDO

    for address in words().values():
        if address.startswith(str(PROV)):
            assert rdflib.URIRef(address) in PROV, address
        if address.startswith(str(SDO)):
            assert rdflib.URIRef(address) in SDO, address


def test_words_of_methods_are_in_the_context() -> None:
    used = [item.term for item in QUANTITIES.values()] + [item.unit for item in QUANTITIES.values()]
    used += [*CHEMICALS.values(), *(word for item in METHODS.values() for word in (*item.activity, item.kind) if word)]
    assert set(used) <= set(load_context())


def test_the_context_names_its_sources() -> None:
    """EMMO is CC BY 4.0, which asks for attribution."""
    attribution = json.loads(CONTEXT_FILE.read_text())["attribution"]
    assert "CC BY 4.0" in attribution
    assert re.search(r"EMMO 1\.0", attribution)


def test_expand() -> None:
    assert expand("SiemensPerMetre") == "https://w3id.org/emmo#SiemensPerMetre"
    assert expand("emmo:Volt") == "https://w3id.org/emmo#Volt"
    assert expand("https://orcid.org/0000") == "https://orcid.org/0000"
    with pytest.raises(KeyError):
        expand("MolecularDynamics")


def test_every_address_in_a_graph_exists(triples, terms, vocabulary) -> None:
    """Predicates, classes and units of a real graph: each is a term of EMMO, PROV-O, schema.org or ours."""
    from rdflib.namespace import PROV, RDF, SDO

    units = {item for _, _, item in triples.triples((None, rdflib.URIRef(expand("hasMeasurementUnit")), None))}
    used = set(triples.predicates()) | set(triples.objects(None, RDF.type)) | units
    known = set(terms.values()) | vocabulary
    unknown = [item for item in used - {RDF.type} if item not in PROV and item not in SDO and str(item) not in known]
    assert not unknown
    assert len(units) >= 7
