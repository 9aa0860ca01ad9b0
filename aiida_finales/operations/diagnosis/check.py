"""One thing that was looked at, in words with its cure; and many of one kind made short."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from aiida_finales.schemas.words import be, count

#: the cure that gives back to requests and processes what they lost
SERVE_AGAIN = ("aiida-finales doctor --cure",)
#: checks of one kind that are shown
SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    :param is_well: whether it is as it should be; a remark is well, too.
    :param words: one sentence.
    :param cure: commands, in this order.
    :param needs_person: whether the cure asks for a decision that no program can make.
    :param kind: what it has in common with others, said of many; empty where it is alone.
    :param since: ISO 8601, UTC, where it is of one thing that waits.
    """

    name: str
    is_well: bool
    words: str
    cure: tuple[str, ...] = ()
    needs_person: bool = False
    kind: str = ""
    since: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON."""
        return {**asdict(self), "cure": list(self.cure)}


def shorten(checks: list[Check]) -> list[Check]:
    """Return the checks with the first few of each kind, and one before them that counts all of it."""
    n_of, shown = Counter(check.kind for check in checks if check.kind), Counter[str]()
    found = []
    for check in checks:
        n_all = n_of[check.kind]
        if n_all > SHOWN + 1:
            if not shown[check.kind]:
                oldest = min(item.since for item in checks if item.kind == check.kind)
                words = f"{n_all:,} {check.name} {check.kind}; the oldest since {oldest}"
                words += f". The first {SHOWN} follow, 'aiida-finales doctor --all' names all"
                found.append(Check(check.name, False, words, needs_person=check.needs_person))
            if shown[check.kind] == SHOWN:
                continue
            shown[check.kind] += 1
        found.append(check)
    return found


def name_nodes(pks: set[int], noun: str = "process") -> str:
    """Return how many nodes these are, and the first ten by pk, as the subject of a sentence with its verb."""
    words = ", ".join(f"<{pk}>" for pk in sorted(pks)[:10])
    number = count(len(pks), noun, "processes" if noun == "process" else "")
    return f"{number} ({words}{' ...' if len(pks) > 10 else ''}) {be(len(pks))}"  # noqa: PLR2004
