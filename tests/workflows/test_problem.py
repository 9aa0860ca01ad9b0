"""From a campaign and the registered tenants to the optimiser's problem."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_finales.broker.registration import deactivate_tenant
from aiida_finales.exceptions import CampaignFileError, InputError
from aiida_finales.optimisation.problem import Problem
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical
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
