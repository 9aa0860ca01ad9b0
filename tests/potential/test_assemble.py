"""Members of one training are joined, others are not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.potential.assemble import LEARNED, PREDICTED, assemble, bring_member, name_member
from aiida_finales.potential.description import COMMON
from aiida_finales.potential.frames import ENERGY, FORCES

ase = pytest.importorskip("ase")


@pytest.fixture
def frame():
    atoms = ase.Atoms("OH", positions=[[0, 0, 0], [0, 0, 1]])
    atoms.info[ENERGY] = -1.0
    atoms.arrays[FORCES] = np.zeros((2, 3))
    return atoms


@pytest.fixture
def learn(tmp_path):
    """Leave what the training of a member leaves."""

    def write(number, **differing):
        words = {key: {} for key in COMMON} | {"reference": "GFN1-xTB", "frames": ["a"], "scale": 0.5}
        file = f"{name_member(number)}.pt"
        words |= {"shifts": {"O": -3.0, "H": -0.5}, "versions": {}, "curve": [], "member": {"file": file}} | differing
        (tmp_path / LEARNED.format(number)).write_text(json.dumps(words))
        np.savez(tmp_path / PREDICTED.format(number), energies=[-1.0 + number], forces=np.full((1, 2, 3), number)[0])

    return write


def test_single_precision_beneath_makes_no_other_training(learn, frame, tmp_path):
    learn(0)
    learn(1, scale=0.5 * (1 + 1e-6), shifts={"O": -3.000001, "H": -0.5})
    found = assemble([tmp_path] * 2, [0, 1], [frame], tmp_path)
    assert (found["scale"], len(found["members"])) == (0.5, 2)


@pytest.mark.parametrize("differing", [{"scale": 0.51}, {"shifts": {"O": -3.0}}, {"reference": "GFN2-xTB"}])
def test_members_of_different_trainings_are_refused(learn, frame, tmp_path, differing):
    learn(0)
    learn(1, **differing)
    with pytest.raises(SimulationInputError, match=f"members differ in {next(iter(differing))}"):
        assemble([tmp_path] * 2, [0, 1], [frame], tmp_path)


def test_a_member_that_was_trained_elsewhere_is_brought_if_it_belongs(learn, tmp_path):
    learn(0)
    learn(1, scale=0.6)
    (tmp_path / "member_0.pt").write_bytes(b"weights")
    shared, whole = json.loads((tmp_path / LEARNED.format(0)).read_text()), tmp_path / "whole"
    whole.mkdir()
    bring_member(tmp_path / LEARNED.format(0), shared, whole)
    assert sorted(path.name for path in whole.iterdir()) == sorted(
        ["member_0.pt", LEARNED.format(0), PREDICTED.format(0)]
    )
    with pytest.raises(SimulationInputError, match=r"member_1\.json: members differ in scale"):
        bring_member(tmp_path / LEARNED.format(1), shared, whole)
