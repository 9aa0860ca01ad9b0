"""The command line that all drivers share.

::

    driver --key KEY --input in.json --output out.json [--journal DIR] [--wait SECONDS] [--limit SECONDS] [--dry-run]
    driver --key KEY --settle done|not-done --reason TEXT [--result result.json] [--journal DIR]
    driver --limitations
    driver --status [--settings JSON] [--journal DIR]

Exit status: 0 done, 64 bad input, 65 the device cannot do this, 69 device unavailable (try again), 70 device fault,
75 a person must look, 76 the same because the journal has forgotten what the device did. With 64 to 70 the device has
not acted, so that the caller may try again under another key; from the moment it begins to act, whatever goes wrong is
75; a device may also ask for a person before it begins (an empty bottle), and may then be called again once its key is
settled as not-done. The output is written as a whole or not at all; its last key is ``end``.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

from aiida_finales.exceptions import (
    DeviceError,
    DeviceInputError,
    DeviceUnavailableError,
    NeedsOperatorError,
    explain_os_error,
)
from aiida_finales.lab.driver.journal import OUTCOMES, Journal, check_key, device_lock, read_holder, write_durably
from aiida_finales.schemas import Json
from aiida_finales.schemas.command_line import read_json_file
from aiida_finales.schemas.moment import timestamp

#: Last key and value of every output: its absence means that the output is not complete.
END_MARKER = ("end", "finales-driver-output")

#: Variable of the environment: when a key was handed over for the first time, where it is handed over again.
HANDED = "FINALES_HANDED"

#: what a disk refuses before the device acts, and does again once somebody has looked after it
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)

#: s to wait for a device that serves somebody else
PATIENCE = 300.0


@dataclass(frozen=True)
class Call:
    """One call of a driver.

    :param key: names the act.
    :param folder: where the device keeps its state.
    :param attempt: how often the device was about to act for this key, from 1.
    """

    key: str
    folder: Path
    attempt: int


class Device(Protocol):
    """What a driver must know about its device."""

    name: str

    def limitations(self) -> Json:
        """Return what the device can do, JSON-ready."""

    def prepare(self, payload: Json) -> Any:
        """Turn the input into a plan, without touching the device.

        :raises DeviceInputError: when the input is not acceptable.
        :raises DeviceLimitationError: when the device cannot do it.
        """

    def describe(self, plan: Any) -> str:
        """Return a plan in one line."""

    def check(self, plan: Any, call: Call) -> None:
        """Look whether the device is able to act now; nothing irreversible.

        :raises DeviceError: when it is not.
        """

    def act(self, plan: Any, call: Call) -> Json:
        """Do it, and return the result.

        Whatever it raises, from then on it is not known what the device did.
        """


@runtime_checkable
class Telling(Protocol):
    """A device that tells of itself what people want to see; none has to."""

    def status(self, folder: Path, settings: Json) -> Json:
        """Return what the device knows of itself, without touching it; JSON-ready.

        ``stocks`` are bottles and boxes: ``identity``, ``name``, ``amount`` and its ``unit``. ``channels`` have
        ``channel`` (a number), ``state`` (``free``, ``reserved`` or ``cell``), ``cell``, ``n_cycles`` and
        ``reservation``.

        :param folder: where the device keeps its state.
        :param settings: of the offers that it serves.
        """


class Words(argparse.ArgumentParser):
    """Refuses a command line as an input that is not acceptable."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where help is."""
        raise DeviceInputError(f"{message}; see {self.prog} --help")


def say(text: str) -> None:
    """Tell the log of the driver what is going on."""
    print(f"{timestamp()} {text}", file=sys.stderr, flush=True)


def run_driver(device: Device, arguments: Sequence[str] | None = None) -> int:
    """Run one call and return its exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    try:
        _dispatch(device, _parse(device, arguments))
    except DeviceError as error:
        say(f"{device.name}: {error}")
        return error.exit_status
    except OSError as error:
        say(f"{device.name}: {explain_os_error(error)}")
        return (DeviceUnavailableError if error.errno in PASSING else DeviceError).exit_status
    except Exception as error:  # whatever else goes wrong is a fault of the device as well
        traceback.print_exc()
        say(f"{device.name}: {type(error).__name__}: {error}")
        return DeviceError.exit_status
    return 0


def _parse(device: Device, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Words(prog=f"finales-{device.name}", description=f"Make the device '{device.name}' do one thing, once.")
    parser.add_argument("--key", help="name of the act: the same key never acts twice")
    parser.add_argument("--input", type=Path, help="JSON file: quantity, method, parameters, settings")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--journal", type=Path, help="folder of the device [$FINALES_JOURNAL, ~/.finales/<device>]")
    parser.add_argument("--wait", type=_seconds, default=PATIENCE, help="s to wait for a busy device [%(default)g]")
    parser.add_argument("--limit", type=_seconds, help="s that the device may take; then a person must look [none]")
    parser.add_argument("--dry-run", action="store_true", help="check the input, say what would be done, and stop")
    parser.add_argument("--limitations", action="store_true", help="print what the device can do, and stop")
    parser.add_argument("--status", action="store_true", help="print what the device does and has, and stop")
    parser.add_argument("--settings", default="{}", help="with --status: settings of the device as JSON [%(default)s]")
    parser.add_argument("--settle", choices=OUTCOMES, help="after a look at the device: did it act for this key?")
    parser.add_argument("--reason", default="", help="with --settle: how you know")
    parser.add_argument("--result", type=Path, help="with --settle done: JSON file with the result, if there is one")
    parser.add_argument("--who", help="with --settle: your name [account]")
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    """Return seconds, from 0.

    :raises ArgumentTypeError: when it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} was given, accepted is a number of seconds from 0")
    return number


def _dispatch(device: Device, options: argparse.Namespace) -> None:
    if options.limitations:
        print(json.dumps(device.limitations(), indent=1))
        return
    if options.status:
        print(json.dumps(_tell(device, options), indent=1))
        return
    if not options.key:
        raise DeviceInputError("--key is missing")
    check_key(options.key)
    if options.settle:
        _settle(device, options)
        return
    if not options.input or not options.output:
        raise DeviceInputError("--input and --output are both needed")
    if not options.output.absolute().parent.is_dir():
        raise DeviceInputError(f"the folder of --output {options.output} does not exist")
    payload = _read(options.input)
    plan = device.prepare(payload)
    say(f"{device.name}: {device.describe(plan)}")
    if options.dry_run:
        say(f"{device.name}: dry run, nothing done")
        return
    _write(options, _act_once(device, plan, payload, options))
    say(f"{device.name}: wrote {options.output}")


def _tell(device: Device, options: argparse.Namespace) -> Json:
    """Return who has the device now, and what it tells of itself.

    :raises DeviceInputError: when the settings are no JSON object.
    """
    try:
        settings = json.loads(options.settings)
    except ValueError as error:
        raise DeviceInputError(f"--settings is no JSON: {error}") from error
    if not isinstance(settings, dict):
        raise DeviceInputError(f"--settings is {options.settings}, accepted is a JSON object")
    folder = _folder(device, options)
    told = device.status(folder, settings) if isinstance(device, Telling) else {}
    return {"device": device.name, "holder": read_holder(folder / "lock"), **told}


def _act_once(device: Device, plan: Any, payload: Json, options: argparse.Namespace) -> Json:
    """Return the result of this key, acting if and only if it was not acted before."""
    folder = _folder(device, options)
    journal = Journal(folder)
    with device_lock(folder / "lock", options.key, options.wait):
        first = journal.look_up(options.key, payload, os.environ.get(HANDED))
        if first is not None:
            say(f"{device.name}: key {options.key} is done already, returning the first result")
            return first
        entry = journal.find(options.key)
        device.check(plan, Call(options.key, folder, entry["attempts"] + 1 if entry else 1))
        attempt = journal.begin(options.key, payload)
        say(f"{device.name}: begun, key {options.key}, attempt {attempt}")
        try:
            with _limited(options.limit):
                result = device.act(plan, Call(options.key, folder, attempt))
            journal.finish(options.key, result)
        except Exception as error:
            if not isinstance(error, (DeviceError, OSError)):
                traceback.print_exc()
            words = explain_os_error(error) if isinstance(error, OSError) else error
            raise NeedsOperatorError(journal.doubt(options.key, f"{type(error).__name__}: {words}")) from error
        return result


@contextmanager
def _limited(limit: float | None) -> Iterator[None]:
    """Give up on a device that does not come back.

    :param limit: s; ``None``: wait for ever.
    :raises NeedsOperatorError: when it has not come back by then.
    """
    if limit is None:
        yield
        return

    def give_up(*_: object) -> NoReturn:
        raise NeedsOperatorError(f"it has not come back within {limit:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _write(options: argparse.Namespace, result: Json) -> None:
    marker, text = END_MARKER
    try:
        write_durably(options.output, {key: value for key, value in result.items() if key != marker} | {marker: text})
    except OSError as error:
        raise NeedsOperatorError(
            f"the device acted, but the result is in the journal only: {explain_os_error(error, options.output)}. Call "
            f"again with the same key {options.key}"
        ) from error


def _settle(device: Device, options: argparse.Namespace) -> None:
    folder = _folder(device, options)
    result = _read(options.result) if options.result else None
    journal = Journal(folder)
    with device_lock(folder / "lock", options.key, options.wait):
        journal.settle(options.key, options.settle, options.reason, options.who, result)
    say(f"{device.name}: key {options.key} settled as {options.settle}")


def _folder(device: Device, options: argparse.Namespace) -> Path:
    if options.journal:
        return Path(options.journal)
    given = os.environ.get("FINALES_JOURNAL")
    return Path(given) if given else Path.home() / ".finales" / device.name


def _read(path: Path) -> Json:
    payload = read_json_file(path, DeviceInputError)
    if not isinstance(payload, dict):
        raise DeviceInputError(f"{path} holds a {type(payload).__name__}, accepted is an object")
    return payload
