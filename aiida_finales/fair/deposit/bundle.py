"""The files of a package as an archive takes them: flat, few, and with the checksum that it will report."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiida_finales.exceptions import InputError
from aiida_finales.fair.deposit.archives import Archive
from aiida_finales.fair.package import checksums

#: what says that the export has finished
CRATE = "ro-crate-metadata.json"
#: all that goes into a compressed folder gets this date, so that the same content gives the same checksum
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PackedFile:
    """A file as it is uploaded.

    :param size: bytes.
    :param md5: hexadecimal; the checksum that InvenioRDM reports.
    """

    name: str
    path: Path
    size: int
    md5: str


@contextmanager
def pack(folder: Path) -> Iterator[list[PackedFile]]:
    """Give the files of a package; each folder in it becomes one ``<folder>.zip``, as records have no folders.

    :raises InputError: when it is not a finished package, has links, or was changed since it was made.
    """
    _check_package(folder)
    with TemporaryDirectory(prefix="finales-deposit-") as place:
        paths = []
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                paths.append(_compress(path, Path(place) / f"{path.name}.zip"))
            else:
                paths.append(path)
        names = [path.name for path in paths]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"{folder} has a folder and a file that would both become {', '.join(twice)}: rename one")
        yield [PackedFile(path.name, path, path.stat().st_size, _md5(path)) for path in paths]


def check_limits(files: list[PackedFile], archive: Archive) -> None:
    """Compare number and size with what an archive accepts.

    :raises InputError: when it is too much; names how much it is and what is accepted.
    """
    if len(files) > archive.max_files:
        raise InputError(
            f"the package has {len(files)} files, but {archive.title} accepts {archive.max_files} per record: put some "
            "into a folder, which is deposited as one file"
        )
    aiida = sum(file.size for file in files if file.name.endswith(".aiida"))
    total = sum(file.size for file in files)
    limits = [("files", total, archive.max_bytes)]
    if archive.max_aiida_bytes:
        limits = [("files", total - aiida, archive.max_bytes), ("AiiDA archives", aiida, archive.max_aiida_bytes)]
    for what, size, limit in limits:
        if limit and size > limit:
            raise InputError(
                f"the {what} of the package have {size / 1e9:.3g} GB, but {archive.title} accepts {limit / 1e9:g} GB "
                "per record: split the package, or ask the archive for more"
            )


def _check_package(folder: Path) -> None:
    if not (folder / CRATE).is_file():
        raise InputError(
            f"{folder} has no {CRATE}, so it is not a finished package: make one with 'aiida-finales export campaign'"
        )
    changes = checksums.compare(folder)
    if changes:
        raise InputError(f"{folder} is not as it was exported: {'; '.join(changes)}. Export it again")
    links = [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise InputError(f"{links[0]} is a link, but accepted are files only: replace it by what it points to")
    empty = [path for path in folder.iterdir() if path.is_file() and not path.stat().st_size]
    if empty:
        raise InputError(
            f"{empty[0]} is empty, and archives do not take empty files: remove it, or put it into a folder"
        )


def _compress(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), _EPOCH)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as stream:
                shutil.copyfileobj(source, stream)
    return target


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
