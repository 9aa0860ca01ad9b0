"""Kill workers and the broker at random moments of a campaign, and count what was lost or done twice.

A worker is killed with SIGKILL and restarted by the daemon's supervisor. After the kill of the broker, and whenever a
campaign makes no progress for a while, the cure is done that ``aiida-finales doctor`` names. The doses are counted
where they are made, on the side of the (simulated) robot.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.entry_points.sandbox import Sandbox

#: kills and evaluations per campaign; one campaign takes about five kills
N_KILLS, N_KILLS_QUICK = 20, 2
N_EVALUATIONS, N_EVALUATIONS_QUICK = 12, 4
#: every so many-th kill hits the broker
BROKER_EVERY = 5
#: seconds between two kills: the length of a robot request is some 3 s
PAUSE = (1.0, 8.0)
#: seconds without any new result after which a campaign counts as stuck
STUCK = 45.0
GIVE_UP = 900.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within about a minute")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    n_kills = N_KILLS_QUICK if options.quick else N_KILLS
    n_evaluations = N_EVALUATIONS_QUICK if options.quick else N_EVALUATIONS
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        sandbox.create()
        sandbox.start(2)
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        from aiida import load_profile

        load_profile()
        killed, names = 0, []
        while killed < n_kills:
            names.append(f"campaign-{len(names)}")
            killed += _run_campaign(sandbox, names[-1], n_evaluations, killed, n_kills, moments)
        facts = [_count(name) for name in names]
        doses = _doses(sandbox)
    requests = sum(fact["robot_requests"] for fact in facts)
    print_row("faults", "all", "kills", killed, "1")
    print_row("faults", "all", "requests", sum(fact["requests"] for fact in facts), "1")
    print_row("faults", "all", "doses_minus_requests", len(doses) - requests, "1")
    print_row("faults", "all", "lost", len(names) * n_evaluations - sum(fact["answered_once"] for fact in facts), "1")
    print_row("faults", "all", "needs_operator", sum(fact["needs_operator"] for fact in facts), "1")


def _run_campaign(
    sandbox: Sandbox, name: str, n_evaluations: int, killed: int, n_kills: int, moments: random.Random
) -> int:
    """Run one campaign under fire; return how many processes were killed."""
    process, kills, progress = _submit(name, n_evaluations), 0, _Progress()
    end = time.monotonic() + GIVE_UP
    while not process.is_terminated:
        if time.monotonic() > end:
            message = f"{name} did not end within {GIVE_UP} s"
            raise RuntimeError(message)
        time.sleep(moments.uniform(*PAUSE))
        if killed + kills < n_kills and not process.is_terminated:
            kills += 1
            if (killed + kills) % BROKER_EVERY == 0:
                _kill_broker(sandbox)
                time.sleep(1)
                _cure(sandbox)
            else:
                moments.choice(sandbox.workers()).kill()
        if progress.is_stuck(name):
            _cure(sandbox)
    if not process.is_finished_ok:
        message = f"{name} ended with {process.exit_status}: {process.exit_message}"
        raise RuntimeError(message)
    return kills


class _Progress:
    """Whether a campaign has had a new result lately."""

    def __init__(self) -> None:
        self._seen, self._since = -1, time.monotonic()

    def is_stuck(self, name: str) -> bool:
        n_results = _count(name)["results"]
        if n_results != self._seen:
            self._seen, self._since = n_results, time.monotonic()
        if time.monotonic() - self._since < STUCK:
            return False
        self._since = time.monotonic()
        return True


def _kill_broker(sandbox: Sandbox) -> None:
    broker = sandbox.broker()
    if broker is not None:
        broker.kill()


def _cure(sandbox: Sandbox) -> None:
    from aiida.manage import get_manager

    sandbox.cure()
    get_manager().reset_broker()


def _submit(name: str, n_evaluations: int) -> Any:
    from aiida import orm
    from aiida.engine import submit

    from aiida_finales.schemas.campaign import parse_campaign
    from aiida_finales.workflows.campaign import CampaignWorkChain

    document = {
        "name": name,
        "quantity": "conductivity",
        "fixed": {"temperature": 301.15},
        "sources": {"two_electrode": {"cost": 10}, "empirical_model": {}},
        "initial": 4,
        "stop": {"evaluations": n_evaluations},
    }
    return submit(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()))


def _count(name: str) -> dict[str, int]:
    """Count a campaign's requests and results, and the requests that were answered exactly once."""
    from aiida import orm

    from aiida_finales.broker.state import read_history, read_state
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.data.request import RequestData
    from aiida_finales.data.result import ResultData

    found = orm.QueryBuilder().append(CampaignGroup, filters={"label": name}).all(flat=True)
    nodes = list(found[0].nodes) if found else []
    requests = [node for node in nodes if isinstance(node, RequestData)]
    answers = [
        (
            orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": request.uuid}).count(),
            sum(entry.after == "resolved" for entry in read_history(request.pk)),
        )
        for request in requests
    ]
    return {
        "requests": len(requests),
        "robot_requests": sum(request.methods == ["two_electrode"] for request in requests),
        "results": sum(isinstance(node, ResultData) for node in nodes),
        "answered_once": answers.count((1, 1)),
        "needs_operator": sum(bool(read_state(request.pk).get("needs_operator")) for request in requests),
    }


def _doses(sandbox: Sandbox) -> list[str]:
    lines = (sandbox.laboratory / "asab" / "doses.jsonl").read_text().splitlines()
    return [json.loads(line)["key"] for line in lines]


if __name__ == "__main__":
    main()
