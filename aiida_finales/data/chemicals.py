"""The chemicals that are known here beside the library: :mod:`~aiida_finales.data.added_records`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_finales.data.added_records import PROFILE, AddedRecords
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import Chemical, find_chemical, find_contradiction
from aiida_finales.schemas.chemicals.record import parse_record, read_record
from aiida_finales.schemas.chemicals.registry import CHEMICALS
from aiida_finales.schemas.chemicals.tokens import is_no_name

__all__ = ["ADDED_CHEMICALS", "PROFILE", "add_chemicals", "check_chemicals"]


def _read(document: Any, origin: str, version: str) -> Chemical:
    chemical = read_record(document, origin, version)
    for word in (chemical.name, *chemical.synonyms):
        if is_no_name(word):
            raise InputError(
                f"chemical {chemical.name!r}: {word!r} means something else in a mixture; accepted is a name that is "
                "no number, amount or unit, no word as 'in', and none of the trade's names of mixtures, as LP30"
            )
    return chemical


def _complete(document: Any) -> Any:
    """Return what somebody says of a chemical by its name alone with the structure that it is known to have."""
    keys = {str(key).lower() for key in document} if isinstance(document, Mapping) else set()
    if not keys > {"name"} or keys & {"smiles", "inchikey", "inchi_key"}:
        return document
    known = find_chemical(str(document["name"]))
    about = {"name": known.name, "smiles": known.smiles, "inchikey": known.inchikey} if known else {}
    return {**document, **about}


ADDED_CHEMICALS = AddedRecords(CHEMICALS, _read, parse_record)
add_chemicals = ADDED_CHEMICALS.add


def check_chemicals(documents: Any, origin: str, version: str = "1") -> list[Chemical]:
    """Return the chemicals that somebody described, stored nowhere.

    :param origin: ``profile``, or whose they are.
    :raises InputError: naming the key that cannot be used, or both structures of a name that is given twice.
    """
    documents = [*map(_complete, documents)] if isinstance(documents, (list, tuple)) else documents
    for document in documents if isinstance(documents, (list, tuple)) else ():
        chemical = _read(document, origin, version)
        contradiction = find_contradiction(chemical.smiles, chemical.inchikey)
        if contradiction is not None:
            raise InputError(f"chemical {chemical.name!r}: {contradiction}")
    return ADDED_CHEMICALS.check(documents, origin, version)
