"""What the formulation robot is asked: the input file, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from aiida_finales.lab.faults import faults_of
from aiida_finales.lab.reading import read_formulation, read_number, read_object, read_target
from aiida_finales.lab.settings import DeviceSettings, read_settings

Json = dict[str, Any]

#: The method of each quantity.
TARGETS = {"conductivity": "two_electrode", "electrolyte": "flow"}

#: What can go wrong with the robot.
FAULTS = tuple(faults_of("asab"))


@dataclass(frozen=True)
class Settings(DeviceSettings):
    """How the simulated robot behaves.

    :param noise: relative standard deviation of the conductivity between two samples; 0.02 is the median between
        replicates in doi:10.1038/s41467-022-32938-1.
    :param spectrum_noise: relative standard deviation of each impedance value.
    :param delay_s: s between dosing and measuring.
    :param volume_mL: mL of electrolyte to prepare for a measurement; 4.2 would serve eight coin cells.
    :param resolution_mL: smallest dosing step, mL.
    """

    noise: float = 0.02
    spectrum_noise: float = 0.002
    delay_s: float = 0.0
    volume_mL: float = 4.2  # noqa: N815 - a name of the input file
    resolution_mL: float = 0.001  # noqa: N815


@dataclass(frozen=True)
class Order:
    """What to mix, and perhaps to measure.

    :param quantity: one of :data:`TARGETS`.
    :param fractions: mole fractions by InChIKey.
    :param temperature: K, of a measurement; ``None`` leaves it to the device.
    :param volume: mL to mix.
    """

    quantity: str
    fractions: dict[str, float]
    temperature: float | None
    volume: float
    settings: Settings


def read_order(payload: Json) -> Order:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    quantity = read_target(payload, TARGETS)
    if quantity == "electrolyte":
        return _read_flow(payload)
    parameters = read_object("parameters", payload.get("parameters"), "formulation and temperature")
    temperature = parameters.get("temperature")
    if temperature is not None:
        temperature = read_number("parameters.temperature", temperature, 0.0, math.inf, "a number above 0 (K)")
    fractions = read_formulation("parameters.formulation", parameters.get("formulation"))
    settings = read_settings(Settings, payload.get("settings"), "asab")
    return Order(quantity, fractions, temperature, settings.volume_mL, settings)


def _read_flow(payload: Json) -> Order:
    parameters = read_object("parameters", payload.get("parameters"), "electrolyte and volume")
    electrolyte = read_object("parameters.electrolyte", parameters.get("electrolyte"), "formulation")
    fractions = read_formulation("parameters.electrolyte.formulation", electrolyte.get("formulation"))
    volume = read_number("parameters.volume", parameters.get("volume"), 0.0, math.inf, "a number above 0 (mL)")
    return Order("electrolyte", fractions, None, volume, read_settings(Settings, payload.get("settings"), "asab"))
