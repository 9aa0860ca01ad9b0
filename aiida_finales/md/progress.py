"""How far a run is, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiida_finales.md.input import Protocol

#: s between two lines
PAUSE = 10.0
DYNAMICS = ("nvt", "npt", "settle", "production")


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
