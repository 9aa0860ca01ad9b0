"""Formulations as people and models handle them: a fraction per chemical, and the molality of the salt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation_path import DEFAULT_PATH, PATHS
from aiida_finales.schemas.structure import get_at
from aiida_finales.schemas.units import MOLE_FRACTION, SUM_TOLERANCE

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
        except (KeyError, TypeError, ValueError) as error:
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


def make_formulation(shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a formulation in the published form.

    :param shares: mole fraction, 0 to 1, by name, InChIKey or SMILES of a known chemical; they sum to 1.
    :raises InputError: when a chemical is not known, a fraction is out of range, or the sum is not 1.
    """
    total = sum(shares.values())
    if any(not 0 <= share <= 1 for share in shares.values()) or abs(total - 1) > SUM_TOLERANCE:
        message = f"fractions are {dict(shares)} with sum {total:.6g}, accepted are 0 to 1 with sum 1"
        raise InputError(message)
    answer = []
    for word, share in shares.items():
        chemical = get_chemical(word)
        identity = {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey}
        answer.append({"chemical": identity, "fraction": float(share), "fraction_type": MOLE_FRACTION})
    return answer
