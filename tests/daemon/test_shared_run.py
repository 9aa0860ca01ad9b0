"""Requests for one liquid that come at once, in the real daemon: one simulation, another when it is taken back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.daemon

REPLAY = Path(__file__).parents[1] / "fixtures" / "molecular_dynamics" / "replay.py"
PROGRAM = """
import time
from aiida.engine import submit
from aiida_finales.broker.registration import add_tenant
from aiida_finales.data.request import RequestData
from aiida_finales.operations.request.serving import retract
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.serve import ServeRequestWorkChain

QUANTITIES = ("conductivity", "density", "transference_number")
code = orm.InstalledCode(label="replayed", computer=orm.load_computer("finales-lab"),
                         filepath_executable=sys.argv[1]).store()
settings = {"code": code.full_label, "protocol": "fast", "overrides": {"n_cells": 2}}
offers = [{"quantity": name, "method": "molecular_dynamics", "limitations": {}, "settings": settings}
          for name in QUANTITIES]
add_tenant("simulation", offers, kind="internal", max_concurrent=3)

def ask(temperature, *names):
    parameters = {"formulation": make_formulation({"EC": 0.3, "EMC": 0.45, "LiPF6": 0.25}), "temperature": temperature}
    requests = [RequestData(name, {"molecular_dynamics": parameters}, "test").store() for name in names]
    return [(request, submit(ServeRequestWorkChain, request=request)) for request in requests]

def until(is_true, seconds=200):
    end = time.time() + seconds
    while not is_true() and time.time() < end:
        time.sleep(0.2)
    assert is_true()

def simulating():
    query = orm.QueryBuilder().append(orm.WorkChainNode, tag="run", project="uuid")
    filters = {"process_type": "aiida.calculations:finales.molecular_dynamics_cell"}
    query.append(orm.CalcJobNode, with_incoming="run", filters=filters)
    return query.all(flat=True)

def report(node):
    children = [child for step in node.called for child in [step, *step.called]]
    return [(item.process_label, item.exit_status, item.exit_message, item.exception) for item in children]

def run_of(node):
    return node.outputs.result.data["simulation"]["run"]

asked = ask(303.15, *QUANTITIES)
until(lambda: all(node.is_terminated for _, node in asked))
assert all(node.is_finished_ok for _, node in asked), [(node.exit_message, report(node)) for _, node in asked]
runs = [run_of(node) for _, node in asked]
jobs = len(simulating())

again = ask(313.15, *QUANTITIES[:2])
until(lambda: len(simulating()) > jobs)
first = simulating()[-1]
leader = orm.load_node(first)
mine, other = again if leader.inputs.request.uuid == again[0][0].uuid else again[::-1]
until(lambda: other[1].called and other[1].called[0].process_state.value == "waiting")
retract(mine[0], "test", "it is not wanted any more")
until(lambda: other[1].is_terminated)
print(json.dumps({"runs": runs, "jobs": jobs, "retracted": first, "other": run_of(other[1]),
                  "state": leader.process_state.value, "exit": other[1].exit_status}))
"""


@pytest.mark.slow
def test_requests_at_once_share_a_run_and_one_that_is_taken_back_is_not_taken(lab, tmp_path):
    orders = {"0": ["diffusive", "slow", "diffusive"], "1": ["diffusive"]}
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    script = tmp_path / "finales-md"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {REPLAY} {tmp_path / "orders.json"} "$@"\n')
    script.chmod(0o755)
    found = lab.python(PROGRAM, script, timeout=600)
    assert len(set(found["runs"])) == 1
    assert found["jobs"] == 2
    assert (found["state"], found["exit"]) == ("killed", 0)
    assert found["other"] != found["retracted"]
