"""Names: what people may call things, and one name per capability.

A capability has the published name, misspelt or not, because old clients match it letter by letter. Drivers read these
names, too, so that nothing here may import pydantic.
"""

from __future__ import annotations

from typing import Any

from aiida_finales.exceptions import InputError

#: characters of a name: with what is put around it, it is a file name on every system, in any alphabet
LONGEST_NAME = 64
#: what no file name may hold on one of the usual systems
_NO_FILE = frozenset('/\\:*?"<>|')
#: what separates, hides, or looks like an option at the beginning of a name, or is lost at its end
_NOT_FIRST, _NOT_LAST = frozenset(".- ~"), frozenset(". ")
#: names of devices, on the systems that have them
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})

_QUANTITIES = {
    "radial_distribution_function": "radial_density_function",
    "RDF": "radial_density_function",
    "degradation_EOL": "degradationEOL",
    "end_of_life": "degradationEOL",
}

_METHODS = {
    "polinomial_interpolation": "polynomial_interpolation",
    "twoElectrodeMeasuringCell": "two_electrode",
    "molecularDynamicsSimulation": "molecular_dynamics",
    "molacular_dynamics": "molecular_dynamics",
}

# words that mean something else for another quantity
_METHODS_OF = {
    ("radial_density_function", "molecular_dynamics"): "molacular_dynamics",
    ("transport", "service"): "transport_service",
    ("cycling_channel", "cycling_channel_service"): "service",
    ("degradationEOL", "degradationModel"): "degradation_model",
    ("degradationEOL", "degradationWorkflow"): "degradation_workflow",
    ("degradationEOL", "workflow"): "degradation_workflow",
}


MOLE_FRACTION = "molPerMol"
_MOLE_FRACTION_WORDS = {"molpermol", "molarfraction", "molefraction", "mol/mol", "molfraction"}

#: Accepted spelling of a key of the parameters of capacity by cycling: the published one. The published name of the
#: number of formation cycles is misspelt; what a reservation returned is its id.
CYCLING_KEYS = {
    "repetitions_formation_cycle": "repetions_formation_cycle",
    "reservation_id": "reservation_number",
}


def canonical_capability(quantity: str, method: str) -> tuple[str, str]:
    """Return the published names of a capability; names that are no known alias are returned as they are.

    :raises InputError: when one is no name: documents of others have anything in its place.
    """
    for what, name in (("quantity", quantity), ("method", method)):
        if not isinstance(name, str):
            raise InputError(f"{what} is {name!r}, but accepted is a name, such as conductivity or two_electrode")
    quantity = _QUANTITIES.get(quantity, quantity)
    method = _METHODS.get(method, method)
    return quantity, _METHODS_OF.get((quantity, method), method)


def canonical_fraction_type(word: str) -> str | None:
    """Return the canonical word for a kind of fraction, or ``None`` when it is not a mole fraction."""
    simple = "".join(word.lower().replace("_", "").replace("-", "").split())
    return MOLE_FRACTION if simple in _MOLE_FRACTION_WORDS else None


def rename_keys(given: Any, aliases: dict[str, str]) -> Any:
    """Return an object with published keys, in its own order; a published key that is also there wins."""
    if not isinstance(given, dict) or not aliases:
        return given
    return {aliases.get(key, key): value for key, value in given.items() if aliases.get(key) not in given}


def check_name(name: object, what: str = "name") -> str:
    """Return a name that people gave to something; it is part of addresses, commands and file names later.

    :param what: what is named, for the message.
    :raises InputError: when it would be no file name, not be seen as it is, or be too long.
    """
    defect = _defect_of(name) if isinstance(name, str) else "it is no text"
    if defect is None:
        return str(name)
    raise InputError(
        f"{what} is {_shorten(name)}: {defect}; accepted are 1 to {LONGEST_NAME} characters that a file name may have, "
        "such as letters, digits, space, _ and -, the first of them a letter, a digit or _"
    )


def _defect_of(name: str) -> str | None:
    """Return what is wrong with a name, or ``None``."""
    forbidden = [letter for letter in name if letter in _NO_FILE or not letter.isprintable()]
    if not name.strip():
        return "it is empty"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters"
    if forbidden:
        return f"it has {forbidden[0]!r}"
    if name[0] in _NOT_FIRST:
        return f"it begins with {name[0]!r}"
    if name[-1] in _NOT_LAST:
        return f"it ends with {name[-1]!r}"
    return f"{name!r} is a device on some systems" if name.partition(".")[0].lower() in _DEVICES else None


def file_stem(name: str) -> str:
    """Return a name as part of a file name; what was named before names were checked may hold anything.

    A name that :func:`check_name` accepts stays as it is.
    """
    if _defect_of(name) is None:
        return name
    kept = "".join("_" if letter in _NO_FILE or not letter.isprintable() else letter for letter in name)
    kept = kept[:LONGEST_NAME].strip(". ").lstrip(".-~ ") or "_"
    return kept if _defect_of(kept) is None else f"_{kept[1:]}"


def _shorten(name: object) -> str:
    text = repr(name)
    return text if len(text) <= LONGEST_NAME + 2 else f"{text[:LONGEST_NAME]}..."
