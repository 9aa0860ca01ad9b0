"""Density and viscosity: one mixing for both, and what is known of the numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_finales.lab.driver.evaluation import evaluate
from aiida_finales.lab.simulated.laboratory import TARGETS, default_laboratory
from aiida_finales.lab.simulated.mixing import RACK, read_order
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.registry import judge_result
from aiida_finales.science.electrolyte.density import benchmark_density
from aiida_finales.science.electrolyte.viscosity import benchmark_viscosity
from tests.lab.conftest import make_order
from tests.lab.documents import formulation

#: in the hull of Demonstration 1's stock solutions
MIXED = {"LiPF6": 0.05, "EC": 0.25, "EMC": 0.3, "DMC": 0.4}
THIN = {"LiPF6": 0.02, "EC": 0.1, "EMC": 0.1, "DMC": 0.78}


def ask(quantity, fractions=None, temperature=298.15, **settings):
    target = {"quantity": quantity, "method": TARGETS[quantity]}
    return make_order(fractions or MIXED, temperature, **settings) | target


def values(output, quantity):
    return output[quantity]["values"]


def test_without_noise_it_is_the_surface_of_what_was_mixed(bench):
    assert bench.call("a", ask("density", noise=0.0)) == 0
    output = bench.output()
    achieved = {part["chemical"]["InChIKey"]: part["fraction"] for part in output["formulation"]}
    assert values(output, "density") == pytest.approx([benchmark_density(achieved)] * 3)
    assert values(output, "viscosity") == pytest.approx([benchmark_viscosity(achieved)] * 3)
    assert (output["simulated"], output["success"], output["device"]) == (True, True, "asab")
    assert {name for name, volume in output["volumes_mL"].items() if volume} <= {
        stock.name for stock in default_laboratory().offer("density").stocks
    }


@pytest.mark.parametrize(("quantity", "noise"), [("density", 0.002), ("viscosity", 0.02)])
def test_noise_between_two_samples(bench, quantity, noise):
    means = []
    for number in range(60):
        assert bench.call(f"key-{number}", ask(quantity)) == 0
        means.append(np.mean(values(bench.output(), quantity)))
    # the standard error of a standard deviation of 60 samples is 9 %
    assert np.std(means) / np.mean(means) == pytest.approx(noise, rel=0.3)
    assert bench.doses().total() == 60


@pytest.mark.parametrize("order", [("density", "viscosity"), ("viscosity", "density")])
def test_density_and_viscosity_share_one_sample(lab, order):
    for quantity in order:
        assert lab.call("asab", quantity, ask(quantity)) == 0
    first, second = map(lab.output, order)
    doses = [line for line in lab.inventory.read_ledger() if line["act"] == "dose"]
    assert [line["key"] for line in doses] == [order[0]]
    (shared,) = [line for line in lab.inventory.read_ledger() if line["act"] == "measure"]
    assert (shared["key"], shared["dosed_for"], shared["quantity"]) == (order[1], *order)
    assert first["formulation_info"] == second["formulation_info"]
    assert values(first, "viscosity") == values(second, "viscosity")
    taken = 1000 - sum(lab.inventory.get(identity).content["amount_mL"] for identity in doses[0]["volumes_mL"])
    left = 1000 * (len(doses[0]["volumes_mL"]) - 1)
    assert taken + left == pytest.approx(4.2, abs=0.01)


def test_who_asks_twice_gets_two_samples(bench):
    for key in ("density-a", "density-b", "viscosity-c", "viscosity-d", "viscosity-e"):
        assert bench.call(key, ask(key.partition("-")[0])) == 0
    assert sorted(bench.doses()) == ["density-a", "density-b", "viscosity-e"]


OTHERS = {
    "another mixture": {"fractions": THIN},
    "another temperature": {"temperature": 303.15},
    "too late": {"keep_s": 0.0},
    "more of it": {"volume_mL": 6.0},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_not_the_same_sample_is_mixed(bench, other):
    assert bench.call("a", ask("density")) == 0
    assert bench.call("b", ask("viscosity", **other)) == 0
    assert sorted(bench.doses()) == ["a", "b"]


def test_the_rack_is_finite(bench):
    for number in range(RACK + 1):
        assert bench.call(f"key-{number}", ask("density", noise=0.0, volume_mL=4.2 + number / 100)) == 0
    assert bench.call("late", ask("viscosity", volume_mL=4.2)) == 0
    assert bench.call("in-time", ask("viscosity", volume_mL=4.2 + RACK / 100)) == 0
    assert (bench.doses()["late"], bench.doses()["in-time"]) == (1, 0)


def test_an_empty_bottle_does_not_matter_where_nothing_is_dosed(lab):
    assert lab.call("asab", "a", ask("density")) == 0
    lab.inventory.update("stock-DMC", "spilled", amount_mL=0.0)
    assert lab.call("asab", "b", ask("viscosity")) == 0
    assert lab.call("asab", "c", ask("viscosity")) == 75


@pytest.mark.parametrize("fault", ["die_after_dose", "die_before_dose", "fault_after_act", "bad_result"])
def test_what_is_in_doubt_is_not_shared(lab, fault):
    lab.fork("asab", "a", ask("density", fault=fault))
    assert lab.call("asab", "b", ask("viscosity")) == 0
    assert "b" in {line["key"] for line in lab.inventory.read_ledger() if line["act"] == "dose"}


def test_a_key_that_took_a_sample_takes_the_same_again(lab):
    assert lab.call("asab", "a", ask("density")) == 0
    lab.fork("asab", "b", ask("viscosity", fault="die_after_act"))
    assert lab.call("asab", "c", ask("viscosity")) == 0  # it is promised to b
    assert lab.call("asab", "b", ask("viscosity", fault="die_after_act")) == 75
    assert lab.settle("asab", "b", "not-done") == 0
    assert lab.call("asab", "b", ask("viscosity", fault="die_after_act")) == 0
    assert [line["key"] for line in lab.inventory.read_ledger() if line["act"] == "dose"] == ["a", "c"]
    assert lab.output("b")["formulation_info"]["batch"] == "a"


def test_the_same_key_is_done_once(bench):
    for _ in range(3):
        assert bench.call("a", ask("density")) == 0
    assert bench.doses() == {"a": 1}


def judge(output, quantity):
    found = evaluate((quantity, TARGETS[quantity]), output)
    verdict = judge_result(quantity, TARGETS[quantity], found.data, found.parameters)
    assert verdict.errors == []
    return found.data


def test_the_answer_has_the_published_form(bench):
    assert bench.call("a", ask("density")) == 0
    data = judge(bench.output(), "density")
    assert (len(data["density"]["values"]), len(data["viscosity"]["values"])) == (3, 3)
    assert data["run_info"]["formulation_info"]["batch"] == "a"
    assert bench.call("b", ask("viscosity")) == 0
    assert judge(bench.output(), "viscosity")["viscosity"] == data["viscosity"]
    assert bench.doses() == {"a": 1}


STOCK = default_laboratory().offer("density").stocks[0].fractions
RATINGS = {
    "a stock solution": ({get_chemical(key).name: share for key, share in STOCK.items()}, 298.15, 5),
    "EMC and DMC": (MIXED, 298.15, 4),
    "warm": (MIXED, 313.15, 3),
}


@pytest.mark.parametrize(("fractions", "temperature", "rating"), RATINGS.values(), ids=RATINGS)
def test_rating_falls_where_nobody_measured(bench, fractions, temperature, rating):
    assert bench.call("a", ask("density", fractions, temperature)) == 0
    data = judge(bench.output(), "density")
    assert (data["density"]["meta"]["rating"], data["viscosity"]["meta"]["rating"]) == (rating, 3)
    assert "guess" in data["viscosity"]["remark"]


def test_a_broken_sensor_is_no_success(bench):
    assert bench.call("a", ask("density", fault="sensor_out_of_range")) == 0
    data = judge(bench.output(), "density")
    assert data["density"]["meta"] == {"success": False, "rating": 1}


def test_repetitions_that_scatter_or_doubt_themselves(bench):
    assert bench.call("a", ask("density")) == 0
    output = bench.output()
    del output["viscosity"]
    output["density"] = {"values": [1.1, 1.15, 1.2], "status": ["valid"] * 3}
    assert judge(output, "density")["density"]["meta"]["rating"] == 2
    output["density"] = {"values": [1.1, 1.1001, 2.0], "status": ["valid", "valid", "FW/BW dev. too high"]}
    assert judge(output, "density")["density"]["values"] == [1.1, 1.1001]
    assert judge(output, "density")["density"]["meta"] == {"success": True, "rating": 5}


@pytest.mark.parametrize("quantity", ["density", "viscosity"])
def test_the_reader_accepts_what_the_schema_accepts(demand_same_reading, quantity):
    parameters = {"formulation": formulation(), "temperature": 301.15}
    demand_same_reading(quantity, TARGETS[quantity], parameters, read_order)


def test_out_of_the_hull_is_refused(bench, capsys):
    assert bench.call("a", ask("density", {"LiPF6": 0.1, "EC": 0.4, "EMC": 0.5})) == 65
    assert "nearest is LiPF6 0.0" in capsys.readouterr().err
    assert not bench.doses()


def test_all_that_one_laboratory_measures_shares_a_sample(bench, tmp_path):
    file = tmp_path / "own.yaml"
    stock = "{salts_mol_per_kg: {LiPF6: 1}, solvents_by_mass: {EC: 1, DMC: 2}}"
    file.write_text(f"stock_solutions:\n  A: {stock}\n  B: {{solvents_by_mass: {{DMC: 1}}}}\n")
    half = {"LiPF6": 0.0, "EC": 0.0, "DMC": 1.0}
    for key, quantity in (("a", "conductivity"), ("b", "density"), ("c", "viscosity")):
        assert bench.call(key, ask(quantity, half, laboratory=str(file))) == 0
    assert bench.doses() == {"a": 1}
    assert json.loads((bench.journal / "samples.json").read_text())["samples"][0]["used_for"].keys() == {
        "conductivity",
        "density",
        "viscosity",
    }


def test_limits_of_the_published_demonstration():
    limits = default_laboratory().offer("density").limitations("density")
    boxes = {part["chemical"]["InChIKey"]: part["fraction"][0] for part in limits["formulation"][0]}
    assert boxes[get_chemical("DMC").inchikey] == {"min": 0.0, "max": 1.0}
    assert boxes[get_chemical("LiPF6").inchikey]["max"] == pytest.approx(0.0873, abs=1e-4)
    assert len(limits["constraints"]) == 4  # a tetrahedron
