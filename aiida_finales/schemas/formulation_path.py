"""Where the formulation stands in the parameters of each quantity; nothing else in the project spells it out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.structure import Path

#: where most quantities have it
DEFAULT_PATH: Path = ("formulation",)
#: where the others have it; the methods of a quantity agree
PATHS: dict[str, Path] = {
    "electrolyte": ("electrolyte", "formulation"),
    "cell_assembly": ("cell", "battery_chemistry", "electrolyte"),
    "degradationEOL": ("battery_chemistry", "electrolyte"),
}
#: what is required beside it although nobody can know it yet: a cell that does not exist has no identity
DEMANDED: dict[str, dict[str, Any]] = {"cell_assembly": {"cell_info": {}}, "degradationEOL": {"cell_info": {}}}


def formulation_path(quantity: str) -> Path:
    """Return the keys that lead to the formulation in the parameters of a quantity."""
    return PATHS.get(canonical_capability(quantity, "")[0], DEFAULT_PATH)


def place_formulation(
    quantity: str, formulation: list[dict[str, Any]], others: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return parameters with a formulation at its place and other parameters around it.

    :param others: they may share an object with the formulation, as ``battery_chemistry.cathode`` does.
    """
    *around, last = formulation_path(quantity)
    placed: dict[str, Any] = {last: copy.deepcopy(formulation)}
    for key in reversed(around):
        placed = {key: placed}
    demanded = DEMANDED.get(canonical_capability(quantity, "")[0], {})
    return merge(merge(placed, demanded), others or {})


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return two documents as one: objects are united, of anything else the second counts."""
    answer = {key: copy.deepcopy(value) for key, value in first.items()}
    for key, value in second.items():
        known = answer.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        answer[key] = merge(known, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return answer
