"""Nodes of what a simulation leaves: cells from PDB files, paths of ions, pair distributions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm

from aiida_finales.md.structures import read_pdb
from aiida_finales.science.liquid.pair_distribution import Surroundings

#: angstrom per nm
ANGSTROM = 10.0


def read_structure(path: Path) -> orm.StructureData:
    """Return the cell of a PDB file.

    :raises ValueError: when it has no box or no atom, or its columns are not those of a PDB file.
    """
    cell = read_pdb(path)
    structure = orm.StructureData(cell=np.diag(cell.sides).tolist(), pbc=[True, True, True])
    for element in dict.fromkeys(cell.elements):
        structure.append_kind(orm.Kind(symbols=element, name=element))
    # one by one they would be checked against all kinds, seconds for some thousand atoms
    pairs = zip(cell.elements, cell.positions.tolist(), strict=True)
    sites = [{"kind_name": element, "position": position} for element, position in pairs]
    structure.base.attributes.set("sites", sites)
    return structure


def central_elements(path: Path) -> dict[str, str]:
    """Return the element in the middle of each kind of molecule of a PDB file, by the name of its residue.

    It is the rarest one that is not hydrogen, the first of those: P of PF6, N of TFSI.
    """
    cell = read_pdb(path)
    kinds = {name: [cell.elements[atom] for atom in atoms] for name, atoms in cell.molecules()}
    return {name: _rarest(members) for name, members in kinds.items()}


def make_trajectory(ions: dict[str, Any], elements: dict[str, str]) -> orm.TrajectoryData:
    """Return the paths of the ions as a node: angstrom, ps; unwrapped, hence outside of the cell in the end.

    :param ions: ``positions`` (nm, frames x ions x 3), ``time`` (ps), ``species``, ``charges``, ``volume`` (nm3).
    :param elements: of the middle of each species, as which an ion is drawn.
    """
    positions = np.asarray(ions["positions"], dtype=np.float64) * ANGSTROM
    species = [str(name) for name in ions["species"]]
    side = float(ions["volume"]) ** (1 / 3) * ANGSTROM
    cells = np.broadcast_to(np.eye(3) * side, (len(positions), 3, 3)).copy()
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=[elements[name] for name in species],
        positions=positions,
        cells=cells,
        times=np.asarray(ions["time"], dtype=np.float64),
        pbc=(True, True, True),
    )
    trajectory.base.attributes.set("species", species)
    trajectory.base.attributes.set("charges", [int(charge) for charge in ions["charges"]])
    return trajectory


def make_pair_distributions(found: Surroundings) -> orm.ArrayData:
    """Return pair distributions as a node."""
    node = orm.ArrayData(
        {
            "radius": found.pairs[0].radius,
            "g": np.stack([pair.g for pair in found.pairs]),
            "neighbours": np.stack([pair.neighbours for pair in found.pairs]),
        }
    )
    node.base.attributes.set("pair_title", [pair.title for pair in found.pairs])
    node.base.attributes.set("cell_formula", found.formula)
    node.base.attributes.set("cell_volume", found.volume)
    return node


def _rarest(members: list[str]) -> str:
    counts = Counter(element for element in members if element != "H") or Counter(members)
    return min(counts, key=lambda element: counts[element])
