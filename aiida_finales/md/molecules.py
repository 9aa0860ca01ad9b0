"""Graphs and shapes of molecules, by RDKit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_finales.exceptions import ForceFieldError, MissingExtraError, SimulationInputError
from aiida_finales.md.species import Species

Floats = NDArray[np.float64]

#: nm per Å
ANGSTROM = 0.1
N_CONFORMERS = 10


def parse(smiles: str) -> Any:
    """Return the RDKit molecule of a SMILES, hydrogens included.

    :raises SimulationInputError: when it is no SMILES.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise MissingExtraError("md", "molecular dynamics") from error

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise SimulationInputError(f"{smiles!r} was given, accepted is a SMILES")
    return Chem.AddHs(molecule)


def split(smiles: str) -> list[str]:
    """Return the parts of a SMILES that are not bonded to each other, as SMILES."""
    from rdkit import Chem

    return [Chem.MolToSmiles(Chem.RemoveHs(part)) for part in Chem.GetMolFrags(parse(smiles), asMols=True)]


@cache
def graph_key(smiles: str) -> str:
    """Return what all SMILES of one species have in common: which atom is bonded to which, and the charge.

    Bond orders and charges of single atoms are left out: a perchlorate can be written in more than one way.
    """
    from rdkit import Chem

    molecule = parse(smiles)
    return f"{Chem.MolToSmiles(_skeleton(molecule))} {Chem.GetFormalCharge(molecule):+d}"


def net_charge(smiles: str) -> int:
    """Return the charge of a SMILES, e."""
    from rdkit import Chem

    return int(Chem.GetFormalCharge(parse(smiles)))


def check_graph(species: Species) -> None:
    """Check that the terms of a species are those of its SMILES.

    :raises ForceFieldError: when they are not.
    """
    from rdkit import Chem

    terms = species.terms
    indices = [index for term in terms.bonds for index in term[:2]]
    indices += [index for term in terms.angles for index in term[:3]]
    indices += [index for term in terms.torsions for index in term[:4]]
    if any(not 0 <= index < len(terms.atoms) for index in indices):
        raise ForceFieldError(f"its terms name an atom beyond the {len(terms.atoms)} it has")
    if terms.positions is not None and len(terms.positions) != len(terms.atoms):
        raise ForceFieldError(f"it has {len(terms.positions)} positions for {len(terms.atoms)} atoms")
    given = f"{Chem.MolToSmiles(_graph(species))} {species.charge:+d}"
    if given != graph_key(species.smiles):
        raise ForceFieldError(f"its atoms and bonds are {given}, its SMILES means {graph_key(species.smiles)}")


def shape(species: Species, seed: int) -> Floats:
    """Return positions of the atoms of a species, nm, in the order of its terms.

    :param seed: of the conformer.
    :raises ForceFieldError: when no shape can be found.
    """
    if species.terms.positions is not None:
        return np.array(species.terms.positions)
    if len(species.terms.atoms) == 1:
        return np.zeros((1, 3))
    molecule = parse(species.smiles)
    embed(molecule, seed)
    match = _skeleton(molecule).GetSubstructMatch(_graph(species))
    positions: Floats = molecule.GetConformer().GetPositions()[list(match)] * ANGSTROM
    return positions


def match_shape(species: Species, elements: list[str], positions: Floats) -> list[int] | None:
    """Return which atom of a shape is which of a species, or ``None`` when the shape has other atoms or bonds.

    :param positions: nm; atoms are bonded when their distance says so.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    rows = zip(elements, positions / ANGSTROM, strict=True)
    lines = [f"{element} {x:.6f} {y:.6f} {z:.6f}" for element, (x, y, z) in rows]
    given = Chem.MolFromXYZBlock("\n".join([str(len(lines)), "", *lines]))
    if len(lines) > 1:
        rdDetermineBonds.DetermineConnectivity(given)
    given, wanted = _skeleton(given), _graph(species)
    match = list(given.GetSubstructMatch(wanted))
    same = given.GetNumAtoms() == wanted.GetNumAtoms() and given.GetNumBonds() == wanted.GetNumBonds()
    return match if same and match else None


def volume(species: Species, seed: int) -> float:
    """Return the van der Waals volume of a species, nm³."""
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()
    radii = np.array([table.GetRvdw(element) for element in species.elements]) * ANGSTROM
    return _volume_of_spheres(shape(species, seed), radii)


def _volume_of_spheres(centres: Floats, radii: Floats, spacing: float = 0.015) -> float:
    """Return the volume that overlapping spheres fill, by counting points of a grid."""
    low, high = (centres - radii[:, None]).min(0), (centres + radii[:, None]).max(0)
    axes = [np.arange(start, stop + spacing, spacing) for start, stop in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.zeros(len(grid), dtype=bool)
    for centre, radius in zip(centres, radii, strict=True):
        inside |= ((grid - centre) ** 2).sum(1) < radius**2
    return float(inside.sum() * spacing**3)


def equivalent_atoms(molecule: Any) -> list[int]:
    """Return a number for every atom, equal for atoms that the graph makes equal."""
    from rdkit import Chem

    return list(Chem.CanonicalRankAtoms(_skeleton(molecule), breakTies=False))


def embed(molecule: Any, seed: int) -> None:
    """Give a molecule of RDKit its shape: of several conformers that of the lowest energy in MMFF.

    :raises ForceFieldError: when no shape can be found.
    """
    from rdkit.Chem import MolToSmiles, RemoveHs, rdDistGeom, rdForceFieldHelpers

    if not rdDistGeom.EmbedMultipleConfs(molecule, N_CONFORMERS, randomSeed=seed):
        raise ForceFieldError(f"no shape could be found for {MolToSmiles(RemoveHs(molecule))}: give it positions")
    best = 0
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        energies = [energy for _, energy in rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule)]
        best = int(np.argmin(energies))
    for conformer in [item.GetId() for item in molecule.GetConformers()]:
        if conformer != best:
            molecule.RemoveConformer(conformer)


def write_mol(molecule: Any, path: Path) -> None:
    """Write a molecule of RDKit with a shape as MDL file."""
    from rdkit import Chem

    embed(molecule, seed=1)
    Chem.MolToMolFile(molecule, str(path))


def _graph(species: Species) -> Any:
    """Return the atoms and bonds of the terms of a species as a molecule of RDKit."""
    bonds = [(first, second) for first, second, *_ in species.terms.bonds]
    return _assemble(species.elements, bonds)


def _skeleton(molecule: Any) -> Any:
    """Return a molecule with all bonds single and without charges, in the same order of atoms."""
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return _assemble([atom.GetSymbol() for atom in molecule.GetAtoms()], bonds)


def _assemble(elements: list[str], bonds: list[tuple[int, int]]) -> Any:
    from rdkit import Chem

    molecule = Chem.RWMol()
    for element in elements:
        atom = Chem.Atom(element)
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for first, second in bonds:
        molecule.AddBond(first, second, Chem.BondType.SINGLE)
    return molecule.GetMol()
