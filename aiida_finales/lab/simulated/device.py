"""What all simulated devices share: the faults, and a driver's ``check`` and ``act`` around them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from aiida_finales.exceptions import DeviceFaultError, DeviceUnavailableError
from aiida_finales.lab.driver.command import Call, run_driver
from aiida_finales.lab.simulated.faults import FAULTS, MOMENTS, choose_fault
from aiida_finales.lab.simulated.inventory import Inventory
from aiida_finales.lab.simulated.ordered_faults import take_ordered_fault
from aiida_finales.lab.simulated.settings import DeviceSettings
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

_UNAVAILABLE = {
    "device_unavailable": "it does not answer. Try again later",
    "operator_absent": "nobody is there. Try again later",
}
_FAILING = {
    "device_fault": "it reports an error; it has not acted",
    "clogged_line": "a line is clogged; nothing was dosed",
}
_DIE_BEFORE = ("die_before_act", "die_before_dose")
_DIE_AFTER = ("die_after_act", "die_after_dose")
_FAIL_AFTER = ("fault_after_act", "fault_after_dose")
_HANG = ("driver_hangs", "hang_after_dose")


class Plan(Protocol):
    """What a simulated device is going to do."""

    @property
    def settings(self) -> DeviceSettings:
        """How the device behaves."""


class SimulatedDevice:
    """A device whose faults can be ordered; see :class:`aiida_finales.lab.driver.command.Device`."""

    name: str
    #: where its bottles and boxes stand; empty: it has none
    address = ""

    def __init__(self) -> None:
        self.is_asked_twice = False

    def limitations(self) -> Json:
        """Return what the device can do, JSON-ready."""
        raise NotImplementedError

    def status(self, folder: Path, settings: Json) -> Json:
        """Return what is left in the bottles and boxes of the device."""
        inventory = settings.get("inventory")
        return {"stocks": Inventory(inventory).tell_stocks(self.address)} if inventory and self.address else {}

    def prepare(self, payload: Json) -> Any:
        """Turn the input into a plan."""
        raise NotImplementedError

    def describe(self, plan: Any) -> str:
        """Return a plan in one line."""
        raise NotImplementedError

    def look(self, plan: Any, call: Call) -> None:
        """Look whether there is everything that the plan needs; touches nothing.

        :raises DeviceError: when there is not.
        """

    def perform(self, plan: Any, call: Call, fault: str | None) -> Any:
        """Do what cannot be undone, and return what there is to know about it.

        :param fault: what goes wrong with it.
        """
        raise NotImplementedError

    def report(self, plan: Any, call: Call, fault: str | None, done: Any) -> Json:
        """Return the result.

        :param fault: what goes wrong with it.
        :param done: what :meth:`perform` returned.
        """
        raise NotImplementedError

    def check(self, plan: Any, call: Call) -> None:
        """Look whether the device is able to act.

        :raises DeviceUnavailableError: when it is ordered to be away.
        :raises DeviceFaultError: when it is ordered to fail.
        """
        fault = self._choose(plan, call, ("before",))
        if fault in _UNAVAILABLE:
            raise DeviceUnavailableError(_UNAVAILABLE[fault])
        if fault in _FAILING:
            raise DeviceFaultError(_FAILING[fault])
        self.look(plan, call)

    def act(self, plan: Any, call: Call) -> Json:
        """Act and report; fails where it is ordered to."""
        fault = self._choose(plan, call, MOMENTS[1:])
        started = timestamp()
        if fault in _DIE_BEFORE:
            os._exit(1)
        done = self.perform(plan, call, fault)
        if fault in _DIE_AFTER:
            os._exit(1)
        if fault in _FAIL_AFTER:
            raise DeviceFaultError("it reports an error after it began to act")
        while fault in _HANG:
            time.sleep(60)
        result = self.report(plan, call, fault, done)
        if fault == "late_message":
            time.sleep(plan.settings.late_s)
        self.is_asked_twice = fault == "duplicate_message"
        label = {"device": self.name, "simulated": True, "key": call.key}
        return label | result | {"started": started, "ended": timestamp()}

    def _choose(self, plan: Plan, call: Call, moments: Sequence[str]) -> str | None:
        """Return what strikes at one of these moments: a fault that a person ordered, else as the settings say."""
        inventory = plan.settings.open_inventory()
        ordered = take_ordered_fault(inventory, self.name, moments) if inventory else None
        fault = ordered or choose_fault(self.name, plan.settings, call.key, call.attempt)
        return fault if fault is not None and FAULTS[fault].strikes in moments else None


def run_simulated(device: SimulatedDevice, arguments: Sequence[str] | None = None) -> int:
    """Run a call, twice where its message is duplicated, and return the exit status of the last.

    :param arguments: of the command line; those of the process when ``None``.
    """
    status = run_driver(device, arguments)
    if device.is_asked_twice:
        device.is_asked_twice = False
        status = run_driver(device, arguments)
    return status


def run_and_exit(device: SimulatedDevice) -> NoReturn:
    """Run a call of the command line and exit with its status."""
    sys.exit(run_simulated(device))
