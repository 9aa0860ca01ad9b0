"""A campaign learns only from results that are good and that say something about its question."""

from __future__ import annotations

import pytest

from aiida_finales.broker.results import DOUBTFUL, amend_result, delete_result
from aiida_finales.calculations.suggest import make_question
from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.problem import choose_training

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
        ({"success": False}, "not successful"),
        ({"value": 9.1}, "not plausible: conductivity.values[0]"),
        ({"temperature": 303.15}, "measured at 303.15 K, not at 301.15 K"),
        ({"method": "literature"}, "literature is no source of this campaign"),
        ({"shares": {"LiPF6": 0.1, "PC": 0.3, "EMC": 0.6}}, "it holds chemicals that the target cannot use"),
    ],
    ids=["rating", "rating-per-source", "failed", "unit", "temperature", "no-source", "other-chemicals"],
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
        ([1e200], "no usable number"),
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
