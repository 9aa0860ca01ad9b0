"""The clock of the simulated laboratory, which may run faster than the one on the wall."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from aiida_finales.exceptions import InputError


@dataclass(frozen=True)
class Clock:
    """How long things take.

    :param speed: 1 is real time, 60 makes a minute of a second; infinite: nothing is waited for.
    :raises InputError: when the speed is not positive.
    """

    speed: float = math.inf

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise InputError(f"the laboratory clock has a speed of {self.speed}, accepted is a number above 0")

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of the laboratory."""
        time.sleep(seconds / self.speed)
