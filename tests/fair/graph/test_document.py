"""What a small laboratory's history means."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from aiida import orm

from aiida_finales.exceptions import InputError
from aiida_finales.fair.graph.document import make_document
from aiida_finales.fair.graph.people import Person, is_orcid
from aiida_finales.fair.graph.records import LinkRecord, NodeRecord, Records, read_records
from aiida_finales.fair.graph.requests import describe_suggestion
from aiida_finales.fair.graph.selection import campaign_pks, profile_pks
from aiida_finales.fair.graph.triples import write_turtle
from tests.fair.conftest import CELLS

rdflib = pytest.importorskip("rdflib")


def sample(find, identity):
    (found,) = find("finales:Sample", identifier=identity)
    return found


def number(thing):
    return thing["hasNumericalPart"]["hasNumberValue"]


@pytest.mark.slow
def test_both_ways_to_triples_say_the_same(document, graph, triples) -> None:
    """Our own writer gives what a general parser of JSON-LD reads; nothing is fetched."""
    from rdflib.compare import isomorphic

    other = rdflib.Graph().parse(data=json.dumps(document), format="json-ld")
    assert len(graph) == len(triples) > 2000
    assert isomorphic(triples, other)


def test_the_same_nodes_give_the_same_document(profile) -> None:
    pks = sorted(profile_pks())
    first, second = (make_document(read_records(order, ())) for order in (pks, pks[::-1]))
    assert json.dumps(first) == json.dumps(second)
    ids = [item["@id"] for item in first["@graph"]]
    assert ids == sorted(set(ids))
    texts = {write_turtle(item["@graph"]) for item in (first, second)}
    assert len(texts) == 1
    assert make_document(read_records(pks[:1], ()), "context.json")["@context"] == "context.json"


def test_a_measurement(find, things) -> None:
    """Its value has a unit and an uncertainty, its temperature is that of the electrolyte."""
    (value,) = [item for item in find("MeasuredProperty") if number(item) == pytest.approx(0.95)]
    assert value["@type"] == ["IonicConductivity", "MeasuredProperty"]
    assert value["hasMeasurementUnit"] == "SiemensPerMetre"
    assert number(value["hasMetrologicalUncertainty"]) == pytest.approx(0.01414, rel=1e-3)
    (electrolyte,) = [item for item in find("ElectrolyteSolution") if value["@id"] in item.get("hasProperty", ())]
    about = {things[iri]["@type"][0]: things[iri] for iri in electrolyte["hasProperty"]}
    assert number(about["ThermodynamicTemperature"]) == 298.15
    assert number(about["Molality"]) == pytest.approx(0.8795, rel=1e-3)
    shares = {item["name"]: number(item["hasProperty"]) for item in electrolyte["hasConstituent"]}
    assert shares == {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
    (activity,) = [item for item in find("Measurement") if value["@id"] in item["hasOutput"]]
    assert "ElectrochemicalImpedanceSpectroscopy" in activity["@type"]
    assert activity["hasInput"] == [electrolyte["@id"]]


def test_simulated_is_not_measured(find, things) -> None:
    """The simulated robot imitates a measurement: its value comes from a model."""
    (result,) = find("finales:Result", isSimulated=True, method="two_electrode")
    values = [things[iri] for iri in result["variableMeasured"]]
    assert [item["@type"] for item in values] == [["IonicConductivity", "ModelledProperty"]]
    activity = things[f"{result['@id']}#activity"]
    assert activity["@type"] == ["finales:Determination", "Simulation"]
    assert "Measurement" in activity["imitates"]


def test_a_model_is_modelled(find) -> None:
    models = [item for item in find("finales:Determination") if item["measurementTechnique"] == "empirical_model"]
    assert len(models) == 5
    assert all("Computation" in item["@type"] for item in models)


def test_a_cell_and_what_it_is_made_of(find, things, vial) -> None:
    cell = sample(find, CELLS[0])
    assert cell["wasDerivedFrom"] == [vial["@id"]]
    assert "CoinCell" in cell["@type"]
    assert things[cell["hasElectrolyte"][0]]["specializationOf"] == [vial["@id"]]
    assert things[cell["hasPositiveElectrode"][0]]["massLoading"] == 1.0
    assert things[cell["hasSeparator"][0]]["name"] == "Celgard 2325"
    assert things[cell["wasGeneratedBy"]]["name"] == "AnswerCalculation"


def test_cycling_and_end_of_life(find, things) -> None:
    cell = sample(find, CELLS[0])["@id"]
    (activity,) = find("BatteryCycling")
    assert activity["hasTestObject"] == [cell]
    settings = [(things[iri]["@type"][0], number(things[iri])) for iri in activity["hasProperty"]]
    assert ("UpperVoltageLimit", 4.2) in settings
    assert ("CRate", 0.1) in settings
    last = things[f"{activity['reportedIn']}#last-discharge"]
    assert (last["@type"][0], number(last), last["hasMeasurementUnit"]) == ("DischargingCapacity", 0.0014, "AmpereHour")
    (life,) = find("CycleLife")
    assert (number(life), number(life["hasMetrologicalUncertainty"]), life["belongsTo"]) == (412, 21, cell)
    (threshold,) = find("EndOfLifeCapacityThreshold")
    assert number(threshold) == 0.8


def test_links_are_those_of_the_engine(find, things) -> None:
    """Created, used and called, as in the provenance graph of AiiDA."""
    for thing in find("finales:Result"):
        node = orm.load_node(thing["@id"].removeprefix("urn:uuid:"))
        assert thing["wasGeneratedBy"] == f"urn:uuid:{node.creator.uuid}"
        process = things[thing["wasGeneratedBy"]]
        used = {f"urn:uuid:{item.uuid}" for item in node.creator.base.links.get_incoming().all_nodes()}
        assert set(process.get("used", ())) <= used
        assert process["wasInformedBy"] == [f"urn:uuid:{node.creator.caller.uuid}"]


def test_suggestions(find) -> None:
    """Each goes on from the training set before; the request was made of the suggestion; doubts are told."""
    first, second, third, last = sorted(find("finales:Suggestion"), key=lambda item: item["step"])
    sets = {item["@id"]: item for item in find("finales:TrainingSet")}
    learned = [sets[item["wasDerivedFrom"][0]] for item in (first, second, third, last)]
    assert [len(item.get("adds", ())) for item in learned] == [0, 1, 1, 1]
    assert [item["wasRevisionOf"] for item in learned[1:]] == [[item["@id"]] for item in learned[:-1]]
    assert last["wasDerivedFrom"] == [learned[-1]["@id"]]
    assert "the wrong bottle" in second["doubtfulBecause"]
    asked = [item for item in find("finales:Request") if first["@id"] in item.get("wasDerivedFrom", ())]
    assert len(asked) == 1
    assert f"{third['@id']}#prediction" in third["variableMeasured"]


def test_a_suggestion_with_links_to_all_results_is_derived_from_each() -> None:
    """As campaigns made them before there were training sets."""
    fields = dict.fromkeys(("step", "source_name", "reason", "acquisition", "predicted"))
    kinds = {"r": "result", "p": "process", "s": "suggestion"}
    nodes = {uuid: NodeRecord(kind, uuid, "2026-01-01T00:00:00+00:00", fields) for uuid, kind in kinds.items()}
    links = [LinkRecord("r", "p", "input_calc", "results__result_1"), LinkRecord("p", "s", "create", "suggestion")]
    (told,) = describe_suggestion(nodes["s"], Records(nodes, links))
    assert told["wasDerivedFrom"] == ["urn:uuid:r"]


def test_versions_of_limitations(find, things) -> None:
    """A request was checked against the version of its time; what is private is not told."""
    versions = {item["version"]: item for item in find("finales:TenantVersion") if item["name"].startswith("bench")}
    assert versions[2]["wasRevisionOf"] == [versions[1]["@id"]]
    served = [item for item in find("finales:Request") if versions[2]["@id"] in item.get("servedUnder", ())]
    assert len(served) == 3
    assert all(versions[2]["@id"] in item["checkedAgainst"] for item in served)
    assert things[versions[2]["versionOf"]]["actedOnBehalfOf"] == ["https://orcid.org/0000-0002-1825-0097"]
    text = json.dumps(list(things.values()))
    assert not re.search(r"[\w.]+@[\w.]+\.\w+", text)
    assert "settings" not in text


def test_people(find) -> None:
    (person,), (organisation,) = find("schema:Person"), find("schema:Organization")
    assert person["affiliation"] == organisation["@id"] == "https://ror.org/05gq02987"
    (campaign,) = find("finales:Campaign")
    assert campaign["creator"] == [person["@id"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"orcid": "0000-0002-1825-0098"}, "orcid of A B is"),
        ({"orcid": "x"}, "16 digits"),
        ({"ror": "nonsense", "organisation": "C"}, "ror is 'nonsense'"),
        ({"ror": "05gq02987"}, "name of the organisation is not"),
    ],
)
def test_bad_people_are_refused(change, words) -> None:
    with pytest.raises(InputError, match=words):
        Person("A", "B", **change)
    assert is_orcid("0000-0001-5109-3700")
    assert is_orcid("0000-0002-1694-233X")


def test_what_belongs_to_a_campaign(profile) -> None:
    """Its own nodes and what they rest on, but not the measurements that have nothing to do with it."""
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.data.request import RequestData
    from aiida_finales.data.result import ResultData
    from aiida_finales.data.tenant import TenantData

    group = CampaignGroup.find("first")
    pks = campaign_pks(group)
    nodes = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": sorted(pks)}}).all(flat=True)
    assert {node.uuid for node in group.nodes} <= {node.uuid for node in nodes}
    kinds = [type(node) for node in nodes]
    assert (kinds.count(ResultData), kinds.count(RequestData)) == (3, 3)
    assert all(node.is_sealed for node in nodes if isinstance(node, orm.ProcessNode))
    types = [node.process_type for node in nodes if isinstance(node, orm.ProcessNode)]
    assert types.count("aiida.workflows:finales.serve") == 3
    assert types.count("aiida.workflows:finales.suggest") == 4
    assert kinds.count(TenantData) == 1


def test_graph_library_is_loaded_late() -> None:
    """Who makes JSON-LD only, needs none of the extras."""
    modules = "aiida_finales.fair.graph.document, aiida_finales.fair.query.ask"
    program = f"import sys, {modules}; sys.exit('pyoxigraph' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
