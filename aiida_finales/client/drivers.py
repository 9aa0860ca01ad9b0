"""A driver as what a tenant does: the same contract as inside of the platform, see ``aiida_finales.lab.driver``."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from aiida_finales.client.order import Answer, Order
from aiida_finales.exceptions import (
    DeviceError,
    DeviceFaultError,
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
    FitError,
    InputError,
    NeedsOperatorError,
)
from aiida_finales.lab.driver.command import END_MARKER
from aiida_finales.lab.driver.evaluation import COMPUTED, evaluate, read_output
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.schemas import Json

LOGGER = logging.getLogger("aiida_finales.client")

Evaluate = Callable[[Json], "Json | Answer"]

#: what a driver says about its call and not about what it found
ABOUT_THE_CALL = frozenset({END_MARKER[0], "key", "quantity", "method", "simulated"})

REFUSALS: dict[int, type[DeviceError]] = {
    kind.exit_status: kind
    for kind in (DeviceInputError, DeviceLimitationError, DeviceUnavailableError, DeviceFaultError, NeedsOperatorError)
}

#: calls with the same key after a driver ended as no driver should; then a person must look
CALLS = 3
#: s between them
PAUSE = 5.0


class DriverFunction:
    """Calls a driver for each order; may be repeated, because the driver's journal knows the key.

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
                if REFUSALS[status] is not NeedsOperatorError:
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
