"""One stage of a simulation, in pieces of one frame, with checkpoints."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import WalltimeError
from aiida_finales.md.engine import Engine, Sample
from aiida_finales.md.input import Protocol
from aiida_finales.md.output import ATOMS, IONS, LOG, Log, wrap
from aiida_finales.md.progress import Progress
from aiida_finales.md.storage import GrowingFile, State

#: pieces for which there must be time left
RESERVE = 1.5


@dataclass
class Clock:
    """When to stop.

    :param walltime: s from the start.
    """

    walltime: float | None
    started: float = field(default_factory=time.monotonic)
    is_told: bool = False

    def is_over(self, piece: float) -> bool:
        """Return whether the time does not suffice for a piece of so many seconds, or whether a signal said stop."""
        spent = time.monotonic() - self.started
        return self.is_told or (self.walltime is not None and spent + RESERVE * piece > self.walltime)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM, which a scheduler sends before it kills, for the end of the time."""
        before = signal.signal(signal.SIGTERM, lambda *_: setattr(self, "is_told", True))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


class Dynamics:
    """A stage from where a state stands to its end.

    :param state: is kept up to date.
    """

    def __init__(self, protocol: Protocol, folder: Path, state: State, engine: Engine, progress: Progress) -> None:
        self.protocol, self.folder, self.state, self.engine, self.progress = protocol, folder, state, engine, progress
        self.total = protocol.steps(getattr(protocol, f"{state.stage}_ps"))
        self.files: dict[str, GrowingFile] = {}
        self.before, self.began = state.seconds.get(state.stage, 0.0), time.monotonic()

    def work(self, clock: Clock, pause: float) -> None:
        """Simulate.

        :param pause: s between checkpoints.
        :raises WalltimeError: when the time is over before the end.
        :raises BlownUpError: when it is no liquid any more.
        """
        self.engine.put(self.state.positions, self.state.velocities)
        with ExitStack() as stack:
            for name, size in self.state.sizes.items():
                self.files[name] = stack.enter_context(closing(GrowingFile(self.folder / name, size)))
            self._work(clock, pause)

    def _work(self, clock: Clock, pause: float) -> None:
        state, saved = self.state, self.began
        while state.step < self.total:
            moment = time.monotonic()
            steps = min(self.protocol.frame_steps, self.total - state.step)
            sample = self.engine.advance(steps)
            state.step += steps
            self._record(sample)
            now = time.monotonic()
            self.progress.tell(state.stage, state.step, self.total, steps, now - moment)
            is_over = state.step < self.total and clock.is_over(now - moment)
            if is_over or state.step == self.total or now - saved > pause:
                self._save(sample)
                saved = now
            if is_over:
                raise WalltimeError(
                    f"the time is over in {state.stage} at {state.step} of {self.total} steps; the checkpoint is in "
                    f"{self.folder}: call again with --resume"
                )

    def _save(self, sample: Sample) -> None:
        state = self.state
        state.positions, state.edge, state.velocities = sample.positions, sample.edge, self.engine.velocities()
        state.sizes = {name: file.sync() for name, file in self.files.items()}
        state.seconds[state.stage] = self.before + time.monotonic() - self.began
        state.save(self.folder)

    def _record(self, sample: Sample) -> None:
        state, cell = self.state, self.engine.cell
        moment = state.step * self.protocol.timestep_fs / 1000.0
        line = Log(state.stage, moment, self.engine.temperature(sample), cell.density(sample.edge**3), sample)
        self.files[LOG].append(line.row().encode())
        frame, rest = divmod(state.step, self.protocol.frame_steps)
        if state.stage != "production" or rest:
            return
        middle = np.average(sample.positions, axis=0, weights=cell.masses)
        ions = cell.centres(sample.positions)[cell.ions]
        self.files[IONS].append(np.vstack([middle, ions]).astype("<f8").tobytes())
        if frame % self.protocol.rdf_interval == 0:
            self.files[ATOMS].append(wrap(cell, sample.positions, sample.edge).astype("<f4").tobytes())
