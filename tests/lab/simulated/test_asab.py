"""What the simulated robot mixes and measures."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest

from aiida_finales.exceptions import DeviceLimitationError
from aiida_finales.lab.driver.command import run_driver
from aiida_finales.lab.simulated.asab import Asab
from aiida_finales.lab.simulated.mixing import read_order
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
from aiida_finales.science.electrolyte.impedance import conductivity_from_resistance, fit_resistance
from tests.lab.documents import formulation


def analyse(output):
    spectrum = output["spectrum"]
    impedance = np.array(spectrum["real_ohm"]) + 1j * np.array(spectrum["imaginary_ohm"])
    fit = fit_resistance(spectrum["frequency_Hz"], impedance)
    return fit, conductivity_from_resistance(
        fit.resistance, output["cell_constant_per_m"], output["contact_resistance_ohm"]
    )


def achieved(output):
    return {part["chemical"]["InChIKey"]: part["fraction"] for part in output["formulation"]}


@pytest.mark.parametrize("temperature", [283.15, 301.15, 323.15])
def test_spectrum_holds_the_true_conductivity(bench, make_order, temperature):
    assert bench.call("a", make_order(temperature=temperature, noise=0.0)) == 0
    output = bench.output()
    fit, conductivity = analyse(output)
    assert conductivity == pytest.approx(benchmark_conductivity(achieved(output), temperature), rel=2e-3)
    assert fit.rating == 5
    assert output["temperature"] == temperature


def test_output_says_what_it_is(bench, order):
    assert bench.call("a", order) == 0
    output = bench.output()
    assert output["simulated"] is True
    assert output["success"] is True
    assert (output["device"], output["key"]) == ("asab", "a")
    assert list(output)[-1] == "end"
    assert output["end"] == "finales-driver-output"
    assert sum(achieved(output).values()) == pytest.approx(1)
    assert sum(output["volumes_mL"].values()) == pytest.approx(4.2, abs=2e-3)


def test_achieved_differs_from_asked_by_the_dosing_step(bench, make_order):
    assert bench.call("a", make_order(resolution_mL=0.1)) == 0
    coarse = bench.output()["formulation_deviation"]
    assert bench.call("b", make_order(resolution_mL=0.001)) == 0
    assert bench.output()["formulation_deviation"] < 2e-4 < coarse < 2e-2


def test_noise_is_two_percent_and_belongs_to_the_key(bench, order, make_order):
    measured = []
    for index in range(30):
        assert bench.call(f"key-{index}", order) == 0
        measured.append(analyse(bench.output())[1])
    # standard error of a standard deviation from 30 samples is 13 %
    assert np.std(measured) / np.mean(measured) == pytest.approx(0.02, rel=0.3)
    bench.journal = bench.folder / "another"
    assert bench.call("key-0", order) == 0
    assert analyse(bench.output())[1] == measured[0]
    assert bench.call("key-0b", make_order(seed=1)) == 0
    assert analyse(bench.output())[1] not in measured


def test_without_temperature_the_robot_uses_its_own(bench, make_order):
    assert bench.call("a", make_order(temperature=None)) == 0
    assert bench.output()["temperature"] == 301.15


@pytest.mark.parametrize("fractions", [{"EMC": 1.0}, {"EC": 0.5, "EMC": 0.5}, {"LiPF6": 0.12, "EMC": 0.88}])
def test_edges_of_the_reachable_set_are_measured(bench, make_order, fractions):
    assert bench.call("a", make_order(fractions)) == 0
    fit, conductivity = analyse(bench.output())
    assert fit.resistance > 0
    assert conductivity < 1


def test_a_chemical_without_share_needs_no_stock_solution(bench, make_order):
    assert bench.call("a", make_order({"LiPF6": 0.08, "EC": 0.4, "EMC": 0.52, "DMC": 0.0})) == 0


UNREACHABLE = {
    "too much salt": ({"LiPF6": 0.2, "EC": 0.2, "EMC": 0.6}, "nearest is LiPF6 0.1"),
    "inside the box, outside the hull": ({"LiPF6": 0.09, "EC": 0.5, "EMC": 0.41}, "nearest is LiPF6 0.0"),
    "inside the hull, outside the box": ({"LiPF6": 0.135, "EC": 0.0, "EMC": 0.865}, "nearest is LiPF6 0.12"),
    "another solvent": ({"LiPF6": 0.1, "EC": 0.2, "DMC": 0.7}, "no stock solution contains DMC"),
}


@pytest.mark.parametrize(("fractions", "words"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_out_of_reach_is_refused_with_the_nearest(bench, make_order, capsys, fractions, words):
    assert bench.call("a", make_order(fractions)) == 65
    assert words in capsys.readouterr().err
    assert not bench.doses()


@pytest.mark.parametrize(
    "case", ["too much salt", "inside the box, outside the hull", "inside the hull, outside the box"]
)
def test_the_nearest_named_is_accepted(bench, make_order, capsys, case):
    assert bench.call("a", make_order(UNREACHABLE[case][0])) == 65
    words = capsys.readouterr().err.rsplit("nearest is ", 1)[1].split(", ")
    nearest = {name: float(value) for name, value in (word.split() for word in words)}
    assert bench.call("b", make_order(nearest)) == 0


@pytest.mark.parametrize("temperature", [200.0, 283.0, 323.2])
def test_temperatures_out_of_range_are_refused(bench, make_order, capsys, temperature):
    assert bench.call("a", make_order(temperature=temperature)) == 65
    assert "accepts 283.15 to 323.15 K" in capsys.readouterr().err


def component(name="EMC", fraction=1.0, fraction_type="molPerMol"):
    chemical = get_chemical(name)
    inner = {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey}
    return {"chemical": inner, "fraction": fraction, "fraction_type": fraction_type}


def in_formulation(*components):
    return {"parameters": {"formulation": list(components), "temperature": 301.15}}


BAD_INPUT = {
    "other quantity": ({"quantity": "colour"}, "quantity: 'colour' was given"),
    "other method": ({"method": "md"}, "method: 'md' was given"),
    "no parameters": ({"parameters": None}, "parameters: None was given"),
    "no formulation": ({"parameters": {}}, "parameters.formulation: None was given"),
    "empty formulation": (in_formulation(), "parameters.formulation"),
    "component is text": (in_formulation("EC"), "formulation[0]"),
    "no InChIKey": (in_formulation({"chemical": {"SMILES": "C"}, "fraction": 1}), "formulation[0].chemical"),
    "mass fraction": (in_formulation(component(fraction_type="massPerMass")), "accepted is 'molPerMol'"),
    "contradicting names": (
        in_formulation({**component("EC"), "chemical": {**component("EC")["chemical"], "SMILES": "CCOC(=O)OC"}}),
        "the SMILES is that of EMC, but the InChIKey is that of EC",
    ),
    "no heat": (
        {"parameters": {"formulation": [component()], "temperature": 0}},
        "accepted is a number above 0",
    ),
    "too large a number": (in_formulation(component(fraction=10**400)), "formulation[0].fraction"),
    "negative": (in_formulation(component(fraction=-0.1)), "formulation[0].fraction"),
    "not a number": (in_formulation(component(fraction=float("nan"))), "formulation[0].fraction"),
    "boolean": (in_formulation(component(fraction=True)), "formulation[0].fraction"),
    "twice the same": (in_formulation(component(fraction=0.5), component(fraction=0.5)), "each chemical once"),
    "sum": (in_formulation(component(fraction=0.9)), "sum to 0.9"),
    "temperature text": ({"parameters": {"formulation": [component()], "temperature": "28"}}, "parameters.temperature"),
    "unknown setting": ({"settings": {"colour": 1}}, "settings.colour: 1 was given"),
    "unknown fault": ({"settings": {"fault": "earthquake"}}, "settings.fault"),
    "seed": ({"settings": {"seed": 0.5}}, "accepted is an integer"),
    "negative noise": ({"settings": {"noise": -1}}, "settings.noise"),
    "settings list": ({"settings": []}, "settings: [] was given"),
    "no volume": ({"settings": {"volume_mL": 0}}, "total volume 0 mL"),
}


@pytest.mark.parametrize(("change", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_refused(bench, order, capsys, change, words):
    assert bench.call("a", order | change) == 64
    assert words in capsys.readouterr().err
    assert not bench.journal.exists()


def test_limitations_are_printed(capsys):
    assert run_driver(Asab(), ["--limitations"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == Asab().limitations()
    boxes = {part["chemical"]["InChIKey"]: part["fraction"][0] for part in printed["formulation"][0]}
    assert boxes[get_chemical("LiPF6").inchikey] == {"min": 0.0, "max": 0.12}
    assert printed["temperature"] == [{"min": 283.15, "max": 323.15}]


def test_the_robot_does_exactly_what_its_limitations_say(make_order):
    limitations = Asab().limitations()
    boxes = {part["chemical"]["InChIKey"]: part["fraction"][0] for part in limitations["formulation"][0]}
    names = {get_chemical(name).inchikey: name for name in ("LiPF6", "EC", "EMC")}
    generator = np.random.default_rng(7)
    outcomes = []
    for point in generator.dirichlet([1.0, 3.0, 5.0], 200):
        fractions = dict(zip(names, point, strict=True))
        allowed = all(boxes[key]["min"] <= value <= boxes[key]["max"] for key, value in fractions.items()) and all(
            sum(item["coefficients"][key] * value for key, value in fractions.items()) <= item["max"]
            for item in limitations["constraints"]
        )
        asked = make_order({names[key]: float(value) for key, value in fractions.items()})
        with nullcontext() if allowed else pytest.raises(DeviceLimitationError, match="out of reach"):
            Asab().prepare(asked)
        outcomes.append(allowed)
    assert 20 < sum(outcomes) < 180


@pytest.mark.parametrize(
    ("quantity", "method", "parameters"),
    [
        ("conductivity", "two_electrode", {"formulation": formulation(), "temperature": 301.15}),
        ("electrolyte", "flow", {"electrolyte": {"formulation": formulation()}, "volume": 4.2}),
    ],
)
def test_the_reader_accepts_what_the_schema_accepts(demand_same_reading, quantity, method, parameters):
    demand_same_reading(quantity, method, parameters, read_order)
