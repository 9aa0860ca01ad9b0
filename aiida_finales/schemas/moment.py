"""Moments, as machines and as people read them: UTC with ``Z`` in JSON, local time with its offset for people.

Whatever is stored or sent has the form of JSON; it becomes local where a person reads it, and nowhere else.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

#: a moment in UTC in the middle of a text
_IN_TEXT = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)(?![\d:])")


def timestamp() -> str:
    """Return the present time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def utc_text(moment: datetime | str, timespec: str = "seconds") -> str:
    """Return a moment as JSON has it, e.g. ``2026-11-28T18:38:27Z``.

    :param moment: without a zone it is in UTC.
    :param timespec: digits of it, in the words of :meth:`datetime.isoformat`.
    """
    return to_utc(moment).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def local_text(moment: datetime | str) -> str:
    """Return a moment as people here read it, e.g. ``2026-11-29 00:08:27+05:30``.

    :param moment: without a zone it is in UTC.
    """
    return to_utc(moment).astimezone().isoformat(sep=" ", timespec="seconds")


def localise(text: str) -> str:
    """Return a text in which every moment in UTC is local."""
    return _IN_TEXT.sub(_replace, text)


def _replace(found: re.Match[str]) -> str:
    try:
        return local_text(found.group())
    except (ValueError, OverflowError):
        return found.group()  # digits that are no date, or beyond the calendar


def to_utc(moment: datetime | str) -> datetime:
    """Return a moment in UTC; without a zone it is so already, as SQLite keeps it."""
    value = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
