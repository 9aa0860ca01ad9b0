"""A small laboratory's history, made once: a campaign over a model, a robot, a bench, cells and their end of life.

It is kept as an archive, from which modules that need the database restore it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from tests.entry_points.conftest import run, run_json, run_what_is_submitted

__all__ = ["run", "run_json"]

SHARES = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
CAMPAIGN = {
    "name": "first",
    "quantity": "conductivity",
    "target": "empirical_model",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {"min_rating": 1}},  # far from what was measured it rates itself low
    "initial": 2,
    "stop": {"evaluations": 3},
    "optimiser": {"seed": 1, "n_raw": 100, "keep": 16, "burn": 4},
}
CELLS = ("cell-1", "cell-2")
META = {"success": True, "rating": 4}
Json = dict[str, Any]


def make_metadata(**changes: Any) -> Any:
    """Return what is said about a package of the campaign: the template, but for changes, with a fixed date."""
    import yaml

    from aiida_finales.fair.package.metadata import metadata_template, parse_metadata

    document = yaml.safe_load(metadata_template(CAMPAIGN["name"]))
    return parse_metadata({**document, "date_published": "2026-01-31", **changes})


def mixture(**shares: float) -> list[Json]:
    from aiida_finales.schemas.formulation import make_formulation

    return make_formulation(shares or SHARES)


def ask(
    quantity: str, method: str, parameters: Json, answer: Json | None = None, tenant: str = ""
) -> orm.WorkChainNode:
    """Let a request be served; with an answer by an external tenant. Return its process."""
    from aiida_finales.broker.requests import post_request
    from aiida_finales.data.request import RequestData
    from aiida_finales.operations.request.answering import post_answer
    from aiida_finales.workflows.serve import ServeRequestWorkChain

    request = post_request(RequestData(quantity, {method: parameters}, "tester"), "tester")
    if answer is not None:
        document = {"method": method, "data": answer, "parameters": parameters, "simulated": False}
        post_answer(request, document, tenant=tenant)
    return run_get_node(ServeRequestWorkChain, request=request)[1]


def measured(value: Any, temperature: float = 298.15, *, success: bool = True, **shares: float) -> tuple[Json, Json]:
    """Return parameters and data of a conductivity."""
    parameters = {"formulation": mixture(**shares), "temperature": temperature}
    values = value if isinstance(value, list) else [value]
    body = {"values": values, "temperature": temperature, "meta": {**META, "success": success}}
    if not success:
        body["meta"]["reason"] = "a bubble in the cell"
    run_info = {"formulation": mixture(**shares), "internal_reference": "page 7"}
    return parameters, {"run_info": run_info, "conductivity": body}


@pytest.fixture(scope="session")
def history(aiida_profile, tmp_path_factory) -> Path:
    """Archive of the profile of a small laboratory."""
    from aiida.tools.archive import create_archive

    aiida_profile.reset_storage()
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        run_what_is_submitted(patch)
        _set_up(folder)
        _run_campaign(folder)
        _measure()
        _make_cells()
        _doubt()
    file = folder / "history.aiida"
    create_archive(None, filename=file)
    return file


@pytest.fixture(scope="module")
def profile(history, aiida_profile) -> Any:
    """The history in a profile of its own for the module, as somebody else would get it."""
    from aiida.tools.archive import import_archive

    aiida_profile.reset_storage()
    import_archive(history, import_new_extras=True)
    return aiida_profile


@pytest.fixture(scope="module")
def document(profile) -> Json:
    """Everything that is said of the profile, as JSON-LD."""
    from aiida_finales.fair.graph.document import make_document
    from aiida_finales.fair.graph.people import Person
    from aiida_finales.fair.graph.records import read_records
    from aiida_finales.fair.graph.selection import profile_pks

    josiah = Person("Josiah", "Carberry", "0000-0002-1825-0097", "Brown University", "05gq02987")
    return make_document(read_records(profile_pks(), [josiah]))


@pytest.fixture(scope="module")
def things(document) -> dict[str, Json]:
    """The descriptions by address."""
    return {item["@id"]: item for item in document["@graph"]}


@pytest.fixture(scope="module")
def find(things) -> Callable[..., list[Json]]:
    """Return a function that finds descriptions by class and by keys."""

    def find_things(term: str, **keys: Any) -> list[Json]:
        return [
            item for item in things.values()
            if term in item.get("@type", ()) and all(item.get(key) == value for key, value in keys.items())
        ]  # fmt: skip

    return find_things


@pytest.fixture(scope="module")
def vial(find) -> Json:
    """The vial that the cells are made of."""
    (found,) = find("finales:Sample", sampleKind="vial")
    return found


@pytest.fixture(scope="module")
def graph(document) -> Any:
    """The triples of everything."""
    pytest.importorskip("pyoxigraph")
    from aiida_finales.fair.graph.triples import make_graph

    return make_graph(document["@graph"])


@pytest.fixture(scope="module")
def triples(document) -> Any:
    """The same as another program reads it from the file of the graph."""
    rdflib = pytest.importorskip("rdflib")
    from aiida_finales.fair.graph.triples import write_turtle

    return rdflib.Graph().parse(data=write_turtle(document["@graph"]), format="turtle")


def _set_up(folder: Path) -> None:
    from aiida_finales.broker.registration import add_tenant
    from aiida_finales.operations.platform.installation import setup_capabilities
    from aiida_finales.operations.platform.laboratory import setup_laboratory

    setup_capabilities()
    setup_laboratory(folder / "laboratory", has_cells=False)
    bench = [{"quantity": "conductivity", "method": "two_electrode", "limitations": {}}]
    add_tenant("bench", bench, contact="Josiah Carberry")
    add_tenant("bench", [{**bench[0], "limitations": {"temperature": [{"min": 273.15, "max": 333.15}]}}],
               contact="Josiah Carberry")  # fmt: skip
    keys = [("cell_assembly", "autobass_assembly"), ("capacity", "cycling"),
            ("degradationEOL", "degradation_model")]  # fmt: skip
    add_tenant("glovebox", [{"quantity": name, "method": method, "limitations": {}} for name, method in keys])


def _run_campaign(folder: Path) -> None:
    from aiida_finales import Campaign

    file = folder / "first.yaml"
    file.write_text(json.dumps(CAMPAIGN))
    started = Campaign.start(file)
    assert started.process.is_finished_ok, started.process.exit_message


def _measure() -> None:
    """By the simulated robot, and on a bench: twice well, once not."""
    assert ask("conductivity", "two_electrode", {"formulation": mixture(), "temperature": 301.15}).is_finished_ok
    for value, shares in (([0.94, 0.96], {}), ([0.72], {"LiPF6": 0.04, "EC": 0.3, "EMC": 0.66})):
        parameters, data = measured(value, **shares)
        assert ask("conductivity", "two_electrode", parameters, data, "bench").is_finished_ok
        assert ask("conductivity", "empirical_model", parameters).is_finished_ok
    parameters, data = measured(0.2, success=False, LiPF6=0.06, EC=0.3, EMC=0.64)
    ask("conductivity", "two_electrode", parameters, data, "bench")


def _make_cells() -> None:
    """By the simulated robot from its stock solutions, then by people in a glovebox."""
    from aiida_finales.data.sample import SampleData

    place = {"address": "glovebox", "detail_1": "rack", "detail_2": "7"}
    parameters = {"electrolyte": {"formulation": mixture()}, "volume": 4.2}
    assert ask("electrolyte", "flow", parameters).is_finished_ok
    vial = orm.QueryBuilder().append(SampleData, filters={"attributes.kind": "vial"}).one()[0]
    info = {"name": vial.identity, "uuid": vial.identity}

    graphite = [{"chemical": {"SMILES": "[C]", "InChIKey": "OKTJSMMVPCPJKN-UHFFFAOYSA-N"}, "fraction": 1.0,
                 "fraction_type": "molPerMol"}]  # fmt: skip
    chemistry = {"electrolyte": mixture(), "anode": {"material": graphite, "mass_loading": 1.1, "size": 1.7671},
                 "cathode": {"material": graphite, "mass_loading": 1.0, "size": 1.5386}}  # fmt: skip
    cell = {"battery_chemistry": chemistry, "separator": {"material": "Celgard 2325", "size": 2.0096},
            "electrolyte_volume": 35.0}  # fmt: skip
    parameters = {"cell": cell, "cell_info": {"electrolyte_info": info}, "batch_volume": len(CELLS)}
    batch = [{"cell_info": {"uuid": name, "cell_name": name, "cell_location": place}, "cell": cell,
              "manufacturing_img": "none", "meta": META} for name in CELLS]  # fmt: skip
    data = {"batch_output": batch, "batch_id": "batch-1"}
    assert ask("cell_assembly", "autobass_assembly", parameters, data, "glovebox").is_finished_ok
    _cycle(CELLS[0], place, chemistry)


def _cycle(cell: str, place: Json, chemistry: Json) -> None:
    identity = {"uuid": cell}
    parameters = {"cycling_protocol": "standard", "number_cycles": 2, "cell_info": identity, "location": place,
                  "reservation_number": "r-1", "cycling_V_max": 4.2, "cycling_V_min": 2.5, "V_max": 4.2, "V_min": 2.5,
                  "c_rate_charge": 1.0, "c_rate_discharge": 1.0, "c_rate_charge_formation": 0.1}  # fmt: skip
    data: Json = {"capacity_list": [0.0016, 0.0015, 0.0015, 0.0014], "channel_list": [3], "cell_info": identity}
    assert ask("capacity", "cycling", parameters, data, "glovebox").is_finished_ok
    parameters = {"battery_chemistry": chemistry, "cell_info": identity, "input_cycles": [0.0015, 0.0014]}
    body = {"end_of_life": 412, "end_of_life_uncertainty": 21.0, "capacity_trajectory": [1.5],
            "capacity_trajectory_uncertainty": [0.1], "meta": META, "cell_info": identity,
            "end_of_life_definition": {"threshold": 0.8}}  # fmt: skip
    data = {"run_info": {"formulation": mixture(), "internal_reference": cell}, "degradationEOL": body}
    assert ask("degradationEOL", "degradation_model", parameters, data, "glovebox").is_finished_ok


def _doubt() -> None:
    """One result of the campaign is deleted, another replaced; a request is retracted; data are imported."""
    from aiida_finales.broker.requests import post_request, retract_request
    from aiida_finales.broker.results import amend_result, delete_result
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.data.request import RequestData
    from aiida_finales.data.result import ResultData

    group = CampaignGroup.find("first")
    results = sorted((node for node in group.nodes if isinstance(node, ResultData)), key=lambda node: node.ctime)
    delete_result(results[0].pk, "tester", "the wrong bottle")
    amend_result(results[1].pk, "tester", "a better one exists", results[2])
    parameters = {"formulation": mixture(), "temperature": 299.15}
    request = post_request(RequestData("conductivity", {"two_electrode": parameters}, "tester"), "tester")
    retract_request(request.pk, "tester", "asked by mistake")
