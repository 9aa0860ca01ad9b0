"""Density of LiPF6 in carbonates, and with it the salt concentration in mol/L.

Ideal mixing of molar volumes, ``rho = sum(x_i M_i) / sum(x_i V_i)``. The volumes of LiPF6, EC and EMC are fitted to the
measured densities of four stock solutions (LiPF6 up to 1.5 mol/L) at 299.8 K with a residual of 0.4 %. The volume of PC
is its molar mass over the handbook density of the pure liquid at 298.15 K, 1.197 g/cm3 (other tables: up to 1.200); so
is that of DMC, 1.063 g/cm3.
Thermal expansion (about 0.1 % per K)
is left out on purpose: concentrations here are those at which a solution is prepared, at room temperature.
"""

from __future__ import annotations

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.science.electrolyte.composition import DMC, EC, EMC, LIPF6, PC, Fractions, describe, mass

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
