"""What a tenant offers as people write it: chemicals by name, temperatures in °C; spelt out here for storage.

Beside the published form are accepted: a name (or SMILES) instead of an object under ``chemical``, names in hulls and
weighted sums, a formulation as ``{"LiFSI": {"min": 0.02, "max": 0.15}, "DME": {...}}``, and temperatures as ``20 °C``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import Chemical, find_chemical
from aiida_finales.schemas.chemicals.record import is_inchikey
from aiida_finales.schemas.chemicals.registry import suggest_name
from aiida_finales.schemas.chemicals.smiles import compute_inchikey
from aiida_finales.schemas.names import MOLE_FRACTION
from aiida_finales.schemas.structure import is_number
from aiida_finales.schemas.temperature import read_temperature

Find = Callable[[str], Chemical | None]
#: keys under which a formulation stands
_FORMULATIONS = ("formulation", "electrolyte", "material")
_RANGE = {"min", "max", "minimum", "maximum", "step"}
#: keys of the published form, none of which names a chemical
_STRUCTURE = {"anyOf", "chemical", "fraction", "fraction_type", "formulation", "hull", *_RANGE}


def spell_out(document: Any, find: Find = find_chemical) -> Any:
    """Return what is offered with InChIKeys for names and K for °C; what is in the published form stays.

    :param find: the chemical that a word means.
    :raises InputError: naming a chemical that is not known, or a temperature that is none.
    """
    if isinstance(document, list):
        return [spell_out(item, find) for item in document]
    if not isinstance(document, Mapping):
        return document
    return {key: _spell(str(key), value, find) for key, value in document.items()}


def _spell(key: str, value: Any, find: Find) -> Any:
    if key == "chemical":
        return _identify(value, find)
    alternatives = value if isinstance(value, list) else [value]
    if key in _FORMULATIONS and alternatives and all(_is_short(key, item, find) for item in alternatives):
        return [[_component(word, share, find) for word, share in item.items()] for item in alternatives]
    if key == "hull" and isinstance(value, Mapping) and isinstance(value.get("chemicals"), list):
        return {**value, "chemicals": [_key_of(word, find) for word in value["chemicals"]]}
    if key == "coefficients" and isinstance(value, Mapping):
        return {_key_of(word, find): weight for word, weight in value.items()}
    if key == "temperature":
        return _convert(value)
    return value if key == "settings" else spell_out(value, find)  # settings are for the tenant's own programs


def _is_short(key: str, value: Any, find: Find) -> bool:
    """Return whether an object has ranges by chemical; a parameter of somebody else's may have the same name.

    One of them names a chemical, or, of a formulation, all are ranges of fractions: their names are mistyped then.
    """
    if not isinstance(value, Mapping) or not value or set(value) & _STRUCTURE:
        return False
    if any(find(str(word)) is not None for word in value):
        return True
    return key == "formulation" and all(map(_is_fraction, value.values()))


def _is_fraction(value: Any) -> bool:
    """Return whether a value limits a fraction: numbers from 0 to 1, or ranges of them."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_fraction, value))
    if isinstance(value, Mapping):
        return bool(value) and set(value) <= _RANGE and all(map(_is_fraction, value.values()))
    return is_number(value) and 0 <= value <= 1


def _component(word: str, share: Any, find: Find) -> dict[str, Any]:
    fraction = share if isinstance(share, list) else [share]
    return {"chemical": _identify(word, find), "fraction": fraction, "fraction_type": [MOLE_FRACTION]}


def _identify(value: Any, find: Find) -> Any:
    """Return SMILES and InChIKey of a chemical that is named by one word; anything else as it is."""
    if isinstance(value, list):
        return [_identify(item, find) for item in value]
    word = value if isinstance(value, str) else _only_word(value)
    if word is None:
        return value
    found = find(word)
    if found is not None:
        return {"SMILES": found.smiles, "InChIKey": found.inchikey}
    key = compute_inchikey(word) if isinstance(value, Mapping) and "SMILES" in value else None
    if key is None:
        raise _unknown(word)
    return {"SMILES": word, "InChIKey": key}


def _unknown(word: str) -> InputError:
    return InputError(
        f"chemical {word!r} is not known here: {suggest_name(word)}describe it in a section 'chemicals' of the "
        "file (name, SMILES), or add it with 'aiida-finales chemical add'"
    )


def _only_word(value: Any) -> str | None:
    """Return name or SMILES of an object that says nothing else."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    [(key, word)] = value.items()
    return word if key in ("name", "SMILES") and isinstance(word, str) else None


def _key_of(word: Any, find: Find) -> Any:
    """Return the InChIKey that a word in a hull or a weighted sum means.

    :raises InputError: when it is a name that nobody knows; an InChIKey may be one that only this tenant describes.
    """
    if not isinstance(word, str) or is_inchikey(word):
        return word
    found = find(word)
    if found is None:
        raise _unknown(word)
    return found.inchikey


def _convert(value: Any) -> Any:
    if isinstance(value, list):
        return [_convert(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _convert(item) if key in _RANGE else item for key, item in value.items()}
    return read_temperature(value) if isinstance(value, str) else value
