"""What the published interface lacks."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run

from aiida_finales.broker.samples import register_sample
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.tenant import find_tenant
from aiida_finales.operations.platform.laboratory import setup_laboratory
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.server.feed import read_events
from aiida_finales.workflows.campaign import CampaignWorkChain

from .conftest import NOBODY

OFFER = {"quantity": "conductivity", "method": "literature", "limitations": {}}
CHOSEN = "6ad3d0e4-9a0e-4d8e-8f0c-2f6c5a7c9b11"


def test_health_needs_no_login_and_tells_of_the_daemon(anyone):
    found = anyone.get("/v1/health").json()
    assert found["daemon"] == "not running"
    assert found["troubles"]


def test_history_says_who_when_and_why(user, posted, change):
    change("robin", posted, "reserved", "I have time")
    found = user("alice").get(f"/v1/requests/{posted}/history").json()
    assert [(item["who"], item["from"], item["to"]) for item in found] == [
        ("user:alice", None, "pending"),
        ("user:robin", "pending", "reserved"),
    ]
    assert found[1]["why"] == "I have time"


def test_lists_come_in_parts(user, request_body):
    alice = user("alice")
    uuids = [alice.post("/requests", json=request_body()).json() for _ in range(5)]
    last = alice.get("/v1/requests", params={"limit": 2, "newest_first": True}).json()
    assert [item["uuid"] for item in last] == uuids[:-3:-1]
    since = alice.get(f"/requests/{uuids[2]}").json()["ctime"]
    later = alice.get("/v1/requests/status/pending", params={"since": since}).json()
    assert [item["uuid"] for item in later] == uuids[3:]
    assert alice.get("/v1/requests", params={"limit": 0}).status_code == 422


def test_mixtures_and_chemicals_as_people_say_them(sovereign, own_chemicals):
    root = sovereign
    offer = {"quantity": "conductivity", "method": "two_electrode"}
    offer["limitations"] = {"formulation": {"LiFSI": {}, "TTE": {}}, "temperature": {"min": "20 °C", "max": "30 °C"}}
    tte = {"name": "TTE", "smiles": "FC(F)C(F)(F)COC(F)(F)C(F)F", "inchikey": "HCBRSIIGBBDDCD-UHFFFAOYSA-N"}
    body = {"name": "ether-bench", "offers": [offer], "chemicals": [tte]}
    assert root.post("/v1/tenants", json=body).status_code == 200
    asked = {"formulation": "1 mol/kg LiFSI in TTE", "temperature": "25 °C"}
    body = {"quantity": "conductivity", "parameters": {"two_electrode": asked}}
    found = root.post("/v1/requests/check", json=body).json()
    assert "ether-bench" in [item["name"] for item in found["candidates"]]
    body |= {"methods": ["two_electrode"], "tenant_uuid": NOBODY}
    uuid = root.post("/requests/", json=body).json()
    shown = root.get(f"/v1/requests/{uuid}").json()
    records = shown["given"]["two_electrode.formulation"]["records"]
    assert records == {"LiFSI": "library 1", "TTE": "tenant ether-bench 1"}


def test_parameters_are_checked_and_nothing_is_stored(user, make_parameters, count_nodes):
    alice, n_before = user("alice"), count_nodes()
    body = {"quantity": "conductivity", "parameters": {"two_electrode": {**make_parameters(), "temperature": 500.0}}}
    found = alice.post("/v1/requests/check", json=body).json()
    assert found["feasible"] is False
    assert {item["tenant"] for item in found["refusals"]} == {"robot", "other"}
    body["parameters"]["two_electrode"]["temperature"] = 280.0
    assert [item["name"] for item in alice.post("/v1/requests/check", json=body).json()["candidates"]] == ["robot"]
    assert count_nodes() == n_before


def test_details_of_request_and_result(user, posted, result_body):
    assert user("alice").get(f"/v1/requests/{posted}").json()["can_serve"]
    uuid = user("robin").post("/results/post_unsolicited_result", json=result_body("", value=0.61)).json()
    assert user("alice").get(f"/v1/results/{uuid}").json()["value"] == 0.61
    assert user("alice").get(f"/v1/results/{uuid}/why").json()["result"]["uuid"] == uuid
    assert user("alice").get(f"/v1/results/{CHOSEN}").status_code == 404
    assert user("alice").get(f"/v1/requests/{CHOSEN}/history").status_code == 404


def test_who_registers_a_tenant_acts_for_it(user, request_body):
    robin = user("robin")
    reply = robin.post("/v1/tenants", json={"name": "archive of robin", "offers": [OFFER]})
    assert reply.status_code == 200, reply.text
    uuid = user("alice").post("/requests", json=request_body("literature")).json()
    assert robin.post(f"/requests/{uuid}/update_status", params={"new_status": "reserved"}).status_code == 200
    narrower = {"offers": [{**OFFER, "limitations": {"temperature": [{"min": 280.0, "max": 290.0}]}}]}
    assert robin.put("/v1/tenants/archive of robin/limitations", json=narrower).json()["version"] == 2


def test_admin_registers_a_tenant_with_the_uuid_it_knows(user):
    body = {"name": "hard-coded", "offers": [OFFER], "tenant_uuid": CHOSEN.replace("-", "")}
    assert user("robin").post("/v1/tenants", json=body).status_code == 403
    assert user("root").post("/v1/tenants", json=body).json()["tenant_uuid"] == CHOSEN
    assert find_tenant(CHOSEN).name == "hard-coded"


def test_tenant_registers_nothing_that_runs_here(user):
    body = {"name": "inside", "kind": "internal", "offers": [OFFER]}
    assert user("robin").post("/v1/tenants", json=body).status_code == 403


def test_changes_are_events(user, posted, change):
    events = [event for event in read_events(0) if event["uuid"] == posted]
    assert [(event["what"], event["to"], event["who"]) for event in events] == [
        ("RequestData", "pending", "user:alice")
    ]
    change("robin", posted, "reserved")
    later = read_events(events[-1]["id"])
    assert [(event["uuid"], event["from"], event["to"]) for event in later] == [(posted, "pending", "reserved")]


@pytest.mark.parametrize("path", ["/v1/campaigns", "/v1/samples", "/v1/tasks", "/v1/results"])
def test_lists_of_the_laboratory(user, path):
    assert isinstance(user("alice").get(path).json(), list)


def test_campaign_that_has_not_started_and_sample(user):
    CampaignGroup.create_for("early")
    sample = register_sample("bottle 7", "stock", {"address": "ASAB"}, simulated=True)
    alice = user("alice")
    reply = alice.get("/v1/campaigns/early")
    assert (reply.status_code, "has no process: it is being started" in reply.json()["detail"]) == (400, True)
    assert [item["uuid"] for item in alice.get("/v1/samples", params={"kind": "stock"}).json()] == [sample.uuid]
    found = alice.get("/v1/samples/bottle 7").json()
    assert (found["uuid"], found["location"], found["simulated"]) == (sample.uuid, "ASAB", True)


def test_campaign_with_its_evaluations(user, tmp_path):
    setup_laboratory(tmp_path, has_cells=False)
    document = {
        "name": "short",
        "quantity": "conductivity",
        "target": "empirical_model",
        "fixed": {"temperature": 301.15},
        "sources": {"empirical_model": {}},
        "initial": 2,
        "stop": {"evaluations": 2},
    }
    run(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()))
    alice = user("alice")
    (listed,) = [item for item in alice.get("/v1/campaigns").json() if item["name"] == "short"]
    shown = alice.get("/v1/campaigns/short").json()
    assert (listed["state"], listed["evaluations"], shown["under_way"]) == ("finished", "2 of 2", [])
    values = [row["value"] for row in shown["evaluations_made"] if row.get("uuid")]
    assert len(values) == 2
    assert listed["best_value"] == shown["best_value"] == max(values)


def test_unknown_things_of_the_laboratory(user):
    for path in ("/v1/campaigns/none", "/v1/samples/none", "/v1/tenants/none"):
        assert user("alice").get(path).status_code == 404, path


def test_transport_is_done_or_refused_by_its_person(app, user):
    from aiida_finales.broker.registration import add_tenant

    person = add_tenant("carrier", [{"quantity": "transport", "method": "transport_service"}], kind="human")
    app.state.context.users.add("carla", "correct horse", ["tenant"], [person.tenant_uuid])
    places = {"origin": {"address": "ASAB"}, "destination": {"address": "AutoBASS"}}
    body = {"quantity": "transport", "methods": ["transport_service"], "tenant_uuid": CHOSEN}
    body["parameters"] = {"transport_service": places}
    uuid, other = [user("alice").post("/requests", json=body).json() for _ in range(2)]
    tasks = user("carla").get("/v1/tasks").json()
    assert {item["uuid"] for item in tasks} == {uuid, other}
    assert user("carla").get("/v1/tasks", params={"limit": 1, "offset": 1}).json() == tasks[1:]
    assert user("carla").get("/v1/tasks", params={"limit": 0}).status_code == 422
    assert user("robin").post(f"/v1/tasks/{uuid}/done", json={}).status_code == 403
    assert user("carla").post(f"/v1/tasks/{uuid}/done", json={}).json() == "done"
    assert "not done" in user("carla").post(f"/v1/tasks/{other}/refuse", json={"reason": "broken"}).json()
    assert user("carla").get("/v1/tasks").json() == []
