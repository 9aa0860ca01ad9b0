"""The chemicals the platform knows by name: SMILES, InChIKey and molar mass.

Nothing else in the project spells out a chemical; one that is not listed here can still be requested by its SMILES and
InChIKey, but no physical model of ours can convert it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiida_finales.exceptions import InputError


@dataclass(frozen=True)
class KnownChemical:
    """A chemical and the constants that models need.

    :param molar_mass: g/mol, from the standard atomic weights (IUPAC 2021).
    """

    name: str
    smiles: str
    inchikey: str
    molar_mass: float
    is_salt: bool = False


KNOWN_CHEMICALS = (
    KnownChemical("LiPF6", "[Li+].F[P-](F)(F)(F)(F)F", "AXPLOJNSKRXQPA-UHFFFAOYSA-N", 151.905, is_salt=True),
    KnownChemical("EC", "C1COC(=O)O1", "KMTRUDSVKNLOMY-UHFFFAOYSA-N", 88.062),
    KnownChemical("EMC", "CCOC(=O)OC", "JBTWLSYIZRCDFO-UHFFFAOYSA-N", 104.105),
    KnownChemical("DMC", "COC(=O)OC", "IEJIGPNLZYLLBP-UHFFFAOYSA-N", 90.078),
    KnownChemical("PC", "CC1COC(=O)O1", "RUOJZAUFBMNUDX-UHFFFAOYSA-N", 102.089),
    KnownChemical("DEC", "CCOC(=O)OCC", "OIFBSDVPJOWBCH-UHFFFAOYSA-N", 118.132),
    KnownChemical("FEC", "C1C(OC(=O)O1)F", "SBLRHMKNNHXPHG-UHFFFAOYSA-N", 106.052),
)

_BY_WORD = {
    word: chemical for chemical in KNOWN_CHEMICALS for word in (chemical.name, chemical.inchikey, chemical.smiles)
}


def find_chemical(word: str) -> KnownChemical | None:
    """Return the chemical with this name, InChIKey or SMILES, or ``None``."""
    return _BY_WORD.get(word)


def get_chemical(word: str) -> KnownChemical:
    """Return the chemical with this name, InChIKey or SMILES.

    :raises InputError: when it is not one of :data:`KNOWN_CHEMICALS`.
    """
    chemical = find_chemical(word)
    if chemical is None:
        known = ", ".join(chemical.name for chemical in KNOWN_CHEMICALS)
        message = f"chemical {word!r} is not known here; known are {known} (by name, SMILES or InChIKey)"
        raise InputError(message)
    return chemical


def chemical_label(inchikey: str) -> str:
    """Return the short name of a chemical, or its InChIKey where it has none."""
    chemical = find_chemical(inchikey)
    return chemical.name if chemical else inchikey


def molality(shares: Mapping[str, float]) -> float:
    """Return the salt per mass of solvent, mol/kg.

    :param shares: mole fraction by name, InChIKey or SMILES of a known chemical; any common factor cancels.
    :raises InputError: when a chemical is not known or there is no solvent.
    """
    salt, solvent = 0.0, 0.0
    for word, share in shares.items():
        chemical = get_chemical(word)
        if chemical.is_salt:
            salt += share
        else:
            solvent += share * chemical.molar_mass / 1000.0  # g to kg
    if solvent <= 0:
        raise InputError(f"molality needs a solvent, given was {dict(shares)}")
    return salt / solvent
