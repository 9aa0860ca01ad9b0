"""How long a writer waits for SQLite."""

from __future__ import annotations

import sqlalchemy as sa

from aiida_finales.broker.patience import PATIENCE
from aiida_finales.operations.profile import open_session


def test_every_connection_waits_half_a_minute(aiida_profile) -> None:
    """The connection of the session, opened before or after, has the waiting time."""
    session = open_session()
    session.rollback()
    assert session.execute(sa.text("PRAGMA busy_timeout")).scalar() == PATIENCE == 30_000
    with session.get_bind().connect() as another:
        assert another.execute(sa.text("PRAGMA busy_timeout")).scalar() == PATIENCE
