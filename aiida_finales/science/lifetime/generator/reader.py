"""What one set of numbers of the first cycles tells of a cell, and how wrong it was on cells left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.learners import Process
from aiida_finales.science.lifetime.generator.reach import FAR, UNSURE
from aiida_finales.science.lifetime.generator.regime import Calibration, find_calibration, hold

#: the regimes of cells like those learned from
KNOWN = ("known_protocol", "known_family", "new_protocol")


@dataclass(frozen=True)
class Reader:
    """What one set of numbers of the first cycles tells.

    :param window: first cycles that it needs.
    :param names: of the numbers; :param mean: of them; :param scale: their standard deviations.
    :param low: least of each among the cells learned from; :param high: largest.
    :param has_design: whether the design of the cell is read as well.
    :param calibrations: by how cells were left out; where protocols were, also by kind of cells.
    """

    window: int
    names: tuple[str, ...]
    mean: Array
    scale: Array
    low: Array
    high: Array
    has_design: bool
    process: Process
    calibrations: Mapping[str, Calibration]
    errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in figures."""
        return f"{self.window} cycles, {', '.join(self.names)}{', design' if self.has_design else ''}"

    def bounds(self, regime: str, kind: str, coverage: float, *, is_doubtful: bool = False) -> tuple[float, float]:
        """Return what is added to the logarithm for the ends of an interval: of strange cells it is never narrower.

        :param kind: of the nearest cell.
        """
        is_known = regime in KNOWN and not is_doubtful
        ends = [
            find_calibration(self.calibrations, split, kind).bounds(coverage)
            for split in (("protocol",) if is_known else ("protocol", "laboratory"))
        ]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def logs(self, early: Array, design: Array) -> Array:
        """Return logarithms of the cycle, shape ``(n, 40)``.

        :param early: shape ``(n, k)``; :param design: points of the encoder, shape ``(n, m)``.
        """
        return hold(self.process.say(join_points(early, design, (self.mean, self.scale), has_design=self.has_design)))

    def check(self, early: Mapping[str, float]) -> list[str]:
        """Return in words which numbers are outside of those learned from.

        :raises InputError: when one is far outside; naming the first.
        """
        doubts = []
        for name, low, high, scale in zip(self.names, self.low, self.high, self.scale, strict=True):
            beyond = max(low - early[name], early[name] - high) / scale
            if not beyond <= FAR:
                raise InputError(
                    f"{name} of the first {self.window} cycles is {early[name]:.4g}, accepted is "
                    f"{low - FAR * scale:.4g} to {high + FAR * scale:.4g}: cells learned from have {low:.4g} to "
                    f"{high:.4g}. Are capacities in Ah, and those of discharges at one rate?"
                )
            if beyond > UNSURE:
                doubts.append(
                    f"{name} of the first {self.window} cycles is {early[name]:.4g}, but cells learned from have "
                    f"{low:.4g} to {high:.4g}"
                )
        return doubts


def join_points(early: Array, design: Array, scaling: tuple[Array, Array], *, has_design: bool) -> Array:
    """Return the points of a process, shape ``(n, k)`` or ``(n, k + m)``.

    :param early: numbers of the first cycles, shape ``(n, k)``; :param design: points of the encoder, shape ``(n, m)``.
    :param scaling: mean and scale of the former.
    """
    own = (early - scaling[0]) / scaling[1]
    return np.column_stack([own, design]) if has_design else own
