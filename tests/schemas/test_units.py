import pytest

from aiida_finales.schemas.units import canonical_fraction_type


@pytest.mark.parametrize(
    "word", ["molPerMol", "molar fraction", "mol/mol", "MolPerMol", "molar_fraction", " mole fraction"]
)
def test_every_word_for_a_mole_fraction_is_understood(word):
    assert canonical_fraction_type(word) == "molPerMol"


@pytest.mark.parametrize("word", ["massPerMass", "volume fraction", "", "%"])
def test_other_fractions_are_not_taken_for_mole_fractions(word):
    assert canonical_fraction_type(word) is None
