"""Register samples from a document."""

from __future__ import annotations

from typing import Any

from aiida_finales.broker.samples import register_sample
from aiida_finales.data.sample import SampleData
from aiida_finales.exceptions import InputError
from aiida_finales.operations.documents import expand_formulations
from aiida_finales.schemas.chemicals import find_contradiction
from aiida_finales.schemas.formulation import find_formulation

KEYS = ("identity", "kind", "location", "content", "simulated")


def register_all(document: Any) -> list[SampleData]:
    """Register the samples of a document; all are looked at before the first is stored.

    :raises InputError: naming the entry and the key.
    """
    entries = document if isinstance(document, list) else [document]
    checked = [_check(f"[{number}]", entry) for number, entry in enumerate(entries)]
    for entry in checked:
        SampleData(**entry)
    return [register_sample(**entry) for entry in checked]


def _check(path: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {entry!r} was given, accepted is an object with {', '.join(KEYS)}")
    unknown, lacking = sorted(set(entry) - set(KEYS)), [key for key in KEYS[:3] if key not in entry]
    if unknown or lacking:
        raise InputError(f"{path}: unknown {unknown}, lacking {lacking}; accepted are {', '.join(KEYS)}")
    content = entry.get("content") or {}
    if not isinstance(content, dict):
        raise InputError(f"{path}.content: {content!r} was given, accepted is an object")
    content = expand_formulations(content)
    for component in find_formulation(content) or []:
        names = component["chemical"]
        contradiction = find_contradiction(str(names.get("SMILES", "")), str(names.get("InChIKey", "")))
        if contradiction is not None:
            raise InputError(f"{path}: {names} is not one chemical: {contradiction}")
    return {**entry, "content": content, "simulated": bool(entry.get("simulated", False))}
