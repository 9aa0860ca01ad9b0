"""Which chemicals there are: the library of this package, and what others add to it (:mod:`..catalogue`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.catalogue import Catalogue, Part, Registry
from aiida_finales.schemas.chemicals.record import Chemical, parse_record
from aiida_finales.schemas.chemicals.smiles import compute_inchikey, count_atoms

#: How far the fractions of a formulation may miss 1: of ten chemicals, each rounded to four digits, or of three, each
#: rounded to three. The one number of its kind; what is computed with is scaled: :func:`..formulation.scale`. It is
#: here for the drivers, which read fractions and start without pydantic.
#: The millionth more is for what adding does to 0.12 + 0.3 + 0.579.
SUM_TOLERANCE = 1e-3 * (1 + 1e-6)
LIBRARY = Path(__file__).with_name("library.json")
_INCHIKEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
#: characters of an InChIKey that say which atoms are bonded; the others: isotopes, stereochemistry, protons
_SKELETON = 14


@cache
def read_library() -> Part[Chemical]:
    """Return the chemicals that come with this package; :data:`LIBRARY` says where each number is from."""
    document = json.loads(LIBRARY.read_text(encoding="utf-8"))
    version = document["version"]
    return Part(tuple(parse_record(item, "library", version) for item in document["chemicals"]))


CHEMICALS = Catalogue("chemicals", read_library)


def load_registry() -> Registry[Chemical]:
    """Return the chemicals of all sources as they are now."""
    return CHEMICALS.load()


def list_chemicals() -> list[Chemical]:
    """Return all chemicals that are known, those of the library first."""
    return list(load_registry().records.values())


def find_chemical(word: str) -> Chemical | None:
    """Return the chemical with this name, synonym, InChIKey or SMILES, or ``None``."""
    return load_registry().find(word)


def get_chemical(word: str) -> Chemical:
    """Return the chemical with this name, synonym, InChIKey or SMILES.

    :raises InputError: when there is none, with names that are near, and how to add one.
    """
    return CHEMICALS.get(word, "chemical")


def suggest_name(word: str) -> str:
    """Return a question for the name that is nearest to a word; empty where none is near."""
    return load_registry().suggest(word)


def find_contradiction(smiles: str, inchikey: str) -> str | None:
    """Return what is contradictory about the two names of a chemical, or ``None``.

    Another spelling of the same structure is none, nor is stereochemistry that only one of them states. A structure
    that is not known here is compared by RDKit, where it is installed, and else by the number of its atoms where the
    InChIKey is known.
    """
    if not _INCHIKEY.fullmatch(inchikey):
        return None  # a name of its own: there is nothing to compare
    registry = load_registry()
    named, drawn = registry.records.get(inchikey), registry.records.get(registry.words.get(smiles, ""))
    true_key = drawn.inchikey if drawn else compute_inchikey(smiles)
    meant = f"the InChIKey is that of {named.name}" if named else f"the InChIKey is {inchikey}"
    if true_key is not None:
        other = registry.records.get(true_key)
        is_same = true_key[:_SKELETON] == inchikey[:_SKELETON]
        return None if is_same else f"the SMILES is that of {other.name if other else true_key}, but {meant}"
    atoms = count_atoms(smiles)
    if named is None or atoms is None or atoms == count_atoms(named.smiles):
        return None
    return f"the SMILES has other atoms than {named.smiles}, but {meant}"


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


def molality_or_none(shares: Mapping[str, float], digits: int | None = 6) -> float | None:
    """Return the same, or ``None`` where a chemical is not known or there is no solvent.

    :param digits: behind the point; ``None``: all of them.
    """
    try:
        found = molality(shares)
    except InputError:
        return None
    return found if digits is None else round(found, digits)
