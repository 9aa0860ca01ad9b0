"""A complete small driver, to copy: a balance that weighs a sample. The balance is simulated.

What a driver must decide is in the class :class:`Balance`, in the order in which it is asked. What belongs to this one
device is below it, in :class:`Port`: replace that by the manufacturer's library or by a serial line.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from aiida_finales.exceptions import DeviceFaultError, DeviceLimitationError, DeviceUnavailableError
from aiida_finales.lab.driver.command import Call, run_driver
from aiida_finales.lab.driver.reading import bad_input, read_number, read_object, read_target
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

#: readings per weighing
REPEATS = (1, 20)
#: g; beyond it the balance shows an overload
CAPACITY = 220.0
#: g, of one reading
REPEATABILITY = 1e-4


@dataclass(frozen=True)
class Plan:
    """What the balance is going to do.

    :param sample: which one a person or a robot has put on the pan.
    :param repeats: number of readings.
    :param port: settings of the tenant, for the device.
    """

    sample: str
    repeats: int
    port: Json


class Balance:
    """The balance, as the platform sees it."""

    name = "balance"

    def limitations(self) -> Json:
        """Return what the balance can do; the tenant's file repeats it."""
        return {"repeats": [{"min": REPEATS[0], "max": REPEATS[1]}]}

    def prepare(self, payload: Json) -> Plan:
        """Check the input and make a plan of it. The balance is not touched.

        :raises DeviceInputError: when the input is not acceptable: nobody can do this, do not ask again.
        :raises DeviceLimitationError: when this balance cannot do it: another may.
        """
        read_target(payload, {"mass": "weighing"})
        parameters = read_object("parameters", payload.get("parameters"), "sample and repeats")
        sample, repeats = parameters.get("sample"), parameters.get("repeats", 3)
        if not isinstance(sample, str) or not sample:
            raise bad_input("parameters.sample", sample, "the name of a sample")
        if not isinstance(repeats, int) or isinstance(repeats, bool):
            raise bad_input("parameters.repeats", repeats, "a whole number")
        low, high = REPEATS
        if not low <= repeats <= high:
            raise DeviceLimitationError(f"repeats is {repeats}, but {self.name} accepts {low} to {high}")
        return Plan(sample, repeats, read_object("settings", payload.get("settings") or {}, "settings of the balance"))

    def describe(self, plan: Plan) -> str:
        """Return the plan in one line: for the log, and for ``--dry-run``."""
        return f"weigh {plan.sample}, {plan.repeats} readings"

    def check(self, plan: Plan, call: Call) -> None:
        """Look whether the balance is able to act now. Nothing that cannot be undone.

        :raises DeviceUnavailableError: when it does not answer: try again later.
        :raises DeviceFaultError: when it reports an error.
        """
        Port(plan.port, call.folder).demand_readiness()

    def act(self, plan: Plan, call: Call) -> Json:
        """Weigh, and return the result. From here on, whatever is raised means that nobody knows what happened.

        A balance that is overloaded has acted properly: its answer is that it failed, and why.
        """
        port = Port(plan.port, call.folder)
        started = timestamp()
        port.tare(call.key)
        readings = [port.read() for _ in range(plan.repeats)]
        return {
            "device": self.name,
            "simulated": True,
            "key": call.key,
            "quantity": "mass",
            "method": "weighing",
            "sample": plan.sample,
            **_evaluate(readings),
            "started": started,
            "ended": timestamp(),
        }


def _evaluate(readings: list[float | None]) -> Json:
    """Return mass and standard deviation in g."""
    masses = [mass for mass in readings if mass is not None]
    if len(masses) < len(readings):
        return {"success": False, "reason": f"more than {CAPACITY:g} g on the pan"}
    deviation = statistics.stdev(masses) if len(masses) > 1 else REPEATABILITY
    return {"success": True, "mass_g": statistics.fmean(masses), "deviation_g": deviation, "readings_g": masses}


class Port:
    """The connection to the balance; this one simulates it.

    :param settings: ``mass_g`` on the pan, ``fault`` (``away``, ``error``, ``unplugged``: lost while it weighs).
    :param folder: of the device; each tare leaves a line in ``tares.jsonl``, which is what tests count.
    """

    def __init__(self, settings: Json, folder: Path) -> None:
        self._mass = read_number("settings.mass_g", settings.get("mass_g", 12.5), 0.0, 1e4, "a mass from 0 g")
        self._fault = settings.get("fault")
        self._tares = folder / "tares.jsonl"
        self._noise = random.Random(0)  # noqa: S311 - noise, no secret

    def demand_readiness(self) -> None:
        """Return if the balance is ready to weigh."""
        if self._fault == "away":
            raise DeviceUnavailableError("the balance does not answer. Try again later")
        if self._fault == "error":
            raise DeviceFaultError("the balance shows E05; the pan was not touched")

    def tare(self, key: str) -> None:
        """Set the balance to zero: what it showed before is lost."""
        self._noise.seed(key)
        with self._tares.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"time": timestamp(), "key": key, "pid": os.getpid()}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def read(self) -> float | None:
        """Return what the balance shows, g; ``None``: overload."""
        if self._fault == "unplugged":
            raise OSError("no more data from the serial port")
        return None if self._mass > CAPACITY else self._mass + self._noise.gauss(0.0, REPEATABILITY)


def main() -> None:
    """Run the driver and exit with its status."""
    sys.exit(run_driver(Balance()))


if __name__ == "__main__":
    main()
