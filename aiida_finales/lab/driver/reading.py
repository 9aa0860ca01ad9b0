"""Reading the input file of a driver: each value is checked, and a bad one is named with its place.

Done without pydantic: a driver is started once per act and must be quick about it. What is accepted is what
the models of :mod:`aiida_finales.schemas.quantities` accept: the tests of each device compare the two.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import DeviceInputError, InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import find_contradiction
from aiida_finales.schemas.names import MOLE_FRACTION, canonical_fraction_type
from aiida_finales.science.electrolyte.composition import check_fractions

#: a place: ``address`` (device or site), ``detail_1``, ``detail_2``
Location = dict[str, str | None]
#: The method of each quantity that a device can do.
Targets = Mapping[str, str]
#: The lowest number above 0.
POSITIVE = math.ulp(0.0)


def bad_input(path: str, given: Any, accepted: str) -> DeviceInputError:
    """Return the error that names the place, what was given and what is accepted."""
    return DeviceInputError(f"{path}: {given!r} was given, accepted is {accepted}")


def make_location(address: str, detail_1: str | None = None, detail_2: str | None = None) -> Location:
    """Return a place: the device or site, and the place inside it."""
    return {"address": address, "detail_1": detail_1, "detail_2": detail_2}


def describe_location(location: Location) -> str:
    """Return a place in words, as ``AutoBASS, tray 1, 17``."""
    return ", ".join(part for part in (location[name] for name in ("address", "detail_1", "detail_2")) if part)


def read_target(payload: Json, targets: Targets) -> str:
    """Return the quantity that is asked for.

    :raises DeviceInputError: when it, or its method, is not among the targets.
    """
    quantity = payload.get("quantity")
    if not isinstance(quantity, str) or quantity not in targets:
        raise bad_input("quantity", quantity, " or ".join(f"{name!r} ({targets[name]})" for name in targets))
    if payload.get("method") != targets[quantity]:
        raise bad_input("method", payload.get("method"), repr(targets[quantity]))
    return quantity


def read_object(path: str, value: Any, holds: str) -> Json:
    """Return a JSON object.

    :param holds: what it holds, for the error.
    """
    if not isinstance(value, dict):
        raise bad_input(path, value, f"an object with {holds}")
    return value


def read_number(path: str, value: Any, low: float, high: float, accepted: str) -> float:
    """Return a finite number from ``low`` to ``high``."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or not abs(value) <= sys.float_info.max:
        raise bad_input(path, value, accepted)
    return float(value)


def read_count(path: str, value: Any, low: int, high: float = math.inf) -> int:
    """Return a whole number from ``low`` to ``high``; it may be written as 4.0."""
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise bad_input(path, value, f"a whole number from {low}" + (f" to {high}" if high < math.inf else ""))
    return number


def read_text(path: str, value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise bad_input(path, value, "a text")
    return value


def read_location(path: str, value: Any) -> Location:
    """Return a place."""
    given = read_object(path, value, "address, and perhaps detail_1 and detail_2")
    _check_texts(path, given, "detail_1", "detail_2")
    address = read_text(f"{path}.address", given.get("address"))
    return make_location(address, given.get("detail_1"), given.get("detail_2"))


def read_cell_info(path: str, value: Any) -> Json:
    """Return identity and whereabouts of a cell, as they were given."""
    info = read_object(path, value, "uuid, the identity of the cell, or electrolyte_info")
    _check_texts(path, info, "cell_name", "uuid", "assembly_date", "batch")
    _check_place(path, info, "cell_location")
    for name in ("anode_info", "cathode_info", "electrolyte_info"):
        if info.get(name) is not None:
            part = read_object(f"{path}.{name}", info[name], "uuid, name and batch")
            _check_texts(f"{path}.{name}", part, "name", "uuid", "preparation_date", "batch")
            _check_place(f"{path}.{name}", part, "location")
    return info


def _check_texts(path: str, given: Json, *names: str) -> None:
    for name in names:
        if given.get(name) is not None:
            read_text(f"{path}.{name}", given[name])


def _check_place(path: str, given: Json, name: str) -> None:
    if given.get(name) is not None:
        read_location(f"{path}.{name}", given[name])


def read_formulation(path: str, formulation: Any) -> dict[str, float]:
    """Return mole fractions by InChIKey."""
    if not isinstance(formulation, list) or not formulation:
        raise bad_input(path, formulation, "a list of chemicals with their fractions")
    fractions: dict[str, float] = {}
    for index, component in enumerate(formulation):
        key, fraction = _read_component(f"{path}[{index}]", component)
        if key in fractions:
            raise bad_input(f"{path}[{index}].chemical.InChIKey", key, "each chemical once")
        fractions[key] = fraction
    try:
        check_fractions(fractions)
    except InputError as error:
        raise DeviceInputError(f"{path}: {error}") from error
    return fractions


def _read_component(path: str, component: Any) -> tuple[str, float]:
    given = read_object(path, component, "chemical, fraction and fraction_type")
    chemical = given.get("chemical")
    names = [chemical.get(name) for name in ("SMILES", "InChIKey")] if isinstance(chemical, dict) else [None]
    if not all(isinstance(name, str) and name for name in names):
        raise bad_input(f"{path}.chemical", chemical, "an object with SMILES and InChIKey")
    smiles, key = map(str, names)
    contradiction = find_contradiction(smiles, key)
    if contradiction is not None:
        raise bad_input(f"{path}.chemical", chemical, f"one chemical: {contradiction}")
    kind = given.get("fraction_type")
    if not isinstance(kind, str) or canonical_fraction_type(kind) is None:
        raise bad_input(f"{path}.fraction_type", kind, repr(MOLE_FRACTION))
    return key, read_number(f"{path}.fraction", given.get("fraction"), 0.0, 1.0, "a number from 0 to 1")
