"""What ends a run before its end, with each engine: it is named, and the run goes on to the same number of frames."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from aiida_finales.md import gromacs
from aiida_finales.md.command import run_command
from aiida_finales.md.output import read_log
from aiida_finales.md.storage import State, hold

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.parametrize(
        "engine",
        [
            "openmm",
            pytest.param(
                "gromacs",
                marks=pytest.mark.skipif(
                    not gromacs.has_gromacs(), reason="gmx is not on the PATH: the engine gromacs was not tried"
                ),
            ),
        ],
    ),
]
PROTOCOL = {"nvt_ps": 1, "npt_ps": 4, "settle_ps": 0.4, "production_ps": 4.05, "frame_ps": 0.1, "cutoff_nm": 0.7}
STAGES = ("minimise", "nvt", "npt", "settle", "production")
N_FRAMES = 40
#: s that a step of a test may take on a busy computer
PATIENCE = 150.0
#: MB; what a run asks for, and a little more
DISK = 54


def start(path, out, *more, pause=0.4):
    """Start or resume a run as a process of its own; it writes a checkpoint after so many seconds."""
    words = [sys.executable, "-m", "aiida_finales.md.command", "run", str(path), "--out", str(out)]
    options = ["--resume", "--threads", "1", "--checkpoint", str(pause), *more]
    return subprocess.Popen([*words, *options], stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_stage(out, stage, process):
    """Wait until a run is in a stage."""
    path, end = out / "stages.json", time.monotonic() + PATIENCE
    while process.poll() is None and not (path.exists() and json.loads(path.read_text())["stage"] == stage):
        assert time.monotonic() < end, f"{stage} was never reached"
        time.sleep(0.005)


def has_process(folder):
    """Whether a process works in a folder."""
    for link in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if link.name.isdigit() and os.readlink(f"/proc/{link.name}/cwd") == str(folder):
                return True
    return False


def check_stress(out, engine):
    """Check that there is a pressure tensor every 10 fs, none missing and none twice: GROMACS alone has them."""
    assert (out / "stress.npz").exists() is (engine == "gromacs")
    if engine == "gromacs":
        stress = np.load(out / "stress.npz")
        assert stress["stress"].shape == (405, 6)
        assert len(np.unique(stress["stress"], axis=0)) == 405
        assert float(stress["interval"]) == pytest.approx(0.01)
        # what is beside the diagonal has no mean, and the fluctuations of so small a box are some thousand bar
        assert 500 < stress["stress"][:, 1].std() < 10_000
        assert abs(stress["stress"][:, 1].mean()) < stress["stress"][:, 1].std()


def check_whole(out, engine, n_frames=N_FRAMES):
    """Check that nothing is missing, and nothing there twice."""
    output = json.loads((out / "output.json").read_text())
    assert (output["engine"], output["n_frames"]) == (engine, n_frames)
    assert ("gromacs" in output["versions"]) is (engine == "gromacs")
    assert 0.7 < output["density_g_cm3"]["mean"] < 1.5
    ions = np.load(out / "ions.npz")
    assert ions["positions"].shape == (n_frames, 8, 3)
    solvents = np.load(out / "solvents.npz")
    assert solvents["positions"].shape == (n_frames, 36, 3)
    for paths in (ions["positions"], solvents["positions"]):
        assert np.abs(np.diff(paths, axis=0)).max() < 0.2
    check_stress(out, engine)
    log = read_log(out / "log.csv", "production")
    assert log["time_ps"] == pytest.approx([*(0.1 * np.arange(1, n_frames + 1)), 4.05], abs=0.011)
    assert 270 < log["temperature_K"].mean() < 340
    assert len(read_log(out / "log.csv", "npt")["time_ps"]) == 40
    assert not (out / "gromacs").exists()


def test_a_run_killed_in_each_stage_has_all_its_frames_and_can_be_analysed(engine, write_input, tmp_path):
    path, out = write_input(engine=engine, protocol=PROTOCOL), tmp_path / "cell"
    killed = []
    for stage in STAGES:
        process = start(path, out)
        wait_for_stage(out, stage, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        killed.append(process.returncode)
        time.sleep(0.2)
        assert not has_process(out / "gromacs"), "mdrun outlived the program"
    assert killed == [-signal.SIGKILL] * len(STAGES)
    process = start(path, out)
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert "ns/day" in text
    check_whole(out, engine)
    assert run_command(["analyse", str(out), "--out", str(tmp_path / "summary.json")]) == 0


@pytest.mark.parametrize("end", ["signal", "signal to all processes", "walltime"])
def test_a_run_that_is_to_end_keeps_the_frames_it_has(engine, end, write_input, tmp_path):
    path, out = write_input(engine=engine, protocol={**PROTOCOL, "nvt_ps": 1000}), tmp_path / "cell"
    process = start(path, out, *(["--walltime", "25"] if end == "walltime" else []), pause=60)
    wait_for_stage(out, "nvt", process)
    if end != "walltime":
        time.sleep(15)
        os.kill(process.pid if end == "signal" else -process.pid, signal.SIGTERM)
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 40, text
    frames = read_log(out / "log.csv", "nvt")["time_ps"]
    assert len(frames) > 1
    assert frames == pytest.approx(0.1 * np.arange(1, len(frames) + 1), rel=1e-4)
    assert State.load(out).step == 50 * len(frames)
    assert json.loads((out / "error.json").read_text())["error"] == "WalltimeError"


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own, or skip where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here: a full disk was not tried")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_is_named_and_the_run_goes_on_when_there_is_room(engine, write_input, disk):
    path, out = write_input(engine=engine, protocol=PROTOCOL), disk / "cell"
    process = start(path, out)
    wait_for_stage(out, "production", process)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 70, text
    error = json.loads((out / "error.json").read_text())
    assert (error["exit_status"], error["error"]) == (70, "StorageError")
    assert "space" in error["message"]
    assert not (out / "output.json").exists()
    ballast.unlink()
    process = start(path, out)
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    check_whole(out, engine)
    with hold(out):  # nobody is left in there
        assert sorted(item.name for item in disk.iterdir()) == ["cell"]
