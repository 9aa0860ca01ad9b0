"""Everything aiida-finales raises on purpose.

::

    FinalesError
    ├── InputError (ValueError)        what was given cannot be accepted; nothing was stored
    │   ├── SchemaError                a value breaks its schema: path, given, accepted
    │   ├── UnknownCapabilityError     no such quantity or method
    │   ├── LimitationError            no active tenant can do it: path, allowed, nearest feasible parameters
    │   └── CampaignFileError          a campaign file that cannot be understood
    ├── StatusError                    a status change that is not permitted
    │   └── HeldError                  somebody else holds the request: holder and time
    ├── UnknownNodeError               no request, result, tenant ... with that identifier
    ├── MissingExtraError (ImportError)  an optional dependency is not installed: which extra brings it
    ├── DaemonError                    no daemon, a daemon with old code, a broker that does not answer
    ├── OptimiserError                 no suggestion can be made
    │   └── OptimiserLostError         the optimiser's process ended before it answered: ask again
    ├── FitError                       a model could not be fitted to data
    └── DeviceError                    what a driver reports; carries the exit status of the process
        ├── DeviceInputError           64, the input file is not acceptable
        ├── DeviceLimitationError      65, the device cannot do this
        ├── DeviceUnavailableError     69, the device is busy or away: try again later
        ├── DeviceFaultError           70, the device failed
        └── NeedsOperatorError         75, a person must look before anything else happens
"""

from __future__ import annotations

from typing import Any


class FinalesError(Exception):
    """Base of everything raised on purpose."""


class InputError(FinalesError, ValueError):
    """What was given cannot be accepted; nothing was stored."""


class SchemaError(InputError):
    """A value breaks its schema.

    :param errors: one dictionary per defect: ``path`` (JSON path), ``given``, ``accepted`` (a phrase).
    """

    def __init__(self, subject: str, errors: list[dict[str, Any]]) -> None:
        self.errors = errors
        lines = "; ".join(
            f"{error['path']}: {error['given']!r} was given, accepted is {error['accepted']}" for error in errors
        )
        super().__init__(f"{subject}: {lines}")


class UnknownCapabilityError(InputError):
    """No such quantity or method."""


class LimitationError(InputError):
    """No active tenant can do what is asked.

    :param nearest: the nearest feasible parameters per method, where they could be found.
    """

    def __init__(self, message: str, nearest: dict[str, Any] | None = None) -> None:
        self.nearest = nearest or {}
        super().__init__(message)


class CampaignFileError(InputError):
    """A campaign file that cannot be understood."""


class StatusError(FinalesError):
    """A status change that is not permitted."""


class HeldError(StatusError):
    """Somebody else holds the request."""


class UnknownNodeError(FinalesError, LookupError):
    """No request, result, tenant or campaign with that identifier."""


class MissingExtraError(FinalesError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'aiida-finales[{extra}]'")


class DaemonError(FinalesError):
    """No daemon, a daemon with old code, or a broker that does not answer."""


class OptimiserError(FinalesError):
    """No suggestion can be made."""


class OptimiserLostError(OptimiserError):
    """The optimiser's process ended before it answered: ask again."""


class FitError(FinalesError):
    """A model could not be fitted to data."""


class DeviceError(FinalesError):
    """What a driver reports; ``exit_status`` is the exit status of its process."""

    exit_status = 70


class DeviceInputError(DeviceError):
    """The input file is not acceptable."""

    exit_status = 64


class DeviceLimitationError(DeviceError):
    """The device cannot do this."""

    exit_status = 65


class DeviceUnavailableError(DeviceError):
    """The device is busy or away: try again later."""

    exit_status = 69


class DeviceFaultError(DeviceError):
    """The device failed."""

    exit_status = 70


class NeedsOperatorError(DeviceError):
    """It is not known whether the device acted: a person must look."""

    exit_status = 75
