"""What a mixture is: mole fractions to masses, molality and back.

A mixture is a mapping from InChIKey to mole fraction of the whole solution, the one form in which the platform stores
formulations; everything else (molality, mass shares) is computed from it at the border of a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import SUM_TOLERANCE, chemical_label, get_chemical

Fractions = Mapping[str, float]

LIPF6 = get_chemical("LiPF6").inchikey
EC = get_chemical("EC").inchikey
EMC = get_chemical("EMC").inchikey
PC = get_chemical("PC").inchikey
DMC = get_chemical("DMC").inchikey

#: mole fraction up to which a component counts as absent
ABSENT = 1e-9


def describe(fractions: Fractions, digits: int = 4) -> str:
    """Return a mixture in words, as ``LiPF6 0.0800, EC 0.3000, EMC 0.6200``; what is absent is not named."""
    present = ((key, value) for key, value in fractions.items() if not 0.0 <= value <= ABSENT)
    return ", ".join(f"{chemical_label(key)} {value:.{digits}f}" for key, value in present)


def check_fractions(fractions: Fractions) -> None:
    """Refuse what is not a mixture.

    :raises InputError: when a fraction is not a number from 0 to 1 or the sum is further than 1e-3 from 1.
    """
    for key, value in fractions.items():
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise InputError(f"the mole fraction of {chemical_label(key)} is {value}, accepted is a number from 0 to 1")
    total = sum(fractions.values())
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        raise InputError(f"mole fractions sum to {total:.6g} ({describe(fractions)}), accepted is 1 within 0.001")


def mass(fractions: Fractions, components: Iterable[str] | None = None) -> float:
    """Return the mass in g of the given components (all when ``None``) in one mole of mixture.

    :raises InputError: when a component is not a known chemical, so that its molar mass is not known.
    """
    chosen = fractions if components is None else components
    return sum(fractions.get(key, 0.0) * get_chemical(key).molar_mass for key in chosen)


def fractions_from_molality(salt_molality: float, solvent_masses: Fractions) -> dict[str, float]:
    """Return the mole fractions of LiPF6 in a solvent mixture.

    :param salt_molality: mol of LiPF6 per kg of solvent, 0 or more.
    :param solvent_masses: mass of each solvent by InChIKey, in any one unit of mass.
    :raises InputError: when the molality is negative or the solvents have no mass.
    """
    total = sum(solvent_masses.values())
    if salt_molality < 0 or total <= 0:
        raise InputError(
            f"molality {salt_molality} mol/kg in solvents of total mass {total}: accepted are a molality of 0 or more "
            "and a positive mass"
        )
    amounts = {key: 1000.0 * part / total / get_chemical(key).molar_mass for key, part in solvent_masses.items()}
    whole = sum(amounts.values()) + salt_molality
    return {LIPF6: salt_molality / whole} | {key: amount / whole for key, amount in amounts.items()}
