"""The one rule for fractions that rounding left beside 1."""

from __future__ import annotations

from collections.abc import Mapping

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.registry import SUM_TOLERANCE, chemical_label

#: sum of percentages, and how far one may miss it and still be taken for that
_WHOLE, _PERCENT_TOLERANCE = 100.0, 1.0


def scale(shares: Mapping[str, float]) -> dict[str, float]:
    """Return fractions divided by their sum, which rounding may have left beside 1.

    :raises InputError: when a fraction is no number from 0 to 1, or the sum misses 1 by more than rounding explains.
    """
    given = {chemical_label(word): share for word, share in shares.items()}
    is_small = all(0 <= share <= _WHOLE for share in shares.values())  # what is larger may not even be summed
    if is_small and abs(sum(shares.values()) - _WHOLE) < _PERCENT_TOLERANCE:
        message = f"fractions are {given} and sum to 100: they look like %; accepted are 0 to 1 with sum 1, or '8 %'"
        raise InputError(message)
    # written so that what is not a number is refused, too; what is in range can be summed
    if not all(0 <= share <= 1 for share in shares.values()):
        message = f"fractions are {given}, accepted are 0 to 1 with sum 1"
        raise InputError(message)
    total = sum(shares.values())
    if abs(total - 1) > SUM_TOLERANCE:
        message = f"fractions are {given} with sum {total:.6g}, accepted are 0 to 1 with sum 1"
        raise InputError(message)
    return {word: share / total for word, share in shares.items()}
