"""The chemicals that are known here beside the library: of other packages, of the profile, of its tenants.

They are in a file of the profile, ``finales/<profile>/chemicals.json`` in AiiDA's configuration: command line, server
and daemon workers read the same, and notice within :data:`LOOK_INTERVAL` when it has changed. Another package registers
under the entry point :data:`GROUP` a list of records (documents), or a function that returns one.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import InputError, explain_os_error
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.schemas.chemicals import Chemical, find_contradiction
from aiida_finales.schemas.chemicals.record import parse_record, read_record
from aiida_finales.schemas.chemicals.registry import Part, load_registry, use_source

GROUP = "aiida_finales.chemicals"
FILE = "chemicals.json"
#: s between two looks whether the file has changed
LOOK_INTERVAL = 1.0
PROFILE = "profile"

_NOTHING = Part()
#: what was read last: the file, its state, and when that was looked at
_SEEN: dict[Path, tuple[tuple[int, int] | None, float, Part]] = {}


def chemicals_file() -> Path | None:
    """Return the file of the loaded profile, which need not be there; ``None`` where no profile is loaded."""
    from aiida.manage import get_manager
    from aiida.manage.configuration import get_config

    profile = get_manager().get_profile()
    return None if profile is None else Path(get_config().dirpath) / "finales" / profile.name / FILE


def read_profile() -> Part:
    """Return the chemicals of the profile; the same object as long as its file has not changed."""
    path = chemicals_file()
    if path is None:
        return _NOTHING
    state, looked, part = _SEEN.get(path, (None, -LOOK_INTERVAL, _NOTHING))
    now = time.monotonic()
    if now - looked < LOOK_INTERVAL:
        return part
    found = _state_of(path)
    if found != state:
        part = _NOTHING if found is None else _read_file(path)
    _SEEN[path] = (found, now, part)
    return part


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read_file(path: Path) -> Part:
    try:
        records = [_parse(item) for item in _load(path)]
    except InputError as error:
        return Part((), (str(error),))
    return Part(tuple(sorted(records, key=lambda item: item.origin != PROFILE)))


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"chemicals": []}
        return list(document["chemicals"])
    except OSError as error:
        raise InputError(f"the chemicals of the profile cannot be read: {explain_os_error(error, path)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the chemicals of the profile, {path}, are not as they were written: {error}") from error


def _parse(item: dict[str, Any]) -> Chemical:
    try:
        return parse_record(item, str(item["origin"]), str(item["version"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a chemical of the profile cannot be read: {item!r}") from error


@cache
def read_installed() -> Part:
    """Return the chemicals that other packages bring; one that is wrong is left out and said."""
    chemicals, troubles = [], []
    for point in entry_points(group=GROUP):
        try:
            chemicals += _load_package(point)
        except Exception as error:
            troubles.append(f"the chemicals of entry point {GROUP}: {point.name} cannot be used: {error}")
    return Part(tuple(chemicals), tuple(troubles))


def _load_package(point: EntryPoint) -> list[Chemical]:
    found = point.load()
    version = point.dist.version if point.dist else "1"
    origin = f"package {point.dist.name if point.dist else point.name}"
    return [read_record(item, origin, version) for item in (found() if callable(found) else found)]


def check_chemicals(documents: Any, origin: str, version: str = "1") -> list[Chemical]:
    """Return the chemicals that somebody described, stored nowhere.

    :param origin: ``profile``, or whose they are.
    :raises InputError: naming the key that cannot be used, or both structures of a name that is given twice.
    """
    if not isinstance(documents, (list, tuple)):
        raise InputError(f"chemicals is {type(documents).__name__}, but accepted is a list of records")
    chemicals = [read_record(item, origin, version) for item in documents]
    registry = load_registry()
    for number, chemical in enumerate(chemicals):
        contradiction = find_contradiction(chemical.smiles, chemical.inchikey)
        if contradiction is not None:
            raise InputError(f"chemical {chemical.name!r}: {contradiction}")
        for word in (chemical.name, *chemical.synonyms):
            conflict = registry.find_conflict(word, chemical) or _find_double(word, chemical, chemicals[:number])
            if conflict is not None:
                raise InputError(f"{conflict}: choose another name")
    return chemicals


def _find_double(word: str, chemical: Chemical, before: Iterable[Chemical]) -> str | None:
    for other in before:
        names = {name.casefold() for name in (other.name, *other.synonyms)}
        if word.casefold() in names and other.inchikey != chemical.inchikey:
            return f"the name {word!r} is given twice: {other.smiles} and {chemical.smiles}"
    return None


def add_chemicals(chemicals: Iterable[Chemical]) -> list[Chemical]:
    """Write chemicals into the file of the profile; one that its origin had before becomes its next version.

    :returns: them, with the version that they have now.
    :raises InputError: when no profile is loaded, or the file cannot be read or written.
    """
    path = chemicals_file()
    if path is None:
        raise InputError("no AiiDA profile is loaded: make one with 'verdi presto --use-zeromq'")
    with _locked(path):
        known = {(item["origin"], item["inchikey"]): item for item in _load(path)}
        added = []
        for chemical in chemicals:
            before = known.get((chemical.origin, chemical.inchikey))
            document = chemical.to_dict()
            if before is not None:
                is_same = {**before, "version": ""} == {**document, "version": ""}
                document["version"] = before["version"] if is_same else str(int(before["version"]) + 1)
            known[chemical.origin, chemical.inchikey] = document
            added.append(_parse(document))
        write_durably(path, {"chemicals": list(known.values())})
    _SEEN.pop(path, None)
    return added


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one program change the file at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        words = explain_os_error(error, path)
        raise InputError(f"the chemicals of the profile cannot be written: {words}") from error


use_source(read_installed)
use_source(read_profile)
