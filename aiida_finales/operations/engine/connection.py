"""The connection to the broker, in a program that lives longer than the daemon."""

from __future__ import annotations

from typing import Any

from aiida.manage import get_manager

from aiida_finales.calculations.connection import renew_connection
from aiida_finales.operations.engine.daemon import Life, demand_daemon, read_broker
from aiida_finales.operations.engine.profile import loaded_profile

#: profile, broker process and communicator of the present connection
_connected: tuple[str, Life | None, Any] | None = None


def connect_to_daemon() -> None:
    """Make sure that a process submitted now reaches a daemon that works.

    :raises DaemonError: when there is no daemon that can be relied on; names the cure.
    """
    demand_daemon()
    stay_connected()


def stay_connected() -> None:
    """Connect again when the broker is another one than before, or the connection was closed.

    The ZeroMQ broker comes back on a new socket after a restart; whoever was connected to the old one hears nothing,
    and what it sends is lost without an error. A connection to RabbitMQ heals by itself.

    :raises ConnectionError: when no broker answers.
    """
    global _connected  # noqa: PLW0603 - AiiDA's manager, whose connection this describes, is global, too
    profile, broker = loaded_profile().name, read_broker()
    if _connected is not None:
        name, known, communicator = _connected
        if (name, known) == (profile, broker) and not communicator.is_closed():
            return
    renew_connection()
    _connected = (profile, broker, get_manager().get_communicator())
