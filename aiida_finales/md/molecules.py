"""Shapes, volumes and fragments of molecules, by RDKit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import ForceFieldError
from aiida_finales.md.species import Species, graph_of, parse, skeleton
from aiida_finales.science.array import Array

#: nm per Å
ANGSTROM = 0.1
N_CONFORMERS = 10


def split(smiles: str) -> list[str]:
    """Return the parts of a SMILES that are not bonded to each other, as SMILES."""
    from rdkit import Chem

    return [Chem.MolToSmiles(Chem.RemoveHs(part)) for part in Chem.GetMolFrags(parse(smiles), asMols=True)]


def net_charge(smiles: str) -> int:
    """Return the charge of a SMILES, e."""
    from rdkit import Chem

    return int(Chem.GetFormalCharge(parse(smiles)))


def shape(species: Species, seed: int) -> Array:
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
    match = skeleton(molecule).GetSubstructMatch(graph_of(species))
    positions: Array = molecule.GetConformer().GetPositions()[list(match)] * ANGSTROM
    return positions


def match_shape(species: Species, elements: list[str], positions: Array) -> list[int] | None:
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
    given, wanted = skeleton(given), graph_of(species)
    match = list(given.GetSubstructMatch(wanted))
    same = given.GetNumAtoms() == wanted.GetNumAtoms() and given.GetNumBonds() == wanted.GetNumBonds()
    return match if same and match else None


def volume(species: Species, seed: int) -> float:
    """Return the van der Waals volume of a species, nm³."""
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()
    radii = np.array([table.GetRvdw(element) for element in species.elements]) * ANGSTROM
    return _volume_of_spheres(shape(species, seed), radii)


def _volume_of_spheres(centres: Array, radii: Array, spacing: float = 0.015) -> float:
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

    return list(Chem.CanonicalRankAtoms(skeleton(molecule), breakTies=False))


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
