"""Active learning as a process: its rounds, its ends, and what becomes of steps that fail. The program is a stub."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.potential.domain import mixtures_of
from aiida_finales.workflows.potential import ActiveLearningWorkChain

pytest.importorskip("ase", reason="the extra mlp is not installed: ase")
# some fifty calculations, of more than a second each
pytestmark = [pytest.mark.potential, pytest.mark.timeout(900)]

STUB = Path(__file__).parents[1] / "fixtures" / "potential" / "stub.py"
FRAME = """2
Lattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3:reference_forces:R:3 reference_energy=0.0 \
reference="stub-xTB" pbc="T T T"
Na 0.0 0.0 {z} 0.0 0.0 0.0
Na 5.0 0.0 0.0 0.0 0.0 0.0
"""
PARAMETERS = {
    "schema": "finales-mlp/1",
    "temperature_K": 330,
    "formulation": [{"smiles": "C1COC(=O)O1", "mole_fraction": 1.0}],
}
EXITS = ActiveLearningWorkChain.exit_codes


def make_frames(number, start=0, element="Na"):
    text = "".join(FRAME.format(z=float(index + start)) for index in range(number)).replace("Na ", f"{element} ")
    return orm.SinglefileData(io.BytesIO(text.encode()), "frames.xyz")


@pytest.fixture
def learn(registered, aiida_localhost, tmp_path):
    """Return a function that runs the work chain, with errors by number of frames and ends as ordered."""
    aiida_localhost.set_minimum_job_poll_interval(0.0)
    script = tmp_path / "finales-mlp"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {STUB} {tmp_path / "plan.json"} "$@"\n')
    script.chmod(0o755)
    label = f"finales-mlp-{tmp_path.name}"
    code = orm.InstalledCode(label=label, computer=aiida_localhost, filepath_executable=str(script)).store()

    def run(errors, ends=None, *, inputs=None, **settings):
        (tmp_path / "plan.json").write_text(json.dumps({"errors": errors, "ends": ends or {}}))
        given = {"code": code, "parameters": orm.Dict(PARAMETERS), "data": make_frames(4)}
        given |= {"validation": make_frames(2, start=10), **(inputs or {})}
        settings = {"n_starts": 1, "n_chunks": 1, **settings}
        return run_get_node(ActiveLearningWorkChain, settings=orm.Dict(settings), **given)

    run.calls = lambda: (tmp_path / "plan.calls").read_text().splitlines()
    return run


def test_it_ends_with_the_last_round_and_goes_on_from_there_until_the_goal(learn):
    outputs, node = learn({"4": 600}, max_rounds=1)
    assert node.exit_status == 0, node.exit_message
    assert outputs["potential"].statement == "stub-xTB, not DFT"
    assert outputs["potential"].n_frames == 4
    assert outputs["data"].get_content().count("Lattice") == 6

    inputs = {name: outputs[name] for name in ("potential", "data", "curve")}
    outputs, node = learn({"6": 90}, inputs=inputs, goal_forces_meV_A=160.0)
    assert node.exit_status == 0, node.exit_message
    curve = outputs["curve"].get_list()
    assert [point["round"] for point in curve] == [0, 1]
    assert [point["n_frames"] for point in curve] == [4, 6]
    assert [point["relabelled"]["forces_meV_A"] for point in curve] == [600, 90]
    assert outputs["potential"].n_frames == 6
    # dynamics start from frames to learn from, never from held-out ones
    starts = [child.inputs.files["start"] for child in node.called if _step_of(child) == "explore"]
    assert {file.uuid for file in starts} == {node.inputs.data.uuid}
    assert sum(line.startswith("train") and "--start" in line for line in learn.calls()) == 3


def _step_of(child):
    return child.inputs.step.value if "step" in child.inputs else None


@pytest.mark.slow
def test_it_ends_after_a_round_without_gain(learn):
    outputs, node = learn({"4": 300, "6": 299})
    assert node.exit_status == 0, node.exit_message
    assert len(outputs["curve"].get_list()) == 2
    # the second round learns on from the weights of the first
    assert sum(line.startswith("train") and "--start" in line for line in learn.calls()) == 3


def test_a_step_that_was_interrupted_goes_on_in_its_folder_until_the_budget_is_spent(learn):
    outputs, node = learn({"4": 300}, {"label": {"0": 40}}, budget_cpu_s=60.0)
    assert node.exit_status == 0, node.exit_message
    assert len(outputs["curve"].get_list()) == 1
    steps = [child for child in node.called if child.process_type.endswith("potential_step")]
    resumed = [child for child in steps if "parent_folder" in child.inputs]
    assert [child.inputs.step.value for child in resumed] == ["label"]
    assert "potential" in outputs


def test_what_was_trained_is_handed_out_where_the_first_round_came_to_nothing(learn):
    outputs, node = learn({}, {"explore": {"0": 30}})
    assert node.exit_status == EXITS.ERROR_STEP_FAILED.status
    assert "explore of round 0 failed" in node.exit_message
    assert outputs["potential"].n_frames == 4


def test_without_a_member_there_is_no_committee(learn):
    outputs, node = learn({}, {"train": {"1": 31}})
    assert node.exit_status == EXITS.ERROR_STEP_FAILED.status
    assert "diverged: as ordered" in node.exit_message
    assert "potential" not in outputs


#: another mixture that one potential learns as well
POTASSIUM = {**PARAMETERS, "formulation": [{"smiles": "CCOC(=O)OC", "mole_fraction": 1.0}]}


def make_others(**changes):
    frames = {"others_data": make_frames(3, 20, "K"), "others_validation": make_frames(1, 30, "K")}
    others = {"others": {"potassium": orm.Dict(POTASSIUM | changes)}}
    return others | {name: {"potassium": node} for name, node in frames.items()}


@pytest.mark.slow
def test_one_potential_learns_several_mixtures_each_with_frames_and_dynamics_of_its_own(learn):
    """Seven frames to begin with; of each mixture two are visited and labelled in a round."""
    outputs, node = learn({"7": 300}, inputs=make_others(), max_rounds=1)
    assert node.exit_status == 0, node.exit_message
    domain = outputs["potential"].domain
    assert [parts[0]["smiles"] for parts in mixtures_of(domain)] == ["C1COC(=O)O1", "CCOC(=O)OC"]
    assert outputs["potential"].n_frames == 7
    files = (outputs["data"], outputs["others_data"]["potassium"])
    assert [file.get_content().count("Lattice") for file in files] == [6, 5]
    assert "Na " not in outputs["others_data"]["potassium"].get_content()
    first = outputs["curve"].get_list()[0]
    assert set(first["dynamics"]) == {"start_00", "start_00_of_potassium"}
    assert set(first["relabelled_of"]) == {"the first", "potassium"}
    steps = [child for child in node.called if _step_of(child)]
    of_potassium = [child for child in steps if child.inputs.parameters.get_dict() == POTASSIUM]
    assert {_step_of(child) for child in of_potassium} == {"explore", "select", "label", "evaluate"}
    assert all("--also also_potassium.json" in line for line in learn.calls() if line.startswith("train"))


@pytest.mark.parametrize(
    ("name", "changes", "kept", "words"),
    [
        ("potassium", {}, ("others",), "others_data has none, but accepted are the names of others: potassium"),
        ("K_salt", {}, ("others",), "'K_salt', but accepted are small letters and digits"),
        ("potassium", {"temperature_K": 1}, ("others",), "potassium: parameters: temperature_K"),
        ("potassium", {"ion_charge_scale": 0.9}, (), "others.potassium has another ion_charge_scale than parameters"),
    ],
    ids=["no-frames", "name", "input", "force-field"],
)
def test_mixtures_that_cannot_be_learned_together_are_refused(learn, name, changes, kept, words):
    given = make_others(**changes)
    given = {key: {name: given[key]["potassium"]} for key in kept or given}
    with pytest.raises(ValueError, match=re.escape(words)):
        learn({}, inputs=given)
