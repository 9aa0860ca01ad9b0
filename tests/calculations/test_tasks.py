"""The tasks of the broker, read from its files."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator

import pytest
import zmq

from aiida_finales.calculations import tasks


def test_tasks_are_read_and_not_touched(tmp_path, monkeypatch) -> None:
    """What is no task is passed over."""
    monkeypatch.setattr(tasks, "broker_folder", lambda: tmp_path)
    for name, text in (("pending/1_a.json", '{"body": {"args": {"pid": 7}}}'), ("processing/2_b.json", "{"),
                       ("processing/3_c.json", '{"body": {"args": {"pid": 9}}}')):  # fmt: skip
        path = tmp_path / "storage" / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert tasks.read_tasks() == {7, 9}
    assert len(list(tmp_path.rglob("*.json"))) == 3


@pytest.fixture
def is_left(monkeypatch, tmp_path) -> Iterator[Callable[[], bool]]:
    """A function that tells whether somebody has disconnected from the broker, a real socket, within a moment."""
    monkeypatch.setattr(tasks, "broker_folder", lambda: tmp_path)
    monkeypatch.setattr(tasks, "has_visible_tasks", lambda: True)
    with tempfile.TemporaryDirectory() as place, zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        (tmp_path / "broker.sockets").write_text(place)  # the path of a socket has to be short
        monitor = router.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        router.bind(f"ipc://{place}/router.sock")
        yield lambda: bool(monitor.poll(300))
        router.disable_monitor()


def test_a_worker_disconnects_now_and_then(is_left, monkeypatch) -> None:
    monkeypatch.setattr(tasks, "KNOCK_INTERVAL", 0.2)
    loop, knocker = asyncio.new_event_loop(), tasks.Knocker()
    knocker.watch(loop)
    assert not is_left()
    knocker.watch(loop)  # as each process of a worker does
    assert not is_left()
    loop.run_until_complete(asyncio.sleep(0.5))
    assert is_left()
    loop.close()


def test_a_broker_that_was_away_is_found_again(is_left, tmp_path) -> None:
    knocker, told = tasks.Knocker(), tmp_path / "broker.sockets"
    place = told.read_text()
    told.unlink()
    knocker.knock()
    told.write_text(place)
    knocker.knock()
    assert not is_left()
    knocker.knock()
    assert is_left()
