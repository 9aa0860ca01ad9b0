"""Which processes will never go on, and which ended and are not written so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiida import orm

from aiida_finales.calculations.tasks import ENDED, ZEROMQ, read_tasks
from aiida_finales.data.nodes import ACTIVE
from aiida_finales.operations.diagnosis.check import SERVE_AGAIN, Check, name_nodes
from aiida_finales.operations.engine.daemon import REPAIR, DaemonState

#: a worker takes a new process within a second or two, so after this time (s) nobody will
STUCK_AFTER = 30.0


def check_processes(state: DaemonState) -> list[Check]:
    """Look for processes that no worker will ever take up again."""
    if state.supervisor is None or state.broker_kind != ZEROMQ:
        return []
    before = datetime.now(UTC) - timedelta(seconds=STUCK_AFTER)
    suspects = _active_processes(before)
    # the tasks are read after the database and the database once more: what has ended meanwhile is no suspect
    tasks = read_tasks()
    lost = {pk for pk in suspects if pk not in tasks} & set(_active_processes(before))
    idle = {pk for pk, process_state in suspects.items() if process_state == "created"} - lost
    deleted = tasks - _present(tasks)
    checks = []
    if deleted:
        words = f"{name_nodes(deleted)} deleted, but workers still look for {'it' if len(deleted) == 1 else 'them'}"
        checks.append(Check("processes", False, words, REPAIR))
    if lost:
        checks.append(Check("processes", False, f"{name_nodes(lost)} active, but their task is lost", REPAIR))
    if idle:
        checks.append(Check("processes", False, f"{name_nodes(idle)} created, but no worker takes them", REPAIR))
    return checks or [Check("processes", True, f"{len(tasks)} have a task, none is stuck")]


def check_ended_twice() -> list[Check]:
    """Look for processes that ended in one worker while another, which had them too, wrote their state last."""
    ended = find_ended_twice()
    words = f"{name_nodes(ended)} sealed, yet written as active: two workers had them after the broker was restarted"
    return [Check("processes", False, words, SERVE_AGAIN)] if ended else []


def find_ended_twice() -> set[int]:
    """Return the pks of processes that are sealed, as only an ended one is, and whose state says otherwise."""
    filters = {"attributes.process_state": {"in": list(ACTIVE)}, "attributes.sealed": True}
    return set(orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project="id").all(flat=True))


def check_unclosed() -> list[Check]:
    """Look for processes whose worker was killed between their end and their seal."""
    unclosed = find_unclosed()
    words = f"{name_nodes(unclosed)} not closed, though they ended: their worker was killed then"
    words += ", and exports leave them out"
    return [Check("processes", False, words, SERVE_AGAIN)] if unclosed else []


def find_unclosed() -> set[int]:
    """Return the pks of processes that ended some time ago and are not sealed."""
    filters = {
        "attributes": {"!has_key": "sealed"},
        "attributes.process_state": {"in": list(ENDED)},
        "mtime": {"<": datetime.now(UTC) - timedelta(seconds=STUCK_AFTER)},
    }
    return set(orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project="id").all(flat=True))


def _active_processes(before: datetime) -> dict[int, str]:
    """Return state by pk of the processes that are active and have not changed since; functions have no task."""
    query = orm.QueryBuilder().append(
        orm.ProcessNode,
        filters={
            "attributes.process_state": {"in": list(ACTIVE)},
            "mtime": {"<": before},
            "node_type": {"!in": ["process.calculation.calcfunction.CalcFunctionNode."]},
        },
        project=["id", "attributes.process_state"],
    )
    return dict(query.all())


def _present(pks: set[int]) -> set[int]:
    """Return those of the processes that are in the database."""
    if not pks:
        return set()
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": {"in": list(pks)}}, project="id")
    return set(query.all(flat=True))
