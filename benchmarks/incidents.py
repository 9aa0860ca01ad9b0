"""One thing goes wrong with a laboratory while it doses; count what came of its requests.

The robot takes some seconds for a dose; the incident happens once the first dose is in the ledger and its driver still
works. Then an operator settles what waits for one, and the cure that ``doctor`` names is done when nothing moves for a
while; how often is counted. ``faults.py`` runs them all, each in a laboratory of its own; here several share one, one
after the other::

    incidents.py NAME...

Read-only and full disks need the right to mount (root), the clocks a C compiler (``cc``); where they are missing the
program says so and does nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.testing import Sandbox

N_REQUESTS, N_WORKERS = 3, 2
#: s until a broker that was started answers also on a busy machine
READY = 20.0
#: s that the robot takes between a dose and its answer
DELAY = 6.0
#: s without any change after which the cure is done, and after which the benchmark gives up
STUCK, GIVE_UP = 60.0, 420.0
#: s that workers are stopped, that a disk is full: longer than anybody renews anything
LONG = 45.0
CLOCK = Path(__file__).with_name("shifted_clock.c")


@dataclass
class Scene:
    """A laboratory in mid-dose."""

    sandbox: Sandbox
    clock: Path
    asked: set[str] = field(default_factory=set)

    def ask(self) -> None:
        """Ask the robot for conductivities."""
        from aiida.engine import submit

        from aiida_finales.data.request import RequestData
        from aiida_finales.schemas.formulation import make_formulation
        from aiida_finales.workflows.serve import ServeRequestWorkChain

        formulation = make_formulation({"LiPF6": 0.08, "EC": 0.31, "EMC": 0.61})
        for number in range(N_REQUESTS):
            parameters = {"two_electrode": {"formulation": formulation, "temperature": 295.15 + 5 * number}}
            request = RequestData("conductivity", parameters, "benchmark").store()
            submit(ServeRequestWorkChain, request=request)
            self.asked.add(request.uuid)

    def await_dose(self) -> None:
        """Wait until a driver has dosed one more and is still at work."""
        from faults import find_jobs, read_ledger

        n_before = len(read_ledger(self.sandbox))

        def is_dosing() -> bool:
            return len(read_ledger(self.sandbox)) > n_before and bool(find_jobs(self.sandbox, "driver"))

        if not self.sandbox.wait_until(is_dosing, GIVE_UP, pause=0.2):
            message = f"no dose within {GIVE_UP:g} s"
            raise RuntimeError(message)

    def kill(self, *targets: str) -> None:
        """Kill drivers or the jobs around them."""
        from faults import find_jobs

        for target in targets:
            for process in find_jobs(self.sandbox, target):
                process.kill()

    def signal_workers(self, number: int) -> None:
        """Send a signal to every worker."""
        for process in self.sandbox.workers():
            process.send_signal(number)

    def mount(self, option: str) -> None:
        """Change how the disk of the laboratory is mounted, as soon as nobody writes a file there."""
        command = ["mount", "-o", f"remount,{option}", str(self.sandbox.laboratory)]

        def is_done() -> bool:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        if not self.sandbox.wait_until(is_done, GIVE_UP, pause=0.05):
            message = f"{' '.join(command)} was refused for {GIVE_UP:g} s"
            raise RuntimeError(message)


def cut_power(scene: Scene) -> None:
    """Kill everything but the driver, which goes on with its device; then start again."""
    processes = scene.sandbox.daemon_processes()
    for process in processes:
        process.kill()
    scene.kill("wrapper")
    time.sleep(2 * DELAY)
    scene.sandbox.cure()


def stop_workers(scene: Scene) -> None:
    """Stop both workers by SIGSTOP, and let them go on."""
    scene.signal_workers(signal.SIGSTOP)
    time.sleep(LONG)
    scene.signal_workers(signal.SIGCONT)


def stop_daemon(scene: Scene) -> None:
    """Stop the daemon as a person does, and start it when the dose is over."""
    scene.sandbox.stop()
    time.sleep(2 * DELAY)
    scene.sandbox.start(N_WORKERS)


def delete_journal(scene: Scene) -> None:
    """Delete the journal of the robot, and kill its driver and job, so that the key is handed over again."""
    scene.kill("wrapper", "driver")
    shutil.rmtree(scene.sandbox.laboratory / "asab")


def delete_both_records(scene: Scene) -> None:
    """Delete the second record of the robot as well."""
    delete_journal(scene)
    shutil.rmtree(scene.sandbox.laboratory / "asab.begun")


def restore_journal(scene: Scene) -> None:
    """Put a copy of the journal in its place that is one dose old, and kill driver and job."""
    journal, copy = scene.sandbox.laboratory / "asab", scene.sandbox.folder / "copy"
    shutil.copytree(journal, copy)
    scene.await_dose()
    scene.kill("wrapper", "driver")
    shutil.rmtree(journal)
    shutil.copytree(copy, journal)


def make_read_only(scene: Scene) -> None:
    """Make the disk of the laboratory read-only for a while: journal, jobs and ledger."""
    scene.mount("ro")
    time.sleep(LONG)
    scene.mount("rw")


def fill_disk(scene: Scene) -> None:
    """Fill the disk of the laboratory for a while."""
    filler = scene.sandbox.laboratory / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as stream:
        while True:
            stream.write(b"0" * 2**20)
            stream.flush()
    time.sleep(LONG)
    filler.unlink()


def shift_clock(offset: str) -> Callable[[Scene], None]:
    """Return what lets clocks jump."""

    def act(scene: Scene) -> None:
        scene.clock.write_text(offset)
        time.sleep(LONG)

    return act


@dataclass(frozen=True)
class Incident:
    """What goes wrong.

    :param is_on_disk: whether the laboratory is on a disk of its own.
    :param clocks: whose clock can be shifted: ``all``, ``worker`` or ``driver``.
    """

    act: Callable[[Scene], None]
    is_on_disk: bool = False
    clocks: str = ""


INCIDENTS = {
    "power-cut": Incident(cut_power),
    "workers-stopped": Incident(stop_workers),
    "daemon-stopped": Incident(stop_daemon),
    "journal-deleted": Incident(delete_journal),
    "journal-restored": Incident(restore_journal),
    "both-records-deleted": Incident(delete_both_records),
    "disk-read-only": Incident(make_read_only, is_on_disk=True),
    "disk-full": Incident(fill_disk, is_on_disk=True),
    "clocks-minute-on": Incident(shift_clock("+60"), clocks="all"),
    "clocks-day-on": Incident(shift_clock("+86400"), clocks="all"),
    "clocks-day-back": Incident(shift_clock("-86400"), clocks="all"),
    "worker-clock-day-on": Incident(shift_clock("+86400"), clocks="worker"),
    "driver-clock-day-back": Incident(shift_clock("-86400"), clocks="driver"),
}


def main() -> None:
    """Run incidents, one after the other in one laboratory."""
    names = sys.argv[1:]
    chosen = [INCIDENTS[name] for name in names]
    if any(incident.clocks for incident in chosen) and not shutil.which("cc"):
        sys.exit("a clock is shifted by a library that needs a C compiler: there is no 'cc' here")
    is_on_disk = any(incident.is_on_disk for incident in chosen)
    if is_on_disk and os.geteuid() != 0:
        sys.exit("only root may mount a disk that is made read-only, or filled")
    with contextlib.ExitStack() as stack:
        sandbox = Sandbox(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        if is_on_disk:
            stack.callback(_mount_disk(sandbox))
        stack.enter_context(sandbox)
        sandbox.create("--no-cells", "--robot-delay", str(DELAY), "--limit", str(4 * DELAY))
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        from aiida import load_profile

        load_profile()
        for name, incident in zip(names, chosen, strict=True):
            _run(name, incident, Scene(sandbox, sandbox.folder / "clock"))


def _run(name: str, incident: Incident, scene: Scene) -> None:
    from aiida_finales.calculations.connection import renew_connection

    scene.clock.write_text("+0")
    _fake_clocks(scene, incident.clocks)
    scene.sandbox.start(N_WORKERS)
    if not scene.sandbox.wait_until(lambda: len(scene.sandbox.workers()) >= N_WORKERS, GIVE_UP):
        sys.exit("the workers did not start")
    time.sleep(READY)
    renew_connection()
    scene.ask()
    scene.await_dose()
    began = time.monotonic()
    incident.act(scene)
    n_settled, n_cures = _finish(scene)
    _print_figures(name, scene, n_settled, n_cures, time.monotonic() - began)
    scene.sandbox.stop()


def _mount_disk(sandbox: Sandbox) -> Callable[[], None]:
    """Put the laboratory on a small disk in memory; return what takes it away."""
    sandbox.laboratory.mkdir(parents=True)
    place = str(sandbox.laboratory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", place], check=True)
    return lambda: subprocess.run(["umount", "--lazy", place], check=True) and None


def _fake_clocks(scene: Scene, clocks: str) -> None:
    """Let the clock of the file count for what the daemon starts, for its jobs, or for both."""
    from aiida import orm

    from aiida_finales.operations.platform.installation import COMPUTER

    library = scene.clock.with_suffix(".so")
    if clocks and not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(CLOCK)], check=True)
    names = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(scene.clock)}
    for name in names:
        os.environ.pop(name, None)
    if clocks in ("all", "worker"):
        os.environ.update(names)
    exports = "\n".join(f"export {name}={value}" for name, value in names.items())
    prepended = {"worker": "unset LD_PRELOAD", "driver": exports}
    orm.load_computer(COMPUTER).set_prepend_text(prepended.get(clocks, ""))


def _finish(scene: Scene) -> tuple[int, int]:
    """Let everything end; return how often an operator settled something, and how often the cure was done."""
    from aiida import orm
    from faults import settle_all

    from aiida_finales.calculations.connection import renew_connection

    running = {"attributes.process_state": {"in": ["created", "running", "waiting"]}}
    n_settled = n_cures = 0
    changed, seen = time.monotonic(), -1
    while orm.QueryBuilder().append(orm.ProcessNode, filters=running).count():
        time.sleep(2)
        n_settled += settle_all(scene.sandbox)
        now = orm.QueryBuilder().append(orm.Log).count() + orm.QueryBuilder().append(orm.Node).count()
        if now != seen:
            changed, seen = time.monotonic(), now
        elif time.monotonic() - changed > GIVE_UP:
            break  # what is open then is counted as lost
        elif time.monotonic() - changed > STUCK * (n_cures + 1):
            scene.sandbox.cure()
            renew_connection()
            n_cures += 1
    return n_settled, n_cures


def _print_figures(name: str, scene: Scene, n_settled: int, n_cures: int, seconds: float) -> None:
    """Compare the requests with the ledger; lost is what has neither an answer nor a reason, nor waits for a person."""
    from aiida import orm
    from faults import read_ledger

    from aiida_finales.broker.state import read_state
    from aiida_finales.data.result import ResultData

    acts = Counter(line["key"][:36] for line in read_ledger(scene.sandbox) if line["key"][:36] in scene.asked)
    n_answered = n_refused = n_waiting = n_results = 0
    for uuid in scene.asked:
        state = read_state(orm.load_node(uuid).pk)
        n_answered += state.get("status") == "resolved"
        n_refused += state.get("status") == "retracted" and bool(state.get("reason"))
        n_waiting += bool(state.get("needs_operator"))
        n_results += orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": uuid}).count()
    figures = {
        "requests": len(scene.asked),
        "acts": acts.total(),
        "doses_minus_requests": acts.total() - len(acts),
        "answered": n_answered,
        "results_minus_answered": n_results - n_answered,
        "refused": n_refused,
        "lost": len(scene.asked) - n_answered - n_refused - n_waiting,
        "needs_operator": n_waiting,
        "settled_by_operator": n_settled,
        "cures": n_cures,
    }
    for figure, value in figures.items():
        print_row("faults", name, figure, value, "1")
    print_row("faults", name, "seconds", round(seconds, 1), "s")


if __name__ == "__main__":
    main()
