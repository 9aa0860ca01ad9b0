"""``aiida-finales potential``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from aiida_finales.data.potential import PotentialData
from aiida_finales.operations.potential.records import find_potential

SMALL = Path(__file__).parents[2] / "potential" / "small"


def test_list_and_show(desk, run, run_json, tmp_path):
    pytest.importorskip("matplotlib")
    assert "no potential is here: run 'finales-mlp'" in run("potential", "list").stderr
    node = PotentialData(SMALL).store()
    (row,) = run_json("potential", "list")
    assert row["mixture"] == "EC 0.3333, EMC 0.5556, NaPF6 0.1111"
    assert row["labels"].endswith("not DFT")
    assert row["held_out_meV_A"] == pytest.approx(269.73)
    assert row["visited_meV_A"] is None
    shown = run_json("potential", "show", node.pk, "--figures", tmp_path / "pictures")
    assert shown["rounds"][0]["n_frames"] == 20
    assert shown["held_out"]["forces_by_element_meV_A"]["Na"] == pytest.approx(262.12)
    assert sorted(file.name for file in (tmp_path / "pictures").iterdir()) == ["elements.png", "learning.png"]


def test_what_is_none_is_refused(desk, run):
    said = run("potential", "show", "nowhere", exit_code=1).stderr
    assert "accepted is a folder with potential.json, or the PK or UUID of a PotentialData" in said


def test_one_that_was_changed_or_has_chemicals_that_nobody_knows(desk, run, run_json, tmp_path):
    words = json.loads((SMALL / "potential.json").read_text())
    folder = tmp_path / "changed"
    shutil.copytree(SMALL, folder)
    words["domain"]["formulation"][0] |= {"smiles": "C1COC(=O)S1", "name": "thio-EC"}
    (folder / "potential.json").write_text(json.dumps(words))
    assert run_json("potential", "show", folder)["mixture"] == "thio-EC 0.3333, EMC 0.5556, NaPF6 0.1111"
    (folder / "potential.json").write_text(json.dumps(words | {"trust": None}))
    said = run("potential", "show", folder, exit_code=1).stderr
    assert "trust: None was given, accepted is an object with low, high" in said


def test_a_folder_that_is_here_already_is_not_stored_again(desk):
    first = find_potential(str(SMALL))
    assert not first.is_stored
    first.store()
    assert find_potential(str(SMALL)).uuid == first.uuid
