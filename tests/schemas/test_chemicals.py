"""The two names of a chemical agree, in whatever spelling."""

from __future__ import annotations

import pytest

from aiida_finales.schemas import chemicals
from aiida_finales.schemas.chemicals import KNOWN_CHEMICALS, find_contradiction, get_chemical
from aiida_finales.schemas.registry import validate_parameters

EC, DMC = get_chemical("EC"), get_chemical("DMC")
ETHANOL = ("CCO", "LFQSCWFLJHTTHZ-UHFFFAOYSA-N")


@pytest.fixture(params=[True, False], ids=["rdkit", "no rdkit"])
def rdkit(request, monkeypatch):
    """Whether RDKit is installed."""
    if request.param:
        pytest.importorskip("rdkit")
    monkeypatch.setattr(chemicals, "_has_rdkit", lambda: request.param)
    find_contradiction.cache_clear()
    yield request.param
    find_contradiction.cache_clear()


@pytest.mark.parametrize("chemical", KNOWN_CHEMICALS, ids=lambda item: item.name)
def test_known_chemicals_agree_with_themselves(rdkit, chemical):
    assert find_contradiction(chemical.smiles, chemical.inchikey) is None


@pytest.mark.parametrize("smiles", ["O=C1OCCO1", "C1COC(=O)O1", "O1CCOC1=O", "[CH2]1[CH2]OC(=O)O1"])
def test_another_spelling_is_the_same_chemical(rdkit, smiles):
    assert find_contradiction(smiles, EC.inchikey) is None


@pytest.mark.parametrize("smiles", ["C[C@H]1COC(=O)O1", "CC1COC(=O)O1"])
def test_stereochemistry_that_one_name_leaves_out_is_no_contradiction(rdkit, smiles):
    assert find_contradiction(smiles, get_chemical("PC").inchikey) is None


def test_known_chemicals_are_told_apart_by_name(rdkit):
    assert find_contradiction(DMC.smiles, EC.inchikey) == "the SMILES is that of DMC, but the InChIKey is that of EC"


@pytest.mark.parametrize("smiles", ["CCO", "COC(=O)OCF", "[Na+].F[P-](F)(F)(F)(F)F"])
def test_other_atoms_than_those_of_a_known_chemical(rdkit, smiles):
    assert "but the InChIKey is that of EC" in find_contradiction(smiles, EC.inchikey)


def test_unknown_chemicals_are_compared_where_they_can_be(rdkit):
    assert find_contradiction(*ETHANOL) is None
    assert bool(find_contradiction("CCN", ETHANOL[1])) == rdkit


@pytest.mark.parametrize(("smiles", "key"), [("w", "ww"), ("NMC622", EC.inchikey), ("C", "graphite")])
def test_what_is_no_structure_or_no_inchikey_is_left_alone(rdkit, smiles, key):
    assert find_contradiction(smiles, key) is None


def test_requests_name_what_contradicts():
    component = {"chemical": {"SMILES": DMC.smiles, "InChIKey": EC.inchikey}, "fraction": 1, "fraction_type": "mol/mol"}
    with pytest.raises(ValueError, match=r"formulation\[0\].chemical: .* that of DMC, but .* that of EC"):
        validate_parameters("conductivity", "two_electrode", {"formulation": [component]})
