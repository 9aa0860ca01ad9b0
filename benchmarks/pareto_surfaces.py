"""Density and viscosity of LiPF6 in EC, EMC and DMC within what four stock solutions can be mixed to, and conductivity.

Density (g/cm3, 298 K): partial molar volumes fitted to 14 measured stock solutions and two pure liquids, rms 0.25 %.
Viscosity (mPa s, 298 K): mixing of logarithms of the pure liquids; the salt terms are of a plausible size and *not
fitted to any measurement*. Conductivity (S/m): the surface of :mod:`surfaces`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from surfaces import conductivity

from aiida_finales.optimisation.hypervolume import dominated_volume, is_on_front

Array = npt.NDArray[np.float64]

#: g/mol of LiPF6, EC, EMC, DMC
MASSES = np.array([151.905, 88.06, 104.10, 90.08])
#: cm3/mol of EC, EMC, DMC; of LiPF6, and with EC
VOLUMES, SALT_VOLUME, WITH_EC = np.array([64.907, 103.252, 85.007]), 50.986, 15.641
#: mPa s of the pure solvents at 298 K (EC extrapolated: it is solid)
PURE = np.array([2.50, 0.65, 0.585])


def split(x: Array) -> tuple[Array, Array]:
    """Return molality (n, mol per kg solvent) and mass fractions of the solvents (n x 3) of mole fractions (n x 4)."""
    kilograms = np.maximum((x[:, 1:] * MASSES[1:]).sum(axis=1) / 1000, 1e-9)
    return x[:, 0] / kilograms, x[:, 1:] * MASSES[1:] / 1000 / kilograms[:, None]


def density(x: Array) -> Array:
    """Return g/cm3 (n)."""
    molality, shares = split(x)
    volume = SALT_VOLUME * molality + 1000 * shares @ (VOLUMES / MASSES[1:]) + WITH_EC * molality * shares[:, 0]
    return np.asarray((1000 + molality * MASSES[0]) / volume)


def viscosity(x: Array) -> Array:
    """Return mPa s (n)."""
    molality, shares = split(x)
    amounts = shares / MASSES[1:]
    pure = amounts / amounts.sum(axis=1, keepdims=True) @ np.log(PURE)
    return np.asarray(np.exp(pure + (0.70 + shares[:, 0]) * molality + 0.10 * molality**2))


def _of_solvent(molality: float, *parts: float) -> Array:
    """Return mole fractions of a solution in EC, EMC, DMC (parts by mass)."""
    amounts = np.array([molality, *(np.array(parts) / sum(parts) * 1000 / MASSES[1:])])
    return np.asarray(amounts / amounts.sum())


def _of_litre(molarity: float, *parts: float) -> Array:
    """Return the same for mol LiPF6 per litre of solution."""
    molality = molarity
    for _ in range(60):
        x = _of_solvent(molality, *parts)
        molality = molarity * (1 + molality * MASSES[0] / 1000) / float(density(x[None])[0])
    return x


#: Stock solutions of the published Demonstration 1; what can be mixed is their hull, a tetrahedron.
STOCKS = np.array(
    [_of_litre(1.0, 0.3, 0.7, 0), _of_litre(1.0, 0.5, 0, 0.5), _of_solvent(0, 0.3, 0.7, 0), _of_solvent(0, 0, 0, 1.0)]
)


def draw_weights(n: int, rng: np.random.Generator) -> Array:
    """Return uniform shares of the stocks (n x 4)."""
    return np.asarray(rng.dirichlet(np.ones(len(STOCKS)), n))


@dataclass(frozen=True)
class Wanted:
    """One objective: a property, +1 where more is better, the worst value that counts, noise and bias of the sources.

    :param noise: relative, of the experiment and of the cheap source.
    :param bias: factor of the cheap source, at compositions (n x 4).
    """

    name: str
    truth: Callable[[Array], Array]
    sign: float
    reference: float
    noise: tuple[float, float]
    bias: Callable[[Array], Array]


@dataclass(frozen=True)
class Case:
    """Two objectives."""

    objectives: tuple[Wanted, ...]

    def truth(self, x: Array) -> Array:
        """Return the true values (n x m) at compositions (n x 4)."""
        return np.stack([item.truth(x) for item in self.objectives], axis=1)

    def measure(self, x: Array, source: str, rng: np.random.Generator) -> Array:
        """Return noisy, and for the source ``sim`` biased, values (n x m)."""
        number = ("exp", "sim").index(source)
        columns = [
            item.truth(x) * (item.bias(x) if number else 1.0) * (1 + item.noise[number] * rng.standard_normal(len(x)))
            for item in self.objectives
        ]
        return np.stack(columns, axis=1)

    def volume(self, x: Array) -> float:
        """Return the volume that the true values at compositions dominate, in units of the best single values."""
        signs, references = (
            np.array([getattr(item, key) for item in self.objectives]) for key in ("sign", "reference")
        )
        over = (self.truth(x) - references) * signs / self._best
        return dominated_volume(over[is_on_front(over)])

    @cached_property
    def _dense(self) -> Array:
        rng = np.random.default_rng(0)
        weights = [rng.dirichlet(np.full(4, shape), 20_000) for shape in (1.0, 0.3, 0.1)]
        t = np.linspace(0, 1, 4001)[:, None]
        weights += [t * np.eye(4)[i] + (1 - t) * np.eye(4)[j] for i in range(4) for j in range(i)]
        return np.asarray(np.vstack(weights) @ STOCKS)

    @cached_property
    def _best(self) -> Array:
        values = self.truth(self._dense)
        return np.array([((values[:, k] - o.reference) * o.sign).max() for k, o in enumerate(self.objectives)])

    @cached_property
    def largest(self) -> float:
        """Return the largest volume in the whole space: of a dense sample with all edges."""
        return self.volume(self._dense)


DENSITY = Wanted("density", density, 1.0, 1.05, (0.002, 0.005), lambda x: np.full(len(x), 0.97))
VISCOSITY = Wanted("viscosity", viscosity, -1.0, 4.0, (0.02, 0.05), lambda x: 1.5 * (1 + 0.5 * split(x)[1][:, 0]))
CONDUCTIVITY = Wanted("conductivity", conductivity, 1.0, 0.0, (0.02, 0.05), lambda x: np.full(len(x), 0.7))
CASES = {
    # the text of the published report; its table has both the other way round
    "dense-thin": Case((DENSITY, VISCOSITY)),
    "light-thick": Case((Wanted("density", density, -1.0, 1.32, DENSITY.noise, DENSITY.bias),
                         Wanted("viscosity", viscosity, 1.0, 0.5, VISCOSITY.noise, VISCOSITY.bias))),
    "conductive-thin": Case((CONDUCTIVITY, VISCOSITY)),
}  # fmt: skip
