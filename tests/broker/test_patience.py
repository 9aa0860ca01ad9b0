"""How long a writer waits for SQLite."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.patience import PATIENCE, claim_writing
from aiida_finales.operations.engine.profile import open_session


def test_every_connection_waits_half_a_minute(aiida_profile) -> None:
    """The connection of the session, opened before or after, has the waiting time."""
    session = open_session()
    session.rollback()
    assert session.execute(sa.text("PRAGMA busy_timeout")).scalar() == PATIENCE == 30_000
    with session.get_bind().connect() as another:
        assert another.execute(sa.text("PRAGMA busy_timeout")).scalar() == PATIENCE


def test_a_transaction_that_claimed_writing_may_read_first(aiida_profile) -> None:
    """Nobody writes between its reading and its writing, which SQLite would refuse it for."""
    storage = get_manager().get_profile_storage()
    path = open_session().get_bind().url.database
    with storage.transaction() as session:
        claim_writing(session)
        n_before = orm.QueryBuilder().append(orm.Dict).count()
        with sqlite3.connect(path, timeout=0) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("UPDATE db_dbnode SET label = label WHERE id = -1")
        node = orm.Dict({"a": 1}).store()
    assert orm.QueryBuilder().append(orm.Dict).count() == n_before + 1
    assert orm.load_node(node.pk)["a"] == 1
