"""What AiiDA leaves open about nodes, decided: a stored node has a pk, a process always has a state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiida import orm


def pk_of(node: orm.Node) -> int:
    """Return the pk of a stored node.

    :raises ValueError: when it is not stored.
    """
    if node.pk is None:
        message = f"{type(node).__name__} {node.uuid} is not stored"
        raise ValueError(message)
    return int(node.pk)


def born(node: orm.Node) -> tuple[datetime, int]:
    """Return what orders nodes by age; primary keys alone are in any order after an import."""
    return node.ctime, pk_of(node)


def state_of(process: orm.ProcessNode) -> str:
    """Return the state of a process in AiiDA's words."""
    return str(process.process_state.value) if process.process_state else "created"


def make_dict(document: dict[str, Any]) -> orm.Dict:
    """Return a node, not stored, that holds a JSON object."""
    node: orm.Dict = orm.Dict(document)
    return node
