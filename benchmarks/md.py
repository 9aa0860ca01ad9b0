"""Simulated time per day: finales-md, a bare OpenMM script and GROMACS on the same box, turn by turn.

The box is that of the published protocol: some 1 mol/L LiPF6 in EC and EMC at constant volume. All programs have the
same number of threads, forces, constraints and time step; only finales-md writes a log, frames and checkpoints. The
best turn of each counts: others have been held up by something else on the computer.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.md.cell import plan_cell
from aiida_finales.md.dynamics import Clock, Dynamics
from aiida_finales.md.engine import Engine, Ensemble, choose_platform
from aiida_finales.md.forces import ForceOptions, make_system, make_topology
from aiida_finales.md.input import SimulationInput, check_input
from aiida_finales.md.molecules import shape
from aiida_finales.md.output import ATOMS, IONS, LOG
from aiida_finales.md.packing import pack
from aiida_finales.md.progress import Progress
from aiida_finales.md.species import Library
from aiida_finales.md.storage import State

CASE = "ec-emc-lipf6"
FORMULATION = {"C1COC(=O)O1": 68 / 222, "CCOC(=O)OC": 134 / 222, "[Li+].F[P-](F)(F)(F)(F)F": 20 / 222}
#: formula units, ps per turn and turns
FULL, QUICK = (222, 4.0, 5), (60, 1.0, 6)
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
    """Print the figures of one platform: the programs take turns, the best of each counts."""
    programs = {"finales-md": lambda: box.run_ours(platform, length), "openmm": lambda: box.run_bare(platform, length)}
    if platform == "CPU" and shutil.which("gmx"):
        programs["gromacs"] = lambda: box.run_gromacs(length)
    speeds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(turns):
        for name, run in programs.items():
            speeds[name].append(length / run() * NS_PER_DAY)
    best = {name: max(found) for name, found in speeds.items()}
    print_row("md", case, "ratio_to_bare_openmm", round(best["finales-md"] / best["openmm"], 3), "1")
    print_row("md", case, "ns_per_day", round(best["finales-md"], 2), "ns/day")
    print_row("md", case, "bare_openmm_ns_per_day", round(best["openmm"], 2), "ns/day")
    if "gromacs" in best:
        print_row("md", case, "gromacs_ns_per_day", round(best["gromacs"], 2), "ns/day")
    print_row("md", case, "atoms", box.cell.n_atoms, "1")


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
        engine = Engine(self.cell, self.given, edge, Ensemble(1.0, 1.0, 1), "CPU", self.threads)
        engine.put(pack(shapes, counts, edge, 1, self.folder), None)
        engine.put(engine.minimise().positions, None)
        sample = engine.advance(500)
        self.positions, self.velocities, self.edge = sample.positions, engine.velocities(), sample.edge

    def run_ours(self, platform: str, length: float) -> float:
        """Return the seconds of a stage of production by finales-md, with all it writes."""
        given = self._make_input(self.given.n_molecules, length)
        sizes = dict.fromkeys((IONS, ATOMS, LOG), 0)
        state = State("production", 0, self.positions, self.velocities, self.edge, sizes)
        engine = Engine(self.cell, given, self.edge, Ensemble(0.1, None, 2), platform, self.threads)
        engine.put(self.positions, self.velocities)
        engine.advance(5)
        stage = Dynamics(given.protocol, self.folder, state, engine, Progress(given.protocol, lambda _: None))
        began = time.perf_counter()
        stage.work(Clock(None), 60.0)
        return time.perf_counter() - began

    def run_bare(self, platform: str, length: float) -> float:
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
        began = time.perf_counter()
        integrator.step(round(length / 0.002))
        context.getState(energy=True)
        return time.perf_counter() - began

    def _forces(self) -> ForceOptions:
        return ForceOptions(self.given.protocol.cutoff_nm, self.given.ion_charge_scale)

    def run_gromacs(self, length: float) -> float:
        """Return the seconds of the same in GROMACS."""
        if not (self.folder / "cell.top").exists():
            self._export()
        cutoff, steps = self.given.protocol.cutoff_nm, round(length / 0.002)
        options = {"integrator": "sd", "nsteps": steps, "dt": 0.002, "tc-grps": "System", "tau-t": 10.0}
        options |= {"ref-t": TEMPERATURE, "coulombtype": "PME", "rcoulomb": cutoff, "rvdw": cutoff}
        options |= {"constraints": "h-bonds", "DispCorr": "EnerPres", "nstenergy": 500, "gen-vel": "yes"}
        (self.folder / "run.mdp").write_text("".join(f"{key} = {value}\n" for key, value in options.items()))
        self._call("grompp -f run.mdp -c cell.gro -p cell.top -o run.tpr -maxwarn 5")
        self._call(f"mdrun -s run.tpr -nt {self.threads} -pin off -g run.log")
        return float((self.folder / "run.log").read_text().split("Time:")[1].split()[1])

    def _export(self) -> None:
        import parmed
        from openmm import unit

        system = make_system(self.cell, self.edge, ForceOptions(1.0, 0.8, has_constraints=False))
        topology = make_topology(self.cell, self.edge)
        structure = parmed.openmm.load_topology(topology, system, self.positions * unit.nanometer)
        structure.box = [self.edge * 10] * 3 + [90.0] * 3
        structure.save(str(self.folder / "cell.top"))
        structure.save(str(self.folder / "cell.gro"), precision=6)

    def _call(self, words: str) -> None:
        subprocess.run(["gmx", *words.split()], cwd=self.folder, check=True, capture_output=True)


if __name__ == "__main__":
    main()
