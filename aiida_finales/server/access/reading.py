"""Who may read what: the one place that decides, for every path of the server; in the thread of AiiDA.

A campaign says who may read it (:class:`~aiida_finales.schemas.access.Access`). Whatever is its own is hidden from all
others: requests, results, suggestions, samples, processes. An admin sees everything. Who asked for something, or acts
for a tenant that can serve it, sees that and what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
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
#: what changes with everything that belongs to a campaign
_STATE = """
SELECT (SELECT max(id) FROM db_dbnode), (SELECT max(id) FROM db_dblog), (SELECT count(*) FROM db_dbgroup_dbnodes),
       (SELECT max(id) FROM db_dbgroup_dbnodes)
"""
#: users for whom it is remembered what they may not see
MOST = 200


class Reading:
    """What each user may not see, found again when something has changed."""

    def __init__(self) -> None:
        self._state: tuple[Any, ...] = ()
        self._found: dict[tuple[Any, ...], Hidden] = {}

    def find_hidden(self, user: User | None) -> Hidden:
        """Return what a user may not see; ``None``: somebody who is not logged in."""
        closed = self.find_closed(user)
        if not closed:
            return NOTHING
        state = (datetime.now(UTC).date(), *open_session().execute(sa.text(_STATE)).one())
        if state != self._state or len(self._found) >= MOST:
            self._state, self._found = state, {}
        key = (closed, user.who if user else "", user.tenants if user else ())
        if key not in self._found:
            with without(NOTHING):
                self._found[key] = _find(closed, user)
        return self._found[key]

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


def _find(closed: frozenset[int], user: User | None) -> Hidden:
    groups = orm.QueryBuilder().append(CampaignGroup, filters={"id": {"in": sorted(closed)}}).all(flat=True)
    pks = set[int]().union(*(own_pks(group) for group in groups))
    return Hidden(frozenset(pks - _find_own(pks, user) if user else pks), closed)


def _find_own(pks: set[int], user: User) -> set[int]:
    """Return what of hidden nodes concerns a user: what was asked by them or can be served by them, and its results."""
    found, uuids, identities = set[int](), set[str](), set[str]()
    columns = ["id", "uuid", f"extras.{STATE}", "attributes.quantity", "attributes.parameters"]
    for batch in in_batches(pks):
        query = orm.QueryBuilder().append(RequestData, filters={"id": {"in": batch}}, project=columns)
        for pk, uuid, state, quantity, parameters in query.iterall():
            if _concerns(state or {}, user):
                found.add(pk)
                uuids.add(uuid)
                identities |= set(identities_used(quantity, parameters))
    for batch in in_batches(uuids):
        results = orm.QueryBuilder().append(
            ResultData, filters={"attributes.request_uuid": {"in": batch}}, project="id"
        )
        found |= set(results.all(flat=True))
    return found | {int(node.pk) for node in find_samples(sorted(identities)).values()}


def _concerns(state: dict[str, Any], user: User) -> bool:
    tenants = {str(item.get("tenant")) for item in state.get("candidates") or ()} | {str(state.get("tenant"))}
    return user.who in (state.get("poster"), state.get("holder")) or bool(tenants & set(user.tenants))


def _read_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""
