import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import KNOWN_CHEMICALS, get_chemical, molality
from aiida_finales.schemas.formulation import find_fractions, fractions, make_formulation

EC = get_chemical("EC").inchikey


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
        ({"water": 1.0}, r"chemical 'water' is not known here; known are LiPF6, EC"),
        ({"EC": 0.9}, r"sum 0.9, accepted are 0 to 1 with sum 1"),
        ({"EC": 1.5, "EMC": -0.5}, r"accepted are 0 to 1"),
    ],
    ids=["unknown", "sum", "range"],
)
def test_impossible_formulations_are_refused(shares, words):
    with pytest.raises(InputError, match=words):
        make_formulation(shares)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=len(KNOWN_CHEMICALS)))
def test_making_and_reading_a_formulation_are_inverse(shares):
    total = sum(shares)
    wanted = {item.inchikey: share / total for item, share in zip(KNOWN_CHEMICALS, shares, strict=False)}
    assert fractions(make_formulation(wanted)) == wanted


def test_molality_is_salt_per_mass_of_solvent():
    # 0.1 mol LiPF6 in 0.5 mol EC (44.031 g) and 0.4 mol EMC (41.642 g)
    assert molality({"LiPF6": 0.1, "EC": 0.5, "EMC": 0.4}) == pytest.approx(0.1 / 0.085673)
    assert molality({"LiPF6": 1, "EC": 5, "EMC": 4}) == pytest.approx(0.1 / 0.085673)
    assert molality({"EC": 1.0}) == 0


def test_molality_needs_a_solvent():
    with pytest.raises(InputError, match=r"molality needs a solvent, given was \{'LiPF6': 1.0\}"):
        molality({"LiPF6": 1.0})
