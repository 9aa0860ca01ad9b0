"""GROMACS as the engine: when it is taken, what its words mean, and what is said where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_finales.exceptions import EngineError
from aiida_finales.md import gromacs
from aiida_finales.md.command import run_command
from aiida_finales.md.engine import Sample
from aiida_finales.md.input import check_input
from aiida_finales.md.run import choose_engine
from aiida_finales.md.storage import State

needs_gromacs = pytest.mark.skipif(
    not gromacs.has_gromacs(), reason="gmx is not on the PATH: the engine gromacs was not tried"
)
PROTOCOL = {"nvt_ps": 1, "npt_ps": 4, "settle_ps": 0.4, "production_ps": 4.05, "frame_ps": 0.1, "cutoff_nm": 0.7}


@pytest.fixture
def write(write_input):
    """Write an input for GROMACS and return its path."""
    return lambda **changes: write_input(**{"engine": "gromacs", "protocol": PROTOCOL, **changes})


@needs_gromacs
@pytest.mark.slow
def test_when_the_time_is_over_gromacs_stops_and_goes_on_later(write, tmp_path):
    words = ["run", str(write()), "--out", str(tmp_path / "cell"), "--threads", "1"]
    assert run_command([*words, "--walltime", "0.001"]) == 40
    assert State.load(tmp_path / "cell").step == 50
    assert run_command([*words, "--resume", "--walltime", "0.001"]) == 40
    assert State.load(tmp_path / "cell").step == 100


@needs_gromacs
def test_without_a_gpu_the_fastest_engine_is_taken_and_a_begun_run_keeps_its_own(document):
    given = check_input({**document, "engine": "auto"})
    assert choose_engine(given, None).engine == "gromacs"
    assert choose_engine(given, "openmm").engine == "openmm"
    reference = check_input({**document, "engine": "auto", "platform": "Reference"})
    assert choose_engine(reference, None).engine == "openmm"


def test_gromacs_that_is_not_there_is_named(write, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_command(["run", str(write()), "--out", str(tmp_path / "cell")]) == 60
    assert "there is no program gmx on the PATH. Install GROMACS 2021 or later" in capsys.readouterr().err
    given = check_input(json.loads(write(engine="auto").read_text()))
    assert choose_engine(given, None).engine == "openmm"
    with pytest.raises(EngineError, match="or take engine openmm"):
        choose_engine(given, "gromacs")


@pytest.mark.parametrize(
    ("status", "output", "exit_status"),
    [
        (1, "Fatal error:\nToo many LINCS warnings (1001)\n", 30),
        (1, "Fatal error:\nStep 5: The total potential energy is nan, which is not finite.", 30),
        (1, "WARNING 1 [file cell.top, line 9]:\n  has an estimated oscillational period of 1.0e-03 ps", 30),
        (-11, "", 30),
        (1, "Fatal error:\nCannot write trajectory frame; maybe you are out of disk space?\n", 70),
        (1, "Error in user input:\nInvalid command-line options\n", 1),
        (-9, "", 1),
    ],
    ids=["lincs", "nan", "stiff", "crash", "disk", "options", "killed"],
)
def test_what_mdrun_says_becomes_an_exit_status(status, output, exit_status, tmp_path):
    error = gromacs._explain("mdrun -s piece.tpr", status, output, tmp_path)
    assert error.exit_status == exit_status
    assert f"gmx mdrun ended with {status}" in str(error)


@needs_gromacs
def test_paths_go_on_through_the_walls_of_a_box_that_breathes(document_of_a_cell, library, tmp_path):
    """A path that is wrapped into boxes of changing size is found again as it was, in parts of the box."""
    from types import SimpleNamespace

    from aiida_finales.md.cell import plan_cell
    from aiida_finales.md.engine import Ensemble
    from aiida_finales.md.engine_gromacs import GromacsEngine

    given = check_input({**document_of_a_cell, "engine": "gromacs"})
    cell = plan_cell(given, library)
    engine = GromacsEngine(cell, given, 2.0, Ensemble(1.0, None, 1), tmp_path, 1)
    rng = np.random.default_rng(0)
    parts = rng.uniform(-1.5, 2.5, (cell.n_atoms, 3))
    engine.put(2.0 * parts, None)
    for edge in (2.0, 2.1, 1.9, 2.05):
        parts = parts + rng.normal(0, 0.05, parts.shape)
        wrapped = edge * (parts - np.floor(parts))
        engine._follow(SimpleNamespace(box=np.eye(3) * edge, x=wrapped, v=np.zeros_like(wrapped)))
        sample = Sample(engine.positions, engine.edge, 0.0, 0.0, 0.0)
        assert sample.positions == pytest.approx(edge * parts)
