"""The chemicals of the profile, of its tenants and of other packages."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from aiida.manage import get_manager

from aiida_finales.broker.registration import add_tenant
from aiida_finales.data import added_records
from aiida_finales.data.chemicals import ADDED_CHEMICALS, PROFILE, add_chemicals, check_chemicals
from aiida_finales.exceptions import InputError
from aiida_finales.operations.request.documents import read_tenant, replace_limitations, tell_unknown
from aiida_finales.schemas.chemicals import find_chemical, get_chemical
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.chemicals.registry import load_registry
from aiida_finales.schemas.chemicals.tokens import is_no_name
from aiida_finales.schemas.limitations.offer import Offer, allowed_values, formulation_regions

EC, DME, LIFSI = get_chemical("EC"), get_chemical("DME"), get_chemical("LiFSI")
LISCN = {"name": "LiSCN", "SMILES": "[Li+].[S-]C#N", "InChIKey": "ZJZXSOKJEJFHCP-UHFFFAOYSA-M", "formula": "CLiNS"}
DENSITY = {"value": 1.485, "source": "a bench", "temperature": 298.15}


def add(*records):
    return add_chemicals(check_chemicals(records, PROFILE))


def test_what_is_added_is_known_here_and_in_other_programs(own_chemicals):
    assert find_chemical("LiSCN") is None
    [added] = add(LISCN)
    assert find_chemical("liscn") == added
    assert (added.record, added.is_salt) == ("profile 1", True)
    program = "from aiida import load_profile; from aiida_finales.data import chemicals; "
    program += f"load_profile({get_manager().get_profile().name!r}); "
    program += "from aiida_finales.schemas.chemicals import get_chemical; print(get_chemical('LiSCN').record)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "profile 1"


def test_a_record_that_is_added_again_is_its_next_version(own_chemicals):
    assert [add(LISCN)[0].version for _ in range(2)] == ["1", "1"]
    assert add({**LISCN, "synonyms": ["thiocyanate"]})[0].version == "2"
    assert len(json.loads(own_chemicals.read_text())["chemicals"]) == 1


def test_a_number_that_the_library_lacks_is_told(own_chemicals):
    fec = get_chemical("FEC")
    assert fec.density is None
    add({"name": "FEC", "smiles": fec.smiles, "inchikey": fec.inchikey, "density": DENSITY})
    assert get_chemical("FEC").density.value == 1.485
    assert (get_chemical("FEC").record, get_chemical("FEC").formula) == ("profile 1", fec.formula)


def test_of_a_known_chemical_a_record_need_only_say_what_is_new(own_chemicals):
    [added] = add({"name": "lifsi", "density": DENSITY})
    assert (added.name, added.inchikey, added.density.value) == ("LiFSI", LIFSI.inchikey, DENSITY["value"])
    for told in ({"name": "LiFSI"}, {"name": "nobody knows", "density": DENSITY}):
        with pytest.raises(InputError, match="lacking"):
            add(told)


def test_a_chemical_is_found_by_the_cas_number_of_its_bottle(own_chemicals):
    add({**LISCN, "synonyms": ["556-65-0"]})
    assert get_chemical("556-65-0").name == "LiSCN"
    assert (
        read_mixture("1 m 556-65-0 in DME:PC 1:1 w/w").fractions
        == read_mixture("1 m LiSCN in DME:PC 1:1 w/w").fractions
    )


@pytest.mark.parametrize("word", sorted(load_registry().words))
def test_no_name_of_the_library_means_something_else_in_a_mixture(word):
    assert not is_no_name(word)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([{**LISCN, "name": "EC"}], "the name 'EC' is given twice: .*C1COC.* and .*S-.*choose another name"),
        (
            [LISCN, {**LISCN, "SMILES": DME.smiles, "InChIKey": DME.inchikey, "formula": None}],
            "the name 'LiSCN' is given twice",
        ),
        ([{**LISCN, "InChIKey": EC.inchikey, "formula": None}], "SMILES .* but the InChIKey is that of EC"),
        (["LiSCN"], "a chemical is 'LiSCN', but accepted is an object with name"),
        ("LiSCN", "chemicals is str, but accepted is a list"),
        ([LISCN, {**LISCN, "density": DENSITY}], "LiSCN is described twice .*: make one record of both"),
        ([{**LISCN, "name": "LiSCN\u200b"}], r"'LiSCN\\u200b' has characters that nobody sees"),
        *(
            ([{**LISCN, "synonyms": [word]}], f"{word!r} means something else in a mixture")
            for word in ("2", "in", "w/w", "wt%", "lp30", "1 M LiSCN", "1:1", "556-65-1", "mit", "Gew.-%")
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[-40:],
)
def test_what_contradicts_is_refused_and_nothing_is_written(own_chemicals, records, words):
    with pytest.raises(InputError, match=words):
        check_chemicals(records, PROFILE)
    assert not own_chemicals.exists()


def test_a_file_that_somebody_spoilt_is_told_and_stops_nothing(own_chemicals):
    add(LISCN)
    own_chemicals.write_text("{")
    ADDED_CHEMICALS.forget()
    assert find_chemical("LiSCN") is None
    assert get_chemical("EC") == EC
    assert any(str(own_chemicals) in words for words in load_registry().troubles)


BTFE = {"name": "BTFE", "SMILES": "FC(F)(F)COCC(F)(F)F", "InChIKey": "KGPPDNUWZNWPSI-UHFFFAOYSA-N"}
PACKAGE = [{"name": "Cs", "smiles": "[Cs+]", "inchikey": "NCMHKCKGHRPLCM-UHFFFAOYSA-N"}]


def test_another_package_brings_chemicals(monkeypatch):
    points = [
        EntryPoint("caesium", f"{__name__}:PACKAGE", ADDED_CHEMICALS.group),
        EntryPoint("made", f"{__name__}:make", ADDED_CHEMICALS.group),
        EntryPoint("away", "nowhere.to_be_found:CHEMICALS", ADDED_CHEMICALS.group),
    ]
    monkeypatch.setattr(added_records, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", lambda point: {"caesium": PACKAGE, "made": make}[point.name])
    ADDED_CHEMICALS.forget()
    try:
        assert get_chemical("Cs").record == "package caesium 1"
        assert get_chemical("BTFE").smiles == BTFE["SMILES"]
        assert any("away cannot be used" in words for words in load_registry().troubles)
    finally:
        ADDED_CHEMICALS.forget()


def make():
    return [BTFE]


TENANT = {
    "name": "ether-bench",
    "chemicals": [BTFE, {"name": "DME", "smiles": DME.smiles, "inchikey": DME.inchikey, "density": DENSITY}],
    "offers": [
        {
            "quantity": "conductivity",
            "method": "two_electrode",
            "limitations": {
                "temperature": {"min": "20 °C", "max": "30 °C"},
                "formulation": {"LiFSI": {"min": 0.02, "max": 0.15}, "DME": {"min": 0.2, "max": 0.8}, "BTFE": {}},
            },
        }
    ],
}


class TestTenantFile:
    def test_chemicals_stand_by_name_and_temperatures_in_celsius(self, desk, own_chemicals):
        node = add_tenant(**read_tenant(TENANT))
        offer = Offer.from_dict(node.offers[0])
        assert allowed_values(offer, "temperature") == [(293.15, 303.15)]
        [region] = formulation_regions(offer)
        assert region.names == (LIFSI.inchikey, DME.inchikey, BTFE["InChIKey"])
        assert get_chemical("BTFE").record == "tenant ether-bench 1"
        assert get_chemical("DME").density == DME.density  # what a tenant says replaces no number
        assert node.chemicals[0]["SMILES"] == BTFE["SMILES"]
        assert tell_unknown(node.offers) == []

    def test_chemicals_stay_when_limitations_change(self, desk, own_chemicals):
        node = add_tenant(**read_tenant(TENANT))
        narrower = [{**TENANT["offers"][0], "limitations": {"temperature": "25 °C"}}]
        new = add_tenant(node.name, replace_limitations(node.offers, narrower), tenant_uuid=node.tenant_uuid)
        assert (new.version, new.chemicals) == (node.version + 1, node.chemicals)
        assert new.offers[0]["limitations"] == {"temperature": 298.15}

    @pytest.mark.parametrize(
        ("offer", "keys"),
        [
            ({"hull": {"chemicals": ["LiFSI", "DME"], "vertices": [[0.1, 0.9], [0, 1]]}}, {"chemicals", "vertices"}),
            ({"coefficients": {"LiFSI": 1.0, "DME": -0.2}, "max": 0}, {LIFSI.inchikey, DME.inchikey}),
        ],
        ids=["hull", "sum"],
    )
    def test_constraints_name_chemicals_as_well(self, desk, offer, keys):
        box = [{"chemical": "LiFSI", "fraction": {"max": 0.2}}, {"chemical": {"SMILES": DME.smiles}}]
        limits = {"limitations": {"formulation": box}, "constraints": [{"path": "formulation", **offer}]}
        read = read_tenant({"name": "b", "offers": [{"quantity": "conductivity", "method": "two_electrode", **limits}]})
        [constraint] = read["offers"][0]["constraints"]
        assert set(constraint.get("hull") or constraint["coefficients"]) == keys
        [region] = formulation_regions(Offer.from_dict(read["offers"][0]))
        assert region.names == (LIFSI.inchikey, DME.inchikey)

    @pytest.mark.parametrize("limits", [{"min": 20, "max": 30}, [{"min": 25, "max": 25}, {"min": 300}], 25, {"max": 8}])
    def test_limits_that_look_like_celsius_are_refused(self, desk, limits):
        offer = {"quantity": "conductivity", "method": "two_electrode", "limitations": {"temperature": limits}}
        with pytest.raises(InputError, match=r"limitations.temperature: .* looks like °C"):
            add_tenant("cold", [offer])
        assert add_tenant("cold", [offer], is_sure=True).is_active

    @pytest.mark.parametrize("limits", [{"min": 0, "max": 400}, {"min": 263.15}, 298.15])
    def test_other_limits_are_accepted(self, desk, limits):
        offer = {"quantity": "conductivity", "method": "two_electrode", "limitations": {"temperature": limits}}
        assert add_tenant("warm", [offer]).is_active

    def test_what_nobody_described_is_told(self):
        hull = {"chemicals": [LISCN["InChIKey"], "DME"], "vertices": [[0.1, 0.9], [0.0, 1.0]]}
        offer = {"quantity": "conductivity", "method": "two_electrode"}
        offer["constraints"] = [{"path": "formulation", "hull": hull}]
        [words] = tell_unknown(read_tenant({"name": "stranger", "offers": [offer]})["offers"])
        assert "ZJZXSOKJEJFHCP-UHFFFAOYSA-M is not known here, and its SMILES is not given" in words
        with pytest.raises(InputError, match="chemical 'unobtainium' is not known here: describe it in a section"):
            read_tenant(
                {"name": "odd", "offers": [{**offer, "limitations": {"formulation": [{"chemical": "unobtainium"}]}}]}
            )
