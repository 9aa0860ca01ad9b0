"""Density of LiPF6 in carbonates: two models, and with the first the salt concentration in mol/L.

For conversions: ideal mixing of molar volumes, ``rho = sum(x_i M_i) / sum(x_i V_i)``. The volumes of LiPF6, EC and EMC
are fitted to the measured densities of four stock solutions (LiPF6 up to 1.5 mol/L) at 299.8 K with a residual of
0.4 %. The volume of PC is its molar mass over the handbook density of the pure liquid at 298.15 K, 1.197 g/cm3 (other
tables: up to 1.200); so is that of DMC, 1.063 g/cm3. Thermal expansion (about 0.1 % per K) is left out on purpose:
concentrations here are those at which a solution is prepared, at room temperature.

For the simulated laboratory: :func:`benchmark_density`, with a volume of the salt that depends on the solvent. Its
docstring says for which mixtures somebody measured, and :func:`rate_density` how far it is from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import chemical_label, get_chemical
from aiida_finales.science.electrolyte.composition import DMC, EC, EMC, LIPF6, PC, Fractions, describe, mass
from aiida_finales.science.electrolyte.validity import Ratio, Validity

#: cm3/mol at 299.8 K
MOLAR_VOLUMES = {LIPF6: 51.81, EC: 65.22, EMC: 103.2, PC: 85.3, DMC: 84.74}


def molar_volume(fractions: Fractions) -> float:
    """Return the volume in cm3 of one mole of mixture at 299.8 K.

    :raises InputError: when a component has no molar volume here.
    """
    unknown = [chemical_label(key) for key, value in fractions.items() if value and key not in MOLAR_VOLUMES]
    if unknown:
        known = ", ".join(chemical_label(key) for key in MOLAR_VOLUMES)
        raise InputError(f"no molar volume for {', '.join(unknown)} in {describe(fractions)}; known are {known}")
    return sum(value * MOLAR_VOLUMES[key] for key, value in fractions.items() if value)


def density(fractions: Fractions) -> float:
    """Return the density in g/cm3 at 299.8 K; valid for LiPF6 up to 1.6 mol/L, where it is good to 0.4 %.

    :raises InputError: when a component has no molar volume here.
    """
    return mass(fractions) / molar_volume(fractions)


def salt_concentration(fractions: Fractions) -> float:
    """Return mol of LiPF6 per litre of solution at 299.8 K.

    :raises InputError: when a component has no molar volume here.
    """
    return 1000.0 * fractions.get(LIPF6, 0.0) / molar_volume(fractions)


def fractions_from_concentration(concentration: float, solvent_masses: Fractions) -> dict[str, float]:
    """Return the mole fractions of a solution with a given LiPF6 concentration.

    :param concentration: mol/L at 299.8 K, from 0 to below that of the pure salt.
    :param solvent_masses: mass of each solvent by InChIKey, in any one unit of mass.
    :raises InputError: when no mixture has that concentration.
    """
    moles = {key: part / mass({key: 1.0}) for key, part in solvent_masses.items()}
    total = sum(moles.values())
    volume = molar_volume({key: part / total for key, part in moles.items()})
    # c = 1000 x / (x V_salt + (1 - x) V_solvent), solved for x
    salt = concentration * volume / (1000.0 - concentration * (MOLAR_VOLUMES[LIPF6] - volume))
    if not 0 <= salt < 1:
        limit = 1000.0 / MOLAR_VOLUMES[LIPF6]
        raise InputError(f"{concentration} mol/L of LiPF6 was asked for, accepted is 0 to below {limit:.1f} mol/L")
    return {LIPF6: salt} | {key: (1 - salt) * part / total for key, part in moles.items()}


#: K near which the densities were measured that the surface is fitted to
SURFACE_TEMPERATURE = 298.15
#: cm3 per mol of LiPF6, and what is added to it in a solvent that is all EC (by mass)
_SALT_VOLUME, _SALT_EC_VOLUME = 50.986, 15.641
#: cm3/mol
_SOLVENT_VOLUMES = {EC: 64.907, EMC: 103.252, DMC: 85.007}
#: 1/K
_EXPANSION = 1.05e-3


def benchmark_density(fractions: Fractions, temperature: float = SURFACE_TEMPERATURE) -> float:
    """Return the density in g/cm3 that the simulated laboratory takes for the truth.

    Fitted for this project to 14 measured stock solutions, with the largest error 0.48 %: ten of Dave et al., Nat.
    Commun. 13 (2022) 5454, doi:10.1038/s41467-022-32938-1, near room temperature, and four of the published ASAB robot
    (BIG-MAP/FINALES_ASAB_tenant) at 299.8 K. They are EC/EMC (0 to 50 % EC by mass) with up to 1.6 mol/kg LiPF6, and
    EC/DMC (30 to 50 % EC) with 0, 1.5 and 2 mol/kg. Nobody measured a mixture of EMC *and* DMC, nor a salt in DMC
    alone: there it is interpolated. The thermal expansion, 0.105 % per K, is of the usual size, and not fitted.

    :param fractions: mole fractions of LiPF6, EC, EMC and DMC by InChIKey.
    :param temperature: K.
    :raises InputError: when there is no solvent, or a chemical that the surface does not know.
    """
    SURFACE_LIMITS.demand_components(fractions)
    solvent = mass(fractions, _SOLVENT_VOLUMES)
    if solvent <= 0:
        raise InputError(f"{describe(fractions)} has no solvent, but the density surface needs one")
    share = mass(fractions, (EC,)) / solvent
    volume = sum(fractions.get(key, 0.0) * each for key, each in _SOLVENT_VOLUMES.items())
    volume += fractions.get(LIPF6, 0.0) * (_SALT_VOLUME + _SALT_EC_VOLUME * share)
    return mass(fractions) / volume * (1 - _EXPANSION * (temperature - SURFACE_TEMPERATURE))


def _share(key: str, solvents: tuple[str, ...], low: float, high: float) -> Ratio:
    label = f"the mass share of {chemical_label(key)} in the solvent"
    weights = {name: get_chemical(name).molar_mass for name in solvents}
    return Ratio(label, "", {key: weights[key]}, weights, low, high)


def _molality(solvents: tuple[str, ...], high: float) -> Ratio:
    weights = {name: get_chemical(name).molar_mass for name in solvents}
    return Ratio("the molality", " mol/kg", {LIPF6: 1000.0}, weights, 0.0, high)


_ALL = (EC, EMC, DMC)
#: Where the surfaces of density and viscosity are meant for; outside of it they are an extrapolation.
SURFACE_LIMITS = Validity(
    "the surface", (LIPF6, *_ALL), (263.15, 334.15), (_molality(_ALL, 2.1), _share(EC, _ALL, 0.0, 0.52))
)
#: Where densities were measured.
MEASURED_DENSITIES = (
    Validity(
        "the densities of EC/EMC",
        (LIPF6, EC, EMC),
        (293.15, 303.15),
        (_molality((EC, EMC), 1.61), _share(EC, (EC, EMC), 0.0, 0.5)),
    ),
    Validity(
        "the densities of EC/DMC",
        (LIPF6, EC, DMC),
        (293.15, 303.15),
        (_molality((EC, DMC), 2.0), _share(EC, (EC, DMC), 0.3, 0.5)),
    ),
)


@dataclass(frozen=True)
class Trust:
    """How far a value of a surface can be trusted.

    :param rating: highest that a simulated measurement deserves, 1 to 5.
    :param reason: why it is not 5; empty where it is.
    """

    rating: int
    reason: str = ""


def rate_density(fractions: Fractions, temperature: float) -> Trust:
    """Return how far :func:`benchmark_density` can be trusted: 5 where densities were measured, 4 between these.

    :param temperature: K; away from 293 to 303 K it is 3, outside of :data:`SURFACE_LIMITS` 2.
    """
    outside = SURFACE_LIMITS.find_refusal(fractions, temperature)
    if outside is not None:
        return Trust(2, outside)
    low, high = MEASURED_DENSITIES[0].temperature
    if not low <= temperature <= high:
        return Trust(3, f"the thermal expansion is a guess; densities were measured at {low:g} to {high:g} K")
    if any(family.find_refusal(fractions, temperature) is None for family in MEASURED_DENSITIES):
        return Trust(5)
    return Trust(4, "interpolated: no mixture in this region was measured")
