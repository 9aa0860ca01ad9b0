"""Files that only their owner may read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from aiida_finales.exceptions import InputError

T = TypeVar("T")

FOLDER_MODE, FILE_MODE = 0o700, 0o600
#: bytes of the key that signs tokens: as many as the hash of HS256 has
KEY_BYTES = 32


def make_private_folder(folder: Path) -> Path:
    """Make a folder, unless it exists, that nobody else may read."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; a reader sees the old or the new content, never half of it."""
    make_private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # has mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class KeptDocument(Generic[T]):
    """A JSON document in a private file, read again when some program has changed it.

    :param make: makes of the document what is kept of it.
    :param nothing: the document when there is no file.
    """

    def __init__(self, path: Path, make: Callable[[Any], T], nothing: Any) -> None:
        self.path = path
        self._make = make
        self._nothing = nothing
        self._content = make(nothing)
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> T:
        """Return the present content.

        :raises InputError: when others may read the file.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return self._make(self._nothing)
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            if status.st_mode & 0o077:
                raise InputError(f"{self.path} may be read by others: run chmod 600 on it")
            try:
                self._content = self._make(json.loads(self.path.read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputError(f"{self.path} is damaged ({error}): put a copy of before in its place") from error
            self._seen = seen
        return self._content

    def write(self, document: Any) -> None:
        """Replace the document; whoever writes what follows from what was read holds the lock meanwhile."""
        write_private(self.path, json.dumps(document, indent=1))
        self._seen = None


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Let one process at a time change a file."""
    make_private_folder(path.parent)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_signing_key(folder: Path) -> str:
    """Return the key that signs tokens; the first call makes a random one.

    :raises InputError: when the file is readable for others or holds no key.
    """
    path = folder / "signing-key"
    with hold_lock(path):
        if not path.exists():
            write_private(path, secrets.token_hex(KEY_BYTES))
        if path.stat().st_mode & 0o077:
            raise InputError(f"{path} may be read by others: make a new key by removing it, or run chmod 600 on it")
        key = path.read_text(encoding="utf-8").strip()
    if len(key) < 2 * KEY_BYTES:
        raise InputError(f"{path} holds no key of {KEY_BYTES} bytes: remove it, the next start makes a new one")
    return key
