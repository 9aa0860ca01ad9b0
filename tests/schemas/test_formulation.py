import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical, list_chemicals, molality
from aiida_finales.schemas.formulation import (
    PATHS,
    find_fractions,
    formulation_path,
    fractions,
    make_formulation,
    merge,
    place_formulation,
)
from aiida_finales.schemas.limitations.offer import Offer, check, formulation_regions
from aiida_finales.schemas.registry import SCHEMAS, get_schema
from aiida_finales.schemas.structure import find_places, find_unit

EC = get_chemical("EC").inchikey
SEVEN = list_chemicals()[:7]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda parts: parts,
        lambda parts: {"formulation": parts, "temperature": 298},
        lambda parts: {"electrolyte": {"formulation": parts}, "volume": 1},
        lambda parts: {"cell": {"battery_chemistry": {"electrolyte": parts}}},
        lambda parts: {"battery_chemistry": {"electrolyte": parts, "anode": {"material": []}}},
        lambda parts: {"run_info": {"formulation": parts}, "conductivity": {}},
    ],
    ids=["list", "conductivity", "flow", "assembly", "degradation", "result"],
)
def test_fractions_are_found_wherever_the_published_schemas_put_them(wrap):
    assert fractions(wrap(make_formulation({"EC": 1.0}))) == {EC: 1.0}


@pytest.mark.parametrize("nothing", [None, {}, [], 3, {"temperature": 298}, {"formulation": "EC"}], ids=repr)
def test_no_formulation_is_said_or_empty(nothing):
    assert find_fractions(nothing) == {}
    with pytest.raises(InputError, match=r"no formulation in .*accepted is a list of components"):
        fractions(nothing)


def test_a_component_without_fraction_is_refused():
    with pytest.raises(InputError, match=r"is no component: it needs chemical.InChIKey and a fraction"):
        fractions([{"chemical": {"InChIKey": EC}}])


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"unobtainium": 1.0}, r"chemical 'unobtainium' is not known here: 'aiida-finales chemical list' shows"),
        ({"EC": 0.9}, r"sum 0.9, accepted are 0 to 1 with sum 1"),
        ({"EC": 1.5, "EMC": -0.5}, r"accepted are 0 to 1"),
    ],
    ids=["unknown", "sum", "range"],
)
def test_impossible_formulations_are_refused(shares, words):
    with pytest.raises(InputError, match=words):
        make_formulation(shares)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=len(SEVEN)))
def test_making_and_reading_a_formulation_are_inverse(shares):
    total = sum(shares)
    wanted = {item.inchikey: share / total for item, share in zip(SEVEN, shares, strict=False)}
    assert fractions(make_formulation(wanted)) == wanted


def test_molality_is_salt_per_mass_of_solvent():
    # 0.1 mol LiPF6 in 0.5 mol EC (44.031 g) and 0.4 mol EMC (41.642 g)
    assert molality({"LiPF6": 0.1, "EC": 0.5, "EMC": 0.4}) == pytest.approx(0.1 / 0.085673)
    assert molality({"LiPF6": 1, "EC": 5, "EMC": 4}) == pytest.approx(0.1 / 0.085673)
    assert molality({"EC": 1.0}) == 0


def test_molality_needs_a_solvent():
    with pytest.raises(InputError, match=r"molality needs a solvent, given was \{'LiPF6': 1.0\}"):
        molality({"LiPF6": 1.0})


SHARES = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
CATHODE = {"material": make_formulation({"EC": 1.0}), "mass_loading": 1.0, "size": 1.5386}
NAMES = [
    "{}/{}".format(*key)
    for key, schema in SCHEMAS.items()
    if any(place.kind == "formulation" for place in find_places(schema.parameters).values())
]
#: of a cell that was cycled elsewhere, or that a model answers about, the electrolyte may not be known
OPTIONAL = {
    "capacity/literature",
    "degradationEOL/lifetime_generator",
    *(f"lifetimeCurve/{method}" for method in ("lifetime_generator", "capacity_fade")),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_declared_place_is_the_required_formulation_of_the_schema(name):
    places = find_places(get_schema(*name.split("/")).parameters)
    required = [path for path, place in places.items() if place.kind == "formulation" and place.is_required]
    path = formulation_path(name.split("/")[0])
    assert (required, places[path].kind) == ([] if name in OPTIONAL else [path], "formulation")


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


@pytest.mark.parametrize("stated", [{"unit": "volt", "anyOf": [{"type": "number"}, {"type": "null"}]},
                                    {"anyOf": [{"type": "number", "unit": "volt"}, {"type": "null"}]}])  # fmt: skip
def test_the_unit_of_what_may_be_null_is_found(stated):
    """Capabilities are stored with the unit beside the alternatives."""
    schema = {"properties": {"cell": {"properties": {"highest": stated}}}}
    assert find_unit(schema, "cell.highest") == "volt"
    assert find_unit(schema, "cell") == ""
