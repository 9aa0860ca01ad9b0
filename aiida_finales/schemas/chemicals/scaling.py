"""The one rule for fractions that rounding left beside 1."""

from __future__ import annotations

from collections.abc import Mapping

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.registry import SUM_TOLERANCE, chemical_label

#: how far a sum of percentages may miss 100, and still be taken for one
_PERCENT_TOLERANCE = 1.0


def scale(shares: Mapping[str, float]) -> dict[str, float]:
    """Return fractions divided by their sum, which rounding may have left beside 1.

    :raises InputError: when a fraction is no number from 0 to 1, or the sum misses 1 by more than rounding explains.
    """
    given = {chemical_label(word): share for word, share in shares.items()}
    if abs(sum(shares.values()) - 100.0) < _PERCENT_TOLERANCE:
        raise InputError(f"fractions are {given} and sum to 100: they look like %, accepted is a sum of 1, or '8 %'")
    # written so that what is not a number is refused, too; what is in range can be summed
    if not all(0 <= share <= 1 for share in shares.values()):
        message = f"fractions are {given}, accepted are 0 to 1 with sum 1"
        raise InputError(message)
    total = sum(shares.values())
    if abs(total - 1) > SUM_TOLERANCE:
        message = f"fractions are {given} with sum {total:.6g}, accepted are 0 to 1 with sum 1"
        raise InputError(message)
    return {word: share / total for word, share in shares.items()}
