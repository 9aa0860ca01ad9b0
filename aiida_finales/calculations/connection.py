"""The connection of this program to the broker, for programs that outlive one."""

from __future__ import annotations


def renew_connection() -> None:
    """Forget the connection to the broker; the next message opens a new one. Not for a worker.

    AiiDA's runner keeps the communicator that it was made with: with the broker alone forgotten, the next submission
    stores a process and then fails on the closed communicator.
    """
    from aiida.manage import get_manager

    manager = get_manager()
    manager.reset_runner()
    manager.reset_broker()
