"""The one place where the current status of a node is read and changed.

The current state of a request or result is a small dictionary in the extras of its node, under ``finales``. It carries
a serial number, and every change is one conditional ``UPDATE`` that demands the serial that was read: of any number of
simultaneous writers exactly one succeeds, on SQLite and on PostgreSQL, without locks of our own. In the same
transaction a log entry is appended to the node (who, when, from, to, why), which travels in AiiDA archives.

Loaded nodes cache their extras, so the state is always read by query.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.patience import one_transaction, repeat_while_locked
from aiida_finales.exceptions import StatusError
from aiida_finales.schemas.words import count

STATE = "finales"
LOGGER_NAME = "aiida_finales.status"

#: A writer that loses a race reads again and tries again; a change takes some milliseconds, so that a hundred attempts
#: outlast any burst of clients. What is still contended after that is an error worth seeing.
ATTEMPTS = 100

_SQLITE = """
UPDATE db_dbnode SET extras = json_set(extras, '$.finales', json(:new))
WHERE id = :pk AND json_extract(extras, '$.finales.serial') IS :serial {guard} RETURNING id
"""
_POSTGRESQL = """
UPDATE db_dbnode SET extras = jsonb_set(coalesce(extras, CAST('{{}}' AS jsonb)), '{{finales}}', CAST(:new AS jsonb))
WHERE id = :pk AND CAST(extras #>> '{{finales,serial}}' AS integer) IS NOT DISTINCT FROM CAST(:serial AS integer)
{guard} RETURNING id
"""
_SLOT_SQLITE = """AND (SELECT count(*) FROM db_dbnode AS other WHERE other.node_type = '{node_type}'
 AND json_extract(other.extras, '$.finales.status') = 'reserved'
 AND json_extract(other.extras, '$.finales.needs_operator') IS NULL
 AND json_extract(other.extras, '$.finales.tenant') = :tenant) < :slots"""
_SLOT_POSTGRESQL = """AND (SELECT count(*) FROM db_dbnode AS other WHERE other.node_type = '{node_type}'
 AND other.extras #>> '{{finales,status}}' = 'reserved'
 AND other.extras #>> '{{finales,needs_operator}}' IS NULL
 AND other.extras #>> '{{finales,tenant}}' = :tenant) < :slots"""


_STATE_SQLITE = sa.text("SELECT json_extract(extras, '$.finales') FROM db_dbnode WHERE id = :pk")
_STATE_POSTGRESQL = sa.text("SELECT extras -> 'finales' FROM db_dbnode WHERE id = :pk")


#: entries of the log that may be written at the same moment by several writers; one that came later may be seen first
OVERLAP = 1000
_CHANGES = sa.text("SELECT count(*), max(id) FROM db_dblog WHERE id > :floor")


@dataclass(frozen=True)
class Slot:
    """The condition that a tenant works on fewer requests than it may; those that wait for an operator do not count.

    :param node_type: AiiDA's type string of the requests that are counted.
    """

    node_type: str
    tenant: str
    slots: int


@dataclass(frozen=True)
class Entry:
    """One line of the history of a node."""

    time: datetime
    who: str
    before: str | None
    after: str
    why: str


State = dict[str, Any]


def read_state(pk: int) -> State:
    """Return the current state of a node, read from the database; empty when it has none yet.

    A statement of its own: every call of a client reads states, and AiiDA's query builder takes ten times as long.
    """
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    with session.no_autoflush:
        found = session.execute(_STATE_POSTGRESQL if is_postgresql else _STATE_SQLITE, {"pk": pk}).scalar()
    return dict(found if isinstance(found, dict) else json.loads(found)) if found else {}


def read_changes(floor: int) -> tuple[int, int]:
    """Return what differs whenever a state was changed: how many log entries there are above one, and the last.

    Every change of a state appends an entry. So who looks at all states again and again need not while this is the
    same: it costs one look at the end of an index.

    :param floor: pk of an entry, :data:`OVERLAP` before the last.
    """
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    with session.no_autoflush:
        number, last = session.execute(_CHANGES, {"floor": floor}).one()
    return int(number), int(last or 0)


def change_state(pk: int, decide: Callable[[State], tuple[State, str, str] | None], slot: Slot | None = None) -> State:
    """Change the state of a node, atomically, and append to its history.

    :param decide: given the current state, return the new one with who changes it and why, or ``None`` to leave it as
        it is; may raise to refuse. It is called again when somebody else changed the state meanwhile.
    :param slot: a further condition that must hold in the same statement.
    :returns: the state after the change.
    :raises StatusError: when a slot was demanded and is not free.
    """
    for _ in range(ATTEMPTS):
        before = read_state(pk)
        decision = decide(dict(before))
        if decision is None:
            return before
        after, who, why = decision
        after = {**after, "serial": before.get("serial", -1) + 1}
        swap = partial(_swap, pk, before, after, who=who, why=why, slot=slot)
        if repeat_while_locked(swap):
            return after
        if slot is not None and read_state(pk).get("serial") == before.get("serial"):
            raise StatusError(f"tenant {slot.tenant} holds {count(slot.slots, 'request')} already, which is all it may")
    raise StatusError(f"the state of node {pk} could not be changed in {ATTEMPTS} attempts: too many writers")


def adopt_state(pk: int, before: State, after: State) -> bool:
    """Put a later state of the same history in place of an earlier one; return whether that was still there.

    For what comes in with its history: nothing is appended to it.
    """

    def swap() -> bool:
        with one_transaction() as session:
            return _write(session, pk, before, after, slot=None)

    return repeat_while_locked(swap)


def read_history(pk: int) -> list[Entry]:
    """Return all changes of the state of a node, oldest first."""
    logs = (
        orm.QueryBuilder()
        .append(orm.Node, filters={"id": pk}, tag="node")
        .append(orm.Log, with_node="node", filters={"loggername": LOGGER_NAME}, project=["time", "metadata"], tag="log")
        .order_by({"log": [{"time": "asc"}, {"id": "asc"}]})
        .all()
    )
    return [Entry(moment, data["who"], data["from"], data["to"], data["why"]) for moment, data in logs]


def append_history(pk: int, *, who: str, before: str | None, after: str, why: str, tenant: str = "") -> None:
    """Append one line to the history of a node.

    A statement of its own: AiiDA's class takes a third of the time that a change of a state does.

    :param tenant: UUID of the tenant that held it before or after: what each did is read from here.
    """
    storage: Any = get_manager().get_profile_storage()
    entry = {
        "time": datetime.now(UTC),
        "loggername": LOGGER_NAME,
        "levelname": "REPORT",
        "dbnode_id": pk,
        "message": f"{before or 'new'} -> {after} by {who}: {why}",
        "metadata": {"who": who, "from": before, "to": after, "why": why, **({"tenant": tenant} if tenant else {})},
    }
    statement = sa.insert(storage.logs.ENTITY_CLASS.MODEL_CLASS.__table__)
    with one_transaction() as session:
        session.execute(statement, entry)


def _swap(pk: int, before: State, after: State, *, who: str, why: str, slot: Slot | None) -> bool:
    """Write the new state if nobody wrote since, and append to the history."""
    with one_transaction() as session:
        if not _write(session, pk, before, after, slot=slot):
            return False
        tenant = str(after.get("tenant") or before.get("tenant") or "")
        append_history(pk, who=who, before=before.get("status"), after=str(after.get("status")), why=why, tenant=tenant)
    return True


def _write(session: Any, pk: int, before: State, after: State, *, slot: Slot | None) -> bool:
    """Write the new state if nobody wrote since; one statement decides."""
    values: dict[str, Any] = {"pk": pk, "serial": before.get("serial"), "new": json.dumps(after)}
    if slot is not None:
        values |= {"tenant": slot.tenant, "slots": slot.slots}
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    if is_postgresql and slot is not None:
        # two transactions would both count before either commits: let them queue, per tenant
        session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:tenant))"), {"tenant": slot.tenant})
    text = (_POSTGRESQL if is_postgresql else _SQLITE).format(guard=_guard(is_postgresql, slot))
    return session.execute(sa.text(text), values).first() is not None


def _guard(is_postgresql: bool, slot: Slot | None) -> str:
    if slot is None:
        return ""
    # the type is written out: only so the index of what is held answers
    return (_SLOT_POSTGRESQL if is_postgresql else _SLOT_SQLITE).format(node_type=slot.node_type)
