"""The command ``finales-tenant``: run a driver as a tenant outside of the platform, or settle what was interrupted.

Exit status: 0 told to stop; 64 the command line or the settings make no sense; 69 another process serves from the
journal; 75 a person must look at the device; 77 user or password are not accepted.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from aiida_finales.client.client import LEASE, Client
from aiida_finales.client.order import Answer, Order
from aiida_finales.client.tenant import INTERVAL, Tenant
from aiida_finales.exceptions import (
    AccessError,
    DeviceError,
    DeviceFaultError,
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
    FinalesError,
    FitError,
    InputError,
    JournalLostError,
    NeedsOperatorError,
    explain_os_error,
)
from aiida_finales.lab.driver.command import END_MARKER
from aiida_finales.lab.driver.evaluation import COMPUTED, evaluate, read_output
from aiida_finales.lab.driver.journal import OUTCOMES, write_durably
from aiida_finales.schemas import Json
from aiida_finales.schemas.command_line import read_json_file, seconds

LOGGER = logging.getLogger("aiida_finales.client")

PASSWORD = "FINALES_PASSWORD"  # noqa: S105 - the name of a variable
NOT_ACCEPTED = 77

Evaluate = Callable[[Json], "Json | Answer"]

#: what a driver says about its call and not about what it found
ABOUT_THE_CALL = frozenset({END_MARKER[0], "key", "quantity", "method", "simulated"})

REFUSALS: dict[int, type[DeviceError]] = {
    kind.exit_status: kind
    for kind in (
        *(DeviceInputError, DeviceLimitationError, DeviceUnavailableError, DeviceFaultError),
        *(NeedsOperatorError, JournalLostError),
    )
}

#: calls with the same key after a driver ended as no driver should; then a person must look
CALLS = 3
#: s between them
PAUSE = 5.0


def main() -> None:
    """Run ``finales-tenant`` and exit with its status."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S%z", level=logging.INFO
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per call otherwise
    try:
        _serve(words)
    except DeviceError as error:
        LOGGER.critical("%s", error)
        return error.exit_status
    except AccessError as error:
        LOGGER.critical("%s", error)
        return NOT_ACCEPTED
    except FinalesError as error:
        LOGGER.critical("%s", error)
        return DeviceInputError.exit_status
    except OSError as error:
        LOGGER.critical("%s", explain_os_error(error))
        return DeviceInputError.exit_status
    return 0


def _serve(words: list[str]) -> None:
    options, of_driver = _parse(words)
    if options.settle:
        _settle(options)
        return
    if not options.driver:
        raise InputError("--driver is missing: name the program that serves, or settle an order with --settle")
    evaluate = find_evaluation(options.quantity, options.method, options.evaluate)
    settings = None if options.settings is None else read_json_file(options.settings)
    program = (options.driver, *of_driver)
    function = DriverFunction(program, options.journal / "calls", evaluate, settings=settings)
    with Client(options.url, options.user, _read_password(options.password_file)) as client:
        tenant = Tenant(
            client,
            options.tenant,
            options.quantity,
            options.method,
            options.journal,
            limitations=None if options.limitations is None else read_json_file(options.limitations),
            lease=options.lease,
            interval=options.interval,
        )
        serve = tenant.serve_once if options.once else tenant.serve
        serve(function, is_repeatable=True)


def _settle(options: argparse.Namespace) -> None:
    """Say what became of an order that was interrupted, to the journal and to the server."""
    if not options.request or not options.reason.strip():
        raise InputError("--settle needs --request UUID, and --reason with how you know")
    if (options.settle == "done") != (options.result is not None):
        raise InputError("--settle done needs --result FILE with what was found, --settle not-done has none")
    with Client(options.url, options.user, _read_password(options.password_file)) as client:
        tenant = Tenant(client, options.tenant, options.quantity, options.method, options.journal)
        tenant.settle_there(options.request, options.settle, options.reason, _read_answer(options.result))
    LOGGER.info("request %s is settled as %s", options.request, options.settle)


def _read_answer(path: Path | None) -> Answer | None:
    if path is None:
        return None
    document = read_json_file(path)
    if not isinstance(document, dict) or not all(isinstance(document.get(key), dict) for key in ("data", "parameters")):
        raise InputError(f"{path} has to be an object with the objects 'data' and 'parameters' (those really used)")
    return Answer(document["data"], document["parameters"], simulated=bool(document.get("simulated", False)))


def _parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and those after ``--``, which are the driver's."""
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        prog="finales-tenant",
        description="Serve the requests of a server by a driver. What stands after -- goes to the driver.",
    )
    parser.add_argument("--url", required=True, help="of the server, e.g. https://map.example.org")
    parser.add_argument("--user", required=True, help="who acts for the tenant")
    parser.add_argument("--password-file", type=Path, help=f"holds the password [environment: {PASSWORD}]")
    parser.add_argument("--tenant", required=True, help="name or UUID of the tenant")
    parser.add_argument("--quantity", required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--driver", help="program, e.g. finales-asab; needed to serve")
    parser.add_argument("--settings", type=Path, help="JSON file handed to the driver as settings")
    parser.add_argument("--limitations", type=Path, help="JSON file with the tenant's own offers [those registered]")
    parser.add_argument("--evaluate", help="module:function that makes the data of the driver's output")
    parser.add_argument("--journal", type=Path, required=True, help="folder of the tenant, on a local disk")
    parser.add_argument("--lease", type=seconds, default=LEASE, help="s that reservations outlive this [%(default)g]")
    parser.add_argument("--interval", type=seconds, default=INTERVAL, help="s between two looks [%(default)g]")
    parser.add_argument("--once", action="store_true", help="look once, serve what is there, and stop")
    parser.add_argument("--settle", choices=OUTCOMES, help="after a look at the device: did it act for --request?")
    parser.add_argument("--request", help="with --settle: UUID of the request")
    parser.add_argument("--reason", default="", help="with --settle: how you know")
    parser.add_argument("--result", type=Path, help="with --settle done: JSON file with data and parameters")
    return parser.parse_args(words[:cut]), words[cut + 1 :]


def _read_password(path: Path | None) -> str:
    """Return the password; never from the command line, which others on the machine can read."""
    if path is None:
        if PASSWORD not in os.environ:
            raise InputError(f"no password: set {PASSWORD}, or give a file with --password-file")
        return os.environ[PASSWORD]
    try:
        if path.stat().st_mode & 0o077:
            raise InputError(f"{path} may be read by others: chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"the password cannot be read: {explain_os_error(error, path)}") from error
    except UnicodeError as error:
        raise InputError(f"the password in {path} is no text in UTF-8: {error}") from error


class DriverFunction:
    """Calls a driver for each order, as the platform does; may be repeated: the driver's journal knows the key.

    :param program: the driver and the options for all calls, such as ``("finales-asab", "--limit", "600")``.
    :param folder: for its input and output, which are kept.
    :param evaluate: makes the result of the driver's output.
    :param settings: of the device, handed to the driver as they are.
    :raises InputError: when there is no such program.
    """

    def __init__(
        self, program: Sequence[str], folder: Path, evaluate: Evaluate, *, settings: Json | None = None
    ) -> None:
        found = _find(program[0]) if program else None
        if found is None:
            raise InputError(f"driver {' '.join(program)!r} is no program that can be found here: give its path")
        self._program = [found, *program[1:]]
        self._folder = folder
        self._evaluate = evaluate
        self._settings = settings or {}

    def __call__(self, order: Order) -> Answer:
        """Return the answer of the driver.

        :raises DeviceError: of the kind that its exit status says.
        :raises FitError: when nothing can be made of its output.
        """
        folder = self._folder / order.key
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "input.json").exists():
            # once it may have acted, the input stays as it was: with other settings the driver would refuse the key,
            # which must not be taken for not having acted
            write_durably(folder / "input.json", {**order.payload, "settings": self._settings})
        found = self._evaluate(self._call(order.key, folder))
        return found if isinstance(found, Answer) else Answer(found)

    def _call(self, key: str, folder: Path) -> Json:
        """Return the driver's output; after an end that says nothing it is asked again with the same key."""
        output = folder / "output.json"
        for left in range(CALLS - 1, -1, -1):
            output.unlink(missing_ok=True)
            status, reason = self._run(key, folder / "input.json", output)
            if status in REFUSALS:
                if not issubclass(REFUSALS[status], NeedsOperatorError):
                    (folder / "input.json").unlink()  # it has not acted: it may have other settings next time
                raise REFUSALS[status](reason)
            document = read_output(output) if status == 0 else None
            if document is not None:
                return document
            LOGGER.warning("the driver ended with %s and no complete output: %s", status, reason)
            if left:
                time.sleep(PAUSE)
        raise NeedsOperatorError(f"the driver ended {CALLS} times without complete output for key {key}: {reason}")

    def _run(self, key: str, given: Path, output: Path) -> tuple[int, str]:
        command = [*self._program, "--key", key, "--input", str(given), "--output", str(output)]
        # a session of its own: Ctrl-C is meant for the tenant, which lets the device finish
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, start_new_session=True)  # noqa: S603
        lines = done.stderr.strip().splitlines()
        for line in lines:
            LOGGER.info("%s", line)
        return done.returncode, lines[-1] if lines else f"exit status {done.returncode}"


def _find(program: str) -> str | None:
    """Return the path of a program: on the search path, or beside the Python that runs this one."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def find_evaluation(quantity: str, method: str, name: str | None = None) -> Evaluate:
    """Return what makes the result of a driver's output: as inside of the platform, or, of other devices, as it is.

    :param name: ``module:function``, given the output, returning the data or an answer; the usual one when ``None``.
    :raises InputError: when there is no such function.
    """
    if name is None:
        return partial(_answer, (quantity, method)) if (quantity, method) in COMPUTED else pass_on
    module, _, function = name.partition(":")
    try:
        found: Evaluate = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"no function {name!r} ({error}): accepted is module:function") from error
    return found


def pass_on(output: Json) -> Answer:
    """Return the output as it is, less what is about the call."""
    data = {key: value for key, value in output.items() if key not in ABOUT_THE_CALL}
    return Answer(data, simulated=bool(output.get("simulated", False)))


def _answer(capability: tuple[str, str], output: Json) -> Answer:
    try:
        found = evaluate(capability, output)
    except FitError as error:
        raise FitError(f"the device's data cannot be evaluated: {error}") from error
    data = found.data
    if "impedance" in data:  # nothing else of the measurement reaches the platform
        data = {**data, "impedance": {**data["impedance"], "spectrum": output["spectrum"]}}
    return Answer(data, found.parameters, simulated=bool(output.get("simulated", False)))


if __name__ == "__main__":
    main()
