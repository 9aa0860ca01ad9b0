"""What is outside of all that was learned from: a little makes an answer less sure, much is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import CHARGED, NAMES, CellDesign
from aiida_finales.science.lifetime.generator.domain import Domain
from aiida_finales.science.lifetime.generator.learners import Encoder

#: standard deviations beyond the cells learned from: from where on an answer is less sure, and up to where there is one
UNSURE, FAR = 1.0, 4.0
#: numbers that differ by less than this are the same, but for rounding
_SAME = 1e-9


@dataclass(frozen=True)
class Told:
    """How a number of a cell is said to people.

    :param convert: from the number that is learned from.
    :param least: standard deviation that is assumed at least: cells that differ hardly at all say nothing of that.
    """

    words: str
    unit: str
    convert: Callable[[float], float]
    least: float


#: numbers that are looked at; of the others each follows from these, or makes another cell
_LOOKED_AT: Mapping[str, Told] = {
    "log_charging_rate": Told("mean charging rate", "1/h", math.exp, 0.25),
    "log_highest_charging_rate": Told("highest charging rate", "1/h", math.exp, 0.25),
    "log_discharging_rate": Told("mean discharging rate", "1/h", math.exp, 0.25),
    "log_highest_discharging_rate": Told("highest discharging rate", "1/h", math.exp, 0.25),
    # 5 K at room temperature
    "inverse_temperature": Told("temperature", "K", lambda value: 1e3 / value, 0.056),
    "voltage_minimum": Told("voltage_minimum", "V", float, 0.25),
    "voltage_maximum": Told("voltage_maximum", "V", float, 0.25),
}


def look_outside(design: CellDesign, numbers: Array, domain: Domain, encoder: Encoder) -> list[str]:
    """Return in words how the protocol of a cell is outside of all that were learned from.

    :param numbers: of the cell, as :func:`~.cell.describe` has them, shape ``(d,)``.
    :raises InputError: when it is so far outside that nothing can be said.
    """
    lows, highs = (end(axis=0) * encoder.scale + encoder.mean for end in (domain.points.min, domain.points.max))
    doubts = _tell_depth(design)
    for name, told in _LOOKED_AT.items():
        place = NAMES.index(name)
        given, low, high = float(numbers[place]), float(lows[place]), float(highs[place])
        if not encoder.told[place]:
            if math.isfinite(given):
                doubts.append(f"{_say(told, given)}, but no cell learned from says its own")
            continue
        # what is the same in all cells has no scale of its own
        sd = max(float(encoder.scale[place]), told.least) if high - low > _SAME else told.least
        beyond = max(low - given, given - high) / sd  # not a number where nothing was told
        if beyond > FAR:
            least, most = sorted(map(told.convert, (low - FAR * sd, high + FAR * sd)))
            accepted = f"accepted is {least:.4g} to {most:.4g} {told.unit}"
            raise InputError(f"{_say(told, given)}, {accepted}: {_known(told, low, high)}")
        if beyond > UNSURE:
            doubts.append(f"{_say(told, given)}, but {_known(told, low, high)}")
    return doubts


def _tell_depth(design: CellDesign) -> list[str]:
    """Return in words that a cell is cycled in part: no number that is learned from says so."""
    most, least = design.charging[-1].until_soc, design.discharging[-1].until_soc
    if most >= CHARGED and least <= 1 - CHARGED:
        return []
    return [
        f"cycled between {100 * least:g} and {100 * most:g} % only, but cells learned from are taken as full cycles"
    ]


def _say(told: Told, given: float) -> str:
    return f"{told.words} is {told.convert(given):.4g} {told.unit}"


def _known(told: Told, low: float, high: float) -> str:
    least, most = sorted(map(told.convert, (low, high)))
    return f"cells learned from have {least:.4g} to {most:.4g} {told.unit}"
