"""What every tenant did, is doing and is waited for, on one line of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiida_finales.broker.holding import MOST, Book, Failure, Holding, read_failures, read_holdings
from aiida_finales.broker.sight import is_hidden
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import InputError
from aiida_finales.operations.laboratory.devices import age_words, read_tenants
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import local_text, to_utc, utc_text
from aiida_finales.schemas.words import count

#: what can be looked at, and how many s that are
SPANS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0}
#: rows of one tenant that holds several requests at once; more lie upon each other in the last one
ROWS = 4
#: share of the width that can be seen; shorter pieces of one kind that touch become one
FINEST = 0.005
#: share of the width that lies after now: a piece that goes on must be seen to go on
MARGIN = 0.02
#: marks on the line of time
TICKS = 4


@dataclass
class _Bar:
    """One piece, or several that are too short to be told apart.

    :param begin: share of the width; likewise ``end``.
    """

    begin: float
    end: float
    kind: str
    first: Holding
    row: int
    n: int = 1


def choose_span(book: Book) -> str:
    """Return the shortest of :data:`SPANS` in which somebody held something; ``day`` where nobody did."""
    now, ends = datetime.now(UTC), [item.end for item in book.read()[0]]
    for span, seconds in SPANS.items():
        if any(end is None or (now - end).total_seconds() < seconds for end in ends):
            return span
    return "day"


def draw_timeline(book: Book, span: str, tenants: Iterable[Json]) -> Json:
    """Return who held what lately, in shares of the width from the left.

    ``lanes`` have ``name``, ``rows`` and ``bars`` (``x``, ``width``, ``row``, ``kind``, ``uuid`` of a single request,
    ``words``); ``kind`` is ``done``, ``failed``, ``ended`` (given or taken back), ``runs`` or ``waits``.

    :param span: one of :data:`SPANS`.
    :param tenants: as :func:`~aiida_finales.operations.laboratory.devices.read_laboratory` has them: what waits.
    :raises InputError: when there is no such span.
    """
    if span not in SPANS:
        raise InputError(f"the span is {span!r}, accepted are {', '.join(SPANS)}")
    now = datetime.now(UTC)
    begin = now - timedelta(seconds=SPANS[span])
    holdings, failures = book.read()
    is_cut = 2 * len(holdings) >= MOST and all(item.begin is None or item.begin > begin for item in holdings)
    recent = [item for item in holdings if item.end is None or item.end > begin]
    return {"span": span, "is_cut": is_cut, **_draw(begin, now, recent, failures, tenants)}


def draw_campaign(name: str) -> Json:
    """Return who held what for a campaign, likewise, from its begin to its end, or to now.

    :raises UnknownNodeError: when there is no such campaign.
    """
    holdings = read_holdings(group=CampaignGroup.find(name).pk)
    now = datetime.now(UTC)
    begin = min((item.begin for item in holdings if item.begin), default=now - timedelta(hours=1))
    is_over = not any(item.end is None for item in holdings)
    end = max((item.end for item in holdings if item.end), default=now) if is_over else now
    uuids = {item.uuid for item in holdings}
    failures = [item for item in read_failures() if item.request in uuids and not is_hidden(item.pk)]
    tenants = [{**item, "n_waiting": 0} for item in read_tenants()]
    return {"span": "", "is_cut": 2 * len(holdings) >= MOST, **_draw(begin, end, holdings, failures, tenants)}


def _draw(
    begin: datetime, end: datetime, holdings: Iterable[Holding], failures: Iterable[Failure], tenants: Iterable[Json]
) -> Json:
    drawing = _Drawing(begin, end, {item.request for item in failures})
    return {
        "begin": utc_text(begin),
        "end": utc_text(end),
        "is_short": (end - begin).total_seconds() < 60.0 * TICKS,  # minutes would be the same beside several ticks
        "lanes": drawing.draw(holdings, tenants),
        "ticks": [{"x": drawing.place(moment), "at": utc_text(moment)} for moment in drawing.ticks()],
        "now": drawing.place(end),
    }


class _Drawing:
    """Places moments on the width.

    :param failed: UUIDs of the requests whose result says that the method failed.
    """

    def __init__(self, begin: datetime, end: datetime, failed: set[str]) -> None:
        self._begin, self._end, self._failed = begin, end, failed
        self._length = max((end - begin).total_seconds(), 1.0) / (1.0 - MARGIN)

    def place(self, moment: datetime) -> float:
        """Return the share of the width that lies before a moment."""
        return round(min(1.0, max(0.0, (moment - self._begin).total_seconds() / self._length)), 5)

    def ticks(self) -> list[datetime]:
        """Return the moments that are marked."""
        step = (self._end - self._begin) / TICKS
        return [self._begin + number * step for number in range(TICKS + 1)]

    def draw(self, holdings: Iterable[Holding], tenants: Iterable[Json]) -> list[Json]:
        """Return a lane for each tenant that did something or is waited for."""
        of_tenant: defaultdict[str, list[Holding]] = defaultdict(list)
        for item in holdings:
            of_tenant[item.tenant].append(item)
        lanes = []
        for tenant in sorted(tenants, key=lambda item: str(item["name"])):
            held, n_waiting = of_tenant[str(tenant["tenant_uuid"])], int(tenant["n_waiting"])
            bars = self._lay_out(sorted(held, key=self._begin_of))
            if not bars and not n_waiting:
                continue
            rows = max((bar.row for bar in bars), default=-1) + 1
            told = [self._tell(bar) for bar in bars]
            if n_waiting:
                told.append(self._tell_waiting(n_waiting, to_utc(tenant["waiting_since"]), rows))
            lanes.append({"name": tenant["name"], "rows": rows + bool(n_waiting), "bars": told, "n": len(held)})
        return lanes

    def _lay_out(self, holdings: Sequence[Holding]) -> list[_Bar]:
        bars: list[_Bar] = []
        last: list[_Bar | None] = [None] * ROWS
        for item in holdings:
            begin, end = self.place(self._begin_of(item)), self.place(item.end or self._end)
            kind, row = self._kind(item), _find_row(last, begin)
            before = last[row]
            if before and before.kind == kind and begin - before.end < FINEST and end - before.begin < 2 * FINEST:
                before.end, before.n = max(before.end, end), before.n + 1
                continue
            bar = last[row] = _Bar(begin, max(end, begin + FINEST), kind, item, row)
            bars.append(bar)
        return bars

    def _begin_of(self, item: Holding) -> datetime:
        """Return when a holding began; of one whose begin was not read only the end is drawn."""
        return item.begin or item.end or self._begin

    def _kind(self, item: Holding) -> str:
        if item.end is None:
            return "runs"
        if item.outcome != RequestStatus.RESOLVED.value:
            return "ended"
        return "failed" if item.uuid in self._failed else "done"

    def _tell(self, bar: _Bar) -> Json:
        item = bar.first
        begin = self._begin_of(item)
        lasts = age_words(((item.end or self._end) - begin).total_seconds())
        words = f"{item.quantity} <{item.pk}>, {_WORDS[bar.kind]}, from {local_text(begin)}, {lasts}"
        if bar.n > 1:
            words = f"{count(bar.n, 'request')}, {_WORDS[bar.kind]}, from {local_text(begin)}"
        single = item.uuid if bar.n == 1 else None
        place = {"x": bar.begin, "width": round(bar.end - bar.begin, 5), "row": bar.row}
        return {**place, "kind": bar.kind, "uuid": single, "words": words}

    def _tell_waiting(self, number: int, since: datetime, row: int) -> Json:
        begin = self.place(since)
        place = {"x": begin, "width": round(max(self.place(self._end) - begin, FINEST), 5), "row": row}
        words = f"{count(number, 'request')} could be taken, the first since {local_text(since)}"
        return {**place, "kind": "waits", "uuid": None, "words": words}


_WORDS = {"done": "resolved", "failed": "the method failed", "ended": "given or taken back", "runs": "is held still"}


def _find_row(last: list[_Bar | None], begin: float) -> int:
    """Return the first row in which nothing lies at a place; the last one when there is none."""
    free = (row for row, bar in enumerate(last) if bar is None or bar.end <= begin + FINEST)
    return next(free, len(last) - 1)
