"""What labels a frame: whose fault it is when there is no label."""

from __future__ import annotations

import errno
import json

import pytest

from aiida_finales.exceptions import EngineError, NotConvergedError, StorageError
from aiida_finales.potential.command import run_command
from aiida_finales.potential.frames import ENERGY, FORCES, read_frames, read_labelled, write_frames
from aiida_finales.potential.input import ReferenceSettings
from aiida_finales.potential.references import Labeller, describe_reference
from tests.potential.conftest import HELD_OUT

calculator = pytest.importorskip("ase.calculators.calculator")
Atoms = pytest.importorskip("ase").Atoms
FixAtoms = pytest.importorskip("ase.constraints").FixAtoms


class Failing(calculator.Calculator):
    """Raises what it is told to."""

    implemented_properties = ("energy", "forces")

    def __init__(self, error):
        super().__init__()
        self.error = error

    def calculate(self, *_args, **_kwargs):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "dft"), EngineError),
        (OSError(errno.EIO, "Input/output error"), NotConvergedError),
        (RuntimeError("SCF"), NotConvergedError),
    ],
    ids=["full disk", "no program", "a file of one frame", "not converged"],
)
def test_what_no_other_frame_would_get_over_ends_all(error, kind):
    with pytest.raises(kind, match="stub"):
        Labeller(Failing(error), "stub").evaluate(Atoms("H", cell=[5.0] * 3, pbc=True))


@pytest.mark.parametrize(
    ("given", "title", "statement"),
    [
        ({"calculator": "xtb.ase.calculator.XTB"}, "xtb.ase.calculator.XTB", "xtb.ase.calculator.XTB, not DFT"),
        (
            {"calculator": "tblite.ase.TBLite", "name": "ours"},
            "ours by tblite.ase.TBLite",
            "ours by tblite.ase.TBLite, not DFT",
        ),
        ({"calculator": "a.B", "options": {"xc": "PBE"}}, 'a.B(xc="PBE")', 'a.B(xc="PBE")'),
        ({"calculator": "a.B", "options": {"xc": "PBE"}, "name": "PBE"}, "PBE", "PBE"),
    ],
    ids=["tight binding of another program", "under another name", "options count", "a name stands for them"],
)
def test_what_results_call_a_calculator(given, title, statement):
    settings = ReferenceSettings(method="ase", **given)
    assert settings.title == title
    assert describe_reference(settings.title) == statement


@pytest.mark.parametrize(
    "case",
    [
        ("json.JSONDecoder", 10, "json.JSONDecoder was given, accepted is module and class of a calculator of ASE"),
        ("ase.Atoms", 10, "ase.Atoms was given, accepted is module and class of a calculator of ASE"),
        ("ase.calculators.emt.EMT", 20, "ase.calculators.emt.EMT: No EMT-potential for"),
        ("ase.calculators.calculator.Calculator", 20, "energy property not implemented"),
        ("ase.calculators.vasp.Vasp", 60, "ase.calculators.vasp.Vasp cannot be run here: Please set either command"),
    ],
    ids=["no calculator", "frames", "unknown element", "no energy", "no program"],
)
def test_calculators_that_cannot_answer_have_their_own_status(write_input, frames, tmp_path, monkeypatch, capsys, case):
    name, status, words = case
    for variable in ("ASE_VASP_COMMAND", "VASP_COMMAND", "VASP_SCRIPT"):
        monkeypatch.delenv(variable, raising=False)
    path = write_input(reference={"method": "ase", "calculator": name})
    write_frames(tmp_path / "one.xyz", frames[:1])
    assert run_command(["label", str(path), str(tmp_path / "one.xyz"), "--out", str(tmp_path / "o")]) == status
    assert words in (said := capsys.readouterr().err)
    assert "Traceback" not in said


class Tiring(calculator.Calculator):
    """Has no forces at all, and no answer any more after so many calls."""

    implemented_properties = ("energy", "forces")

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def calculate(self, atoms=None, properties=("energy",), system_changes=calculator.all_changes):
        super().calculate(atoms, properties, system_changes)
        if not self.left:
            raise calculator.CalculationFailed("SCF not converged")
        self.left -= 1
        self.results = {"energy": 0.0, "forces": 0.0 * atoms.positions}


@pytest.mark.slow
def test_tight_binding_that_does_not_converge_has_its_own_status(write_input, frames, tmp_path, capsys):
    options = {"method": "GFN1-xTB", "max_iterations": 1, "verbosity": 0}
    path = write_input(reference={"method": "ase", "calculator": "tblite.ase.TBLite", "options": options})
    write_frames(tmp_path / "one.xyz", frames[:1])
    assert run_command(["label", str(path), str(tmp_path / "one.xyz"), "--out", str(tmp_path / "o")]) == 32
    assert "labelled none of 1 frames: tblite.ase.TBLite(max_iterations=1, " in (said := capsys.readouterr().err)
    assert "not converge" in said
    assert "not converge" in read_frames(tmp_path / "o" / "failed.xyz")[0].info["reason"]


class Counting(calculator.Calculator):
    """Its energy is what a method makes of the cell: charge, spin and masses."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=calculator.all_changes):
        super().calculate(atoms, properties, system_changes)
        counted = atoms.get_initial_charges().sum() + atoms.get_initial_magnetic_moments().sum()
        self.results = {"energy": counted + atoms.get_masses().sum(), "forces": 0.0 * atoms.positions + 0.5}


def test_what_others_keep_of_atoms_is_not_labelled(write_input, frames, tmp_path):
    odd = frames[0].copy()
    odd.set_initial_charges([0.1] * len(odd))
    odd.set_initial_magnetic_moments([0.1] * len(odd))
    odd.set_masses([2.0] * len(odd))
    odd.set_constraint(FixAtoms([0, 1]))
    write_frames(tmp_path / "odd.xyz", [odd])
    path = write_input(reference={"method": "ase", "calculator": f"{__name__}.Counting"})
    assert run_command(["label", str(path), str(tmp_path / "odd.xyz"), "--out", str(tmp_path / "o")]) == 0
    (found,) = read_labelled(tmp_path / "o" / "labelled.xyz")
    assert found.info[ENERGY] == pytest.approx(frames[0].get_masses().sum())
    assert (found.arrays[FORCES] == 0.5).all()


@pytest.mark.parametrize(("calls", "status"), [(14, 0), (4, 32)], ids=["later", "before there is a frame to keep"])
def test_what_the_reference_visited_until_it_failed_is_kept(write_input, tmp_path, capsys, calls, status):
    dynamics = {"ps": 0.02, "dropped_ps": 0.002, "frame_ps": 0.001, "options": {"calls": calls}}
    path = write_input(reference={"method": "ase", "calculator": f"{__name__}.Tiring", **dynamics})
    out = tmp_path / "o"
    assert run_command(["reference", str(path), str(HELD_OUT), "--out", str(out)]) == status
    moment = (calls - 1) * 0.5e-3  # the first call is for the start
    words = (
        f"no convergence after {moment:g} ps: {__name__}.Tiring(calls={calls}): CalculationFailed: SCF not converged"
    )
    if status:
        assert words in capsys.readouterr().err
        return
    assert json.loads((out / "output.json").read_text())["ended_by"] == words
    times = [frame.info["time_ps"] for frame in read_labelled(out / "labelled.xyz")]
    assert times == pytest.approx([0.001 * number for number in range(3, 7)])


@pytest.mark.parametrize("content", [b"", b"abc"], ids=["empty", "of others"])
@pytest.mark.parametrize("step", ["label", "reference"])
def test_what_is_damaged_is_not_gone_on_with(write_input, frames, tmp_path, capsys, step, content):
    name = {"label": "progress.json", "reference": "walk.npz"}[step]
    dynamics = {"ps": 0.004, "dropped_ps": 0.001, "frame_ps": 0.001}
    path = write_input(reference={"method": "ase", "calculator": f"{__name__}.Counting", **dynamics})
    write_frames(tmp_path / "one.xyz", frames[:1])
    out = tmp_path / "o"
    words = [step, str(path), str(tmp_path / "one.xyz"), "--out", str(out), "--resume"]
    assert run_command(words) == 0
    (out / "output.json").unlink()
    (out / name).write_bytes(content)
    capsys.readouterr()
    assert run_command(words) == 70
    assert f"{name} is damaged: begin again in another folder" in (said := capsys.readouterr().err)
    assert "Traceback" not in said
