"""A disk that fills up in the middle of a step: its own message and status, and the step goes on when there is room.

A limit on the size of files stands in for it; the real one is tried with ``finales-md``, whose writing this is.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import resource

import numpy as np
import pytest

from aiida_finales.potential import train
from aiida_finales.potential.command import run_command
from aiida_finales.potential.dynamics import Langevin
from aiida_finales.potential.frames import read_frames, read_labelled, write_frames
from tests.potential.conftest import HELD_OUT, TRAIN, make_document

#: bytes that a file may have on the full disk: enough for the report
LIMIT = 1500
QUICK = {
    "model": {"channels": 4, "layers": 1},
    "train": {"steps": 4},
    # the classical force field holds the liquid together, whatever so short a training has learned
    "run": {"ps": 0.1, "frame_ps": 0.02, "timestep_fs": 1.0, "friction_per_ps": 0.0, "n_checked": 0,
            "stop_spread": 9.0},
    "reference": {"method": "ase", "calculator": f"{__name__}.Springs", "ps": 0.012, "dropped_ps": 0.004,
                  "frame_ps": 0.002},
}  # fmt: skip


class Springs:
    """A calculator of ASE that holds each atom where it was first."""

    def __init__(self):
        self.places = None

    def calculate(self, atoms):
        self.places = atoms.positions.copy() if self.places is None else self.places
        return atoms.positions - self.places

    def get_potential_energy(self, atoms=None, force_consistent=False):
        return 0.5 * float((self.calculate(atoms) ** 2).sum())

    def get_forces(self, atoms=None):
        return -self.calculate(atoms)


@contextlib.contextmanager
def disk_full_from(monkeypatch, owner, name, call):
    """Let no file grow from the so-manieth call of a method on."""
    before, act, numbers = resource.getrlimit(resource.RLIMIT_FSIZE), getattr(owner, name), itertools.count(1)

    def fill(*arguments):
        if next(numbers) == call:
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
        return act(*arguments)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fill)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def run(*words):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = run_command([*map(str, words), "--checkpoint", "0.001", "--resume", "--threads", "1"])
    return status, said.getvalue()


def fill_and_go_on(monkeypatch, owner, name, call, *words, out):
    """Run a step that finds the disk full, and then again; return the status and output of the latter."""
    with disk_full_from(monkeypatch, owner, name, call):
        status, said = run(*words, "--out", out)
    assert status == 70, said
    error = json.loads((out / "error.json").read_text())
    assert (error["exit_status"], error["error"]) == (70, "StorageError")
    assert "nothing can be written" in error["message"]
    assert "goes on with --resume" in error["message"]
    assert not (out / "output.json").exists()
    status, said = run(*words, "--out", out)
    assert status in (0, 50), said  # so short a training is distrusted
    assert (out / "error.json").exists() == (status == 50)
    return json.loads((out / "output.json").read_text())


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "given.json").write_text(json.dumps(make_document(**QUICK)))
    write_frames(folder / "data.xyz", read_labelled(TRAIN)[:2])
    write_frames(folder / "held_out.xyz", read_labelled(HELD_OUT)[:1])
    return folder


def test_reference(given, tmp_path, monkeypatch):
    words = ("reference", given / "given.json", given / "held_out.xyz")
    found = fill_and_go_on(monkeypatch, Langevin, "advance", 9, *words, out=tmp_path / "out")
    assert found["labelled"] == 4
    late = read_labelled(tmp_path / "out" / "labelled.xyz")
    assert [frame.info["time_ps"] for frame in late] == pytest.approx([0.006, 0.008, 0.01, 0.012])
    assert len(read_frames(tmp_path / "out" / "early.xyz")) == 2


@pytest.mark.potential
def test_training_and_production(given, tmp_path, monkeypatch):
    potential, words = tmp_path / "potential", (given / "data.xyz", "--validation", given / "held_out.xyz")
    found = fill_and_go_on(
        monkeypatch, train._Training, "_learn", 6, "train", given / "given.json", *words, out=potential
    )
    assert found["members"] == [0, 1, 2]

    out = tmp_path / "production"
    words = ("run", given / "given.json", potential, given / "held_out.xyz")
    found = fill_and_go_on(monkeypatch, Langevin, "advance", 50, *words, out=out)
    assert found["trusted_ps"] == pytest.approx(0.1)
    assert np.load(out / "cell" / "ions.npz")["positions"].shape == (5, 2, 3)
    # without a thermostat the potential alone changes the energy, and by how much is said
    assert abs(found["drift_meV_per_atom_ps"]) < 30
    assert 0 < found["energy_scatter_meV_per_atom"] < 30
