"""Which cells the simulated laboratory makes and cycles: the section ``cells`` of its file.

YAML::

    cells:
      positive: [LNO, NVP]                      # by name: see 'aiida-finales electrode list'
      negative: [activated carbon, hard carbon]
      separators: [glass fibre]
      formats: [CR2032, Swagelok]
      electrolyte_volume_uL: [10, 400]
      voltage_V: [0, 5]
      systems: [...]                            # how cells age, before those of this package

Without it the robot makes what can be simulated, within what the published robot accepts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError, InputError
from aiida_finales.lab.driver.reading import bad_input, read_number, read_object
from aiida_finales.schemas import Json
from aiida_finales.schemas.cells import CellFormat, CellPart, Electrode, Separator, find_electrode
from aiida_finales.schemas.cells.record import WORKING_IONS
from aiida_finales.schemas.cells.registry import CATALOGUES, read_known
from aiida_finales.science.ageing.systems import System, modelled_electrodes, read_systems

#: µL per cell that the published tenant accepts (BIG-MAP/FINALES2_schemas)
ELECTROLYTE_RANGE = (10.0, 80.0)
_KEYS = ("positive", "negative", "separators", "formats", "electrolyte_volume_uL", "voltage_V", "systems")
#: electrodes of the cells that the published twin is about
PUBLISHED_POSITIVE, PUBLISHED_NEGATIVE = "LNO", "graphite"


@dataclass(frozen=True)
class CellOffer:
    """What cells are made of and how they are cycled.

    :param positive, negative: names of electrodes.
    :param separators, formats: names; nothing: any.
    :param electrolyte_volume: lowest and highest, µL.
    :param voltage: lowest and highest that the cycler can hold, V; ``None``: as the published protocol needs.
    :param systems: how cells age.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    separators: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    electrolyte_volume: tuple[float, float] = ELECTROLYTE_RANGE
    voltage: tuple[float, float] | None = None
    systems: tuple[System, ...] = ()

    def assembly_limitations(self) -> list[Json]:
        """Return what a cell may be made of, as a tenant offers it: an alternative per pair of electrodes."""
        low, high = self.electrolyte_volume
        cell: Json = {"electrolyte_volume": [{"min": low, "max": high}]}
        cell |= {"separator": {"name": list(self.separators)}} if self.separators else {}
        cell |= {"format": {"name": list(self.formats)}} if self.formats else {}
        return [{**cell, "battery_chemistry": pair} for pair in self.pairs()] or [cell]

    def pairs(self) -> list[Json]:
        """Return which electrodes go together: those that take up one ion, or that a system names."""
        told = []
        for ion in WORKING_IONS:
            takes = [[name for name in side if ion in find_electrode(name).working_ions] for side in self._sides()]
            if all(takes):
                told.append({"cathode": {"name": takes[0]}, "anode": {"name": takes[1]}})
        return [pair for number, pair in enumerate(told) if pair not in told[:number]]

    def _sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.positive, self.negative

    def cycling_limitations(self, usual: Json) -> list[Json]:
        """Return how cells are cycled and which, as a tenant offers it.

        :param usual: limits that hold unless the laboratory has others.
        """
        limits = {} if self.voltage is None else {name: [_range(self.voltage)] for name in VOLTAGES}
        return [{**usual, **limits, "battery_chemistry": pair} for pair in self.pairs()] or [{**usual, **limits}]


#: parameters of cycling that are voltages
VOLTAGES = ("V_min", "V_max", "cycling_V_min", "cycling_V_max")


def _range(limits: tuple[float, float]) -> Json:
    return {"min": limits[0], "max": limits[1]}


@cache
def default_cells() -> CellOffer:
    """Return what is made where no file says it: everything that can be simulated."""
    return CellOffer(tuple(modelled_electrodes("positive")), tuple(modelled_electrodes("negative")))


def read_cells(value: Any) -> CellOffer:
    """Return what the section of a file says.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    if value is None:
        return default_cells()
    given = read_object("cells", value, ", ".join(_KEYS))
    for key in given:
        if key not in _KEYS:
            raise bad_input("cells: key", key, f"one of {', '.join(_KEYS)}")
    names = {
        key: _read_names(kind, f"cells.{key}", given.get(key))
        for key, kind in (
            ("positive", Electrode),
            ("negative", Electrode),
            ("separators", Separator),
            ("formats", CellFormat),
        )
    }
    for key in ("positive", "negative"):
        _check_polarity(key, names[key])
        names[key] = names[key] or getattr(default_cells(), key)
    try:
        systems = read_systems(given.get("systems") or [])
    except InputError as error:
        raise DeviceInputError(f"cells.systems: {error}") from error
    return CellOffer(
        **names,
        electrolyte_volume=_read_range("electrolyte_volume_uL", given, ELECTROLYTE_RANGE) or ELECTROLYTE_RANGE,
        voltage=_read_range("voltage_V", given, None),
        systems=systems,
    )


def _read_names(kind: type[CellPart], path: str, value: Any) -> tuple[str, ...]:
    words = value or []
    if not isinstance(words, list):
        raise bad_input(path, value, "a list of names")
    try:
        return tuple(CATALOGUES[kind].get(word, "electrode").name for word in words)
    except InputError as error:
        raise DeviceInputError(f"{path}: {error}") from error


def _check_polarity(polarity: str, names: tuple[str, ...]) -> None:
    for name in names:
        if find_electrode(name).polarity not in (polarity, "both"):
            raise bad_input(f"cells.{polarity}", name, f"a {polarity} electrode")


def _read_range(key: str, given: Json, usual: tuple[float, float] | None) -> tuple[float, float] | None:
    limits = given.get(key)
    if limits is None:
        return usual
    if not isinstance(limits, list) or len(limits) != 2:  # noqa: PLR2004 - lowest and highest
        raise bad_input(f"cells.{key}", limits, "[lowest, highest]")
    low, high = (read_number(f"cells.{key}", each, -math.inf, math.inf, "two numbers") for each in limits)
    if not low < high:
        raise bad_input(f"cells.{key}", limits, "[lowest, highest], the lowest first")
    return low, high


def find_part(kind: type[CellPart], name: str, payload: Mapping[str, Any]) -> Any:
    """Return the record that a name means: the one that came with the order, else the one that is known here.

    :param payload: the input file of a driver, or the content of a cell.
    :raises InputError: when there is none.
    """
    for document in payload.get(kind.NOUN) or ():
        if isinstance(document, dict) and kind.fold(str(document.get("name"))) == kind.fold(str(name)):
            return read_known(kind, document, str(document.get("origin")), str(document.get("version")))
    return CATALOGUES[kind].get(name, "electrode")


def check_names(cell: Json, offer: CellOffer) -> None:
    """Refuse what the robot has not got.

    :raises DeviceLimitationError: naming what there is.
    """
    chemistry = cell["battery_chemistry"]
    for what, part, known in (
        ("cathode", chemistry.get("cathode"), offer.positive),
        ("anode", chemistry.get("anode"), offer.negative),
        ("separator", cell.get("separator"), offer.separators),
        ("format", cell.get("format"), offer.formats),
    ):
        name = part.get("name") if isinstance(part, dict) else None
        if name is not None and known and name not in known:
            raise DeviceLimitationError(f"{what} is {name}, but the laboratory has {', '.join(known)}")
