"""What an input of ``finales-mlp`` may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiida_finales.exceptions import ForceFieldError, SimulationInputError
from aiida_finales.potential.classical import plan
from aiida_finales.potential.command import run_command
from aiida_finales.potential.input import check_input, read_input
from tests.potential.conftest import make_document


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "finales-md/1"}, "'finales-mlp/1'"),
        ({"reference": {"method": "DFT"}}, "reference.method"),
        ({"reference": {"method": "ase"}}, "method ase with calculator"),
        ({"reference": {"method": "teacher"}}, "method teacher with path"),
        ({"model": {"members": 2}}, "model.members"),
        ({"train": {"seconds": 10}}, "train.seconds: 10 was given, accepted is one of the keys steps, learning_rate"),
        ({"reference": {"ps": 0.5}}, "reference: 'ps 0.5, dropped_ps 1' was given, accepted is ps above dropped_ps"),
        ({"explore": {"timestep_fs": 2.0}}, "explore.timestep_fs"),
        ({"explore": {"ps": 0.001}}, "explore: 'ps 0.001, frame_ps 0.01' was given, accepted is at least one frame"),
        ({"reference": {"ps": 1.001}}, "accepted is at least one frame after dropped_ps"),
        ({"reference": {"options": {"accuracy": 1}}}, "accepted is none of these: options is of CP2K and ase"),
        ({"reference": {"name": "DFT"}}, "'method GFN1-xTB with name' was given"),
        ({"reference": {"method": "CP2K", "command": "cp2k 'x"}}, "accepted is a command (No closing quotation)"),
        ({"reference": {"method": "CP2K", "command": " "}}, "reference.command: ' ' was given, accepted is a command"),
        ({"select": {"low": 3.0, "high": 0.1}}, "select: 'low 3, high 0.1' was given, accepted is low up to high"),
    ],
)
def test_a_bad_input_is_refused_by_its_path(changes, words):
    with pytest.raises(SimulationInputError) as caught:
        check_input(make_document(**changes))
    assert words in str(caught.value)


def test_a_box_below_twice_the_cutoff_is_refused():
    with pytest.raises(SimulationInputError, match="twice as large"):
        plan(check_input(make_document(n_molecules=5)))


def test_a_dry_run_says_what_is_learned(write_input, capsys):
    assert run_command(["check", str(write_input())]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n_atoms"] == 113
    assert said["reference"] == "GFN1-xTB, not DFT"


POTASSIUM = """
- name: K
  smiles: "[K+]"
  charge: 1
  sources: {all: "made up"}
  terms: {atoms: [[K, 1.0, 0.3, 0.4]]}
"""


def test_species_of_ones_own_are_a_part_of_the_input(tmp_path, capsys):
    document, file = make_document(), tmp_path / "own.yaml"
    document["formulation"][2]["smiles"] = "[K+].F[P-](F)(F)(F)(F)F"
    (tmp_path / "given.json").write_text(json.dumps(document))
    words = ["check", str(tmp_path / "given.json")]
    assert run_command(words) == 20
    assert "there is no force field for [K+]" in capsys.readouterr().err
    file.write_text(POTASSIUM)
    assert run_command([*words, "--species", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["n_atoms"] == 113
    given = read_input(tmp_path / "given.json", [file])
    # whoever is given the input alone, as AiiDA gives it to a cluster, knows them as well
    again = check_input(given.model_dump(mode="json", by_alias=True))
    assert "K" in plan(again).elements
    # a file that says the same of another charge would not be believed
    again.species[0].terms.atoms[0] = ("K", 0.9, 0.3, 0.4)
    with pytest.raises(ForceFieldError, match=r"species K: the charges of its atoms sum to 0\.9 e, its charge is 1"):
        plan(again)


def test_files_that_are_not_there_are_named(write_input, tmp_path, capsys):
    words = ["label", str(write_input()), str(tmp_path / "none.xyz"), "--out", str(tmp_path / "out")]
    assert run_command(words) == 10
    assert "none.xyz: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cutoff_nm": 0.7}, "or a smaller cutoff_nm than 0.7"),
        (
            {"formulation": [{"smiles": "C1COC(=O)O1", "mole_fraction": 0.9}]},
            "given.json: formulation: 'mole fractions that sum to 0.9' was given",
        ),
    ],
    ids=["box", "sum"],
)
def test_what_the_classical_cells_refuse_is_told_by_the_keys_of_this_input(write_input, capsys, changes, words):
    assert run_command(["check", str(write_input(**changes))]) == 10
    assert words in capsys.readouterr().err


def test_a_method_that_is_not_there_has_its_own_status(write_input, tmp_path, capsys):
    from tests.potential.conftest import HELD_OUT

    path = write_input(reference={"method": "ase", "calculator": "no_such_package.Calculator"})
    assert run_command(["label", str(path), str(HELD_OUT), "--out", str(tmp_path / "out")]) == 20
    assert "no_such_package" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trust": None}, "trust: None was given, accepted is an object with low, high"),
        ({"domain": {}}, "domain.temperature_K: None was given"),
        ({"members": [{"file": "../member_0.pt", "sha256": "0"}]}, "accepted is the name of a file beside it"),
        ({"schema": "finales-mlp/1"}, "is no potential; accepted is finales-mlp-potential/1"),
    ],
    ids=["no levels", "no domain", "a file elsewhere", "another document"],
)
def test_a_description_that_was_changed_is_named(write_input, tmp_path, capsys, changes, words):
    import shutil

    from tests.potential.conftest import FOLDER, TRAIN

    shutil.copytree(FOLDER / "small", tmp_path / "changed")
    path = tmp_path / "changed" / "potential.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    asked = ["select", str(write_input()), str(TRAIN), "--potential", str(path.parent), "--out", str(tmp_path / "out")]
    assert run_command(asked) == 10
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["lipf6", "mgclo42", "napf6"])
def test_the_examples_can_be_learned(name, capsys):
    path = Path(__file__).parents[2] / "examples" / "potentials" / f"{name}.json"
    assert run_command(["check", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["n_atoms"] >= 113
