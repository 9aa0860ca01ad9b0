"""Submit processes from a program that may live longer than the daemon and its broker."""

from __future__ import annotations

from aiida_finales.calculations.connection import renew_connection
from aiida_finales.operations.daemon_state import Life, demand_daemon, read_daemon_state

#: the broker's process when this program last made sure of its connection
_seen: Life | None = None


def connect_to_daemon() -> None:
    """Make sure that a process submitted now reaches the daemon.

    The ZeroMQ broker comes back on a new socket after a restart, and a client of the old one is not told. A connection
    to RabbitMQ heals by itself.

    :raises DaemonError: when there is no daemon that can be relied on; names the cure.
    """
    global _seen  # noqa: PLW0603 - the connection itself belongs to the program, not to an object
    state = read_daemon_state()
    demand_daemon(state)
    if state.broker is not None and state.broker != _seen:
        renew_connection()
        _seen = state.broker
