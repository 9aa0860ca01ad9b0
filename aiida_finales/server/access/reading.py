"""Who may read what: the one place that decides, for every path of the server; in the thread of AiiDA.

A campaign says who may read it (:class:`~aiida_finales.schemas.access.Access`). Whatever is its own is hidden from all
others: requests, results, suggestions, samples, processes. An admin sees everything. Who asked for something, or acts
for a tenant that can serve it, sees that and what came of it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import sqlalchemy as sa
from aiida import orm
from pydantic import ValidationError

from aiida_finales.broker.sight import NOTHING, Hidden, without
from aiida_finales.broker.state import STATE
from aiida_finales.data.campaign import ACCESS, CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import find_samples, identities_used
from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.fair.graph.selection import in_batches, own_pks
from aiida_finales.operations.engine.profile import open_session
from aiida_finales.schemas.access import Access, Openness
from aiida_finales.server.access.users import User

P = ParamSpec("P")
T = TypeVar("T")

_GROUPS = "SELECT id, extras FROM db_dbgroup WHERE type_string = :kind ORDER BY id"
#: what changes with everything that belongs to a campaign; the last with whom requests concern
_STATE = """
SELECT (SELECT max(id) FROM db_dbnode), (SELECT max(id) FROM db_dblink), (SELECT count(*) FROM db_dbgroup_dbnodes),
       (SELECT max(id) FROM db_dbgroup_dbnodes), (SELECT max(id) FROM db_dblog)
"""
REQUEST = "attributes.request_uuid"
#: users for whom it is remembered what they may not see
MOST = 200


@dataclass(frozen=True)
class _Asked:
    """A request, and whom it concerns.

    :param people: who posted it and who holds it.
    :param tenants: UUIDs of those that can serve it, or do.
    :param pks: of the request, its results and its samples.
    """

    people: frozenset[str]
    tenants: frozenset[str]
    pks: frozenset[int]


class Reading:
    """What each user may not see, found again when something has changed: once for all users."""

    def __init__(self) -> None:
        self._state: tuple[Any, ...] = ()
        self._own: dict[int, set[int]] = {}
        self._asked: dict[frozenset[int], list[_Asked]] = {}
        self._found: dict[tuple[Any, ...], Hidden] = {}

    def find_hidden(self, user: User | None) -> Hidden:
        """Return what a user may not see; ``None``: somebody who is not logged in."""
        closed = self.find_closed(user)
        if not closed:
            return NOTHING
        state = tuple(open_session().execute(sa.text(_STATE)).one())
        if state[:-1] != self._state[:-1]:
            self._own = {}
        if state != self._state or len(self._found) >= MOST:
            self._state, self._asked, self._found = state, {}, {}
        key = (closed, user.who if user else "", user.tenants if user else ())
        if key not in self._found:
            with without(NOTHING):
                self._found[key] = self._find(closed, user)
        return self._found[key]

    def _find(self, closed: frozenset[int], user: User | None) -> Hidden:
        lacking = sorted(closed - set(self._own))
        query = orm.QueryBuilder().append(CampaignGroup, filters={"id": {"in": lacking}})
        self._own |= {int(group.pk): own_pks(group) for group in (query.all(flat=True) if lacking else ())}
        pks = set[int]().union(*(self._own.get(pk, ()) for pk in closed))
        if user is None:
            return Hidden(frozenset(pks), closed)
        if closed not in self._asked:
            self._asked[closed] = _read_asked(pks)
        tenants = set(user.tenants)
        own = (item.pks for item in self._asked[closed] if user.who in item.people or tenants & item.tenants)
        return Hidden(frozenset(pks.difference(*own)), closed)

    def find_closed(self, user: User | None) -> frozenset[int]:
        """Return the pks of the campaigns that a user may not read."""
        if user is not None and user.has_role("admin"):
            return frozenset()
        rows = open_session().execute(sa.text(_GROUPS), {"kind": CampaignGroup._type_string}).all()  # noqa: SLF001 - AiiDA has no other name for it
        return frozenset(pk for pk, extras in rows if not _read(extras).admits(user.name if user else ""))

    def run_as(self, user: User, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that changes something, and let it find nothing that the user may not see.

        The door narrows only what reads: a change may have to be told to what its caller does not see.
        """
        with without(self.find_hidden(user)):
            return function(*args, **kwargs)

    def demand(self, user: User, values: Iterable[str]) -> None:
        """Refuse a call that names by its UUID what the user may not see, as if it were not there.

        :raises UnknownNodeError: naming it.
        """
        hidden = self.find_hidden(user)
        uuids = [text for text in map(_read_uuid, values) if text] if hidden else []
        query = orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": uuids}}, project=["id", "uuid"])
        for pk, uuid in query.all() if uuids else ():
            if pk in hidden.nodes:
                raise UnknownNodeError(f"nothing here has the id {uuid}")


def _read(extras: Any) -> Access:
    """Return who may read a campaign; what cannot be understood protects."""
    found = extras if isinstance(extras, dict) else json.loads(extras or "{}")
    try:
        return Access.model_validate(found.get(ACCESS, {}))
    except ValidationError:
        return Access(openness=Openness.CONFIDENTIAL)


def _read_asked(pks: set[int]) -> list[_Asked]:
    """Return the requests among nodes, with what of these nodes came of each."""
    rows: list[tuple[int, str, dict[str, Any], tuple[str, ...]]] = []
    results: defaultdict[str, set[int]] = defaultdict(set)
    columns = ["id", "uuid", f"extras.{STATE}", "attributes.quantity", "attributes.parameters"]
    for batch in in_batches(pks):
        requests = orm.QueryBuilder().append(RequestData, filters={"id": {"in": batch}}, project=columns)
        for pk, uuid, state, quantity, parameters in requests.all():
            rows.append((pk, uuid, state or {}, tuple(identities_used(quantity, parameters))))
        answers = orm.QueryBuilder().append(ResultData, filters={"id": {"in": batch}}, project=["id", REQUEST])
        for pk, uuid in answers.all():
            results[uuid].add(pk)
    samples = find_samples(sorted({identity for *_, identities in rows for identity in identities}))
    return [
        _Asked(
            frozenset(str(state.get(key)) for key in ("poster", "holder") if state.get(key)),
            frozenset(str(item.get("tenant")) for item in [*(state.get("candidates") or ()), state]),
            frozenset({pk, *results[uuid], *(int(samples[key].pk) for key in identities if key in samples)}),
        )
        for pk, uuid, state, identities in rows
    ]


def _read_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""
