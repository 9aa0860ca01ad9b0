"""Records by name, from several sources: what chemicals, electrodes, separators and cell formats have in common.

A record comes with this package, or is added by another package, in the profile, or with a tenant; the latter reach a
:class:`Catalogue` through :meth:`Catalogue.use_source`, for forms know no AiiDA. Of two records of one thing the later
one counts, number by number; a name belongs to who had it first.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from aiida_finales.exceptions import InputError

#: how the origin of a tenant's record begins
TENANT = "tenant "


class Record:
    """What somebody says of one thing; subclasses are frozen dataclasses with these fields.

    :param origin: where the record is from: ``library``, ``profile``, a tenant, another package.
    :param version: of the record there.
    """

    name: str
    synonyms: tuple[str, ...]
    origin: str
    version: str
    #: whether the name says which thing it is; else :attr:`key` does
    IS_NAMED: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """What identifies the thing."""
        raise NotImplementedError

    @property
    def words(self) -> tuple[str, ...]:
        """What it is found by beside its names."""
        return (self.key,)

    def is_meant(self, word: str) -> bool:
        """Return whether a word that is none of its names means it all the same, such as another spelling of it."""
        return False

    @property
    def record(self) -> str:
        """Which record this is, in words that are stored."""
        return f"{self.origin} {self.version}"

    @property
    def identity(self) -> str:
        """What it is, in words that tell it from another thing of the same name."""
        return self.name

    @staticmethod
    def fold(word: str) -> str:
        """Return a word as it is compared with others."""
        return word.casefold()

    def named(self, name: str, synonyms: Iterable[str]) -> Any:
        """Return the same under other names."""
        raise NotImplementedError

    def unite(self, later: Any, names: Iterable[str]) -> Any:
        """Return this with what a later record of the same thing says, and these names of it."""
        raise NotImplementedError

    def contradicts(self, later: Any) -> str | None:
        """Return in words why a later record is not of the same thing, or ``None``."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON, without what is not known."""
        raise NotImplementedError


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Part(Generic[R]):
    """What one source has.

    :param troubles: what could not be read of it, in words.
    """

    records: tuple[R, ...] = ()
    troubles: tuple[str, ...] = ()


@dataclass
class Registry(Generic[R]):
    """All records of all sources.

    :param words: by name, synonym and what else they are found by.
    :param folded: the same by words as they are compared: in small letters.
    :param troubles: what could not be taken in, in words.
    """

    records: dict[str, R] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def add(self, record: R) -> None:
        """Take a record in; a name that belongs to another thing is left out, and said."""
        own = dict.fromkeys((record.name, *record.synonyms))
        conflicts = {word: words for word in own if (words := self.find_conflict(word, record))}
        self.troubles += [f"{words}: the first keeps it" for words in conflicts.values()]
        names, known = [word for word in own if word not in conflicts], self.find_same(record)
        key = known.key if known else record.key
        if known is not None:
            self.records[key] = known.unite(record, names)
        else:
            self.records[key] = record.named(names[0] if names else key, names[1:])
        for word in (*names, *record.words):
            self.words.setdefault(word, key)
            self.folded.setdefault(record.fold(word), key)

    def find(self, word: str) -> R | None:
        """Return the thing that a word means; small and capital letters matter only where two differ by them."""
        key = self.words.get(word) or self.folded.get(self._fold(word))
        if key is not None:
            return self.records[key]
        return next((record for record in self.records.values() if record.is_meant(word)), None)

    def _fold(self, word: str) -> str:
        return next(iter(self.records.values())).fold(word) if self.records else word

    def find_same(self, record: R) -> R | None:
        """Return what is known of the thing that a record is about, or ``None``."""
        found = self.find(record.name) if record.IS_NAMED else self.records.get(record.key)
        return None if found is None or found.contradicts(record) else found

    def find_conflict(self, word: str, record: R) -> str | None:
        """Return that a name means another thing here, or ``None``."""
        other = self.find(word)
        if other is None or other is self.find_same(record):
            return None
        why = other.contradicts(record) or ""
        return (
            f"the name {word!r} is given twice: {other.identity} ({other.record}) and {record.identity} "
            f"({record.record}){why and f', but {why}'}"
        )

    def suggest(self, word: str) -> str:
        """Return a question for the name that is nearest to a word; empty where none is near."""
        near = difflib.get_close_matches(self._fold(word), self.folded, n=1, cutoff=0.7)
        return f"did you mean {self.records[self.folded[near[0]]].name}? " if near else ""


class Catalogue(Generic[R]):
    """The records of one kind, of all sources, as they are now.

    :param noun: what they are, in words: the section of a file that they stand in.
    :param read_library: those that come with this package; the same object at each call.
    """

    def __init__(self, noun: str, read_library: Callable[[], Part[R]]) -> None:
        self.noun = noun
        self._sources = [read_library]
        self._last: tuple[list[Part[R]], Registry[R]] | None = None
        self._told: ContextVar[Registry[R] | None] = ContextVar(noun, default=None)

    def use_source(self, read: Callable[[], Part[R]]) -> None:
        """Let records of another source be known.

        :param read: called at each look; returns the same object as long as nothing has changed.
        """
        if read not in self._sources:
            self._sources.append(read)

    @contextmanager
    def only(self, records: Iterable[R]) -> Iterator[None]:
        """Know the library and these records meanwhile, and nothing of any other source."""
        token = self._told.set(_merge([self._sources[0](), Part(tuple(records))]))
        try:
            yield
        finally:
            self._told.reset(token)

    def load(self) -> Registry[R]:
        """Return the records of all sources."""
        if (told := self._told.get()) is not None:
            return told
        parts = [read() for read in self._sources]
        if self._last is None or list(map(id, parts)) != list(map(id, self._last[0])):
            self._last = parts, _merge(parts)
        return self._last[1]

    def get(self, word: str, command: str) -> R:
        """Return the record that a word means.

        :param command: of the command line that lists and adds them.
        :raises InputError: when there is none, with names that are near, and how to add one.
        """
        registry = self.load()
        found = registry.find(word) if isinstance(word, str) else None
        if found is None:
            message = (
                f"{self.noun.removesuffix('s').replace('_', ' ')} {word!r} is not known here: "
                f"{registry.suggest(str(word))}'aiida-finales {command} list' shows those that are, 'aiida-finales "
                f"{command} add' adds one"
            )
            raise InputError(message)
        return found


def _merge(parts: Iterable[Part[R]]) -> Registry[R]:
    registry: Registry[R] = Registry()
    for part in parts:
        registry.troubles += part.troubles
        for record in part.records:
            registry.add(record)
    return registry
