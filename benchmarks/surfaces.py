"""Conductivity surfaces on which the optimiser is measured, written down once more here so that it is measured alone.

LiPF6 in EC:EMC at 28 °C in the form of Casteel and Amis, fitted to Landesfeind and Gasteiger (J. Electrochem. Soc. 166
(2019) A3079, doi:10.1149/2.0571912jes) and to points of the Advanced Electrolyte Model (Dave et al. 2022); a factor for
DMC fitted to the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

#: kg/mol of EC, EMC, DMC
MASSES = np.array([0.08806, 0.10410, 0.09008])


@dataclass(frozen=True)
class Source:
    """A way to measure: limits (lower, upper) per component, relative noise, and a factor that depends on x."""

    limits: tuple[tuple[float, float], ...]
    noise: float
    factor: Callable[[Array], Array] = field(default=lambda x: np.ones(len(x)))


@dataclass(frozen=True)
class Surface:
    """A property over compositions (n x d, mole fractions) and the sources that measure it."""

    components: tuple[str, ...]
    truth: Callable[[Array], Array]
    sources: dict[str, Source]

    def measure(self, x: Array, source: str, rng: np.random.Generator) -> Array:
        """Return noisy, biased values (n) at compositions (n x d)."""
        device = self.sources[source]
        return self.truth(x) * device.factor(x) * (1 + device.noise * rng.standard_normal(len(x)))

    def draw(self, source: str, n: int, rng: np.random.Generator) -> Array:
        """Return n uniform compositions (n x d) within the limits of a source, by rejection."""
        lower, upper = np.array(self.sources[source].limits).T
        found = np.empty((0, len(lower)))
        while len(found) < n:
            drawn = lower + (1 - lower.sum()) * rng.dirichlet(np.ones(len(lower)), 64 * n)
            found = np.vstack([found, drawn[(drawn <= upper).all(axis=1)]])
        return found[:n]

    @cached_property
    def optimum(self) -> float:
        """Return the largest true value within the limits of the source ``exp``."""
        limits = self.sources["exp"].limits
        starts = self.draw("exp", 20_000, np.random.default_rng(1))
        starts = starts[np.argsort(-self.truth(starts))[:5]]
        total = {"type": "eq", "fun": lambda x: x.sum() - 1}
        values = [
            minimize(lambda x: -self.truth(x[None])[0], x, bounds=limits, constraints=[total], tol=1e-12)
            for x in starts
        ]
        return max(-float(value.fun) for value in values if value.success)


def conductivity(x: Array) -> Array:
    """Return S/m (n) at mole fractions of LiPF6, EC, EMC and, if given, DMC (n x 3 or n x 4)."""
    mass = x[:, 1:] * MASSES[: x.shape[1] - 1]
    molality = np.maximum(x[:, 0] / np.maximum(mass.sum(axis=1), 1e-9), 1e-9)
    ec = x[:, 1] / np.maximum(x[:, 1:].sum(axis=1), 1e-9)
    highest = 6.193 + 16.4409 * ec - 17.5537 * ec**2
    place = 1.8715 - 3.7295 * ec + 3.5956 * ec**2
    power = 0.9074 - 0.2987 * ec
    decay = np.minimum(-0.3719 + 0.5874 * ec, -0.03)
    shape = (molality / place) ** power * np.exp(decay * (molality - place) ** 2 - power * (molality - place) / place)
    if x.shape[1] == 3:
        return np.asarray(highest * shape / 10)
    dmc = mass[:, 2] / np.maximum(mass[:, 1] + mass[:, 2], 1e-12)
    return np.asarray(highest * shape / 10 * (1 + dmc * (0.0303 + 0.1543 * np.minimum(molality, 2) + 0.1554 * dmc)))


#: Limits of the robot of the published campaign, and of a simulation that can do nearly everything.
ROBOT = ((0.0, 0.12), (0.0, 0.54), (0.4, 1.0))
SIMULATION = ((0.0, 0.3), (0.0, 1.0), (0.0, 1.0))
EXPERIMENT = Source(ROBOT, 0.02)

TERNARY = ("LiPF6", "EC", "EMC")
ONE_SOURCE = Surface(TERNARY, conductivity, {"exp": EXPERIMENT})
FOUR_COMPONENTS = Surface(
    (*TERNARY, "DMC"), conductivity, {"exp": Source(((0.0, 0.15), (0.0, 0.6), (0.0, 1.0), (0.0, 1.0)), 0.02)}
)
TWO_SOURCES = Surface(
    TERNARY, conductivity, {"exp": EXPERIMENT, "sim": Source(SIMULATION, 0.08, lambda x: np.full(len(x), 1.2))}
)
COMPOSITION_BIAS = Surface(
    TERNARY, conductivity, {"exp": EXPERIMENT, "sim": Source(SIMULATION, 0.08, lambda x: 0.8 * (1 + 0.3 * x[:, 1]))}
)
