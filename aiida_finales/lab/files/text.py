"""Text files of instruments, by their published forms.

* EC-Lab ASCII of BioLogic (EC-Lab User's Manual, "Data processing: export as text"; BT-Lab likewise): ``EC-Lab ASCII
  FILE``, ``Nb header lines : N``, then header and rows from line N on, separated by tabs; decimal signs as the computer
  has them.
* Gamry (https://help.gamry.com/eis-data-analysis-file-overview): a line ``EXPLAIN``; a curve is a line
  ``ZCURVE<tab>TABLE``, a line of headings, one of units, and rows, each indented by a tab. "For a capacitor, Zimag is
  negative" (https://help.gamry.com/eis-data-analysis-data-curve).
* ZPlot (Scribner Associates): ``ZPLOT2 ASCII``, a head that ends with ``End Comments``, then frequency (Hz), amplitude,
  bias, time (s), Z' and Z'' (ohm), GD, error and range without headings.
* Tables with a line of headings: Battery Data Format, Arbin, Maccor and what people write.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from aiida_finales import __version__
from aiida_finales.exceptions import InputError
from aiida_finales.lab.files.recording import Recording, find_unit, read_header
from aiida_finales.schemas.table import COMMENT

READER = f"aiida-finales {__version__}"
EC_LAB, BT_LAB, GAMRY, ZPLOT = "EC-Lab ASCII FILE", "BT-Lab ASCII FILE", "EXPLAIN", "ZPLOT"
#: the columns of ZPlot, which the file does not name
_ZPLOT_COLUMNS = ("Freq(Hz)", "Ampl", "Bias", "Time(Sec)", "Z'(Ohm)", "Z''(Ohm)", "GD", "Err", "Range")
_SPECTRUM_COLUMNS = ("frequency_Hz", "real_ohm", "imaginary_ohm")
_HEADER_LINES = re.compile(r"Nb header lines\s*:\s*(\d+)")
_DEVICE = re.compile(r"^(?:Device|PSTAT\tPSTAT)\s*[:\t]\s*([^\t\n]+)", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
#: lines in which the header of a table is looked for: some write what was measured above it
_SEARCHED = 60
#: rows that are named when they are left out
_SHOWN = 5


def read_ec_lab(text: str, name: str) -> list[Recording]:
    """Return the tables of an EC-Lab ASCII file; files that were put behind each other have several.

    :raises InputError: when a head is not as it has to be.
    """
    starts = [found.start() for found in re.finditer(f"{EC_LAB}|{BT_LAB}", text)]
    parts = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [_read_ec_lab_part(part, name) for part in parts]


def _read_ec_lab_part(text: str, name: str) -> Recording:
    lines = text.splitlines()
    found = _HEADER_LINES.search(text)
    if found is None or not 1 <= int(found[1]) <= len(lines):
        said = f"says {found[1]} header lines and has {len(lines)} lines" if found else "has no 'Nb header lines : N'"
        raise InputError(f"{name} {said}: accepted is an EC-Lab ASCII file as a whole; export it again")
    n_head = int(found[1])
    # headings end with a tab, rows do not
    header = lines[n_head - 1].rstrip("\t ").split("\t")
    rows = [line.rstrip("\t ").split("\t") for line in lines[n_head:]]
    return _make(header, rows, "BioLogic .mpt (EC-Lab ASCII)", name, _device(text))


def read_gamry(text: str, name: str) -> list[Recording]:
    """Return the impedance curves of a Gamry file; the unit stands below each heading.

    :raises InputError: when it has none; naming the curves that it has.
    """
    lines = text.splitlines()
    found = [(number, line.split("\t")[0]) for number, line in enumerate(lines) if line.startswith(tuple(_CURVES))]
    if not found:
        tables = sorted({line.split("\t")[0] for line in lines if "\tTABLE" in line})
        raise InputError(f"{name} has no table ZCURVE of an impedance; its tables are {', '.join(tables) or 'none'}")
    return [_read_curve(lines, number, name, _device(text)) for number, _ in found]


_CURVES = ("ZCURVE",)


def _read_curve(lines: list[str], start: int, name: str, device: str) -> Recording:
    block: list[list[str]] = []
    for line in lines[start + 1 :]:
        if not line.startswith("\t"):
            break
        block.append([cell.strip() for cell in line.rstrip().split("\t")[1:]])
    if len(block) < 3:  # noqa: PLR2004 - headings, units and a row
        raise InputError(f"{name} ends within the headings of {lines[start].split()[0]}: export it again")
    header = [f"{word} ({unit})" for word, unit in zip(block[0], block[1], strict=False)]
    return _make(header, block[2:], "Gamry .DTA", name, device)


def read_zplot(text: str, name: str) -> list[Recording]:
    """Return the spectrum of a ZPlot file.

    :raises InputError: when its head has no end.
    """
    _, mark, body = text.rpartition("End Comments")
    if not mark:
        raise InputError(f"{name} has no line 'End Comments': accepted is a whole ZPlot file (ZPLOT2 ASCII)")
    rows = [line.replace(",", " ").split() if "." in line else line.split() for line in body.splitlines()[1:]]
    n_columns = len(next((row for row in rows if row), ()))  # older versions write the first six only
    return [_make(list(_ZPLOT_COLUMNS[:n_columns]), rows, "ZPlot .z", name, "")]


def read_table(text: str, name: str) -> list[Recording]:
    """Return a table with a line of headings, wherever that is; or three columns of numbers of a spectrum.

    :raises InputError: when there is no such line.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and _is_plain_spectrum(lines):
        delimiter = _find_delimiter(lines[0])
        note = "no headings: taken as frequency in Hz, real and imaginary part in ohm"
        rows = [_split(line, delimiter) for line in lines]
        return [_make(list(_SPECTRUM_COLUMNS), rows, "table", name, "", (note,))]
    rows = [_split(line, _find_delimiter(line)) for line in lines[:_SEARCHED]]
    start = find_heading(rows)
    if start is None:
        shown = lines[0][:80] if lines else "nothing"
        raise InputError(
            f"{name} begins with {shown!r}: accepted is a table with a line of headings that state units "
            "which are known, as discharge_capacity_mAh, frequency_Hz, Re(Z)/Ohm or Current (mA). What is per gram "
            "needs the mass: give the capacity of the cell"
        )
    delimiter, header, n_head = _find_delimiter(lines[start]), rows[start], 1
    if start + 1 < len(rows) and _is_units(header, rows[start + 1]):
        pairs = zip(header, rows[start + 1], strict=True)
        header, n_head = [f"{word} ({unit})" if unit else word for word, unit in pairs], 2
    body = [_split(line, delimiter) for line in lines[start + n_head :] if not line.startswith(COMMENT)]
    return [_make(header, [row for row in body if row != rows[start]], "table", name, "")]


def find_heading(rows: Sequence[Sequence[object]]) -> int | None:
    """Return which of the first rows has the headings: two names or more, of which one has a unit, or all below."""
    for number, row in enumerate(rows):
        words = [str(cell).strip() for cell in row if str(cell or "").strip()]
        if len(words) < 2 or any(_NUMBER.fullmatch(word) for word in words):  # noqa: PLR2004 - one is no table
            continue
        below = rows[number + 1] if number + 1 < len(rows) else ()
        if any(read_header(word).unit for word in words) or _is_units(row, below):
            return number
    return None


def _is_units(header: Sequence[object], row: Sequence[object]) -> bool:
    """Return whether a row has the units of the headings above it."""
    words = [str(cell or "").strip() for cell in row]
    units = [find_unit(word) for word in words if word]
    return len(row) == len(header) and bool(units) and all(unit not in ("", "1") for unit in units)


def _is_plain_spectrum(lines: list[str]) -> bool:
    cells = _split(lines[0], _find_delimiter(lines[0]))
    return len(cells) == len(_SPECTRUM_COLUMNS) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _find_delimiter(line: str) -> str:
    """Return what separates the cells of a line: a comma only where nothing else does, for it may be in numbers.

    Blanks do where there is none of the others.
    """
    return next((sign for sign in ("\t", ";", ",") if sign in line), " ")


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.lstrip("# ").split()
    try:
        row = next(csv.reader([line.lstrip("# ")], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise InputError(f"a line that begins with {line[:40]!r} is no row of a table: {error}") from error
    return [cell.strip() for cell in row]


def _make(
    header: Sequence[str], rows: Sequence[list[str]], kind: str, name: str, device: str, notes: tuple[str, ...] = ()
) -> Recording:
    """Return a table of rows that are as long as the header; the last one may have been cut off.

    :raises InputError: when another is shorter or longer, naming it.
    """
    kept = [(number, row) for number, row in enumerate(rows, start=1) if any(row)]
    whole = [row[: len(header)] for _, row in kept if len(row) >= len(header) and not any(row[len(header) :])]
    wrong = [number for number, row in kept if len(row) < len(header) or any(row[len(header) :])]
    if wrong and wrong != [kept[-1][0]]:
        shown = ", ".join(map(str, wrong[:_SHOWN]))
        raise InputError(
            f"{name} has {len(wrong)} rows with another number of cells than its {len(header)} headings, the first are "
            f"{shown}: export it again; with decimal commas another sign has to separate the cells"
        )
    if wrong:
        notes = (*notes, "the last row is cut off and was left out")
    columns = dict(zip(header, zip(*_with_points(whole, name), strict=True), strict=True)) if whole else {}
    if len(columns) < len(header) and whole:
        twice = sorted({word for word in header if list(header).count(word) > 1})
        raise InputError(f"{name} has more than one column {', '.join(map(repr, twice))}: every one needs its own name")
    if not columns:
        raise InputError(f"{name} has no rows below its headings {', '.join(header)}")
    return Recording({key: value for key, value in columns.items() if key}, kind, READER, device, notes)


def _with_points(rows: list[list[str]], name: str) -> Iterator[list[str]]:
    """Yield rows with points in their numbers.

    :raises InputError: when numbers are written in both ways.
    """
    commas = next((cell for row in rows for cell in row if "," in cell and _NUMBER.fullmatch(cell)), None)
    if commas is None:
        yield from rows
        return
    points = next((cell for row in rows for cell in row if "." in cell and _NUMBER.fullmatch(cell)), None)
    if points is not None:
        raise InputError(f"{name} has {commas!r} and {points!r}: accepted is one decimal sign; leave out thousands")
    for row in rows:
        yield [cell.replace(",", ".") if _NUMBER.fullmatch(cell) else cell for cell in row]


def _device(text: str) -> str:
    found = _DEVICE.search(text)
    return found[1].strip() if found else ""
