"""Numbers in another unit than ours are recognised, wherever a schema states the unit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.plausibility import (
    find_disproportions,
    find_implausible,
    find_poor_conductor,
    is_beside,
    is_of_water,
    list_numbers,
)
from aiida_finales.schemas.ranges import PLAUSIBLE

CONDUCTIVITY = result_json_schema("conductivity", "literature")
ASKED = parameters_json_schema("conductivity", "two_electrode")
CYCLING = parameters_json_schema("capacity", "cycling")
CYCLED = result_json_schema("capacity", "cycling")
DENSITY = result_json_schema("density", "vibrating_tube_densimetry")
CELLS = parameters_json_schema("cell_assembly", "autobass_assembly")

SLIPS = {
    "celsius": (ASKED, {"temperature": 25.0}, "temperature", "150 to 500 K: 25 looks like °C"),
    "millisiemens": (
        CONDUCTIVITY,
        {"conductivity": {"values": [0.9, 9.1]}},
        "conductivity.values[1]",
        "0 to 5 S/m: 9.1 looks like mS/cm",
    ),
    "much": (CONDUCTIVITY, {"conductivity": {"values": [96]}}, "conductivity.values[0]", "96 looks like mS/cm"),
    "kilograms": (DENSITY, {"density": {"values": [1250.0]}}, "density.values[0]", "1250 looks like kg/m³"),
    "pascal": (DENSITY, {"viscosity": {"values": [0.003]}}, "viscosity.values[0]", "0.003 looks like Pa·s"),
    "milliampere-hours": (CYCLED, {"capacity_list": [3400]}, "capacity_list[0]", "3400 looks like mAh"),
    "milliamperes": (CYCLING, {"I_max": 5000.0}, "I_max", "5000 looks like mA"),
    "millivolts": (CYCLING, {"V_max": 4200.0}, "V_max", "4200 looks like mV"),
    "milligrams": (
        CELLS,
        {"cell": {"battery_chemistry": {"cathode": {"mass_loading": 25.0}}}},
        "cell.battery_chemistry.cathode.mass_loading",
        "25 looks like mg/cm²",
    ),
}


@pytest.mark.parametrize(("schema", "document", "path", "words"), SLIPS.values(), ids=SLIPS)
def test_slips_are_named(schema, document, path, words):
    (found,) = find_implausible(schema, document)
    assert found.defect["path"] == path
    assert words in found.defect["accepted"]


def test_what_looks_like_no_slip_is_implausible_all_the_same():
    (found,) = find_implausible(ASKED, {"temperature": 1000.0})
    assert (found.slips, found.defect["accepted"]) == ([], "150 to 500 K")


@pytest.mark.parametrize(
    "document",
    [{}, {"temperature": None}, {"temperature": "warm"}, {"temperature": True}, {"other": 1e9}, [], 3, None],
    ids=repr,
)
def test_what_states_no_number_in_a_unit_is_left_to_the_schema(document):
    assert find_implausible(ASKED, document) == []


def test_of_a_value_and_its_uncertainty_only_the_value_counts():
    info = {"run_info": {"chemicals_info": {"X": {"density": [1.2, 0.001], "molar_mass": [88.0, 0.01]}}}}
    assert find_implausible(CONDUCTIVITY, info) == []
    info["run_info"]["chemicals_info"]["X"]["density"] = [1200.0, 1.0]
    assert find_implausible(CONDUCTIVITY, info)[0].defect["path"] == "run_info.chemicals_info.X.density[0]"


@given(st.sampled_from(sorted(PLAUSIBLE)), st.floats(allow_nan=False, allow_infinity=False))
def test_no_plausible_number_looks_like_a_slip(unit, number):
    expected = PLAUSIBLE[unit]
    assert not (expected.low <= number <= expected.high and expected.find_slips(number))


def test_published_examples_are_plausible(read, shared_data):
    for path in sorted((shared_data / "finales" / "examples" / "results").rglob("*.json")):
        document = read(str(path.relative_to(shared_data / "finales")))
        method = document["method"] if isinstance(document["method"], str) else document["method"][0]
        quantity, method = canonical_capability(document["quantity"], method)
        assert find_implausible(result_json_schema(quantity, method), document["data"]) == []


BESIDE = {
    "conductivity beside a density": ("density", "molecular_dynamics", "conductivity.values[0]", True),
    "viscosity beside a density": ("density", "vibrating_tube_densimetry", "viscosity.values[2]", True),
    "temperature of what is beside": ("density", "molecular_dynamics", "conductivity.temperature", True),
    "its own": ("density", "molecular_dynamics", "density.values[0]", False),
    "of the run": ("density", "molecular_dynamics", "run_info.chemicals_info.X.density[0]", False),
    "of the parameters": ("density", "molecular_dynamics", "parameters.temperature", False),
    "no body of its own": ("capacity", "cycling", "capacity_list[0]", False),
}


@pytest.mark.parametrize(("quantity", "method", "path", "is_other"), BESIDE.values(), ids=BESIDE)
def test_each_quantity_answers_for_itself(quantity, method, path, is_other):
    assert is_beside(result_json_schema(quantity, method), quantity, {"path": path}) is is_other


CELL = {"capacity": 0.0032}


@pytest.mark.parametrize(
    ("schema", "document", "path", "words"),
    [
        (CYCLING, {**CELL, "I_max": 5.0}, "I_max", "at most 0.32 for a capacity of 0.0032 Ah: 5 looks like mA"),
        (CYCLED, {"capacity_list": [0.0031, 3.1]}, "capacity_list[1]", "at most 0.064 .*: 3.1 looks like mAh"),
    ],
    ids=["current", "capacity"],
)
def test_what_does_not_fit_the_cell_is_named(schema, document, path, words):
    (found,) = find_disproportions(CELL, list_numbers(schema, document, ("ampere", "ampere_hour"))[-1:])
    assert found.defect["path"] == path
    assert re.fullmatch(words, found.defect["accepted"])


def test_without_a_capacity_nothing_is_compared():
    numbers = list_numbers(CYCLING, {"I_max": 5.0}, ("ampere",))
    assert [item.given for item in numbers] == [5.0]
    for parameters in ({}, {"capacity": None}, {"capacity": True}, {"capacity": 5.0}, None):
        assert find_disproportions(parameters, numbers) == []


@pytest.mark.parametrize(
    ("values", "temperature", "salt", "is_poor"),
    [
        ([0.0096, 0.011], 298.15, 0.08, True),
        ([0.96, 0.0096], 298.15, 0.08, False),
        ([0.0096], 253.0, 0.08, False),
        ([0.0096], 298.15, 0.005, False),
        ([0.0096], None, 0.08, False),
        ([0.0, 0.0], 298.15, 0.08, False),
        ([], 298.15, 0.08, False),
    ],
)
def test_conductivities_that_look_like_siemens_per_centimetre(values, temperature, salt, is_poor):
    assert find_poor_conductor(values, temperature, salt) is is_poor


@pytest.mark.parametrize("unit", ["S/m", "S m-1", "S·m⁻¹", "siemens / meter"])
def test_our_own_unit_beside_the_values_is_right(unit):
    assert find_implausible(CONDUCTIVITY, {"conductivity": {"values": [0.9], "unit": unit}}) == []


@pytest.mark.parametrize("key", ["unit", "units"])
def test_another_unit_beside_the_values_is_not_passed_over(key):
    """0.9 mS/cm would be taken for 0.9 S/m, which is as plausible."""
    (found,) = find_implausible(CONDUCTIVITY, {"conductivity": {"values": [0.9], key: "mS/cm"}})
    assert found.defect == {
        "path": f"conductivity.{key}",
        "given": "mS/cm",
        "accepted": "values in S/m: convert them, or leave it out",
    }


def test_water_conducts_more_than_organic_electrolytes():
    """2 mol/kg of zinc sulfate have some 5.5 S/m, 6 M potassium hydroxide some 60."""
    water = {"chemical": {"InChIKey": "XLYOFNOQVPJJNP-UHFFFAOYSA-N"}}
    findings = {
        value: find_implausible(CONDUCTIVITY, {"conductivity": {"values": [value]}})[0] for value in (5.5, 600.0)
    }
    assert is_of_water(findings[5.5], [{**water, "fraction": 0.96}])
    assert not is_of_water(findings[5.5], [{**water, "fraction": 0.01}])
    assert not is_of_water(findings[600.0], [{**water, "fraction": 0.96}])  # of mS/cm
    for broken in ([], [{}], [{"chemical": "water"}], [{**water, "fraction": "most"}]):
        assert not is_of_water(findings[5.5], broken)
