"""What cells are made of, as records: ``record`` says what one is, ``registry`` which there are.

Electrodes, separators and cell formats. ``library.json`` has those that come with this package, each number with its
unit, source and status. Drivers import this room: it needs neither pydantic nor numpy.
"""

from aiida_finales.schemas.cells.record import CellFormat, CellPart, Electrode, Number, Separator
from aiida_finales.schemas.cells.registry import (
    find_electrode,
    find_format,
    find_separator,
    list_electrodes,
    list_formats,
    list_separators,
)

__all__ = [
    "CellFormat",
    "CellPart",
    "Electrode",
    "Number",
    "Separator",
    "find_electrode",
    "find_format",
    "find_separator",
    "list_electrodes",
    "list_formats",
    "list_separators",
]
