"""What each tenant does now, for whom, since when, until about when, what waits for it, and what is wrong with it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from aiida import orm

from aiida_finales.broker.holding import Book, Failure, Holding
from aiida_finales.broker.listing import read_attributes
from aiida_finales.broker.requests import name_asker
from aiida_finales.broker.reservation import silent_since
from aiida_finales.broker.state import State
from aiida_finales.broker.status import RequestStatus, published_status
from aiida_finales.data.active import ACTIVE, REGISTERED_HERE, read_stored
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import local_text, to_utc, utc_text
from aiida_finales.science.electrolyte.composition import describe

#: what a tenant may be found doing, the most urgent first
STATES = ("needs operator", "not heard from", "away", "works", "waited for", "idle", "off")
#: those in which somebody should look
TROUBLES = STATES[:2]
#: requests of one tenant that are told one by one; there may be more, which are counted
SHOWN = 8
#: holdings of one kind of work from which is told how long it takes
LEARNED_FROM = 30
#: s of what is counted as done lately
LATELY = 86400.0


def read_laboratory(book: Book, states: Mapping[int, State]) -> Json:
    """Return what goes on, in as many queries whatever the number of requests.

    ``tenants`` are rows: ``state`` (of :data:`STATES`), ``work`` (requests that it holds), ``n_waiting`` and
    ``waiting_since`` of what it could take, ``n_done`` and ``n_failed`` of the last day, ``away``. What whoever asks
    may not see is counted, and not told.

    :param states: of all open requests, also hidden ones: a device at work for somebody else is not idle.
    """
    held = {pk: state for pk, state in states.items() if state["status"] == RequestStatus.RESERVED.value}
    known = _read_known(held)
    holdings, failures = book.read()
    registered = read_tenants()
    facts = _Facts(states, known, registered)
    facts.learn(holdings, failures)
    tenants = [facts.describe(tenant) for tenant in registered]
    tenants.sort(key=lambda row: (STATES.index(row["state"]), row["name"]))
    return {
        "now": utc_text(datetime.now(UTC)),
        "tenants": tenants,
        "n_held": len(held),
        "n_waiting": len(states) - len(held),
        "n_hidden": len(held) - len(known),
    }


def read_tenants() -> list[Json]:
    """Return the attributes of the tenants that are registered here, of each the version that counts; ``is_active``."""
    query = orm.QueryBuilder().append(
        TenantData, subclassing=False, filters=REGISTERED_HERE, project=["id", f"extras.{ACTIVE}", "uuid"]
    )
    rows = sorted(query.all(), key=lambda row: (bool(row[1]), row[0]))
    stored = read_stored([row[2] for row in rows])
    standing = {
        stored[uuid].attributes["tenant_uuid"]: {**stored[uuid].attributes, "is_active": bool(active), "node": uuid}
        for _, active, uuid in rows
    }
    return sorted(standing.values(), key=lambda item: str(item["name"]))


def learn_usual(holdings: Iterable[Holding]) -> dict[tuple[str, str], float]:
    """Return for how long (s) a tenant usually holds a request for a quantity: the median of the latest resolved."""
    lasted: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for item in holdings:
        if item.outcome == RequestStatus.RESOLVED.value and item.begin and item.end:
            lasted[item.tenant, item.quantity].append((item.end - item.begin).total_seconds())
    return {key: statistics.median(values[-LEARNED_FROM:]) for key, values in lasted.items()}


def _read_known(held: Mapping[int, State]) -> dict[int, Json]:
    """Return the attributes of what is held and may be seen, with the campaign that each is of."""
    found = read_attributes(held)
    filters = {"id": {"in": list(found)}}
    query = orm.QueryBuilder().append(RequestData, filters=filters, project=["id", "uuid"], tag="request")
    uuids = dict(query.all()) if found else {}
    query.append(CampaignGroup, with_node="request", project="label")
    campaigns = {pk: label for pk, _, label in query.all()} if found else {}
    return {pk: {**item, "uuid": uuids.get(pk), "campaign": campaigns.get(pk)} for pk, item in found.items()}


class _Facts:
    """All that is known of the requests, by tenant."""

    def __init__(
        self,
        states: Mapping[int, State],
        known: Mapping[int, Json],
        tenants: Iterable[Json],
    ) -> None:
        self._now = datetime.now(UTC)
        self._known = known
        self._names = {item["tenant_uuid"]: str(item["name"]) for item in tenants}
        self._usual: Mapping[tuple[str, str], float] = {}
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._held: defaultdict[str, list[tuple[int, State]]] = defaultdict(list)
        self._waiting: defaultdict[str, list[State]] = defaultdict(list)
        self._away: dict[str, Json] = {}
        for pk, state in states.items():
            if state["status"] == RequestStatus.RESERVED.value:
                self._held[str(state.get("tenant"))].append((pk, state))
            else:
                self._add_waiting(state)

    def learn(self, holdings: Sequence[Holding], failures: Iterable[Failure]) -> None:
        """Take what was done into account."""
        self._usual = learn_usual(holdings)
        recent = self._now - timedelta(seconds=LATELY)
        self._done = Counter(
            item.tenant
            for item in holdings
            if item.outcome == RequestStatus.RESOLVED.value and item.end and item.end > recent
        )
        self._failed = Counter(item.tenant for item in failures if item.moment > recent)

    def _add_waiting(self, state: State) -> None:
        for tenant in {item["tenant"] for item in state.get("candidates", ())}:
            self._waiting[tenant].append(state)
        for tenant, record in state.get("away", {}).items():
            if record["until"] > self._now.timestamp():
                self._away[tenant] = record

    def describe(self, tenant: Json) -> Json:
        """Return a tenant as a row."""
        uuid = str(tenant["tenant_uuid"])
        held, waiting = self._held[uuid], self._waiting[uuid]
        work = [self._describe_work(pk, state, uuid) for pk, state in held[:SHOWN]]
        work.sort(key=lambda item: item["state"] not in TROUBLES)
        return {
            "name": tenant["name"],
            "tenant_uuid": uuid,
            "kind": tenant["kind"],
            "is_active": tenant["is_active"],
            "contact": tenant.get("contact") or "",
            "offers": [f"{offer['quantity']} by {offer['method']}" for offer in tenant["offers"]],
            "state": self._judge(tenant, work, waiting),
            "slots": tenant["max_concurrent"],
            "n_held": len(held),
            "work": work,
            "n_waiting": len(waiting),
            "waiting_since": utc_text(waiting[0]["since"]) if waiting else None,
            "away": self._tell_away(uuid),
            "n_done": self._done[uuid],
            "n_failed": self._failed[uuid],
        }

    def _judge(self, tenant: Json, work: list[Json], waiting: list[State]) -> str:
        found = {item["state"] for item in work}
        if trouble := next((word for word in TROUBLES if word in found), None):
            return trouble
        if work:
            return "works"
        if not tenant["is_active"]:
            return "off"
        if str(tenant["tenant_uuid"]) in self._away:
            return "away"
        return "waited for" if waiting else "idle"

    def _tell_away(self, tenant: str) -> str:
        record = self._away.get(tenant)
        if record is None:
            return ""
        since, until = (local_text(datetime.fromtimestamp(record[key], UTC)) for key in ("since", "until"))
        return f"away since {since}: {record.get('why') or 'no reason was told'}; asked again at {until}"

    def _describe_work(self, pk: int, state: State, tenant: str) -> Json:
        content = self._known.get(pk)
        since = to_utc(state["since"])
        shared: Json = {"since": utc_text(since), "seconds": (self._now - since).total_seconds()}
        if content is None:
            return {**shared, "state": "works", "pk": None, "what": "something that you may not see", "for": ""}
        quantity = str(content["quantity"])
        silent = silent_since(quantity, state)
        lasts = self._usual.get((tenant, quantity))
        lease = state.get("lease_until")
        return {
            **shared,
            "state": "needs operator" if state.get("needs_operator") else "not heard from" if silent else "works",
            "pk": pk,
            "uuid": content["uuid"],
            "what": f"{quantity} by {state.get('method')}",
            "of": describe(dict(content.get("fractions") or {})),
            "for": name_asker(str(content.get("requester") or ""), state, self._names),
            "campaign": content["campaign"],
            "words": str(state.get("needs_operator") or ""),
            "silent_since": utc_text(silent) if silent else None,
            "is_answered": published_status(state) == RequestStatus.RESOLVED.value,
            "usual_s": lasts,
            "until": utc_text(since + timedelta(seconds=lasts)) if lasts is not None else None,
            "is_late": lasts is not None and shared["seconds"] > 2 * lasts + 5.0,
            "lease_until": utc_text(datetime.fromtimestamp(lease, UTC)) if isinstance(lease, (int, float)) else None,
            "attempt": state.get("attempt"),
        }


def age_words(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if seconds < 90:  # noqa: PLR2004 - below a minute and a half seconds mean something
        return f"{max(0, seconds):.0f} s"
    if minutes < 90:  # noqa: PLR2004
        return f"{minutes:.0f} min"
    if hours < 36:  # noqa: PLR2004
        return f"{int(hours)} h {int(minutes) % 60} min"
    return f"{int(days)} d {int(hours) % 24} h"


def tell_work(item: Json) -> str:
    """Return one piece of work in words."""
    if item["pk"] is None:
        return str(item["what"])
    until = f", until about {local_text(item['until'])}" if item["until"] and not item["is_late"] else ""
    late = f", usually {age_words(item['usual_s'])}" if item["is_late"] else ""
    trouble = f", {item['state'].upper()}" if item["state"] in TROUBLES else ""
    whom = item["campaign"] or item["for"]
    return f"{item['what']} <{item['pk']}> for {whom} since {age_words(item['seconds'])}{until}{late}{trouble}"
