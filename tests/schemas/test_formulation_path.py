"""The formulation has one declared place per quantity, and everything agrees on it."""

from __future__ import annotations

import pytest

from aiida_finales.schemas.formulation import (
    PATHS,
    find_fractions,
    formulation_path,
    make_formulation,
    merge,
    place_formulation,
)
from aiida_finales.schemas.limitations.offer import Offer, check, formulation_regions
from aiida_finales.schemas.registry import SCHEMAS, get_schema
from aiida_finales.schemas.structure import find_places

SHARES = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
CATHODE = {"material": make_formulation({"EC": 1.0}), "mass_loading": 1.0, "size": 1.5386}
NAMES = [
    "{}/{}".format(*key)
    for key, schema in SCHEMAS.items()
    if any(place.kind == "formulation" for place in find_places(schema.parameters).values())
]


@pytest.mark.parametrize("name", NAMES)
def test_the_declared_place_is_the_required_formulation_of_the_schema(name):
    places = find_places(get_schema(*name.split("/")).parameters)
    required = [path for path, place in places.items() if place.kind == "formulation" and place.is_required]
    assert required == [formulation_path(name.split("/")[0])]


def test_nothing_is_declared_that_is_not_registered():
    assert set(PATHS) <= {quantity for quantity, _ in SCHEMAS}
    assert formulation_path("end_of_life") == ("battery_chemistry", "electrolyte")


@pytest.mark.parametrize("quantity", ["conductivity", *PATHS])
def test_what_is_placed_is_found(quantity):
    formulation = make_formulation(SHARES)
    parameters = place_formulation(quantity, formulation, {"temperature": 298.15})
    assert find_fractions(parameters) == find_fractions(formulation)
    assert parameters["temperature"] == 298.15


def test_other_parameters_are_placed_around_it():
    others = {"battery_chemistry": {"cathode": CATHODE}, "cell_info": {"batch": "7"}}
    formulation = make_formulation(SHARES)
    parameters = place_formulation("degradationEOL", formulation, others)
    assert parameters == {
        "battery_chemistry": {"electrolyte": formulation, "cathode": CATHODE},
        "cell_info": {"batch": "7"},
    }
    assert others == {"battery_chemistry": {"cathode": CATHODE}, "cell_info": {"batch": "7"}}  # as it was
    assert place_formulation("degradationEOL", formulation)["cell_info"] == {}


def test_merging_unites_objects_and_replaces_the_rest():
    assert merge({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2], "e": 3}, "d": {}}) == {
        "a": {"b": 1, "c": [2], "e": 3},
        "d": {},
    }


@pytest.mark.parametrize("path", ["formulation", "battery_chemistry.electrolyte"])
def test_a_constraint_on_the_formulation_holds_wherever_it_stands(path):
    keys = list(find_fractions(make_formulation(SHARES)))
    hull = {"chemicals": keys, "vertices": [[0.1, 0.2, 0.7], [0.1, 0.5, 0.4], [0.0, 0.3, 0.7]]}
    offer = Offer("degradationEOL", "degradation_workflow", {}, ({"path": path, "hull": hull},))
    (region,) = formulation_regions(offer)
    assert region.names == tuple(keys)
    inside = {"LiPF6": 0.09, "EC": 0.23, "EMC": 0.68}
    assert check(offer, place_formulation("degradationEOL", make_formulation(inside))) == []
    (finding,) = check(offer, place_formulation("degradationEOL", make_formulation({"LiPF6": 0.2, "EC": 0.8})))[:1]
    assert finding.path.startswith("battery_chemistry.electrolyte")


def test_the_region_is_that_of_the_electrolyte_not_of_an_electrode():
    def limit(shares):
        return [[{**part, "fraction": [{"min": 0.0, "max": part["fraction"]}], "fraction_type": ["molPerMol"]}
                 for part in make_formulation(shares)]]  # fmt: skip

    chemistry = {
        "cathode": {"material": limit({"DMC": 1.0})},
        "electrolyte": limit({"LiPF6": 0.1, "EC": 0.2, "EMC": 0.7}),
    }
    (region,) = formulation_regions(Offer("degradationEOL", "degradation_model", {"battery_chemistry": chemistry}))
    assert list(region.upper) == [0.1, 0.2, 0.7]
