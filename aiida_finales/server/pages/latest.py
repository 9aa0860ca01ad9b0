"""What was made once for all who look, kept until something else is to be told."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Made = TypeVar("Made")
#: subjects of which something is kept
KEPT = 100


@dataclass(frozen=True)
class Version:
    """What is told, and in which of its versions.

    :param subject: the same as long as the same is told to somebody who may see the same.
    :param tag: another one as soon as it has changed.
    """

    subject: str
    tag: str


class Latest(Generic[Made]):
    """Of each subject the version that was made last: a campaign that runs for months leaves no older ones behind."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, Made]] = OrderedDict()

    def __len__(self) -> int:
        """Return of how many subjects something is kept."""
        return len(self._kept)

    def find(self, version: Version) -> Made | None:
        """Return what was made of this version."""
        tag, made = self._kept.get(version.subject, ("", None))
        return made if tag == version.tag else None

    def keep(self, version: Version, made: Made) -> None:
        """Keep it instead of what was made of its subject before."""
        self._kept[version.subject] = (version.tag, made)
        self._kept.move_to_end(version.subject)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
