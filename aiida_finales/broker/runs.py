"""One simulation for all requests of the same liquid: who simulates it, found by what is simulated.

A run is claimed by a group whose label says what is simulated, and how many runs of it were lost before; its
description names the process. The database takes a label once, so of any number of processes that come at the same
moment one simulates, and the others find it.
"""

from __future__ import annotations

from itertools import count
from uuid import UUID

from aiida import orm
from aiida.common.exceptions import IntegrityError, NotExistent

from aiida_finales.broker.patience import repeat_while_locked
from aiida_finales.broker.state import read_state
from aiida_finales.broker.status import RequestStatus, ResultStatus
from aiida_finales.data.result import ResultData

#: of the label of a group that claims a run
PREFIX = "finales-run"
#: outputs of a process whose run can be taken
CELLS = "cells"


def claim_run(key: str, owner: str) -> orm.ProcessNode:
    """Return the process that simulates something: ``owner``, or who came before and has it, or is at it.

    Claiming again what one has changes nothing. A run that failed, was killed or deleted, or whose request or result
    was taken back, is left alone: the next one is claimed.

    :param key: says what is simulated; the same for the same, other for other.
    :param owner: UUID of the process that asks.
    """
    for number in count():
        holder = _read_or_claim(f"{PREFIX}/{key}/{number}", owner)
        if holder == owner:
            return orm.load_node(owner)
        process = _load(holder)
        if process is not None and not is_lost(process):
            return process
    raise AssertionError  # it counts for ever


def is_lost(process: orm.ProcessNode) -> bool:
    """Return whether no run can be taken from a process: it has none, or somebody took it back."""
    request = process.base.links.get_incoming(link_label_filter="request").first()
    if request is not None and read_state(request.node.pk).get("status") == RequestStatus.RETRACTED.value:
        return True
    if not process.is_terminated:
        return False
    return CELLS not in process.outputs or _is_withdrawn(process.uuid)


def _is_withdrawn(run: str) -> bool:
    filters = {"attributes.data.simulation.run": run, "extras.finales.status": ResultStatus.DELETED.value}
    return orm.QueryBuilder().append(ResultData, subclassing=False, filters=filters).count() > 0


def _read_or_claim(label: str, owner: str) -> str:
    """Return who has a label; ``owner`` where nobody had it."""

    def look() -> str | None:
        query = orm.QueryBuilder().append(orm.Group, filters={"label": label}, project="description")
        found: list[str] = query.all(flat=True)
        return found[0] if found else None

    def claim() -> str:
        holder = look()
        if holder is None:
            try:
                orm.Group(label=label, description=owner).store()
            except IntegrityError:
                holder = look()  # somebody was faster
                if holder is None:  # and is not to be seen: two must not simulate the same
                    raise
        return holder or owner

    return repeat_while_locked(claim)


def _load(uuid: str) -> orm.ProcessNode | None:
    try:
        return orm.load_node(str(UUID(uuid)))
    except (NotExistent, ValueError):
        return None  # somebody deleted it
