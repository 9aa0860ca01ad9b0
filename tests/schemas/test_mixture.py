"""Mixtures as people say them become mole fractions, and nothing gets lost on the way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import chemical_label, get_chemical, molality
from aiida_finales.schemas.chemicals.mixture import is_mixture, read_mixture, tell
from aiida_finales.schemas.chemicals.recipe import mass_fractions, molarities
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.science.electrolyte.known_density import find_density

SALTS = ["LiPF6", "NaPF6", "Mg(TFSI)2", "LiFSI"]
#: with a density in their records
SOLVENTS = ["EC", "EMC", "DMC", "DME", "DOL", "GBL", "water"]


def by_name(mixed):
    return {chemical_label(key): share for key, share in mixed.fractions.items()}


def size_of(name, by):
    """Return the mass, volume or amount of a mole of a solvent."""
    chemical = get_chemical(name)
    return {"mole": 1.0, "mass": chemical.molar_mass, "volume": chemical.molar_mass / chemical.density.value}[by]


def weigh(**masses):
    """Return mole fractions of masses in g, as with pencil and paper."""
    moles = {name: mass / get_chemical(name).molar_mass for name, mass in masses.items()}
    return {name: amount / sum(moles.values()) for name, amount in moles.items()}


def test_molarity_with_a_given_density_is_what_a_balance_would_say():
    # 1 L weighs 1210 g, of which 151.905 g are the salt; the rest is EC:EMC 3:7 by mass
    rest = 1210 - 151.905
    expected = weigh(LiPF6=151.905, EC=0.3 * rest, EMC=0.7 * rest)
    for said in ("1 M LiPF6 in EC:EMC 3:7 w/w, 1.21 g/cm3", "1.0 mol/L LiPF6 in EC/EMC 30:70 (wt) (1.21 g/mL)"):
        mixed = read_mixture(said)
        assert by_name(mixed) == pytest.approx(expected, rel=1e-12)
        assert mixed.density == {"value": 1.21, "source": "given"}
        assert mixed.records == dict.fromkeys(expected, "library 1")
    spelt = {"solvents": {"EC": 3, "EMC": 7}, "by": "mass", "molarity": {"LiPF6": 1}, "density": 1.21}
    assert by_name(read_mixture(spelt)) == pytest.approx(expected, rel=1e-12)


def test_molality_and_additives():
    base = weigh(LiPF6=1.5 * 151.905, EC=500, EMC=500)
    assert by_name(read_mixture("1.5 mol/kg LiPF6 in EC:EMC 1:1 w/w")) == pytest.approx(base, rel=1e-12)
    whole = 1000 + 1.5 * 151.905
    more = weigh(LiPF6=1.5 * 151.905, EC=500, EMC=500, FEC=whole * 0.05 / 0.95)
    found = read_mixture("1.5 m LiPF6 in EC:EMC 1:1 w/w + 5 wt% FEC")
    assert by_name(found) == pytest.approx(more, rel=1e-12)
    assert mass_fractions(by_name(found))["FEC"] == pytest.approx(0.05)


def test_a_ratio_by_volume_names_the_densities_that_it_used():
    mixed = read_mixture("1 mol/kg LiTFSI in DOL:DME 1:1 v/v")
    assert by_name(mixed) == pytest.approx(weigh(LiTFSI=287.08, DOL=1000 * 1.06 / 1.92, DME=1000 * 0.86 / 1.92), 1e-4)
    assert set(mixed.numbers) == {"density of DOL", "density of DME"}
    assert "density of DME 0.86 g/cm3 (Xu, Chem. Rev." in tell(mixed.to_dict())


def test_a_density_that_is_not_given_is_looked_up_and_named():
    mixed = read_mixture("1 M LiPF6 in EC:EMC 3:7 w/w", find_density)
    assert mixed.density["value"] == pytest.approx(1.19, abs=0.01)
    assert "fitted to measured stock solutions" in mixed.density["source"]
    assert molarities(mixed.fractions, mixed.density["value"])[get_chemical("LiPF6").inchikey] == pytest.approx(1)
    other = read_mixture("1 M LiPF6 in DME", find_density)
    assert other.density["source"] == "ideal mixing of the volumes of LiPF6 (library 1), DME (library 1)"
    with pytest.raises(InputError, match=r"nothing is known of the volume of NaPF6 in it: give the density"):
        read_mixture("1 M NaPF6 in EC:EMC 3:7 w/w", find_density)
    with pytest.raises(InputError, match=r"mol/L needs the density of the solution"):
        read_mixture("1 M LiPF6 in EC:EMC 3:7 w/w")


@pytest.mark.parametrize(
    "said",
    [
        "LiPF6 8 mol%, EC 45 mol%, EMC 47 mol%",
        "8 mol% LiPF6; 45 mol% EC; 47 mol% EMC",
        {"LiPF6": 0.08, "EC": 0.45, "EMC": 0.47},
        {"lipf6": "8 %", "ethylene carbonate": "45 %", "EMC": "47 %"},
        {"mole_fractions": {"LiPF6": 0.08, "EC": 0.45, "EMC": 0.47}},
        {"mass_fractions": mass_fractions({"LiPF6": 0.08, "EC": 0.45, "EMC": 0.47})},
    ],
    ids=str,
)
def test_fractions_however_they_are_said(said):
    assert is_mixture(said)
    assert by_name(read_mixture(said)) == pytest.approx({"LiPF6": 0.08, "EC": 0.45, "EMC": 0.47}, rel=1e-12)


SAME = {
    "1 mol/kg LiPF6 in EC:DMC 1:1 v/v + 2 wt% VC": [
        "1 m LiPF6 EC/DMC (1/1 v/v) + 2 wt% VC",
        "LiPF₆ 1 mol kg⁻¹ in EC-DMC (1:1, by vol.) with 2 % w/w VC",
        "1 molal lithium hexafluorophosphate in 1:1 ethylene carbonate/dimethyl carbonate (volume), VC 2 wt.-%",
        "2 wt% VC, 1 m LiPF6, EC:DMC = 50:50 vol%",
        ["1 m LiPF6", "EC:DMC 1:1 v/v", "2 wt% VC"],
        "1000 mmol/kg LiPF6/EC:DMC 1:1 v/v + 2 wt% VC",
        "1 m LiPF6 in 50 mL EC and 50 mL DMC + 2 wt% VC",
        "1 m Lithiumhexafluorophosphat in Ethylencarbonat/Dimethylcarbonat 1:1 Vol.-% + 2 Gew.-% Vinylencarbonat",
        "1 m LiPF6 in EC/DMC (1:1 Vol.-%) mit 2 Ma.-% VC",
    ],
    "NaFSI 20 wt%, TEP 80 wt%": [
        "20 wt% NaFSI in TEP",
        "NaFSI:TEP 20:80 w/w",
        "NaFSI 20 w%, TEP 80 mass%",
        "20 Massen-% NaFSI, 80 Gew.-% Triethylphosphat",
        "20 % NaFSI 80 % TEP (by weight)",
        "2 g NaFSI, 8 g TEP",
        "NaFSI = 0,2; TEP = 0,8 by mass",
        {"NaFSI": "20 wt%", "TEP": "80 wt%"},
    ],
    "LiPF6 8 mol%, EC 30 mol%, EMC 62 mol%": [
        "LiPF6=0.08,EC=0.3,EMC=0.62",
        "LiPF6=0,08,EC=0,3,EMC=0,62",
        "LiPF6:EC:EMC = 8:30:62 (mol/mol)",
        [{"LiPF6": 0.08}, {"EC": 0.3}, {"EMC": 0.62}],
        [{"chemical": name, "fraction": share} for name, share in (("LiPF6", 0.08), ("EC", 0.3), ("EMC", 0.62))],
    ],
    "1 mol/L LiPF6 in EC:DMC 1:1 w/w + 2 wt% FEC": ["LP30 + 2 wt% FEC", "lp30 with 2 wt% FEC", "2 wt% of FEC in LP30"],
    "1.2 M LiPF6 in EC:EMC 3:7 w/w, 1.21 g/cm3": [
        "1,2 mol·L⁻¹ LiPF6 in EC/EMC (w:w = 3/7), 1,21 g/cm³",
        "1.2 mol dm-3 LiPF6 in EC (30 wt%) and EMC (70 wt%), density = 1210 kg/m3",
    ],
    "LiTFSI:DOL:DME 10:45:45 w/w": ["LiTFSI 10 wt%, 1,3-dioxolane 45 wt%, 1,2-dimethoxyethane 45 wt%"],
}


@pytest.mark.parametrize(
    ("said", "other"), [(said, other) for said, others in SAME.items() for other in others], ids=str
)
def test_other_ways_to_say_the_same(said, other):
    assert is_mixture(other)
    expected = by_name(read_mixture(said, find_density))
    assert by_name(read_mixture(other, find_density)) == pytest.approx(expected, rel=1e-9)


def test_what_was_understood_is_told():
    told = tell(read_mixture("1 m LiPF6 EC/DMC (1/1 v/v) + 2 wt% vc").to_dict())
    assert "understood as 1 mol/kg of solvent LiPF6 in EC:DMC 1:1 by volume + 2 wt% VC (of the whole)" in told
    told = tell(read_mixture("LiPF6=0.08,EC=0.3,EMC=0.62").to_dict())
    assert "understood as mole fractions of the whole, LiPF6 0.08, EC 0.3, EMC 0.62" in told


def test_a_sum_at_the_end_of_the_tolerance_is_within_it():
    said = {"LiPF6": 0.12, "EC": 0.3, "EMC": 0.579}  # their sum is 0.999, and as floats a little less
    assert sum(by_name(read_mixture(said)).values()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("shares", [{"EC": 0.3335, "EMC": 0.6660}, {"EC": "33.35 %", "EMC": "66.6 %"}], ids=str)
def test_what_rounding_left_is_scaled_by_the_one_rule(shares):
    for said in (shares, {"mass_fractions": shares}):
        assert sum(read_mixture(said).fractions.values()) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("1 M LiPF6 in EC:EMC 3:7", r"the ratio of EC, EMC is of what\? Say w/w \(mass\), v/v \(volume\)"),
        ("1 M LiPF6 in EC:EMC 3:7:1 w/w", "2 solvents .* have 3 parts"),
        ("1 LiPF6 in EC", "'1 LiPF6' is no amount of a salt"),
        ("1 M LiPF6 + 1 mol/kg LiFSI in EC", "mol/L and mol/kg are mixed"),
        ("1 m LiPF6 in EC + 2 % VC", "'2 % VC' is no amount of an additive"),
        ("1 m LiPF6 in EC:FEC 1:1 v/v", "density of FEC is needed for a ratio by volume"),
        ("1 m LiPF6 in unobtainium", "chemical 'unobtainium' is not known here"),
        ("1 m LiPF6 in EC:C1COC(=O)O1 1:1 w/w", "named twice"),
        ("9 M LiPF6 in EC, 1.21 g/cm3", "leave no room for a solvent"),
        ("EC:LiPF6 1:1 v/v", "LiPF6 is a salt, but stands among the solvents"),
        ("EC 50 mol%, EMC 50 wt%", "mixes mol% and wt%"),
        ("", "mixture is ''"),
        ({"LiPF6": 8, "EC": 45, "EMC": 47}, "sum to 100: they look like %; accepted are 0 to 1 with sum 1"),
        ({"EC": 0.5, "EMC": 0.4}, "sum 0.9"),
        ({"solvents": {"EC": 1, "EMC": 1}}, "'by' is None, but accepted is what the parts are of"),
        ({"solvents": {"EC": 1}, "molality": {"LiPF6": 1}, "molarity": {"LiPF6": 1}}, "accepted is one of them"),
        ({"solvents": {"EC": 1}, "molalty": {"LiPF6": 1}}, "unknown .'molalty'."),
        ({"solvents": {"EC": -1}}, "there is -1 of EC, but accepted are amounts from 0"),
        ({"solvents": {"EC": 0}}, "the solvents are .'EC': 0.0., but accepted is more than nothing"),
        ({"solvents": {"EC": 1, "EMC": math.nan}, "by": "mass"}, "there is nan of EMC"),
        ("1 m LiPF6 in EC:EMC 1e308:1e308 w/w", "there is 1e.308 of EC"),
        ("1 m LiPF6 in EC:EMC -3:7 w/w", "'-3:7' is below 0"),
        ("1 M LiPF6 in EC, -1.2 g/cm3", "'-1.2' is below 0"),
        ("-1 m LiPF6 in EC", "'-1' is below 0"),
        ("800 m LiPF6 in EC", "800 mol/kg of solvent, but accepted are up to 100: 800 looks like mmol/kg"),
        ("1 M LiPF6 in EC, 1.2 g/cm3, 1.3 g/cm3", "1.2 g/cm3 and 1.3 g/cm3 are both said"),
        ({"mixture": "1 M LiPF6 in EC, 1.3 g/cm3", "density": 1.2}, "1.3 g/cm3 and 1.2 g/cm3 are both said"),
        ({"mixture": "1 M LiPF6 in EC", "density": -1}, "density is -1, but accepted is a number above 0"),
        ({"mixture": "1 M LiPF6 in EC", "density": 1210}, "accepted is 0.3 to 5 g/cm3: that looks like kg/m³"),
        ("1 M LiPF6 in EC, 0.05 g/cm3", "density is 0.05, but accepted is 0.3 to 5 g/cm3"),
        ("20 % NaFSI in TEP", "'20 % NaFSI' is no amount"),
        ("5 vol% NaFSI in TEP", "'5 vol% NaFSI' is no amount"),
        ("5 % w/v NaFSI in TEP", "chemical 'w' is not known"),
        ("NaFSI in TEP (20 wt%)", "'NaFSI' is no amount of a salt"),
        ("NaFSI/TEP 20 wt%", "20 wt% is said of NaFSI, TEP: of which"),
        ("EC 30 wt% EMC", r"30 wt% of what: EC or EMC\?"),
        ("1 M LiPF6", "in which solvent is LiPF6"),
        ("0.5M", r"0.5M of what\?"),
        ("EC=a", "chemical 'a' is not known"),
        ("EC EMC", "how much is there of EMC beside EC"),
        ("EC:EMC 3:7 v/v w/w", "mass and volume are both said"),
        ("1 M LiPF6 in EC:EMC 3:7,1.21 g/cm3", "of what"),
        ("~1 M LiPF6 in EC", "'~1' is not understood"),
        ("1-2 M LiPF6 in EC", "'-' is understood between names"),
        ("1 M LiPF6 in EC:EMC 3:7 w/w at 25 °C", "a temperature .* is said beside a mixture"),
        ("1 m LiPF6 in 40 wt% EC, 50 wt% EMC", "sum to 90 %, accepted is 100"),
        ("1 m LiPF6 in COCCOC=O", "how much is there of O"),
        ("1 mol LiPF6 in 1 kg EC", "mass and mole are both said"),
        ({"LiPF6": "10 vol%", "EC": "90 vol%"}, "has parts by volume"),
        ([{"EC": 0.5}, {"EC": 0.5}], "named twice"),
        ({"solvents": {"EC": "3"}}, "solvents.EC is '3', but accepted is a number"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_says_why(said, words):
    with pytest.raises(InputError, match=words):
        read_mixture(said)


amounts = st.floats(0.01, 10)


@given(
    st.dictionaries(st.sampled_from(SOLVENTS), amounts, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(SALTS), st.floats(0.001, 0.5), min_size=1, max_size=2),
    st.sampled_from(["mass", "volume", "mole"]),
    st.floats(0.9, 2.0),
)
def test_conversions_and_back(solvents, salts, by, density):
    wanted = {name: part / sum(solvents.values()) for name, part in solvents.items()}
    for kind in ("molarity", "molality"):
        mixed = read_mixture({"solvents": solvents, "by": by, kind: salts, "density": density})
        found = by_name(mixed)
        assert sum(found.values()) == pytest.approx(1, abs=1e-12)
        parts = {name: share * size_of(name, by) for name, share in found.items() if name in solvents}
        assert {name: part / sum(parts.values()) for name, part in parts.items()} == pytest.approx(wanted, rel=1e-9)
        if kind == "molarity":
            amount = molarities(found, density)
            assert {name: amount[name] for name in salts} == pytest.approx(salts, rel=1e-9)
        else:
            assert molality(found) == pytest.approx(math.fsum(salts.values()), rel=1e-9)
        assert by_name(read_mixture({"mass_fractions": mass_fractions(found)})) == pytest.approx(found, rel=1e-9)
        # a text says the same as the object
        ratio = ":".join(map(repr, solvents.values()))
        unit = "M" if kind == "molarity" else "mol/kg"
        doses = " + ".join(f"{amount!r} {unit} {name}" for name, amount in salts.items())
        words = {"mass": "w/w", "volume": "v/v", "mole": "mol/mol"}[by]
        said = (
            f"{doses} in {':'.join(solvents)} {ratio} {words}"
            if len(solvents) > 1
            else f"{doses} in {next(iter(solvents))}"
        )
        assert by_name(read_mixture({"mixture": said, "density": density})) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    ("said", "kelvin"),
    [
        ("25 °C", 298.15),
        ("28°C", 301.15),
        ("-10 degC", 263.15),
        ("298.15 K", 298.15),
        ("25,5 °C", 298.65),
        (300, 300.0),
    ],
)
def test_temperatures(said, kelvin):
    assert read_temperature(said) == kelvin


@pytest.mark.parametrize("said", ["25 F", "warm", "-300 °C", 0, True, None, "", float("nan")], ids=repr)
def test_no_temperatures(said):
    with pytest.raises(InputError, match=r"temperature is .*, but accepted is"):
        read_temperature(said)
