"""One stage of a simulation, piece by piece, with checkpoints; on standard error how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import WalltimeError
from aiida_finales.md.engine import Clock, Engine, Sample
from aiida_finales.md.input import Protocol
from aiida_finales.md.output import ATOMS, IONS, LOG, SOLVENTS, STRESS, Log
from aiida_finales.md.storage import GrowingFile, State

#: s between two lines
PAUSE = 10.0
DYNAMICS = ("nvt", "npt", "settle", "production")


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
        if sample.stress is not None and STRESS in self.files:
            self.files[STRESS].append(sample.stress.astype("<f4").tobytes())
        frame, rest = divmod(state.step, self.protocol.frame_steps)
        if state.stage != "production" or rest:
            return
        middle = np.average(sample.positions, axis=0, weights=cell.masses)
        centres = cell.centres(sample.positions)
        self.files[IONS].append(np.vstack([middle, centres[cell.ions]]).astype("<f8").tobytes())
        if SOLVENTS in self.files:  # not in a run that an older version began
            self.files[SOLVENTS].append(centres[cell.solvents].astype("<f8").tobytes())
        if frame % self.protocol.rdf_interval == 0:
            self.files[ATOMS].append(cell.wrap(sample.positions, sample.edge).astype("<f4").tobytes())


class Progress:
    """Tells stage, speed and time left, now and then.

    :param say: takes a line.
    """

    def __init__(self, protocol: Protocol, say: Callable[[str], None]) -> None:
        self.protocol, self.say = protocol, say
        self.told = 0.0
        self.steps, self.seconds = 0, 0.0

    def tell(self, stage: str, step: int, total: int, steps: int, seconds: float) -> None:
        """Take note of a piece of simulation.

        :param step: steps of the stage that are done, of ``total``.
        :param steps: in this piece.
        :param seconds: this piece took.
        """
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        now = time.monotonic()
        if step < total and now - self.told < PAUSE:
            return
        self.told = now
        speed = self.steps / self.seconds
        later = DYNAMICS[DYNAMICS.index(stage) + 1 :]
        left = total - step + sum(self.protocol.steps(getattr(self.protocol, f"{name}_ps")) for name in later)
        per_day = speed * self.protocol.timestep_fs * 1e-6 * 86400
        moment = step * self.protocol.timestep_fs / 1000.0
        whole = total * self.protocol.timestep_fs / 1000.0
        self.say(f"{stage} {moment:g} of {whole:g} ps, {per_day:.1f} ns/day, {_words(left / speed)} left")


def _words(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
