"""Formulations as people and models handle them: a fraction per chemical, and where it stands in each quantity."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical, scale
from aiida_finales.schemas.names import MOLE_FRACTION, canonical_capability
from aiida_finales.schemas.structure import Path, get_at

#: where most quantities have it
DEFAULT_PATH: Path = ("formulation",)
#: where the others have it; the methods of a quantity agree
PATHS: dict[str, Path] = {
    "electrolyte": ("electrolyte", "formulation"),
    "cell_assembly": ("cell", "battery_chemistry", "electrolyte"),
    "capacity": ("battery_chemistry", "electrolyte"),
    "degradationEOL": ("battery_chemistry", "electrolyte"),
    "lifetimeCurve": ("electrolyte",),
}
#: what is required beside it although nobody can know it yet: a cell that does not exist has no identity
DEMANDED: dict[str, dict[str, Any]] = {"cell_assembly": {"cell_info": {}}, "degradationEOL": {"cell_info": {}}}


# where the formulation of the sample stands: in the parameters of each quantity, and in results
_PLACES = (DEFAULT_PATH, *PATHS.values(), ("run_info", "formulation"))


def fractions(given: Any) -> dict[str, float]:
    """Return the mole fraction of each chemical, by InChIKey.

    :param given: a formulation, or parameters, a result's data or a run's information that contain one.
    :raises InputError: when there is no formulation in it, or a component without InChIKey or fraction.
    """
    components = find_formulation(given)
    if components is None:
        keys = sorted(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        places = ", ".join(".".join(path) for path in _PLACES)
        message = f"no formulation in {keys}: accepted is a list of components, or an object with one of {places}"
        raise InputError(message)
    answer: dict[str, float] = {}
    for component in components:
        try:
            key, fraction = component["chemical"]["InChIKey"], float(component["fraction"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            message = f"{component!r} is no component: it needs chemical.InChIKey and a fraction"
            raise InputError(message) from error
        answer[key] = answer.get(key, 0.0) + fraction
    return answer


def find_fractions(given: Any) -> dict[str, float]:
    """Return the mole fraction of each chemical, by InChIKey; empty where no usable formulation is in it."""
    try:
        return fractions(given)
    except InputError:
        return {}


def find_formulation(given: Any) -> list[dict[str, Any]] | None:
    """Return the list of components in parameters or data, or ``None`` where there is none."""
    for found in [given] if isinstance(given, (list, tuple)) else [get_at(given, path) for path in _PLACES]:
        if _is_formulation(found):
            return list(found)
    return None


def _is_formulation(given: Any) -> bool:
    is_list = isinstance(given, (list, tuple)) and bool(given)
    return is_list and all(isinstance(part, Mapping) and "chemical" in part for part in given)


def make_formulation(shares: Mapping[str, float], others: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return a formulation in the published form.

    :param shares: mole fraction, 0 to 1, by name, InChIKey or SMILES of a known chemical; they sum to 1.
    :param others: SMILES by InChIKey of further chemicals, as tenants state them.
    :raises InputError: when a chemical is not known, a fraction is out of range, or the sum is not 1.
    """
    scale(shares)  # refuses; what is asked for stays as it was written
    answer = []
    for word, share in shares.items():
        if word in (others or {}):
            identity = {"SMILES": (others or {})[word], "InChIKey": word}
        else:
            chemical = get_chemical(word)
            identity = {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey}
        answer.append({"chemical": identity, "fraction": float(share), "fraction_type": MOLE_FRACTION})
    return answer


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


def find_shared(first: Any, second: Any) -> str | None:
    """Return the dotted keys of a value that two documents both have; empty where they are values themselves."""
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return ""
    for key in sorted(first.keys() & second.keys()):
        below = find_shared(first[key], second[key])
        if below is not None:
            return f"{key}.{below}".rstrip(".")
    return None


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return two documents as one: objects are united, of anything else the second counts."""
    answer = {key: copy.deepcopy(value) for key, value in first.items()}
    for key, value in second.items():
        known = answer.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        answer[key] = merge(known, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return answer
