"""Zips of others: judged by their list of names and sizes before anything is unpacked, then unpacked within bounds.

What the list says is a claim: while unpacking, no member becomes larger than it claims.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from aiida_finales.exceptions import InputError, explain_os_error

#: name of the setting: GB that a zip of others may become, instead of :data:`LIMIT`
SETTING = "AIIDA_FINALES_UNPACK_GB"
#: bytes that a zip of others may become
LIMIT = 50 * 10**9
#: a zip that becomes so many times larger, and more than so many bytes, is no data of anybody: data shrink by 3 to 50
RATIO, PLAUSIBLE = 200, 100 * 10**6
#: share of the free disk that may be used
SHARE = 0.9
#: files that a zip may have
MOST_MEMBERS = 500_000
#: names that a message shows
SHOWN = 5
BLOCK = 1 << 20
#: what zipfile raises for zips that are none, are damaged, encrypted, or compressed in a way that it does not know
DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@contextmanager
def open_zip(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip of others, if its list of members is acceptable.

    :param what: it should be, e.g. ``package``.
    :raises InputError: when it is no zip, is damaged, or its list is not acceptable; nothing was unpacked.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            _judge(bundle.infolist(), path)
            yield bundle
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} is no {what}: {explain_os_error(error, path)}") from error
    except DAMAGES as error:
        raise InputError(f"{path} is no {what}: {error}") from error


def unpack(bundle: zipfile.ZipFile, names: Sequence[str], place: Path) -> None:
    """Unpack members into a folder, none larger than the list says.

    :raises InputError: when one is larger, or the disk is full.
    """
    for name in names:
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_member(bundle, name, target)


def copy_member(bundle: zipfile.ZipFile, name: str, target: Path) -> None:
    """Write a member to a file, not larger than the list says.

    :raises InputError: when it is larger, or cannot be written.
    """
    left = bundle.getinfo(name).file_size
    try:
        with bundle.open(name) as source, target.open("wb") as stream:
            while block := source.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise InputError(f"{bundle.filename}: {name} is larger than the list of the zip says")
                stream.write(block)
    except OSError as error:
        raise InputError(f"{bundle.filename} cannot be unpacked: {explain_os_error(error, target)}") from error


def file_names(bundle: zipfile.ZipFile) -> list[str]:
    """Return the names of the members that are files."""
    return [item.filename for item in bundle.infolist() if not item.is_dir()]


def _judge(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Look at the list of a zip.

    :raises InputError: when a name leads elsewhere or stands twice, a member is a link or encrypted, or it is too much.
    """
    counts = Counter(item.filename.rstrip("/") for item in members)
    defects: tuple[tuple[str, Callable[[zipfile.ZipInfo], bool]], ...] = (
        ("leads out of the folder in which it is unpacked", _leads_out),
        ("is a link or a device, accepted are files and folders", _is_special),
        ("is encrypted, which no package is", lambda item: bool(item.flag_bits & 0x1)),
        ("is there twice", lambda item: counts[item.filename.rstrip("/")] > 1),
    )
    for words, is_so in defects:
        found = list(dict.fromkeys(repr(item.filename) for item in members if is_so(item)))
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise InputError(f"{path} was not unpacked: {', '.join(found[:SHOWN])}{more} {words}")
    _judge_size(len(members), sum(item.file_size for item in members), path)


def _judge_size(n_members: int, size: int, path: Path) -> None:
    own, free = path.stat().st_size, shutil.disk_usage(tempfile.gettempdir()).free
    chosen = os.environ.get(SETTING)
    limit = _read_limit(chosen) if chosen else LIMIT
    if n_members > MOST_MEMBERS:
        raise InputError(f"{path} was not unpacked: it has {n_members} files, accepted are {MOST_MEMBERS}")
    if size > limit:
        words = f"it would become {_gb(size)}, accepted are {_gb(limit)}: trust it with {SETTING}=<GB>"
    elif not chosen and size > PLAUSIBLE and size > RATIO * own:
        words = f"its {_gb(own)} would become {_gb(size)}, which no data do: if you trust it, set {SETTING}=<GB>"
    elif size > SHARE * free:
        words = f"it would become {_gb(size)}, free are {_gb(free)}: make room, or set TMPDIR to a folder with room"
    else:
        return
    raise InputError(f"{path} was not unpacked: {words}")


def _read_limit(text: str) -> float:
    try:
        limit = float(text) * 1e9
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise InputError(f"{SETTING} is {text!r}, but accepted is a number of GB")
    return limit


def _leads_out(item: zipfile.ZipInfo) -> bool:
    name = item.orig_filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    return not item.filename.strip("/") or "\0" in name or name.startswith("/") or ".." in parts or ":" in parts[0]


def _is_special(item: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(item.external_attr >> 16)
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR)


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"  # noqa: PLR2004 - 0.1 GB
