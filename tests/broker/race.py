"""Many operating-system processes after the same requests; started by the tests as a script of its own.

It prints what happened as JSON. Everything heavy is imported before the processes are forked; the storage is opened
after, at its first use, so that each has a connection of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from typing import Any

from aiida import load_profile, orm
from aiida.plugins import DataFactory, StorageFactory
from plumpy.process_states import ProcessState

from aiida_finales.broker.requests import open_states, read_candidates, retract_request
from aiida_finales.broker.reservation import reserve_for_process, reserve_request
from aiida_finales.broker.runs import claim_run
from aiida_finales.broker.state import read_state
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import StatusError

FORK = multiprocessing.get_context("fork")
PATIENCE = 120.0


def reserve_same(number: int, pks: list[int], barrier: Any) -> list[int]:
    """Reserve each request in turn, all processes at the same moment; return those that were won."""
    won = []
    for pk in pks:
        candidate = read_candidates(read_state(pk))[0]
        barrier.wait(PATIENCE)
        try:
            reserve_request(pk, f"client {number}", candidate)
        except StatusError:
            continue
        won.append(pk)
    return won


def reserve_next(number: int, pks: list[int], barrier: Any) -> list[int]:
    """Take the oldest pending request until there is none; return those that were won."""
    won = []
    barrier.wait(PATIENCE)
    while True:
        pending = [pk for pk, state in open_states().items() if pk in pks and state["status"] == "pending"]
        if not pending:
            return won
        try:
            reserve_request(pending[0], f"client {number}", read_candidates(read_state(pending[0]))[0])
        except StatusError:
            continue
        won.append(pending[0])


def fill_slots(number: int, pks: list[int], barrier: Any) -> list[int]:
    """Serve every n-th request when there is a slot; return how many were held at each such moment."""
    held = []
    own = pks[number :: barrier.parties]
    barrier.wait(PATIENCE)
    for pk in own:
        end = time.monotonic() + PATIENCE
        while reserve_for_process(pk, f"server-{pk}") is None:
            if time.monotonic() > end:
                raise TimeoutError(pk)
        filters = {"extras.finales.status": "reserved"}
        held.append(orm.QueryBuilder().append(RequestData, filters=filters).count())
        retract_request(pk, "race", "served")
    return held


def claim_same(number: int, pks: list[int], barrier: Any) -> list[str]:
    """Claim a run for each request in turn, all processes at the same moment; return who has it."""
    node = orm.WorkChainNode()
    node.set_process_state(ProcessState.RUNNING)
    node.store()
    found = []
    for pk in pks:
        barrier.wait(PATIENCE)
        found.append(claim_run(f"liquid-{pk}", node.uuid).uuid)
    return [node.uuid, *found]


MODES = {"runs": claim_same, "same": reserve_same, "next": reserve_next, "slots": fill_slots}


def _work(mode: str, number: int, pks: list[int], barrier: Any, replies: Any) -> None:
    try:
        replies.put(MODES[mode](number, pks, barrier))
    except Exception as error:
        replies.put(f"{type(error).__name__}: {error}")


def main() -> None:
    """``race.py PROFILE MODE PROCESSES PKS``."""
    profile, mode, n_processes, pks = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    StorageFactory(load_profile(profile).storage_backend)
    DataFactory("finales.request")
    barrier, replies = FORK.Barrier(n_processes), FORK.Queue()
    processes = [
        FORK.Process(target=_work, args=(mode, number, pks, barrier, replies)) for number in range(n_processes)
    ]
    for process in processes:
        process.start()
    print(json.dumps([replies.get(timeout=PATIENCE) for _ in processes]))
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
