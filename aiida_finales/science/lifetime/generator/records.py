"""The electrodes of the catalogue, as models of the lifetime know them."""

from __future__ import annotations

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.cells import find_electrode
from aiida_finales.science.lifetime.generator.cell import PROPERTIES, Electrode


def find_record(word: str) -> Electrode | None:
    """Return an electrode by name, synonym or formula; ``None`` where there is no record of it."""
    try:
        record = find_electrode(word)
    except InputError:
        return None
    known = {name: record.known[name] for name in PROPERTIES if name in record.known}
    return Electrode(record.name, record.working_ions[0], known)
