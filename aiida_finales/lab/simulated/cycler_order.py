"""What the cycler is asked: the input file, checked.

The names of the parameters are those of :mod:`aiida_finales.schemas.quantities.cycling`, misspellings included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError, MissingExtraError
from aiida_finales.lab.driver.reading import (
    POSITIVE,
    bad_input,
    read_cell_info,
    read_count,
    read_location,
    read_number,
    read_object,
    read_target,
    read_text,
)
from aiida_finales.lab.simulated.cells import VOLTAGES
from aiida_finales.lab.simulated.channels import N_CHANNELS
from aiida_finales.lab.simulated.laboratory import find_laboratory
from aiida_finales.lab.simulated.settings import DeviceSettings, read_settings
from aiida_finales.schemas import Json
from aiida_finales.schemas.cells.naming import POLARITY
from aiida_finales.schemas.names import CYCLING_KEYS, rename_keys
from aiida_finales.science.ageing.cell import PARAMETER_SETS, PUBLISHED_COIN_CELL
from aiida_finales.science.ageing.pybamm import PYBAMM_SPME, check_pybamm
from aiida_finales.science.ageing.twin import Protocol, Stage

#: The method of each quantity.
TARGETS = {"cycling_channel": "service", "capacity": "cycling"}

#: What the cycler can do: lowest and highest value by parameter.
LIMITS = {
    "number_cycles": (1, 1000),
    "repetions_formation_cycle": (0, 10),
    "V_min": (2.0, 3.5),
    "V_max": (3.8, 4.3),
    "cycling_V_min": (2.0, 3.5),
    "cycling_V_max": (3.8, 4.3),
    "c_rate_charge_formation": (0.02, 5.0),
    "c_rate_discharge_formation": (0.02, 5.0),
    "c_rate_charge": (0.02, 5.0),
    "c_rate_discharge": (0.02, 5.0),
    "capacity": (1e-9, 1e3),
    "I_max": (1e-9, 1e3),
    "CV_I_cutoff": (1e-9, 1e3),
    "CV_I_cutoff_formation": (1e-9, 1e3),
}
#: Unit and lowest number of a parameter whose name begins so; what is lower is no such quantity at all.
_FORMS = {
    "V_m": ("V", -math.inf),
    "cycling_V": ("V", -math.inf),
    "c_rate": ("1/h", 0.0),
    "capacity": ("Ah", POSITIVE),
    "I_max": ("A", 0.0),
    "CV_I": ("A", 0.0),
    "number": ("cycles", 1),
    "repetions": ("cycles", 0),
}

#: The standard protocol; ``cycling_V_...`` are those of formation unless they are given.
DEFAULTS = {
    "repetions_formation_cycle": 3,
    "V_min": 2.5,
    "V_max": 4.2,
    "c_rate_charge_formation": 0.1,
    "c_rate_discharge_formation": 0.1,
    "c_rate_charge": 1.0,
    "c_rate_discharge": 1.0,
}
#: Share of the 1C current that ends the constant-voltage part of a charge.
CUTOFF = 0.05
_COUNTS = ("number_cycles", "repetions_formation_cycle")
#: Amperes may differ by so much from rounding.
_ROUNDING = 1e-9


def _check_file(path: str, value: Any, _device: str) -> None:
    if not isinstance(value, str) or not value or "/" in value:
        raise bad_input(path, value, "the name of a file without a folder")


def _check_kind(path: str, value: Any, _device: str) -> None:
    accepted = (*PARAMETER_SETS, PYBAMM_SPME)
    if value not in accepted:
        raise bad_input(path, value, f"one of {', '.join(accepted)}")
    if value == PYBAMM_SPME:
        try:
            check_pybamm()
        except MissingExtraError as error:
            raise DeviceInputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class CyclerSettings(DeviceSettings):
    """How the simulated cycler behaves.

    :param n_channels: how many it has.
    :param ageing: how its cells age, one of :data:`~aiida_finales.science.ageing.cell.PARAMETER_SETS`, or
        ``pybamm_spme``.
    :param file: name of the file with the data, written beside the output.
    :param n_points: points per half cycle in that file.
    """

    n_channels: int = N_CHANNELS
    ageing: str = field(default=PUBLISHED_COIN_CELL.name, metadata={"check": _check_kind})
    file: str = field(default="cycling.h5", metadata={"check": _check_file})
    n_points: int = 100


@dataclass(frozen=True)
class ChannelOrder:
    """Channels to reserve, or a reservation to give back."""

    n_channels: int
    n_cycles: int | None
    protocol: str | None
    release: str | None
    settings: CyclerSettings


@dataclass(frozen=True)
class CyclingOrder:
    """A cell to cycle.

    :param cell: its identity; ``cell_info`` is what was given with it.
    :param capacity: Ah, what C-rates refer to; ``None``: that of its positive electrode.
    :param highest_current: A, or ``None``.
    :param numbers: the other numbers of the protocol, by parameter; cut-off currents only where they were given.
    :param electrodes: names that the order says, by ``anode`` and ``cathode``.
    """

    cell: str
    cell_info: Json
    reservation: str
    protocol_name: str
    n_cycles: int
    capacity: float | None
    highest_current: float | None
    numbers: Mapping[str, float]
    settings: CyclerSettings
    electrodes: Mapping[str, str] = field(default_factory=dict)

    def make_protocol(self, capacity: float) -> Protocol:
        """Return the protocol in amperes and volts.

        :param capacity: Ah, what C-rates refer to.
        :raises DeviceInputError: when a current is above the highest one that was given.
        """
        return Protocol(
            formation=self._make_stage(capacity, "_formation", ""),
            cycling=self._make_stage(capacity, "", "cycling_"),
            n_formation=int(self.numbers["repetions_formation_cycle"]),
        )

    def _make_stage(self, capacity: float, suffix: str, prefix: str) -> Stage:
        charge, discharge = (self._find_current(capacity, f"c_rate_{word}{suffix}") for word in ("charge", "discharge"))
        cutoff = self.numbers.get(f"CV_I_cutoff{suffix}", CUTOFF * capacity)
        low, high = self.numbers[f"{prefix}V_min"], self.numbers[f"{prefix}V_max"]
        return Stage(charge, discharge, cutoff, low, high)

    def _find_current(self, capacity: float, name: str) -> float:
        current = self.numbers[name] * capacity
        if self.highest_current is not None and current > self.highest_current * (1 + _ROUNDING):
            raise DeviceInputError(
                f"parameters.{name}: {self.numbers[name]:g} 1/h of {capacity:g} Ah are {current:g} A, accepted "
                f"is up to I_max, {self.highest_current:g} A. Lower the rate, or correct capacity or I_max"
            )
        return current


def describe_protocol(order: CyclingOrder, capacity: float, protocol: Protocol) -> Json:
    """Return every number that is used, by name, in A, V, Ah and 1/h."""
    rates = {name: value for name, value in order.numbers.items() if name.startswith("c_rate")}
    return {
        "cycling_protocol": order.protocol_name,
        "capacity": capacity,
        "repetions_formation_cycle": protocol.n_formation,
        **rates,
        "formation": asdict(protocol.formation),
        "cycling": asdict(protocol.cycling),
    }


def read_cycler_order(payload: Json) -> ChannelOrder | CyclingOrder:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    :raises DeviceLimitationError: when the cycler cannot do it.
    """
    quantity = read_target(payload, TARGETS)
    settings = read_settings(CyclerSettings, payload.get("settings"), "cycler")
    if quantity == "cycling_channel":
        return _read_channels(
            read_object("parameters", payload.get("parameters"), "number_required_channels"), settings
        )
    return _read_cycling(read_object("parameters", payload.get("parameters"), "cell_info and a protocol"), settings)


def _read_channels(given: Json, settings: CyclerSettings) -> ChannelOrder:
    n_cycles, protocol, release = given.get("number_cycles"), given.get("cycling_protocol"), given.get("release")
    order = ChannelOrder(
        n_channels=read_count("parameters.number_required_channels", given.get("number_required_channels"), 1),
        n_cycles=None if n_cycles is None else int(_read_number("number_cycles", n_cycles)),
        protocol=None if protocol is None else read_text("parameters.cycling_protocol", protocol),
        release=None if release is None else read_text("parameters.release", release),
        settings=settings,
    )
    _check_limits({} if order.n_cycles is None else {"number_cycles": order.n_cycles})
    return order


def _read_cycling(given: Json, settings: CyclerSettings) -> CyclingOrder:
    if settings.inventory is None:
        raise DeviceInputError(
            "settings.inventory: nothing was given, but a cell must be somewhere: set it to the folder of the "
            "simulated laboratory (made by finales-lab init)"
        )
    given = rename_keys(given, CYCLING_KEYS)
    info = read_cell_info("parameters.cell_info", given.get("cell_info"))
    read_location("parameters.location", given.get("location"))
    names = {
        name: read_text(f"parameters.{name}", given.get(name)) for name in ("reservation_number", "cycling_protocol")
    }
    numbers = _read_numbers(given)
    if not info.get("uuid"):
        what = f"{info.get('uuid')!r} was given, but the cycler finds a cell by its identity: accepted is that"
        raise DeviceLimitationError(f"parameters.cell_info.uuid: {what}")
    numbers = DEFAULTS | {f"cycling_{name}": (DEFAULTS | numbers)[name] for name in ("V_min", "V_max")} | numbers
    voltage = find_laboratory(settings.inventory).cells.voltage
    _check_limits(numbers, {} if voltage is None else dict.fromkeys(VOLTAGES, voltage))
    return CyclingOrder(
        cell=info["uuid"],
        cell_info=info,
        reservation=names["reservation_number"],
        protocol_name=names["cycling_protocol"],
        n_cycles=int(numbers.pop("number_cycles")),
        capacity=numbers.pop("capacity", None),
        highest_current=numbers.pop("I_max", None),
        numbers=numbers,
        settings=settings,
        electrodes=_name_electrodes(given.get("battery_chemistry")),
    )


def _name_electrodes(chemistry: Any) -> dict[str, str]:
    """Return the names of electrodes that an order says, as requests are stored."""
    parts = {key: chemistry.get(key) for key in POLARITY} if isinstance(chemistry, dict) else {}
    return {key: str(part["name"]) for key, part in parts.items() if isinstance(part, dict) and part.get("name")}


def _read_numbers(given: Json) -> dict[str, float]:
    """Return the numbers that were given."""
    numbers = {name: _read_number(name, given[name]) for name in LIMITS if given.get(name) is not None}
    if "number_cycles" not in numbers:
        raise bad_input("parameters.number_cycles", None, "a whole number from 1")
    for low, high in (("V_min", "V_max"), ("cycling_V_min", "cycling_V_max")):
        if numbers.get(low, -math.inf) >= numbers.get(high, math.inf):
            raise bad_input(f"parameters.{low}", numbers[low], f"less than {high}, {numbers[high]:g} V")
    return numbers


def _read_number(name: str, value: Any) -> float:
    unit, low = _find_form(name)
    if name in _COUNTS:
        return read_count(f"parameters.{name}", value, int(low))
    return read_number(f"parameters.{name}", value, low, math.inf, f"a number ({unit})")


def _find_form(name: str) -> tuple[str, float]:
    return next(form for prefix, form in _FORMS.items() if name.startswith(prefix))


def _check_limits(numbers: Mapping[str, float], own: Mapping[str, tuple[float, float]] = MappingProxyType({})) -> None:
    for name, number in numbers.items():
        low, high = own.get(name, LIMITS[name])
        if not low <= number <= high:
            unit, _ = _find_form(name)
            given = f"{number:g}" if isinstance(number, float) else number
            raise DeviceLimitationError(f"{name} is {given} {unit}, but the cycler accepts {low:g} to {high:g} {unit}")
