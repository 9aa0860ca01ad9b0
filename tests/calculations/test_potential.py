"""Steps of ``finales-mlp`` as calculations: the command line, the nodes, each exit code; and the real program once."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.plugins import ParserFactory

from aiida_finales.calculations.potential import (
    PotentialCalculation,
    arguments_of,
    assemble_potential,
    split_frames,
    split_text,
)
from aiida_finales.data.potential import PotentialData
from aiida_finales.exceptions import SimulationInputError
from tests.potential.conftest import HELD_OUT, MISSING, TRAIN, make_document

FRAMES = "1\nLattice\nNa 0 0 0\n2\nLattice\nNa 0 0 0\nNa 0 0 1\n1\nLattice\nNa 0 0 2\n"
CODES = PotentialCalculation.exit_codes


@pytest.mark.parametrize(
    ("step", "places", "numbers", "words"),
    [
        ("label", {"frames": "frames.xyz"}, {}, "frames.xyz"),
        (
            "train",
            {"data": "data.xyz", "validation": "v.xyz", "potential": "potential"},
            {"member": 1},
            "data.xyz --validation v.xyz --start potential --member 1",
        ),
        (
            "train",
            {"data": "d.xyz", "validation": "v.xyz", "also_lithium": "also_lithium.json"},
            {"member": 0},
            "d.xyz --validation v.xyz --also also_lithium.json --member 0",
        ),
        ("explore", {"start": "s.xyz", "potential": "potential"}, {"frame": 2}, "potential s.xyz --frame 2"),
        (
            "select",
            {"visited_01": "b.xyz", "visited_00": "a.xyz", "known": "k.xyz", "potential": "potential"},
            {},
            "a.xyz b.xyz --known k.xyz --potential potential",
        ),
    ],
)
def test_the_command_line_is_that_of_the_program(step, places, numbers, words):
    from aiida_finales.potential.command import _parser

    arguments = arguments_of(step, places, numbers)
    assert " ".join(arguments) == words
    assert _parser().parse_args([step, "input.json", *arguments, "--out", "work", "--resume"]).step == step


def test_frames_are_split_by_their_atoms(registered):
    assert [block.split()[0] for block in split_text(FRAMES)] == ["1", "2", "1"]
    node = orm.SinglefileData(io.BytesIO(FRAMES.encode()), "frames.xyz")
    parts = split_frames(node, orm.Int(2))
    assert "".join(parts[name].get_content() for name in sorted(parts)) == FRAMES
    assert len(split_frames(node, orm.Int(9))) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FRAMES[:-11], "cut off: line 8, '1', is followed by 1 lines"),
        (FRAMES + "7", "line 11, '7'"),
        (FRAMES.replace("2\n", "two\n", 1), "line 4, 'two'"),
        ("\n", "no frame was given"),
    ],
    ids=["a frame without its last line", "a number alone", "no number", "nothing"],
)
def test_frames_that_were_cut_off_are_not_taken_for_whole(text, words):
    with pytest.raises(SimulationInputError, match=re.escape(words)):
        split_text(text)


@pytest.fixture
def parse(registered, aiida_localhost):
    """Return a function that parses what a step left."""

    def run(step="label", **files):
        node = orm.CalcJobNode(computer=aiida_localhost, process_type="aiida.calculations:finales.potential_step")
        name = orm.Str(step).store()
        node.base.links.add_incoming(name, LinkType.INPUT_CALC, "step")
        node.set_option("resources", {"num_machines": 1})
        node.store()
        retrieved = orm.FolderData()
        for name, content in files.items():
            retrieved.base.repository.put_object_from_filelike(io.BytesIO(content.encode()), name.replace("__", "."))
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        return ParserFactory("finales.potential").parse_from_node(node, store_provenance=False)

    return run


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (10, "ERROR_BAD_INPUT"),
        (20, "ERROR_UNKNOWN_ELEMENT"),
        (30, "ERROR_WRECKED"),
        (31, "ERROR_DIVERGED"),
        (32, "ERROR_NOT_CONVERGED"),
        (40, "ERROR_OUT_OF_WALLTIME"),
        (60, "ERROR_NO_ENGINE"),
        (70, "ERROR_DISK_FULL"),
        (1, "ERROR_PROGRAM_FAILED"),
    ],
)
def test_each_end_of_the_program_has_its_number(parse, status, label):
    _, done = parse(error__json=json.dumps({"exit_status": status, "message": "because"}))
    assert done.exit_status == CODES[label].status
    assert "because" in done.exit_message


@pytest.mark.parametrize("content", ["", "{", json.dumps({"labelled": 1})])
def test_an_output_that_was_cut_off_is_none(parse, content):
    assert parse(output__json=content)[1].exit_status == CODES.ERROR_NO_OUTPUT.status


def test_what_is_distrusted_is_kept(parse):
    content = json.dumps({"distrust": "too wrong", "end": "finales-mlp"})
    outputs, done = parse("evaluate", output__json=content)
    assert done.exit_status == CODES.ERROR_DISTRUSTED.status
    assert outputs["output"]["distrust"] == "too wrong"


@pytest.mark.potential
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(MISSING), reason=f"the extra mlp is not installed: {', '.join(MISSING)}")
def test_members_are_trained_apart_and_joined(registered, aiida_localhost, tmp_path):
    """The real program: three members of a few steps, a potential of them, and its errors."""
    aiida_localhost.set_minimum_job_poll_interval(0.0)
    script = tmp_path / "finales-mlp"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m aiida_finales.potential.command "$@" --threads 1\n')
    script.chmod(0o755)
    code = orm.InstalledCode(
        label=tmp_path.name,
        computer=aiida_localhost,
        filepath_executable=str(script),
        prepend_text="export OMP_NUM_THREADS=1",
    ).store()
    options = {"resources": {"num_machines": 1}}
    common = {"code": code, "parameters": orm.Dict(make_document(train={"steps": 3})), "metadata": {"options": options}}
    frames = {name: orm.SinglefileData(Path(path)) for name, path in (("data", TRAIN), ("validation", HELD_OUT))}
    members = {}
    for number in range(3):
        arguments = orm.Dict({"member": number})
        outputs, done = run_get_node(PotentialCalculation, step="train", arguments=arguments, files=frames, **common)
        assert done.exit_status == 0, done.exit_message
        members[f"member_{number}"] = outputs["retrieved"]
    potential = assemble_potential(frames["validation"], **members)
    assert isinstance(potential, PotentialData)
    assert potential.elements == ["C", "F", "H", "Na", "O", "P"]
    assert potential.statement == "GFN1-xTB (tblite 0.8.0), not DFT"
    # its own held-out frames are no surprise
    files = {"data": frames["validation"]}
    outputs, done = run_get_node(PotentialCalculation, step="evaluate", files=files, potential=potential, **common)
    assert done.exit_status == 0, done.exit_message
    assert outputs["output"]["forces_meV_A"] == pytest.approx(potential.validation["forces_meV_A"], rel=1e-3)
