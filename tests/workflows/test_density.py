"""Density and viscosity from the simulated robot, as requests and as the campaign of Demonstration 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.calculations.question import make_question
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.capability import find_capability
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.lab.simulated.laboratory import TARGETS, TRUTHS, default_laboratory, read_laboratory
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.truth import find_true_optimum
from aiida_finales.operations.platform.installation import COMPUTER
from aiida_finales.operations.platform.laboratory import setup_laboratory
from aiida_finales.operations.platform.simulation import setup_simulation
from aiida_finales.optimisation import Problem
from aiida_finales.schemas.campaign import parse_campaign, read_campaign_file
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.science.electrolyte.formulation import reachable_region
from aiida_finales.workflows.campaign import CampaignWorkChain
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.training import choose_training

EXAMPLES = Path(__file__).parents[2] / "examples" / "demonstration_1"
MIXED = {"LiPF6": 0.05, "EC": 0.25, "EMC": 0.3, "DMC": 0.4}


def serve(quantity, shares, temperature=298.15):
    parameters = {"formulation": make_formulation(shares), "temperature": temperature}
    request = RequestData(quantity, {TARGETS[quantity]: parameters}, "tester").store()
    outputs, node = run_get_node(ServeRequestWorkChain, request=request)
    assert node.is_finished_ok, node.exit_message
    return outputs["result"]


def doses(folder):
    return [json.loads(line) for line in (folder / "asab" / "doses.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("laboratory")


@pytest.fixture(scope="module")
def robot(registered, folder):
    tenant = setup_laboratory(folder, has_cells=False)[0]
    orm.load_computer(COMPUTER).set_minimum_job_poll_interval(0.0)
    return tenant


@pytest.mark.usefixtures("robot")
def test_two_requests_one_sample(folder):
    density, viscosity = (serve(quantity, MIXED) for quantity in ("density", "viscosity"))
    assert len(doses(folder)) == 1  # the dose of the first
    assert [result.base.attributes.get("simulated") for result in (density, viscosity)] == [True, True]
    assert density.value == pytest.approx(TRUTHS["density"](density.fractions, 298.15), rel=0.01)
    assert viscosity.value == pytest.approx(TRUTHS["viscosity"](viscosity.fractions, 298.15), rel=0.1)
    assert density.data["viscosity"]["values"] == viscosity.data["viscosity"]["values"]
    assert (density.rating, viscosity.rating) == (4, 3)
    assert density.data["made_of"] == viscosity.data["made_of"]


@pytest.mark.usefixtures("robot")
@pytest.mark.slow
def test_the_campaign_of_demonstration_1(folder):
    before = len(doses(folder))
    document = yaml.safe_load((EXAMPLES / "density.yaml").read_text())
    quick = {"seed": 3, "n_raw": 50, "keep": 16, "burn": 2, "n_hyper_samples": 2, "n_starts": 4}
    document |= {"initial": 2, "stop": {"evaluations": 3}, "optimiser": quick}
    run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()))
    overview = read_overview(CampaignGroup.find("demonstration-1-density"))
    assert len(overview.evaluations) == len(doses(folder)) - before == 3
    region = reachable_region(default_laboratory().offer("density").stocks)
    assert set(overview.problem["components"]) == set(region.names)
    best, truth = max(item.value for item in overview.evaluations), find_true_optimum(overview)
    # the stock solution with EC and DMC is the densest that can be mixed
    assert truth.mean == pytest.approx(1.2719, abs=2e-4)
    assert 1.05 < best < 1.01 * truth.mean


@pytest.mark.usefixtures("robot")
def test_a_simulated_density_is_a_second_source_of_the_campaign(aiida_localhost):
    """Its answers teach the density, not the viscosity, and are told apart from those of the robot."""
    setup_simulation(aiida_localhost.label, program="/opt/venv/bin/finales-md")
    campaign = read_campaign_file(EXAMPLES / "density_by_simulation.yaml")
    document = build_problem(campaign)
    sources = {item.name: item for item in Problem.from_dict(document["problem"]).sources}
    assert (sources["vibrating_tube_densimetry"].measures, sources["molecular_dynamics"].measures) == (
        ("density", "viscosity"),
        ("density",),
    )
    formulation = make_formulation(MIXED)
    results = []
    for method, others in (("vibrating_tube_densimetry", ("viscosity",)), ("molecular_dynamics", ())):
        body = {"values": [1.2], "temperature": 298.15, "meta": {"success": True, "rating": 4}}
        data = {"run_info": {"formulation": formulation, "internal_reference": method}}
        data |= dict.fromkeys(("density", *others), body)
        parameters = {"formulation": formulation, "temperature": 298.15}
        results.append(ResultData(find_capability("density", method), data, parameters).store())
    used, _ = choose_training(campaign, results, document["problem"]["components"])
    rows = make_question(document, used, [], source="molecular_dynamics", step=0)["observations"]
    assert {row["source"]: row["values"] for row in rows} == {
        "vibrating_tube_densimetry": {"density": 1.2, "viscosity": 1.2},
        "molecular_dynamics": {"density": 1.2},
    }


def test_another_file_is_another_laboratory(robot, folder):
    ours = folder / "ours.yaml"
    stocks = {"A": "2 mol/kg LiPF6 in EC:DMC 1:1 w/w", "B": "DMC"}
    ours.write_text(yaml.safe_dump({"stock_solutions": stocks}))
    for file in (ours, None):  # the second time as the first
        tenant = setup_laboratory(folder, has_cells=False, file=file)[0]
        assert tenant.version == robot.version + 1
    offer = tenant.find_offer("density", TARGETS["density"])
    assert max(part["fraction"][0]["max"] for part in offer["limitations"]["formulation"][0]) == 1.0
    first, second = (stock.fractions for stock in read_laboratory(ours).stocks)
    half = {key: (first.get(key, 0.0) + second.get(key, 0.0)) / 2 for key in first | second}
    result = serve("density", half)
    assert set(doses(folder)[-1]["volumes_mL"]) == {"A", "B"}
    assert set(result.data["made_of"]) == {"stock-A", "stock-B"}
