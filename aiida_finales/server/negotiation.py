"""Which of the forms that there are a client prefers: the header ``Accept`` (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import HTTPException


def choose_form(accept: str, offered: Sequence[str]) -> str:
    """Return the media type that suits a client best; the first offered one when it has no preference.

    :raises HTTPException: 406 when none suits it.
    """
    wishes = [_read(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    best = max(offered, key=lambda kind: _quality(kind, wishes))
    if _quality(best, wishes) <= 0.0:
        raise HTTPException(406, f"the header Accept is {accept!r}, but offered are {', '.join(offered)}")
    return best


def _read(part: str) -> tuple[str, float]:
    kind, *parameters = [word.strip().lower() for word in part.split(";")]
    for word in parameters:
        if word.startswith("q="):
            try:
                return kind, float(word[2:])
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _quality(kind: str, wishes: list[tuple[str, float]]) -> float:
    """Return how much a media type is wanted: the most specific wish that it meets says so."""
    family = f"{kind.partition('/')[0]}/*"
    for pattern in (kind, family, "*/*"):
        for wished, quality in wishes:
            if wished == pattern:
                return quality
    return 0.0
