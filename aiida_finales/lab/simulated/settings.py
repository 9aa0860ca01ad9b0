"""How a simulated device behaves: the settings that all share, how they are read, and the clock that may run faster."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from aiida_finales.exceptions import InputError
from aiida_finales.lab.driver.reading import bad_input, read_number
from aiida_finales.lab.simulated.faults import FAULTS, faults_of
from aiida_finales.lab.simulated.inventory import Inventory


@dataclass(frozen=True)
class Clock:
    """How long things take.

    :param speed: 1 is real time, 60 makes a minute of a second; infinite: nothing is waited for.
    :raises InputError: when the speed is not positive.
    """

    speed: float = math.inf

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise InputError(f"the laboratory clock has a speed of {self.speed}, accepted is a number above 0")

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of the laboratory."""
        time.sleep(seconds / self.speed)


def check_path(path: str, value: Any, _device: str) -> None:
    """Refuse what is no path of a file or folder, nor nothing."""
    if value is not None and (not isinstance(value, str) or not value):
        raise bad_input(path, value, "a path, or null")


def _check_speed(path: str, value: Any, _device: str) -> None:
    if value is not None:
        read_number(path, value, 1e-6, math.inf, "a number above 0, or null")


def _check_fault(path: str, value: Any, device: str) -> None:
    known = faults_of(device)
    if value is not None and value not in known:
        raise bad_input(path, value, f"one of {', '.join(known)}, or null")


def _check_faults(path: str, value: Any, device: str) -> None:
    if not isinstance(value, dict):
        raise bad_input(path, value, "an object of probabilities by name of the fault")
    for name, probability in value.items():
        if name not in FAULTS:
            raise bad_input(f"{path}.{name}", probability, f"a probability of one of {', '.join(FAULTS)}")
        read_number(f"{path}.{name}", probability, 0.0, 1.0, "a number from 0 to 1")
    for each in ("call", "cell"):
        total = sum(value.get(name, 0.0) for name, fault in faults_of(device).items() if fault.each == each)
        if total > 1:
            raise bad_input(path, f"a sum of {total:g} per {each}", "probabilities with a sum of at most 1")


@dataclass(frozen=True)
class DeviceSettings:
    """What all simulated devices have in common.

    :param inventory: folder of the laboratory whose things the device handles; nothing: it works out of thin air.
    :param seed: with the key it determines whatever is left to chance.
    :param fault: one of the device's :data:`~aiida_finales.lab.simulated.faults.FAULTS`, or nothing.
    :param fault_attempts: the fault strikes the first so many attempts of a key.
    :param faults: probability of faults by name; those that another device has are ignored.
    :param late_s: s by which a late message is late.
    :param speed: how many times faster than real the laboratory is; nothing: nobody waits for anything.
    """

    inventory: str | None = field(default=None, metadata={"check": check_path})
    seed: int = 0
    fault: str | None = field(default=None, metadata={"check": _check_fault})
    fault_attempts: int = 1
    faults: dict[str, float] = field(default_factory=dict, metadata={"check": _check_faults})
    late_s: float = 2.0
    speed: float | None = field(default=None, metadata={"check": _check_speed})

    @property
    def clock(self) -> Clock:
        """The clock of the laboratory."""
        return Clock(math.inf if self.speed is None else self.speed)

    def open_inventory(self) -> Inventory | None:
        """Return the things of the laboratory, or ``None`` where the device works without.

        :raises DeviceInputError: when the folder is not a laboratory.
        """
        return None if self.inventory is None else Inventory(self.inventory)


SettingsT = TypeVar("SettingsT", bound=DeviceSettings)


def read_settings(kind: type[SettingsT], given: Any, device: str) -> SettingsT:
    """Return the settings in an input file.

    :param kind: which settings the device has; a field may bring its own ``check(path, value, device)`` in its
        metadata, any other is a number from 0.
    :param device: whose faults can be ordered.
    :raises DeviceInputError: naming the setting, what was given and what is accepted.
    """
    if given is None:
        return kind()
    if not isinstance(given, dict):
        raise bad_input("settings", given, "an object")
    known = {item.name: item for item in fields(kind)}
    for name, value in given.items():
        if name not in known:
            raise bad_input(f"settings.{name}", value, f"one of {', '.join(known)}")
        check = known[name].metadata.get("check")
        if check is not None:
            check(f"settings.{name}", value, device)
        else:
            _check_number(f"settings.{name}", value, known[name].default)
    settings = kind(**given)
    settings.open_inventory()
    return settings


def _check_number(path: str, value: Any, default: Any) -> None:
    if isinstance(default, int) and (not isinstance(value, int) or isinstance(value, bool)):
        raise bad_input(path, value, "an integer")
    read_number(path, value, 0.0, math.inf, "a number from 0")
