"""Everything aiida-finales raises on purpose.

::

    FinalesError
    ├── InputError (ValueError)        what was given cannot be accepted; nothing was stored
    │   ├── SchemaError                a value breaks its schema: path, given, accepted
    │   │   └── ImplausibleError       a number that no electrolyte or cell is expected to have
    │   ├── UnknownCapabilityError     no such quantity or method
    │   ├── LimitationError            no active tenant can do it: path, allowed, nearest feasible parameters
    │   └── CampaignFileError          a campaign file that cannot be understood
    ├── StatusError                    a status change that is not permitted
    │   └── HeldError                  somebody else holds the request: holder and time
    ├── AccessError                    somebody may not do this: who may
    │   ├── LoginError                 name and password, or the token, are not accepted
    │   ├── FormError                  a form that was filled too long ago, or on another site
    │   └── TooManyFailuresError       too many wrong logins: seconds to wait
    ├── UnknownNodeError               no request, result, tenant ... with that identifier
    ├── MissingExtraError (ImportError)  an optional dependency is not installed: which extra brings it
    ├── DaemonError                    no daemon, a daemon with old code, a broker that does not answer
    ├── OptimiserError                 no suggestion can be made
    │   ├── OptimiserLostError         the optimiser's process ended before it answered: ask again
    │   └── UsedUpError                all that could be asked was asked
    ├── FitError                       a model could not be fitted to data
    ├── BackupError                    a back-up is not whole, or another one is running
    ├── ArchiveError                   an archive does not answer, or has something else than was sent
    │   ├── ArchiveRefusedError        the archive does not want it: status and fields
    │   └── ArchiveLostError           the answer got lost: it is not known whether the call had an effect
    ├── ServerError                    a server did not do what its client asked for
    │   ├── ServerRefusedError         it said no: status and detail
    │   └── ServerAwayError            it does not answer; whether the call had an effect may not be known
    ├── SimulationError                what ``finales-md`` and ``finales-mlp`` report; carries their exit status
    │   ├── SimulationInputError       10, the input cannot be accepted
    │   │   └── FolderTakenError       10, the folder belongs to another run
    │   ├── ForceFieldError            20, a chemical without force field
    │   ├── BlownUpError               30, the simulated liquid is not one: energy or temperature out of bounds
    │   │   ├── DivergedError          31, the training of a potential got worse without end
    │   │   └── NotConvergedError      32, the reference method converged for no frame
    │   ├── WalltimeError              40, the time is over; what is done is kept, resume
    │   ├── DistrustError              50, the result is written, and is not to be trusted
    │   ├── EngineError                60, no such engine or platform here
    │   └── StorageError               70, the disk is full or cannot be written
    └── DeviceError                    what a driver reports; carries the exit status of the process
        ├── DeviceInputError           64, the input file is not acceptable
        ├── DeviceLimitationError      65, the device cannot do this
        ├── DeviceUnavailableError     69, the device is busy or away: try again later
        ├── DeviceFaultError           70, the device failed
        └── NeedsOperatorError         75, a person must look before anything else happens
            └── JournalLostError       76, the same, because the journal of the device has forgotten what it did
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

#: what the operating system refuses, in words: of whom is put before them, what to do comes after
_REFUSALS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("cannot be written: no space is left on its disk", "make room"),
    errno.EDQUOT: ("cannot be written: your share of the disk is used up", "make room"),
    errno.EFBIG: ("cannot be written: the file would be larger than is allowed", "name a place on another disk"),
    errno.EROFS: ("cannot be written: it is on a disk that is read-only", "name another place"),
    errno.EACCES: ("may not be used by you: permission denied", "change its permissions, or name another"),
    errno.EPERM: ("may not be used by you: permission denied", "change its permissions, or name another"),
    errno.EISDIR: ("is a folder; accepted is a file", "name a file"),
    errno.ENOTDIR: ("is, or is said to be in, a file; accepted is a folder", "name a folder"),
    errno.EEXIST: ("exists already", "name another place, or remove it"),
    errno.ENOTEMPTY: ("is not empty", "name another folder"),
    errno.ENOENT: ("does not exist", "look at the name"),
    errno.ENAMETOOLONG: ("has a name that is too long", "choose a shorter name"),
    errno.ELOOP: ("is a link that leads back to itself", "name another place"),
    errno.EIO: ("cannot be read or written: its disk has a fault", "look at the disk"),
    errno.EBUSY: ("is in use", "end what uses it"),
    errno.EMFILE: ("cannot be opened: this program has too many files open", "raise the limit with 'ulimit -n'"),
    errno.ENFILE: ("cannot be opened: this computer has too many files open", "end other programs"),
    errno.EADDRINUSE: ("is in use by another program", "name another with --port"),
    errno.EADDRNOTAVAIL: ("is no address of this computer", "name another with --host"),
    errno.ECONNREFUSED: ("does not answer: nothing listens there", "look whether it runs, and at the address"),
    errno.EHOSTUNREACH: ("does not answer: there is no way to it", "look at the network"),
    errno.ENETUNREACH: ("does not answer: there is no way to it", "look at the network"),
    errno.ETIMEDOUT: ("does not answer in time", "look at the network"),
}
#: what passes: after it the same command goes on where it was
_PASSING = (errno.ENOSPC, errno.EDQUOT)
#: what a reader of YAML says, and the same for people; the first that fits counts
_SYNTAX = (
    (r"character '\\t' that cannot", "a tab stands where YAML has spaces: replace it by spaces"),
    (r"character '(.)' that cannot", "a value cannot begin with {0}: put the text in quotes"),
    ("mapping values are not allowed", "a ': ' where none can be: the line before has no space behind its colon, a "
     "text with ': ' is not in quotes, or the line is indented too far"),
    ("could not find expected ':'", "a key needs ': ' behind it, a colon and a space, or a quote or bracket before it "
     "is not closed"),
    ("expected <block end>", "the line is not indented as the lines above it, or a text behind a quote is not in it"),
    ("unexpected end of stream|expected ',' or '[\\]}}]'", "a quote or a bracket is not closed"),
    ("undefined alias '(.+)'", "*{0} means nothing: put a text that begins with * in quotes"),
    ("expected the node content|did not find expected|expected alphabetic", "a value is missing, or a text with a sign "
     "such as , : * & or ! has to stand in quotes"),
    ("another document", "a second document begins here (---): accepted is one"),
    ("determine a constructor for the tag", "a value cannot begin with !: put the text in quotes"),
)  # fmt: skip
#: characters of a name that a message shows
_SHOWN = 120
#: defects of a document that a message tells one by one: a list in another unit has as many as it has numbers
_MOST_TOLD = 8


def explain_os_error(error: OSError, subject: object = None) -> str:
    """Return in one sentence what the operating system refused, and what to do.

    :param subject: what it is about, where the error itself does not say.
    """
    name = error.filename if error.filename is not None else subject
    what = "a file" if name is None else os.fsdecode(name) if isinstance(name, bytes) else str(name)
    if len(what) > _SHOWN:
        what = f"{what[:_SHOWN]}..."
    words, cure = _REFUSALS.get(error.errno or 0, (f"cannot be used: {error.strerror or error}", "look at it"))
    if error.errno in _PASSING:
        return f"{what} {words}; what is done stays: {cure}, then give the same command again"
    return f"{what} {words}: {cure}"


def explain_syntax_error(error: Exception) -> str:
    """Return in one line why a text is no YAML or JSON, with the place in it; libraries say it in several."""
    if isinstance(error, RecursionError):
        return "lists or sections are nested too deeply in each other"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    problem = str(getattr(error, "problem", None) or "no end")
    hits = ((re.search(pattern, problem), words) for pattern, words in _SYNTAX)
    said = next((words.format(*hit.groups()) for hit, words in hits if hit), problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}"


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
            f"{error['path']}: {error['given']!r} was given, accepted is {error['accepted']}"
            for error in errors[:_MOST_TOLD]
        )
        more = f"; and {len(errors) - _MOST_TOLD} more" if len(errors) > _MOST_TOLD else ""
        super().__init__(f"{subject}: {lines}{more}")


class ImplausibleError(SchemaError):
    """A number that no electrolyte or cell is expected to have; who has looked at it may say that it is right."""


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


class AccessError(FinalesError):
    """Somebody may not do this; nothing was changed."""


class LoginError(AccessError):
    """Name and password, or the token, are not accepted."""


class FormError(AccessError):
    """A form is too old, or comes from another site: whoever sent it may well do what it asks for."""


class TooManyFailuresError(AccessError):
    """Too many wrong logins.

    :param seconds: after these it may be tried again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"too many failed logins: try again in {seconds:.0f} s")


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


class UsedUpError(OptimiserError):
    """All that could be asked is known or under way, and nothing may be asked twice."""


class FitError(FinalesError):
    """A model could not be fitted to data."""


class ServerError(FinalesError):
    """A server did not do what its client asked for."""


class ServerRefusedError(ServerError):
    """A server said no; ``status`` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class ServerAwayError(ServerError):
    """A server does not answer, or says that it cannot now; whether the call had an effect may not be known."""


class SimulationError(FinalesError):
    """What ``finales-md`` and ``finales-mlp`` report; ``exit_status`` is the exit status of the program."""

    exit_status = 1


class SimulationInputError(SimulationError, InputError):
    """The input cannot be accepted; nothing was simulated."""

    exit_status = 10


class FolderTakenError(SimulationInputError):
    """The folder for the results belongs to another run, which is left as it is."""


class ForceFieldError(SimulationError):
    """A chemical without force field, or one that does not fit its chemical."""

    exit_status = 20


class BlownUpError(SimulationError):
    """Energy, temperature or density left the bounds of a liquid."""

    exit_status = 30


class DivergedError(BlownUpError):
    """The training of a potential got worse without end."""

    exit_status = 31


class NotConvergedError(BlownUpError):
    """The reference method converged for no frame."""

    exit_status = 32


class WalltimeError(SimulationError):
    """The time is over; what is done is kept, resume."""

    exit_status = 40


class DistrustError(SimulationError):
    """The result is written, and is not to be trusted."""

    exit_status = 50


class EngineError(SimulationError):
    """No such engine or platform here."""

    exit_status = 60


class StorageError(SimulationError):
    """The disk is full or cannot be written."""

    exit_status = 70


class BackupError(FinalesError):
    """A back-up is not whole, or another one is running."""


class ArchiveError(FinalesError):
    """An archive does not answer, or has something else than was sent."""


class ArchiveRefusedError(ArchiveError):
    """The archive does not want it; ``status`` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class ArchiveLostError(ArchiveError):
    """The answer got lost: it is not known whether the call had an effect.

    :param wait: s after which the archive wants to be asked again, where it says so.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(message)


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


class JournalLostError(NeedsOperatorError):
    """The journal of a device was deleted or restored from an old copy: it is not known whether the device acted."""

    exit_status = 76
