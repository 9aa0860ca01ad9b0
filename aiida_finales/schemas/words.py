"""Numbers of things in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, e.g. ``1 tenant``, ``2 tenants``, ``0 results``.

    :param plural: of the noun, where it is not the noun with an ``s``.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def be(number: int, past: bool = False) -> str:
    """Return the verb that goes with a number of things."""
    return ("was" if number == 1 else "were") if past else ("is" if number == 1 else "are")


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Return the first of many names, and how many more there are: ``a, b, c and 4 others``; few with ``and``."""
    first = list(names[: most if len(names) > most + 1 else most + 1])
    rest = len(names) - len(first)
    last = count(rest, "other") if rest else first.pop() if first else ""
    return f"{', '.join(first)} and {last}" if first else last
