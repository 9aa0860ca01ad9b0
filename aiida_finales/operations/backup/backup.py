"""Back up the storage of the profile so that it can be restored on another computer.

``verdi storage backup`` of AiiDA 2.9 copies the file of an SQLite database as it lies there. Profiles of this package
use a write-ahead log, which that leaves out, and it needs rsync. So the copy is made here, through SQLite's own online
back-up, and it is checked before it counts::

    <place>/<profile>/20261121T091500Z/    database.sqlite or database.psql, container/, manifest.json
                      last -> 20261121T091500Z
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import BackupError, InputError
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.operations.backup.copy import (
    CONTAINER,
    DUMP_FILE,
    SQLITE_FILE,
    check_container,
    check_sqlite,
    copy_container,
    copy_sqlite,
    dump_postgresql,
    find_keys,
    read_keys,
)
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

    def describe(self) -> dict[str, Any]:
        """Return it as a record."""
        return asdict(self)


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
    write_durably(part / MANIFEST, backup.describe())
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
