"""Single values of results, also of results that break their schema."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.schemas.values import (
    Value,
    format_column,
    format_value,
    read_longer,
    read_reason,
    read_values,
    stated_uncertainty,
    tell_series,
    unit_of,
)

GOOD = {"success": True, "rating": 4}


def test_repetitions_share_success_and_rating():
    data = {"conductivity": {"values": [0.9, 1], "meta": GOOD}}
    assert read_values("conductivity", data) == (Value(0.9, None, True, 4), Value(1.0, None, True, 4))
    data["conductivity"]["meta"] = {"success": False, "rating": 2}
    assert [item.is_valid for item in read_values("conductivity", data)] == [False, False]


def test_cells_have_their_own():
    cell = {"end_of_life": 120, "end_of_life_uncertainty": 9.5, "meta": GOOD}
    alive = {**cell, "end_of_life_reached": False}
    failed = {"end_of_life": 3, "meta": {"success": False, "rating": 1}}
    found = read_values("degradationEOL", {"degradationEOL": [cell, alive, failed]})
    assert found == (
        Value(120.0, 9.5, True, 4),
        Value(120.0, 9.5, True, 4, is_reached=False),
        Value(3.0, None, False, 1),
    )
    assert read_values("degradationEOL", {"degradationEOL": cell}) == found[:1]


@pytest.mark.parametrize(
    "data",
    [{}, {"degradationEOL": None}, {"degradationEOL": []}, {"degradationEOL": ["x", 3]}, {"conductivity": [{}]}],
    ids=repr,
)
def test_nothing_usable(data):
    assert read_values("degradationEOL", data) == ()
    assert read_values("conductivity", data) == ()


def test_a_cell_without_number_is_not_valid():
    (value,) = read_values("degradationEOL", {"degradationEOL": {"end_of_life": "long", "meta": GOOD}})
    assert (value.value, value.is_valid) == (None, False)


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ("conductivity", "S/m"),
        ("density", "g/cm³"),
        ("viscosity", "mPa·s"),
        ("degradationEOL", "cycles"),
        ("colour", ""),
    ],
)
def test_units(quantity, unit):
    assert unit_of(quantity) == unit


@pytest.mark.parametrize(
    ("quantity", "number", "unit"),
    [
        ("capacity", "capacity_list.-1", "Ah"),
        ("capacity", "capacity_list", "Ah"),
        ("capacity", "cells.0.voltage_gap_charge_discharge", "V"),
        ("capacity", "delta_coulombic_efficiency", ""),
        ("conductivity", "density.values", "g/cm³"),
        ("capacity", "colour.-1", ""),
    ],
)
def test_units_of_other_numbers(quantity, number, unit):
    assert unit_of(quantity, number) == unit


@pytest.mark.parametrize(
    ("value", "uncertainty", "words"),
    [
        (1.0061234, 0.0063, "1.006 ± 0.006 S/m"),
        (1.0061234, 0.016, "1.006 ± 0.016 S/m"),
        (1.0, 0.0096, "1.000 ± 0.010 S/m"),
        (0.88008, 0.0847, "0.88 ± 0.08 S/m"),
        (1234.5, 123.0, "1230 ± 120 S/m"),
        (0.5, 30.0, "0 ± 30 S/m"),
        (-1.2345, 0.02, "-1.234 ± 0.020 S/m"),
        (3.2e-10, 4.1e-11, "(3.2 ± 0.4)e-10 S/m"),
        (1.2e7, 3e5, "(1.200 ± 0.030)e7 S/m"),
        (1.01432, None, "1.014 S/m"),
        (1.01432, 0.0, "1.014 S/m"),
        (1.01432, float("nan"), "1.014 S/m"),
        (301.15, None, "301.15 S/m"),
        (0.0, None, "0 S/m"),
        (None, None, "-"),
        (None, 0.1, "-"),
    ],
)
def test_a_value_is_said_as_scientists_write_it(value, uncertainty, words):
    assert format_value(value, uncertainty, "S/m") == words


@pytest.mark.parametrize(
    ("values", "errors", "words"),
    [
        ([0.41, 1.014123, 0.9, None], None, ["0.410", "1.014", "0.900", "-"]),
        ([298.15, 301.15, 303.0], None, ["298.15", "301.15", "303.00"]),
        ([1.01864, 0.94813], [None, 0.093], ["1.019", "0.948 ± 0.093"]),
        ([0.91, 1.2], [0.06, 0.3], ["0.91 ± 0.06", "1.20 ± 0.30"]),
        ([0.0123456, 1.014123], None, ["0.012", "1.014"]),
        ([1e-9, 2.3e-5, 1.0], None, ["1e-09", "2.3e-05", "1"]),
        ([2.34567e-10, 1.2e-11], None, ["2.346e-10", "0.120e-10"]),
        ([], None, []),
        ([None], None, ["-"]),
    ],
)
def test_a_column_has_one_number_of_digits(values, errors, words):
    assert format_column(values, errors) == words


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.none() | st.floats()), max_size=6))
def test_any_numbers_can_be_said(pairs):
    words = format_column([value for value, _ in pairs], [error for _, error in pairs])
    assert len(words) == len(pairs)
    assert all(words)


def test_stated_uncertainty_of_a_measurement_is_read():
    body = {"values": [0.9, 1.0], "meta": {"success": True, "rating": 3}}
    assert [item.uncertainty for item in read_values("conductivity", {"conductivity": body})] == [None, None]
    stated = {"conductivity": body | {"values_uncertainty": [0.08, 0.1]}}
    assert stated_uncertainty(read_values("conductivity", stated)) == pytest.approx(0.09)
    torn = {"conductivity": body | {"values_uncertainty": [0.08]}}
    assert stated_uncertainty(read_values("conductivity", torn)) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"capacity_list": [0.002, 0.00182, 0.0018, 0.00167]}, "0.00182 Ah first, 0.00167 Ah last of 2"),
        ({"capacity_list": [], "discharge_capacities": [3.1]}, "3.1 Ah"),
        ({"capacity_list": [0.002]}, ""),
        ({"discharge_capacities": [1, "2"]}, ""),
        ({}, ""),
    ],
)
def test_capacities_are_told_by_the_first_and_the_last(data, words):
    assert tell_series("capacity", data) == words


@pytest.mark.parametrize(
    ("quantity", "data", "words"),
    [
        ("cell_assembly", {"batch_output": [{}, {}]}, "2 cells"),
        ("electrolyte", {"electrolyte": {"volume": 4.2}}, "4.2 mL"),
        ("electrolyte", {"electrolyte": {"volume": None}}, ""),
        ("transport", {"success": True, "samples": ["vial-1"], "actual_new_location": {"address": "A", "room": None}},
         "vial-1, now at A"),
        ("transport", {"success": True, "samples": ["a", "b"], "actual_new_location": {"address": "A", "room": "b"}},
         "2 samples, now at A, b"),
        ("transport", {"success": False, "samples": ["a"], "actual_new_location": {"address": "A"}}, ""),
        ("transport", {}, ""),
        ("cycling_channel", {"channels": [1, 2]}, "2 channels reserved"),
        ("cycling_channel", {"channels": []}, ""),
    ],
)  # fmt: skip
def test_what_a_service_did_is_told(quantity, data, words):
    assert tell_series(quantity, data) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"state_of_health": [0.9, 0.8], "cycle": [900.2, 1445.5], "cycle_lower": [700.0, 1068.9],
          "cycle_upper": [1300.0, 1955.3], "coverage": 0.8}, "1446 cycles at 80 %, 1069 to 1955 (80 % interval)"),
        ({"state_of_health": [0.8], "cycle": [1445.5], "cycle_lower": [68.9], "cycle_upper": [9955.3], "coverage": 0.8,
          "domain": {"regime": "new_cell"}}, "1446 cycles at 80 %, 69 to 9955 (80 % interval, new_cell)"),
        ({"cycle": [], "meta": {"success": False, "reason": "nobody knows the electrode"}}, "no answer"),
        ({"state_of_health": [], "cycle": [], "cycle_lower": [], "cycle_upper": []}, ""),
        ({"meta": {"success": False}}, ""),
    ],
)  # fmt: skip
def test_a_lifetime_is_told_by_the_end_of_its_curve(data, words) -> None:
    assert tell_series("lifetimeCurve", data) == words
    assert not tell_series("conductivity", data)


@pytest.mark.parametrize(
    ("quantity", "data", "words"),
    [
        ("lifetimeCurve", {"longer": "cycle it 30 times", "meta": {"success": True}}, "cycle it 30 times"),
        ("degradationEOL", {"degradationEOL": {"meta": {"longer": "cycle it 60 times"}}}, "cycle it 60 times"),
        ("degradationEOL", {"degradationEOL": [{"meta": {"success": True}}]}, ""),
        ("lifetimeCurve", {"longer": None}, ""),
    ],
)
def test_what_more_cycles_would_bring_is_told(quantity, data, words) -> None:
    assert read_longer(quantity, data) == words


@pytest.mark.parametrize(
    ("quantity", "data", "words"),
    [
        ("lifetimeCurve", {"meta": {"reason": "no such cell"}}, "no such cell"),
        ("degradationEOL", {"degradationEOL": {"meta": {"reason": "no such cell"}}}, "no such cell"),
        ("degradationEOL", {"degradationEOL": {"meta": {"reason": None}}}, ""),
        ("conductivity", {"conductivity": 1.0, "meta": []}, ""),
    ],
)
def test_why_an_answer_is_no_better_is_what_who_answered_says(quantity, data, words) -> None:
    assert read_reason(quantity, data) == words
