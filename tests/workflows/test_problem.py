"""From a campaign and the registered tenants to the optimiser's problem."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_finales.broker.matching import match
from aiida_finales.broker.registration import add_tenant, deactivate_tenant
from aiida_finales.exceptions import CampaignFileError, InputError
from aiida_finales.optimisation.problem import Problem
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.problem import build_problem

OCOND = {
    "name": "ocond",
    "quantity": "conductivity",
    "fixed": {"temperature": 301.15},
    "sources": {"two_electrode": {"cost": 10}, "empirical_model": {"cost": 1}},
    "initial": 4,
    "stop": {"evaluations": 12, "budget": 100, "gain_tolerance": 0.01},
    "optimiser": {"seed": 7},
}


def region_contains(problem, source, shares):
    found = next(item for item in Problem.from_dict(problem["problem"]).sources if item.name == source)
    point = {get_chemical(name).inchikey: share for name, share in shares.items()}
    return any(
        region.contains(np.array([point.get(name, 0.0) for name in region.names]), 1e-6) for region in found.regions
    )


def test_limitations_of_the_tenants_make_the_design_space(laboratory):
    problem = build_problem(parse_campaign(OCOND))
    assert json.loads(json.dumps(problem)) == problem
    assert set(problem["problem"]["components"]) == {get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC")}
    assert region_contains(problem, "two_electrode", {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})
    # inside of the published boxes, outside of what can be mixed from the stock solutions
    assert not region_contains(problem, "two_electrode", {"LiPF6": 0.09, "EC": 0.5, "EMC": 0.41})
    assert problem["requests"]["empirical_model"] == {
        "quantity": "conductivity",
        "method": "empirical_model",
        "fixed": {"temperature": 301.15},
    }
    assert problem["tenants"]["two_electrode"] == [laboratory[0].uuid]


def test_settings_reach_the_optimiser(laboratory):
    read = Problem.from_dict(build_problem(parse_campaign(OCOND))["problem"])
    assert (read.target, read.maximise) == ("two_electrode", True)
    assert {source.name: source.cost for source in read.sources} == {"two_electrode": 10.0, "empirical_model": 1.0}
    found = read.settings
    assert (found.seed, found.n_initial, found.max_evaluations, found.budget) == (7, 4, 12, 100.0)


def test_costs_are_those_that_the_tenants_declare_unless_the_campaign_says_otherwise(laboratory, add_offer):
    def costs(**sources):
        problem = Problem.from_dict(build_problem(parse_campaign({**OCOND, "sources": sources}))["problem"])
        return {source.name: source.cost for source in problem.sources}

    learned = {"ask": False}
    assert costs(two_electrode={}, empirical_model={"cost": 3}, literature=learned) == {
        "two_electrode": 10.0,
        "empirical_model": 3.0,
        "literature": 1.0,
    }
    add_offer("bench")  # declares no cost: the dearest of its tenants counts
    assert costs(two_electrode={}) == {"two_electrode": 10.0}


def test_building_twice_gives_the_same(laboratory):
    campaign = parse_campaign(OCOND)
    assert build_problem(campaign) == build_problem(campaign)


def test_a_source_that_nobody_offers(laboratory):
    campaign = parse_campaign({**OCOND, "sources": {"two_electrode": {}, "molecular_dynamics": {}}})
    with pytest.raises(CampaignFileError, match="no active tenant offers conductivity/molecular_dynamics; offered are"):
        build_problem(campaign)
    deactivate_tenant("asab-simulated")
    with pytest.raises(CampaignFileError, match="source 'two_electrode' is to be asked, but no active tenant offers"):
        build_problem(parse_campaign(OCOND))


def test_a_source_that_is_only_learned_from_needs_no_tenant(laboratory):
    sources = {"two_electrode": {}, "literature": {"ask": False}}
    problem = build_problem(parse_campaign({**OCOND, "sources": sources}))
    assert problem["tenants"]["literature"] == []


def test_a_target_without_composition(desk, add_offer):
    add_offer("robot")  # limits the temperature only
    with pytest.raises(CampaignFileError, match="source 'two_electrode' has no formulation to vary"):
        build_problem(parse_campaign({**OCOND, "sources": {"two_electrode": {}}}))


def test_wrong_settings_of_the_optimiser_are_named(laboratory):
    with pytest.raises(InputError, match="sede"):
        build_problem(parse_campaign({**OCOND, "optimiser": {"sede": 1}}))


LIFSI = ("[Li+].O=S(=O)(F)[N-]S(=O)(=O)F", "VDVLPSWVDYJFRW-UHFFFAOYSA-N")
DME = ("COCCOC", "XTHFKEDIFFGKHM-UHFFFAOYSA-N")
BENCH = {**OCOND, "sources": {"two_electrode": {}}}


def limits_of(*chemicals, low=273.0, high=333.0):
    """Return limitations that name chemicals (SMILES, InChIKey), each from 0.05 to 0.9."""
    parts = [
        {
            "chemical": {"SMILES": smiles, "InChIKey": key},
            "fraction": [{"min": 0.05, "max": 0.9}],
            "fraction_type": "molPerMol",
        }
        for smiles, key in chemicals
    ]
    return {"formulation": [parts], "temperature": [{"min": low, "max": high}]}


def test_chemicals_are_asked_for_when_a_tenant_gives_their_smiles(desk, add_offer):
    ec = get_chemical("EC")
    add_offer("fsi", limitations=limits_of(LIFSI, (ec.smiles, ec.inchikey), DME))
    problem = build_problem(parse_campaign(BENCH))
    assert problem["chemicals"] == {LIFSI[1]: LIFSI[0], DME[1]: DME[0]}
    assert problem["left_out"] == []
    asked = make_formulation({LIFSI[1]: 0.1, ec.inchikey: 0.4, DME[1]: 0.5}, problem["chemicals"])
    parameters = {"two_electrode": {"formulation": asked, "temperature": 301.15}}
    assert match("conductivity", parameters).is_feasible


@pytest.mark.parametrize(
    ("limitations", "words"),
    [
        (
            limits_of((LIFSI[0], LIFSI[1]), (DME[0], DME[1]), high=280.0),
            "temperature is 301.15, allowed is 273 to 280 K",
        ),
        (limits_of((LIFSI[0], LIFSI[1])), "has 1 chemicals to vary|has no formulation to vary"),
    ],
    ids=["temperature", "nothing-to-vary"],
)
def test_a_campaign_that_could_ask_for_nothing_is_refused(desk, add_offer, limitations, words):
    add_offer("fsi", limitations=limitations)
    with pytest.raises(CampaignFileError, match=words):
        build_problem(parse_campaign(BENCH))


def test_a_source_that_nobody_offers_any_more_keeps_its_space(desk, add_offer):
    emc, ec = get_chemical("EMC"), get_chemical("EC")
    add_offer("bench", limitations=limits_of((ec.smiles, ec.inchikey), (emc.smiles, emc.inchikey)))
    first = build_problem(parse_campaign(BENCH))
    deactivate_tenant("bench")
    second = build_problem(parse_campaign(BENCH), first)
    assert second["problem"] == first["problem"]
    assert "no active tenant offers conductivity/two_electrode" in second["unavailable"]["two_electrode"]


@pytest.mark.parametrize("number", [0, -1, "3", True, float("inf")])
@pytest.mark.parametrize("key", ["cost", "patience_s"])
def test_a_tenant_states_numbers_that_campaigns_can_work_with(desk, key, number):
    offer = {"quantity": "conductivity", "method": "two_electrode", "limitations": {}}
    offer |= {"cost": number} if key == "cost" else {"settings": {key: number}}
    with pytest.raises(InputError, match=f"{key} of an offer is .*, but accepted is a number above 0"):
        add_tenant("odd", [offer])
