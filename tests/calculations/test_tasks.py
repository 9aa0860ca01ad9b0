"""The tasks of the broker, read from its files."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from aiida_finales.calculations import knock, tasks


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
def is_left(tmp_path) -> Iterator[Callable[[], bool]]:
    """A function that tells whether somebody has disconnected from the broker, a real socket, within a moment."""
    with tempfile.TemporaryDirectory() as place, zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        (tmp_path / "broker.sockets").write_text(place)  # the path of a socket has to be short
        (tmp_path / "broker.pid").write_text(f"aiida-zeromq-broker {os.getpid()}")
        monitor = router.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        router.bind(f"ipc://{place}/router.sock")

        def is_left() -> bool:
            if not monitor.poll(3000):
                return False
            recv_monitor_message(monitor)
            return True

        yield is_left
        router.disable_monitor()
        monitor.close()


def test_the_broker_is_knocked_at_as_long_as_it_lives(is_left, tmp_path) -> None:
    """Again and again, also after it was away for a moment; without a broker the program ends."""
    program = threading.Thread(target=knock.main, args=(tmp_path, 0.2))
    program.start()
    assert is_left()
    assert is_left()
    told = tmp_path / "broker.sockets"
    place = told.read_text()
    told.unlink()
    time.sleep(0.3)
    told.write_text(place)
    assert is_left()
    (tmp_path / "broker.pid").write_text("aiida-zeromq-broker 999999999")
    program.join(30)
    assert not program.is_alive()


def test_one_program_knocks_for_all_workers(is_left, tmp_path, monkeypatch) -> None:
    """The second worker finds that somebody does it, and starts another one when that one is gone."""
    monkeypatch.setattr(tasks, "broker_folder", lambda: tmp_path)
    first, second = tasks.Knocker(), tasks.Knocker()
    first.start()
    assert is_left()
    second.start()
    assert second._program is None
    knock.main(tmp_path)  # whoever lost the race returns
    first._program.kill()
    first._program.wait()
    second.start()
    assert is_left()
    second._program.kill()
    second._program.wait()


def test_a_worker_looks_now_and_then_whether_somebody_knocks(monkeypatch) -> None:
    """Once for all its processes; also after something went wrong."""
    monkeypatch.setattr(knock, "INTERVAL", 0.05)
    monkeypatch.setattr(tasks, "has_visible_tasks", lambda: True)
    looks: list[int] = []
    loop, knocker = asyncio.new_event_loop(), tasks.Knocker()

    def fail() -> None:
        looks.append(1)
        raise OSError

    monkeypatch.setattr(knocker, "start", fail)
    knocker.watch(loop)
    knocker.watch(loop)  # as each process of a worker does
    assert len(looks) == 1
    loop.run_until_complete(asyncio.sleep(0.5))
    assert len(looks) > 2
    loop.close()
