"""The two names of a chemical agree, in whatever spelling."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.catalogue import Registry
from aiida_finales.schemas.chemicals import (
    Chemical,
    find_chemical,
    find_contradiction,
    get_chemical,
    list_chemicals,
    smiles,
)
from aiida_finales.schemas.chemicals.record import NUMBERS, read_record
from aiida_finales.schemas.registry import validate_parameters

EC, DMC = get_chemical("EC"), get_chemical("DMC")
ETHANOL = ("CCO", "LFQSCWFLJHTTHZ-UHFFFAOYSA-N")


@pytest.fixture(params=[True, False], ids=["rdkit", "no rdkit"])
def rdkit(request, monkeypatch):
    """Whether RDKit is installed."""
    if request.param:
        pytest.importorskip("rdkit")
    monkeypatch.setattr(smiles, "has_rdkit", lambda: request.param)
    smiles.compute_inchikey.cache_clear()
    smiles.compute_formula.cache_clear()
    yield request.param
    smiles.compute_inchikey.cache_clear()
    smiles.compute_formula.cache_clear()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Natriumhexafluorophosphat", "NaPF6"),
        ("Natrium-bis(fluorsulfonyl)imid", "NaFSI"),
        ("Lithiumbis(trifluormethansulfonyl)imid", "LiTFSI"),
        ("Kaliumperchlorat", "KClO4"),
        ("Magnesiumchlorid", "MgCl2"),
        ("Propylencarbonat", "PC"),
        ("Fluorethylencarbonat", "FEC"),
        ("1,2-Dimethoxyethan", "DME"),
        ("Diethylenglykol-dimethylether", "diglyme"),
        ("tetramethylene sulphone", "sulfolane"),
        ("lithium bis(fluorosulfonyl) imide", "LiFSI"),
    ],
)
def test_names_in_other_spellings_and_in_german(word, name):
    assert get_chemical(word).name == name


def test_spellings_mix_up_no_names():
    words = [(word, chemical.name) for chemical in list_chemicals() for word in (chemical.smiles, *chemical.synonyms)]
    assert [(word, name) for word, name in words if get_chemical(Chemical.fold(word)).name != name] == []


def test_the_library_has_what_electrolytes_are_made_of():
    names = {f"{cation}{anion}" for cation in ("Li", "Na", "K") for anion in ("PF6", "BF4", "ClO4", "TFSI", "FSI")}
    names |= {f"{cation}{anion}" for cation in ("Li", "Na", "K") for anion in ("BOB", "DFOB")}
    names |= {f"Mg({anion})2" for anion in ("PF6", "BF4", "ClO4", "TFSI", "FSI")} | {"MgCl2"}
    solvents = [
        "EC",
        "PC",
        "DMC",
        "EMC",
        "DEC",
        "FEC",
        "VC",
        "DME",
        "DOL",
        "diglyme",
        "GBL",
        "sulfolane",
        "TEP",
        "water",
    ]
    assert all(get_chemical(name).is_salt and get_chemical(name).charges for name in names)
    assert not any(get_chemical(name).is_salt or get_chemical(name).charges for name in (*solvents, "water"))


@pytest.mark.parametrize("chemical", list_chemicals(), ids=lambda item: item.name)
def test_a_record_of_the_library_is_what_its_structure_says(chemical):
    pytest.importorskip("rdkit")
    assert find_contradiction(chemical.smiles, chemical.inchikey) is None
    # what RDKit makes of the structure is what the file has, to the last letter
    document = {key: value for key, value in chemical.to_dict().items() if key not in ("inchikey", "formula")}
    assert read_record(document, "library") == chemical
    numbers = [number for key in NUMBERS if (number := getattr(chemical, key))]
    assert all(number.source and 250 < number.temperature < 350 for number in numbers)


def test_molar_masses_and_charges_follow_from_the_structure():
    # LiTFSI 287.09, MgCl2 95.21, water 18.015 g/mol in handbooks
    found = [get_chemical(name).molar_mass for name in ("LiTFSI", "MgCl2", "water", "LiPF6")]
    assert found == pytest.approx([287.08, 95.205, 18.015, 151.905], abs=0.01)
    assert sorted(get_chemical("Mg(TFSI)2").charges.values()) == [-1, 2]


@pytest.mark.parametrize("word", ["lipf6", "Ethylene Carbonate", "G1", "h2o"])
def test_names_and_synonyms_are_found_whatever_their_letters(word):
    assert find_chemical(word).name in ("LiPF6", "EC", "DME", "water")


def test_a_chemical_that_is_not_known_brings_the_nearest():
    with pytest.raises(InputError, match="chemical 'LiTFS' is not known here: did you mean LiTFSI"):
        get_chemical("LiTFS")


DENSITY = {"value": 1.5, "source": "a bench", "temperature": "25 °C"}
TTE = {"name": "TTE", "SMILES": "FC(F)C(F)(F)COC(F)(F)C(F)F", "InChIKey": "HCBRSIIGBBDDCD-UHFFFAOYSA-N"}


def test_a_record_needs_rdkit_or_an_inchikey(rdkit):
    made = read_record({**TTE, "density": DENSITY}, "profile")
    assert (made.inchikey, made.role, made.density.temperature) == (TTE["InChIKey"], "solvent", 298.15)
    assert made.formula == ("C5H4F8O" if rdkit else "")
    bare = {key: value for key, value in TTE.items() if key != "InChIKey"}
    if rdkit:
        assert read_record(bare, "profile") == read_record(TTE, "profile")
    else:
        with pytest.raises(InputError, match="inchikey is missing, and it cannot be computed: RDKit is not installed"):
            read_record(bare, "profile")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "lacking .'name'."),
        ({"name": "a b"}, "a short name without blanks"),
        ({"SMILES": "no structure"}, "inchikey is missing.* RDKit cannot read the SMILES"),
        ({"InChIKey": "TTE"}, "inchikey is 'TTE', but accepted is one as"),
        ({"role": "salty"}, "role is 'salty', but accepted are salt, solvent, additive"),
        ({"formula": "C2H6O"}, "formula is C2H6O, but that of the SMILES is C5H4F8O"),
        ({"formula": "Xx2"}, "elements that are not known here: Xx"),
        ({"density": 1.5}, "density is 1.5, but accepted is an object with value .g/cm3., source and temperature"),
        ({"density": {**DENSITY, "value": 1540}}, "density is 1540, .* 5 g/cm3: that looks like kg/m³"),
        ({"density": {**DENSITY, "temperature": 25}}, "temperature of density is 25, .*: that looks like °C"),
        ({"viscosity": {**DENSITY, "value": 0.0014}}, "viscosity is 0.0014, .* mPa s: that looks like Pa·s"),
        ({"molar_volume": {**DENSITY, "value": 0.151}}, "molar_volume is 0.151, .* cm3/mol: that looks like L/mol"),
        ({"SMILES": "[Zn+2].[S-]C#N", "formula": None}, "the ions of the SMILES sum to .1, .* with all its ions"),
        ({"density": {**DENSITY, "source": ""}}, "a number above 0, a DOI"),
        ({"density": {**DENSITY, "temperature": "cold"}}, "temperature of density is 'cold'"),
        ({"densty": DENSITY}, "unknown .'densty'."),
        ({"synonyms": "TTE"}, "synonyms is 'TTE', but accepted is a list"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_records_that_cannot_be_used_say_why(change, words):
    pytest.importorskip("rdkit")
    document = {**TTE, **change}
    if "SMILES" in change:
        del document["InChIKey"]
    with pytest.raises(InputError, match=words):
        read_record(document, "profile")


def test_a_later_record_adds_numbers_and_names_but_takes_none_away():
    registry = Registry()
    first = Chemical("EC", EC.smiles, EC.inchikey, formula="C3H4O3", density=EC.density)
    for record in (
        first,
        read_record({"name": "ethylen", "smiles": EC.smiles, "viscosity": DENSITY}, "profile", "3"),
        read_record({"name": "EC", "smiles": EC.smiles, "density": DENSITY}, "tenant bench"),
        read_record({"name": "EC", "smiles": DMC.smiles}, "package odd", "0.1"),
    ):
        registry.add(record)
    known = registry.find("ethylen")
    assert (known.name, known.record, known.viscosity.value) == ("EC", "profile 3", 1.5)
    assert known.density == EC.density  # a tenant adds only what nobody knew
    assert registry.find(DMC.inchikey).name == DMC.inchikey
    [words] = registry.troubles
    assert EC.smiles in words
    assert DMC.smiles in words
    assert "package odd 0.1" in words


@pytest.mark.parametrize("spelling", ["O=C1OCCO1", "C1COC(=O)O1", "O1CCOC1=O", "[CH2]1[CH2]OC(=O)O1"])
def test_another_spelling_is_the_same_chemical(rdkit, spelling):
    assert find_contradiction(spelling, EC.inchikey) is None


@pytest.mark.parametrize("spelling", ["C[C@H]1COC(=O)O1", "CC1COC(=O)O1"])
def test_stereochemistry_that_one_name_leaves_out_is_no_contradiction(rdkit, spelling):
    assert find_contradiction(spelling, get_chemical("PC").inchikey) is None


def test_known_chemicals_are_told_apart_by_name(rdkit):
    assert find_contradiction(DMC.smiles, EC.inchikey) == "the SMILES is that of DMC, but the InChIKey is that of EC"


@pytest.mark.parametrize("spelling", ["CCO", "COC(=O)OCF", "[Na+].F[P-](F)(F)(F)(F)F"])
def test_other_atoms_than_those_of_a_known_chemical(rdkit, spelling):
    assert "but the InChIKey is that of EC" in find_contradiction(spelling, EC.inchikey)


def test_unknown_chemicals_are_compared_where_they_can_be(rdkit):
    assert find_contradiction(*ETHANOL) is None
    assert bool(find_contradiction("CCN", ETHANOL[1])) == rdkit


@pytest.mark.parametrize(("spelling", "key"), [("w", "ww"), ("NMC622", EC.inchikey), ("C", "graphite")])
def test_what_is_no_structure_or_no_inchikey_is_left_alone(rdkit, spelling, key):
    assert find_contradiction(spelling, key) is None


def test_requests_name_what_contradicts():
    component = {"chemical": {"SMILES": DMC.smiles, "InChIKey": EC.inchikey}, "fraction": 1, "fraction_type": "mol/mol"}
    with pytest.raises(ValueError, match=r"formulation\[0\].chemical: .* that of DMC, but .* that of EC"):
        validate_parameters("conductivity", "two_electrode", {"formulation": [component]})
