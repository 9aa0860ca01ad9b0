"""One stage of a simulation, piece by piece, with checkpoints."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import WalltimeError
from aiida_finales.md.engine import Clock, Engine, Sample
from aiida_finales.md.input import Protocol
from aiida_finales.md.output import ATOMS, IONS, LOG, Log
from aiida_finales.md.progress import Progress
from aiida_finales.md.storage import GrowingFile, State


class Dynamics:
    """A stage from where a state stands to its end.

    :param state: is kept up to date.
    """

    def __init__(self, protocol: Protocol, folder: Path, state: State, engine: Engine, progress: Progress) -> None:
        self.protocol, self.folder, self.state, self.engine, self.progress = protocol, folder, state, engine, progress
        self.total = protocol.steps(getattr(protocol, f"{state.stage}_ps"))
        self.files: dict[str, GrowingFile] = {}
        self.before, self.began = state.seconds.get(state.stage, 0.0), time.monotonic()

    def work(self, clock: Clock) -> None:
        """Simulate.

        :raises WalltimeError: when the time is over before the end.
        :raises BlownUpError: when it is no liquid any more.
        """
        self.engine.put(self.state.positions, self.state.velocities)
        with ExitStack() as stack:
            for name, size in self.state.sizes.items():
                self.files[name] = stack.enter_context(closing(GrowingFile(self.folder / name, size)))
            self._work(clock)
        if self.state.step < self.total:
            why = "it was told to end" if clock.is_told else "the time is over"
            raise WalltimeError(
                f"{why} in {self.state.stage} at {self.state.step} of {self.total} steps; the checkpoint "
                f"is in {self.folder}: call again with --resume"
            )

    def _work(self, clock: Clock) -> None:
        state, frame = self.state, self.protocol.frame_steps
        unsaved, saved = None, self.began
        moment = time.monotonic()
        for samples in self.engine.simulate(self.total - state.step, frame, clock):
            before = state.step
            for unsaved in samples:
                state.step = min(state.step + frame, self.total)
                self._record(unsaved)
            now = time.monotonic()
            self.progress.tell(state.stage, state.step, self.total, state.step - before, now - moment)
            moment = now
            if unsaved is not None and now - saved > clock.pause:
                self._save(unsaved)
                unsaved, saved = None, now
        if unsaved is not None:
            self._save(unsaved)

    def _save(self, sample: Sample) -> None:
        state = self.state
        state.positions, state.edge, state.velocities = sample.positions, sample.edge, self.engine.velocities()
        state.sizes = {name: file.sync() for name, file in self.files.items()}
        state.seconds[state.stage] = self.before + time.monotonic() - self.began
        state.save(self.folder)

    def _record(self, sample: Sample) -> None:
        state, cell = self.state, self.engine.cell
        moment = state.step * self.protocol.timestep_fs / 1000.0
        line = Log(state.stage, moment, sample.temperature, cell.density(sample.edge**3), sample)
        self.files[LOG].append(line.row().encode())
        frame, rest = divmod(state.step, self.protocol.frame_steps)
        if state.stage != "production" or rest:
            return
        middle = np.average(sample.positions, axis=0, weights=cell.masses)
        ions = cell.centres(sample.positions)[cell.ions]
        self.files[IONS].append(np.vstack([middle, ions]).astype("<f8").tobytes())
        if frame % self.protocol.rdf_interval == 0:
            self.files[ATOMS].append(cell.wrap(sample.positions, sample.edge).astype("<f4").tobytes())
