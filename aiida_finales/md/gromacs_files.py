"""A cell in the files of GROMACS: topology, coordinates, settings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from aiida_finales.md.cell import Cell, mass_of
from aiida_finales.md.engine import Ensemble
from aiida_finales.md.forces import ForceOptions, list_exceptions, scale_of
from aiida_finales.md.input import SimulationInput
from aiida_finales.md.species import Species
from aiida_finales.science import Array

#: decimals of coordinates in nm; GROMACS computes in single precision
DECIMALS = 7
#: a .gro file counts up to here, then from 0 again
MOST = 100_000
#: 1/bar; of organic liquids: it sets how quickly the volume relaxes, not where to
COMPRESSIBILITY = 1e-4
#: ps, of the volume
BAROSTAT_TIME = 1.0
#: kJ/(mol ps) that an atom may gain because pairs are looked for every few steps only: the default; and such that the
#: thermostat holds the temperature within 0.1 %: this, in kJ/mol, by its relaxation time
PAIR_LIST_DRIFT, PAIR_LIST_ERROR = 0.005, 0.01
#: time steps between two sums of the energies, and two removals of the motion of the centre of mass
ENERGY_STEPS = 100


def write_topology(cell: Cell, options: ForceOptions) -> str:
    """Return the force field and the content of a cell as topology, all bonds as springs.

    Pairs three bonds apart are written with their own charges and van der Waals terms: their factors differ by species.
    """
    kinds = sorted({(sigma, epsilon) for item in cell.species for _, _, sigma, epsilon in item.terms.atoms})
    names = cell.residue_names()
    # combination rule 2 is that of Lorentz and Berthelot
    lines = ["[ defaults ]", "1 2 no 1.0 1.0", "", "[ atomtypes ]"]
    lines += [f"T{number} 0 0.0 0.0 A {sigma:.9g} {epsilon:.9g}" for number, (sigma, epsilon) in enumerate(kinds)]
    for item in cell.species:
        lines += ["", "[ moleculetype ]", f"{names[item.name]} 3", *_molecule(item, names[item.name], kinds, options)]
    lines += ["", "[ system ]", "finales-md", "", "[ molecules ]"]
    lines += [f"{names[item.name]} {count}" for item, count in zip(cell.species, cell.counts, strict=True)]
    return "\n".join(lines) + "\n"


def _molecule(species: Species, name: str, kinds: list[tuple[float, float]], options: ForceOptions) -> Iterator[str]:
    terms, scale = species.terms, scale_of(species, options)
    yield "[ atoms ]"
    for number, (element, charge, *kind) in enumerate(terms.atoms, start=1):
        atom_type = f"T{kinds.index((kind[0], kind[1]))}"
        yield f"{number} {atom_type} 1 {name} {element}{number} {number} {charge * scale:.9g} {mass_of(element):.9g}"
    yield "[ bonds ]"
    for first, second, length, constant in terms.bonds:
        yield f"{first + 1} {second + 1} 1 {length:.9g} {constant:.9g}"
    yield "[ angles ]"
    for first, centre, last, angle, constant in terms.angles:
        yield f"{first + 1} {centre + 1} {last + 1} 1 {angle:.9g} {constant:.9g}"
    yield "[ dihedrals ]"
    for *atoms, waves in terms.torsions:
        numbers = " ".join(str(atom + 1) for atom in atoms)
        yield from (f"{numbers} 9 {phase:.9g} {constant:.9g} {wave}" for wave, phase, constant in waves)
    yield "[ pairs ]"
    for first, second, charge, sigma, epsilon in list_exceptions(species, options):
        if charge or epsilon:  # others do not interact
            yield f"{first + 1} {second + 1} 2 1.0 {charge:.9g} 1.0 {sigma:.9g} {epsilon:.9g}"


def write_coordinates(cell: Cell, positions: Array, velocities: Array | None, edge: float) -> str:
    """Return positions (nm) and velocities (nm/ps) in the form .gro."""
    names = cell.residue_names()
    titles = [
        f"{(molecule + 1) % MOST:5d}{names[item.name]:<5}{element + str(number):>5}"
        for molecule, item in enumerate(cell.molecules)
        for number, element in enumerate(item.elements, start=1)
    ]
    numbers = positions if velocities is None else np.hstack([positions, velocities])
    width = DECIMALS + 5
    form = f"%{width}.{DECIMALS}f" * 3 + ("" if velocities is None else f"%{width}.{DECIMALS + 1}f" * 3)
    rows = [
        f"{title}{(index + 1) % MOST:5d}{form % tuple(row)}"
        for index, (title, row) in enumerate(zip(titles, numbers.tolist(), strict=True))
    ]
    box = " ".join([f"{edge:.9f}"] * 3)
    return "\n".join(["finales-md", str(cell.n_atoms), *rows, box]) + "\n"


def write_settings(given: SimulationInput, ensemble: Ensemble, steps: int, frame: int, *, has_velocities: bool) -> str:
    """Return the settings of mdrun: stochastic rescaling of the velocities, and of the volume at constant pressure.

    :param steps: time steps in all.
    :param frame: time steps between two frames.
    :param has_velocities: whether the coordinates have velocities.
    """
    protocol, temperature = given.protocol, given.temperature_K
    # Langevin dynamics relaxes the kinetic energy at twice its friction
    relaxation = 1.0 / (2.0 * ensemble.friction)
    settings: dict[str, object] = {
        "integrator": "md",
        "dt": protocol.timestep_fs / 1000.0,
        "nsteps": steps,
        **dict.fromkeys(("nstxout", "nstvout", "nstenergy"), frame),
        "nstcalcenergy": math.gcd(frame, ENERGY_STEPS),
        "nstcomm": ENERGY_STEPS,
        "nstlog": 0,
        "constraints": "h-bonds",
        "coulombtype": "PME",
        "rcoulomb": protocol.cutoff_nm,
        "rvdw": protocol.cutoff_nm,
        "verlet-buffer-tolerance": min(PAIR_LIST_DRIFT, PAIR_LIST_ERROR / relaxation),
        "DispCorr": "EnerPres",
        "tcoupl": "v-rescale",
        "tc-grps": "System",
        "tau-t": relaxation,
        "ref-t": temperature,
        "ld-seed": ensemble.seed,
        "continuation": "yes" if has_velocities else "no",
    }
    if not has_velocities:
        settings |= {"gen-vel": "yes", "gen-temp": temperature, "gen-seed": ensemble.seed}
    if ensemble.pressure is not None:
        settings |= {"pcoupl": "C-rescale", "tau-p": BAROSTAT_TIME, "compressibility": COMPRESSIBILITY}
        settings |= {"ref-p": ensemble.pressure}
    return "".join(f"{key} = {value}\n" for key, value in settings.items())
