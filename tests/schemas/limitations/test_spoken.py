"""What a tenant offers as people write it."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.limitations.spoken import spell_out

RANGE = {"min": 0.1, "max": 0.9}


def test_ranges_by_name_become_components():
    [[salt, ether]] = spell_out({"formulation": {"LiFSI": RANGE, "DME": RANGE}})["formulation"]
    assert salt["chemical"]["InChIKey"] == get_chemical("LiFSI").inchikey
    assert (ether["chemical"]["InChIKey"], ether["fraction"]) == (get_chemical("DME").inchikey, [RANGE])


@pytest.mark.parametrize("key", ["formulation", "electrolyte"])
@pytest.mark.parametrize("names", [("LiFSX", "DME"), ("DME", "LiFSX")], ids=str)
def test_a_misspelt_chemical_is_refused_whatever_stands_beside_it(key, names):
    with pytest.raises(InputError, match=r"chemical 'LiFSX' is not known here: did you mean LiFSI\?"):
        spell_out({key: dict.fromkeys(names, RANGE)})


def test_a_formulation_of_nothing_but_unknown_chemicals_is_refused():
    with pytest.raises(InputError, match="chemical 'unobtainium' is not known here: describe it"):
        spell_out({"formulation": {"unobtainium": RANGE}})


def test_alternatives_by_name_become_alternatives():
    lithium, sodium = ({name: {"min": 0.05, "max": 0.1}, "DME": 0.9} for name in ("LiFSI", "NaFSI"))
    both = spell_out({"formulation": [lithium, sodium]})["formulation"]
    assert both == [spell_out({"formulation": one})["formulation"][0] for one in (lithium, sodium)]


def test_other_objects_stay():
    document = {"electrolyte": {"volume": RANGE}, "cell": {"material": {"name": "glass fibre"}}}
    assert spell_out(document) == document


@pytest.mark.parametrize(
    "document",
    [
        {"hull": {"chemicals": ["LiPF6", "EMCC"], "vertices": [[0, 1], [0.1, 0.9]]}},
        {"coefficients": {"EMCC": 1.0}, "max": 0.3},
        {"formulation": {"EMCC": RANGE}},
    ],
)
def test_a_mistyped_name_is_asked_about(document):
    with pytest.raises(InputError, match=r"'EMCC' is not known here: did you mean EMC\?"):
        spell_out(document)


@pytest.mark.parametrize(
    "form",
    [{"preset": ["fast", "slow"], "depth": {"min": 3, "max": 400}}, {"preset": {"min": 2}}, {}, "fast", {"a": [True]}],
)
def test_a_parameter_of_the_same_name_that_is_no_mixture_stays(form):
    assert spell_out({"formulation": form}) == {"formulation": form}


def test_an_inchikey_that_nobody_knows_may_be_the_tenants_own():
    document = {"coefficients": {"QQQQQQQQQQQQQQ-QQQQQQQQQQ-Q": 1.0}}
    assert spell_out(document) == document
