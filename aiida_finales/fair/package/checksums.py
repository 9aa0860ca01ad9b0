"""SHA-256 of every file, in the form that ``sha256sum --check`` reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiida_finales.exceptions import InputError

FILE = "checksums.sha256"


def list_paths(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, sorted, with forward slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_checksums(folder: Path) -> Path:
    """Write one line per file."""
    lines = [f"{digest(folder / path)}  {path}\n" for path in list_paths(folder) if path != FILE]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")
    return folder / FILE


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the list names.

    :raises InputError: when there is no list, or it cannot be understood.
    """
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{FILE} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for line in lines:
        value, gap, path = line.partition("  ")
        if not gap or len(value) != 64:  # noqa: PLR2004 - hexadecimal digits of a SHA-256
            raise InputError(f"{FILE} has the line {line!r}, but accepted is '<SHA-256>  <path>'")
        found[path] = value
    return found


def compare(folder: Path) -> list[str]:
    """Return in words what differs between the list and the files."""
    try:
        listed = read_checksums(folder)
    except InputError as error:
        return [str(error)]
    links = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink())
    if links:
        return [f"{path} is a link, but accepted are files: replace it by what it points to" for path in links]
    present = set(list_paths(folder)) - {FILE}
    words = [f"{path} is listed in {FILE}, but is not there" for path in sorted(set(listed) - present)]
    words += [f"{path} is there, but not listed in {FILE}" for path in sorted(present - set(listed))]
    changed = [path for path in sorted(present & set(listed)) if digest(folder / path) != listed[path]]
    return words + [f"{path} was changed: its SHA-256 is not that of {FILE}" for path in changed]
