"""The forces of a cell, for OpenMM, and its topology."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from aiida_finales.md.cell import Cell, mass_of
from aiida_finales.md.species import Species

#: relative error of the reciprocal part of the electrostatic forces
EWALD_TOLERANCE = 5e-4


@dataclass(frozen=True)
class ForceOptions:
    """How forces are computed.

    :param cutoff: nm.
    :param ion_charge_scale: factor for the charges of ions.
    :param has_constraints: whether bonds to hydrogen have a fixed length.
    """

    cutoff: float
    ion_charge_scale: float
    has_constraints: bool = True


def make_system(cell: Cell, edge: float, options: ForceOptions) -> Any:
    """Return the OpenMM System of a cell: particle mesh Ewald, and a correction for dispersion beyond the cutoff."""
    import openmm

    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(openmm.Vec3(edge, 0, 0), openmm.Vec3(0, edge, 0), openmm.Vec3(0, 0, edge))
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    torsions, pairs = openmm.PeriodicTorsionForce(), openmm.NonbondedForce()
    pairs.setNonbondedMethod(openmm.NonbondedForce.PME)
    pairs.setCutoffDistance(options.cutoff)
    pairs.setEwaldErrorTolerance(EWALD_TOLERANCE)
    pairs.setUseDispersionCorrection(True)
    exceptions = {item.name: list_exceptions(item, options) for item in cell.species}
    for start, item in zip(cell.starts[:-1].tolist(), cell.molecules, strict=True):
        _add_atoms(system, pairs, item, options)
        _add_bonds(system, bonds, item, start, options)
        for first, centre, last, angle, constant in item.terms.angles:
            angles.addAngle(start + first, start + centre, start + last, math.radians(angle), constant)
        for *atoms, waves in item.terms.torsions:
            for multiplicity, phase, constant in waves:
                torsions.addTorsion(*(start + atom for atom in atoms), multiplicity, math.radians(phase), constant)
        for first, second, charge, sigma, epsilon in exceptions[item.name]:
            pairs.addException(start + first, start + second, charge, sigma, epsilon)
    for force in (bonds, angles, torsions, pairs):
        system.addForce(force)
    return system


def make_topology(cell: Cell, edge: float) -> Any:
    """Return the OpenMM Topology of a cell: a residue per molecule, atoms named by element and number."""
    from openmm import Vec3, app, unit

    topology = app.Topology()
    names = cell.residue_names()
    for species, count in zip(cell.species, cell.counts, strict=True):
        chain = topology.addChain()
        elements = [app.Element.getBySymbol(symbol) for symbol in species.elements]
        for _ in range(count):
            residue = topology.addResidue(names[species.name], chain)
            atoms = [
                topology.addAtom(f"{element.symbol}{number}", element, residue)
                for number, element in enumerate(elements, start=1)
            ]
            for first, second, *_ in species.terms.bonds:
                topology.addBond(atoms[first], atoms[second])
    box = [Vec3(edge, 0, 0), Vec3(0, edge, 0), Vec3(0, 0, edge)]
    topology.setPeriodicBoxVectors(box * unit.nanometer)
    return topology


def scale_of(species: Species, options: ForceOptions) -> float:
    """Return the factor for the charges of a species."""
    return options.ion_charge_scale if species.is_ion else 1.0


def _add_atoms(system: Any, pairs: Any, species: Species, options: ForceOptions) -> None:
    scale = scale_of(species, options)
    for element, charge, sigma, epsilon in species.terms.atoms:
        system.addParticle(mass_of(element))
        pairs.addParticle(charge * scale, sigma, epsilon)


def _add_bonds(system: Any, bonds: Any, species: Species, start: int, options: ForceOptions) -> None:
    for first, second, length, constant in species.terms.bonds:
        has_hydrogen = "H" in (species.elements[first], species.elements[second])
        if has_hydrogen and options.has_constraints:
            system.addConstraint(start + first, start + second, length)
        else:
            bonds.addBond(start + first, start + second, length, constant)


def list_exceptions(species: Species, options: ForceOptions) -> list[tuple[int, int, float, float, float]]:
    """Return the pairs within a molecule that do not interact as others do: atoms up to three bonds apart.

    :returns: both atoms, product of charges (e²), sigma (nm), epsilon (kJ/mol).
    """
    import openmm

    pairs = openmm.NonbondedForce()
    scale = scale_of(species, options)
    for _, charge, sigma, epsilon in species.terms.atoms:
        pairs.addParticle(charge * scale, sigma, epsilon)
    bonds = [(first, second) for first, second, *_ in species.terms.bonds]
    pairs.createExceptionsFromBonds(bonds, species.terms.coulomb14, species.terms.lj14)
    return [
        (first, second, charge._value, sigma._value, epsilon._value)  # noqa: SLF001 - in OpenMM's units already
        for first, second, charge, sigma, epsilon in map(pairs.getExceptionParameters, range(pairs.getNumExceptions()))
    ]
