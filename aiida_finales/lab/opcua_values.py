"""Python values as the types of OPC UA variables and arguments."""

from __future__ import annotations

import math
from typing import Any

from aiida_finales.lab.reading import bad_input

#: bits by name of the integer type; a U in front: without sign
_INTEGERS = {
    name: (low, high)
    for bits, signed, unsigned in (
        (8, "SByte", "Byte"),
        (16, "Int16", "UInt16"),
        (32, "Int32", "UInt32"),
        (64, "Int64", "UInt64"),
    )
    for name, low, high in ((signed, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), (unsigned, 0, 2**bits - 1))
}


def convert(path: str, value: Any, type_name: str) -> Any:
    """Return a value as the Python type that an OPC UA type takes.

    :param path: where the value comes from, for the error.
    :param type_name: such as ``Double``, ``Int16``, ``String``, ``Boolean``.
    :raises DeviceInputError: when the type cannot hold the value.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if type_name in _INTEGERS:
        low, high = _INTEGERS[type_name]
        if not is_number or value != int(value) or not low <= value <= high:
            raise bad_input(path, value, f"a whole number from {low} to {high} ({type_name})")
        return int(value)
    if type_name in ("Float", "Double"):
        if not is_number:
            raise bad_input(path, value, f"a number ({type_name})")
        return float(value)
    kinds: dict[str, type] = {"String": str, "Boolean": bool}
    if type_name not in kinds:
        raise bad_input(path, type_name, "a variable of type Boolean, String, Float, Double or an integer type")
    if not isinstance(value, kinds[type_name]):
        raise bad_input(path, value, f"a value of type {type_name}")
    return value
