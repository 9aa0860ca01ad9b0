"""What follows from a failure of what a tenant does."""

from __future__ import annotations

from dataclasses import dataclass

from aiida_finales.exceptions import (
    DeviceFaultError,
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
)


@dataclass(frozen=True)
class Verdict:
    """What is known after a failure.

    :param has_acted: whether it may have acted.
    :param is_final: whether this tenant will never be able to serve the request.
    :param is_away: whether the device is busy or away, so that nothing else should be tried at once.
    """

    has_acted: bool = True
    is_final: bool = False
    is_away: bool = False


#: by class; anything else may have acted
VERDICTS: tuple[tuple[type[Exception], Verdict], ...] = (
    (DeviceInputError, Verdict(has_acted=False, is_final=True)),
    (DeviceLimitationError, Verdict(has_acted=False, is_final=True)),
    (DeviceUnavailableError, Verdict(has_acted=False, is_away=True)),
    (DeviceFaultError, Verdict(has_acted=False)),
)


def judge(error: Exception) -> Verdict:
    """Return what follows from a failure."""
    return next((verdict for kind, verdict in VERDICTS if isinstance(error, kind)), Verdict())
