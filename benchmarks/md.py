"""Simulated time per day: finales-md, a bare OpenMM script and GROMACS on the same box, turn by turn.

The box is that of the published protocol: some 1 mol/L LiPF6 in EC and EMC at constant volume. All programs have the
same number of threads, forces, constraints and time step; only finales-md writes a log, frames and checkpoints. Turns
are short and interleaved, and every ratio is one of neighbouring turns: what else the computer does hits both. The
ratio of processor time is given beside that of wall time; it does not count waiting for a core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.md import gromacs
from aiida_finales.md.cell import plan_cell
from aiida_finales.md.dynamics import Dynamics, Progress
from aiida_finales.md.engine import Clock, Ensemble
from aiida_finales.md.engine_gromacs import write_coordinates, write_settings, write_topology
from aiida_finales.md.engine_openmm import OpenMMEngine, choose_platform
from aiida_finales.md.forces import ForceOptions, make_system
from aiida_finales.md.input import SimulationInput, check_input
from aiida_finales.md.molecules import shape
from aiida_finales.md.output import ATOMS, IONS, LOG
from aiida_finales.md.packing import pack
from aiida_finales.md.species import Library
from aiida_finales.md.storage import State

CASE = "ec-emc-lipf6"
FORMULATION = {"C1COC(=O)O1": 68 / 222, "CCOC(=O)OC": 134 / 222, "[Li+].F[P-](F)(F)(F)(F)F": 20 / 222}
#: formula units, ps per turn and turns
FULL, QUICK = (222, 1.0, 15), (60, 0.5, 9)
#: ps per turn are so many times longer on a GPU
GPU_FACTOR = 50
TEMPERATURE = 303.15
NS_PER_DAY = 86.4  # per ps/s


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller box, end within a minute")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU [1]")
    options = parser.parse_args()
    number, length, turns = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        box = Box(number, Path(folder), options.threads)
        box.relax()
        measure(box, "CPU", length, turns, CASE)
        if choose_platform("auto") == "CUDA":
            measure(box, "CUDA", length * GPU_FACTOR, turns, f"{CASE}-cuda")


def measure(box: Box, platform: str, length: float, turns: int, case: str) -> None:
    """Print the figures of one platform: medians over turns, and the middle half of the ratios."""
    programs = {"openmm": lambda: box.run_bare(platform, length), "finales-md": lambda: box.run_ours(platform, length)}
    if platform == "CPU" and gromacs.has_gromacs():
        programs["gromacs"] = lambda: box.run_gromacs(length)
    spent: dict[str, list[Spent]] = {name: [] for name in programs}
    for turn in range(turns):
        # each goes first in every second turn: what is first may find a cold or a hot processor
        for name in list(programs)[:: -1 if turn % 2 else 1]:
            spent[name].append(programs[name]())
    pairs = list(zip(spent["openmm"], spent["finales-md"], strict=True))
    for kind in ("wall", "processor"):
        ratios = [getattr(bare, kind) / getattr(ours, kind) for bare, ours in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        suffix = "" if kind == "wall" else f"_{kind}_time"
        print_row("md", case, f"ratio_to_bare_openmm{suffix}", round(middle, 3), "1")
        print_row("md", case, f"ratio_to_bare_openmm{suffix}_lower_quartile", round(low, 3), "1")
        print_row("md", case, f"ratio_to_bare_openmm{suffix}_upper_quartile", round(high, 3), "1")
    for name, figure in (("finales-md", ""), ("openmm", "bare_openmm_"), ("gromacs", "gromacs_")):
        for kind in ("wall", "processor") if name in spent else ():
            speed = length / statistics.median(getattr(turn, kind) for turn in spent[name]) * NS_PER_DAY
            suffix, unit = ("", "ns/day") if kind == "wall" else ("_of_core", "ns/day of processor time")
            print_row("md", case, f"{figure}ns_per_day{suffix}", round(speed, 2), unit)
    print_row("md", case, "atoms", box.cell.n_atoms, "1")


class Spent(NamedTuple):
    """What a turn took, in s."""

    wall: float
    processor: float


class Stopwatch:
    """Measures this process and its children from when it is made."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), sum(os.times()[:4])

    def read(self) -> Spent:
        """Return what has been spent."""
        return Spent(time.perf_counter() - self.wall, sum(os.times()[:4]) - self.processor)


class Box:
    """A box of the liquid, and the programs that simulate it.

    :param number: formula units.
    """

    def __init__(self, number: int, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.given = self._make_input(number, 1.0)
        self.cell = plan_cell(self.given, Library())
        self.edge = self.cell.edge
        self.positions: Any = None
        self.velocities: Any = None

    def _make_input(self, number: int, length: float) -> SimulationInput:
        formulation = [{"smiles": smiles, "mole_fraction": share} for smiles, share in FORMULATION.items()]
        document = {"schema": "finales-md/1", "formulation": formulation, "temperature_K": TEMPERATURE}
        protocol = {
            "production_ps": length,
            "frame_ps": min(1.0, length / 2),
            "cutoff_nm": 1.0 if number > 100 else 0.8,
        }
        return check_input(document | {"n_molecules": number, "protocol": protocol})

    def relax(self) -> None:
        """Pack and minimise the box, and let it warm up."""
        edge = 1.06 * self.edge
        shapes = {species.name: shape(species, 1) for species in self.cell.species}
        counts = dict(zip(shapes, self.cell.counts, strict=True))
        engine = OpenMMEngine(self.cell, self.given, edge, Ensemble(1.0, 1.0, 1), "CPU", self.threads)
        engine.put(pack(shapes, counts, edge, 1, self.folder), None)
        engine.put(engine.minimise().positions, None)
        sample = engine.advance(500)
        self.positions, self.velocities, self.edge = sample.positions, engine.velocities(), sample.edge

    def run_ours(self, platform: str, length: float) -> Spent:
        """Return the seconds of a stage of production by finales-md, with all it writes."""
        given = self._make_input(self.given.n_molecules, length)
        sizes = dict.fromkeys((IONS, ATOMS, LOG), 0)
        state = State("openmm", "production", 0, self.positions, self.velocities, self.edge, sizes)
        engine = OpenMMEngine(self.cell, given, self.edge, Ensemble(0.1, None, 2), platform, self.threads)
        engine.put(self.positions, self.velocities)
        engine.advance(5)
        stage = Dynamics(given.protocol, self.folder, state, engine, Progress(given.protocol, lambda _: None))
        watch = Stopwatch()
        stage.work(Clock())
        return watch.read()

    def run_bare(self, platform: str, length: float) -> Spent:
        """Return the seconds of the same in a script that writes nothing."""
        import openmm

        system = make_system(self.cell, self.edge, self._forces())
        integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 0.1, 0.002)
        properties = {"Threads": str(self.threads)} if platform == "CPU" else {"Precision": "mixed"}
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)
        context.setPositions(self.positions)
        context.setVelocities(self.velocities)
        integrator.step(5)
        context.getState(energy=True)
        watch = Stopwatch()
        integrator.step(round(length / 0.002))
        context.getState(energy=True)
        return watch.read()

    def _forces(self) -> ForceOptions:
        return ForceOptions(self.given.protocol.cutoff_nm, self.given.ion_charge_scale)

    def run_gromacs(self, length: float) -> Spent:
        """Return the seconds of the same in GROMACS, from and with the start of mdrun."""
        steps = round(length / 0.002)
        settings = write_settings(self.given, Ensemble(0.1, None, 2), steps, steps, has_velocities=True)
        (self.folder / "cell.top").write_text(write_topology(self.cell, self._forces()), encoding="utf-8")
        coordinates = write_coordinates(self.cell, self.positions, self.velocities, self.edge)
        (self.folder / "cell.gro").write_text(coordinates, encoding="utf-8")
        (self.folder / "run.mdp").write_text(settings, encoding="utf-8")
        gromacs.call("grompp -f run.mdp -c cell.gro -p cell.top -o run.tpr", self.folder)
        watch = Stopwatch()
        gromacs.simulate("-deffnm run", self.folder, self.threads, lambda: False)
        return watch.read()


if __name__ == "__main__":
    main()
