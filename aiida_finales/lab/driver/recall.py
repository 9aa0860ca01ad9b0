"""A key in doubt, settled by the device itself, where it remembers what it did for a key.

:func:`run_recalling_driver` keeps the contract of :func:`aiida_finales.lab.driver.command.run_driver`. Only where that
ends with 75 or 76 it asks the device, and notes the answer in the journal as a person would. Where the device cannot
tell, nothing changes, and a person must look.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from aiida_finales.exceptions import DeviceError, JournalLostError, NeedsOperatorError
from aiida_finales.lab.driver.command import PATIENCE, Call, Device, run_driver, say
from aiida_finales.lab.driver.journal import Journal, device_lock
from aiida_finales.schemas import Json


class RecallingDevice(Device, Protocol):
    """A device that can be asked what became of a key."""

    def recall(self, plan: Any, call: Call) -> Json | None:
        """Return the result of the act of this key, waiting for its end; ``None``: the device cannot tell.

        It must not act unless the device itself refuses to act twice for a key.

        :raises DeviceError: when the device cannot be asked.
        """


def run_recalling_driver(device: RecallingDevice, arguments: Sequence[str] | None = None) -> int:
    """Run one call and return its exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    status = run_driver(device, words)
    if status not in (NeedsOperatorError.exit_status, JournalLostError.exit_status):
        return status
    options = _parse(device, words)
    try:
        is_settled = _ask(device, options)
    except DeviceError as error:
        say(f"{device.name}: the device was asked about key {options.key}: {error}; a person must look, see --settle")
        return status
    if not is_settled:
        say(
            f"{device.name}: the device cannot tell what it did for key {options.key}: a person must look, see --settle"
        )
        return status
    return run_driver(device, words)


def _parse(device: RecallingDevice, words: list[str]) -> argparse.Namespace:
    """Return the options that matter here; the driver has accepted them all before."""
    given = os.environ.get("FINALES_JOURNAL")
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--key")
    parser.add_argument("--input", type=Path)
    parser.add_argument(
        "--journal", type=Path, default=Path(given) if given else Path.home() / ".finales" / device.name
    )
    parser.add_argument("--wait", type=float, default=PATIENCE)
    return parser.parse_known_args(words)[0]


def _ask(device: RecallingDevice, options: argparse.Namespace) -> bool:
    """Settle the key as done where the device knows its result; return whether the key is out of doubt."""
    journal = Journal(options.journal)
    with device_lock(options.journal / "lock", options.key, options.wait):
        entry = journal.find(options.key)
        if entry is None or entry["state"] != "unknown":
            return True  # somebody settled it meanwhile; or it is done, and what failed is the output
        plan = device.prepare(json.loads(options.input.read_text(encoding="utf-8")))
        try:
            result = device.recall(plan, Call(options.key, options.journal, entry["attempts"]))
        except DeviceError:
            raise
        except Exception as error:
            raise NeedsOperatorError(f"{type(error).__name__}: {error}") from error
        if result is None:
            return False
        journal.settle(options.key, "done", "the device remembers the key", f"finales-{device.name}", result)
    return True
