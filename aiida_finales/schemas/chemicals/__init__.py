"""Chemicals: ``record`` says what one is, ``registry`` which there are, ``smiles`` what a structure says.

``library.json`` has those that come with this package, each number with its source. Drivers import this room: it needs
neither pydantic nor numpy.
"""

from aiida_finales.schemas.chemicals.record import Chemical
from aiida_finales.schemas.chemicals.registry import (
    SUM_TOLERANCE,
    chemical_label,
    find_chemical,
    find_contradiction,
    get_chemical,
    list_chemicals,
    molality,
    molality_or_none,
)

__all__ = [
    "SUM_TOLERANCE",
    "Chemical",
    "chemical_label",
    "find_chemical",
    "find_contradiction",
    "get_chemical",
    "list_chemicals",
    "molality",
    "molality_or_none",
]
