"""Molecular dynamics by GROMACS: mdrun simulates pieces of a stage, each from where the last one ended.

A piece begins from positions and velocities alone, as a resumed run does: thermostat and barostat have no memory.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import MissingExtraError, SimulationError
from aiida_finales.md import gromacs
from aiida_finales.md.cell import Cell
from aiida_finales.md.engine import Clock, Ensemble, Sample, check_sample
from aiida_finales.md.forces import ForceOptions
from aiida_finales.md.gromacs_files import write_coordinates, write_settings, write_topology
from aiida_finales.md.input import SimulationInput
from aiida_finales.md.storage import writing
from aiida_finales.science import Array

#: of the output folder; where GROMACS works
FOLDER = "gromacs"
#: a piece takes this part of the time between two checkpoints
PIECE = 0.5
#: a piece has at most so many times the frames of the one before
GROWTH = 4
#: s that mdrun takes to end when it is told to, and its frames to be read
LAST_SECONDS = 3.0
#: columns of the table of energies: time, potential, kinetic, temperature
ENERGIES = "Potential\nKinetic-En.\nTemperature\n\n"


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
        for moment in _read_frames(self.folder / "piece.trr"):
            if moment.step == 0 or moment.step % frame:
                continue
            self._follow(moment)
            time_ps = moment.step * self.given.protocol.timestep_fs / 1000.0
            _, potential, kinetic, temperature = energies[np.abs(energies[:, 0] - time_ps).argmin()].tolist()
            sample = Sample(self.positions, self.edge, potential, kinetic, temperature)
            check_sample(sample, self.cell, self.given)
            yield sample

    def _follow(self, moment: Any) -> None:
        """Take the positions of a frame, which are within the box, as near to those before as periods allow."""
        edge = float(moment.box[0, 0])
        inside = moment.x.astype(float)
        expected = self.positions * (edge / self.edge)
        self.positions = inside + edge * np.round((expected - inside) / edge)
        self.speeds, self.edge = moment.v.astype(float), edge

    def _read_energies(self) -> Array:
        gromacs.call("energy -f piece.edr -o energies.xvg -xvg none -dp", self.folder, ENERGIES)
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
