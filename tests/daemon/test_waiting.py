"""Requests that wait for the outside, in the real daemon."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.daemon

PREAMBLE = """
from aiida.engine import submit
from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.reservation import answer_request, reserve_request
from aiida_finales.broker.state import read_state
from aiida_finales.calculations.answer import find_waiting, wake_request
from aiida_finales.data.request import RequestData
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.serve import ServeRequestWorkChain
import time
offer = {"quantity": "conductivity", "method": "literature", "limitations": {}}
tenant = add_tenant("librarian", [offer], kind="external", max_concurrent=100)
candidate = Candidate(tenant.tenant_uuid, tenant.uuid, "literature", "external", 100)
parameters = {"formulation": make_formulation({"LiPF6": 0.08, "EC": 0.4, "EMC": 0.52}), "temperature": 301.15}
data = {"run_info": {"formulation": parameters["formulation"], "internal_reference": "page 1"},
        "conductivity": {"values": [0.9], "temperature": 301.15, "meta": {"success": True, "rating": 5}}}
answer = {"method": "literature", "data": data, "parameters": parameters}
def post():
    request = RequestData("conductivity", {"literature": parameters}, "test")
    node = submit(ServeRequestWorkChain, request=request.store())
    return request, node
def until(is_true, seconds):
    end = time.time() + seconds
    while not is_true() and time.time() < end:
        time.sleep(0.05)
    return is_true()
"""


@pytest.mark.essential
def test_answer_wakes_its_request(lab):
    """With and without a message; how soon is measured in benchmarks/waiting.py."""
    ended = lab.python(
        PREAMBLE
        + """
ended = []
for with_message in (False, True):
    request, node = post()
    assert until(lambda: find_waiting(request.pk), 30)
    waiting = orm.load_node(find_waiting(request.pk)[0])
    answer_request(request.pk, "librarian", answer, candidate)
    if with_message:
        assert wake_request(request.pk)
    assert until(lambda: waiting.process_state.value != "waiting", 30)
    assert until(lambda: node.is_terminated, 30)
    assert node.outputs.result.creator.pk == waiting.pk
    ended.append([node.exit_status, node.outputs.result.value])
print(json.dumps(ended))
"""
    )
    assert ended == [[0, 0.9], [0, 0.9]]


def test_answer_posted_while_the_daemon_is_down_is_collected(lab):
    request_pk, node_pk = lab.python(
        PREAMBLE
        + """
request, node = post()
assert until(lambda: find_waiting(request.pk), 30)
print(json.dumps([request.pk, node.pk]))
"""
    )
    lab.stop()
    lab.python(PREAMBLE + f"answer_request({request_pk}, 'librarian', answer, candidate)\nprint('null')")
    shown = lab.process(node_pk)
    assert not shown["terminated"], (shown, lab.run("verdi", "process", "report", str(node_pk)))
    lab.start()
    lab.finish(node_pk)


def test_retracted_request_ends_its_process(lab):
    exit_status = lab.python(
        PREAMBLE
        + """
request, node = post()
assert until(lambda: find_waiting(request.pk), 30)
retract_request(request.pk, "test", "no longer wanted")
wake_request(request.pk)
assert until(lambda: node.is_terminated, 30)
print(json.dumps(node.exit_status))
"""
    )
    assert exit_status == 410


def test_lease_that_ran_out_is_offered_again(lab):
    states = lab.python(
        PREAMBLE
        + """
request, node = post()
assert until(lambda: find_waiting(request.pk), 30)
reserve_request(request.pk, "librarian", candidate, lease=1.0)
first = read_state(request.pk)["status"]
until(lambda: read_state(request.pk)["status"] == "pending", 20)
second = read_state(request.pk)["status"]
answer_request(request.pk, "librarian", answer, candidate)
wake_request(request.pk)
until(lambda: node.is_terminated, 30)
print(json.dumps([first, second, read_state(request.pk)["status"], node.exit_status]))
"""
    )
    assert states == ["reserved", "pending", "resolved", 0]


def test_robot_serves_a_queue_in_order_one_at_a_time(lab):
    """Three requests for one robot: resolved in the order in which they were posted, never two at once."""
    rows = lab.python(
        """
        from aiida.engine import submit
        from aiida_finales.broker.requests import post_request
        from aiida_finales.broker.state import read_history
        from aiida_finales.data.request import RequestData
        from aiida_finales.schemas.formulation import make_formulation
        from aiida_finales.workflows.serve import ServeRequestWorkChain
        import time
        requests, nodes = [], []
        for index in range(3):
            formulation = make_formulation({"LiPF6": 0.07, "EC": 0.33 + index / 100, "EMC": 0.6 - index / 100})
            parameters = {"two_electrode": {"formulation": formulation, "temperature": 301.15}}
            requests.append(post_request(RequestData("conductivity", parameters, "test"), "test"))
            nodes.append(submit(ServeRequestWorkChain, request=requests[-1]))
        end = time.time() + 600
        while not all(node.is_terminated for node in nodes) and time.time() < end:
            time.sleep(0.2)
        spans = []
        for request in requests:
            moments = {entry.after: entry.time.timestamp() for entry in read_history(request.pk)}
            spans.append([moments["reserved"], moments["resolved"]])
        print(json.dumps({"exits": [node.exit_status for node in nodes], "spans": spans}))
        """
    )
    assert rows["exits"] == [0, 0, 0]
    for (_, ended), (began, _) in zip(rows["spans"], rows["spans"][1:], strict=False):
        assert began >= ended


def test_campaign_stops_when_told(lab):
    pk = lab.start_campaign("stopped", evaluations=200)
    time.sleep(8)
    lab.run("aiida-finales", "campaign", "stop", "stopped", "--reason", "seen enough", "--force")
    lab.finish(pk)
    reports = lab.run("verdi", "process", "report", str(pk))
    assert "seen enough" in reports
