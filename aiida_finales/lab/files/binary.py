"""Binary files of instruments, through libraries of others: each imported, or started, when a file needs it.

NewareNDA (BSD-3-Clause) reads Neware, openpyxl (MIT) workbooks, pyarrow (Apache-2.0) Parquet: they are the extra
``instruments``. What reads BioLogic's .mpr, galvani, is GPL-3.0: it stays a program in an environment of its own, whose
Python the variable ``FINALES_GALVANI_PYTHON`` names.
"""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.lab.files.recording import Recording
from aiida_finales.lab.files.text import find_heading
from aiida_finales.schemas.workbook import read_sheets

EXTRA = "instruments"
GALVANI = "FINALES_GALVANI_PYTHON"
_SCRIPT = Path(__file__).with_name("galvani_table.py")
#: s; a file of a gigabyte takes some ten
_PATIENCE = 300
#: rows of a sheet in which its headings are looked for
_SEARCHED = 60


def _load(name: str, purpose: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(EXTRA, purpose) from error


def read_neware(content: bytes, name: str) -> list[Recording]:
    """Return the table of a Neware .nda or .ndax file. Its capacities begin anew at every step.

    :raises InputError: when the library cannot read it, with why.
    :raises MissingExtraError: without NewareNDA.
    """
    library: Any = _load("NewareNDA", "reading Neware files")
    reader = f"NewareNDA {version('NewareNDA')}"
    suffix = ".nda" if content.startswith(b"NEWARE") else ".ndax"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        path.write_bytes(content)
        try:
            frame = library.read(str(path), log_level="CRITICAL")
        except Exception as error:  # whatever a damaged file makes of somebody else's code
            raise InputError(f"{name} cannot be read by {reader}: {type(error).__name__}: {error}") from error
    columns = {str(column): frame[column].to_numpy() for column in frame.columns}
    # the time of a row counts from its step; the time stamp is that of the row
    stamps = frame["Timestamp"]
    seconds = (stamps - stamps.min()).dt.total_seconds().to_numpy()
    return [Recording({**columns, "Test Time / s": seconds}, f"Neware {suffix}", reader, "Neware")]


def read_parquet(content: bytes, name: str) -> list[Recording]:
    """Return the table of a Parquet file.

    :raises InputError: when it cannot be read, with why.
    :raises MissingExtraError: without pyarrow.
    """
    library: Any = _load("pyarrow.parquet", "reading Parquet files")
    try:
        table = library.read_table(io.BytesIO(content))
        columns = {column: table[column].to_pylist() for column in table.column_names}
    except (OSError, ValueError) as error:
        raise InputError(f"{name} is no whole Parquet file: {error}") from error
    return [Recording(columns, "table (Parquet)", f"pyarrow {version('pyarrow')}")]


def read_workbook(content: bytes, name: str) -> list[Recording]:
    """Return the tables of the sheets that record a channel; where no sheet is named so, that of the first with one.

    :raises InputError: when no sheet has headings that state units.
    :raises MissingExtraError: without openpyxl.
    """
    tables = read_sheets(content, name)
    found = dict(_find_tables(tables))
    channels = [title for title in found if title.lower().startswith(("channel", "record", "data"))]
    if not found:
        raise InputError(f"{name} has no sheet with headings that state units; its sheets are {', '.join(tables)}")
    reader = f"openpyxl {version('openpyxl')}"
    return [Recording(found[title], "Excel workbook", reader) for title in channels or list(found)[:1]]


def _find_tables(tables: dict[str, list[tuple[Any, ...]]]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    for title, rows in tables.items():
        start = find_heading([[cell for cell in row if cell is not None] for row in rows[:_SEARCHED]])
        if start is None or len(rows) <= start + 1:
            continue
        columns = zip(*rows[start + 1 :], strict=True)
        named = zip(rows[start], columns, strict=True)
        yield title, {str(word).strip(): list(cells) for word, cells in named if word is not None}


def read_mpr(content: bytes, name: str) -> list[Recording]:
    """Return the table of a BioLogic .mpr file, read by galvani in an environment of its own.

    :raises InputError: without that environment, saying how to make it, or when it cannot read the file.
    """
    python = os.environ.get(GALVANI, "")
    if not python:
        raise InputError(
            f"{name} is a BioLogic .mpr file. It is read by galvani, which is under the GPL and therefore no part of "
            "this environment. Make one for it ('python -m venv galvani; galvani/bin/pip install galvani') and name "
            f"its Python: export {GALVANI}=galvani/bin/python. Or export the file from EC-Lab as text (.mpt)"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "file.mpr"), Path(folder, "table.npy")
        source.write_bytes(content)
        reader = _call_galvani([python, "-I", str(_SCRIPT), str(source), str(target)], name)
        table = np.load(target, allow_pickle=False)
    columns = {column: table[column] for column in table.dtype.names or ()}
    return [Recording(columns, "BioLogic .mpr", reader, "BioLogic")]


def _call_galvani(command: list[str], name: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the program is the one that the user names
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"{GALVANI}={command[0]} cannot be used: {error}. It is the Python that has galvani"
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        begins = [number for number, line in enumerate(lines) if line[:1].strip()]  # the rest of a message is indented
        reason = " ".join(" ".join(lines[begins[-1] if begins else -1 :]).split())
        raise InputError(f"{name} cannot be read by galvani of {GALVANI}={command[0]}: {reason}")
    return done.stdout.strip()
