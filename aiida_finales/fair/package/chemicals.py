"""Which chemicals a package speaks of that the library does not have: what is made of its archive names them so.

The records are those of who exported it. Elsewhere the same chemical may have another name or none, and then tables and
graph could not be made again. They have what identifies a chemical, in the form of ``aiida-finales chemical add``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.archive import Archive
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import Chemical, find_chemical, list_chemicals
from aiida_finales.schemas.chemicals.record import read_record
from aiida_finales.schemas.chemicals.registry import CHEMICALS, read_library

FILE = "chemicals.json"
_KEYS = ("name", "smiles", "inchikey", "formula", "role")
_INCHIKEY = re.compile(r"\b[A-Z]{14}-[A-Z]{10}-[A-Z]\b")


def describe_chemicals(archive: Archive) -> Json:
    """Return the chemicals of an archive that the library does not have, as they are known here."""
    named = {key for node in archive.nodes for key in _INCHIKEY.findall(json.dumps(node.attributes))}
    library = {record.inchikey for record in read_library().records}
    own = [chemical for chemical in list_chemicals() if chemical.inchikey in named - library]
    return {
        "chemicals": [
            {key: value for key in _KEYS if (value := getattr(chemical, key))}
            for chemical in sorted(own, key=lambda item: item.inchikey)
        ]
    }


def read_chemicals(folder: Path) -> list[Chemical]:
    """Return the chemicals that a package describes; none of one that has no such file.

    :raises InputError: when the file is none.
    """
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return [read_record(item, "package") for item in document["chemicals"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{FILE} cannot be read: {error}") from error


@contextmanager
def know_chemicals(folder: Path) -> Iterator[None]:
    """Call chemicals as a package does meanwhile; one without such a file (of before) as they are called here."""
    if not (folder / FILE).is_file():
        yield
        return
    with CHEMICALS.only(read_chemicals(folder)):
        yield


def find_unknown(folder: Path) -> list[str]:
    """Return the names of the chemicals of a package that are not known here."""
    return [item.name for item in read_chemicals(folder) if find_chemical(item.inchikey) is None]
