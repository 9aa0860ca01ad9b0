"""Structures that go out of a simulation, and shapes that go into one, as pymatgen has them: angstrom.

The box is orthogonal and the molecules in it are whole, because that is how a run writes its PDB files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import ForceFieldError, MissingExtraError, SimulationInputError
from aiida_finales.md.molecules import ANGSTROM, match_shape
from aiida_finales.md.species import Species

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Molecule, Structure

#: the frames of a run that have all atoms
FRAMES = ("packed", "last")


@dataclass(frozen=True)
class PdbCell:
    """What a PDB file of a run says.

    :param sides: of the box, angstrom.
    :param positions: atoms x 3, angstrom.
    :param residues: of every atom: name and number of its molecule, from 0.
    """

    sides: tuple[float, float, float]
    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    residues: tuple[tuple[str, int], ...]

    def molecules(self) -> Iterator[tuple[str, list[int]]]:
        """Return of every molecule the name of its residue and the numbers of its atoms."""
        for (name, _), members in groupby(range(len(self.elements)), self.residues.__getitem__):
            yield name, list(members)


def read_pdb(path: Path) -> PdbCell:
    """Return the cell of a PDB file.

    :raises ValueError: when it has no box or no atom, or its columns are not those of a PDB file.
    """
    lines = path.read_text().splitlines()
    box = next((line for line in lines if line.startswith("CRYST1")), None)
    atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
    if box is None or not atoms:
        raise ValueError(f"{path.name} has {len(atoms)} atoms and {'no' if box is None else 'a'} box")
    # numbers of residues begin again after 9999: a molecule ends where the number changes
    molecules = groupby(atoms, lambda line: (line[17:20].strip(), line[22:27]))
    residues = [(name, number) for number, ((name, _), members) in enumerate(molecules) for _ in members]
    return PdbCell(
        (float(box[6:15]), float(box[15:24]), float(box[24:33])),
        tuple((line[76:78].strip() or line[12:14].strip(" 0123456789")).capitalize() for line in atoms),
        np.array([[float(line[start : start + 8]) for start in (30, 38, 46)] for line in atoms]),
        tuple(residues),
    )


def read_cell(folder: Path, frame: str = "last") -> Structure:
    """Return a frame of a run as a periodic structure; ``residue`` and ``molecule`` are properties of its sites.

    :param folder: of a run, or the files that AiiDA retrieved of one.
    :param frame: one of :data:`FRAMES`.
    :raises SimulationInputError: when the folder has no such frame.
    :raises MissingExtraError: when pymatgen is not installed.
    """
    pymatgen = _load_library()
    cell, _ = _read(folder, frame)
    names, numbers = zip(*cell.residues, strict=True)
    structure: Structure = pymatgen.Structure(
        pymatgen.Lattice.orthorhombic(*cell.sides),
        cell.elements,
        cell.positions,
        coords_are_cartesian=True,
        to_unit_cell=False,
        charge=0.0,
        site_properties={"residue": list(names), "molecule": list(numbers)},
    )
    return structure


def read_molecules(folder: Path, frame: str = "last") -> list[Molecule]:
    """Return every molecule of a frame of a run, with its charge (e); ``name`` and ``smiles`` are its properties.

    :param folder: as of :func:`read_cell`, and so are ``frame`` and what is raised.
    """
    pymatgen = _load_library()
    cell, species = _read(folder, frame)
    return [
        pymatgen.Molecule(
            [cell.elements[atom] for atom in atoms],
            cell.positions[atoms],
            charge=species[residue]["charge"],
            properties={key: species[residue][key] for key in ("name", "smiles")},
        )
        for residue, atoms in cell.molecules()
    ]


def write_cell(folder: Path, frame: str, file: Path) -> None:
    """Write a frame of a run in a format that pymatgen knows, by the ending of the file: .cif, .json, .xsf, POSCAR.

    :raises SimulationInputError: when the folder has no such frame, or the ending is of no format.
    """
    structure = read_cell(folder, frame)
    try:
        structure.to(filename=str(file))
    except ValueError as error:
        raise SimulationInputError(f"{file} was given, accepted are .cif, .json, .xsf or POSCAR ({error})") from error


def read_molecule(file: Path) -> Molecule:
    """Return the molecule of a file, for example .xyz, .json, or the output of a quantum chemistry program.

    :raises SimulationInputError: when pymatgen cannot read it.
    """
    try:
        molecule: Molecule = _load_library().Molecule.from_file(str(file))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise SimulationInputError(f"{file} was given, accepted is a molecule that pymatgen reads: {error}") from error
    return molecule


def take_shape(species: Species, molecule: Molecule) -> Species:
    """Return a species that is packed in the shape of a molecule, whatever the order of its atoms.

    :raises ForceFieldError: when the molecule has other atoms or bonds.
    """
    elements = [site.specie.symbol for site in molecule]
    positions = np.asarray(molecule.cart_coords, dtype=float) * ANGSTROM
    order = match_shape(species, elements, positions)
    if order is None:
        formula = molecule.composition.formula
        raise ForceFieldError(f"the molecule {formula} has other atoms or bonds than {species.name}: {species.smiles}")
    shape = [tuple(round(float(number), 6) for number in row) for row in positions[order]]
    sources = {**species.sources, "shape": "given by the user, who knows where it is from"}
    terms = species.terms.model_copy(update={"positions": shape})
    return species.model_copy(update={"terms": terms, "sources": sources})


def _read(folder: Path, frame: str) -> tuple[PdbCell, dict[str, dict[str, Any]]]:
    if frame not in FRAMES:
        raise SimulationInputError(f"frame {frame!r} was given, accepted is {' or '.join(FRAMES)}")
    try:
        system = json.loads((folder / "system.json").read_text(encoding="utf-8"))
        return read_pdb(folder / f"{frame}.pdb"), {item["residue"]: item for item in system["species"]}
    except (OSError, ValueError, KeyError) as error:
        accepted = f"a folder of finales-md with system.json and {frame}.pdb"
        raise SimulationInputError(f"{folder} was given, accepted is {accepted}: {error}") from error


def _load_library() -> Any:
    try:
        from pymatgen import core
    except ImportError as error:
        raise MissingExtraError("md", "structures for pymatgen") from error
    return core
