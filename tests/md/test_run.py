"""The program: what it leaves, what it refuses, and that it survives being killed at any moment."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from aiida_finales.md.command import run_command
from aiida_finales.md.engine import Clock
from aiida_finales.md.gromacs import has_gromacs
from aiida_finales.md.output import LOG_HEADER, block_mean, read_log
from aiida_finales.md.run import THREAD_VARIABLES, count_threads
from aiida_finales.md.storage import GrowingFile, State, hold

#: s that a cell of the tests may take on a busy computer
PATIENCE = 150.0
N_FRAMES = 20
PROGRAM = [sys.executable, "-m", "aiida_finales.md.command"]
MGCLO4 = "[Mg+2].[O-]Cl(=O)(=O)=O.[O-]Cl(=O)(=O)=O"
LITFSI = "[Li+].O=S(=O)([N-]S(=O)(=O)C(F)(F)F)C(F)(F)F"
WATER = "O"
#: a molecule whose bond is so stiff that no time step of 2 fs can follow it
STIFF = """
- name: CO
  smiles: "[C-]#[O+]"
  sources: {all: a test}
  terms:
    atoms: [[C, 0.0, 0.35, 0.3], [O, 0.0, 0.3, 0.3]]
    bonds: [[0, 1, 0.115, 1.0e+9]]
"""


def start(path, out, *options):
    """Start the program as a process of its own."""
    words = [*PROGRAM, "run", str(path), "--out", str(out), "--threads", "1", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # in the background of a script the tests ignore SIGINT, and what they start inherits that
    return subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=hear_interrupts,  # noqa: PLW1509 - no threads here
    )


def hear_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def stage_of(out):
    path = out / "stages.json"
    return json.loads(path.read_text())["stage"] if path.exists() else None


@pytest.fixture(scope="module")
def finished(tmp_path_factory, document_of_a_cell):
    """A run that was killed while packing or soon after, at constant pressure, and in production; then resumed."""
    folder = tmp_path_factory.mktemp("run")
    path, out = folder / "given.json", folder / "cell"
    path.write_text(json.dumps(document_of_a_cell))
    killed = []
    moments = [
        lambda: (out / "system.json").exists() or (out / "packing").exists(),
        lambda: stage_of(out) == "npt",
        lambda: (out / "ions.frames").stat().st_size > 0,
    ]
    for moment in moments:
        process = start(path, out, "--resume", "--checkpoint", "0.3")
        wait_for(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        killed.append(process.returncode)
    process = start(path, out, "--resume")
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    return out, killed, text


@pytest.mark.slow
def test_a_run_that_was_killed_three_times_has_all_its_frames(finished):
    out, killed, _ = finished
    assert killed == [-signal.SIGKILL] * 3
    ions = np.load(out / "ions.npz")
    assert ions["positions"].shape == (N_FRAMES, 8, 3)
    assert ions["drift"].shape == (N_FRAMES, 3)
    assert ions["time"] == pytest.approx(np.arange(1, N_FRAMES + 1) * 0.1)
    assert len(read_log(out / "log.csv", "production")["time_ps"]) == N_FRAMES
    assert len(read_log(out / "log.csv", "npt")["time_ps"]) == 10


def test_the_ions_are_named_and_move_without_jumps(finished):
    """In 0.1 ps an ion moves by much less than half a box; a wrapped path would jump by a whole one."""
    out, *_ = finished
    ions = np.load(out / "ions.npz")
    assert ions["positions"].dtype == np.float32
    assert ions["species"].tolist() == ["Li"] * 4 + ["PF6"] * 4
    assert ions["charges"].tolist() == [1] * 4 + [-1] * 4
    assert np.abs(np.diff(ions["positions"], axis=0)).max() < 0.2
    assert np.ptp(ions["positions"], axis=0).max() > 0.001
    assert 250 < float(ions["temperature"]) < 360


def test_the_output_says_what_was_simulated(finished):
    out, *_ = finished
    output = json.loads((out / "output.json").read_text())
    assert list(output)[-1] == "end"
    assert output["end"] == "finales-md"
    assert output["counts"] == {"EC": 12, "EMC": 24, "Li": 4, "PF6": 4}
    assert output["mole_fractions"] == pytest.approx([0.3, 0.6, 0.1])
    assert (output["n_frames"], output["n_atoms"], output["ion_charge_scale"]) == (N_FRAMES, 512, 0.8)
    assert set(output["seconds"]) == {"build", "minimise", "nvt", "npt", "settle", "production"}
    assert 0.7 < output["density_g_cm3"]["mean"] < 1.5
    assert output["volume_nm3"] == pytest.approx(float(np.load(out / "ions.npz")["volume"]))
    assert output["ns_per_day"] > 0
    system = json.loads((out / "system.json").read_text())
    assert len(system["forcefield_sha256"]) == 64
    assert [part["count"] for part in system["formulation"]] == [12, 24, 4]
    assert all(species["sources"] for species in system["species"])


def test_frames_of_all_atoms_are_whole_molecules_in_the_box(finished):
    analysis = pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed")
    out, *_ = finished
    universe = analysis.Universe(str(out / "last.pdb"), str(out / "rdf.dcd"))
    assert len(universe.trajectory) == 5
    edge = json.loads((out / "output.json").read_text())["volume_nm3"] ** (1 / 3) * 10
    assert universe.dimensions[:3] == pytest.approx([edge] * 3, abs=0.01)
    assert set(universe.residues.resnames) == {"EC", "EMC", "LI", "PF6"}
    phosphorus = universe.select_atoms("resname PF6 and element P").positions
    fluorine = universe.select_atoms("resname PF6 and element F").positions.reshape(-1, 6, 3)
    assert np.linalg.norm(fluorine - phosphorus[:, None], axis=2) == pytest.approx(1.606, abs=0.2)
    centres = np.array([residue.atoms.center_of_mass() for residue in universe.residues])
    assert (centres > -0.01).all()
    assert (centres < edge + 0.01).all()


def test_a_run_that_is_done_is_not_done_again(finished, write_input):
    out, *_ = finished
    before = (out / "output.json").stat().st_mtime_ns
    assert run_command(["run", str(write_input()), "--out", str(out), "--resume"]) == 0
    assert (out / "output.json").stat().st_mtime_ns == before


def test_a_folder_in_use_is_not_overwritten(finished, write_input, capsys):
    out, *_ = finished
    assert run_command(["run", str(write_input()), "--out", str(out)]) == 10
    assert "go on with it by --resume, or give another --out" in capsys.readouterr().err
    assert run_command(["run", str(write_input(seed=2)), "--out", str(out), "--resume"]) == 10
    assert "holds a run of another input" in capsys.readouterr().err
    with hold(out):
        assert run_command(["run", str(write_input()), "--out", str(out), "--resume"]) == 10
    assert "another finales-md is at work" in capsys.readouterr().err
    assert not (out / "error.json").exists()


def test_when_the_time_is_over_it_stops_and_goes_on_later(write_input, tmp_path, capsys):
    out, path = tmp_path / "cell", write_input()
    words = ["run", str(path), "--out", str(out), "--threads", "1"]
    assert run_command([*words, "--walltime", "0.001"]) == 40
    assert "call again with --resume" in capsys.readouterr().err
    assert json.loads((out / "error.json").read_text())["exit_status"] == 40
    assert State.load(out).step == 50
    assert run_command([*words, "--resume", "--walltime", "0.001"]) == 40
    assert State.load(out).step == 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["scheduler", "person"])
def test_who_ends_the_run_gets_a_checkpoint(write_input, tmp_path, number):
    out = tmp_path / "cell"
    process = start(write_input(protocol={"nvt_ps": 1000, "cutoff_nm": 0.7, "frame_ps": 0.1}), out)
    wait_for(lambda: (out / "log.csv").exists() and (out / "checkpoint.npz").exists() and stage_of(out) == "nvt")
    process.send_signal(number)
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 40, text
    assert "told to end in nvt" in text
    assert "Traceback" not in text
    assert State.load(out).step > 0


def test_who_cannot_wait_interrupts_twice(write_input, monkeypatch, capsys):
    """The first Ctrl-C asks for a checkpoint, the second ends the program, without a traceback."""
    clock, path, before = Clock(), write_input(), signal.signal(signal.SIGINT, signal.default_int_handler)

    def act(_path):
        with clock.listening():
            signal.raise_signal(signal.SIGINT)
            assert clock.is_told
            signal.raise_signal(signal.SIGINT)
            pytest.fail("went on")

    monkeypatch.setattr("aiida_finales.md.command.read_input", act)
    try:
        assert run_command(["check", str(path)]) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "call again with --resume" in capsys.readouterr().err


def test_who_ignores_interrupts_goes_on_doing_so():
    """As a program in the background of a script: Ctrl-C is meant for another one."""
    clock, before = Clock(), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with clock.listening():
            signal.raise_signal(signal.SIGINT)
        assert not clock.is_told
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"temperature_K": -1}, 10, "temperature_K: -1 was given"),
        ({"formulation": [{"smiles": "C1CO(", "mole_fraction": 1}]}, 10, "accepted is a SMILES"),
        ({"formulation": [{"smiles": "[Li+]", "mole_fraction": 1}]}, 10, "accepted is one without charge"),
        ({"formulation": [{"smiles": WATER, "mole_fraction": 1}]}, 20, "there is no force field for O"),
        ({"n_molecules": 10}, 10, "or a smaller protocol.cutoff_nm"),
        ({"platform": "CUDA"}, 60, "platform CUDA does not work here"),
    ],
    ids=["range", "smiles", "charged", "species", "small", "platform"],
)
def test_what_cannot_be_simulated_is_refused_with_a_reason(write_input, tmp_path, capsys, change, status, message):
    from aiida_finales.md.engine_openmm import _why_not

    if change.get("platform") == "CUDA" and _why_not("CUDA") is None:
        pytest.skip("there is a GPU here")
    out = tmp_path / "cell"
    assert run_command(["run", str(write_input(**change)), "--out", str(out)]) == status
    assert message in capsys.readouterr().err
    error = json.loads((out / "error.json").read_text())
    assert error["exit_status"] == status
    assert message in error["message"]
    assert not (out / "output.json").exists()


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("openmm", "the simulation blew up: Particle coordinate is NaN"),
        pytest.param(
            "gromacs",
            "oscillational period",
            marks=pytest.mark.skipif(not has_gromacs(), reason="gmx is not on the PATH: GROMACS did not blow up"),
        ),
    ],
)
def test_what_blows_up_is_no_result(write_input, tmp_path, capsys, engine, message):
    (tmp_path / "own.yaml").write_text(STIFF)
    formulation = [{"smiles": "[C-]#[O+]", "mole_fraction": 1}]
    protocol = {"cutoff_nm": 0.5, "frame_ps": 0.1}
    path = write_input(formulation=formulation, n_molecules=60, protocol=protocol, engine=engine)
    words = ["run", str(path), "--out", str(tmp_path / "cell"), "--species", str(tmp_path / "own.yaml")]
    assert run_command([*words, "--threads", "1"]) == 30
    assert message in capsys.readouterr().err
    error = json.loads((tmp_path / "cell" / "error.json").read_text())
    assert (error["exit_status"], error["error"]) == (30, "BlownUpError")
    assert message in error["message"]
    assert not (tmp_path / "cell" / "output.json").exists()


def test_without_its_packages_nothing_is_simulated(write_input, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openmm", None)
    assert run_command(["run", str(write_input()), "--out", str(tmp_path / "cell")]) == 60
    assert "pip install 'aiida-finales[md]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "variables", "number"),
    [
        (3, {"OMP_NUM_THREADS": "2"}, 3),
        (None, {"OMP_NUM_THREADS": "2", "SLURM_CPUS_PER_TASK": "4"}, 2),
        (None, {"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "8"}, 4),
        (None, {"SLURM_CPUS_ON_NODE": "8"}, 8),
        (None, {"OMP_NUM_THREADS": "many"}, len(os.sched_getaffinity(0))),
    ],
    ids=["asked", "openmp", "slurm task", "slurm node", "all cores"],
)
def test_a_job_takes_the_threads_that_it_is_granted(monkeypatch, asked, variables, number):
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert count_threads(asked) == number


def test_a_disk_that_cannot_be_written_is_named(write_input, capsys):
    assert run_command(["run", str(write_input()), "--out", "/proc/finales"]) == 70
    assert "nothing can be written: /proc/finales does not exist" in capsys.readouterr().err


def test_the_place_of_a_run_is_a_folder_without_other_files(write_input, tmp_path, capsys):
    path, full = write_input(), tmp_path / "full"
    assert run_command(["run", str(path), "--out", str(path)]) == 10
    assert f"--out {path} is a file; accepted is a folder" in capsys.readouterr().err
    inside = path / "runs" / "first"
    assert run_command(["run", str(path), "--out", str(inside)]) == 10
    assert f"--out {inside} would be in {path}, which is a file; accepted is a folder" in capsys.readouterr().err
    full.mkdir()
    (full / "thesis.txt").touch()
    assert run_command(["run", str(path), "--out", str(full), "--resume"]) == 10
    assert f"--out {full} holds thesis.txt, of no run" in capsys.readouterr().err
    assert [item.name for item in full.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *itertools.product(["--cell", "--walltime", "--checkpoint", "--threads"], ["-1", "nan", "x", ""]),
        *itertools.product(["--cell", "--threads"], ["9" * 30]),  # seconds may be as many
    ],
)
def test_numbers_have_ranges(option, value, write_input, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_command(["run", str(write_input()), "--out", str(tmp_path / "cell"), option, value])
    assert "was given, accepted is" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_simulated(write_input, capsys):
    assert run_command(["check", str(write_input())]) == 0
    about = json.loads(capsys.readouterr().out)
    assert [part["count"] for part in about["formulation"]] == [12, 24, 4]
    assert about["n_atoms"] == 512
    assert 0.9 < about["density_estimated_g_cm3"] < 1.4


def test_cells_differ_by_their_number_only(finished, write_input, tmp_path):
    """The same number packs the same box, another number another one."""
    boxes = []
    for cell in (0, 1):
        out = tmp_path / str(cell)
        words = ["run", str(write_input()), "--out", str(out), "--cell", str(cell), "--walltime", "0.001"]
        assert run_command([*words, "--threads", "1"]) == 40
        boxes.append((out / "packed.pdb").read_text())
    assert (finished[0] / "packed.pdb").read_text() == boxes[0] != boxes[1]


def test_what_a_checkpoint_does_not_know_is_cut_off(tmp_path):
    path = tmp_path / "frames"
    path.write_bytes(b"known, not known")
    file = GrowingFile(path, 5)
    file.append(b" again")
    assert file.sync() == 11
    file.close()
    assert path.read_bytes() == b"known again"


def test_the_mean_of_a_correlated_series_has_an_honest_error():
    """Blocks find the error of a series in which every value is repeated a hundred times; sqrt(n) does not."""
    values = np.random.default_rng(0).normal(size=200)
    mean, error = block_mean(np.repeat(values, 100))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std() / np.sqrt(200), rel=0.7)


def test_the_log_has_a_title(finished):
    out, *_ = finished
    assert (out / "log.csv").read_text().startswith(LOG_HEADER)


def test_a_cell_can_be_analysed(finished, tmp_path, capsys):
    out, *_ = finished
    assert run_command(["analyse", str(out), "--out", str(tmp_path / "summary.json")]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["simulated"] is True
    assert summary["summary"]["conductivity_nernst_einstein"]["mean"] > 0
    assert {ion["species"] for ion in summary["cells"][0]["ions"]} == {"Li", "PF6"}
    lithium = summary["coordination"]["Li"]
    numbers = [part["number"] for part in lithium["molecules"].values()]
    assert sum(numbers) == pytest.approx(lithium["total"]["number"])
    assert sum(numbers) > 0
    bare = shutil.copytree(out, tmp_path / "solvents")
    with np.load(bare / "ions.npz") as ions:
        none = {"positions": ions["positions"][:, :0], "species": ions["species"][:0], "charges": ions["charges"][:0]}
        np.savez(bare / "ions.npz", **(dict(ions) | none))
    assert run_command(["analyse", str(bare)]) == 10
    assert (said := capsys.readouterr().err).endswith("there are no ions: transport is that of a liquid with a salt\n")
    assert "Traceback" not in said
    assert run_command(["analyse", str(out), str(out)]) == 10
    assert "accepted are different cells of one liquid" in capsys.readouterr().err
    assert run_command(["analyse", str(tmp_path)]) == 10
    assert "holds no run that is done" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("salt", ["[Na+].F[P-](F)(F)(F)(F)F", MGCLO4, LITFSI], ids=["Na", "Mg", "TFSI"])
def test_other_salts_run(write_input, tmp_path, salt):
    shares = {"C1COC(=O)O1": 0.35, "CCOC(=O)OC": 0.57, salt: 0.08}
    formulation = [{"smiles": smiles, "mole_fraction": share} for smiles, share in shares.items()]
    out = tmp_path / "cell"
    protocol = {"nvt_ps": 2, "npt_ps": 10, "settle_ps": 1, "production_ps": 4, "frame_ps": 0.2, "cutoff_nm": 0.7}
    path = write_input(formulation=formulation, n_molecules=50, protocol=protocol)
    assert run_command(["run", str(path), "--out", str(out), "--threads", "1"]) == 0
    output = json.loads((out / "output.json").read_text())
    assert output["n_frames"] == 20
    assert 0.9 < output["density_g_cm3"]["mean"] < 1.5
