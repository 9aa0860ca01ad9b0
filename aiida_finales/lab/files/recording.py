"""What an instrument wrote: columns of numbers with the units that their headers state."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array

#: dimension, and factor to our unit of it, by the unit as headers spell it; m and M are told apart where both are used
UNITS: dict[str, tuple[str, float]] = {
    **{"Hz": ("Hz", 1.0), "kHz": ("Hz", 1e3), "mHz": ("Hz", 1e-3), "MHz": ("Hz", 1e6)},
    **{"Ohm": ("ohm", 1.0), "Ohms": ("ohm", 1.0), "Ω": ("ohm", 1.0), "kOhm": ("ohm", 1e3), "kΩ": ("ohm", 1e3)},
    **{"mOhm": ("ohm", 1e-3), "mΩ": ("ohm", 1e-3), "MOhm": ("ohm", 1e6), "MΩ": ("ohm", 1e6)},
    **{"s": ("s", 1.0), "sec": ("s", 1.0), "second": ("s", 1.0), "seconds": ("s", 1.0), "ms": ("s", 1e-3)},
    **{"min": ("s", 60.0), "h": ("s", 3600.0), "hour": ("s", 3600.0), "hours": ("s", 3600.0), "hr": ("s", 3600.0)},
    **{"V": ("V", 1.0), "volt": ("V", 1.0), "volts": ("V", 1.0), "mV": ("V", 1e-3)},
    **{"A": ("A", 1.0), "ampere": ("A", 1.0), "amp": ("A", 1.0), "amps": ("A", 1.0), "mA": ("A", 1e-3)},
    **{"µA": ("A", 1e-6), "uA": ("A", 1e-6), "nA": ("A", 1e-9)},
    **{"Ah": ("Ah", 1.0), "A.h": ("Ah", 1.0), "Amp-hr": ("Ah", 1.0), "mAh": ("Ah", 1e-3), "mA.h": ("Ah", 1e-3)},
    **{"µAh": ("Ah", 1e-6), "uAh": ("Ah", 1e-6), "µA.h": ("Ah", 1e-6), "C": ("Ah", 1 / 3600), "As": ("Ah", 1 / 3600)},
    **{"1": ("1", 1.0), "deg": ("deg", 1.0), "°": ("deg", 1.0), "degrees": ("deg", 1.0), "rad": ("deg", 180 / math.pi)},
}
#: some signs have two codes: those of ohm and micro
_EXACT = {unicodedata.normalize("NFKC", unit): unit for unit in UNITS}
#: without regard to the case, but for units that it tells apart
_LOOSE = {unit.lower(): unit for unit in UNITS if not unit.startswith(("m", "M")) or unit in ("min", "mAh", "mA.h")}
#: a unit behind a name, the surest first: Current(mA), Freq [Hz], Re(Z)/Ohm, Test Time / s, frequency_Hz, Z' in Ohm
_SUFFIXES = tuple(
    re.compile(rf"(?P<name>.*?)\s*{suffix}\s*")
    for suffix in (
        r"[(\[](?P<unit>[^()\[\]]+)[)\]]",
        r"[/,]\s*(?P<unit>[^/,]+)",
        r"_(?P<unit>[^_]+)",
        r"\sin\s(?P<unit>\S+)",
    )
)
#: hyphen, minus and dash
_NEGATIVE = re.compile("-|\u2212|\u2013|minus|negative|neg")
#: single and double prime
_PRIMES = {0x2032: "1", 0x2033: "2"}
_UMLAUTS = {0xE4: "ae", 0xF6: "oe", 0xFC: "ue"}
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([.,'\u2019 \u00a0\u202f]\d{3})+([.,]\d+)?")
_CLOCK = re.compile(
    r"(?:(?P<days>\d+)(?:\s*d(?:ays?)?,?\s*|\s+))?(?P<hours>\d+):(?P<minutes>\d{1,2}):(?P<seconds>\d{1,2}(?:[.,]\d+)?)"
)


@dataclass(frozen=True)
class Header:
    """What the header of a column says.

    :param name: in lower case, letters and digits only, without unit; an umlaut as two letters.
    :param is_negative: the column holds the negative of what the name says, as ``-Im(Z)``.
    :param unit: a key of :data:`UNITS`; empty where none is stated.
    """

    name: str
    unit: str
    is_negative: bool = False


@dataclass(frozen=True)
class Recording:
    """The table in an instrument's file.

    :param columns: cells by header, as they were written.
    :param kind: of the file, in words.
    :param reader: program and version that read it.
    :param instrument: as the file names it.
    :param notes: what was left out or assumed, for people.
    """

    columns: Mapping[str, Sequence[Any]]
    kind: str
    reader: str
    instrument: str = ""
    notes: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return min((len(column) for column in self.columns.values()), default=0)

    def find(self, names: Iterable[str], dimension: str) -> tuple[str, Header] | None:
        """Return the first column that has one of these names, and what its header says.

        :param names: as :attr:`Header.name`, those preferred first.
        :param dimension: a unit that is stated must be of it.
        """
        return next(iter(self.find_all(names, dimension)), None)

    def find_all(self, names: Iterable[str], dimension: str) -> list[tuple[str, Header]]:
        """Return all such columns."""
        headers = {column: read_header(column) for column in self.columns}
        return [
            (column, header)
            for name in names
            for column, header in headers.items()
            if header.name == name and (not header.unit or UNITS[header.unit][0] == dimension)
        ]

    def demand(self, what: str, names: Sequence[str], dimension: str) -> tuple[str, Header]:
        """Return a column that must be there.

        :raises InputError: naming what is missing, and the columns that are there.
        """
        found = self.find(names, dimension)
        if found is None:
            raise InputError(
                f"{self.kind} has no column of {what}{_spell(dimension)}; it has {', '.join(map(repr, self.columns))}"
            )
        return found

    def numbers(self, column: str, header: Header) -> Array:
        """Return a column in our unit; what is no number is not a number there.

        :raises InputError: when thousands are separated, which could be read in two ways.
        """
        factor = UNITS[header.unit][1] if header.unit else 1.0
        cells = self.columns[column]
        values = np.array([read_cell(cell) for cell in cells], dtype=float)
        for row in np.flatnonzero(np.isnan(values)).tolist():
            if _THOUSANDS.fullmatch(str(cells[row]).strip()):
                raise InputError(
                    f"{self.kind} has {str(cells[row])!r} in the column {column!r}: accepted are numbers without "
                    "separators of thousands; export it again"
                )
        return values * (-factor if header.is_negative else factor)


def read_header(text: str) -> Header:
    """Return what a header says."""
    rest, unit = _split_unit(text.strip())
    plain = unicodedata.normalize("NFC", rest).lower().replace("''", "2").replace('"', "2").replace("'", "1")
    plain = plain.translate({**_PRIMES, **_UMLAUTS})
    found = _NEGATIVE.match(plain)
    plain = plain[found.end() :] if found else plain
    return Header(re.sub(r"[^a-z0-9|#+]", "", plain), unit, found is not None)


def _split_unit(text: str) -> tuple[str, str]:
    whole = find_unit(text)
    if whole:  # Volts, Amps, Amp-hr: the unit is the name
        return text, whole
    for suffix in _SUFFIXES:
        found = suffix.fullmatch(text)
        if found is not None and find_unit(found["unit"]):
            return found["name"], find_unit(found["unit"])
    return text, ""


def find_unit(text: str) -> str:
    """Return the key of a unit in :data:`UNITS`; empty where it is none."""
    word = unicodedata.normalize("NFKC", text.strip())
    return _EXACT.get(word) or _LOOSE.get(word.lower(), "")


def read_cell(cell: Any) -> float:
    """Return the number in a cell, a time as h:min:s in s; not a number where there is none."""
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        clock = _CLOCK.fullmatch(str(cell).strip())
    if clock is None:
        return float("nan")
    days, hours, minutes = (float(clock[key] or 0) for key in ("days", "hours", "minutes"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(clock["seconds"].replace(",", "."))


def _spell(dimension: str) -> str:
    """Return in which units a column may be; nothing of a plain number."""
    known = [unit for unit, (kind, _) in UNITS.items() if kind == dimension != "1"]
    return f" in {' or '.join(known[:4])}" if known else ""
