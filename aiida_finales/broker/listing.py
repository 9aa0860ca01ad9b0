"""Long lists of requests and results by one statement each; loading a node per row would take a hundred times as long.

AiiDA's query builder makes Python objects of every row and parses all JSON of it. These statements ask for what is
shown only, and leave the parsing of documents that do not change to whoever keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.sight import clause
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.moment import to_utc

#: what is stored of a request that is published as this, where that may be something else
STORED = {"retracted": ("pending", "reserved", "retracted"), "resolved": ("reserved", "resolved")}
#: rows that one statement may name by pk: SQLite accepts no more than 32766 parameters
CHUNK = 10_000


@dataclass(frozen=True)
class Row:
    """What changes about a request or a result, and who it is.

    :param created: in UTC.
    """

    pk: int
    uuid: str
    created: datetime
    status: str


@dataclass(frozen=True)
class Selection:
    """Which requests or results are listed, and how many.

    :param statuses: only these; all when ``None``.
    :param method: one of the methods of a request, or the method of a result.
    :param request_uuid: only results of this request.
    :param parent: only requests that are steps of the one with this UUID.
    :param since: only what was posted after this moment.
    :param after: only what was posted after the one with this pk.
    :param newest_first: the latest come first, also where ``limit`` cuts.
    """

    statuses: tuple[str, ...] | None = None
    quantity: str | None = None
    method: str | None = None
    request_uuid: str | None = None
    parent: str | None = None
    since: datetime | None = None
    after: int | None = None
    limit: int | None = None
    offset: int = 0
    newest_first: bool = False


def list_request_rows(selection: Selection) -> list[Row]:
    """Return the requests that were posted, in that order."""
    return _list_rows(RequestData.class_node_type, "methods", selection)


def list_result_rows(selection: Selection) -> list[Row]:
    """Return the results, in the order in which they were stored."""
    return _list_rows(ResultData.class_node_type, "method", selection)


def count_request_rows(selection: Selection) -> int:
    """Return how many requests there are of a selection, whatever its limit."""
    return _count_rows(RequestData.class_node_type, "methods", selection)


def count_result_rows(selection: Selection) -> int:
    """Return how many results there are of a selection, whatever its limit."""
    return _count_rows(ResultData.class_node_type, "method", selection)


def find_row(node_type: str, uuid: str) -> Row | None:
    """Return one request or result by its UUID, or ``None``."""
    with get_manager().get_profile_storage().transaction() as session:
        words = _words(session)
        seen, values = clause(session)
        text = f"SELECT {words.columns} FROM db_dbnode AS n WHERE n.uuid = {words.uuid} AND n.node_type = :type{seen}"  # noqa: S608
        found = session.execute(sa.text(text), {"uuid": str(UUID(uuid)), "type": node_type, **values}).first()
    return _row(found) if found else None


def read_attributes(pks: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the attributes of nodes by pk."""
    return _read_column(pks, "attributes")


def read_extras(pks: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the extras of nodes by pk, as they are now."""
    return _read_column(pks, "extras")


def _read_column(pks: Iterable[int], column: str) -> dict[int, dict[str, Any]]:
    wanted, found = list(pks), {}
    with get_manager().get_profile_storage().transaction() as session:
        seen, values = clause(session)
        statement = sa.text(f"SELECT n.id, n.{column} FROM db_dbnode AS n WHERE n.id IN :pks{seen}")  # noqa: S608
        statement = statement.bindparams(sa.bindparam("pks", expanding=True))
        for start in range(0, len(wanted), CHUNK):
            for pk, document in session.execute(statement, {"pks": wanted[start : start + CHUNK], **values}):
                found[pk] = document if isinstance(document, dict) else json.loads(document or "{}")
    return found


def find_answered(uuid: str | None = None) -> list[tuple[Row, dict[str, Any]]]:
    """Return the requests with an answer that no process has made a result of yet, each with its state.

    :param uuid: only the answer to which this UUID was promised.
    """
    with get_manager().get_profile_storage().transaction() as session:
        words = _words(session)
        # the type is written out: only so the index of what is held answers
        clauses = [f"n.node_type = '{RequestData.class_node_type}'"]
        clauses += [f"{words.status} = 'reserved'", f"{words.answer} IS NOT NULL"]
        if uuid is not None:
            clauses.append(f"{words.answer_uuid} = :uuid")
        seen, values = clause(session)
        where = " AND ".join(clauses) + seen
        text = f"SELECT {words.columns}, {words.state} FROM db_dbnode AS n WHERE {where} ORDER BY n.id"  # noqa: S608
        values |= {} if uuid is None else {"uuid": uuid}
        found = session.execute(sa.text(text), values).all()
    return [(_row(item), item[4] if isinstance(item[4], dict) else json.loads(item[4])) for item in found]


@dataclass(frozen=True)
class _Words:
    """How a database spells what is asked for."""

    status: str
    state: str
    answer: str
    imported: str
    answer_uuid: str
    uuid: str
    attribute: str
    methods: str
    moment: str

    @property
    def published(self) -> str:
        """The status as :func:`~aiida_finales.broker.status.published_status` tells it.

        What is open on the platform that it came from is open there, not here.
        """
        is_elsewhere = f"{self.imported} AND {self.status} IN ('pending', 'reserved')"
        is_answered = f"{self.status} = 'reserved' AND {self.answer} IS NOT NULL"
        return f"(CASE WHEN {is_elsewhere} THEN 'retracted' WHEN {is_answered} THEN 'resolved' ELSE {self.status} END)"

    @property
    def columns(self) -> str:
        """What a row is made of."""
        return f"n.id, n.uuid, n.ctime, {self.published}"


_SQLITE = _Words(
    status="json_extract(n.extras, '$.finales.status')",
    state="json_extract(n.extras, '$.finales')",
    answer="json_extract(n.extras, '$.finales.answer')",
    imported="json_type(n.extras, '$.finales_imported') IS NOT NULL",
    answer_uuid="json_extract(n.extras, '$.finales.answer.uuid')",
    uuid=":uuid",
    attribute="json_extract(n.attributes, '$.{key}') = :{key}",
    methods="EXISTS (SELECT 1 FROM json_each(n.attributes, '$.methods') AS m WHERE m.value = :methods)",
    moment="n.ctime > :since",
)
_POSTGRESQL = _Words(
    status="n.extras #>> '{finales,status}'",
    state="n.extras -> 'finales'",
    answer="n.extras #>> '{finales,answer}'",
    imported="jsonb_exists(n.extras, 'finales_imported')",
    answer_uuid="n.extras #>> '{finales,answer,uuid}'",
    uuid="CAST(:uuid AS uuid)",
    attribute="n.attributes ->> '{key}' = :{key}",
    methods="jsonb_exists(n.attributes -> 'methods', :methods)",
    moment="n.ctime > CAST(:since AS timestamptz)",
)


def _words(session: Any) -> _Words:
    return _POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE


def _list_rows(node_type: str, method_key: str, selection: Selection) -> list[Row]:
    with get_manager().get_profile_storage().transaction() as session:
        words = _words(session)
        text, values = _select(session, words.columns, node_type, method_key, selection)
        text += f" ORDER BY 1 {'DESC' if selection.newest_first else 'ASC'}"
        if selection.limit is not None or selection.offset:
            text += " LIMIT :limit OFFSET :offset"
            # SQLite knows no OFFSET without LIMIT; this is its largest whole number
            values |= {"limit": 2**62 if selection.limit is None else selection.limit, "offset": selection.offset}
        found = session.execute(_bind(text, selection), values).all()
    return [_row(item) for item in found]


def _count_rows(node_type: str, method_key: str, selection: Selection) -> int:
    with get_manager().get_profile_storage().transaction() as session:
        text, values = _select(session, "n.id", node_type, method_key, selection)
        counting = _bind(f"SELECT count(*) FROM ({text}) AS found", selection)  # noqa: S608
        return int(session.execute(counting, values).scalar_one())


def _select(
    session: Any, columns: str, node_type: str, method_key: str, selection: Selection
) -> tuple[str, dict[str, Any]]:
    """Return the statement for all that is selected, without order and limit, and the values for it."""
    words = _words(session)
    clauses, values = _conditions(words, method_key, selection)
    seen, hidden = clause(session)
    part = (
        f"SELECT {columns} FROM db_dbnode AS n WHERE n.node_type = '{node_type}' "  # noqa: S608
        f"AND {' AND '.join(clauses)}{seen}"
    )
    # each status by the index; asked for all at once SQLite would not take it
    stored = {f"stored{place}": status for place, status in enumerate(_stored(selection))}
    parts = [f"{part} AND {words.status} = :{name}" for name in stored] or [part]
    return " UNION ALL ".join(parts), {**values, **stored, **hidden}


def _bind(text: str, selection: Selection) -> sa.TextClause:
    statement = sa.text(text)
    return statement if selection.statuses is None else statement.bindparams(sa.bindparam("statuses", expanding=True))


def _stored(selection: Selection) -> list[str]:
    """Return the statuses that may be stored of what is published with the selected ones; empty: any."""
    return sorted({item for status in selection.statuses or () for item in STORED.get(status, (status,))})


def _conditions(words: _Words, method_key: str, selection: Selection) -> tuple[list[str], dict[str, Any]]:
    """Return what must hold, and the values; nothing that a client sent becomes part of a statement."""
    clauses = [f"{words.status} IS NOT NULL"]
    values: dict[str, Any] = {}
    if selection.statuses is not None:
        clauses = [f"{words.published} IN :statuses"]
        values["statuses"] = list(selection.statuses)
    given = {"quantity": selection.quantity, method_key: selection.method, "parent": selection.parent}
    given["request_uuid"] = selection.request_uuid
    for key, value in given.items():
        if value is not None:
            clauses.append(words.methods if key == "methods" else words.attribute.format(key=key))
            values[key] = value
    if selection.after is not None:
        clauses.append("n.id > :after")
        values["after"] = selection.after
    if selection.since is not None:
        clauses.append(words.moment)
        values["since"] = selection.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        if words is _POSTGRESQL:
            values["since"] += "+00"
    return clauses, values


def _row(found: Any) -> Row:
    pk, uuid, created, status = found[0], found[1], found[2], found[3]
    return Row(pk, str(UUID(str(uuid))), to_utc(created), str(status))
