"""Kill at random moments whatever takes part in several campaigns whose devices fail by chance; count what came of it.

Conductivity campaigns and chains from electrolyte to end of life share one simulated laboratory. Workers, the broker,
drivers and the jobs around them are killed with SIGKILL. After the kill of the broker, and whenever nothing makes
progress for a while, the cure is done that ``aiida-finales doctor`` names. An operator looks at the (simulated) devices
and settles what waits for one. What devices really did is counted in the laboratory's own ledger.

``--part`` runs one part of it alone: ``siege``, or one of the incidents of ``incidents.py``. With ``--kept FOLDER`` the
rows of a part that came to its end are kept there, and are not made again: a long run may be cut off and go on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from incidents import INCIDENTS
from rows import print_row

from aiida_finales.lab.simulated.faults import PUBLISHED_BAD_SHARE
from aiida_finales.testing import Sandbox

N_KILLS, N_KILLS_QUICK = 60, 4
#: what is killed, and how often in comparison
TARGETS = {"worker": 4, "driver": 4, "wrapper": 2, "broker": 1}
#: probability of each fault per call of a device; bad results as often as in the published campaign
FAULTS = {
    **dict.fromkeys(("device_unavailable", "device_fault", "clogged_line", "operator_absent"), 0.02),
    **dict.fromkeys(("die_before_act", "die_after_act", "fault_after_act", "driver_hangs"), 0.015),
    **dict.fromkeys(("wrong_volume", "leaking_vial", "sensor_out_of_range", "dropped_cell", "cycler_reboot"), 0.02),
    **dict.fromkeys(("duplicate_message", "late_message"), 0.03),
    "bad_result": PUBLISHED_BAD_SHARE,
}
#: evaluations of a campaign, cells of a chain, and chains beside each campaign
N_EVALUATIONS, N_CELLS, N_CHAINS = 12, 2, 1
#: s between two kills: a device's job takes some 3 s
PAUSE = (0.5, 4.0)
#: s without any change after which the cure is done, and after which the benchmark gives up
STUCK, GIVE_UP = 40.0, 420.0
#: s to wait for something that can be killed, and between two looks for it: who looks without a rest takes the core
#: from what it waits for
PATIENCE, LOOK = 8.0, 0.05
#: s after which a device that hangs waits for an operator
LIMIT = 10.0
PARTS = ("siege", *INCIDENTS)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few kills only")
    parser.add_argument("--kills", type=int, help=f"number of kills [{N_KILLS}]")
    parser.add_argument("--seed", type=int, default=0, help="of moments, targets and faults")
    parser.add_argument("--folder", type=Path, help="an empty folder; it is kept, to look at what is lost")
    parser.add_argument(
        "--part", action="append", metavar="NAME", help=f"one of {', '.join(PARTS)} [all; quick: siege]"
    )
    parser.add_argument("--kept", type=Path, help="a folder for the rows of finished parts; they are not made again")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.within:
        lay_siege(options)
        return
    for part in options.part or (["siege"] if options.quick else PARTS):
        run_part(part, options)


def run_part(part: str, options: argparse.Namespace) -> None:
    """Run a part in a process of its own, since a process has one profile; print its rows, and keep them."""
    given = {"--seed": options.seed, "--kills": options.kills, "--folder": options.folder}
    words = [str(word) for name, value in given.items() if value is not None for word in (name, value)]
    words += ["--quick"] if options.quick else []
    kept = options.kept / f"{part}-{options.seed}.jsonl" if options.kept else None
    if kept is not None and kept.exists():
        sys.stdout.write(kept.read_text())
        return
    folder = Path(__file__).parent
    program = [folder / "faults.py", "--within", *words] if part == "siege" else [folder / "incidents.py", part]
    done = subprocess.run([sys.executable, *map(str, program)], stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(done.stdout)
    sys.stdout.flush()
    if done.returncode:
        print(f"part {part} ended with {done.returncode}", file=sys.stderr)
    elif kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout)


def lay_siege(options: argparse.Namespace) -> None:
    """Run the part ``siege``."""
    n_kills = options.kills or (N_KILLS_QUICK if options.quick else N_KILLS)
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = stack.enter_context(Sandbox(folder))
        faults = [word for name, share in FAULTS.items() for word in ("--fault", f"{name}={share}")]
        chain = ["--chain", f"batch_volume={N_CELLS}", "--chain", "follow_up=false"]
        sandbox.create("--seed", str(options.seed), "--limit", str(LIMIT), *faults, *chain)
        sandbox.start(2)
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        from aiida import load_profile

        load_profile()
        siege = Siege(sandbox, random.Random(options.seed))
        siege.run(n_kills)
        print_figures(siege, count(sandbox, siege.asked))


@dataclass
class Siege:
    """Campaigns and chains under fire."""

    sandbox: Sandbox
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    n_settled: int = 0
    n_campaigns: int = 0
    asked: set[str] = field(default_factory=set)

    def run(self, n_kills: int) -> None:
        """Start campaigns and kill until there were enough kills, then let everything end."""
        changed, seen = time.monotonic(), None
        while True:
            is_over = self.kills.total() >= n_kills
            if not is_over and not self._at_work():
                self._submit()
            if is_over and not self._at_work():
                return
            time.sleep(self.chance.uniform(*PAUSE))
            if not is_over:
                self._kill()
            self.n_settled += settle_all(self.sandbox)
            now = self._progress()
            if now != seen:
                changed, seen = time.monotonic(), now
            elif time.monotonic() - changed > GIVE_UP:
                return  # what is open then is counted as lost
            elif time.monotonic() - changed > STUCK:
                self._cure()

    def _submit(self) -> None:
        from aiida import orm
        from aiida.engine import submit

        from aiida_finales.data.request import RequestData
        from aiida_finales.schemas.campaign import parse_campaign
        from aiida_finales.schemas.formulation import make_formulation
        from aiida_finales.workflows.campaign import CampaignWorkChain
        from aiida_finales.workflows.serve import ServeRequestWorkChain

        self.n_campaigns += 1
        document = {
            "name": f"campaign-{self.n_campaigns}",
            "quantity": "conductivity",
            "fixed": {"temperature": 301.15},
            "sources": {"two_electrode": {"cost": 10, "max_in_flight": 2}, "empirical_model": {}},
            "initial": 4,
            "stop": {"evaluations": N_EVALUATIONS, "failures": 100},
        }
        submit(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()))
        chemistry = {"electrolyte": make_formulation({"LiPF6": 0.08, "EC": 0.31, "EMC": 0.61})}
        parameters = {"degradation_workflow": {"battery_chemistry": chemistry, "cell_info": {}}}
        for _ in range(N_CHAINS):
            request = RequestData("degradationEOL", parameters, "benchmark").store()
            submit(ServeRequestWorkChain, request=request)
            self.asked.add(request.uuid)

    def _at_work(self) -> bool:
        from aiida import orm

        from aiida_finales.broker.requests import open_states

        running = {"attributes.process_state": {"in": ["created", "running", "waiting"]}}
        work = {
            **running,
            "process_type": {"in": [f"aiida.workflows:finales.{name}" for name in ("campaign", "serve")]},
        }
        return bool(open_states()) or orm.QueryBuilder().append(orm.ProcessNode, filters=work).count() > 0

    def _kill(self) -> None:
        target = self.chance.choices(list(TARGETS), list(TARGETS.values()))[0]
        # a driver lives for half a second: wait for one, and kill it at once
        victims, end = self._find(target), time.monotonic() + PATIENCE
        while not victims and time.monotonic() < end:
            time.sleep(LOOK)
            victims = self._find(target)
        if not victims:
            return
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
            self.chance.choice(victims).kill()
            self.kills[target] += 1
            print(f"{self.kills.total()} kills: {dict(self.kills)}", file=sys.stderr)
        if target == "broker":
            time.sleep(1)
            self._cure()

    def _find(self, target: str) -> list[psutil.Process]:
        if target == "worker":
            return self.sandbox.workers()
        if target == "broker":
            broker = self.sandbox.broker()
            return [broker] if broker else []
        return find_jobs(self.sandbox, target)

    def _progress(self) -> Any:
        from aiida import orm

        return orm.QueryBuilder().append(orm.Log).count(), orm.QueryBuilder().append(orm.Node).count()

    def _cure(self) -> None:
        from aiida_finales.calculations.connection import renew_connection

        self.sandbox.cure()
        renew_connection()


def find_jobs(sandbox: Sandbox, target: str) -> list[psutil.Process]:
    """Return the processes that serve a device now.

    :param target: ``driver``, or ``wrapper``: the job of AiiDA around it.
    """
    found = []
    for process in psutil.process_iter():
        try:
            words, place = " ".join(process.cmdline()), process.cwd()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        is_driver = "finales-" in words and "--key" in words
        is_wrapper = "_aiidasubmit.sh" in words
        if str(sandbox.folder) in f"{words} {place}" and (is_driver if target == "driver" else is_wrapper):
            found.append(process)
    return found


def settle_all(sandbox: Sandbox) -> int:
    """Be the operator: look at the devices, settle what waits, and return how many that were."""
    from aiida import orm

    from aiida_finales.broker.requests import open_states
    from aiida_finales.exceptions import FinalesError
    from aiida_finales.operations.request.answering import settle

    n_settled, acted = 0, {line["key"] for line in read_ledger(sandbox)}
    for pk, state in open_states().items():
        if not state.get("needs_operator"):
            continue
        request = orm.load_node(pk)
        key = f"{request.uuid}-{state['method']}-{state['attempt']}"
        outcome = "done" if key in acted else "not-done"
        try:
            settle(request, "benchmark", outcome, "looked at the ledger")
            n_settled += 1
        except FinalesError as error:
            print(f"request <{pk}> could not be settled: {error}", file=sys.stderr)
    return n_settled


def read_ledger(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return what the devices really did; reading data off a cycler is no act."""
    path = sandbox.laboratory / "inventory" / "ledger.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in map(json.loads, lines) if line["act"] != "read"]


@dataclass
class Facts:
    """What came of the requests to devices.

    :param n_requests: number of requests that were posted.
    :param n_drafts: number of requests that were stored and never posted: whoever made them was killed in between and
        made them again.
    :param outcomes: number of calls by fault and outcome.
    """

    n_requests: int
    n_drafts: int
    n_acted: int
    n_acts: int
    n_lost: int
    n_waiting: int
    outcomes: Counter[tuple[str, str]]


def count(sandbox: Sandbox, asked: set[str]) -> Facts:
    """Compare the requests in the database with the ledger of the laboratory.

    :param asked: UUIDs of the requests that must have been posted.
    """
    from aiida import orm

    from aiida_finales.broker.state import read_history, read_state
    from aiida_finales.data.request import RequestData
    from aiida_finales.data.result import ResultData

    acts = Counter(line["key"][:36] for line in read_ledger(sandbox))
    requests = orm.QueryBuilder().append(RequestData).all(flat=True)
    outcomes: Counter[tuple[str, str]] = Counter()
    n_lost = n_waiting = n_drafts = 0
    for request in requests:
        state = read_state(request.pk)
        if not state and request.uuid not in asked and request.uuid not in acts:
            n_drafts += 1
            continue
        status, n_resolved = state.get("status"), sum(entry.after == "resolved" for entry in read_history(request.pk))
        results = orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": request.uuid}).count()
        n_waiting += bool(state.get("needs_operator"))
        is_answered = status == "resolved" and n_resolved == 1 and results >= 1
        is_refused = status == "retracted" and bool(state.get("reason"))
        n_lost += not (is_answered or is_refused or state.get("needs_operator"))
        outcome = "refused" if is_refused else "lost" if not is_answered else "answered"
        for fault in faults_met(request, state):
            outcomes[fault, outcome] += 1
    return Facts(len(requests) - n_drafts, n_drafts, len(acts), acts.total(), n_lost, n_waiting, outcomes)


def faults_met(request: Any, state: dict[str, Any]) -> list[str]:
    """Return the faults that chance had for the attempts of a request; ``none`` where it had none."""
    from aiida import orm

    from aiida_finales.lab.simulated.faults import choose_fault
    from aiida_finales.lab.simulated.settings import DeviceSettings

    node = state.get("node") or next((item["node"] for item in state.get("candidates", [])), None)
    method = request.methods[0]
    offer = orm.load_node(node).find_offer(request.quantity, method) if node else None
    settings = (offer or {}).get("settings", {})
    if "driver" not in settings:
        return []
    device = settings["code"].removeprefix("finales-").partition("@")[0]
    chosen = DeviceSettings(seed=settings["driver"].get("seed", 0), faults=settings["driver"].get("faults", {}))
    keys = [f"{request.uuid}-{method}-{attempt}" for attempt in range(1, state.get("attempt", 0) + 1)]
    return [choose_fault(device, chosen, key, 1) or "none" for key in keys]


def print_figures(siege: Siege, facts: Facts) -> None:
    """Print the rows."""
    print_row("faults", "all", "kills", siege.kills.total(), "1")
    for target in TARGETS:
        print_row("faults", target, "kills", siege.kills[target], "1")
    print_row("faults", "all", "requests", facts.n_requests, "1")
    print_row("faults", "all", "never_posted", facts.n_drafts, "1")
    print_row("faults", "all", "doses_minus_requests", facts.n_acts - facts.n_acted, "1")
    print_row("faults", "all", "acts", facts.n_acts, "1")
    print_row("faults", "all", "lost", facts.n_lost, "1")
    print_row("faults", "all", "needs_operator", facts.n_waiting, "1")
    print_row("faults", "all", "settled_by_operator", siege.n_settled, "1")
    for (fault, outcome), number in sorted(facts.outcomes.items()):
        print_row("faults", fault, outcome, number, "1")


if __name__ == "__main__":
    main()
