"""Temperatures as people say them: a number is in K, a text has its unit (``25 °C``, ``298.15 K``)."""

from __future__ import annotations

import math
import re
from typing import Any

from aiida_finales.exceptions import InputError

ZERO_CELSIUS = 273.15
_TEXT = re.compile(r"\s*([+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*(°\s*C|degC|deg C|℃|C|K|)\s*", re.IGNORECASE)


def read_temperature(given: Any, whose: str = "temperature") -> float:
    """Return a temperature in K.

    :raises InputError: when it is no number, has another unit, or is below absolute zero.
    """
    if isinstance(given, str):
        match = _TEXT.fullmatch(given)
        if match is None:
            raise InputError(f"{whose} is {given!r}, but accepted is a number in K, or a text as '25 °C' or '298.15 K'")
        number = float(match[1].replace(",", "."))
        is_celsius = match[2].upper().endswith(("C", "℃"))
        kelvin = round(number + ZERO_CELSIUS, 9) if is_celsius else number
    elif isinstance(given, (int, float)) and not isinstance(given, bool):
        kelvin = float(given)
    else:
        raise InputError(f"{whose} is {given!r}, but accepted is a number in K, or a text as '25 °C'")
    if not 0 < kelvin < math.inf:
        raise InputError(f"{whose} is {given!r}, but accepted is a temperature above absolute zero (0 K, -273.15 °C)")
    return kelvin
