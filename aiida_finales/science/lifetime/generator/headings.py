"""What a heading of a table of cells says: which of our columns it is, and in what unit.

People write ``Temperature (°C)``, ``Nominal capacity [mAh]``, ``cathode`` or ``cycle number``. A unit is taken as it is
stated. Where none is, nothing is guessed that could be read in two ways: a capacity without a unit is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiida_finales.exceptions import InputError

Row = Mapping[str, str]
#: factor and offset to our unit, by dimension and unit
_UNITS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "capacity": {"Ah": (1.0, 0.0), "mAh": (1e-3, 0.0)},
    "temperature": {"degC": (1.0, 0.0), "K": (1.0, -273.15)},
    "rate": {"C": (1.0, 0.0), "1/h": (1.0, 0.0)},
    "voltage": {"V": (1.0, 0.0), "mV": (1e-3, 0.0)},
    "share": {"%": (1.0, 0.0), "1": (100.0, 0.0)},
    "": {},
}
_SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "capacity": {"ah": "Ah", "a h": "Ah", "mah": "mAh", "ma h": "mAh"},
    "temperature": {**dict.fromkeys(("°c", "c", "deg c", "° c", "degc", "celsius"), "degC"), "k": "K", "kelvin": "K"},
    "rate": {"c": "C", "c-rate": "C", "h-1": "1/h", "per hour": "1/h"},
    "voltage": {"v": "V", "volt": "V", "mv": "mV"},
    "share": {"percent": "%", "per cent": "%", "-": "1", "fraction": "1", "share": "1"},
}
#: our column and its dimension, by what people call it
_SAID: Mapping[str, tuple[str, str]] = {
    ours: (column, dimension)
    for column, dimension, words in (
        ("cell_id", "", "cell id, cell, cell name, cell number, barcode"),
        ("positive", "", "positive, positive electrode, positive material, cathode, cathode material"),
        ("negative", "", "negative, negative electrode, negative material, anode, anode material"),
        ("format", "", "format, cell format, form factor, form, housing"),
        ("nominal_capacity_Ah", "capacity", "nominal capacity, rated capacity, capacity nominal, design capacity"),
        ("charge_rate_C", "rate", "charge rate, charging rate, charge c rate, c rate charge, mean charge rate"),
        ("charge_rate_max_C", "rate", "charge rate max, max charge rate, maximum charge rate, highest charge rate"),
        (
            "discharge_rate_C",
            "rate",
            "discharge rate, discharging rate, discharge c rate, c rate discharge, mean discharge rate",
        ),
        (
            "discharge_rate_max_C",
            "rate",
            "discharge rate max, max discharge rate, maximum discharge rate, highest discharge rate",
        ),
        ("charge_protocol", "", "charge protocol, charging protocol"),
        ("discharge_protocol", "", "discharge protocol, discharging protocol"),
        ("temperature_C", "temperature", "temperature, temp, ambient temperature, chamber temperature"),
        ("v_min", "voltage", "v min, minimum voltage, voltage minimum, lower voltage limit, lower cutoff voltage"),
        ("v_max", "voltage", "v max, maximum voltage, voltage maximum, upper voltage limit, upper cutoff voltage"),
        ("protocol_id", "", "protocol id, protocol"),
        ("lab", "", "lab, laboratory"),
        ("dataset", "", "dataset, data set"),
        ("licence", "", "licence, license"),
        ("cycle", "", "cycle, cycle number, cycle no, cycle index"),
        ("discharge_capacity_Ah", "capacity", "discharge capacity, discharged capacity, capacity discharge"),
        ("smoothed_capacity_Ah", "capacity", "smoothed capacity"),
        ("q_ref_Ah", "capacity", "q ref, reference capacity"),
        ("soh_percent", "share", "soh, state of health"),
    )
    for ours in words.split(", ")
}
_WITH_UNIT = re.compile(
    r"(?P<name>.+?)\s*(?:\[(?P<square>[^\[\]]+)\]|\((?P<round>[^()]+)\)|\s/\s*(?P<rest>.+)|_(?P<end>[^_\s()\[\]]+))"
)
#: °C up to which, and share up to which, numbers without a unit are taken for these, and beyond for K and per cent
_HOTTEST, _LARGEST_SHARE = 100.0, 1.0


@dataclass(frozen=True)
class Heading:
    """What a heading says.

    :param column: ours; :param factor: from its unit to ours; :param offset: added then.
    """

    column: str
    factor: float = 1.0
    offset: float = 0.0


def read_headings(names: Iterable[str], cells: Callable[[str], Sequence[str]]) -> dict[str, Heading]:
    """Return what headings say that are not called as ours are; where a table has our own name, that counts.

    :param cells: returns what stands below a heading.
    :raises InputError: when two say the same, or a unit is not known or lacks; naming what is accepted.
    """
    given = list(names)
    found: dict[str, Heading] = {}
    for text in given:
        name, unit = (text, "") if _plain(text) in _SAID else _split(text)
        column, dimension = _SAID.get(_plain(name), ("", ""))
        if not column or column in given or (unit and not dimension):
            continue
        twice = next((other for other, item in found.items() if item.column == column), None)
        if twice is not None:
            raise InputError(f"columns {twice!r} and {text!r} say the same ({column}): leave out one of them")
        found[text] = _weigh(text, (column, dimension), unit, cells)
    return found


def turn(row: Row, headings: Mapping[str, Heading], read: Callable[[Row, str], float | None]) -> Row:
    """Return a row with our columns beside those given.

    :param read: returns the number in a column of a row.
    """
    ours = {}
    for name, item in headings.items():
        if (item.factor, item.offset) == (1.0, 0.0):
            ours[item.column] = row[name]
        else:
            value = read(row, name)
            ours[item.column] = "" if value is None else f"{value * item.factor + item.offset:.12g}"
    return {**row, **ours}


def _weigh(text: str, said: tuple[str, str], unit: str, cells: Callable[[str], Sequence[str]]) -> Heading:
    column, dimension = said
    units = _UNITS[dimension]
    if not units:
        return Heading(column)
    unit = _spell(unit, dimension) if unit else _guess(dimension, cells(text))
    if unit not in units:
        told = f"unit of column {text!r} is {unit!r}" if unit else f"column {text!r} states no unit"
        raise InputError(
            f"{told}, accepted are {', '.join(units)}: write it as in {_split(text)[0]} [{next(iter(units))}]"
        )
    return Heading(column, *units[unit])


def _split(text: str) -> tuple[str, str]:
    match = _WITH_UNIT.fullmatch(text.strip())
    return (text, "") if match is None else (match["name"], next(part for part in match.groups()[1:] if part))


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()


def _spell(unit: str, dimension: str) -> str:
    word = re.sub(r"[·⋅*.]", " ", unicodedata.normalize("NFKC", unit)).strip()
    return _SPELLINGS[dimension].get(word.casefold(), word)


def _guess(dimension: str, given: Sequence[str]) -> str:
    """Return the unit that numbers without one must have; nothing where they could have several."""
    if dimension in ("rate", "voltage"):
        return next(iter(_UNITS[dimension]))
    numbers = [abs(float(text)) for text in given if re.fullmatch(r"\s*-?\d+\.?\d*([eE][+-]?\d+)?\s*", text)]
    if dimension == "temperature" and numbers:
        return "degC" if max(numbers) <= _HOTTEST else "K"
    if dimension == "share" and numbers:
        return "1" if max(numbers) <= _LARGEST_SHARE else "%"
    return ""


def name_columns(names: Iterable[str]) -> set[str]:
    """Return headings, and what each is called here, whatever its unit."""
    given = set(names)
    return given | {
        _SAID[word][0] for name in given for word in (_plain(name), _plain(_split(name)[0])) if word in _SAID
    }
