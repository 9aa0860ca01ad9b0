"""Chemicals: ``record`` says what one is, ``registry`` which there are, ``smiles`` what a structure says.

``mixture`` makes mole fractions of what people say; ``scaling`` is the rule for sums beside 1.
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
from aiida_finales.schemas.chemicals.scaling import scale

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
    "scale",
]
