"""What a cell is made of and how it is cycled, as numbers that a model without first cycles can learn from.

Rates stand for themselves (no mean hides a fast step): the averages, the highest, and those at some states of charge.
Temperature enters as its inverse, as rates of reactions do; rates and capacities as logarithms.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array

#: properties of electrodes, in mAh/g, mAh/g, V, g/cm³, %, log10(cm²/s)
PROPERTIES = ("theoretical_capacity", "practical_capacity", "mean_potential", "crystal_density", "volume_change",
              "log10_diffusion")  # fmt: skip
#: without these nothing can be said of an electrode that a model does not know
NEEDED = ("practical_capacity", "mean_potential")
FORMATS = ("coin", "cylindrical", "pouch", "prismatic")
#: state of charge up to which the mean of the charging rate goes: the last part is at constant voltage
CHARGED = 0.8
#: states of charge at which rates are looked at
_CHARGING_AT, _DISCHARGING_AT = (0.3, 0.7), (0.9, 0.7, 0.5, 0.3)
#: ``(assumed)``, but not the end of LiFe(PO4)
_REMARK = re.compile(r"\s+\(.*\)$")
#: crossings that two cells have in common by no chance, and cells that are named
_TELLING, _N_NAMED = 5, 5
#: what people write who do not know a material
_UNKNOWN = {"unknown", "not known", "unknown material", "undisclosed", "proprietary", "n/a", "none", "?", "-"}
#: names of the numbers that do not come from electrodes, in the order of :func:`describe`
PROTOCOL_NAMES = (
    "log_charging_rate",
    "log_highest_charging_rate",
    "log_discharging_rate",
    "log_highest_discharging_rate",
    *(f"log_charging_rate_at_{at:g}" for at in _CHARGING_AT),
    *(f"log_discharging_rate_at_{at:g}" for at in _DISCHARGING_AT),
    "inverse_temperature",
    "voltage_minimum",
    "voltage_maximum",
)
DESIGN_NAMES = ("log_nominal_capacity", "is_cylindrical", "is_coin")
ELECTRODE_NAMES = tuple(f"{side}_{name}" for side in ("positive", "negative") for name in PROPERTIES)
#: all numbers of a cell, in the order of :func:`describe`
NAMES = (*PROTOCOL_NAMES, *DESIGN_NAMES, *ELECTRODE_NAMES)


@dataclass(frozen=True)
class Step:
    """A part of a charge or discharge.

    :param rate: 1/h, its mean over time.
    :param until_soc: state of charge at its end, 0 to 1.
    :param highest_rate: 1/h, where the rate varies within the step; else ``None``.
    """

    rate: float
    until_soc: float
    highest_rate: float | None = None


@dataclass(frozen=True)
class Electrode:
    """An electrode by its properties.

    :param properties: those of :data:`PROPERTIES` that are known.
    :param is_told: whether somebody told them for this cell, whatever else is known of the material.
    """

    material: str
    working_ion: str = ""
    properties: Mapping[str, float] = field(default_factory=dict)
    is_told: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether its name says that nobody knows it: two such electrodes need not be the same."""
        return self.material.casefold() in _UNKNOWN

    @property
    def lacking(self) -> list[str]:
        """What must be known of an electrode that no cell was learned from, and is not."""
        return [name for name in NEEDED if name not in self.properties]


@dataclass(frozen=True)
class CellDesign:
    """A cell and how it is cycled.

    :param form: one of :data:`FORMATS`.
    :param nominal_capacity: Ah.
    :param charging: rising to ``until_soc`` 1; :param discharging: falling to 0.
    :param temperature: K.
    :param voltage_minimum: V; ``None``: not known; :param voltage_maximum: likewise.
    """

    positive: Electrode
    negative: Electrode
    form: str
    nominal_capacity: float
    charging: tuple[Step, ...]
    discharging: tuple[Step, ...]
    temperature: float
    voltage_minimum: float | None = None
    voltage_maximum: float | None = None

    @property
    def strangers(self) -> tuple[str, ...]:
        """The sides of which nobody knows the material."""
        sides = (("positive", self.positive), ("negative", self.negative))
        return tuple(f"the material of the {name} electrode" for name, side in sides if side.is_unknown)

    @property
    def chemistry(self) -> str:
        """Its electrodes in words."""
        return f"{self.positive.material}/{self.negative.material}"

    @property
    def protocol(self) -> str:
        """A name of how it is cycled, for where nobody gave one: the same for equal cells that are cycled alike."""
        words = json.dumps(self.to_form(), sort_keys=True)
        return f"unnamed {hashlib.sha256(words.encode()).hexdigest()[:8]}"

    def to_form(self) -> dict[str, Any]:
        """Return the cell in the words in which requests say it; electrodes by their names."""
        sides = {
            f"{side}_electrode": {"material": electrode.material}
            | ({"working_ion": electrode.working_ion} if electrode.working_ion else {})
            for side, electrode in (("positive", self.positive), ("negative", self.negative))
        }
        window = {"voltage_minimum": self.voltage_minimum, "voltage_maximum": self.voltage_maximum}
        steps = {
            key: [{name: value for name, value in asdict(step).items() if value is not None} for step in part]
            for key, part in (("charging", self.charging), ("discharging", self.discharging))
        }
        return {
            **sides,
            "cell_design": {"format": self.form, "nominal_capacity": self.nominal_capacity},
            "protocol": {**steps, **{key: value for key, value in window.items() if value is not None}},
            "temperature": self.temperature,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> CellDesign:
        """Return the design that :func:`dataclasses.asdict` described."""
        sides = {side: Electrode(**document[side]) for side in ("positive", "negative")}
        steps = {key: tuple(Step(**step) for step in document[key]) for key in ("charging", "discharging")}
        return cls(**{**document, **sides, **steps})


@dataclass(frozen=True)
class AgeingCell:
    """A cell and the cycles at which its capacity had fallen.

    :param crossings: cycle by per cent of the reference.
    :param protocol: cells of one protocol have the same; they are left out together where a model is judged.
    :param laboratory: who measured.
    :param dataset: where it comes from, for figures by set.
    :param early: numbers of the first cycles, by the last of these and by name; empty where they are not known.
    :param licence: of the data; :param source: DOI or address.
    :param is_open: whether they may be given to others.
    """

    name: str
    design: CellDesign
    crossings: Mapping[int, float]
    protocol: str
    laboratory: str = ""
    dataset: str = ""
    early: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    is_open: bool = True


@dataclass(frozen=True)
class AgeingDataset:
    """Cells to learn from.

    :param description: where they come from.
    :param simulated: whether nobody ever measured them.
    """

    cells: tuple[AgeingCell, ...]
    description: str
    simulated: bool = False

    @property
    def licences(self) -> list[str]:
        """What the data may be used for, and where they come from."""
        told = [cell for cell in self.cells if cell.licence or cell.source]
        return sorted({", ".join(filter(None, (cell.dataset, cell.licence, cell.source))) for cell in told})

    @property
    def is_open(self) -> bool:
        """Whether all of it may be given to others."""
        return all(cell.is_open for cell in self.cells)

    def of_group(self, group: str | None) -> AgeingDataset:
        """Return the cells of one data set; all when ``None``.

        :raises InputError: when there are none.
        """
        if group is None:
            return self
        cells = tuple(cell for cell in self.cells if cell.dataset == group)
        if not cells:
            known = sorted({cell.dataset for cell in self.cells})
            raise InputError(f"group {group!r} was asked for, accepted are {', '.join(map(repr, known))}")
        return replace(self, cells=cells)

    def to_json(self) -> str:
        """Return the dataset as a JSON document; equal datasets give equal text."""
        document = {"kind": "ageing", "description": self.description, "simulated": self.simulated}
        return json.dumps({**document, "cells": [asdict(cell) for cell in self.cells]}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> AgeingDataset:
        """Return the dataset that :meth:`to_json` wrote.

        :raises InputError: when the text is no dataset.
        """
        try:
            document = json.loads(text)
            cells = tuple(
                AgeingCell(**{
                    **cell,
                    "design": CellDesign.from_dict(cell["design"]),
                    "crossings": {int(percent): float(cycle) for percent, cycle in cell["crossings"].items()},
                })
                for cell in document["cells"]
            )  # fmt: skip
            return cls(cells, str(document["description"]), bool(document["simulated"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"this is no dataset of ageing ({type(error).__name__}: {error}), accepted is JSON with kind, "
                "description, simulated and cells"
            ) from error


def leave_out_twins(cells: Sequence[AgeingCell]) -> tuple[list[AgeingCell], str]:
    """Return cells without those that are another one under a second name, and in words which these are.

    Where a model is judged, one of them would be known and the other one be asked about. What must not be passed on
    under one of the names must not be so under the other.
    """
    kept: dict[tuple[tuple[int, float], ...] | str, AgeingCell] = {}
    twins: list[str] = []
    for cell in cells:
        series = tuple(sorted(cell.crossings.items()))
        key = series if len(series) >= _TELLING else cell.name
        first = kept.setdefault(key, cell)
        if first is not cell:
            twins.append(f"{cell.name} as {first.name}")
            kept[key] = replace(first, is_open=first.is_open and cell.is_open)
    more = f" and {len(twins) - _N_NAMED} more" if len(twins) > _N_NAMED else ""
    named = ", ".join(twins[:_N_NAMED])
    return list(kept.values()), f"left out as the same series under another name: {named}{more}" if twins else ""


def name_material(word: str) -> str:
    """Return a material without a remark such as ``(assumed)``, which says how sure somebody is of it."""
    return _REMARK.sub("", word.strip())


def describe(design: CellDesign) -> Array:
    """Return the numbers of a cell, shape ``(d,)``, in the order of :data:`NAMES`; what is not known is not a number.

    :raises InputError: when a rate, a capacity or the temperature makes no sense.
    """
    _check(design)
    protocol = [
        math.log(_mean_rate(design.charging, 0.0, CHARGED)),
        math.log(_highest(design.charging)),
        math.log(_mean_rate(design.discharging, 1.0, 0.0)),
        math.log(_highest(design.discharging)),
        *(math.log(_rate_at(design.charging, at, rising=True)) for at in _CHARGING_AT),
        *(math.log(_rate_at(design.discharging, at, rising=False)) for at in _DISCHARGING_AT),
        1e3 / design.temperature,
        math.nan if design.voltage_minimum is None else design.voltage_minimum,
        math.nan if design.voltage_maximum is None else design.voltage_maximum,
    ]
    housing = [math.log(design.nominal_capacity), float(design.form == "cylindrical"), float(design.form == "coin")]
    electrodes = [
        electrode.properties.get(name, math.nan)
        for electrode in (design.positive, design.negative)
        for name in PROPERTIES
    ]
    return np.array([*protocol, *housing, *electrodes], dtype=np.float64)


def describe_all(designs: Sequence[CellDesign]) -> Array:
    """Return the numbers of cells, shape ``(n, d)``."""
    return np.array([describe(design) for design in designs])


def _check(design: CellDesign) -> None:
    if design.form not in FORMATS:
        raise InputError(f"format is {design.form!r}, accepted are {', '.join(FORMATS)}")
    for side, steps in (("charging", design.charging), ("discharging", design.discharging)):
        if not steps or any(not (math.isfinite(step.rate) and step.rate > 0) for step in steps):
            raise InputError(
                f"{side} is {[step.rate for step in steps]} per hour, accepted is one rate above 0 or more"
            )
        ends = [step.until_soc for step in steps]
        falls = side == "discharging"
        if ends != sorted(ends, reverse=falls) or min(ends) < 0 or max(ends) > 1 or ends[0] == float(falls):
            way = "fall from step to step, the first below 1" if falls else "rise from step to step, the first above 0"
            raise InputError(f"until_soc of {side} is {ends}, accepted are shares from 0 to 1 that {way}")
    if not (design.nominal_capacity > 0 and design.temperature > 0):
        raise InputError(
            f"nominal_capacity is {design.nominal_capacity} Ah and temperature {design.temperature} K, accepted are "
            "numbers above 0"
        )
    high, low = (side.properties.get("mean_potential", math.nan) for side in (design.positive, design.negative))
    if high <= low:
        raise InputError(
            f"mean_potential of the positive electrode {design.positive.material} is {high:g} V, that of the negative "
            f"one {design.negative.material} {low:g} V; accepted is a positive electrode above the negative one: are "
            "they exchanged?"
        )


def _mean_rate(steps: Sequence[Step], begin: float, end: float) -> float:
    """Return the charge between two states of charge over the time that it takes, 1/h."""
    hours, before = 0.0, begin
    for step in steps:
        until = min(step.until_soc, end) if end > begin else max(step.until_soc, end)
        hours, before = hours + abs(until - before) / step.rate, until
    return abs(before - begin) / hours if hours else steps[0].rate


def _highest(steps: Sequence[Step]) -> float:
    return max(step.highest_rate or step.rate for step in steps)


def _rate_at(steps: Sequence[Step], soc: float, *, rising: bool) -> float:
    found = (step.rate for step in steps if (soc < step.until_soc if rising else soc > step.until_soc))
    return next(found, steps[-1].rate)
