"""Which children have lost their task."""

from __future__ import annotations

import json

import pytest
from aiida import orm
from plumpy.process_states import ProcessState

from aiida_finales.calculations import tasks
from aiida_finales.workflows import wait_any as child_watch
from aiida_finales.workflows.wait_any import find_lost


@pytest.fixture
def write_task(registered, tmp_path, monkeypatch):
    """A function that writes the task of a process into the folder of a broker."""
    monkeypatch.setattr(tasks, "broker_folder", lambda: tmp_path)

    def write(pk: int, state: str) -> None:
        path = tmp_path / "storage" / "tasks" / state / f"1_{pk}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"body": {"args": {"pid": pk}}}))

    return write


def make_process(state: ProcessState) -> int:
    node = orm.WorkChainNode()
    node.set_process_state(state)
    return node.store().pk


def test_only_what_never_began_and_has_no_task_is_lost(write_task, monkeypatch):
    lost, queued, taken = (make_process(ProcessState.CREATED) for _ in range(3))
    waiting = make_process(ProcessState.WAITING)
    unasked = make_process(ProcessState.CREATED)
    write_task(queued, "pending")
    write_task(taken, "processing")
    asked = [lost, queued, taken, waiting]
    assert find_lost(asked) == set()  # too young: its task may be on the way
    monkeypatch.setattr(child_watch, "WATCH_INTERVAL", 0.0)
    assert find_lost(asked) == {lost}
    assert unasked in find_lost([*asked, unasked])
    assert find_lost([]) == set()


def test_what_is_taken_up_meanwhile_is_not_lost(write_task, monkeypatch):
    pk = make_process(ProcessState.CREATED)

    def end_meanwhile() -> set[int]:
        orm.load_node(pk).set_process_state(ProcessState.RUNNING)
        return set()

    monkeypatch.setattr(child_watch, "WATCH_INTERVAL", 0.0)
    monkeypatch.setattr(child_watch, "read_tasks", end_meanwhile)
    assert find_lost([pk]) == set()
