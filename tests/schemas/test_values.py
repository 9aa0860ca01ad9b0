"""Single values of results, also of results that break their schema."""

from __future__ import annotations

import pytest

from aiida_finales.schemas.values import Value, read_values, unit_of

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
