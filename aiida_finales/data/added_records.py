"""Records beside the library of this package: of other packages, of the profile, of its tenants.

Those of one kind are in a file of the profile, ``finales/<profile>/<kind>.json`` in AiiDA's configuration: command
line, server and daemon workers read the same, and notice within :data:`LOOK_INTERVAL` when it has changed. Another
package registers under the entry point ``aiida_finales.<kind>`` a list of records (documents), or a function that
returns one.
"""

from __future__ import annotations

import fcntl
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic

from aiida.manage import get_manager

from aiida_finales.exceptions import InputError, explain_os_error
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.schemas.catalogue import Catalogue, Part, R, Registry

#: s between two looks whether the file has changed
LOOK_INTERVAL = 1.0
PROFILE = "profile"


class AddedRecords(Generic[R]):
    """The records of one kind that were added to those of the library.

    :param catalogue: where they become known.
    :param read: makes a record of what somebody wrote, its origin and its version; refuses what is wrong.
    :param parse: the same for what was checked before.
    """

    def __init__(
        self,
        catalogue: Catalogue[R],
        read: Callable[[Any, str, str], R],
        parse: Callable[[Mapping[str, Any], str, str], R],
    ) -> None:
        self.catalogue, self.noun = catalogue, catalogue.noun
        self.group, self.words = f"aiida_finales.{catalogue.noun}", catalogue.noun.replace("_", " ")
        self._read, self._parse_checked = read, parse
        self._nothing: Part[R] = Part()
        #: what was read last, by UUID of the profile: state of the file, when that was looked at, what was in it
        self._seen: dict[str, tuple[tuple[int, int] | None, float, Part[R]]] = {}
        self._installed: Part[R] | None = None
        catalogue.use_source(self.read_installed)
        catalogue.use_source(self.read_profile)

    def path(self) -> Path | None:
        """Return the file of the loaded profile, which need not be there; ``None`` where no profile is loaded."""
        from aiida.manage.configuration import get_config

        profile = get_manager().get_profile()
        here = None if profile is None else Path(get_config().dirpath) / "finales" / profile.name
        return None if here is None else here / f"{self.noun}.json"

    def forget(self) -> None:
        """Read everything again at the next look."""
        self._seen.clear()
        self._installed = None

    def read_profile(self) -> Part[R]:
        """Return the records of the profile; the same object as long as its file has not changed."""
        profile = get_manager().get_profile()
        if profile is None:
            return self._nothing
        state, looked, part = self._seen.get(profile.uuid, (None, -math.inf, self._nothing))
        now = time.monotonic()
        path = self.path() if now - looked >= LOOK_INTERVAL else None
        if path is None:  # this is asked for each name that is shown
            return part
        found = _state_of(path)
        if found != state:
            part = self._nothing if found is None else self._read_file(path)
        self._seen[profile.uuid] = (found, now, part)
        return part

    def _read_file(self, path: Path) -> Part[R]:
        try:
            records = [self._parse(item) for item in self._load(path)]
        except InputError as error:
            return Part((), (str(error),))
        return Part(tuple(sorted(records, key=lambda item: item.origin != PROFILE)))

    def _load(self, path: Path) -> list[dict[str, Any]]:
        whose = f"the {self.words} of the profile"
        try:
            document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {self.noun: []}
            return list(document[self.noun])
        except OSError as error:
            raise InputError(f"{whose} cannot be read: {explain_os_error(error, path)}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{whose}, {path}, are not as they were written: {error}") from error

    def _parse(self, item: dict[str, Any]) -> R:
        try:
            return self._parse_checked(item, str(item["origin"]), str(item["version"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"one of the {self.words} of the profile cannot be read: {item!r}") from error

    def read_installed(self) -> Part[R]:
        """Return the records that other packages bring; one that is wrong is left out and said."""
        if self._installed is not None:
            return self._installed
        records, troubles = [], []
        for point in entry_points(group=self.group):
            try:
                records += self._load_package(point)
            except Exception as error:
                troubles.append(f"the {self.words} of entry point {self.group}: {point.name} cannot be used: {error}")
        self._installed = Part(tuple(records), tuple(troubles))
        return self._installed

    def _load_package(self, point: EntryPoint) -> list[R]:
        found = point.load()
        version = point.dist.version if point.dist else "1"
        origin = f"package {point.dist.name if point.dist else point.name}"
        return [self._read(item, origin, version) for item in (found() if callable(found) else found)]

    def check(self, documents: Any, origin: str, version: str = "1") -> list[R]:
        """Return the records that somebody wrote, stored nowhere.

        :param origin: ``profile``, or whose they are.
        :raises InputError: naming the key that cannot be used, or both things that a name is given to.
        """
        if not isinstance(documents, (list, tuple)):
            raise InputError(f"{self.noun} is {type(documents).__name__}, but accepted is a list of records")
        records = [self._read(item, origin, version) for item in documents]
        known, own = self.catalogue.load(), Registry[R]()
        for record in records:
            same = own.find_same(record)
            if same is not None:
                raise InputError(f"{same.name} is described twice ({same.identity}): make one record of both")
            for word in (record.name, *record.synonyms):
                if not word.isprintable():
                    raise InputError(f"the name {word!r} has characters that nobody sees: write it without")
                conflict = known.find_conflict(word, record) or own.find_conflict(word, record)
                if conflict is not None:
                    raise InputError(f"{conflict}: choose another name")
            own.add(record)
        return records

    def add(self, records: Iterable[R]) -> list[R]:
        """Write records into the file of the profile; one that its origin had before becomes its next version.

        :returns: them, with the version that they have now.
        :raises InputError: when no profile is loaded, or the file cannot be read or written.
        """
        path = self.path()
        if path is None:
            raise InputError("no AiiDA profile is loaded: make one with 'verdi presto --use-zeromq'")
        with self._locked(path):
            known = {(item["origin"], self._parse(item).key): item for item in self._load(path)}
            added = []
            for record in records:
                before = known.get((record.origin, record.key))
                document = record.to_dict()
                if before is not None:
                    is_same = {**before, "version": ""} == {**document, "version": ""}
                    document["version"] = before["version"] if is_same else str(int(before["version"]) + 1)
                known[record.origin, record.key] = document
                added.append(self._parse(document))
            write_durably(path, {self.noun: list(known.values())})
        self._seen.clear()
        return added

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Let one program change the file at a time."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            words = explain_os_error(error, path)
            raise InputError(f"the {self.words} of the profile cannot be written: {words}") from error


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
