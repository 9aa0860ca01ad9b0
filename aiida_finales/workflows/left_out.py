"""What nobody is asked for of all that tenants offer, and why: in few sentences, however many tenants a profile has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiida_finales.schemas.words import count, name_some

#: reasons that are told of a source each for itself; of more the rest is told together
MOST_REASONS = 3


@dataclass(frozen=True)
class LeftOut:
    """A part of an offer that a campaign cannot ask for.

    :param source: for which.
    :param tenant: who offers it; empty where it does not matter.
    :param mixture: names of its chemicals, as ``EC / EMC``.
    """

    source: str
    tenant: str
    mixture: str
    why: str


def tell_left_out(items: Iterable[LeftOut]) -> list[str]:
    """Return a sentence for each reason, with some of those whom it concerns."""
    by_source: defaultdict[str, list[LeftOut]] = defaultdict(list)
    for item in dict.fromkeys(items):
        by_source[item.source].append(item)
    return [words for found in by_source.values() for words in _tell_source(found)]


def _tell_source(items: Sequence[LeftOut]) -> Iterator[str]:
    by_reason: defaultdict[tuple[bool, str], list[LeftOut]] = defaultdict(list)
    for item in items:
        by_reason[bool(item.tenant), item.why].append(item)
    groups = sorted(by_reason.values(), key=len, reverse=True)
    alone = groups if len(groups) <= MOST_REASONS else groups[: MOST_REASONS - 1]
    yield from map(_tell_group, alone)
    rest = [item for group in groups[len(alone) :] for item in group]
    if rest:
        first = rest[0]
        yield f"{_tell_many(rest)}, for {count(len(groups) - len(alone), 'reason')}, as {first.mixture}: {first.why}"


def _tell_group(items: Sequence[LeftOut]) -> str:
    first = items[0]
    if len(items) > 1:
        return f"{_tell_many(items)}: {first.why}"
    who = f"what {first.tenant} offers" if first.tenant else "what is offered"
    return f"{who} of {first.mixture} is left out for {first.source}: {first.why}"


def _tell_many(items: Sequence[LeftOut]) -> str:
    tenants = list(dict.fromkeys(item.tenant for item in items if item.tenant))
    mixtures = list(dict.fromkeys(item.mixture for item in items))
    who = f"what {name_some(tenants)} offer{'s' if len(tenants) == 1 else ''}" if tenants else "what is offered"
    numbers = [
        count(len(found), noun) for found, noun in ((tenants, "tenant"), (mixtures, "mixture")) if len(found) > 1
    ]
    told = f" ({', '.join(numbers)})" if numbers else ""
    return f"{who} of {name_some(mixtures)} is left out for {items[0].source}{told}"
