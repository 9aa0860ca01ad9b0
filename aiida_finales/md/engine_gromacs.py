"""Molecular dynamics by GROMACS: mdrun simulates pieces of a stage, each from where the last one ended.

A piece begins from positions and velocities alone, as a resumed run does: thermostat and barostat have no memory.
"""

from __future__ import annotations

import io
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import MissingExtraError, SimulationError
from aiida_finales.md import gromacs
from aiida_finales.md.cell import Cell, mass_of
from aiida_finales.md.engine import Clock, Ensemble, Sample, check_sample
from aiida_finales.md.forces import ForceOptions, list_exceptions, scale_of
from aiida_finales.md.input import SimulationInput
from aiida_finales.md.species import Species
from aiida_finales.md.storage import writing
from aiida_finales.science.array import Array

#: of the output folder; where GROMACS works
FOLDER = "gromacs"
#: a piece takes this part of the time between two checkpoints
PIECE = 0.5
#: a piece has at most so many times the frames of the one before
GROWTH = 4
#: s that mdrun takes to end when it is told to, and its frames to be read
LAST_SECONDS = 3.0
#: columns of the table of energies behind the time, in the order in which GROMACS has them
ENERGIES = ("Potential", "Kinetic-En.", "Temperature")
STRESSES = tuple(f"Pres-{axes}" for axes in ("XX", "XY", "XZ", "YY", "YZ", "ZZ"))


class GromacsEngine:
    """One stage of a simulation.

    :param edge: of the box at the beginning, nm.
    :param folder: of the run; GROMACS works in a folder in it.
    :param threads: of the CPU.
    """

    def __init__(
        self,
        cell: Cell,
        given: SimulationInput,
        edge: float,
        ensemble: Ensemble,
        folder: Path,
        threads: int,
    ) -> None:
        gromacs.check_gromacs()
        self.cell, self.given, self.edge, self.ensemble = cell, given, edge, ensemble
        self.threads = threads
        self.positions: Array = np.zeros((cell.n_atoms, 3))
        self.speeds: Array | None = None
        self.n_pieces = 0
        self.folder = folder / FOLDER
        shutil.rmtree(self.folder, ignore_errors=True)
        with writing(self.folder):
            self.folder.mkdir()
            options = ForceOptions(given.protocol.cutoff_nm, given.ion_charge_scale)
            (self.folder / "cell.top").write_text(write_topology(cell, options), encoding="utf-8")

    def put(self, positions: Array, velocities: Array | None) -> None:
        """Set positions in nm and velocities in nm/ps; without velocities those of the temperature are drawn."""
        self.positions, self.speeds = positions, velocities

    def velocities(self) -> Array:
        """Return the velocities at the last frame, nm/ps."""
        if self.speeds is None:
            raise SimulationError("nothing has been simulated yet, so there are no velocities")
        return self.speeds

    def simulate(self, steps: int, frame: int, clock: Clock) -> Iterator[list[Sample]]:
        """Simulate in pieces; see :class:`aiida_finales.md.engine.Engine`."""
        n_frames = 1
        while steps > 0:
            began, frame = time.monotonic(), min(frame, steps)
            piece = min(n_frames, steps // frame) * frame
            samples = self._simulate_piece(piece, frame, clock)
            steps -= len(samples) * frame
            spent = time.monotonic() - began
            if samples:
                yield samples
            if not samples or clock.is_over(spent / len(samples)):
                return
            n_frames = int(np.clip(PIECE * clock.pause * len(samples) / spent, 1, GROWTH * n_frames))

    def _simulate_piece(self, steps: int, frame: int, clock: Clock) -> list[Sample]:
        """Return the frames of a piece, without those that a stopped one has not reached."""
        # whatever the wall time, the first frame is simulated: a run that is resumed again and again gets on
        is_first = steps <= frame
        self._prepare(steps, frame)
        has_begun = gromacs.simulate(
            "-s piece.tpr -deffnm piece -cpt -1" + (" -nb cpu" if self.given.platform == "CPU" else ""),
            self.folder,
            self.threads,
            lambda: clock.is_told or (not is_first and clock.is_over(LAST_SECONDS)),
        )
        self.n_pieces += 1
        return list(self._read(frame)) if has_begun else []

    def _prepare(self, steps: int, frame: int) -> None:
        # the noise of a piece is a function of its seed and the number of the step in it
        ensemble = replace(self.ensemble, seed=(self.ensemble.seed + self.n_pieces) % (2**31 - 1) + 1)
        whole = self.cell.wrap(self.positions, self.edge)
        settings = write_settings(self.given, ensemble, steps, frame, has_velocities=self.speeds is not None)
        coordinates = write_coordinates(self.cell, whole, self.speeds, self.edge)
        with writing(self.folder):
            (self.folder / "piece.mdp").write_text(settings, encoding="utf-8")
            (self.folder / "piece.gro").write_text(coordinates, encoding="utf-8")
        for name in ("piece.trr", "piece.edr"):
            (self.folder / name).unlink(missing_ok=True)
        gromacs.call("grompp -f piece.mdp -c piece.gro -p cell.top -o piece.tpr -po full.mdp", self.folder)

    def _read(self, frame: int) -> Iterator[Sample]:
        energies = self._read_energies()
        at_steps, before = np.rint(energies[:, 0] / (self.given.protocol.timestep_fs / 1000.0)).astype(int), 0
        for moment in _read_frames(self.folder / "piece.trr"):
            if moment.step == 0 or moment.step % frame:
                continue
            self._follow(moment)
            potential, kinetic, temperature = energies[np.abs(at_steps - moment.step).argmin(), 1:4].tolist()
            stress = self._select_stress(energies, at_steps, before, moment.step)
            sample = Sample(self.positions, self.edge, potential, kinetic, temperature, stress)
            check_sample(sample, self.cell, self.given)
            before = moment.step
            yield sample

    def _select_stress(self, energies: Array, at_steps: Array, before: int, last: int) -> Array | None:
        """Return the pressure tensors behind one step, up to another; only those in even steps."""
        every = self.ensemble.stress_steps
        if every is None:
            return None
        tensors: Array = energies[(at_steps > before) & (at_steps <= last) & (at_steps % every == 0), 4:]
        return tensors

    def _follow(self, moment: Any) -> None:
        """Take the positions of a frame, which are within the box, as near to those before as periods allow."""
        edge = float(moment.box[0, 0])
        inside = moment.x.astype(float)
        expected = self.positions * (edge / self.edge)
        self.positions = inside + edge * np.round((expected - inside) / edge)
        self.speeds, self.edge = moment.v.astype(float), edge

    def _read_energies(self) -> Array:
        names = (*ENERGIES, *(STRESSES if self.ensemble.stress_steps else ()), "", "")
        gromacs.call("energy -f piece.edr -o energies.xvg -xvg none -dp", self.folder, "\n".join(names))
        text = (self.folder / "energies.xvg").read_text(encoding="utf-8")
        return np.loadtxt(io.StringIO(text), ndmin=2)


def _read_frames(path: Path) -> Iterator[Any]:
    """Return the frames of a trajectory one by one: step, x (nm), v (nm/ps), box (nm)."""
    try:
        from MDAnalysis.lib.formats.libmdaxdr import TRRFile
    except ImportError as error:
        raise MissingExtraError("md", "reading trajectories of GROMACS") from error
    with TRRFile(str(path)) as file:
        yield from file


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
    energy_steps = ensemble.stress_steps or frame
    # Langevin dynamics relaxes the kinetic energy at twice its friction
    relaxation = 1.0 / (2.0 * ensemble.friction)
    settings: dict[str, object] = {
        "integrator": "md",
        "dt": protocol.timestep_fs / 1000.0,
        "nsteps": steps,
        **dict.fromkeys(("nstxout", "nstvout"), frame),
        "nstenergy": energy_steps,
        "nstcalcenergy": math.gcd(energy_steps, ENERGY_STEPS),
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
