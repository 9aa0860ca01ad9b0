"""Load the AiiDA profile, or say how to get one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import InputError, explain_os_error

if TYPE_CHECKING:
    from aiida.manage.configuration import Profile
    from sqlalchemy.exc import SQLAlchemyError


def demand_config() -> None:
    """Look whether AiiDA's configuration can be read; there may be none yet.

    :raises InputError: when it cannot: AiiDA has no words for most of it.
    """
    from aiida.manage.configuration import get_config_path

    path = Path(get_config_path())
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"AiiDA's configuration cannot be read: {explain_os_error(error)}") from error
    except ValueError as error:
        raise InputError(f"AiiDA's configuration {path} is no JSON: {error}; {_MEND}") from error
    if not isinstance(document, dict):
        given = type(document).__name__
        raise InputError(f"AiiDA's configuration {path} is a {given}, but accepted is an object; {_MEND}")


#: AiiDA leaves copies of its configuration beside it
_MEND = "put a copy of before in its place (config.json-*), or remove it and make a profile anew"


def demand_profile() -> None:
    """Load the profile that was chosen, or the default one; a loaded one stays. Its chemicals are known then.

    :raises InputError: when there is no profile, or its storage cannot be opened.
    """
    from aiida.common.exceptions import AiidaException, ConfigurationError
    from aiida.manage import get_manager
    from sqlalchemy.exc import SQLAlchemyError

    import_module("aiida_finales.data.chemicals")
    manager = get_manager()
    try:
        profile = manager.get_profile() or manager.load_profile()
    except ConfigurationError as error:
        reason = str(error).splitlines()[0]
        message = f"no AiiDA profile can be used ({reason}): make one with 'verdi presto --use-zeromq'"
        raise InputError(message) from error
    if manager.profile_storage_loaded:
        return
    _demand_storage(profile)  # before it is opened: SQLite makes an empty database where there is none
    try:
        manager.get_profile_storage()
    except SQLAlchemyError as error:
        raise InputError(f"{_name_storage(profile)} cannot be opened: {explain_database_error(error)}") from error
    except (AiidaException, OSError) as error:
        is_ours = isinstance(error, OSError)
        words = explain_os_error(error, storage_place(profile)) if is_ours else str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{_name_storage(profile)} cannot be opened: {words}") from error


def _demand_storage(profile: Profile) -> None:
    """Look whether the files of a storage are where the configuration says.

    :raises InputError: when they are not, with the cure.
    """
    if not _is_away(place := storage_place(profile)):
        return
    from aiida.manage.configuration import get_config

    folder = Path(get_config().dirpath)
    beside = folder / Path(*place.parts[-2:])
    where = f"it is at {beside} now: write that" if place != beside and beside.exists() else "write where it is now"
    key = "filepath" if "filepath" in profile.storage_config else "repository_uri"
    raise InputError(
        f"{_name_storage(profile)} is not at {place}: it was moved, removed or is not mounted; put it back, or {where} "
        f"as storage.config.{key} of the profile in {folder / 'config.json'}"
    )


def storage_place(profile: Profile) -> Path:
    """Return the folder of the embedded storage, or that of the files beside a database."""
    config = profile.storage_config
    return Path(str(config.get("filepath") or str(config.get("repository_uri", "")).removeprefix("file://")))


def _is_away(place: Path) -> bool:
    """Return whether a storage is not there; what may not be looked at, or is in memory, is."""
    try:
        if not place.is_absolute():
            return False
        database = place / "database.sqlite"
        is_embedded = place.name.startswith("sqlite_dos")
        return not place.exists() or (is_embedded and not (database.exists() and database.stat().st_size))
    except PermissionError:
        return False


def _name_storage(profile: Profile) -> str:
    return f"the storage of profile {profile.name!r}"


#: what a database says when it cannot work, and what helps
_DATABASE = {
    "is locked": "the database is locked: another program writes to it; wait, then give the same command again",
    "is full": "the database cannot be written: no space is left on its disk; what is done stays: make room, then give "
    "the same command again",
    "disk i/o": "the database cannot be read or written: its disk is full or has a fault; make room, or look at the "
    "disk",
    "readonly": "the database is read-only: change its permissions, or make its disk writable",
    "unable to open": "the database cannot be opened: it is away, its disk is full, or you may not use it",
    "malformed": "the database is damaged: take the latest back-up",
    "not a database": "the database is damaged: take the latest back-up",
    "connection": "the database does not answer: start PostgreSQL, or look at the network",
    "no such table": "the database is not one of AiiDA: take the latest back-up, or 'verdi storage migrate'",
}


def explain_database_error(error: SQLAlchemyError) -> str:
    """Return in one sentence what a database refuses, and what to do."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    words = next((words for mark, words in _DATABASE.items() if mark in said.lower()), "the database refuses")
    return f"{words} ({said})"


def loaded_profile() -> Profile:
    """Return the loaded profile.

    :raises InputError: when none is loaded.
    """
    from aiida.manage import get_manager

    profile = get_manager().get_profile()
    if profile is None:
        raise InputError("no AiiDA profile is loaded: make one with 'verdi presto --use-zeromq'")
    return profile


def open_session() -> Any:
    """Return the database session of the loaded profile."""
    from aiida.manage import get_manager

    storage: Any = get_manager().get_profile_storage()
    return storage.get_session()


@contextmanager
def keep_what_is_read() -> Iterator[None]:
    """Read each node once meanwhile; only around what reads. AiiDA forgets all that it read after each of its queries.

    So every attribute of a node that is looked at between two queries would be a query of its own.
    """
    session = open_session()
    before, session.expire_on_commit = session.expire_on_commit, False
    try:
        yield
    finally:
        session.expire_on_commit = before
        session.expire_all()
