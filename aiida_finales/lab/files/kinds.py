"""Which kind of file it is: told by its content, and compared with its suffix."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Collection
from pathlib import PurePath

from aiida_finales.exceptions import InputError
from aiida_finales.lab.files import binary, text
from aiida_finales.lab.files.recording import Recording

Reader = Callable[[bytes, str], list[Recording]]

#: bytes, unpacked; larger files have other tools
LARGEST = 2 * 10**9
#: first bytes of what is no text, and what it is; the first that fits counts
_MAGIC = (
    (b"BIO-LOGIC MODULAR FILE", "BioLogic .mpr"),
    (b"NEWARE", "Neware .nda"),
    (b"PAR1", "Parquet"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\xd0\xcf\x11\xe0", "old Excel workbook (.xls)"),
    (b"%PDF", "PDF"),
    (b"SQLite format 3", "SQLite database"),
    (b"\x00\x01\x00\x00Standard", "Microsoft Access database (Arbin .res)"),
)
#: what a text begins with, and what it is
_TEXTS = (
    (text.EC_LAB, "BioLogic .mpt"),
    (text.BT_LAB, "BioLogic .mpt"),
    (text.GAMRY, "Gamry .DTA"),
    (text.ZPLOT, "ZPlot .z"),
)
#: kind that a suffix promises; what has another suffix is what its content says
SUFFIXES = {
    ".mpt": "BioLogic .mpt",
    ".mpr": "BioLogic .mpr",
    ".dta": "Gamry .DTA",
    ".z": "ZPlot .z",
    ".ndax": "Neware .ndax",
    ".nda": "Neware .nda",
    ".parquet": "Parquet",
    ".xlsx": "Excel workbook",
    ".csv": "table",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
}
SPECTRA = ("BioLogic .mpt", "BioLogic .mpr", "Gamry .DTA", "ZPlot .z", "table", "Excel workbook")
CYCLING = (
    "BioLogic .mpt",
    "BioLogic .mpr",
    "Neware .ndax",
    "Neware .nda",
    "Parquet",
    "Excel workbook",
    "table",
    "HDF5",
)


def _of_text(read: Callable[[str, str], list[Recording]]) -> Reader:
    return lambda content, name: read(decode(content), name)


READERS: dict[str, Reader] = {
    "BioLogic .mpt": _of_text(text.read_ec_lab),
    "Gamry .DTA": _of_text(text.read_gamry),
    "ZPlot .z": _of_text(text.read_zplot),
    "table": _of_text(text.read_table),
    "BioLogic .mpr": binary.read_mpr,
    "Neware .ndax": binary.read_neware,
    "Neware .nda": binary.read_neware,
    "Parquet": binary.read_parquet,
    "Excel workbook": binary.read_workbook,
}


def open_file(content: bytes, name: str, accepted: Collection[str]) -> list[Recording]:
    """Return the tables of a file.

    :param name: of the file; its suffix has to be right.
    :param accepted: kinds, of :data:`READERS`.
    :raises InputError: when it is none of them, or another than its suffix says, or damaged.
    :raises MissingExtraError: when a library is not installed.
    """
    content, name = unpack(content, name)
    kind = identify(content, name, accepted)
    return READERS[kind](content, name)


def identify(content: bytes, name: str, accepted: Collection[str]) -> str:
    """Return the kind of a file.

    :raises InputError: naming what was found and what is accepted.
    """
    found = _look(content)
    promised = SUFFIXES.get(PurePath(name).suffix.lower(), found)
    known = ", ".join(accepted)
    if not content.strip():
        raise InputError(f"{name} is empty; accepted are {known}")
    if found not in accepted:
        raise InputError(f"{name} is {_article(found)}; accepted are {known}")
    if found != promised and not (promised == "table" and found in ("BioLogic .mpt", "Gamry .DTA", "ZPlot .z")):
        raise InputError(f"{name} has the suffix of {promised}, but is {_article(found)}: give it the right suffix")
    return found


def unpack(content: bytes, name: str) -> tuple[bytes, str]:
    """Return content and name of what is packed by gzip; others as they are.

    :raises InputError: when it is damaged, or too large.
    """
    if not content.startswith(b"\x1f\x8b"):
        return content, name
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            plain = stream.read(LARGEST + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{name} is packed by gzip and damaged: {error}") from error
    if len(plain) > LARGEST:
        raise InputError(f"{name} is larger than {LARGEST / 1e9:g} GB when it is unpacked")
    return plain, name.removesuffix(".gz")


def _look(content: bytes) -> str:
    magic = next((kind for mark, kind in _MAGIC if content.startswith(mark)), None)
    if magic is not None:
        return magic
    if content.startswith(b"PK\x03\x04"):
        return _look_into_zip(content)
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary file of a kind that is not known"
    start = decode(content[:4096]).lstrip()
    return next((kind for mark, kind in _TEXTS if start.startswith(mark)), "table")


def _look_into_zip(content: bytes) -> str:
    names = content[-65536:] + content[:4096]
    if b"data.ndc" in names or b"Step.xml" in names:
        return "Neware .ndax"
    return "Excel workbook" if b"xl/" in names else "zip archive"


def decode(content: bytes) -> str:
    """Return a text: in UTF-8 or UTF-16 where it is, else in Windows-1252, as instruments write µ, ° and ²."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _article(kind: str) -> str:
    """Return a kind with its article; some have the word file already."""
    word = kind if "file" in kind or kind.startswith(("zip", "table", "old", "SQLite", "PDF")) else f"{kind} file"
    return f"{'an' if word[0] in 'aeiouEHSox' else 'a'} {word}"
