"""Viscosity of LiPF6 in carbonates: the truth of the simulated laboratory, and how little it rests on.

``ln eta = sum x_i ln eta_i + B m + D m^2`` with mole fractions x_i of the solvents, and m in mol/kg of solvent. The
pure liquids are from tables (K. Xu, Chem. Rev. 104 (2004) 4303, doi:10.1021/cr030203g): EMC 0.65 and DMC 0.585 mPa s at
298 K, EC 1.90 mPa s at 313 K; EC at 298 K, where it is solid, is extrapolated. **B, D and the activation energies are
fitted to nothing.** They put 1 mol/L LiPF6 in EC:EMC 3:7, EC:DMC 1:1 and DMC at 2.9, 3.8 and 1.3 mPa s at 298 K, sizes
that are commonly quoted; no measured viscosity of a solution was at hand. Good to rehearse a campaign with, and to
compare optimisers; it predicts nothing.
"""

from __future__ import annotations

import math

from aiida_finales.exceptions import InputError
from aiida_finales.science.electrolyte.composition import DMC, EC, EMC, LIPF6, Fractions, describe, mass
from aiida_finales.science.electrolyte.density import SURFACE_LIMITS, SURFACE_TEMPERATURE, Trust

#: J/(mol K)
_GAS_CONSTANT = 8.314462618
#: mPa s at 298.15 K, and activation energy in J/mol
_PURE = {EC: (2.50, 14.2e3), EMC: (0.65, 9.8e3), DMC: (0.585, 9.3e3)}
#: kg/mol: of the salt, and in addition in a solvent that is all EC (by mass); kg2/mol2; K
_SALT, _SALT_EC, _SALT_SQUARED, _SALT_TEMPERATURE = 0.70, 1.0, 0.10, 900.0
#: what the reading of a rating should know
NOT_MEASURED = "no viscosity of a solution was measured for it: the part of the salt is a guess"


def benchmark_viscosity(fractions: Fractions, temperature: float = SURFACE_TEMPERATURE) -> float:
    """Return the dynamic viscosity in mPa s that the simulated laboratory takes for the truth.

    :param fractions: mole fractions of LiPF6, EC, EMC and DMC by InChIKey.
    :param temperature: K.
    :raises InputError: when there is no solvent, or a chemical that the surface does not know.
    """
    SURFACE_LIMITS.demand_components(fractions)
    solvent = mass(fractions, _PURE)
    if solvent <= 0:
        raise InputError(f"{describe(fractions)} has no solvent, but the viscosity surface needs one")
    moles = sum(fractions.get(key, 0.0) for key in _PURE)
    inverse = 1 / temperature - 1 / SURFACE_TEMPERATURE
    pure = sum(
        fractions.get(key, 0.0) / moles * (math.log(eta) + energy / _GAS_CONSTANT * inverse)
        for key, (eta, energy) in _PURE.items()
    )
    molality, share = 1000.0 * fractions.get(LIPF6, 0.0) / solvent, mass(fractions, (EC,)) / solvent
    salt = (_SALT + _SALT_EC * share) * molality + _SALT_SQUARED * molality**2
    return math.exp(pure + salt * (1 + _SALT_TEMPERATURE * inverse))


def rate_viscosity(fractions: Fractions, temperature: float) -> Trust:
    """Return how far :func:`benchmark_viscosity` can be trusted: 3 at most, 2 outside of its range.

    :param temperature: K.
    """
    outside = SURFACE_LIMITS.find_refusal(fractions, temperature)
    return Trust(3, NOT_MEASURED) if outside is None else Trust(2, outside)
