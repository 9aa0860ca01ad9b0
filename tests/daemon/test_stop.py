"""What is under way when the daemon stops goes on when it starts again, without a cure."""

from __future__ import annotations

import signal
import time

import pytest

from .test_waiting import PREAMBLE

pytestmark = pytest.mark.daemon

#: requests posted at once: while their processes begin, the daemon is stopped
N_REQUESTS = 5


@pytest.mark.slow
def test_children_whose_task_was_lost_are_run(lab):
    """A worker still submits a child when the broker has ended: nobody would ever run it."""
    lost, parents = [], []
    for _ in range(3):  # whether a task is lost is a matter of time
        posted, without_task = lab.python(
            PREAMBLE
            + f"""
from aiida.engine.daemon.client import get_daemon_client
from aiida_finales.calculations.tasks import read_tasks
nodes = [post()[1] for _ in range({N_REQUESTS})]
get_daemon_client().stop_daemon(wait=True)
time.sleep(1.0)
tasks = read_tasks()
children = [child.pk for node in nodes for child in node.called]
print(json.dumps([[node.pk for node in nodes], [pk for pk in children if pk not in tasks]]))
"""
        )
        parents += posted
        lost += without_task
        lab.stop()
        if lost:
            break
        lab.start()
    assert lost, "no task was lost, so that nothing is tested"
    lab.start()
    states, stories = lab.python(
        PREAMBLE
        + f"""
nodes = [orm.load_node(pk) for pk in {parents}]
def states():
    return [child.process_state.value for node in nodes for child in node.called]
until(lambda: states() == ["waiting"] * len(nodes), 60)
entries = [orm.Log.collection.get_logs_for(node) for node in nodes]
print(json.dumps([states(), [entry.message for log in entries for entry in log]]))
"""
    )
    assert states == ["waiting"] * len(parents)
    for pk in lost:
        assert sum(f"the task of child <{pk}> was lost" in story for story in stories) == 1


@pytest.mark.slow
def test_functions_are_stored_whole_or_not_at_all(lab):
    """A function that ran when its worker was told to end is run again; of the first run nothing is left."""
    for _ in range(3):  # whether one runs at that moment is a matter of time
        pks = lab.python(
            PREAMBLE
            + f"""
nodes = []
for index in range({4 * N_REQUESTS}):
    formulation = make_formulation({{"LiPF6": 0.05 + index / 1000, "EC": 0.4, "EMC": 0.55 - index / 1000}})
    asked = {{"empirical_model": {{"formulation": formulation, "temperature": 301.15}}}}
    nodes.append(submit(ServeRequestWorkChain, request=RequestData("conductivity", asked, "test").store()))
until(lambda: any(node.called for node in nodes), 30)
print(json.dumps([node.pk for node in nodes]))
"""
        )
        for worker in lab.workers():
            worker.send_signal(signal.SIGTERM)
        ended, n_values, unsealed, reasons = lab.python(
            PREAMBLE
            + f"""
nodes = [orm.load_node(pk) for pk in {pks}]
until(lambda: all(node.is_terminated for node in nodes), 120)
called = [child for node in nodes for child in node.called]
results = [child for child in called if child.is_finished_ok]
print(json.dumps([[node.exit_status for node in nodes], len(results),
                  [child.pk for child in called if not child.is_sealed],
                  [child.exception for child in called if child.is_excepted]]))
"""
        )
        assert ended == [0] * len(pks)
        assert n_values == len(pks)
        assert (unsealed, reasons) == ([], [])


def test_a_campaign_goes_on_over_orderly_stops(lab):
    """Whatever it was doing when the daemon stopped, no cure is needed, and the robot doses once per request."""
    before = lab.doses()
    pk = lab.start_campaign("restarted", evaluations=6)
    for pause in (1.0, 4.0, 2.0, 3.0):
        time.sleep(pause)
        lab.stop()
        lab.start()
    lab.finish(pk)
    facts = lab.campaign_facts("restarted")
    assert facts["n_results"] == 6
    assert {request["status"] for request in facts["requests"]} == {"resolved"}
    assert all(request["results"] == 1 and request["resolved"] == 1 for request in facts["requests"])
    doses = lab.doses()[len(before) :]
    asked = [request["uuid"] for request in facts["requests"] if request["method"] == "two_electrode"]
    assert sorted(key[: len(asked[0])] for key in doses) == sorted(asked)
