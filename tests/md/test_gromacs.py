"""GROMACS as the engine: the same files, killed and resumed as OpenMM is; and what is said where there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from aiida_finales.exceptions import EngineError
from aiida_finales.md import gromacs
from aiida_finales.md.choice import choose_engine
from aiida_finales.md.command import run_command
from aiida_finales.md.engine import Sample
from aiida_finales.md.input import check_input
from aiida_finales.md.output import read_log
from aiida_finales.md.storage import State

needs_gromacs = pytest.mark.skipif(
    not gromacs.has_gromacs(), reason="gmx is not on the PATH: the engine gromacs was not tried"
)
PROTOCOL = {"nvt_ps": 1, "npt_ps": 4, "settle_ps": 0.4, "production_ps": 4.05, "frame_ps": 0.1, "cutoff_nm": 0.7}
STAGES = ("minimise", "nvt", "npt", "settle", "production")
#: s that a step of a test may take on a busy computer
PATIENCE = 150.0


@pytest.fixture
def write(write_input):
    """Write an input for GROMACS and return its path."""
    return lambda **changes: write_input(**{"engine": "gromacs", "protocol": PROTOCOL, **changes})


def start(path, out):
    words = [sys.executable, "-m", "aiida_finales.md.command", "run", str(path), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options = ["--resume", "--threads", "1", "--checkpoint", "0.4"]
    return subprocess.Popen([*words, *options], stderr=subprocess.PIPE, text=True, env=environment)


def stage_of(out):
    path = out / "stages.json"
    return json.loads(path.read_text())["stage"] if path.exists() else None


def has_mdrun(folder):
    """Whether a process works in a folder."""
    for link in os.scandir("/proc"):
        try:
            if link.name.isdigit() and os.readlink(f"/proc/{link.name}/cwd") == str(folder):
                return True
        except OSError:
            continue
    return False


@needs_gromacs
@pytest.mark.slow
def test_a_run_killed_in_each_stage_has_all_its_frames_and_can_be_analysed(write, tmp_path):
    path, out = write(), tmp_path / "cell"
    killed = []
    for stage in STAGES:
        process = start(path, out)
        end = time.monotonic() + PATIENCE
        while stage_of(out) != stage and process.poll() is None:
            assert time.monotonic() < end, f"{stage} was never reached"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        killed.append(process.returncode)
        time.sleep(0.2)
        assert not has_mdrun(out / "gromacs"), "mdrun outlived the program"
    assert killed == [-signal.SIGKILL] * len(STAGES)
    process = start(path, out)
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert "ns/day" in text
    ions = np.load(out / "ions.npz")
    assert ions["positions"].shape == (40, 8, 3)
    assert np.abs(np.diff(ions["positions"], axis=0)).max() < 0.2
    log = read_log(out / "log.csv", "production")
    assert len(log["time_ps"]) == 41
    assert (log["time_ps"][-2:]) == pytest.approx([4.0, 4.05], abs=0.011)
    assert 270 < log["temperature_K"].mean() < 340
    assert len(read_log(out / "log.csv", "npt")["time_ps"]) == 40
    output = json.loads((out / "output.json").read_text())
    assert (output["engine"], output["n_frames"]) == ("gromacs", 40)
    assert output["versions"]["gromacs"] == gromacs.read_version()
    assert 0.7 < output["density_g_cm3"]["mean"] < 1.5
    assert not (out / "gromacs").exists()
    assert run_command(["analyse", str(out), "--out", str(tmp_path / "summary.json")]) == 0


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
        (-11, "", 30),
        (1, "Fatal error:\nCannot write trajectory frame; maybe you are out of disk space?\n", 70),
        (1, "Error in user input:\nInvalid command-line options\n", 1),
        (-9, "", 1),
    ],
    ids=["lincs", "nan", "crash", "disk", "options", "killed"],
)
def test_what_mdrun_says_becomes_an_exit_status(status, output, exit_status):
    error = gromacs._explain("mdrun -s piece.tpr", status, output)
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
