"""What the published clients do, call by call, with the slashes that they use and a login before every call."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from aiida.engine import run_get_node

from aiida_finales.broker.requests import find_request
from aiida_finales.broker.reservation import resolve_request
from aiida_finales.calculations.answer import AnswerCalculation
from aiida_finales.schemas.limitations.offer import Offer, check


@pytest.fixture
def call(anyone):
    """Return a function that logs in, as these clients do each time, and calls; only 200 is a success to them."""

    def do(method, path, name="robin", **content):
        form = {"username": name, "password": "correct horse", "grant_type": ""}
        token = anyone.post("/user_management/authenticate/?userDB=users.db", data=form).json()["access_token"]
        headers = {"accept": "application/json", "Authorization": f"bearer {token}"}
        reply = anyone.request(method, path, headers=headers, follow_redirects=False, **content)
        assert reply.status_code == 200, reply.text
        return reply.json()

    return do


@pytest.fixture
def make_result_of():
    """Return a function that does what the daemon does with an answer."""

    def make(uuid):
        request = find_request(uuid)
        outputs, _ = run_get_node(AnswerCalculation, request=request, server="server-1")
        resolve_request(request.pk, outputs["result"], "process:server-1")

    return make


def update(uuid, status, key="request_id"):
    return {"params": {key: uuid, "new_status": status, "status_change_message": f"Now {status}."}}


def test_reference_tenant(call, request_body, result_body, make_result_of):
    """Polls without filter, reserves, answers; gives the request back when its device raised."""
    uuid = call("POST", "/requests/", "alice", json=request_body())
    for _ in range(2):  # the first time the device raises
        pending = call("GET", "/pending_requests/")
        assert [item["uuid"] for item in pending] == [uuid]
        call("POST", f"/requests/{uuid}/update_status/", **update(uuid, "reserved"))
        if _ == 0:
            call("POST", f"/requests/{uuid}/update_status/", **update(uuid, "pending"))
    assert call("GET", "/pending_requests/") == []
    result = call("POST", "/results/", json=result_body(uuid))
    make_result_of(uuid)
    assert call("GET", f"/results_requested/{uuid}")["uuid"] == result
    assert call("POST", f"/results/{result}/update_status/", **update(result, "deleted"))


def test_optimiser(call, request_body, result_body, make_result_of, anyone):
    """Everything without a slash at the end; it asks for the documentation to see whether the server is there."""
    assert anyone.get("/docs").status_code == 200
    assert call("GET", "/capabilities", "alice")[0]["quantity"] == "conductivity"
    assert call("GET", "/pending_requests", "alice") == []
    n_before = len(call("GET", "/results_requested", "alice"))
    limitations = call("GET", "/limitations", "alice")
    assert {"min", "max"} <= set(limitations[0]["limitations"][0]["temperature"][0])
    uuid = call("POST", "/requests", "alice", json=request_body())
    call("POST", "/results", json=result_body(uuid))
    make_result_of(uuid)
    results = call("GET", "/results_requested", "alice")
    assert len(results) == n_before + 1
    data = results[-1]["result"]["data"]
    assert {"values", "temperature", "meta"} <= set(data["conductivity"])
    assert data["run_info"]["formulation"]


def test_optimiser_never_reads_what_would_stop_it(call, request_body, result_body, make_data, make_result_of):
    """Numbers that are missing, empty or null, no composition, no word on success; before and after it is a node."""
    good, meta = make_data(), {"success": True, "rating": 3}
    bad = [
        {"foo": "bar"},
        {**good, "conductivity": None},
        {**good, "conductivity": {"values": [], "temperature": 298.15, "meta": meta}},
        {**good, "conductivity": {"values": [None], "temperature": 298.15, "meta": meta}},
        {**good, "conductivity": {"values": None, "temperature": 298.15, "meta": meta}},
        {**good, "conductivity": {"values": [1.0], "temperature": 298.15}},
        {**good, "run_info": None},
        {**good, "run_info": {**good["run_info"], "formulation": []}},
        {"success": False, "reason": "a bubble in the cell"},
    ]
    del good["conductivity"]["temperature"]  # may be left out, but is read all the same
    posted = {}
    for data in [*bad, good]:
        uuid = call("POST", "/requests", "alice", json=request_body())
        posted[uuid] = call("POST", "/results", json=result_body(uuid, data=data))
    *_, last = posted
    for turn in range(2):
        listed = [item["result"]["request_uuid"] for item in call("GET", "/results_requested", "alice")]
        assert [uuid for uuid in listed if uuid in posted] == [last]
        (told,) = [item for item in call("GET", "/results_requested", "alice") if item["uuid"] == posted[last]]
        assert turn == 0 or told["result"]["data"]["conductivity"]["temperature"] is None
        everything = call("GET", "/results_requested", "alice", params={"complete": True})
        assert {item["uuid"] for item in everything} >= set(posted.values())
        assert all(call("GET", f"/results_requested/{uuid}", "alice") for uuid in posted)
        for uuid in posted if turn == 0 else ():
            make_result_of(uuid)


def draw_compositions(components, n, rng):
    """Draw as the published optimiser does: single precision, above the lower limits, again above the upper ones."""
    ends = [(part["fraction"][0]["min"], part["fraction"][0]["max"]) for part in components]
    lower, upper = np.array(ends, dtype=np.float32).T
    assert (upper - lower >= np.float32(0.1)).all(), "The sample space is too constrained."
    assert lower.sum() <= 1 <= upper.sum() - np.float32(0.1), "The sample space is too constrained."
    drawn = []
    while len(drawn) < n:
        cuts = np.sort(rng.random((100, len(ends) - 1)), axis=1)
        cuts = np.column_stack([np.zeros(100), cuts, np.ones(100)]).astype(np.float32)
        found = lower + (1 - lower.sum()) * np.diff(cuts, axis=1)
        drawn += found[(found <= upper).all(axis=1)].tolist()
    return drawn[:n]


def test_optimiser_draws_between_the_limitations(call, add_offer, request_body):
    """What a robot mixes of its stock solutions is no box; nothing drawn from what is published is ever refused."""
    bench = Path(__file__).parents[2] / "docs" / "how-to" / "files" / "bench.json"
    offer = json.loads(bench.read_text(encoding="utf-8"))["offers"][0]
    add_offer("robot", limitations=offer["limitations"], constraints=offer["constraints"])
    add_offer("other", "literature", limitations={})  # the published optimiser demands one tenant for a capability
    found = {item["method"]: item["limitations"] for item in call("GET", "/limitations", "alice")}["two_electrode"]
    assert len(found) == 1
    assert found[0]["temperature"] == offer["limitations"]["temperature"]
    listed = {tenant["name"]: tenant["limitations"] for tenant in call("GET", "/tenants", "alice")}
    assert listed["robot"][0]["limitations"] == found[0]
    rng = np.random.default_rng(0)
    for components in found[0]["formulation"]:
        for fractions in draw_compositions(components, 10, rng):
            pairs = zip(components, fractions, strict=True)
            formulation = [{**part, "fraction": share, "fraction_type": "molPerMol"} for part, share in pairs]
            assert check(Offer.from_dict(offer), {"formulation": formulation, "temperature": 298.15}) == []
    asked = {"two_electrode": {"formulation": formulation, "temperature": 298.15}}
    call("POST", "/requests", "alice", json={**request_body(), "parameters": asked})


def test_workflow_tenant(call, request_body, result_body, make_result_of):
    """Takes templates as skeleton, posts the first step before it reserves, names the UUID in path and query."""
    parent = call("POST", "/requests/", "alice", json=request_body())
    assert [item["uuid"] for item in call("GET", "/pending_requests/")] == [parent]
    templates = call("GET", "/capabilities/templates/", params={"quantity": "conductivity", "method": "two_electrode"})
    assert set(templates["conductivity-two_electrode"]) == {"input_template", "output_template"}
    step = call("POST", "/requests/", "alice", json={**request_body(), "parent": parent})
    call("POST", f"/requests/{parent}/update_status/", **update(parent, "reserved"))
    assert call("GET", f"/results_requested/{step}") is None
    call("POST", "/results/", "olga", json=result_body(step))
    make_result_of(step)
    assert call("GET", f"/results_requested/{step}")["result"]["request_uuid"] == step
    call("POST", "/results/", json=result_body(parent))
    assert [item["uuid"] for item in call("GET", f"/v1/requests/{parent}/children")] == [step]
    assert call("GET", f"/v1/requests/{step}/parent")["uuid"] == parent


def test_cycler(call, request_body, result_body):
    """Reads by position, reserves twice, and posts under the requester's UUID."""
    assert call("GET", "/") == "Hello! This is FINALES2."
    uuid = call("POST", "/requests/", "alice", json=request_body())
    query = {"quantity": "conductivity", "method": "two_electrode"}
    found = call("GET", "/pending_requests/", params=query)[0]
    assert next(iter(found.values())) == uuid
    request = list(found.values())[3]
    assert next(iter(request.values())) == "conductivity"
    assert list(request.values())[1] == ["two_electrode"]
    for _ in range(2):
        call("POST", f"/requests/{uuid}/update_status/", **update(uuid, "reserved"))
    call("POST", "/results/", json=result_body(uuid, tenant_uuid=list(request.values())[3]))


def test_old_aiida_tenant(call, request_body, result_body):
    """Never reserves: answers what is pending."""
    uuid = call("POST", "/requests/", "alice", json=request_body())
    assert call("GET", "/pending_requests/")[0]["uuid"] == uuid
    call("POST", "/results/", json=result_body(uuid))
    assert call("GET", "/pending_requests/") == []


def test_archiver(call, request_body):
    """Reads everything; its copy of the database is looked at with a daemon."""
    uuid = call("POST", "/requests/", "alice", json=request_body())
    assert uuid in [item["uuid"] for item in call("GET", "/all_requests/")]
    for path in ("/results_requested/", "/tenants/", "/capabilities/", "/limitations/"):
        assert isinstance(call("GET", path), list)


def test_transport_tenant(call, request_body):
    """Reserves with a UUID without dashes."""
    uuid = call("POST", "/requests/", "alice", json=request_body()).replace("-", "")
    call("POST", f"/requests/{uuid}/update_status/", **update(uuid, "reserved"))
    assert call("GET", f"/requests/{uuid}")["status"] == "reserved"
    assert call("GET", "/pending_requests/") == []
