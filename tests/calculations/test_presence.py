"""Workers and the broker, a real one: who is dead is found, who is forgotten ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import zmq
from aiida.brokers.zeromq.communicator import ZeromqCommunicator
from aiida.brokers.zeromq.server import ZeromqBrokerServer
from plumpy.communications import LoopCommunicator
from zmq.utils.monitor import recv_monitor_message

from aiida_finales.broker.disconnection import EXIT_STATUS
from aiida_finales.calculations import knock, presence


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


def test_one_program_knocks_for_all_workers(is_left, tmp_path) -> None:
    """The second worker finds that somebody does it, and starts another one when that one is gone."""
    first, second = presence.Presence(), presence.Presence()
    first._folder = second._folder = tmp_path
    first.start_to_knock()
    assert is_left()
    second.start_to_knock()
    assert second._program is None
    knock.main(tmp_path)  # whoever lost the race returns
    first._program.kill()
    first._program.wait()
    second.start_to_knock()
    assert is_left()
    second._program.kill()
    second._program.wait()


@pytest.fixture
def broker(tmp_path, monkeypatch) -> Iterator[ZeromqBrokerServer]:
    """AiiDA's broker in a thread."""
    with tempfile.TemporaryDirectory() as place:  # the path of a socket has to be short
        (tmp_path / "broker.sockets").write_text(place)
        monkeypatch.setattr(presence, "broker_folder", lambda: tmp_path)
        monkeypatch.setattr(presence, "has_visible_tasks", lambda: True)
        server = ZeromqBrokerServer(tmp_path / "storage", place)
        server.start()
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                server.run_once(0.05)
            server.stop()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        is_over.set()
        thread.join()


@pytest.fixture
def live(broker, monkeypatch) -> Iterator[Callable[[float], list[str]]]:
    """A function that lets a worker live for some seconds, and returns why it would have ended."""
    reasons: list[str] = []
    monkeypatch.setattr(presence, "end_worker", reasons.append)
    monkeypatch.setattr(knock, "INTERVAL", 0.2)
    monkeypatch.setattr(
        presence.Presence, "start_to_knock", lambda _: (_ for _ in ()).throw(OSError("the disk is full"))
    )
    loop, watched = asyncio.new_event_loop(), presence.Presence()
    with ZeromqCommunicator(broker.router_endpoint) as communicator:
        runner = SimpleNamespace(loop=loop, communicator=LoopCommunicator(communicator, loop))

        def live(seconds: float) -> list[str]:
            watched.watch(runner)  # as each process of a worker does
            loop.run_until_complete(asyncio.sleep(seconds))
            return reasons

        live.loop, live.communicator = loop, communicator
        yield live
    loop.close()


def test_a_worker_that_the_broker_knows_goes_on(live, broker) -> None:
    assert live(1.0) == []
    assert len(broker._rpc_subscribers) == 1  # however many processes it has


def test_a_worker_that_the_broker_has_forgotten_ends(live, broker) -> None:
    """As it does with one that it could not send a word to."""
    assert live(0.5) == []
    (identity,) = broker._rpc_subscribers.values()
    broker._remove_dead_worker(identity)
    assert "forgotten this worker" in live(1.0)[0]


def test_a_worker_whose_broker_was_replaced_ends(live, tmp_path) -> None:
    """One that is only away is waited for, and so is one that is about to write where it listens."""
    told = tmp_path / "broker.sockets"
    place = told.read_text()
    assert live(0.5) == []
    told.unlink()
    assert live(0.5) == []
    for torn in ("", place[:-1], "\0", f"{place}/"):
        told.write_text(torn)
        assert live(0.3) == []
    other = tmp_path / "other"
    other.mkdir()
    told.write_text(str(other))
    assert live(0.3) == []
    (other / "router.sock").touch()
    assert "in another place" in live(0.5)[0]


def test_a_worker_whose_broker_was_replaced_before_it_had_a_process_ends(live, tmp_path) -> None:
    (tmp_path / "router.sock").touch()
    (tmp_path / "broker.sockets").write_text(str(tmp_path))
    assert "in another place" in live(0.5)[0]


def test_a_worker_that_is_being_stopped_looks_no_more(live, caplog, monkeypatch) -> None:
    """Not even says that it could not, nor does one that is too busy to ask."""
    assert live(0.5) == []
    monkeypatch.setattr(live.communicator, "rpc_send", lambda *_: (_ for _ in ()).throw(TimeoutError))
    assert live(0.5) == []
    live.communicator.close()
    assert live(0.5) == []
    assert not caplog.records


def test_a_worker_that_is_busy_goes_on(live) -> None:
    """It answers itself late."""
    assert live(0.3) == []
    live.loop.call_soon(time.sleep, 1.0)
    assert live(1.0) == []


def test_a_worker_whose_supervisor_was_killed_ends_too() -> None:
    """Nobody reads what it says any more."""
    program = "from aiida_finales.broker.disconnection import end_worker; end_worker('the database is gone')"
    reads, writes = os.pipe()
    os.close(reads)
    worker = subprocess.run([sys.executable, "-c", program], stderr=writes, check=False)
    os.close(writes)
    assert worker.returncode == EXIT_STATUS
