"""The forces: every molecule has a shape that they hold, and another program computes the same energies."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

from aiida_finales.md.cell import Cell, plan_cell
from aiida_finales.md.engine_gromacs import write_coordinates, write_topology
from aiida_finales.md.forces import ForceOptions, make_system
from aiida_finales.md.gromacs import call, has_gromacs
from aiida_finales.md.input import check_input
from aiida_finales.md.molecules import shape
from aiida_finales.md.packing import pack
from aiida_finales.md.species import LIBRARY

NAMES = [entry["name"] for entry in yaml.safe_load(LIBRARY.read_text(encoding="utf-8"))]
#: all species of the library
MIXTURE = (
    "C1COC(=O)O1",
    "CCOC(=O)OC",
    "C1C(OC(=O)O1)F",
    "COC(=O)OC",
    "CCOC(=O)OCC",
    "CC1COC(=O)O1",
    "[Na+].F[B-](F)(F)F",
    "[Mg+2].[O-]Cl(=O)(=O)=O.F[P-](F)(F)(F)(F)F",
    "[Li+].O=S(=O)([N-]S(=O)(=O)C(F)(F)F)C(F)(F)F",
)
#: a single point without cutoff effects: GROMACS and OpenMM split the Ewald sum alike
CUTOFF = 0.7


def make_context(system, positions):
    import openmm

    for group, force in enumerate(system.getForces()):
        force.setForceGroup(group)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    return context


def energies(system, positions):
    """Return the energy of every force, kJ/mol, by the name of its class."""
    context = make_context(system, positions)
    groups = enumerate(system.getForces())
    return {
        type(force).__name__: context.getState(energy=True, groups={group}).getPotentialEnergy()._value
        for group, force in groups
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_molecule_has_a_shape_that_its_force_field_holds(library, name):
    """Minimised, the energy is finite and lower, and every angle is within 15° of that at the start."""
    import openmm

    species = library.get(name)
    cell = Cell((species,), (1,), (1,), 3.0)
    start = shape(species, seed=1) + 1.5
    context = make_context(make_system(cell, 3.0, ForceOptions(1.0, 0.8, has_constraints=False)), start)
    before = context.getState(energy=True).getPotentialEnergy()._value
    openmm.LocalEnergyMinimizer.minimize(context, 0.1)
    state = context.getState(energy=True, positions=True)
    end, after = state.getPositions(asNumpy=True)._value, state.getPotentialEnergy()._value
    assert np.isfinite(after)
    assert after <= before + 1e-6
    for first, centre, last, *_ in species.terms.angles:
        bends = [_angle(positions, first, centre, last) for positions in (start, end)]
        assert bends[1] == pytest.approx(bends[0], abs=15.0), (first, centre, last)


def _angle(positions, first, centre, last):
    arms = [positions[atom] - positions[centre] for atom in (first, last)]
    cosine = arms[0] @ arms[1] / np.linalg.norm(arms[0]) / np.linalg.norm(arms[1])
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.fixture(scope="module")
def packed(library, tmp_path_factory):
    """A packed cell with every species of the library."""
    formulation = [{"smiles": smiles, "mole_fraction": 1 / len(MIXTURE)} for smiles in MIXTURE]
    document = {"schema": "finales-md/1", "formulation": formulation, "temperature_K": 300, "n_molecules": 45}
    cell = plan_cell(check_input(document | {"protocol": {"cutoff_nm": CUTOFF}}), library)
    assert {species.name for species in cell.species} == set(NAMES)
    shapes = {species.name: shape(species, seed=1) for species in cell.species}
    edge = 1.06 * cell.edge
    counts = dict(zip(shapes, cell.counts, strict=True))
    return cell, edge, pack(shapes, counts, edge, 1, tmp_path_factory.mktemp("packing"))


def test_only_charges_of_ions_are_scaled(packed):
    from openmm import NonbondedForce

    cell, edge, _ = packed
    system = make_system(cell, edge, ForceOptions(CUTOFF, 0.8))
    pairs = next(force for force in system.getForces() if isinstance(force, NonbondedForce))
    found = [pairs.getParticleParameters(index)[0]._value for index in range(cell.n_atoms)]
    factors = [0.8 if species.is_ion else 1.0 for species in cell.molecules]
    full = [atom[1] * factor for item, factor in zip(cell.molecules, factors, strict=True) for atom in item.terms.atoms]
    assert found == pytest.approx(full)
    assert sum(found) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.skipif(not has_gromacs(), reason="gmx is not on the PATH: GROMACS did not check the energies")
def test_gromacs_computes_the_same_energies(packed, tmp_path):
    """Bonds, angles and torsions agree to 0.01 kJ/mol; van der Waals and electrostatics to 1 in 1000."""
    cell, edge, positions = packed
    system = make_system(cell, edge, ForceOptions(CUTOFF, 0.8, has_constraints=False))
    ours, theirs = energies(system, positions), gromacs_energies(cell, edge, positions, tmp_path)
    assert theirs["Bond"] == pytest.approx(ours["HarmonicBondForce"], abs=0.05, rel=1e-4)
    assert theirs["Angle"] == pytest.approx(ours["HarmonicAngleForce"], abs=0.05, rel=1e-4)
    assert theirs["Torsion"] == pytest.approx(ours["PeriodicTorsionForce"], abs=0.05, rel=1e-4)
    assert theirs["Nonbonded"] == pytest.approx(ours["NonbondedForce"], rel=1e-3)


def gromacs_energies(cell, edge, positions, folder):
    """Return the energies of one moment as GROMACS computes them, kJ/mol, from the files that the engine writes."""
    (folder / "cell.top").write_text(write_topology(cell, ForceOptions(CUTOFF, 0.8)))
    (folder / "cell.gro").write_text(write_coordinates(cell, positions, None, edge))
    options = {"integrator": "md", "nsteps": 0, "nstlist": 1, "coulombtype": "PME", "rcoulomb": CUTOFF}
    options |= {"rvdw": CUTOFF, "DispCorr": "Ener", "vdw-modifier": "None", "coulomb-modifier": "None"}
    options |= {"ewald-rtol": 5e-5, "fourierspacing": 0.05, "pme-order": 6, "continuation": "yes"}
    (folder / "point.mdp").write_text("".join(f"{key} = {value}\n" for key, value in options.items()))
    call("grompp -f point.mdp -c cell.gro -p cell.top -o point.tpr -maxwarn 5", folder)
    call("mdrun -s point.tpr -nt 1 -g point.log", folder)
    return _read_energies((folder / "point.log").read_text(encoding="utf-8"))


def _read_energies(log):
    """Return the first table of energies in a log of GROMACS, summed up as OpenMM's forces are."""
    table = log.split("Energies (kJ/mol)")[1].split("\n\n")[0].splitlines()[1:]
    found = {}
    for titles, numbers in zip(table[::2], table[1::2], strict=True):
        names = [titles[start : start + 15].strip() for start in range(0, len(titles), 15)]
        found |= dict(zip(names, map(float, numbers.split()), strict=True))
    torsions = sum(value for name, value in found.items() if re.search("Dih", name))
    parts = ("LJ-14", "Coulomb-14", "LJ (SR)", "Disper. corr.", "Coulomb (SR)", "Coul. recip.")
    nonbonded = sum(found[name] for name in parts)
    return {"Bond": found["Bond"], "Angle": found["Angle"], "Torsion": torsions, "Nonbonded": nonbonded}
