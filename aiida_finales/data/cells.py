"""What cells are made of, beside the library: electrodes, separators, cell formats that others added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from aiida_finales.data.added_records import PROFILE, AddedRecords
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.cells import CellPart
from aiida_finales.schemas.cells.record import parse_part
from aiida_finales.schemas.cells.registry import CATALOGUES, read_known

__all__ = ["ADDED_PARTS", "PROFILE", "add_parts", "check_parts"]

#: by the section of a file that they stand in
ADDED_PARTS: dict[str, AddedRecords[Any]] = {
    kind.NOUN: AddedRecords(catalogue, partial(read_known, kind), partial(parse_part, kind))
    for kind, catalogue in CATALOGUES.items()
}


def check_parts(document: Any, origin: str, version: str = "1") -> list[CellPart]:
    """Return the records in the sections of a document, stored nowhere; other sections are left alone.

    :param origin: ``profile``, or whose they are.
    :raises InputError: naming the key that cannot be used, or both things that a name is given to.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"cell parts are {document!r}, but accepted are sections {', '.join(ADDED_PARTS)}")
    return [
        record
        for section, added in ADDED_PARTS.items()
        if document.get(section) is not None
        for record in added.check(document[section], origin, version)
    ]


def add_parts(parts: Iterable[CellPart]) -> list[CellPart]:
    """Write records into the files of the profile; one that its origin had before becomes its next version.

    :returns: them, with the version that they have now.
    :raises InputError: when no profile is loaded, or a file cannot be read or written.
    """
    told = list(parts)
    mine = {section: [part for part in told if section == part.NOUN] for section in ADDED_PARTS}
    return [part for section, some in mine.items() if some for part in ADDED_PARTS[section].add(some)]
