"""Electrodes, separators and cell formats as records."""

from __future__ import annotations

import csv
import json

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.catalogue import Registry
from aiida_finales.schemas.cells import (
    CellFormat,
    Electrode,
    Separator,
    find_electrode,
    find_format,
    find_separator,
    list_electrodes,
)
from aiida_finales.schemas.cells.record import STATUSES, read_part
from aiida_finales.schemas.cells.registry import CATALOGUES, LIBRARY, read_known

CAPACITY = {"value": 110.0, "source": "a bench", "status": "measured"}
NFPP = {
    "name": "NFPP",
    "polarity": "positive",
    "working_ions": ["Na"],
    "formula": "Na4Fe3(PO4)2P2O7",
    "electrons": 3,
    "practical_capacity": CAPACITY,
}


@pytest.mark.parametrize("kind", [Electrode, Separator, CellFormat])
def test_the_library_passes_its_own_checks(kind):
    documents = json.loads(LIBRARY.read_text())[kind.NOUN]
    for document in documents:
        part = read_part(kind, document, "library")
        assert {key: asked["value"] for key, asked in document.items() if key in kind.NUMBERS} == {
            key: number.value for key, number in part.numbers.items()
        }
        assert all(number.status in STATUSES and number.source for number in part.numbers.values())
    assert not CATALOGUES[kind].load().troubles


def test_numbers_are_those_of_the_table(shared_data):
    with (shared_data / "ageing" / "electrodes_long.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["property"] in Electrode.NUMBERS]
    for row in rows:
        number = find_electrode(row["material"]).numbers[row["property"]]
        assert number.value == (float(row["value"]) if row["value"] else None), row
        assert (number.source, number.status) == (row["source"], row["status"])
    assert len(rows) == 22 * 6


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("LiFePO4", "LFP"),
        ("LMNO", "LNMO"),
        ("ncm 8-1-1", "NMC811"),
        ("Si/graphite", "graphite-Si"),
        ("Hard_Carbon", "hard carbon"),
        ("Na3V2(PO4)3", "NVP"),
        ("[Li+].[O-][Ni]=O", "LNO"),
    ],
)
def test_an_electrode_is_found_by_what_people_call_it(word, name):
    assert find_electrode(word).name == name


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Mn0.1Co0.1Ni0.8LiO2", "NMC811"),
        ("Li1.0Ni0.8Mn0.1Co0.1O2", "NMC811"),
        ("Li[Ni0.8Mn0.1Co0.1]O2", "NMC811"),
        ("LiNi₀.₈Mn₀.₁Co₀.₁O₂", "NMC811"),
        ("LiNi0,8Mn0,1Co0,1O2", "NMC811"),
        ("LiNi1/3Mn1/3Co1/3O2", "NMC111"),
        ("LiNi0.33Mn0.33Co0.33O2", "NMC111"),
        ("Li4/3Ti5/3O4", "LTO"),
        ("NMC 8/1/1", "NMC811"),
        ("NMC(8:1:1)", "NMC811"),
        ("NMC 8\N{EN DASH}1\N{EN DASH}1", "NMC811"),
    ],
)
def test_a_formula_is_found_however_it_is_written(word, name):
    assert find_electrode(word).name == name


@pytest.mark.parametrize(
    "word", ["LiNi0.83Mn0.06Co0.11O2", "Li1.05Ni0.8Mn0.1Co0.1O2", "LiNi0.8Co0.15Al0.05O2", "C", "O2", "NMC(1:8:1)"]
)
def test_another_composition_is_no_neighbour_of_it(word):
    """Nor is an element a material: there is graphite, and there is hard carbon."""
    with pytest.raises(InputError, match="is not known here"):
        find_electrode(word)


def test_all_electrodes_of_the_project_are_there():
    positive = [
        "LFP",
        "LCO",
        "LMNO",
        "LNO",
        "NMC111",
        "NMC532",
        "NMC622",
        "NMC811",
        "NCA",
        "NVPF",
        "NVP",
        "NVZP",
        "PAQS",
    ]
    words = [*positive, "PHBQS", "graphite", "LTO", "Li", "Na", "Mg"]
    names = {find_electrode(word).name for word in (*words, "Prussian white", "Gr-SiO", "activated carbon", "NMC83")}
    assert names <= {electrode.name for electrode in list_electrodes()}
    assert len(names) == len(words) + 4
    assert find_separator("celgard(r) 2325").pore_volume == pytest.approx(0.975)  # µL/cm²
    assert (find_format("Swagelok").design, find_format("21700").design) == ("three-electrode", "cylindrical")


def test_what_is_not_known_is_refused_with_what_is_near():
    with pytest.raises(InputError, match=r"electrode 'NMC812' is not known here: did you mean NMC811\?.*electrode add"):
        find_electrode("NMC812")
    with pytest.raises(InputError, match="cell format 'tin' is not known here"):
        find_format("tin")


def test_potentials_are_against_the_metal_of_the_first_ion():
    nvp = find_electrode("NVP")
    assert (nvp.reference, find_electrode("PAQS").reference) == ("Na/Na+", "Mg/Mg2+")
    assert nvp.potential_against("Li") == pytest.approx(3.4 + 0.326)
    assert find_electrode("Li").potential_against("Li") == 0


def test_a_capacity_follows_from_formula_and_electrons():
    number = read_part(Electrode, NFPP, "profile").numbers["theoretical_capacity"]
    assert (number.value, number.status, number.unit) == (129.0, "computed", "mAh/g")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"polarity": "cathode"}, "polarity is 'cathode', but accepted are positive, negative, both"),
        ({"working_ions": ["Zn"]}, "working_ions is .*accepted is a list of Li, Na, K, Mg"),
        ({"formula": "Nax"}, "formula is 'Nax'"),
        ({"theoretical_capacity": {**CAPACITY, "value": 200}}, "is 200 mAh/g, but 3 electrons .* are 129 mAh/g"),
        ({"electrons": None, "theoretical_capacity": {**CAPACITY, "value": 200}}, "all Na of .* are 172 mAh/g"),
        ({"practical_capacity": {**CAPACITY, "value": 140}}, "practical_capacity is 140 .*theoretical one is 129"),
        ({"practical_capacity": {**CAPACITY, "value": 0.11}}, "is 0.11, but accepted is 5 to 5000 mAh/g; is it Ah/g"),
        ({"practical_capacity": {**CAPACITY, "unit": "Ah/g"}}, "unit of practical_capacity is 'Ah/g'"),
        ({"practical_capacity": 110}, "practical_capacity is 110, but accepted is an object with value"),
        ({"practical_capacity": {**CAPACITY, "status": "sure"}}, "status .*seen, measured"),
        ({"practical_capacity": {**CAPACITY, "status": "unknown"}}, "accepted is no value"),
        ({"log10_diffusion": {**CAPACITY, "value": 1e-11}}, "is it a diffusion coefficient, not its logarithm"),
        ({"crystal_density": {**CAPACITY, "value": 3200}}, "is it kg/m3"),
        ({"mean_potential": {**CAPACITY, "value": float("nan")}}, "mean_potential is nan"),
        ({"colour": "green"}, "unknown .'colour'.*accepted are name"),
        ({"name": None}, "lacking .'name'"),
        ({"synonyms": "NFPP2"}, "accepted is a list of names"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_records_that_cannot_be_used_say_why(change, words):
    with pytest.raises(InputError, match=words):
        read_part(Electrode, {**NFPP, **change}, "profile")


def test_of_what_is_known_a_record_need_only_say_what_is_new():
    registry: Registry[Electrode] = Registry()
    registry.add(find_electrode("hard carbon"))
    told = {"name": "Hard Carbon", "practical_capacity": {**CAPACITY, "value": 320.0}}
    registry.add(read_known(Electrode, told, "profile", "3"))
    registry.add(read_known(Electrode, {**told, "practical_capacity": CAPACITY}, "tenant bench"))
    [found] = registry.records.values()
    assert (found.known["practical_capacity"], found.record) == (320.0, "profile 3")
    assert found.known["mean_potential"] == 0.2
    assert not registry.troubles
    with pytest.raises(InputError, match=r"lacking .'polarity', 'working_ions'"):
        read_known(Electrode, {"name": "something new", "practical_capacity": CAPACITY}, "profile")
    with pytest.raises(InputError, match="practical_capacity is 300 mAh/g, but the theoretical one is 169"):
        read_known(Electrode, {"name": "LFP", "practical_capacity": {**CAPACITY, "value": 300}}, "profile")
