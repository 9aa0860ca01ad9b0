"""What lives of the daemon: supervisor, workers, broker, and since when; read from outside, it changes nothing.

Two things cannot be seen with ``verdi status``. A broker that was killed comes back on a new socket, which workers
that lived before never find: they are *deaf*. And a worker that began before the code was changed goes on with
the *old code*. Both show in the times at which the processes began.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil
import sqlalchemy as sa

from aiida_finales.broker.disconnection import WORKER
from aiida_finales.calculations.tasks import ZEROMQ, broker_folder
from aiida_finales.exceptions import DaemonError
from aiida_finales.operations.engine.leftovers import find_leftovers
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.schemas.moment import local_text
from aiida_finales.schemas.words import count

START = "verdi daemon start 2"
RESTART = "verdi daemon restart"
#: nothing is lost by it and nothing runs twice: workers stop, lost tasks are written anew, workers start
REPAIR = ("verdi daemon stop", "verdi process repair --force", START)
#: folders of the package that no worker ever loads
NOT_IN_WORKERS = ("cli", "operations", "server", "fair", "client")
#: seconds by which the file system's clock may differ from that of the processes
CLOCK_SLACK = 1.0
#: and by which the clock of the host of the database may
HOST_SLACK = 5.0
#: seconds in which a daemon has a broker and workers, also on a busy machine; and between two looks
BEGINNING, PAUSE = 60.0, 0.5
#: what circus says every second, and for ever, once two of the processes that it looks after have had the same number
#: for what they write: the end of its log that is looked at, in bytes, and how old in s it may be
STUCK, LOG_END, LOG_AGE = b" added twice", 8192, 10.0
#: seconds for which it is believed what the broker writes about itself every five
STATUS_AGE = 30.0


@dataclass(frozen=True)
class Life:
    """A process that runs.

    :param started: seconds since the epoch.
    """

    pid: int
    started: float


@dataclass(frozen=True)
class DaemonState:
    """The daemon of the loaded profile.

    :param broker_kind: plugin of the broker; ``None`` when the profile has none.
    :param supervisor: the process that starts the others; ``None`` when no daemon runs.
    :param broker: the process of the ZeroMQ broker; ``None`` when it is dead, or is no process of the daemon's.
    :param code_changed: seconds since the epoch.
    :param n_leftovers: processes of former daemons, whose supervisor was killed without them.
    :param database_started: seconds since the epoch, of a database that is a service; 0 of a file.
    :param is_stuck: whether the supervisor lives and starts nothing any more.
    :param is_unreachable: whether its sockets are gone, so that nobody can tell it anything any more.
    :param n_known: workers that the ZeroMQ broker gives tasks to; ``None`` where it has not told for long.
    """

    profile: str
    broker_kind: str | None
    supervisor: Life | None
    workers: tuple[Life, ...]
    broker: Life | None
    code_changed: float
    n_leftovers: int = 0
    database_started: float = 0.0
    n_known: int | None = None
    is_stuck: bool = False
    is_unreachable: bool = False

    @property
    def is_forgotten(self) -> bool:
        """Whether the broker knows none of its workers, though each has had the time to say that it is there."""
        return self.n_known == 0 and all(time.time() - worker.started > BEGINNING for worker in self.workers)

    @property
    def is_beginning(self) -> bool:
        """Whether it was started just now, and its broker or its workers are still to come."""
        is_whole = bool(self.workers) and (self.broker is not None or self.broker_kind != ZEROMQ)
        # below 0 a clock was set back: then nobody knows when it was started
        return self.supervisor is not None and not is_whole and 0 <= time.time() - self.supervisor.started < BEGINNING

    @property
    def deaf_workers(self) -> list[Life]:
        """The workers that are older than the broker, and so connected to one that is dead."""
        if self.broker is None:
            return []
        return [worker for worker in self.workers if worker.started < self.broker.started]

    @property
    def cut_off_workers(self) -> list[Life]:
        """The workers whose session was of a database that has been started again since: they cannot use it."""
        return [worker for worker in self.workers if worker.started < self.database_started - HOST_SLACK]

    @property
    def old_workers(self) -> list[Life]:
        """The workers that began before the code was changed."""
        return [worker for worker in self.workers if worker.started < self.code_changed - CLOCK_SLACK]


def await_daemon_state() -> DaemonState:
    """Return what lives of the daemon of the loaded profile, once one that was started just now has begun."""
    state = read_daemon_state()
    while state.is_beginning:
        time.sleep(PAUSE)
        state = read_daemon_state()
    return state


def read_daemon_state() -> DaemonState:
    """Return what lives of the daemon of the loaded profile."""
    from aiida.engine.daemon.client import get_daemon_client

    client = get_daemon_client()
    supervisor = _find_life(client.get_daemon_pid())
    return DaemonState(
        profile=client.profile.name,
        broker_kind=client.profile.process_control_backend,
        supervisor=supervisor,
        workers=_find_workers(supervisor),
        broker=read_broker(),
        code_changed=newest_change(_package_folders()),
        n_leftovers=len(find_leftovers(client.profile.name)),
        database_started=_find_database_start(),
        n_known=_read_known() if client.profile.process_control_backend == ZEROMQ else None,
        is_stuck=supervisor is not None and is_stuck(Path(client.circus_log_file)),
        is_unreachable=supervisor is not None and not has_sockets(Path(client.circus_socket_file)),
    )


def has_sockets(file: Path) -> bool:
    """Return whether the folder is there in which the daemon listens, by the file that names it.

    ``verdi daemon stop`` removes it also where circus refused to end: see :mod:`.leftovers`.
    """
    try:
        return Path(file.read_text(encoding="utf-8").strip()).is_dir()
    except OSError:
        return False


def is_stuck(log: Path) -> bool:
    """Return whether circus fails whenever it would start a process anew, by the end of its log.

    A worker and the broker that were killed at the same moment can leave it so: for one it goes on to listen to a pipe
    that is gone, the other is given the number of that pipe, and circus refuses it (0.19, ``Redirector._start_one``).
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_END))
            return STUCK in file.read() and time.time() - log.stat().st_mtime < LOG_AGE
    except OSError:
        return False


def read_broker() -> Life | None:
    """Return the process of the ZeroMQ broker; ``None`` when it is dead or no process of the daemon's."""
    if loaded_profile().process_control_backend != ZEROMQ:
        return None
    return _find_life(_broker_pid())


def is_daemon_running() -> bool:
    """Return whether there is a daemon and, with ZeroMQ, its broker; a quick look."""
    from aiida.engine.daemon.client import get_daemon_client

    profile = loaded_profile()
    if profile.process_control_backend is None or _find_life(get_daemon_client().get_daemon_pid()) is None:
        return False
    return profile.process_control_backend != ZEROMQ or read_broker() is not None


def demand_daemon(state: DaemonState | None = None) -> None:
    """Refuse to go on without a daemon that can be relied on.

    :raises DaemonError: when none runs, its broker is dead, its workers are deaf, lost the database or run old code;
        names the cure.
    """
    state = await_daemon_state() if state is None else state
    for trouble, cure in daemon_troubles(state):
        raise DaemonError(f"{trouble}; cure: {'; '.join(cure)}")


def daemon_troubles(state: DaemonState) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is wrong with the daemon, the gravest first, each with its cure."""
    n_workers, deaf, old = len(state.workers), len(state.deaf_workers), len(state.old_workers)
    cut_off = len(state.cut_off_workers)
    since = local_text(datetime.fromtimestamp(state.code_changed, UTC))
    is_broker_dead = state.broker_kind == ZEROMQ and state.broker is None
    answer = (
        (
            state.broker_kind is None,
            f"profile {state.profile!r} has no broker, so no daemon can run for it",
            ("verdi presto --use-zeromq",),
        ),
        (
            state.n_leftovers > 0,
            f"{count(state.n_leftovers, 'process', 'processes')} of a former daemon still run; "
            "a broker among them would not hear of a repair: 'doctor --cure' ends them",
            REPAIR,
        ),
        (state.supervisor is None, "no daemon is running", (START,)),
        (state.is_stuck, "the daemon's supervisor starts nothing any more: what ends stays away", REPAIR),
        (
            state.is_unreachable,
            "the daemon goes on though it was stopped, and nobody can tell it anything any more, as its sockets are "
            "gone: 'doctor --cure' ends it by a signal",
            REPAIR,
        ),
        (is_broker_dead, "the broker's process is dead, no message is delivered", REPAIR),
        (n_workers == 0, "the daemon has no worker", ("verdi daemon incr 2",)),
        (
            deaf > 0,
            f"{deaf} of {n_workers} workers listen to a broker that has died (the present one is younger)",
            REPAIR,
        ),
        (
            state.is_forgotten,
            f"the broker knows none of {count(n_workers, 'worker')}: nobody gets a task",
            REPAIR,
        ),
        (
            cut_off > 0,
            f"{cut_off} of {n_workers} workers lost the database: they began before it was started",
            (RESTART,),
        ),
        (
            old > 0,
            f"the daemon is running old code: {old} of {n_workers} workers began before the change of {since}",
            (RESTART,),
        ),
    )
    # one trouble explains those after it
    return next(([(words, cure)] for is_so, words, cure in answer if is_so), [])


def newest_change(folders: Iterable[Path]) -> float:
    """Return when a source file below the folders was changed last, in seconds since the epoch."""
    newest = 0.0
    for folder in folders:
        for path in folder.rglob("*.py"):
            if not set(NOT_IN_WORKERS) & set(path.relative_to(folder).parts):
                newest = max(newest, path.stat().st_mtime)
    return newest


@cache
def _package_folders() -> set[Path]:
    """Return the folders of this package and of those that add capabilities to it."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    from aiida_finales.broker.capability import GROUP

    names = {"aiida_finales", *(point.module.split(".")[0] for point in entry_points(group=GROUP))}
    specs = [find_spec(name) for name in names]
    return {Path(place) for spec in specs if spec for place in spec.submodule_search_locations or []}


def find_home(life: Life) -> Path | None:
    """Return the HOME that a process was started with; ``None`` where that is not known."""
    try:
        home = psutil.Process(life.pid).environ().get("HOME")
    except psutil.Error:
        return None
    return None if home is None else Path(home)


def _find_workers(supervisor: Life | None) -> tuple[Life, ...]:
    """Return the workers: the supervisor's children that run ``verdi ... daemon worker``.

    The supervisor could be asked for them, but on a busy machine it takes up to ``daemon.timeout`` to answer.
    """
    if supervisor is None:
        return ()
    try:
        children = psutil.Process(supervisor.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return ()
    lives = (_find_life(child.pid) for child in children if _is_worker(child))
    return tuple(sorted((life for life in lives if life is not None), key=lambda life: life.pid))


def _is_worker(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return command[-2:] == WORKER


def _read_known() -> int | None:
    """Return to how many workers the ZeroMQ broker gives tasks, which it writes every few seconds."""
    try:
        told = json.loads((broker_folder() / "broker.status").read_text())
        return int(told["task_subscribers"]) if time.time() - float(told["timestamp"]) < STATUS_AGE else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _find_database_start() -> float:
    """Return when PostgreSQL was started, in seconds since the epoch; 0 with SQLite."""
    session = open_session()
    if session.get_bind().dialect.name != "postgresql":
        return 0.0
    return float(session.execute(sa.text("SELECT extract(epoch FROM pg_postmaster_start_time())")).scalar())


def _find_life(pid: int | None) -> Life | None:
    try:
        process = psutil.Process(pid) if pid else None
        if process is None or process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Life(process.pid, process.create_time())
    except psutil.Error:
        return None


def _broker_pid() -> int | None:
    """Return what the ZeroMQ broker wrote into its file: ``aiida-zeromq-broker <pid>``."""
    path = broker_folder() / "broker.pid"
    try:
        return int(path.read_text().split()[-1])
    except (OSError, ValueError, IndexError):
        return None
