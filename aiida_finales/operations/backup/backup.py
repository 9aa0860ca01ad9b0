"""Back up the storage of the profile so that it can be restored on another computer.

``verdi storage backup`` of AiiDA 2.9 copies the file of an SQLite database as it lies there. Profiles of this package
use a write-ahead log, which that leaves out, and it needs rsync. So the copy is made here, through SQLite's own online
back-up, and it is checked before it counts::

    <place>/<profile>/20261121T091500Z/    database.sqlite or database.psql, container/, manifest.json
                      last -> 20261121T091500Z

The database is copied first: AiiDA writes the files of a node before the node, so whatever the copied database refers
to is in the container by then. In the container the order is that of its library (disk-objectstore): loose files, then
the index, then the packs. A file that is packed meanwhile is missed among the loose ones, but then it is in the index.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import BackupError, InputError
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.schemas.moment import utc_text

MANIFEST, LAST, PART = "manifest.json", "last", ".part"
SQLITE, POSTGRESQL = "core.sqlite_dos", "core.psql_dos"
_STAMP = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True)
class Backup:
    """A finished back-up.

    :param storage: AiiDA's name of the kind of storage.
    :param aiida: version of AiiDA that wrote it.
    :param user: e-mail address of the profile's user; a restored profile needs the same.
    :param n_objects: files of nodes.
    """

    folder: str
    profile: str
    storage: str
    aiida: str
    user: str
    made: str
    n_nodes: int
    n_objects: int


def make_backup(place: Path, keep: int | None = None, say: Callable[[str], None] | None = None) -> Backup:
    """Back up the loaded profile, whose daemon may run on.

    :param place: folder of the back-ups; made when it is not there.
    :param keep: remove all but the latest so many afterwards.
    :param say: is told what happens.
    :raises InputError: when the storage is of a kind that is not known here.
    :raises BackupError: when the copy is not whole, or another back-up to the same place runs.
    """
    profile, say = loaded_profile(), say or (lambda _: None)
    if profile.storage_backend not in {SQLITE, POSTGRESQL}:
        raise InputError(
            f"the storage of profile {profile.name} is {profile.storage_backend}, but accepted are {SQLITE} and "
            f"{POSTGRESQL}"
        )
    folder = place.resolve() / profile.name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_one(folder):
        made = _make(folder, datetime.now(UTC).strftime(_STAMP), say)
        for old in list_backups(folder)[: -keep if keep else 0]:
            say(f"removing {old}")
            shutil.rmtree(old)
    return made


def list_backups(folder: Path) -> list[Path]:
    """Return the finished back-ups of a profile, the latest last."""
    return sorted(path.parent for path in folder.glob(f"*Z/{MANIFEST}"))


def _make(folder: Path, stamp: str, say: Callable[[str], None]) -> Backup:
    part, done = folder / f"{stamp}{PART}", folder / stamp
    for left in folder.glob(f"*{PART}"):
        shutil.rmtree(left)  # of a run that was interrupted: we are the only one
    earlier = list_backups(folder)
    part.mkdir(mode=0o700)
    say("copying the database")
    keys = _copy_database(part)
    say("copying the files")
    copy_container(_find_container(), part / CONTAINER, earlier[-1] / CONTAINER if earlier else None)
    say("checking the copy")
    n_objects = check_container(part / CONTAINER, keys)
    backup = _describe(done, part, n_objects)
    write_durably(part / MANIFEST, asdict(backup))
    part.rename(done)
    _point_to(folder / LAST, stamp)
    return backup


def _copy_database(target: Path) -> set[str]:
    """Copy the database; return the keys of the files that it needs."""
    profile = loaded_profile()
    if profile.storage_backend == SQLITE:
        copy_sqlite(Path(profile.storage_config["filepath"]) / SQLITE_FILE, target / SQLITE_FILE)
        return set(read_keys(target / SQLITE_FILE))
    from aiida import orm

    trees = orm.QueryBuilder().append(orm.Node, project="repository_metadata").iterall()
    keys = {key for (tree,) in trees for key in find_keys(tree or {})}
    dump_postgresql(profile.storage_config, target / DUMP_FILE)
    return keys


def _find_container() -> Path:
    profile = loaded_profile()
    if profile.storage_backend == SQLITE:
        return Path(profile.storage_config["filepath"]) / CONTAINER
    from aiida.storage.psql_dos.backend import get_filepath_container

    return Path(get_filepath_container(profile))


def _describe(folder: Path, part: Path, n_objects: int) -> Backup:
    import aiida
    import sqlalchemy as sa

    profile = loaded_profile()
    if profile.storage_backend == SQLITE:
        n_nodes = check_sqlite(part / SQLITE_FILE)
    else:
        n_nodes = int(open_session().execute(sa.text("SELECT count(*) FROM db_dbnode")).scalar() or 0)
    now = utc_text(datetime.now(UTC))
    user = str(profile.default_user_email or "")
    return Backup(
        str(folder), profile.name, profile.storage_backend, aiida.__version__, user, now, n_nodes, n_objects
    )  # fmt: skip


def _point_to(link: Path, name: str) -> None:
    """Let the link lead to the latest back-up, without a moment in which there is none."""
    part = link.with_name(f".{link.name}{PART}")
    part.unlink(missing_ok=True)
    part.symlink_to(name)
    part.replace(link)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another back-up to {folder} is running: wait until it has ended") from None
        yield


SQLITE_FILE, DUMP_FILE, CONTAINER = "database.sqlite", "database.psql", "container"
LOOSE, PACKS, INDEX = "loose", "packs", "packs.idx"
#: what a container has while it is written to, of no use in a copy
_SCRATCH = {"sandbox"}


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite database in one consistent state, including what is only in its write-ahead log."""
    address = f"{source.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as origin, closing(sqlite3.connect(target)) as copy:
        origin.backup(copy)
        # a file of its own: in this mode there is no log beside it that could be forgotten
        copy.execute("PRAGMA journal_mode=delete")


def dump_postgresql(settings: Mapping[str, Any], target: Path) -> None:
    """Write a PostgreSQL database as a script for ``psql`` that replaces the content of another one.

    :param settings: the storage settings of the profile.
    :raises BackupError: when ``pg_dump`` is missing or fails.
    """
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError("pg_dump is not installed, but PostgreSQL cannot be backed up without it: install its client")
    login = [
        f"--{name}={settings[key]}"
        for name, key in (
            ("host", "database_hostname"),
            ("port", "database_port"),
            ("dbname", "database_name"),
            ("username", "database_username"),
        )
    ]
    # a profile can only be set up on an empty database: what that has by then is dropped first when it is restored
    options = ["--no-password", "--no-owner", "--clean", "--if-exists", "--format=plain"]
    command = [program, *login, *options, f"--file={target}"]
    secret = {"PGPASSWORD": str(settings.get("database_password") or "")}  # not on the command line, which others see
    done = subprocess.run(command, env=os.environ | secret, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BackupError(f"pg_dump failed: {done.stderr.strip()}")


def copy_container(source: Path, target: Path, previous: Path | None) -> None:
    """Copy a container of files.

    :param previous: the container of an earlier back-up; what has not changed since becomes a second name of its file.
    """
    target.mkdir()
    for name in (LOOSE, PACKS):
        (target / name).mkdir()
    _copy_tree(source / LOOSE, target / LOOSE, previous / LOOSE if previous else None)
    if (source / INDEX).exists():
        copy_sqlite(source / INDEX, target / INDEX)
    _copy_tree(source / PACKS, target / PACKS, previous / PACKS if previous else None)
    for path in source.iterdir():
        if path.is_file() and not path.name.startswith(INDEX):
            shutil.copy2(path, target / path.name)
        elif path.is_dir() and path.name not in {LOOSE, PACKS}:
            (target / path.name).mkdir()
            if path.name not in _SCRATCH:
                _copy_tree(path, target / path.name, None)


def read_keys(database: Path) -> Iterator[str]:
    """Give the keys of all files that the nodes of a copied SQLite database refer to."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        for (tree,) in connection.execute("SELECT repository_metadata FROM db_dbnode"):
            yield from find_keys(json.loads(tree) if tree else {})


def find_keys(tree: Mapping[str, Any]) -> Iterator[str]:
    """Give the keys of the files in a node's folder tree (``o`` are the contents of a folder, ``k`` is a key)."""
    if "k" in tree:
        yield str(tree["k"])
    for below in (tree.get("o") or {}).values():
        yield from find_keys(below)


def check_sqlite(database: Path) -> int:
    """Return the number of nodes of a copied database.

    :raises BackupError: when it is damaged.
    """
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise BackupError(f"the copied database is damaged: {verdict}")
        (count,) = connection.execute("SELECT count(*) FROM db_dbnode").fetchone()
        return int(count)


def check_container(container: Path, keys: Iterable[str]) -> int:
    """Return how many files a copied container has of those that are needed: all.

    :raises BackupError: when files are missing.
    """
    from disk_objectstore import Container

    needed = sorted(set(keys))
    with Container(container) as copy:
        found = copy.has_objects(needed)
    missing = [key for key, is_there in zip(needed, found, strict=True) if not is_there]
    if missing:
        raise BackupError(f"{len(missing)} of {len(needed)} files of nodes are missing in the copy, e.g. {missing[0]}")
    return len(needed)


def _copy_tree(source: Path, target: Path, previous: Path | None) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            _copy_file(path, place, previous / path.relative_to(source) if previous else None)
        except FileNotFoundError:
            if path.exists():
                raise  # it is the target that is missing; a source that is gone was packed meanwhile


def _copy_file(source: Path, target: Path, previous: Path | None) -> None:
    """Copy a file, or give the same file of the last back-up a second name where size and time of change agree."""
    if previous is not None and previous.is_file():
        now, then = source.stat(), previous.stat()
        if (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns):
            try:
                os.link(previous, target)
            except OSError:  # a file system without second names
                pass
            else:
                return
    shutil.copy2(source, target)
