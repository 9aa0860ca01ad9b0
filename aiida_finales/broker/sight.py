"""What whoever asks may not see: left out of every query of this thread, whoever wrote it.

Queries of AiiDA and SQLAlchemy are narrowed as they are executed; statements in SQL ask for :func:`clause`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria


@dataclass(frozen=True)
class Hidden:
    """What is left out.

    :param nodes: pks of nodes.
    :param groups: pks of groups.
    """

    nodes: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.nodes or self.groups)


NOTHING = Hidden()
_HIDDEN: ContextVar[Hidden] = ContextVar("hidden", default=NOTHING)


@contextmanager
def without(hidden: Hidden) -> Iterator[None]:
    """Leave out nodes and groups meanwhile."""
    before = _HIDDEN.set(hidden)
    try:
        yield
    finally:
        _HIDDEN.reset(before)


def is_hidden(pk: int) -> bool:
    """Return whether whoever asks may not see a node; for what was read by a statement that asks for no clause."""
    return pk in _HIDDEN.get().nodes


def hidden_now() -> Hidden:
    """Return what is left out now."""
    return _HIDDEN.get()


def clause(session: Session) -> tuple[str, dict[str, Any]]:
    """Return what a statement in SQL about nodes ``n`` must demand, and the values for it."""
    hidden = _HIDDEN.get()
    if not hidden.nodes:
        return "", {}
    rows = "jsonb_array_elements_text(CAST(:hidden AS jsonb))" if _is_postgresql(session) else "json_each(:hidden)"
    condition = f" AND n.id NOT IN (SELECT CAST(value AS INTEGER) FROM {rows})"  # noqa: S608
    return condition, {"hidden": json.dumps(sorted(hidden.nodes))}


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


@sa.event.listens_for(Session, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    hidden = _HIDDEN.get()
    if not hidden or not state.is_select or state.is_column_load:
        return
    if _is_postgresql(state.session):
        from aiida.storage.psql_dos.models.group import DbGroup
        from aiida.storage.psql_dos.models.node import DbNode
    else:
        from aiida.storage.sqlite_zip.models import DbGroup, DbNode
    nodes, groups = _rows(hidden.nodes, state.session), _rows(hidden.groups, state.session)
    # functions, because SQLAlchemy gives only these the alias under which a model is joined
    state.statement = state.statement.options(
        with_loader_criteria(DbNode, lambda node: node.id.not_in(nodes), include_aliases=True),
        with_loader_criteria(DbGroup, lambda group: group.id.not_in(groups), include_aliases=True),
    )


def _rows(pks: frozenset[int], session: Session) -> Any:
    """Return numbers as a selection: as one text, because parameters have a limit."""
    text = json.dumps(sorted(pks))
    if _is_postgresql(session):
        rows = sa.func.jsonb_array_elements_text(sa.cast(sa.cast(text, sa.Text), JSONB)).table_valued("value")
    else:
        rows = sa.func.json_each(text).table_valued("value")
    return sa.select(sa.cast(rows.c.value, sa.Integer))
