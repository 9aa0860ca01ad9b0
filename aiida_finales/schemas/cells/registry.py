"""Which electrodes, separators and cell formats there are: the library of this package, and what others add to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

from aiida_finales.schemas.catalogue import Catalogue, Part
from aiida_finales.schemas.cells.record import CellFormat, CellPart, Electrode, Separator, parse_part, read_part

LIBRARY = Path(__file__).with_name("library.json")
#: of 'aiida-finales': lists and adds all of them
_COMMAND = "electrode"


@cache
def read_library(kind: type[CellPart]) -> Part[Any]:
    """Return the records of one kind that come with this package."""
    document = json.loads(LIBRARY.read_text(encoding="utf-8"))
    version = document["version"]
    return Part(tuple(parse_part(kind, item, "library", version) for item in document[kind.NOUN]))


CATALOGUES: dict[type[CellPart], Catalogue[Any]] = {
    kind: Catalogue(kind.NOUN, partial(read_library, kind)) for kind in (Electrode, Separator, CellFormat)
}


def read_known(kind: type[CellPart], document: Any, origin: str, version: str = "1") -> Any:
    """Return the record that somebody wrote; of what is known by name, it need only say what is new.

    :raises InputError: naming the key, what was given and what is accepted; also where it contradicts what is known.
    """
    catalogue = CATALOGUES[kind].load()
    name = document.get("name") if isinstance(document, Mapping) else None
    known = catalogue.find(name) if isinstance(name, str) else None
    if known is None:
        return read_part(kind, document, origin, version)
    told = read_part(kind, {**{key: getattr(known, key) for key in kind.REQUIRED}, **document}, origin, version)
    if known.contradicts(told) is None:
        known.unite(told, ()).check()
    return told


def list_electrodes() -> list[Electrode]:
    """Return all electrodes that are known, those of the library first."""
    return list(CATALOGUES[Electrode].load().records.values())


def list_separators() -> list[Separator]:
    """Return all separators that are known, those of the library first."""
    return list(CATALOGUES[Separator].load().records.values())


def list_formats() -> list[CellFormat]:
    """Return all cell formats that are known, those of the library first."""
    return list(CATALOGUES[CellFormat].load().records.values())


def find_electrode(word: str) -> Electrode:
    """Return the electrode with this name, synonym or formula; capitals, blanks and hyphens do not matter.

    :raises InputError: when there is none, with a name that is near, and how to add one.
    """
    return cast("Electrode", CATALOGUES[Electrode].get(word, _COMMAND))


def find_separator(word: str) -> Separator:
    """Return the separator with this name or synonym.

    :raises InputError: when there is none, with a name that is near, and how to add one.
    """
    return cast("Separator", CATALOGUES[Separator].get(word, _COMMAND))


def find_format(word: str) -> CellFormat:
    """Return the cell format with this name or synonym.

    :raises InputError: when there is none, with a name that is near, and how to add one.
    """
    return cast("CellFormat", CATALOGUES[CellFormat].get(word, _COMMAND))
