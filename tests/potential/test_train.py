"""What a training learns: of one mixture, or of several at once."""

from __future__ import annotations

import json
import re

import pytest

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.run import RunOptions
from aiida_finales.potential.description import read_description
from aiida_finales.potential.domain import mixtures_of
from aiida_finales.potential.frames import ENERGY, FORCES, REFERENCE, TEMPERATURE, read_labelled, write_frames
from aiida_finales.potential.input import check_input
from aiida_finales.potential.lesson import Lesson
from aiida_finales.potential.work import Work
from tests.potential.conftest import FOLDER, TRAIN, exchange_cation, make_document

SMALL = FOLDER / "small" / "potential.json"


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


@pytest.fixture
def go_on(frames, tmp_path):
    """Return a function that prepares a lesson of two frames, which goes on from a potential that learned of others."""

    def run(validation, change=lambda frame: frame):
        write_frames(tmp_path / "data.xyz", [change(frame.copy()) for frame in frames[:2]])
        write_frames(tmp_path / "validation.xyz", [change(frame.copy()) for frame in validation])
        files = {"data": tmp_path / "data.xyz", "validation": tmp_path / "validation.xyz", "start": SMALL}
        given = check_input(make_document(model={"channels": 8, "layers": 1}))
        return Lesson.prepare(Work("train", given, tmp_path, files, RunOptions(), lambda _: None))

    return run


def test_what_a_potential_began_with_is_learned_as_well(go_on, frames):
    lesson = go_on(frames[3:])
    assert len(lesson.shared["frames"]) == len(read_labelled(TRAIN)) + 2
    moved = read_labelled(TRAIN)[0]
    moved.positions += 4.0
    moved.wrap()
    with pytest.raises(SimulationInputError, match=r"frames \[1\]: they are in the training set .* of --start"):
        go_on([frames[3], moved])


def test_energies_of_lone_atoms_are_those_of_the_method(go_on, frames):
    def other(frame):
        frame.info |= {REFERENCE: "PBE", ENERGY: frame.info[ENERGY] - 5000.0}
        return frame

    same, changed = (go_on(frames[3:], *change) for change in ((), (other,)))
    assert same.shared["shifts"] == read_description(SMALL.parent)["shifts"]
    assert all(abs(energy) < 1.0 for energy, _ in changed.targets)
    assert changed.shared["scale"] == same.shared["scale"]


def test_a_potential_is_at_home_where_its_frames_are_from(go_on, frames):
    def warm(frame):
        frame.info[TEMPERATURE] = 300
        return frame

    assert go_on(frames[3:]).shared["domain"]["temperature_K"] == [330, 330]
    assert go_on(frames[3:], warm).shared["domain"]["temperature_K"] == [300, 300]
    with pytest.raises(SimulationInputError, match="temperature_K is 'warm', accepted is a number of 0 or more"):
        go_on(frames[3:], lambda frame: frame.info.update({TEMPERATURE: "warm"}) or frame)


@pytest.mark.parametrize(
    ("factor", "words"),
    [(0.0, "reference_forces of 0, where those of the force field are"), (1 / 51.4, "accepted are eV and eV/Å")],
    ids=["none", "in Hartree and Bohr"],
)
def test_labels_in_other_units_are_refused(go_on, frames, factor, words):
    def other(frame):
        frame.arrays[FORCES] *= factor
        return frame

    with pytest.raises(SimulationInputError, match=words):
        go_on(frames[3:], other)


def test_held_out_frames_are_physical(go_on, frames):
    wrecked = frames[4].copy()
    wrecked.arrays[FORCES][0] = 40.0
    with pytest.raises(SimulationInputError, match=r"validation.xyz, frame 1: a force of 40 eV/Å.*; leave it out"):
        go_on([frames[3], wrecked, frames[5]])
