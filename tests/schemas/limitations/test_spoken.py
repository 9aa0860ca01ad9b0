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


def test_other_objects_stay():
    document = {"electrolyte": {"volume": RANGE}, "cell": {"material": {"name": "glass fibre"}}}
    assert spell_out(document) == document
