"""The processes that serve requests, asked for from the requests or by how they ended.

AiiDA's query builder begins with all processes of a kind; these statements begin where little is to be looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.listing import CHUNK
from aiida_finales.broker.sight import clause
from aiida_finales.data.campaign import SERVES
from aiida_finales.data.nodes import ACTIVE

#: name of the index of processes that broke or ended with an exit status
GIVEN_UP = "finales_given_up"

_SQLITE = {
    "state": "json_extract(n.attributes, '$.process_state')",
    "exit": "json_extract(n.attributes, '$.exit_status')",
}
_POSTGRESQL = {
    "state": "(n.attributes ->> 'process_state')",
    "exit": "CAST(n.attributes ->> 'exit_status' AS integer)",
}
#: in a question it must be spelled as in the index, without parameters
_ENDED = f"n.process_type = '{SERVES['process_type']}' AND ({{state}} IN ('excepted', 'killed') OR {{exit}} <> 0)"


def make_index(session: Any) -> None:
    """Make the index where it is absent."""
    which = _ENDED.format(**_words(session)).replace("n.", "")
    session.execute(sa.text(f"CREATE INDEX IF NOT EXISTS {GIVEN_UP} ON db_dbnode (process_type, id) WHERE {which}"))


def find_given_up(limit: int, taken_back: Collection[int]) -> list[int]:
    """Return the pks of the latest processes of requests that broke or gave up, the latest first.

    :param taken_back: exit statuses of those that somebody ended.
    """
    with get_manager().get_profile_storage().transaction() as session:
        words, (seen, hidden) = _words(session), clause(session)
        text = (
            f"SELECT n.id FROM db_dbnode AS n WHERE {_ENDED.format(**words)} "  # noqa: S608 - constants are put in
            f"AND coalesce({words['exit']}, -1) NOT IN :taken{seen} ORDER BY n.id DESC LIMIT :limit"
        )
        statement = sa.text(text).bindparams(sa.bindparam("taken", expanding=True))
        rows = session.execute(statement, {"taken": list(taken_back), "limit": limit, **hidden})
        return [int(row[0]) for row in rows]


def find_served(requests: Iterable[int]) -> set[int]:
    """Return those of the requests (pk) whose process is alive."""
    wanted, found = list(requests), set[int]()
    with get_manager().get_profile_storage().transaction() as session:
        # with CROSS JOIN SQLite begins with the links of the requests
        text = (
            "SELECT l.input_id FROM db_dblink AS l CROSS JOIN db_dbnode AS n "  # noqa: S608 - constants are put in
            "WHERE l.input_id IN :pks AND n.id = l.output_id AND n.process_type = :type "
            f"AND {_words(session)['state']} IN :alive"
        )
        expanding: list[Any] = [sa.bindparam(name, expanding=True) for name in ("pks", "alive")]
        statement = sa.text(text).bindparams(*expanding)
        for start in range(0, len(wanted), CHUNK):
            values = {"pks": wanted[start : start + CHUNK], "alive": list(ACTIVE), "type": SERVES["process_type"]}
            found |= {int(row[0]) for row in session.execute(statement, values)}
    return found


def _words(session: Any) -> dict[str, str]:
    return _POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE
