"""The electrodes of the catalogue, as models of the lifetime know them."""

from __future__ import annotations

from aiida_finales.science.lifetime.generator.cell import Electrode


def find_record(word: str) -> Electrode | None:
    """Return an electrode by name, synonym or formula; ``None`` where there is no record of it."""
    del word
    return None
