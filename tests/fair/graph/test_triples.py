"""The shapes accept what we write, and refuse what is wrong in it."""

from __future__ import annotations

import pytest

from aiida_finales.fair.graph.terms import SHAPES_FILE, expand
from aiida_finales.fair.graph.triples import PREFIXES
from aiida_finales.fair.query.ask import spell_out

rdflib = pytest.importorskip("rdflib")
pyshacl = pytest.importorskip("pyshacl")

SH = rdflib.Namespace("http://www.w3.org/ns/shacl#")

#: things of which each is wrong in some ways; together in every way that a shape knows
BROKEN = """
<urn:no-number> term:hasMeasurementUnit emmo:Kelvin .
<urn:bad-unit> term:hasMeasurementUnit <urn:furlong> ; term:hasNumericalPart [ term:hasNumberValue 1.0e0 ] .
<urn:conductivity> a term:IonicConductivity ; term:hasMeasurementUnit term:Kelvin .
<urn:temperature> a term:ThermodynamicTemperature ; term:hasMeasurementUnit term:Volt ;
  term:hasNumericalPart [ term:hasNumberValue -1.0e0 ] .
<urn:fraction> a term:AmountFraction ; term:hasNumericalPart [ term:hasNumberValue 1.5e0 ] .
<urn:molality> a term:Molality ; term:hasMeasurementUnit term:Kelvin ;
  term:hasNumericalPart [ term:hasNumberValue -1.5e0 ] .
<urn:mixture> term:hasConstituent [ schema:identifier "LiPF6" ] .
<urn:sample> a finales:Sample ; finales:sampleKind "bucket" ; finales:status "lost" .
<urn:cell> a term:CoinCell ; term:hasElectrolyte <urn:sample> .
<urn:request> a finales:Request ; finales:status "lost" ; finales:checkedAgainst <urn:sample> .
<urn:result> a finales:Result ; finales:status "lost" ; finales:rating 6 ; finales:answers <urn:sample> ;
  prov:wasGeneratedBy <urn:sample> .
<urn:amended> a finales:Result ; finales:status "amended" ; finales:isSuccessful false ; finales:isSimulated true .
<urn:measured> a term:MeasuredProperty ; finales:reportedIn <urn:amended> .
<urn:activity> a finales:Determination .
<urn:suggestion> a finales:Suggestion .
<urn:training> a finales:TrainingSet ; prov:wasRevisionOf <urn:sample>, <urn:person> ; finales:adds <urn:sample> .
<urn:process> a prov:Activity ; prov:used <urn:nothing> ; prov:wasInformedBy <urn:nothing> .
<urn:version> a finales:TenantVersion .
<urn:person> a schema:Person ; schema:identifier "me@home.org" .
<urn:campaign> a finales:Campaign .
"""


@pytest.fixture(scope="module")
def shapes():
    return rdflib.Graph().parse(SHAPES_FILE)


def validate(graph, shapes):
    """Return whether a graph conforms, and for each message what it is about."""
    conforms, report, _ = pyshacl.validate(graph, shacl_graph=shapes)
    found = {}
    for item in report.subjects(rdflib.RDF.type, SH.ValidationResult):
        found.setdefault(str(report.value(item, SH.resultMessage)), set()).add(str(report.value(item, SH.focusNode)))
    return conforms, found


def test_what_we_write_conforms(triples, shapes) -> None:
    assert validate(triples, shapes) == (True, {})


def test_every_shape_applies_to_something_we_write(triples, shapes) -> None:
    """A shape without target would never refuse anything."""
    from rdflib.namespace import RDF

    classes = set(shapes.objects(None, SH.targetClass))
    assert classes
    assert classes <= set(triples.objects(None, RDF.type))
    relations = set(shapes.objects(None, SH.targetSubjectsOf)) | set(shapes.objects(None, SH.targetObjectsOf))
    assert relations <= set(triples.predicates())


def test_every_promise_can_be_broken(shapes) -> None:
    """Each message of the shapes is about something in a broken graph."""
    prefixes = "\n".join(f"@prefix {name}: <{expand(f'{name}:')}> ." for name in PREFIXES)
    broken = rdflib.Graph().parse(data=prefixes + spell_out(BROKEN), format="turtle")
    conforms, found = validate(broken, shapes)
    assert not conforms
    assert set(found) == {str(item) for item in shapes.objects(None, SH.message)}
    assert found["what comes from a simulated laboratory is no measured property"] == {"urn:measured"}
    assert found["a result that was amended or deleted says why"] == {"urn:result", "urn:amended"}
    assert found["a person has a name"] == {"urn:person"}
