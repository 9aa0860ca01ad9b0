"""Tables in text files as instruments and spreadsheets write them: encodings, separators, decimal signs, comments.

Nothing is guessed that could change a number: where a table can be read in two ways, it is refused, and the message
names the key that says which one is right.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.words import count

Row = Mapping[str, str]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
COMMENT = "#"
#: marks at the beginning of a file that say its encoding; the longer ones first, for UTF-32 begins like UTF-16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = {b"PK\x03\x04": "an Excel workbook or another zip", b"\xd0\xcf\x11\xe0": "an old Excel workbook",
          b"%PDF": "a PDF", b"\x1f\x8b": "packed by gzip", b"SQLite format 3": "an SQLite database"}  # fmt: skip

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
#: a comma before three digits may stand for thousands
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([.,'\u2019 \u00a0\u202f]\d{3})+([.,]\d+)?", re.ASCII)
_NOTHING = {
    "nan",
    "n/a",
    "na",
    "n.a.",
    "-",
    "--",
    "\u2013",
    "\u2014",
    "null",
    "none",
    "nil",
    "?",
    "#n/a",
    "inf",
    "-inf",
}


@dataclass(frozen=True)
class Dialect:
    """How a table is written; what is empty is looked up in the table.

    :param delimiter: between cells: one character.
    :param decimal: before the fraction of a number: ``.`` or ``,``.
    """

    delimiter: str = ""
    decimal: str = ""

    def __post_init__(self) -> None:
        if self.delimiter in ("tab", "\\t"):
            object.__setattr__(self, "delimiter", "\t")
        if self.decimal not in ("", ".", ","):
            raise InputError(f"decimal is {self.decimal!r}, but accepted are '.' and ','")
        if len(self.delimiter) > 1:
            raise InputError(f"delimiter is {self.delimiter!r}, but accepted is one character, or tab")
        if self.decimal and self.decimal == self.delimiter:
            raise InputError(f"delimiter and decimal are both {self.decimal!r}: write another one between the cells")


@dataclass(frozen=True)
class Table:
    """The cells of a table by the names in its header, with the numbers of its rows from 1.

    :param decimal: sign before the fraction of its numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]
    decimal: str

    def change(self, make: Callable[[Row], Row]) -> list[tuple[int, Row]]:
        """Return other rows made of these, with their numbers.

        :raises InputError: naming the row that cannot be used.
        """
        changed = []
        for number, row in self.rows:
            try:
                changed.append((number, make(row)))
            except InputError as error:
                raise InputError(f"row {number}: {error}") from error
        return changed

    def plain(self, text: str) -> str:
        """Return a cell with a point in its numbers; a cell that is no number is returned as it is.

        :raises InputError: when it has a point although the table has commas.
        """
        if self.decimal != ",":
            return text
        parts = [part.strip() for part in text.split(";")]
        if any(_NUMBER.fullmatch(part) and "." in part for part in parts):
            raise InputError(f"{text!r} has a point, although the decimal sign of the table is a comma")
        return ";".join(part.replace(",", ".") if _WITH_COMMA.fullmatch(part) else part for part in parts)


#: what to do about a table in another encoding
_CURE = "save it as 'CSV UTF-8', or say how it is written: key 'encoding' of a map, or --encoding: cp1252, utf-16-le"


def decode(content: bytes, name: str, encoding: str | None = None, cure: str = _CURE) -> str:
    """Return the text of a file: UTF-8 or what its first bytes say, unless an encoding is given.

    :param name: of the file, for messages.
    :param cure: what to do about a file that is no text, or in another encoding.
    :raises InputError: saying what was found and what to do.
    """
    kind = next((words for start, words in _KINDS.items() if content.startswith(start)), None)
    if kind is not None:
        raise InputError(f"{name} is {kind}, but accepted is a text file: {cure.partition(',')[0]}")
    used = encoding or next((word for mark, word in _MARKS if content.startswith(mark)), "utf-8")
    if used == "utf-8" and b"\0" in content:
        raise InputError(f"{name} has zero bytes: it is no text, or UTF-16 without a mark: {cure}")
    try:
        text = content.decode(used)
    except LookupError as error:
        raise InputError(f"encoding {used!r} is not known; accepted are e.g. utf-8, utf-16, cp1252, latin-1") from error
    except UnicodeError as error:
        raise InputError(_not_decoded(content, name, used, error, cure)) from error
    if "\0" in text:
        raise InputError(f"{name} has zero bytes, also as {used}: it is no text, or its encoding is another one")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _not_decoded(content: bytes, name: str, used: str, error: UnicodeError, cure: str) -> str:
    start = getattr(error, "start", 0)
    line = content[:start].count(b"\n") + 1
    byte = f"0x{content[start]:02x}" if start < len(content) else "its end"
    old = content.decode("cp1252", errors="replace").splitlines()[line - 1 : line]
    shown = f" (as Windows-1252, cp1252, the line is {old[0][:60]!r})" if old else ""
    return f"{name} is not {used}: {byte} in line {line} is not{shown}: {cure}"


def read_table(text: str, dialect: Dialect | None = None) -> Table:
    """Return the cells of a table.

    Lines that begin with ``#`` between rows are comments, and rows without any text are skipped.

    :raises InputError: when there is no row, a header is ambiguous or double, a row has more or fewer cells than the
        header, or it can be read in two ways; naming the row, or the key that says how it is written.
    """
    dialect = dialect or Dialect()
    delimiter = dialect.delimiter or _find_delimiter(text)
    records = [record for record in _read_records(text, delimiter) if any(record)]
    if len(records) < 2:  # noqa: PLR2004 - header and a row
        found = f"; the header is {records[0]}" if records else ""
        raise InputError(f"the file has no rows: accepted is a CSV file with a header line and at least one row{found}")
    header = _check_header(records)
    _check_lengths(records, delimiter)
    rows = tuple(
        (number, {name: cell for name, cell in zip(header, record, strict=True) if name})
        for number, record in enumerate(records[1:], start=1)
    )
    return Table(tuple(name for name in header if name), rows, dialect.decimal or _find_decimal(records[1:]))


def _read_records(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of header and rows; a line is a comment only where a row would begin, not within quotes."""
    is_inside = False

    def lines() -> Iterator[str]:
        nonlocal is_inside
        for line in io.StringIO(text):
            if is_inside or not (line.startswith(COMMENT) or not line.strip()):
                is_inside = True
                yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        for record in reader:
            is_inside = False
            yield [cell.strip() for cell in record]
    except csv.Error as error:
        raise InputError(f"the table cannot be read near its row {reader.line_num}: {error}") from error


def _find_delimiter(text: str) -> str:
    """Return what separates the names in the header."""
    names = {sign: _count_names(text, sign) for sign in DELIMITERS}
    found = [sign for sign, number in names.items() if number > 1]
    if len(found) > 1:
        words = " and ".join(f"{DELIMITERS[sign]} ({names[sign]} columns)" for sign in found)
        raise InputError(f"the header can be split by {words}: say which, key 'delimiter' of the map or --delimiter")
    return found[0] if found else ","


def _count_names(text: str, delimiter: str) -> int:
    try:
        return len(next(_read_records(text, delimiter), []))
    except InputError:
        return 0  # its quotes are in the middle of a name then


def _find_decimal(rows: list[list[str]]) -> str:
    """Return the sign before fractions; a comma only where every number says so and it can mean nothing else."""
    cells = [part.strip() for row in rows for cell in row for part in cell.split(";")]
    commas = [cell for cell in cells if _WITH_COMMA.fullmatch(cell)]
    if not commas:
        return "."
    points = [cell for cell in cells if "." in cell and _NUMBER.fullmatch(cell)]
    if points or all(_AMBIGUOUS.fullmatch(cell) for cell in commas):
        other = f"beside {points[0]!r}" if points else "and may mean thousands"
        raise InputError(
            f"{commas[0]!r} has a comma {other}: say which sign is before fractions, key 'decimal' of the map or "
            "--decimal, and leave out separators of thousands"
        )
    return ","


def _check_header(records: list[list[str]]) -> list[str]:
    header = records[0]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InputError(f"columns {twice} are there more than once: every column needs a name of its own")
    if all(_NUMBER.fullmatch(name.replace(",", ".")) for name in header if name):
        raise InputError(f"the first line {header} has only numbers: accepted is a line with the names of the columns")
    for place, name in enumerate(header):
        row = next((number for number, record in enumerate(records) if not name and "".join(record[place:place + 1])),
                   None)  # fmt: skip
        if row is not None:
            raise InputError(f"column {place + 1} has no name, but {records[row][place]!r} in row {row}")
    return header


def _check_lengths(records: list[list[str]], delimiter: str) -> None:
    wanted = len(records[0])
    wrong = [(number, len(record)) for number, record in enumerate(records[1:], start=1) if len(record) != wanted]
    if not wrong:
        return
    shown = "; ".join(f"row {number} has {count(cells, 'cell')}" for number, cells in wrong[:5])
    # commas in numbers make more cells, never fewer
    more = delimiter == "," and any(cells > wanted for _, cells in wrong)
    hint = ". With a decimal comma, another sign has to stand between the cells" if more else ""
    raise InputError(
        f"{len(wrong)} of {len(records) - 1} rows cannot be used, nothing was stored: {shown}, but the header names "
        f"{wanted}: {', '.join(records[0])}{hint}"
    )


def read_number(text: str, column: str) -> float:
    """Return a number.

    :raises InputError: naming the column, what was given, what is accepted, and what it looks like.
    """
    word = text.strip()
    number: Any = float(word) if _NUMBER.fullmatch(word) else None
    if number is None or number in (float("inf"), float("-inf")):
        raise InputError(f"{column} is {word!r}, but accepted is a number{_explain(word)}")
    return float(number)


def _explain(word: str) -> str:
    """Return what to do about a cell that is no number."""
    if word.lower() in _NOTHING:
        return ": leave a cell empty where nothing was measured, and leave out a row without value"
    if _THOUSANDS.fullmatch(word):
        return " without separators of thousands; for a decimal comma say so, key 'decimal' of the map or --decimal"
    if _WITH_COMMA.fullmatch(word):
        return " with a point; for a decimal comma say so, key 'decimal' of the map or --decimal"
    if _NUMBER.match(word):
        return " alone: units and uncertainties stand elsewhere"
    return ""
