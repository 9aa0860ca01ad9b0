"""The chemicals the platform knows by name: SMILES, InChIKey and molar mass.

Nothing else in the project spells out a chemical; one that is not listed here can still be requested by its SMILES and
InChIKey, but no physical model of ours can convert it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec

from aiida_finales.exceptions import InputError

#: How far the fractions of a formulation may miss 1: of ten chemicals, each rounded to four digits, or of three, each
#: rounded to three. The one number of its kind; what is computed with is scaled: :func:`.formulation.scale`.
SUM_TOLERANCE = 1e-3


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


_BY_SMILES = {chemical.smiles: chemical for chemical in KNOWN_CHEMICALS}
_BY_INCHIKEY = {chemical.inchikey: chemical for chemical in KNOWN_CHEMICALS}

#: atoms of a SMILES, and all that may stand between them
_ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z][a-z]?)[^\]]*\]|(Br|Cl|[BCNOPSFI]|[bcnops])|[-=#$:/\\.()\d%]")
_INCHIKEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
#: characters of an InChIKey that say which atoms are bonded; the others: isotopes, stereochemistry, protons
_SKELETON = 14


@lru_cache(maxsize=4096)
def find_contradiction(smiles: str, inchikey: str) -> str | None:
    """Return what is contradictory about the two names of a chemical, or ``None``.

    Another spelling of the same structure is none, nor is stereochemistry that only one of them states. A structure
    that is not known here is compared by RDKit, where it is installed, and else by the number of its atoms where the
    InChIKey is known.
    """
    if not _INCHIKEY.fullmatch(inchikey):
        return None  # a name of its own: there is nothing to compare
    named, drawn = _BY_INCHIKEY.get(inchikey), _BY_SMILES.get(smiles)
    true_key = drawn.inchikey if drawn else _compute_inchikey(smiles)
    meant = f"the InChIKey is that of {named.name}" if named else f"the InChIKey is {inchikey}"
    if true_key is not None:
        other = _BY_INCHIKEY.get(true_key)
        is_same = true_key[:_SKELETON] == inchikey[:_SKELETON]
        return None if is_same else f"the SMILES is that of {other.name if other else true_key}, but {meant}"
    atoms = _count_atoms(smiles)
    if named is None or atoms is None or atoms == _count_atoms(named.smiles):
        return None
    return f"the SMILES has other atoms than {named.smiles}, but {meant}"


def _compute_inchikey(smiles: str) -> str | None:
    """Return the InChIKey of a structure; ``None`` without RDKit, or when it cannot read the SMILES."""
    if not _has_rdkit():
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        return str(Chem.MolToInchiKey(molecule)) or None if molecule is not None else None  # type: ignore[no-untyped-call]


@cache
def _has_rdkit() -> bool:
    return find_spec("rdkit") is not None


def _count_atoms(smiles: str) -> Counter[str] | None:
    """Return the number of atoms of each element but hydrogen, or ``None`` when this is not a plain SMILES."""
    if _ATOM.sub("", smiles):
        return None
    symbols = ((match[1] or match[2] or "").capitalize() for match in _ATOM.finditer(smiles))
    return Counter(symbol for symbol in symbols if symbol not in ("", "H"))


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
