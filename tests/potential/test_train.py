"""What a training learns: of one mixture, or of several at once."""

from __future__ import annotations

import json
import re

import pytest

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.run import RunOptions
from aiida_finales.potential.domain import mixtures_of
from aiida_finales.potential.frames import FORCES, REFERENCE, write_frames
from aiida_finales.potential.input import check_input
from aiida_finales.potential.train import Lesson
from aiida_finales.potential.work import Work
from tests.potential.conftest import exchange_cation, make_document


@pytest.fixture
def prepare(frames, tmp_path):
    """Return a function that prepares a lesson of frames with sodium, and of their like with lithium."""

    def run(method=None, number=2, **changes):
        salts = ("NaPF6", "LiPF6")
        documents = {name: make_document(name) for name in salts}
        documents["LiPF6"] |= changes
        for name in salts:
            (tmp_path / f"{name}.json").write_text(json.dumps(documents[name]))
        other = [exchange_cation(frame) for frame in frames]
        write_frames(tmp_path / "data.xyz", [*frames[:2], *other[:number]])
        tests = [frames[3].copy(), other[3]]
        for frame in tests:
            frame.info[REFERENCE] = method or frame.info[REFERENCE]
        write_frames(tmp_path / "validation.xyz", tests)
        files = {"data": "data.xyz", "validation": "validation.xyz", "also_0": "LiPF6.json"}
        work = Work(
            "train",
            check_input(documents["NaPF6"]),
            tmp_path,
            {key: tmp_path / name for key, name in files.items()},
            RunOptions(),
            lambda _: None,
        )
        return Lesson.prepare(work)

    return run


def test_each_frame_is_beside_the_force_field_of_its_own_mixture(prepare):
    lesson = prepare()
    assert lesson.shared["elements"] == ["C", "F", "H", "Li", "Na", "O", "P"]
    assert [parts[-1]["smiles"][:5] for parts in mixtures_of(lesson.shared["domain"])] == ["[Na+]", "[Li+]"]
    states = prepare(temperature_K=350).shared["domain"]["states"]
    assert [state["temperature_K"] for state in states] == [[330, 330], [350, 350]]
    assert {"Na", "Li"} <= set(lesson.shared["baseline"]["species_sha256"])
    sodium, lithium = lesson.frames[0], lesson.frames[2]
    cation = sodium.get_chemical_symbols().index("Na")
    # where all atoms but one are the same, so is what is missing in their forces, far from that one
    far = sodium.get_distances(cation, range(len(sodium)), mic=True) > 4.9
    missing, other = (lesson.targets[index][1] for index in (0, 2))
    assert far.any()
    assert missing[far] == pytest.approx(other[far], abs=0.01)
    assert missing[cation] != pytest.approx(other[cation], abs=0.01)
    assert sodium.arrays[FORCES] == pytest.approx(lithium.arrays[FORCES])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ion_charge_scale": 0.9}, "ion_charge_scale 0.9 was given, accepted is 0.8, as in the input"),
        (make_document("NaPF6"), "two mixtures with the same atoms"),
    ],
)
def test_mixtures_that_do_not_go_together_are_refused(prepare, changes, words):
    with pytest.raises(SimulationInputError, match=re.escape(words)):
        prepare(**changes)


def test_held_out_frames_are_labelled_by_the_same_method(prepare):
    with pytest.raises(SimulationInputError, match=r"labels by GFN2-xTB were given, accepted is GFN1-xTB \(tblite"):
        prepare("GFN2-xTB")


def test_a_mixture_without_frames_is_not_learned(prepare):
    with pytest.raises(SimulationInputError, match="no frame of C1COC"):
        prepare(number=0)
