"""Frames from classical cells of the mixture: ``finales-md`` simulates each, then all bonds are let go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiida_finales.md.cell import Cell
from aiida_finales.md.run import run_cell
from aiida_finales.potential.cell_folder import read_cell
from aiida_finales.potential.classical import Classical, plan
from aiida_finales.potential.dynamics import Evaluation, Langevin, Thermostat
from aiida_finales.potential.frames import TEMPERATURE, bonds_of, find_defect, need_ase, write_frames
from aiida_finales.potential.work import Work
from aiida_finales.schemas import Json

if TYPE_CHECKING:
    from ase import Atoms

#: fs and 1/ps, of the dynamics with flexible bonds
TIMESTEP, FRICTION = 0.5, 20.0
FRAMES = "frames.xyz"


class ClassicalSource:
    """The force field as a source of forces."""

    def __init__(self, classical: Classical) -> None:
        self.classical = classical

    def evaluate(self, frame: Atoms) -> Evaluation:
        """Return energy and forces of a frame."""
        return Evaluation(*self.classical.evaluate(frame.positions))


def sample(work: Work) -> Json:
    """Simulate the classical cells, and write ``frames.xyz``: of each cell its frames, in the order of time.

    :raises SimulationError: as ``finales-md`` does.
    """
    need_ase()
    given = work.given
    cell = plan(given)
    found, densities = [], []
    for number in range(given.sample.n_cells):
        folder = work.folder / f"cell_{number}"
        options = type(work.options)(True, _left(work), work.options.checkpoint, work.options.threads)
        run_cell(given.simulation(number), folder, given.library(), options, work.say)
        frames = read_cell(folder, cell)[: given.sample.n_frames]
        work.keep_spent()
        for index, frame in enumerate(frames):
            work.stop_in_time(number * len(frames) + index, given.sample.n_cells * len(frames), 1.0)
            work.tell(number * len(frames) + index, given.sample.n_cells * len(frames), "flexible bonds")
            _loosen(work, cell, frame, number * 100_000 + index)
            frame.info |= {"cell_index": number, "source": "finales-md", TEMPERATURE: given.temperature_K}
        found += frames
        densities.append(float(cell.density(frames[0].cell.volume * 1e-3)))
    bad = {index: defect for index, frame in enumerate(found) if (defect := find_defect(frame, bonds_of(cell)))}
    write_frames(work.folder / FRAMES, [frame for index, frame in enumerate(found) if index not in bad])
    return {"frames": len(found) - len(bad), "refused": bad, "densities_g_cm3": densities, "n_atoms": cell.n_atoms}


def _left(work: Work) -> float | None:
    if work.options.walltime is None:
        return None
    return max(1.0, work.options.walltime - (time.monotonic() - work.clock.started))


def _loosen(work: Work, cell: Cell, frame: Atoms, number: int) -> None:
    """Let a frame go on with flexible bonds."""
    given = work.given
    classical = Classical(cell, float(frame.cell[0, 0]), given.cutoff_nm, given.ion_charge_scale)
    thermostat = Thermostat(given.temperature_K, FRICTION, TIMESTEP, given.seed + number)
    langevin = Langevin(ClassicalSource(classical), frame, thermostat)
    for _ in range(max(1, round(given.sample.flexible_fs / TIMESTEP))):
        langevin.advance()
