"""Files of instruments become results with their raw data, once."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from aiida_finales.broker.state import read_state
from aiida_finales.exceptions import InputError
from aiida_finales.operations.importing.measurement import CYCLING, SPECTRA, Told, import_files
from aiida_finales.operations.importing.settings import (
    CAPACITIES,
    CELL_CONSTANTS,
    read_file_table,
    read_formulation,
    read_quantity,
)
from aiida_finales.operations.origin.story import trace
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.impedance import circuit_impedance
from aiida_finales.workflows.training import choose_training

pytestmark = pytest.mark.usefixtures("registered")

RESISTANCE, CELL_CONSTANT = 52.0, 102.0
FORMULATION = read_formulation('{"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}')["formulation"]
ABOUT = {
    "method": "two_electrode",
    "cell_constant_per_m": CELL_CONSTANT,
    "temperature": 298.15,
    "formulation": FORMULATION,
}


@pytest.fixture
def spectrum(tmp_path, request):
    """A file of its own: what another test imported is no file that is here already."""
    frequency = np.geomspace(1e5, 10.0, 31)
    impedance = circuit_impedance(frequency, RESISTANCE, 2e-5, 0.93, 1e-7)
    rows = np.column_stack([frequency, impedance.real, impedance.imag]).tolist()
    return write(tmp_path / "cell.csv", request, "freq/Hz,Re(Z)/Ohm,Im(Z)/Ohm", rows)


@pytest.fixture
def capacities(tmp_path, request):
    """A cell that ends in its sixth cycle."""
    rows = [(cycle, 0.0045 - 0.0002 * cycle) for cycle in range(1, 10)]
    return write(tmp_path / "cap.csv", request, "cycle,discharge_capacity_Ah", rows)


def write(path, request, header, rows):
    lines = [header, *(",".join(map(repr, row)) for row in rows), f"# {request.node.name}"]
    path.write_text("\n".join([*lines[:1], *lines[1:-1]]) + f"\n{'nan,' * (len(rows[0]) - 1)}{request.node.name}\n")
    return path


def take(kind, path, settings, **told):
    return import_files(kind, {path: {}}, Told(settings, **told))


class TestSpectra:
    """A conductivity per spectrum, by the analysis of the drivers."""

    def test_conductivity_is_rated_and_keeps_spectrum_and_file(self, spectrum):
        (result,) = take(SPECTRA, spectrum, ABOUT).results
        assert result.value == pytest.approx(CELL_CONSTANT / RESISTANCE, rel=1e-4)
        assert (result.is_successful, result.base.attributes.get("valid"), result.rating) == (True, True, 5)
        file = result.creator.inputs.file
        assert file.get_content("rb") == spectrum.read_bytes()
        origin = result.data["measurement"]
        assert origin["sha256"] == hashlib.sha256(spectrum.read_bytes()).hexdigest()
        assert (origin["file"], origin["kind"], origin["spectrum"]) == ("cell.csv", "table", 1)
        raw = result.creator.outputs.spectrum_00001
        assert raw.get_array("frequency")[0] == 1e5
        story = trace(result)
        assert story["raw_data"]["impedance_fit"]["resistance_ohm"] == pytest.approx(RESISTANCE, rel=1e-4)
        assert story["provided_by"]["file"] == "cell.csv"

    def test_same_file_is_stored_once(self, spectrum, count_nodes):
        (first,) = take(SPECTRA, spectrum, ABOUT).results
        before = count_nodes()
        again = take(SPECTRA, spectrum, ABOUT)
        assert ([node.pk for node in again.results], again.is_new) == ([first.pk], False)
        spoken = take(SPECTRA, spectrum, {**ABOUT, **read_formulation("LiPF6 8 mol%, EC 30 mol%, EMC 62 mol%")})
        assert ([node.pk for node in spoken.results], spoken.is_new) == ([first.pk], False)
        assert count_nodes() == before

    def test_same_file_of_a_molality_is_stored_once(self, spectrum):
        said = {**ABOUT, **read_formulation("1 m NaFSI in G2")}
        (first,) = take(SPECTRA, spectrum, said).results
        again = take(SPECTRA, spectrum, said)
        assert ([node.pk for node in again.results], again.n_new, again.others) == ([first.pk], 0, ())

    def test_copies_are_one_file(self, spectrum):
        copy = spectrum.with_name("copy.csv")
        copy.write_bytes(spectrum.read_bytes())
        assert import_files(SPECTRA, {spectrum: {}, copy: {}}, Told(ABOUT)).n_new == 1

    def test_other_settings_are_another_result_and_amend_replaces(self, spectrum):
        (first,) = take(SPECTRA, spectrum, ABOUT).results
        other = take(SPECTRA, spectrum, {**ABOUT, "temperature": 303.15})
        assert ([node.pk for node in other.others], other.n_new) == ([first.pk], 1)
        (last,) = take(SPECTRA, spectrum, {**ABOUT, "temperature": 308.15}, is_amending=True).results
        assert {read_state(node.pk)["replacement"] for node in (first, other.results[0])} == {last.uuid}

    def test_dry_run_stores_nothing(self, spectrum, count_nodes):
        before = count_nodes()
        imported = take(SPECTRA, spectrum, ABOUT, is_dry=True)
        assert [item.data["conductivity"]["meta"]["rating"] for item in imported.measured] == [5]
        assert count_nodes() == before

    def test_what_is_no_electrolyte_is_kept_as_no_success(self, spectrum):
        lines = spectrum.read_text().replace("-", "").splitlines()
        spectrum.write_text("\n".join(lines))
        imported = take(SPECTRA, spectrum, {**ABOUT, "max_frequency_Hz": 12.0})
        (result,) = imported.results
        assert (result.is_successful, result.rating, result.value) == (False, 1, None)
        assert "accepted are 8 or more" in result.data["reason"]
        assert len(result.creator.outputs.spectrum_00001.get_array("frequency")) == 31

    def test_one_bad_file_and_nothing_is_stored(self, spectrum, tmp_path, count_nodes):
        bad = tmp_path / "bad.mpt"
        bad.write_text("EXPLAIN\n")
        before = count_nodes()
        with pytest.raises(InputError, match=r"nothing was stored: bad.mpt has the suffix of BioLogic"):
            import_files(SPECTRA, {spectrum: {}, bad: {}}, Told(ABOUT))
        assert count_nodes() == before

    def test_what_a_file_does_not_say_is_asked_for(self, spectrum):
        with pytest.raises(InputError, match=r"--cell-constant.*--formulation"):
            take(SPECTRA, spectrum, {"method": "two_electrode", "temperature": 298.15})

    def test_implausible_numbers_need_somebody_who_is_sure(self, spectrum):
        about = {**ABOUT, "temperature": 25.0}
        with pytest.raises(InputError, match=r"25 looks like °C.*--yes-really"):
            take(SPECTRA, spectrum, about)
        assert take(SPECTRA, spectrum, about, is_sure=True).n_new == 1


class TestCycling:
    """Capacities over the cycles, and the life where it ended."""

    def test_capacities_are_a_result_of_their_own_capability(self, capacities):
        settings = {"method": "literature", "reference": "10.1/abc", "protocol": "slow"}
        (result,) = take(CYCLING, capacities, settings).results
        assert result.data["measurement"]["reference"] == "10.1/abc"
        assert result.parameters["cycling_protocol"] == "slow"
        assert (result.quantity, result.method, result.rating) == ("capacity", "literature", 3)
        assert result.base.attributes.get("valid") is True
        assert result.data["discharge_capacities"][:2] == pytest.approx([0.0043, 0.0041])
        assert (result.data["cycles"], result.data["cell_info"]["cell_name"]) == (list(range(1, 10)), "cap")
        assert result.data["end_of_life"] == 6

    def test_first_cycles_like_those_of_formation_are_said(self, tmp_path):
        """The life was a share of the first, slow cycle, and nobody said so."""
        rows = "\n".join(f"{cycle},{1.2 if cycle < 4 else 1.07 - 1e-4 * cycle}" for cycle in range(1, 31))
        path = tmp_path / "slow.csv"
        path.write_text(f"cycle,discharge_capacity_Ah\n{rows}\n")
        for told, words in (({}, "set them apart by --formation 3"), ({"formation_cycles": 3}, "")):
            (item,) = take(CYCLING, path, {"method": "literature", **told}, is_dry=True).measured
            assert words in " ".join(item.notes)
            assert bool(item.notes) == bool(words)

    def test_life_of_a_known_electrolyte_can_be_learned_from(self, capacities):
        imported = take(CYCLING, capacities, {"method": "literature", "formulation": FORMULATION})
        _, life = imported.results
        assert (life.quantity, life.value, life.is_successful) == ("degradationEOL", 6.0, True)
        assert life.uncertainty == 1.0  # a cycle is counted whole
        assert life.fractions == pytest.approx({part["chemical"]["InChIKey"]: part["fraction"] for part in FORMULATION})
        assert life.base.attributes.get("valid") is True

    def test_life_of_a_cell_that_was_looked_at_seldom_is_as_uncertain(self, tmp_path, request):
        rows = [(cycle, 0.0045 - 2e-6 * cycle) for cycle in range(1, 1000, 50)]
        path = write(tmp_path / "seldom.csv", request, "cycle,discharge_capacity_Ah", rows)
        *_, life = take(CYCLING, path, {"method": "literature", "formulation": FORMULATION}).results
        assert (life.value, life.uncertainty) == (451.0, pytest.approx(50.0))

    def test_life_that_goes_on_is_none(self, capacities):
        settings = {"method": "literature", "formulation": FORMULATION, "threshold": 0.1}
        assert [result.quantity for result in take(CYCLING, capacities, settings).results] == ["capacity"]

    def test_capacities_in_the_wrong_unit_are_refused(self, tmp_path, request):
        path = write(tmp_path / "a.csv", request, "cycle,discharge_capacity_Ah", [(1, 4300.0), (2, 4200.0)])
        with pytest.raises(InputError, match="looks like mAh"):
            take(CYCLING, path, {"method": "literature"})

    def test_a_nominal_capacity_of_another_cell_or_unit_is_refused(self, capacities):
        words = "the nominal capacity is 3.3 Ah, but the largest that the cell gave is 0.0043 Ah.*3.3 looks like mAh"
        with pytest.raises(InputError, match=words):
            take(CYCLING, capacities, {"method": "literature", "nominal_capacity_Ah": 3.3})
        with pytest.raises(InputError, match=r"up to 5 times as much or as little\. Should it be right"):
            take(CYCLING, capacities, {"method": "literature", "nominal_capacity_Ah": 0.0003})
        table = capacities.with_name("files.csv")
        table.write_text(f"file,nominal_capacity_mAh\n{capacities.name},3.3\n")
        assert read_file_table(table)[capacities] == {"nominal_capacity_Ah": pytest.approx(0.0033)}
        table.write_text(f"file,nominal_capacity_mAh\n{capacities.name},0\n")
        with pytest.raises(InputError, match=r"nominal_capacity_mAh of .* is 0, but accepted is a number above 0"):
            read_file_table(table)

    def test_results_of_real_files(self, shared_data):
        path = shared_data / "cycling" / "aurora_nw4-120-6-1-36.ndax"
        (result,) = take(CYCLING, path, {"method": "literature", "formation_cycles": 1}).results
        assert len(result.data["capacity_list"]) == 8
        assert result.data["measurement"]["reader"].startswith("NewareNDA ")
        assert result.creator.inputs.file.get_content("rb") == path.read_bytes()


class TestTableOfFiles:
    """One row per file says what it is of."""

    def test_settings_of_each_file(self, spectrum):
        table = spectrum.with_name("files.csv")
        table.write_text(
            "file;cell_constant_per_cm;temperature_degC;x_LiPF6;x_EC;x_EMC;reference\n"
            "cell.csv;1,02;25,0;0,08;0,30;0,62;10.1/abc\n"
        )
        files = read_file_table(table)
        settings = files[spectrum]
        assert settings["cell_constant_per_m"] == pytest.approx(102.0)
        assert settings["temperature"] == pytest.approx(298.15)
        (result,) = import_files(SPECTRA, files, Told({"method": "literature"})).results
        assert (result.method, result.data["run_info"]["internal_reference"]) == ("literature", "10.1/abc")
        assert result.value == pytest.approx(CELL_CONSTANT / RESISTANCE, rel=1e-4)

    def test_a_mixture_in_words_has_a_column(self, spectrum):
        table = spectrum.with_name("files.csv")
        table.write_text("file,formulation\ncell.csv,1 mol/kg LiPF6 in EC:EMC 3:7 w/w\n")
        assert (
            read_file_table(table)[spectrum]["formulation"]
            == read_formulation("1 mol/kg LiPF6 in EC:EMC 3:7 w/w")["formulation"]
        )
        table.write_text("file,formulation,x_EC\ncell.csv,1 mol/kg LiPF6 in EC:EMC 3:7 w/w,0.3\n")
        with pytest.raises(InputError, match=r"cell.csv has a formulation and mole fractions"):
            read_file_table(table)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,temperature_F\ncell.csv,7\n", "columns temperature_F are not known; accepted are file"),
            ("name,temperature_K\ncell.csv,7\n", "columns name are not known"),
            ("file,temperature_K\nother.csv,7\n", "row 1: other.csv is not there"),
            ("file,temperature_K\ncell.csv,7\ncell.csv,8\n", "row 2: cell.csv is named before"),
            ("file,temperature_K\ncell.csv,warm\n", "temperature_K is 'warm'"),
        ],
        ids=["unknown", "no file", "absent", "twice", "no number"],
    )
    def test_rows_that_cannot_be_used(self, spectrum, text, message):
        table = spectrum.with_name("files.csv")
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            read_file_table(table)


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("4.4 mAh", CAPACITIES, 0.0044),
        ("4,4mAh", CAPACITIES, 0.0044),
        ("1.1", CAPACITIES, 1.1),
        ("1.02 1/cm", CELL_CONSTANTS, 102.0),
        ("1e2 m-1", CELL_CONSTANTS, 100.0),
        ("1.02 /cm", CELL_CONSTANTS, 102.0),
        ("1,02 cm⁻¹", CELL_CONSTANTS, 102.0),
        ("1.02 cm^-1", CELL_CONSTANTS, 102.0),
    ],
)
def test_numbers_with_units(text, units, value):
    assert read_quantity(text, "--option", units) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["77 F", "1.02", "1/cm", "1.0.2 1/cm", "", "nan 1/cm", "0 1/cm", "-1 1/cm", "1e999 1/m"]
)
def test_units_that_are_not_known_are_refused(text):
    with pytest.raises(
        InputError, match=rf"--option is '{text}', but accepted are a number above 0 and a unit of 1/m, m-1"
    ):
        read_quantity(text, "--option", CELL_CONSTANTS)


@pytest.mark.parametrize("text", ["LiPF6=0.08,EC=0.3,EMC=0.62", json.dumps({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})])
def test_formulations(text):
    assert read_formulation(text)["formulation"] == FORMULATION


def test_a_formulation_in_words():
    given = read_formulation("1 mol/kg LiPF6 in EC:EMC 3:7 w/w")["given"]
    assert given["understood"] == "1 mol/kg of solvent LiPF6 in EC:EMC 3:7 by mass"
    found = {
        part["chemical"]["InChIKey"]: part["fraction"]
        for part in read_formulation("1 mol/kg LiPF6 in EC:EMC 3:7 w/w")["formulation"]
    }
    moles = {"LiPF6": 1.0, "EC": 300 / 88.062, "EMC": 700 / 104.105}
    total = sum(moles.values())
    assert found == pytest.approx({get_chemical(key).inchikey: n / total for key, n in moles.items()}, rel=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"solvents": {"EC": 3, "EMC": 7}, "by": "mass", "molality": {"LiPF6": 1}}),
        "1 M LiPF6 in EC:EMC 3:7 w/w, density = 1.2 g/cm3",
        "LiPF6 8 mol%, EC 30 mol%, EMC 62 mol%",
    ],
)
def test_formulations_as_people_say_them(text):
    found = read_formulation(text)["formulation"]
    assert {part["chemical"]["InChIKey"] for part in found} == {part["chemical"]["InChIKey"] for part in FORMULATION}


@pytest.mark.parametrize("text", ["LiPF6", "LiPF6=a", "{", "Water9=1", "[1]"])
def test_formulations_that_are_none(text):
    with pytest.raises(InputError):
        read_formulation(text)


def make_campaign(quantity, *sources):
    asked = {name: {"ask": name == sources[0]} for name in sources}
    common = {"name": "c", "quantity": quantity, "target": sources[0], "sources": asked, "learn_from": "all"}
    return parse_campaign({**common, "initial": 3, "stop": {"evaluations": 4}})


class TestCampaigns:
    """What was imported is learned from, and what failed is not."""

    def test_conductivities_and_lives(self, spectrum, capacities):
        measured = take(SPECTRA, spectrum, ABOUT).results
        lives = take(CYCLING, capacities, {"method": "literature", "formulation": FORMULATION}).results
        used, _ = choose_training(make_campaign("conductivity", "two_electrode"), measured, None)
        assert used == measured
        life = make_campaign("degradationEOL", "degradation_workflow", "literature")
        used, _ = choose_training(life, [result for result in lives if result.quantity == "degradationEOL"], None)
        assert [result.value for result in used] == [6.0]

    def test_spectra_of_no_electrolyte(self, spectrum):
        results = take(SPECTRA, spectrum, {**ABOUT, "max_frequency_Hz": 12.0}).results
        used, against = choose_training(make_campaign("conductivity", "two_electrode"), results, None)
        assert (used, list(against.values())) == ([], ["not successful"])
