"""Which chemicals there are: the library of this package, and what others add to it.

What is added (by another package, in the profile, with a tenant) reaches this module through :func:`use_source`, for
forms know no AiiDA. Of two records of one structure the later one counts, number by number; a name belongs to who had
it first.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.record import NUMBERS, Chemical, parse_record
from aiida_finales.schemas.chemicals.smiles import compute_inchikey, count_atoms

#: How far the fractions of a formulation may miss 1: of ten chemicals, each rounded to four digits, or of three, each
#: rounded to three. The one number of its kind; what is computed with is scaled: :func:`..formulation.scale`. It is
#: here for the drivers, which read fractions and start without pydantic.
SUM_TOLERANCE = 1e-3
#: how the origin of a tenant's record begins
TENANT = "tenant "
LIBRARY = Path(__file__).with_name("library.json")
_INCHIKEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
#: characters of an InChIKey that say which atoms are bonded; the others: isotopes, stereochemistry, protons
_SKELETON = 14


@dataclass(frozen=True)
class Part:
    """What one source has.

    :param troubles: what could not be read of it, in words.
    """

    chemicals: tuple[Chemical, ...] = ()
    troubles: tuple[str, ...] = ()


@dataclass
class Registry:
    """All chemicals of all sources.

    :param words: by name, synonym, InChIKey and SMILES.
    :param lower: the same by words in small letters.
    :param troubles: what could not be taken in, in words.
    """

    chemicals: dict[str, Chemical] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    lower: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def add(self, chemical: Chemical) -> None:
        """Take a chemical in; a name that belongs to another structure is left out, and said."""
        own = dict.fromkeys((chemical.name, *chemical.synonyms))
        conflicts = {word: words for word in own if (words := self.find_conflict(word, chemical))}
        self.troubles += [f"{words}: the first keeps it" for words in conflicts.values()]
        names, key = [word for word in own if word not in conflicts], chemical.inchikey
        if key in self.chemicals:
            self.chemicals[key] = _unite(self.chemicals[key], chemical, names)
        else:
            label = names[0] if names else key
            self.chemicals[key] = replace(chemical, name=label, synonyms=tuple(names[1:]))
        for word in (*names, key, chemical.smiles):
            self.words.setdefault(word, key)
            self.lower.setdefault(word.casefold(), key)

    def find(self, word: str) -> Chemical | None:
        """Return the chemical that a word means; small and capital letters matter only where two differ by them."""
        key = self.words.get(word) or self.lower.get(word.casefold())
        return None if key is None else self.chemicals[key]

    def find_conflict(self, word: str, chemical: Chemical) -> str | None:
        """Return that a name means another structure here, or ``None``."""
        other = self.find(word)
        if other is None or other.inchikey == chemical.inchikey:
            return None
        return (
            f"the name {word!r} is given twice: {other.smiles} ({other.inchikey}, {other.record}) and "
            f"{chemical.smiles} ({chemical.inchikey}, {chemical.record})"
        )


def _unite(known: Chemical, chemical: Chemical, names: Iterable[str]) -> Chemical:
    """Return a chemical with what another record of it says; a tenant only adds what was not known."""
    first, second = (known, chemical) if chemical.origin.startswith(TENANT) else (chemical, known)
    numbers: dict[str, Any] = {name: getattr(first, name) or getattr(second, name) for name in (*NUMBERS, "formula")}
    is_new = any(number != getattr(known, name) for name, number in numbers.items())
    about: dict[str, Any] = {"origin": chemical.origin, "version": chemical.version} if is_new else {}
    synonyms = tuple(word for word in dict.fromkeys((*known.synonyms, *names)) if word != known.name)
    return replace(known, synonyms=synonyms, **numbers, **about)


_SOURCES: list[Callable[[], Part]] = []
_LAST: list[tuple[list[Part], Registry]] = []


def use_source(read: Callable[[], Part]) -> None:
    """Let chemicals of another source be known.

    :param read: called at each look; returns the same object as long as nothing has changed.
    """
    if read not in _SOURCES:
        _SOURCES.append(read)


def load_registry() -> Registry:
    """Return the chemicals of all sources as they are now."""
    parts = [read_library(), *[read() for read in _SOURCES]]
    if not _LAST or list(map(id, parts)) != list(map(id, _LAST[0][0])):
        _LAST[:] = [(parts, _merge(parts))]
    return _LAST[0][1]


def _merge(parts: Iterable[Part]) -> Registry:
    registry = Registry()
    for part in parts:
        registry.troubles += part.troubles
        for chemical in part.chemicals:
            registry.add(chemical)
    return registry


@cache
def read_library() -> Part:
    """Return the chemicals that come with this package; :data:`LIBRARY` says where each number is from."""
    document = json.loads(LIBRARY.read_text(encoding="utf-8"))
    version = document["version"]
    return Part(tuple(parse_record(item, "library", version) for item in document["chemicals"]))


def list_chemicals() -> list[Chemical]:
    """Return all chemicals that are known, those of the library first."""
    return list(load_registry().chemicals.values())


def find_chemical(word: str) -> Chemical | None:
    """Return the chemical with this name, synonym, InChIKey or SMILES, or ``None``."""
    return load_registry().find(word)


def get_chemical(word: str) -> Chemical:
    """Return the chemical with this name, synonym, InChIKey or SMILES.

    :raises InputError: when there is none, with names that are near, and how to add one.
    """
    chemical = load_registry().find(word)
    if chemical is None:
        message = (
            f"chemical {word!r} is not known here: {suggest_name(word)}'aiida-finales chemical list' shows those that "
            "are (by name, SMILES or InChIKey), 'aiida-finales chemical add' adds one"
        )
        raise InputError(message)
    return chemical


def suggest_name(word: str) -> str:
    """Return a question for the name that is nearest to a word; empty where none is near."""
    registry = load_registry()
    near = difflib.get_close_matches(word.casefold(), registry.lower, n=1, cutoff=0.7)
    return f"did you mean {registry.chemicals[registry.lower[near[0]]].name}? " if near else ""


def find_contradiction(smiles: str, inchikey: str) -> str | None:
    """Return what is contradictory about the two names of a chemical, or ``None``.

    Another spelling of the same structure is none, nor is stereochemistry that only one of them states. A structure
    that is not known here is compared by RDKit, where it is installed, and else by the number of its atoms where the
    InChIKey is known.
    """
    if not _INCHIKEY.fullmatch(inchikey):
        return None  # a name of its own: there is nothing to compare
    registry = load_registry()
    named, drawn = registry.chemicals.get(inchikey), registry.chemicals.get(registry.words.get(smiles, ""))
    true_key = drawn.inchikey if drawn else compute_inchikey(smiles)
    meant = f"the InChIKey is that of {named.name}" if named else f"the InChIKey is {inchikey}"
    if true_key is not None:
        other = registry.chemicals.get(true_key)
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
