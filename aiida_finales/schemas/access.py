"""Who may read a campaign, and how far it may go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from aiida_finales.exceptions import InputError


class Openness(StrEnum):
    """How far data may go, from everywhere to nowhere."""

    PUBLIC = "public"
    RESTRICTED = "restricted"
    CONFIDENTIAL = "confidential"

    @property
    def level(self) -> int:
        """The higher, the less may leave."""
        return list(Openness).index(self)


class Access(BaseModel):
    """Who may read what belongs to a campaign, and in which packages it may leave."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    openness: Openness = Field(
        default=Openness.PUBLIC,
        description="`public`: all accounts read it; `restricted`, `confidential`: those of `readers`; and no package "
        "that is more open has it",
    )
    readers: tuple[str, ...] = Field(default=(), description="accounts of the server that may read it")
    embargo: date | None = Field(
        default=None, description="first day (UTC) on which `public` is public; it is `restricted` until then"
    )

    def openness_on(self, day: date | None = None) -> Openness:
        """Return how open it is on a day, by default today."""
        is_early = self.embargo is not None and (day or datetime.now(UTC).date()) < self.embargo
        return max(self.openness, Openness.RESTRICTED, key=lambda item: item.level) if is_early else self.openness

    def admits(self, name: str, day: date | None = None) -> bool:
        """Say whether an account may read it."""
        return name in self.readers or self.openness_on(day) is Openness.PUBLIC


def change_access(present: Access, openness: str | None, readers: Iterable[str], embargo: str | None) -> Access:
    """Return who may read something, after a change; what is not given stays.

    :param readers: instead of those of before, where there are any.
    :param embargo: a date, or ``none`` to end it.
    :raises InputError: when it is no date.
    """
    changes: dict[str, object] = {} if openness is None else {"openness": Openness(openness)}
    if tuple(readers):
        changes["readers"] = tuple(dict.fromkeys(readers))
    if embargo is not None:
        changes["embargo"] = None if embargo == "none" else _read_date(embargo)
    return present.model_copy(update=changes)


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"embargo is {text!r}, but accepted is a date such as 2027-01-31, or none") from error
