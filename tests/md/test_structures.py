"""Structures go out to pymatgen, and shapes come in from it; on what a real run of the program left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from aiida_finales.exceptions import ForceFieldError, SimulationInputError
from aiida_finales.md.command import run_command
from aiida_finales.md.molecules import shape
from aiida_finales.md.species import Library
from aiida_finales.md.structures import FRAMES, read_cell, read_molecule, read_molecules, take_shape

pymatgen = pytest.importorskip("pymatgen.core")

RUN = Path(__file__).parents[1] / "fixtures" / "molecular_dynamics" / "diffusive"
COUNTS = {"EC": 5, "EMC": 7, "Li": 4, "PF6": 4}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_cell_is_a_periodic_structure(frame) -> None:
    structure = read_cell(RUN, frame)
    assert isinstance(structure, pymatgen.Structure)
    assert len(structure) == 187
    assert structure.composition["F"] == 24
    assert structure.lattice.a == pytest.approx({"packed": 14.407, "last": 13.479}[frame])
    assert structure[0].properties == {"residue": "EC", "molecule": 0}
    assert structure.charge == 0
    # g/cm3; the last frame is that of a liquid
    assert structure.density == pytest.approx(1.2, abs=0.3)


@pytest.mark.parametrize("frame", FRAMES)
def test_its_molecules_are_whole_and_charged(frame) -> None:
    """Each is bonded as its force field says, in its order of atoms, and all charges are balanced."""
    library = Library()
    molecules = read_molecules(RUN, frame)
    assert Counter(item.properties["name"] for item in molecules) == COUNTS
    assert sum(item.charge for item in molecules) == 0
    for item in molecules:
        species = library.get(item.properties["name"])
        assert [site.specie.symbol for site in item] == species.elements
        assert item.charge == species.charge
        for first, second, length, _ in species.terms.bonds:
            assert item.get_distance(first, second) == pytest.approx(10 * length, abs=0.25)


def test_a_shape_comes_in_whatever_its_order(tmp_path) -> None:
    """A molecule of a run, its atoms shuffled and written to a file, is the shape that EMC is packed in."""
    (molecule, *_) = (item for item in read_molecules(RUN) if item.properties["name"] == "EMC")
    order = np.random.default_rng(1).permutation(len(molecule))
    pymatgen.Molecule.from_sites([molecule[number] for number in order]).to(filename=str(tmp_path / "emc.xyz"))
    species = tmp_path / "own.yaml"
    assert run_command(["species", "shape", "EMC", str(tmp_path / "emc.xyz"), "--out", str(species)]) == 0
    own = Library((species,)).get("EMC")
    assert "shape" in own.sources
    found = shape(own, seed=1) * 10.0
    expected = molecule.cart_coords
    # hydrogens of a methyl group may change places: all bonds and angles are the same
    assert own.elements == [site.specie.symbol for site in molecule]
    for first, second, *_ in own.terms.bonds:
        given = np.linalg.norm(expected[first] - expected[second])
        assert np.linalg.norm(found[first] - found[second]) == pytest.approx(given, abs=0.1)
    heavy = [number for number, element in enumerate(own.elements) if element != "H"]
    np.testing.assert_allclose(found[heavy], expected[heavy], atol=1e-4)


def test_another_molecule_is_no_shape() -> None:
    molecules = {item.properties["name"]: item for item in read_molecules(RUN)}
    with pytest.raises(ForceFieldError, match="has other atoms or bonds than EMC"):
        take_shape(Library().get("EMC"), molecules["EC"])
    assert take_shape(Library().get("Li"), molecules["Li"]).terms.positions is not None
    assert len(take_shape(Library().get("PF6"), molecules["PF6"]).terms.positions) == 7


@pytest.mark.parametrize("name", ["cell.cif", "cell.json", "POSCAR"])
def test_a_cell_is_written_for_other_programs(tmp_path, name) -> None:
    assert run_command(["structure", str(RUN), "--out", str(tmp_path / name)]) == 0
    assert pymatgen.Structure.from_file(tmp_path / name).composition == read_cell(RUN).composition


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["structure", "nowhere", "--out", "cell.cif"], "accepted is a folder of finales-md"),
        (["structure", str(RUN), "--out", "cell.wrong"], "accepted are .cif"),
        (["structure", str(RUN.with_name("walltime")), "--out", "cell.cif"], "last.pdb"),
        (["species", "shape", "EC", "nothing.xyz", "--out", "own.yaml"], "accepted is a molecule that pymatgen reads"),
        (["species", "shape", "Unobtainium", "nothing.xyz", "--out", "own.yaml"], "SMILES"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, monkeypatch, capsys, words, message) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(words) in (10, 20)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_no_molecule(tmp_path) -> None:
    (tmp_path / "emc.xyz").write_text("3\n\nC 0 0\n")
    with pytest.raises(SimulationInputError, match="accepted is a molecule"):
        read_molecule(tmp_path / "emc.xyz")
    with pytest.raises(SimulationInputError, match="accepted is packed or last"):
        read_cell(RUN, "first")
