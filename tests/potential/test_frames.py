"""Frames: what is physical, what can be learned from, what is in the files."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ase")

from ase import Atoms
from ase.io import write

from aiida_finales.exceptions import BlownUpError, SimulationInputError
from aiida_finales.potential.classical import Classical
from aiida_finales.potential.frames import (
    ENERGY,
    FORCES,
    REFERENCE,
    bonds_of,
    demand_content,
    find_defect,
    fingerprint,
    read_frames,
    read_labelled,
    sort_out,
    write_frames,
)


def move(frame, symbol, other, distance):
    """Return a frame in which the first atom of one element is so far from the last of another, angstrom."""
    copy = frame.copy()
    symbols = np.array(copy.get_chemical_symbols())
    first, last = np.flatnonzero(symbols == symbol)[0], np.flatnonzero(symbols == other)[-1]
    copy.positions[last] = copy.positions[first] + [0, 0, distance]
    return copy


def test_frames_of_the_liquid_are_physical(frames, cell):
    assert [find_defect(frame, bonds_of(cell)) for frame in frames] == [None] * len(frames)
    assert [find_defect(frame) for frame in frames] == [None] * len(frames)


@pytest.mark.parametrize(("pair", "distance"), [(("H", "H"), 0.69), (("Na", "O"), 1.70), (("O", "C"), 0.9)])
@pytest.mark.parametrize("knows_bonds", [True, False])
def test_collapsed_molecules_are_refused(frames, cell, pair, distance, knows_bonds):
    defect = find_defect(move(frames[0], *pair, distance), bonds_of(cell) if knows_bonds else None)
    assert defect is not None
    assert "Å apart" in defect


@pytest.mark.parametrize(("ion", "distance"), [("Na", 1.90)])
def test_a_cation_may_come_as_near_as_it_does_in_the_reference(frames, cell, ion, distance):
    """GFN1-xTB has Na 0.05 eV above its minimum (2.06 Å) there, beside formaldehyde: not unphysical."""
    near = frames[0].copy()
    symbols = np.array(near.get_chemical_symbols())
    sodium = np.flatnonzero(symbols == ion)[0]
    oxygen = min(np.flatnonzero(symbols == "O"), key=lambda item: near.get_distance(sodium, item, mic=True))
    near.set_distance(oxygen, sodium, distance, fix=0, mic=True)
    assert find_defect(near, bonds_of(cell)) is None


@pytest.mark.parametrize(("ion", "distance"), [("Rb", 2.8), ("Cs", 3.0), ("Sr", 2.5), ("Zn", 2.0)])
def test_any_metal_may_come_as_near_as_an_ion(ion, distance):
    pair = Atoms([ion, "O"], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0 + distance]], cell=[12.0] * 3, pbc=True)
    assert find_defect(pair, np.empty((0, 2), dtype=np.int64)) is None


def test_a_torn_bond_is_refused(frames, cell):
    frame = frames[0].copy()
    phosphorus = frame.get_chemical_symbols().index("P")
    neighbour = next(pair for pair in bonds_of(cell).tolist() if phosphorus in pair)
    fluorine = neighbour[0] if neighbour[1] == phosphorus else neighbour[1]
    gap = frame.positions[fluorine] - frame.positions[phosphorus]
    frame.positions[fluorine] += 1.2 * gap
    defect = find_defect(frame, bonds_of(cell))
    assert defect is not None


def test_what_is_written_is_read_again(frames, tmp_path):
    write_frames(tmp_path / "a.xyz", frames)
    again = read_labelled(tmp_path / "a.xyz")
    assert [fingerprint(frame) for frame in again] == [fingerprint(frame) for frame in frames]
    np.testing.assert_allclose(again[0].arrays[FORCES], frames[0].arrays[FORCES], atol=1e-6)


def test_a_frame_is_known_wherever_it_lies(frames):
    moved = frames[0].copy()
    moved.positions += 3.3
    moved.wrap()
    assert fingerprint(moved) == fingerprint(frames[0])
    moved.positions[5] += 0.01
    assert fingerprint(moved) != fingerprint(frames[0])


def test_wrecked_labels_are_not_learned_from(frames):
    hot, torn = frames[0].copy(), frames[1].copy()
    hot.info[ENERGY] += 15.0
    torn.arrays[FORCES][0] = 40.0
    kept, refused = sort_out([hot, torn, *frames[2:]])
    assert len(kept) == len(frames) - 2
    assert "eV/atom" in refused[0]
    assert "force" in refused[1]
    with pytest.raises(BlownUpError):
        sort_out([torn])


def test_labels_of_two_methods_do_not_mix(frames, tmp_path):
    other = frames[1].copy()
    other.info[REFERENCE] = "GFN2-xTB"
    write_frames(tmp_path / "a.xyz", [frames[0], other])
    with pytest.raises(SimulationInputError, match=r"GFN1-xTB.*GFN2-xTB"):
        read_labelled(tmp_path / "a.xyz")


def test_labels_of_no_named_method_are_refused(frames, tmp_path):
    bare = frames[1].copy()
    del bare.info[REFERENCE]
    write_frames(tmp_path / "a.xyz", [frames[0], bare])
    with pytest.raises(
        SimulationInputError, match=r'frames \[1\]: by which method .* is not said; reference="NAME" in'
    ):
        read_labelled(tmp_path / "a.xyz")


def test_other_forms_are_refused_in_words(frames, tmp_path):
    write(tmp_path / "POSCAR", frames[0], format="vasp")
    with pytest.raises(SimulationInputError, match=r"POSCAR cannot be read as frames in extended XYZ: .*'ase convert'"):
        read_frames(tmp_path / "POSCAR")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.info.update({ENERGY: np.nan}),
        lambda frame: frame.info.update({ENERGY: "low"}),
        lambda frame: np.put(frame.arrays[FORCES], 7, np.nan),
        lambda frame: frame.arrays.update({FORCES: frame.arrays[FORCES][:, 0].copy()}),
    ],
    ids=["energy", "words", "force", "one number for each atom"],
)
def test_labels_that_are_no_numbers_are_named(frames, tmp_path, spoil):
    found = [frame.copy() for frame in frames[:3]]
    spoil(found[1])
    write_frames(tmp_path / "a.xyz", found)
    with pytest.raises(SimulationInputError, match=r"frames \[1\]: a label is no number; accepted are"):
        read_labelled(tmp_path / "a.xyz")


def test_frames_of_another_mixture_are_refused(frames, cell, tmp_path):
    with pytest.raises(SimulationInputError, match="113 atoms"):
        demand_content([frames[0][:-1]], cell, tmp_path)


def test_molecules_that_were_wrapped_into_the_box_are_made_whole(frames, cell, tmp_path):
    wrapped, before = frames[0].copy(), frames[0].copy()
    wrapped.wrap()
    classical = Classical(cell, float(before.cell[0, 0]), 0.5, 0.8)
    energy, forces = classical.evaluate(before.positions)
    assert abs(classical.evaluate(wrapped.positions)[0] - energy) > 100.0
    demand_content([wrapped, before], cell, tmp_path)
    found = classical.evaluate(wrapped.positions)
    assert found[0] == pytest.approx(energy, abs=1e-2)
    assert found[1] == pytest.approx(forces, abs=1e-3)
    # what is whole is left as it is
    assert fingerprint(before) == fingerprint(frames[0])


def test_boxes_are_cubic_and_large_enough(frames, cell, tmp_path):
    longer = frames[0].copy()
    longer.cell[2, 2] += 1.0
    with pytest.raises(SimulationInputError, match="cubic"):
        demand_content([longer], cell, tmp_path)
    with pytest.raises(SimulationInputError, match="twice cutoff_nm"):
        Classical(cell, 9.0, 0.5, 0.8)


@pytest.mark.parametrize("content", ["", "nonsense", "2\n\nH 0 0 0\nH 0 0 1\n", "5\nLattice"])
def test_no_frames_end_in_words(content, tmp_path):
    (tmp_path / "a.xyz").write_text(content)
    with pytest.raises(SimulationInputError):
        read_frames(tmp_path / "a.xyz")
