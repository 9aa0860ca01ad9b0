"""From a campaign and the registered tenants to the optimiser's problem."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_finales.broker.matching import match
from aiida_finales.broker.registration import add_tenant, switch_tenant
from aiida_finales.broker.results import DOUBTFUL, amend_result, delete_result
from aiida_finales.calculations.question import make_question, place_variables
from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import CampaignFileError, InputError
from aiida_finales.optimisation import ask
from aiida_finales.optimisation.problem import Problem
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.left_out import LeftOut, tell_left_out
from aiida_finales.workflows.problem import _demand_options_told_apart, build_problem, read_unit
from aiida_finales.workflows.training import choose_training

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
    switch_tenant("asab-simulated", is_active=False)
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


#: chemicals that the library does not have
LISCN = ("[Li+].[S-]C#N", "ZJZXSOKJEJFHCP-UHFFFAOYSA-M")
TTE = ("FC(F)C(F)(F)COC(F)(F)C(F)F", "HCBRSIIGBBDDCD-UHFFFAOYSA-N")
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
    add_offer("fsi", limitations=limits_of(LISCN, (ec.smiles, ec.inchikey), TTE))
    problem = build_problem(parse_campaign(BENCH))
    assert problem["chemicals"] == {LISCN[1]: LISCN[0], TTE[1]: TTE[0], ec.inchikey: ec.smiles}
    assert problem["left_out"] == []
    asked = make_formulation({LISCN[1]: 0.1, ec.inchikey: 0.4, TTE[1]: 0.5}, problem["chemicals"])
    parameters = {"two_electrode": {"formulation": asked, "temperature": 301.15}}
    assert match("conductivity", parameters).is_feasible


@pytest.mark.parametrize(
    ("limitations", "words"),
    [
        (
            limits_of((LISCN[0], LISCN[1]), (TTE[0], TTE[1]), high=280.0),
            "temperature is 301.15, allowed is 273 to 280 K",
        ),
        (limits_of((LISCN[0], LISCN[1])), "has 1 chemicals to vary|has no formulation to vary"),
    ],
    ids=["temperature", "nothing-to-vary"],
)
def test_a_campaign_that_could_ask_for_nothing_is_refused(desk, add_offer, limitations, words):
    add_offer("fsi", limitations=limitations)
    with pytest.raises(CampaignFileError, match=words):
        build_problem(parse_campaign(BENCH))


@pytest.mark.parametrize("quantity", ["capacity", "radial_density_function", "cell_assembly"])
@pytest.mark.usefixtures("desk")
def test_a_result_without_a_value_is_no_objective(quantity):
    words = rf"a result of {quantity} has no single value .*objectives: \{{{quantity}: \{{number: "
    with pytest.raises(CampaignFileError, match=words):
        build_problem(parse_campaign({**OCOND, "quantity": quantity, "sources": {"workflow": {}}}))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("capacity_list.-l", "'-l' is no place in the list capacity_list: accepted is a whole number"),
        ("capacty_list.-1", "they have no 'capacty_list', only capacity_list, .*; did you mean 'capacity_list'"),
        ("cells.0.cell_info.uuid", "cells.0.cell_info.uuid is no number"),
        ("cell_info", "cell_info is no number: it has cell_name"),
        ("capacity_list.0.valeu", "capacity_list.0 has nothing in it"),
    ],
)
@pytest.mark.usefixtures("desk")
def test_a_number_that_no_result_has_is_no_objective(number, words):
    goal = {"quantity": "capacity", "number": number, "direction": "maximise"}
    document = {"name": "last", "objectives": {"last": {**goal, "sources": {"workflow": {}}}}}
    with pytest.raises(CampaignFileError, match=f"objective 'last' wants the number '{number}' .*{words}"):
        build_problem(parse_campaign(document))
    for accepted in ({**document, "is_sure": True}, {**document, "objectives": {"last": {
            **document["objectives"]["last"], "number": "cells.0.capacity_list.-1"}}}):  # fmt: skip
        with pytest.raises(CampaignFileError, match="no active tenant offers capacity/workflow"):
            build_problem(parse_campaign(accepted))


def test_a_number_beside_is_told_by_whoever_tells_it(laboratory):
    goal = {"quantity": "conductivity", "number": "conductivity.valeu", "direction": "maximise"}
    document = {**OCOND, "sources": {}, "objectives": {"ion": {**goal, "sources": {"two_electrode": {}}}}}
    del document["quantity"]
    with pytest.raises(CampaignFileError, match=r"conductivity has no 'valeu', only values, .*did you mean 'values'"):
        build_problem(parse_campaign(document))
    document["objectives"]["ion"]["number"] = "conductivity.values.0"
    campaign = parse_campaign(document)
    assert build_problem(campaign)["numbers"]["two_electrode"]["ion"]["number"] == "conductivity.values.0"
    assert campaign.goals["ion"].unit == "S/m"


def test_a_temperature_that_no_request_would_take_is_found_before_the_start(desk, add_offer):
    ec, emc = get_chemical("EC"), get_chemical("EMC")
    limits = {"formulation": limits_of((ec.smiles, ec.inchikey), (emc.smiles, emc.inchikey))["formulation"]}
    add_offer("any temperature", limitations=limits)
    with pytest.raises(CampaignFileError, match=r"temperature: 25.0 was given, .* looks like °C"):
        build_problem(parse_campaign({**BENCH, "fixed": {"temperature": 25}}))
    assert build_problem(parse_campaign({**BENCH, "fixed": {"temperature": 25}, "is_sure": True}))["is_sure"]


def test_a_campaign_goes_on_with_the_chemicals_that_it_began_with(desk, add_offer):
    ec, emc, dme = (get_chemical(name) for name in ("EC", "EMC", "DME"))
    add_offer("bench", limitations=limits_of((ec.smiles, ec.inchikey), (emc.smiles, emc.inchikey)))
    first = build_problem(parse_campaign(BENCH))
    add_offer("new", limitations=limits_of((ec.smiles, ec.inchikey), (dme.smiles, dme.inchikey)), cost=100)
    second = build_problem(parse_campaign(BENCH), first)
    assert (second["problem"], second["tenants"]) == (first["problem"], first["tenants"])
    assert second["left_out"] == ["what is offered of EC / DME is left out for two_electrode: it began without DME"]
    switch_tenant("bench", is_active=False)
    third = build_problem(parse_campaign(BENCH), second)  # another chemistry is not what it was begun for: it waits
    assert (third["problem"], third["tenants"]) == (first["problem"], first["tenants"])
    assert third["left_out"] == second["left_out"]
    assert "holds other chemicals than the campaign began with" in third["unavailable"]["two_electrode"]
    switch_tenant("bench", is_active=True)
    assert build_problem(parse_campaign(BENCH), third) == second


def test_a_tenant_that_goes_over_to_other_chemicals_takes_its_campaign_along(desk, add_offer):
    ec, emc, dme = (get_chemical(name) for name in ("EC", "EMC", "DME"))
    add_offer("bench", limitations=limits_of((ec.smiles, ec.inchikey), (emc.smiles, emc.inchikey)))
    first = build_problem(parse_campaign(BENCH))
    add_offer("bench", limitations=limits_of((ec.smiles, ec.inchikey), (dme.smiles, dme.inchikey)))
    second = build_problem(parse_campaign(BENCH), first)
    assert set(second["chemicals"].values()) == {ec.smiles, dme.smiles}
    assert (second["left_out"], second["unavailable"]) == ([], {})


def test_a_source_that_nobody_offers_any_more_keeps_its_space(desk, add_offer):
    emc, ec = get_chemical("EMC"), get_chemical("EC")
    add_offer("bench", limitations=limits_of((ec.smiles, ec.inchikey), (emc.smiles, emc.inchikey)))
    first = build_problem(parse_campaign(BENCH))
    switch_tenant("bench", is_active=False)
    second = build_problem(parse_campaign(BENCH), first)
    assert second["problem"] == first["problem"]
    assert "no active tenant offers conductivity/two_electrode" in second["unavailable"]["two_electrode"]


@pytest.fixture
def three_salts(desk, add_offer):
    """Three tenants with a salt each, in the same solvents."""
    for salt in ("LiPF6", "NaPF6", "KPF6"):
        chemicals = [get_chemical(name) for name in (salt, "EC", "EMC")]
        add_offer(salt, limitations=limits_of(*((item.smiles, item.inchikey) for item in chemicals)))


def test_salts_stand_for_one_another(three_salts):
    document = {**BENCH, "one_of": {"salt": ["LiPF6", "NaPF6"]}}
    built = build_problem(parse_campaign(document))
    problem = Problem.from_dict(built["problem"])
    lithium, sodium = (get_chemical(name).inchikey for name in ("LiPF6", "NaPF6"))
    assert problem.one_of == {"salt": (lithium, sodium)}
    assert len(problem.sources[0].regions) == 2
    assert built["left_out"] == [
        "what KPF6 offers of KPF6 / EC / EMC is left out for two_electrode: it has none of the chemicals of key "
        "'one_of' (salt)"]  # fmt: skip
    mixed = make_result(shares={"LiPF6": 0.05, "NaPF6": 0.05, "EC": 0.3, "EMC": 0.6})
    _, excluded = choose_training(parse_campaign(document), [mixed], list(problem.components))
    assert excluded[mixed.uuid] == "it has LiPF6 and NaPF6, but salt is to be one of them"


def test_a_tenant_that_mixes_all_salts_is_asked_for_each_in_every_step(desk, add_offer):
    chemicals = [get_chemical(name).inchikey for name in ("LiPF6", "NaPF6", "KPF6", "EC", "EMC")]
    stocks = [[0.1, 0, 0, 0.3, 0.6], [0, 0.1, 0, 0.3, 0.6], [0, 0, 0.1, 0.3, 0.6], [0, 0, 0, 0.35, 0.65]]
    hull = {"path": "formulation", "hull": {"chemicals": chemicals, "vertices": stocks}}
    add_offer("mixer", constraints=[hull])
    campaign = parse_campaign({**BENCH, "one_of": {"salt": ["LiPF6", "NaPF6", "KPF6"]}})
    first = build_problem(campaign)
    assert len(Problem.from_dict(first["problem"]).sources[0].regions) == 3
    assert build_problem(campaign, first)["problem"] == first["problem"]


@pytest.mark.parametrize(
    "within",
    [
        {"ranges": {"NaPF6": [0.03, 0.08]}},
        {"ranges": {"NaPF6": "0.3..1.2 mol/kg"}},
        {"constraints": [{"coefficients": {"NaPF6": 1}, "min": 0.03}]},
        {"fixed": {"NaPF6": 0.05}},
        {"constraints": [{"coefficients": {"LiPF6": 1, "NaPF6": 1}, "min": 0.03}]},
    ],
    ids=["range", "molality", "constraint", "fixed", "both"],
)
def test_what_is_said_of_one_salt_holds_where_it_is_the_one(three_salts, within):
    document = {**BENCH, "one_of": {"salt": ["LiPF6", "NaPF6"]}, "within": within}
    problem = Problem.from_dict(build_problem(parse_campaign(document))["problem"])
    lithium, sodium = (get_chemical(name).inchikey for name in ("LiPF6", "NaPF6"))
    regions = {
        salt: region for region in problem.sources[0].regions for salt in (lithium, sodium) if salt in region.names
    }
    assert set(regions) == {lithium, sodium}
    amounts = {salt: region.lower[region.names.index(salt)] for salt, region in regions.items()}
    assert amounts[lithium] <= 0.05


@pytest.mark.parametrize(
    ("salts", "words"),
    [
        (["LiPF6"], "accepted are two chemicals or more, each once"),
        (["LiPF6", "lipf6"], "accepted are two chemicals or more, each once"),
        (["LiPF6", "Mg(TFSI)2"], "one_of names Mg.*, but the tenants offer KPF6, EC"),
        (["LiPF6", "LiXY"], "LiXY"),
    ],
    ids=["one", "twice", "nobody", "unknown"],
)
def test_salts_that_cannot_stand_for_one_another(three_salts, salts, words):
    with pytest.raises(CampaignFileError, match=words):
        build_problem(parse_campaign({**BENCH, "one_of": {"salt": salts}}))


@pytest.mark.parametrize("number", [0, -1, "3", True, float("inf")])
@pytest.mark.parametrize("key", ["cost", "patience_s"])
def test_a_tenant_states_numbers_that_campaigns_can_work_with(desk, key, number):
    offer = {"quantity": "conductivity", "method": "two_electrode", "limitations": {}}
    offer |= {"cost": number} if key == "cost" else {"settings": {key: number}}
    with pytest.raises(InputError, match=f"{key} of the offer of conductivity/two_electrode is .* a number above 0"):
        add_tenant("odd", [offer])


COMPONENTS = [get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC")]
CAMPAIGN = {
    "name": "learns",
    "quantity": "conductivity",
    "fixed": {"temperature": 301.15},
    "sources": {"two_electrode": {"min_rating": 3}, "empirical_model": {"min_rating": 5}},
}


def make_result(
    method="two_electrode", rating=4, success=True, temperature=301.15, shares=None, value=0.9
) -> ResultData:
    """Return a stored result."""
    formulation = make_formulation(shares or {"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6})
    data = {
        "run_info": {"formulation": formulation, "internal_reference": "here"},
        "conductivity": {"values": [value], "temperature": temperature, "meta": {"success": success, "rating": rating}},
    }
    parameters = {"formulation": formulation, "temperature": temperature}
    return ResultData(find_capability("conductivity", method), data, parameters).store()


def test_good_result_is_learned_from(registered):
    result = make_result()
    used, excluded = choose_training(parse_campaign(CAMPAIGN), [result], COMPONENTS)
    assert ([node.uuid for node in used], excluded) == ([result.uuid], {})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rating": 2}, "rating 2 is below 3"),
        ({"method": "empirical_model", "rating": 4}, "rating 4 is below 5"),
        ({"rating": None}, "it has no rating, and at least 3 is asked for"),
        ({"success": False}, "not successful"),
        (
            {"value": 9.1},
            "not plausible: conductivity.values[0]: 9.1 was given, accepted is 0 to 5 S/m: 9.1 looks like mS/cm or "
            "mS/m or µS/cm",
        ),
        (
            {"temperature": 28.0},
            "not plausible: conductivity.temperature: 28.0 was given, accepted is 150 to 500 K: 28 looks like °C",
        ),
        ({"temperature": 303.15}, "measured at 303.15 K, not at 301.15 K"),
        ({"method": "literature"}, "literature is no source of this campaign"),
        (
            {"shares": {"LiPF6": 0.1, "PC": 0.3, "EMC": 0.6}},
            "it holds PC, the target is made of LiPF6, EC, EMC only",
        ),
    ],
    ids=[
        "rating",
        "rating-per-source",
        "unrated",
        "failed",
        "unit",
        "celsius",
        "temperature",
        "no-source",
        "other-chemicals",
    ],
)
def test_other_results_are_left_out_with_the_reason(registered, given, reason):
    result = make_result(**given)
    used, excluded = choose_training(parse_campaign(CAMPAIGN), [result], COMPONENTS)
    assert (used, excluded) == ([], {result.uuid: reason})


@pytest.mark.parametrize("given", [{"rating": 1}, {"success": False}], ids=["rating", "failed"])
def test_bad_results_are_left_out_of_every_source_by_default(registered, given):
    sources = {name: {} for name in ("two_electrode", "empirical_model", "literature")}
    results = [make_result(method, **given) for method in sources]
    used, excluded = choose_training(parse_campaign({**CAMPAIGN, "sources": sources}), results, COMPONENTS)
    assert used == []
    assert set(excluded.values()) <= {"rating 1 is below 2", "not successful"}
    assert len(excluded) == 3


def test_what_came_of_an_invalid_sample_or_result_is_left_out(registered):
    result = make_result()
    result.base.extras.set(DOUBTFUL, "sample vial-7 became invalid: wrong bottle")
    used, excluded = choose_training(parse_campaign(CAMPAIGN), [result], COMPONENTS)
    assert (used, excluded) == ([], {result.uuid: "doubtful: sample vial-7 became invalid: wrong bottle"})


def test_a_value_without_logarithm_is_left_out_where_logarithms_are_modelled(registered):
    formulation = make_formulation({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6})
    data = {
        "run_info": {"formulation": formulation, "internal_reference": "here"},
        "conductivity": {"values": [0.0], "temperature": 301.15, "meta": {"success": True, "rating": 4}},
    }
    parameters = {"formulation": formulation, "temperature": 301.15}
    result = ResultData(find_capability("conductivity", "two_electrode"), data, parameters).store()
    assert choose_training(parse_campaign(CAMPAIGN), [result], COMPONENTS)[1] == {}
    excluded = choose_training(parse_campaign({**CAMPAIGN, "transform": "log"}), [result], COMPONENTS)[1]
    assert excluded == {result.uuid: "a value of 0 has no logarithm"}


@pytest.mark.parametrize(
    ("formulation", "reason"),
    [
        ([0.1, 0.3, 0.5997], None),
        ([0.1, 0.3, 0.6009], None),
        ([0.1, 0.3, 0.58], "with sum 0.98, accepted are 0 to 1 with sum 1"),
        ([-0.1, 0.3, 0.8], "accepted are 0 to 1 with sum 1"),
        (["0.1", "0.3", "0.6"], None),
        (["a", "b", "c"], None),  # what was asked counts then
        ([0.1, 0.3, None], None),
        ([], "there is no formulation in it"),
        ([1e308, 1e308, 1], "accepted are 0 to 1 with sum 1"),
    ],
)
def test_whatever_a_formulation_is_the_optimiser_can_be_asked(registered, formulation, reason):
    chemicals = [{"SMILES": "C", "InChIKey": key} for key in COMPONENTS]
    parts = [
        {"chemical": chemical, "fraction": share, "fraction_type": "molPerMol"}
        for chemical, share in zip(chemicals, formulation, strict=False)
    ]
    data = {
        "run_info": {"formulation": parts, "internal_reference": "here"},
        "conductivity": {"values": [0.9], "temperature": 301.15, "meta": {"success": True, "rating": 4}},
    }
    asked = make_formulation({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}) if formulation else []
    parameters = {"formulation": asked, "temperature": 301.15}
    result = ResultData(find_capability("conductivity", "two_electrode"), data, parameters).store()
    used, excluded = choose_training(parse_campaign(CAMPAIGN), [result], COMPONENTS)
    assert bool(used) == (reason is None)
    assert reason is None or reason in excluded[result.uuid]
    how = {"quantity": "conductivity", "method": "two_electrode"}
    problem = {"problem": {"components": COMPONENTS}, "requests": {"two_electrode": how}}
    for row in make_question(problem, used, [], source="", step=0)["observations"]:
        assert sum(row["x"]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["0.9"], "no usable number"),
        ([], "no usable number"),
        ([1e200], "not plausible: conductivity.values[0]"),
        ([True], "no usable number"),
    ],
)
def test_what_is_no_number_is_left_out(registered, values, reason):
    formulation = make_formulation({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6})
    data = {
        "run_info": {"formulation": formulation, "internal_reference": "here"},
        "conductivity": {"values": values, "temperature": 301.15, "meta": {"success": True, "rating": 4}},
    }
    parameters = {"formulation": formulation, "temperature": 301.15}
    result = ResultData(find_capability("conductivity", "two_electrode"), data, parameters).store()
    assert reason in choose_training(parse_campaign(CAMPAIGN), [result], COMPONENTS)[1][result.uuid]


def test_deleted_and_replaced_results_are_left_out(registered):
    deleted, replaced, replacement = make_result(), make_result(), make_result()
    delete_result(deleted.pk, "me", "the cell leaked")
    amend_result(replaced.pk, "me", "wrong cell constant", replacement)
    used, excluded = choose_training(parse_campaign(CAMPAIGN), [deleted, replaced, replacement], COMPONENTS)
    assert [node.uuid for node in used] == [replacement.uuid]
    assert excluded == {deleted.uuid: "deleted: the cell leaked", replaced.uuid: "amended: wrong cell constant"}


WARM = {
    "name": "warm",
    "quantity": "conductivity",
    "sources": {"two_electrode": {}},
    "variables": {"temperature": {"max": 320}},
}


class TestVariables:
    """A campaign that varies the temperature within what its tenants can do."""

    @pytest.fixture
    def problem(self, desk, add_offer):
        ec, emc, salt = (get_chemical(name) for name in ("EC", "EMC", "LiPF6"))
        add_offer(
            "bench", limitations=limits_of(*((item.smiles, item.inchikey) for item in (salt, ec, emc)), high=333.0)
        )
        return build_problem(parse_campaign(WARM))

    def test_its_range_is_what_tenants_and_the_file_allow(self, problem):
        variable = Problem.from_dict(problem["problem"]).variables[0]
        assert (variable.name, variable.lower, variable.upper, variable.unit) == ("temperature", 273.0, 320.0, "K")
        assert Problem.from_dict(problem["problem"]).sources[0].variables == {"temperature": (273.0, 320.0)}

    def test_what_lies_between_the_ranges_of_tenants_is_not_asked_for(self, desk, add_offer):
        ec, emc, salt = (get_chemical(name) for name in ("EC", "EMC", "LiPF6"))
        limits = limits_of(*((item.smiles, item.inchikey) for item in (salt, ec, emc)))
        limits["temperature"] = [
            {"min": 273.0, "max": 280.0},
            {"min": 298.0, "max": 298.0},
            {"min": 315.0, "max": 333.0},
        ]
        add_offer("bench", limitations=limits)
        problem = Problem.from_dict(json.loads(json.dumps(build_problem(parse_campaign(WARM))["problem"])))
        source = problem.sources[0]
        assert (source.variables["temperature"], source.pieces["temperature"]) == (
            (273.0, 320.0),
            ((273.0, 280.0), (298.0, 298.0), (315.0, 320.0)),
        )
        asked = [ask(problem, (), (), source.name, step).x[-1] for step in range(8)]
        space, rng = DesignSpace.of_source(problem, source.name), np.random.default_rng(0)
        points, parts = space.sample(50, rng)
        moved = space.perturb(points, parts, 0.3, rng)
        for kelvin in (*asked, *points[:, -1], *moved[:, -1], *space.on_faces(20, rng)[0][:, -1]):
            assert any(low <= kelvin <= high for low, high in source.pieces["temperature"])

    def test_results_at_any_temperature_teach_and_those_without_are_left_out(self, problem):
        campaign = parse_campaign(WARM)
        results = [make_result(temperature=temperature) for temperature in (280.0, 330.0, None)]
        used, excluded = choose_training(campaign, results, problem["problem"]["components"])
        assert used == results[:2]
        assert excluded == {results[2].uuid: "it does not say its temperature"}
        rows = make_question(problem, used, [], source="two_electrode", step=0)["observations"]
        assert sorted(row["x"][-1] for row in rows) == [280.0, 330.0]
        assert all(row["values"] == {"conductivity": 0.9} for row in rows)

    def test_a_point_says_at_which_temperature(self, problem):
        from aiida_finales.calculations.suggest import describe_point

        assert describe_point(problem["problem"], [0.1, 0.3, 0.6, 310.5]).endswith("temperature 310.5 K")
        placed = place_variables({"a": {"b": 1}}, {"a.c": 2.0, "temperature": 300.0})
        assert placed == {"a": {"b": 1, "c": 2.0}, "temperature": 300.0}

    @pytest.mark.parametrize(
        ("variables", "words"),
        [
            (
                {"temperature": {"min": 400}},
                "'temperature' is to be 400.0 to None, tenants allow 273 to 333 K; °C",
            ),
            ({"stirring": {"min": 1, "max": 2}}, "variable 'stirring' is no parameter .* formulation, temperature"),
            ({"formulation": {"min": 0, "max": 1}}, "variable 'formulation' cannot vary"),
        ],
    )
    def test_what_cannot_vary_is_refused(self, problem, variables, words):
        with pytest.raises(CampaignFileError, match=words):
            build_problem(parse_campaign({**WARM, "variables": variables}))

    def test_what_varies_is_not_fixed(self):
        with pytest.raises(CampaignFileError, match="temperature is a variable and fixed: leave one out"):
            parse_campaign({**WARM, "fixed": {"temperature": 300}})


class TestCategories:
    """A campaign over two temperatures as options; a tenant may be able to do one of them only."""

    @pytest.fixture
    def document(self):
        options = {"cold": {"temperature": 280.0}, "warm": {"temperature": 320.0}}
        return {**{key: value for key, value in WARM.items() if key != "variables"},
                "categories": {"room": {"options": options}}}  # fmt: skip

    def test_a_source_is_asked_for_what_its_tenants_can_do(self, desk, add_offer, document):
        parts = [(item.smiles, item.inchikey) for item in map(get_chemical, ("LiPF6", "EC", "EMC"))]
        add_offer("bench", limitations=limits_of(*parts, high=300.0))
        problem = Problem.from_dict(build_problem(parse_campaign(document))["problem"])
        assert problem.categories[0].options == ("cold", "warm")
        assert problem.sources[0].options == {"room": ("cold",)}

    def test_rows_say_of_which_option_they_are(self, desk, add_offer, document):
        parts = [(item.smiles, item.inchikey) for item in map(get_chemical, ("LiPF6", "EC", "EMC"))]
        add_offer("bench", limitations=limits_of(*parts, high=330.0))
        campaign, problem = parse_campaign(document), build_problem(parse_campaign(document))
        results = [make_result(temperature=temperature) for temperature in (280.0, 320.0, 300.0)]
        used, excluded = choose_training(campaign, results, problem["problem"]["components"])
        assert excluded == {results[2].uuid: "its room is none of cold, warm"}
        rows = make_question(problem, used, [], source="two_electrode", step=0)["observations"]
        assert {row["uuid"]: row["category"] for row in rows} == {
            results[0].uuid: {"room": "cold"},
            results[1].uuid: {"room": "warm"},
        }

    def test_a_point_of_a_person_names_its_option(self, desk, add_offer, document):
        from aiida_finales.exceptions import InputError
        from aiida_finales.operations.campaign.steer import _make_request, read_point

        parts = [(item.smiles, item.inchikey) for item in map(get_chemical, ("LiPF6", "EC", "EMC"))]
        add_offer("bench", limitations=limits_of(*parts, high=330.0))
        campaign, problem = parse_campaign(document), build_problem(parse_campaign(document))
        said = read_point("1 mol/kg LiPF6 in EC:EMC 3:7 w/w room=warm", campaign.categories)
        assert said.pop("room") == "warm"
        assert said == pytest.approx(read_mixture("1 mol/kg LiPF6 in EC:EMC 3:7 w/w").fractions)
        point = read_point("LiPF6=0.1 EC=0.3 EMC=0.6 room=warm", campaign.categories)
        request = _make_request(campaign, problem, "two_electrode", point)
        assert request.parameters["two_electrode"]["temperature"] == 320.0
        with pytest.raises(InputError, match="room of the point is 'hot', but accepted is one of cold, warm"):
            _make_request(campaign, problem, "two_electrode", {**point, "room": "hot"})


class TestAlternatives:
    """What a tenant can do with one composition it may not be able to do with another one."""

    @pytest.fixture
    def salt_free(self):
        """Limitations: EC with EMC when it is cold, EC with DMC when it is warm."""
        ec, emc, dmc = ((item.smiles, item.inchikey) for item in map(get_chemical, ("EC", "EMC", "DMC")))
        return [limits_of(ec, emc, low=273.0, high=283.0), limits_of(ec, dmc, low=313.0, high=333.0)]

    @staticmethod
    def list_asked(document, n=40):
        """Return the requests that the space of the only source can lead to: initial, anywhere, and moved there."""
        problem = Problem.from_dict(json.loads(json.dumps(document["problem"])))
        space, rng = DesignSpace.of_source(problem, problem.target), np.random.default_rng(0)
        points, parts = space.sample(n, rng)
        moved, faces, foreign = (
            space.perturb(points, parts, 0.3, rng), space.on_faces(n, rng)[0], space.admit(points[::-1])[0]
        )  # fmt: skip
        asked = [ask(problem, (), (), problem.target, step) for step in range(10)]
        told = [(item.x, item.category) for item in asked]
        told += [problem.decode(space.round(point)[0].tolist()) for point in np.vstack([moved, faces, foreign])]
        for x, category in told:
            fixed = place_variables(
                {}, dict(zip(document["paths"].values(), x[len(problem.components) :], strict=True))
            )
            for name, option in (category or {}).items():
                fixed |= document["categories"][name][option]
            shares = dict(zip(problem.components, x, strict=False))
            yield {"formulation": make_formulation(shares, document["chemicals"]), **fixed}

    @pytest.mark.parametrize("n_tenants", [1, 2])
    def test_every_point_can_be_done_by_somebody(self, desk, add_offer, salt_free, n_tenants):
        for number, limitations in enumerate([salt_free] if n_tenants == 1 else salt_free):
            add_offer(f"bench {number}", limitations=limitations)
        document = build_problem(parse_campaign({**WARM, "variables": {"temperature": {}}}))
        kelvin = set()
        for parameters in self.list_asked(document):
            kelvin.add(round(parameters["temperature"], -1))
            assert match("conductivity", {"two_electrode": parameters}).is_feasible, parameters
        assert {280.0, 320.0} <= kelvin

    def test_options_go_with_what_the_tenant_does_with_them(self, desk, add_offer, salt_free):
        add_offer("bench", limitations=salt_free)
        rooms = {"cold": {"temperature": 280.0}, "warm": {"temperature": 320.0}}
        campaign = {key: value for key, value in WARM.items() if key != "variables"}
        document = build_problem(parse_campaign({**campaign, "categories": {"room": {"options": rooms}}}))
        source = Problem.from_dict(document["problem"]).sources[0]
        assert source.options == {"room": ("cold", "warm")}
        assert [beside.options["room"] for beside in source.beside] == [("cold",), ("warm",)]
        for parameters in self.list_asked(document):
            assert match("conductivity", {"two_electrode": parameters}).is_feasible, parameters

    def test_alternatives_that_differ_in_one_thing_are_one(self, desk, add_offer):
        ec, emc = ((item.smiles, item.inchikey) for item in map(get_chemical, ("EC", "EMC")))
        ranges = [(273.0, 283.0), (313.0, 333.0)]
        add_offer("bench", limitations=[limits_of(ec, emc, low=low, high=high) for low, high in ranges])
        source = Problem.from_dict(
            build_problem(parse_campaign({**WARM, "variables": {"temperature": {}}}))["problem"]
        ).sources[0]
        assert (len(source.regions), source.beside, source.pieces) == (1, (), {"temperature": tuple(ranges)})

    def test_a_source_that_nobody_offers_any_more_keeps_what_goes_together(self, desk, add_offer, salt_free):
        add_offer("bench", limitations=salt_free)
        campaign = parse_campaign({**WARM, "variables": {"temperature": {}}})
        first = build_problem(campaign)
        switch_tenant("bench", is_active=False)
        assert build_problem(campaign, first)["problem"] == first["problem"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fixed": {"temprature": 301.15}}, "fixed has temprature, which no method of the sources knows: did you mean"),
        ({"fixed": {"Temperature": 301.15}}, "did you mean temperature?"),
        (
            {"fixed": {}, "categories": {"room": {"options": {"a": {"temperatur": 300}, "b": {"temperatur": 310}}}}},
            "option 'a' of category 'room' has temperatur, which",
        ),
        ({"optimiser": {"seed": "one"}}, "optimiser.seed is 'one', but accepted is a number"),
    ],
)
def test_what_would_be_of_no_effect_is_refused(laboratory, change, words):
    with pytest.raises(CampaignFileError, match=words.replace("?", r"\?")):
        build_problem(parse_campaign({**OCOND, **change}))


def test_a_parameter_that_only_tenants_know_is_let_through(laboratory):
    fixed = {"temperature": 301.15, "bottle": "brown"}
    assert build_problem(parse_campaign({**OCOND, "fixed": fixed}))["requests"]["two_electrode"]["fixed"] == fixed
    mistyped = {**OCOND, "fixed": {"temperature_": 301.15}, "is_sure": True}
    assert build_problem(parse_campaign(mistyped))["is_sure"]


def test_many_tenants_that_offer_something_else_are_told_in_few_lines(desk, add_offer):
    """Who has a profile with many tenants reads one line of all that do not count for the same reason."""
    chemicals = {name: get_chemical(name) for name in ("LiPF6", "NaPF6", "EC", "EMC", "DME")}

    def limit(*names):
        return limits_of(*((chemicals[name].smiles, chemicals[name].inchikey) for name in names))

    add_offer("own", limitations=limit("LiPF6", "EC", "EMC"))
    for number in range(6):
        add_offer(f"other {number}", limitations=limit("NaPF6", "EC", "EMC"))
    document = {**BENCH, "within": {"ranges": {"LiPF6": [0.02, 0.1]}}}
    built = build_problem(parse_campaign(document))
    why = "nothing of it is within what the campaign allows (key 'within')"
    assert built["left_out"] == [
        "what other 0, other 1, other 2 and 3 others offer of NaPF6 / EC / EMC is left out for two_electrode (6 "
        f"tenants): {why}"
    ]
    for number, name in enumerate(("DME", "EMC", "EC")):
        add_offer(f"foreign {number}", limitations=limit("LiPF6", name))
    add_offer("last", limitations=limit("LiPF6", "DME", "EC"))
    later = build_problem(parse_campaign({**document, "within": None}), built)["left_out"]
    assert later == [
        "what is offered of LiPF6 / DME and LiPF6 / DME / EC is left out for two_electrode (2 mixtures): it began "
        "without DME",
        "what is offered of NaPF6 / EC / EMC is left out for two_electrode: it began without NaPF6",
    ]


def test_reasons_of_many_kinds_are_told_together():
    items = [LeftOut("robot", f"t{n}", "EC / EMC", f"temperature is 298 K, allowed is {n} K") for n in range(6)]
    first, second, rest = tell_left_out([*items, LeftOut("robot", "t9", "EC / DME", items[1].why)])
    assert first == (
        "what t1 and t9 offer of EC / EMC and EC / DME is left out for robot (2 tenants, 2 mixtures): temperature is "
        "298 K, allowed is 1 K"
    )
    assert second == "what t0 offers of EC / EMC is left out for robot: temperature is 298 K, allowed is 0 K"
    assert rest == (
        "what t2, t3, t4 and t5 offer of EC / EMC is left out for robot (4 tenants), for 4 reasons, as "
        "EC / EMC: temperature is 298 K, allowed is 2 K"
    )


def test_a_variable_has_the_unit_that_its_method_states(desk):
    goal = {"quantity": "capacity", "number": "capacity_list.-1", "direction": "maximise", "sources": {"workflow": {}}}
    campaign = parse_campaign({"name": "c", "objectives": {"last": goal}})
    told = {path: read_unit(campaign, path) for path in ("c_rate_charge", "cycling_V_max", "separator.size", "colour")}
    assert told == {"c_rate_charge": "1/h", "cycling_V_max": "V", "separator.size": "cm²", "colour": ""}


def test_a_category_that_the_target_cannot_see_is_refused(registered):
    """The chain builds the same cells whatever the housing and the protocol of a model are: it was asked for each."""
    housings = {"coin": {"cell_design": {"format": "coin"}}, "pouch": {"cell_design": {"format": "pouch"}}}
    given = {"name": "c", "quantity": "degradationEOL", "target": "degradation_workflow",
             "sources": {"degradation_workflow": {}, "lifetime_generator": {}},
             "categories": {"housing": {"options": housings}}}  # fmt: skip
    words = r"'degradation_workflow' cannot tell the options coin, pouch of category 'housing' apart: it knows nothing"
    with pytest.raises(CampaignFileError, match=words):
        _demand_options_told_apart(parse_campaign(given))
    _demand_options_told_apart(parse_campaign({**given, "is_sure": True}))
    _demand_options_told_apart(parse_campaign({**given, "target": "lifetime_generator"}))
    # electrodes are told apart by names that stand below what the method has
    named = {name: {"battery_chemistry": {"cathode": {"name": name}}} for name in ("LFP", "NCA")}
    _demand_options_told_apart(parse_campaign({**given, "categories": {"positive": {"options": named}}}))
