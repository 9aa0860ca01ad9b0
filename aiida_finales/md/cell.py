"""What is in one cell: from mole fractions to whole molecules without charge in sum, their order, and the box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.input import FRACTION_TOLERANCE, SimulationInput
from aiida_finales.md.molecules import net_charge, split, volume
from aiida_finales.md.species import Library, Species, digest_terms
from aiida_finales.science.array import Array

#: share of a liquid's volume that its molecules fill: 0.66 for ethylene carbonate, 0.57 for ethyl methyl carbonate
PACKING_FRACTION = 0.6
#: density of the packed box, in parts of the estimated one
LOOSENESS = 0.85
#: by how much a box may shrink below the estimate, in parts of its edge
SHRINKAGE = 0.9
#: g/cm³ per Da/nm³
GRAM_PER_CM3 = 1.66053906660e-3


@dataclass(frozen=True)
class Cell:
    """The content of one cell.

    :param species: in the order of their copies.
    :param counts: copies of each.
    :param components: number of each component of the formulation.
    :param edge: estimated edge of the cubic box of the liquid, nm.
    """

    species: tuple[Species, ...]
    counts: tuple[int, ...]
    components: tuple[int, ...]
    edge: float

    @cached_property
    def molecules(self) -> list[Species]:
        """The species of every molecule."""
        return [item for item, count in zip(self.species, self.counts, strict=True) for _ in range(count)]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first atom of every molecule, and the number of atoms."""
        return np.cumsum([0] + [len(item.terms.atoms) for item in self.molecules])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.starts[-1])

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Element of every atom."""
        return tuple(element for item in self.molecules for element in item.elements)

    @cached_property
    def masses(self) -> Array:
        """Mass of every atom, Da."""
        return np.array([mass_of(element) for element in self.elements])

    @cached_property
    def ions(self) -> list[int]:
        """Indices of the molecules that carry a charge."""
        return [index for index, item in enumerate(self.molecules) if item.is_ion]

    @cached_property
    def solvents(self) -> list[int]:
        """Indices of the molecules without charge."""
        return [index for index, item in enumerate(self.molecules) if not item.is_ion]

    def density(self, volume: float) -> float:
        """Return the density at a volume in nm³, g/cm³."""
        return float(self.masses.sum() / volume * GRAM_PER_CM3)

    def centres(self, positions: Array) -> Array:
        """Return the centre of mass of every molecule."""
        weights = np.add.reduceat(self.masses, self.starts[:-1])
        sums = np.add.reduceat(positions * self.masses[:, None], self.starts[:-1], axis=0)
        centres: Array = sums / weights[:, None]
        return centres

    def wrap(self, positions: Array, edge: float) -> Array:
        """Return positions with the centre of every molecule in the box, and no molecule torn apart."""
        shifts = np.floor(self.centres(positions) / edge) * edge
        wrapped: Array = positions - self.of_molecules(shifts)
        return wrapped

    def scale(self, positions: Array, factor: float) -> Array:
        """Return positions in a box whose edge is so many times as long: centres of molecules move, shapes stay."""
        scaled: Array = positions + self.of_molecules(self.centres(positions) * (factor - 1.0))
        return scaled

    def of_molecules(self, values: Array) -> Array:
        """Return a value per molecule as one per atom."""
        return np.repeat(values, np.diff(self.starts), axis=0)

    def residue_names(self) -> dict[str, str]:
        """Return a name of at most three letters for every species."""
        short = {item.name: item.name[:3].upper() for item in self.species}
        is_unique = len(set(short.values())) == len(short)
        return short if is_unique else {name: f"M{index:02d}" for index, name in enumerate(short)}

    def describe(self, given: SimulationInput, library: Library) -> dict[str, Any]:
        """Return the content, JSON-ready."""
        fractions = achieved(self.components)
        names = self.residue_names()
        return {
            "formulation": [
                {
                    "smiles": component.smiles,
                    "name": component.name or "+".join(library.find(part).name for part in split(component.smiles)),
                    "mole_fraction_asked": component.mole_fraction,
                    "mole_fraction": fraction,
                    "count": count,
                }
                for component, fraction, count in zip(given.formulation, fractions, self.components, strict=True)
            ],
            "species": [
                {
                    "name": item.name,
                    "smiles": item.smiles,
                    "charge": item.charge,
                    "count": count,
                    "residue": names[item.name],
                    "n_atoms": len(item.terms.atoms),
                    "sources": item.sources,
                }
                for item, count in zip(self.species, self.counts, strict=True)
            ],
            "n_molecules": sum(self.counts),
            "n_atoms": self.n_atoms,
            "ion_charge_scale": given.ion_charge_scale,
            "forcefield_sha256": digest_terms(list(self.species)),
            "box_edge_estimated_nm": round(self.edge, 4),
        }


def mass_of(element: str) -> float:
    """Return the mass of an element, Da."""
    from rdkit.Chem import GetPeriodicTable

    return float(GetPeriodicTable().GetAtomicWeight(element))


def plan_cell(given: SimulationInput, library: Library, cutoff: str = "protocol.cutoff_nm") -> Cell:
    """Find the content of a cell.

    :param cutoff: key by which the cutoff was given, for people.
    :raises SimulationInputError: when a SMILES is none, the mixture is charged, or the box too small for the cutoff.
    :raises ForceFieldError: when there is no force field for a chemical.
    """
    fractions = [component.mole_fraction for component in given.formulation]
    charges = [net_charge(component.smiles) for component in given.formulation]
    parts = [[library.find(part).name for part in split(component.smiles)] for component in given.formulation]
    components = count_components(fractions, charges, given.n_molecules)
    counts = count_species(parts, components)
    species = tuple(library.get(name) for name in counts)
    filled = sum(volume(item, given.seed) * counts[item.name] for item in species)
    cell = Cell(species, tuple(counts.values()), tuple(components), float(np.cbrt(filled / PACKING_FRACTION)))
    _check_box(cell, given, cutoff)
    return cell


def _check_box(cell: Cell, given: SimulationInput, cutoff: str) -> None:
    smallest = 2 * given.protocol.cutoff_nm
    if cell.edge * SHRINKAGE < smallest:
        needed = given.n_molecules * (smallest / SHRINKAGE / cell.edge) ** 3
        raise SimulationInputError(
            f"n_molecules: {given.n_molecules} was given, a box of {cell.edge:.2f} nm; accepted are at least "
            f"{int(needed) + 1}, or a smaller {cutoff} than {given.protocol.cutoff_nm:g}: the box must be "
            "twice as large"
        )


@dataclass(frozen=True)
class Unit:
    """A formula unit without charge: how many of which components.

    :param share: its part of all units.
    """

    members: tuple[tuple[int, int], ...]
    share: float


def count_components(fractions: Sequence[float], charges: Sequence[int], number: int) -> list[int]:
    """Return how many of each component a cell holds.

    Charged components are first joined to formula units without charge; the units are rounded by largest remainders.

    :param fractions: mole fraction of each component.
    :param charges: charge of each component, e.
    :param number: formula units in the cell.
    :raises SimulationInputError: when the mixture is charged, or has more components than the cell has units.
    """
    units = _neutral_units(fractions, charges)
    if number < len(units):
        raise SimulationInputError(
            f"n_molecules: {number} was given, accepted are at least {len(units)}, one of each formula unit"
        )
    counts = [0] * len(fractions)
    for unit, amount in zip(units, round_shares([unit.share for unit in units], number), strict=True):
        for component, multiple in unit.members:
            counts[component] += amount * multiple
    if 0 in counts:
        raise SimulationInputError(
            f"formulation[{counts.index(0)}]: an ion without counter-ion was given, accepted is a mixture without "
            "charge"
        )
    return counts


def round_shares(shares: Sequence[float], number: int) -> list[int]:
    """Return whole numbers with a given sum and about these shares, by largest remainders; each at least 1."""
    exact = np.asarray(shares, dtype=float) / sum(shares) * number
    whole = np.floor(exact).astype(int)
    for index in np.argsort(whole - exact, kind="stable")[: number - whole.sum()]:
        whole[index] += 1
    for index in np.flatnonzero(whole == 0):
        whole[np.argmax(whole)] -= 1
        whole[index] = 1
    return [int(item) for item in whole]


def _neutral_units(fractions: Sequence[float], charges: Sequence[int]) -> list[Unit]:
    excess = sum(fraction * charge for fraction, charge in zip(fractions, charges, strict=True))
    if abs(excess) > FRACTION_TOLERANCE:
        raise SimulationInputError(
            f"formulation: a mixture with {excess:+.4g} e per molecule was given, accepted is one without charge"
        )
    units = [Unit(((index, 1),), fractions[index]) for index, charge in enumerate(charges) if charge == 0]
    left = {index: fractions[index] for index, charge in enumerate(charges) if charge}
    while any(charges[index] > 0 for index in left) and any(charges[index] < 0 for index in left):
        units.append(_join(left, charges))
    return units


def _join(left: dict[int, float], charges: Sequence[int]) -> Unit:
    """Make units of the first cation and the first anion that are left, as many as they allow."""
    cation = next(index for index in left if charges[index] > 0)
    anion = next(index for index in left if charges[index] < 0)
    common = gcd(charges[cation], -charges[anion])
    multiples = {cation: -charges[anion] // common, anion: charges[cation] // common}
    amounts = {index: left[index] / multiple for index, multiple in multiples.items()}
    scarce = min(amounts, key=lambda index: amounts[index])
    for index, multiple in multiples.items():
        left[index] -= amounts[scarce] * multiple
    # what remains of the other one is rounding, or joins its next counter-ion
    for index in multiples:
        if index == scarce or left[index] < FRACTION_TOLERANCE * amounts[scarce]:
            del left[index]
    return Unit(tuple(multiples.items()), amounts[scarce])


def achieved(counts: Sequence[int]) -> list[float]:
    """Return the mole fractions of whole numbers of components."""
    total = sum(counts)
    return [count / total for count in counts]


def count_species(parts: Sequence[Sequence[str]], counts: Sequence[int]) -> Counter[str]:
    """Return how many of each species a cell holds, in the order in which they are first named.

    :param parts: names of the species in each component, repeated as often as they are in it.
    """
    total: Counter[str] = Counter()
    for names, count in zip(parts, counts, strict=True):
        for name in names:
            total[name] += count
    return total
