"""What a conductivity device is asked: the input file, checked.

Checked without pydantic: a driver is started once per sample and must be quick about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from aiida_finales.exceptions import DeviceInputError, InputError
from aiida_finales.science.composition import check_fractions

Json = dict[str, Any]

#: Failures that can be ordered, to test what is built on top: two before and three while the device acts.
FAULTS = (
    "device_unavailable",
    "device_fault",
    "die_before_dose",
    "die_after_dose",
    "fault_after_dose",
    "hang_after_dose",
)


@dataclass(frozen=True)
class Settings:
    """How the simulated device behaves.

    :param noise: relative standard deviation of the conductivity between two samples; 0.02 is the median between
        replicates in doi:10.1038/s41467-022-32938-1.
    :param spectrum_noise: relative standard deviation of each impedance value.
    :param seed: with the key it determines the noise.
    :param delay_s: s between dosing and measuring.
    :param volume_mL: mL of electrolyte to prepare; 4.2 serves eight coin cells.
    :param resolution_mL: smallest dosing step, mL.
    :param fault: one of :data:`FAULTS`, or nothing.
    :param fault_attempts: the fault strikes the first so many attempts of a key.
    """

    noise: float = 0.02
    spectrum_noise: float = 0.002
    seed: int = 0
    delay_s: float = 0.0
    volume_mL: float = 4.2  # noqa: N815 - a name of the input file
    resolution_mL: float = 0.001  # noqa: N815
    fault: str | None = None
    fault_attempts: int = 1


@dataclass(frozen=True)
class Order:
    """What to measure.

    :param fractions: mole fractions by InChIKey.
    :param temperature: K; ``None`` leaves it to the device.
    """

    fractions: dict[str, float]
    temperature: float | None
    settings: Settings


def read_order(payload: Json, quantity: str, method: str) -> Order:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    for name, accepted in (("quantity", quantity), ("method", method)):
        if payload.get(name) != accepted:
            raise _bad(name, payload.get(name), repr(accepted))
    parameters = payload.get("parameters")
    if not isinstance(parameters, dict):
        raise _bad("parameters", parameters, "an object with formulation and temperature")
    temperature = parameters.get("temperature")
    if temperature is not None:
        temperature = _number("parameters.temperature", temperature, 0.0, math.inf, "a number above 0 (K)")
    return Order(_read_fractions(parameters.get("formulation")), temperature, _read_settings(payload.get("settings")))


def _read_fractions(formulation: Any) -> dict[str, float]:
    if not isinstance(formulation, list) or not formulation:
        raise _bad("parameters.formulation", formulation, "a list of chemicals with their fractions")
    fractions: dict[str, float] = {}
    for index, component in enumerate(formulation):
        key, fraction = _read_component(f"parameters.formulation[{index}]", component)
        if key in fractions:
            raise _bad(f"parameters.formulation[{index}].chemical.InChIKey", key, "each chemical once")
        fractions[key] = fraction
    try:
        check_fractions(fractions)
    except InputError as error:
        raise DeviceInputError(f"parameters.formulation: {error}") from error
    return fractions


def _read_component(path: str, component: Any) -> tuple[str, float]:
    if not isinstance(component, dict):
        raise _bad(path, component, "an object with chemical, fraction and fraction_type")
    chemical = component.get("chemical")
    key = chemical.get("InChIKey") if isinstance(chemical, dict) else None
    if not isinstance(key, str) or not key:
        raise _bad(f"{path}.chemical", chemical, "an object with SMILES and InChIKey")
    if component.get("fraction_type") != "molPerMol":
        raise _bad(f"{path}.fraction_type", component.get("fraction_type"), "'molPerMol'")
    return key, _number(f"{path}.fraction", component.get("fraction"), 0.0, 1.0, "a number from 0 to 1")


def _read_settings(settings: Any) -> Settings:
    if settings is None:
        return Settings()
    if not isinstance(settings, dict):
        raise _bad("settings", settings, "an object")
    known = {field.name: field.default for field in fields(Settings)}
    for name, value in settings.items():
        if name not in known:
            raise _bad(f"settings.{name}", value, f"one of {', '.join(known)}")
        if name == "fault":
            if value not in (None, *FAULTS):
                raise _bad("settings.fault", value, f"one of {', '.join(FAULTS)}, or null")
        elif isinstance(known[name], int) and not isinstance(value, int):
            raise _bad(f"settings.{name}", value, "an integer")
        else:
            _number(f"settings.{name}", value, 0.0, math.inf, "a number from 0")
    return Settings(**settings)


def _number(path: str, value: Any, low: float, high: float, accepted: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise _bad(path, value, accepted)
    return float(value)


def _bad(path: str, given: Any, accepted: str) -> DeviceInputError:
    return DeviceInputError(f"{path}: {given!r} was given, accepted is {accepted}")
