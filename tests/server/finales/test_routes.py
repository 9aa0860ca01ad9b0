"""The published interface, endpoint by endpoint."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from aiida import orm

from aiida_finales.broker.requests import list_requests
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


@pytest.mark.parametrize("slash", ["", "/"])
def test_login_answers_with_a_token(anyone, slash):
    form = {"username": "alice", "password": "correct horse", "grant_type": "", "scope": "", "client_id": ""}
    reply = anyone.post(f"/user_management/authenticate{slash}?userDB=ignored", data=form)
    assert reply.status_code == 200
    assert list(reply.json()) == ["access_token", "token_type"]
    assert reply.json()["token_type"] == "bearer"
    token = reply.json()["access_token"]
    assert anyone.get("/", headers={"Authorization": f"bearer {token}"}).json() == "Hello! This is FINALES2."
    assert anyone.get("/test", headers={"Authorization": f"BEARER {token}"}).json()["username"] == "alice"


def test_documentation_is_open(anyone):
    """The published optimiser asks for it to see whether the server is there."""
    for path in ("/docs", "/docs/", "/openapi.json", "/redoc"):
        assert anyone.get(path, follow_redirects=False).status_code == 200


@pytest.mark.parametrize("slash", ["", "/"])
def test_request_comes_back_as_posted(user, request_body, slash):
    alice, body = user("alice"), request_body()
    before = datetime.now(UTC).replace(tzinfo=None)
    reply = alice.post(f"/requests{slash}", json=body)
    assert reply.status_code == 200
    uuid = reply.json()
    assert UUID.fullmatch(uuid)
    found = alice.get(f"/requests/{uuid}{slash}").json()
    assert list(found) == ["uuid", "ctime", "status", "request"]
    assert list(found["request"]) == ["quantity", "methods", "parameters", "tenant_uuid"]
    assert (found["uuid"], found["status"], found["request"]) == (uuid, "pending", body)
    assert before <= datetime.fromisoformat(found["ctime"]) <= datetime.now(UTC).replace(tzinfo=None)
    assert list(found["request"]["parameters"]["two_electrode"]) == list(body["parameters"]["two_electrode"])
    for listing in ("/all_requests", "/pending_requests"):
        assert found in alice.get(f"{listing}{slash}").json()


def test_unknown_keys_are_kept_in_parameters_and_ignored_beside_them(user, request_body, make_parameters):
    body = request_body(parameters={"two_electrode": {**make_parameters(), "colour": "blue"}}, priority=3)
    uuid = user("alice").post("/requests/", json=body).json()
    found = user("alice").get(f"/requests/{uuid}").json()["request"]
    assert found["parameters"]["two_electrode"]["colour"] == "blue"
    assert "priority" not in found


@pytest.mark.parametrize("spell", [str, str.upper, lambda text: text.replace("-", "")], ids=["as is", "upper", "plain"])
def test_uuids_are_accepted_in_every_spelling(user, posted, spell):
    alice = user("alice")
    assert alice.get(f"/requests/{spell(posted)}").json()["uuid"] == posted
    assert alice.get("/requests/zzz").status_code == 400
    assert alice.get("/requests/zzz").json() == {"detail": "badly formed hexadecimal UUID string"}


def test_request_with_several_methods_is_listed_once(user, request_body, add_offer):
    add_offer("library", "literature")
    alice = user("alice")
    uuid = alice.post("/requests/", json=request_body("two_electrode", "literature")).json()
    for listing in ("/pending_requests/", "/all_requests/"):
        assert [item["uuid"] for item in alice.get(listing).json()].count(uuid) == 1
    for method, n_expected in (("two_electrode", 1), ("literature", 1), ("molecular_dynamics", 0), ("", 0)):
        found = alice.get("/pending_requests/", params={"quantity": "conductivity", "method": method}).json()
        assert [item["uuid"] for item in found].count(uuid) == n_expected
    assert alice.get("/pending_requests/", params={"quantity": ""}).json() == []


def test_pending_requests_come_in_the_order_of_posting(user, request_body):
    alice = user("alice")
    uuids = [alice.post("/requests/", json=request_body()).json() for _ in range(4)]
    found = [item["uuid"] for item in alice.get("/pending_requests").json()]
    assert found == uuids
    assert [item["uuid"] for item in alice.get("/pending_requests?limit=2&offset=1").json()] == uuids[1:3]


def test_what_is_reserved_is_not_pending(user, posted, change):
    reply = change("robin", posted, "reserved", "Reserved for robot.")
    assert (reply.status_code, reply.json()) == (200, "Successful change of status to reserved")
    assert user("robin").get("/pending_requests/").json() == []
    assert user("robin").get(f"/requests/{posted}").json()["status"] == "reserved"
    entry = read_history(list_requests()[-1][0].pk)[-1]
    assert (entry.who, entry.before, entry.after, entry.why) == (
        "user:robin",
        "pending",
        "reserved",
        "Reserved for robot.",
    )


def test_status_can_be_changed_by_path_or_by_query(user, posted):
    robin = user("robin")
    assert robin.post(f"/requests/{posted}/update_status", params={"new_status": "reserved"}).status_code == 200
    reply = robin.post("/requests/anything/update_status/", params={"request_id": posted, "new_status": "pending"})
    assert reply.json() == "Successful change of status to pending"
    assert robin.get(f"/requests/{posted}").json()["status"] == "pending"


def test_answer_is_found_before_its_process_made_the_result(user, posted, result_body):
    """The published platform answers at once; here the process of the request makes the result when the daemon runs."""
    robin, body = user("robin"), result_body(posted)
    reply = robin.post("/results/", json=body)
    assert reply.status_code == 200, reply.text
    uuid = reply.json()
    found = user("alice").get(f"/results_requested/{posted}").json()
    assert list(found) == ["uuid", "ctime", "status", "result"]
    assert list(found["result"]) == ["data", "quantity", "method", "parameters", "tenant_uuid", "request_uuid"]
    assert (found["uuid"], found["status"], found["result"]) == (uuid, "original", body)
    assert user("alice").get(f"/results/{uuid}/").json() == found
    assert found in user("alice").get("/results_requested").json()
    assert orm.QueryBuilder().append(ResultData, filters={"uuid": uuid}).count() == 0


def test_result_that_the_process_makes_has_the_promised_uuid(user, posted, result_body):
    from aiida.engine import run_get_node

    from aiida_finales.broker.reservation import resolve_request
    from aiida_finales.calculations.answer import AnswerCalculation

    body = result_body(posted, value=0.77, simulated=True)
    uuid = user("robin").post("/results/", json=body).json()
    promised = user("alice").get(f"/results/{uuid}").json()
    request = orm.load_node(posted)
    outputs, node = run_get_node(AnswerCalculation, request=request, server="server-1")
    result = outputs["result"]
    assert (result.uuid, result.value, result.creator.pk) == (uuid, 0.77, node.pk)
    assert result.base.attributes.get("simulated") is True
    resolve_request(request.pk, result, "process:server-1")
    for path in (f"/results/{uuid}", f"/results_requested/{posted}"):
        made = user("alice").get(path).json()
        assert {**made, "ctime": None} == {**promised, "ctime": None}
    assert user("alice").get(f"/requests/{posted}").json()["status"] == "resolved"
    # a client whose reply was lost posts again: it has the same result, and nothing changes
    state = read_state(request.pk)
    assert user("robin").post("/results", json=body).json() == uuid
    assert read_state(request.pk) == state


def test_result_whose_data_break_the_schema_is_stored_with_a_verdict(user, posted, result_body):
    """Published tenants never had their results checked, so it is said and not refused."""
    from aiida.engine import run_get_node

    from aiida_finales.calculations.answer import AnswerCalculation

    reply = user("robin").post("/results/", json=result_body(posted, data={"foo": "bar"}))
    assert reply.status_code == 200
    outputs, _ = run_get_node(AnswerCalculation, request=orm.load_node(posted), server="server-1")
    result = outputs["result"]
    assert (result.uuid, result.data, result.base.attributes.get("valid")) == (reply.json(), {"foo": "bar"}, False)
    paths = " ".join(error["path"] for error in result.base.attributes.get("errors"))
    assert "conductivity" in paths
    assert "run_info" in paths


def test_result_in_another_unit_is_kept_as_not_valid(user, posted, result_body, make_data):
    """Nothing that a tenant measured is lost; that it looks like millisiemens per centimetre stays with it."""
    from aiida.engine import run_get_node

    from aiida_finales.calculations.answer import AnswerCalculation

    reply = user("robin").post("/results/", json=result_body(posted, data=make_data(value=9.1)))
    assert reply.status_code == 200
    outputs, _ = run_get_node(AnswerCalculation, request=orm.load_node(posted), server="server-1")
    told = outputs["result"].base.attributes.all
    assert (told["value"], told["valid"], told["implausible"]) == (9.1, False, ["conductivity.values[0]"])
    assert "9.1 looks like mS/cm" in told["errors"][0]["accepted"]


def test_request_in_another_unit_is_refused(user, request_body, make_parameters):
    body = {**request_body(), "parameters": {"two_electrode": make_parameters(temperature=25.0)}}
    reply = user("alice").post("/requests", json=body)
    assert (reply.status_code, "25 looks like °C" in str(reply.json()["detail"])) == (400, True), reply.text


def test_unsolicited_result_has_a_creator(user, result_body):
    robin = user("robin")
    body = result_body("", value=0.55)
    uuid = robin.post("/results/post_unsolicited_result", json=body).json()
    result = orm.load_node(uuid)
    assert (result.value, result.request_uuid) == (0.55, None)
    assert result.creator.is_finished_ok
    assert result.creator.inputs.posted["poster"] == "user:robin"
    assert result.tenant_uuid == find_tenant("robot").tenant_uuid
    found = robin.get(f"/results/{uuid}").json()
    request = found["result"]["request_uuid"]
    assert (found["result"], found["status"]) == ({**body, "request_uuid": request}, "original")
    # published optimisers stop where two results name the same request
    other = robin.post("/results/post_unsolicited_result", json=result_body("", value=0.56)).json()
    named = {robin.get(f"/results/{one}").json()["result"]["request_uuid"] for one in (uuid, other)}
    assert len(named) == 2
    assert "" not in named
    assert found in robin.get("/results_requested/", params={"quantity": "conductivity"}).json()
    assert robin.get("/results_requested/", params={"method": "literature"}).json() == []
    n_results = orm.QueryBuilder().append(ResultData).count()
    assert robin.post("/results/post_unsolicited_result/", json=body).json() == uuid
    assert orm.QueryBuilder().append(ResultData).count() == n_results


def test_results_are_deleted_and_amended(user, result_body, change):
    uuid = user("robin").post("/results/post_unsolicited_result", json=result_body("", value=0.31)).json()
    assert change("robin", uuid, "deleted", "bubble", "result").json() == "Successful change of status to deleted"
    assert change("robin", uuid, "deleted", "bubble", "result").status_code == 200
    assert user("robin").get(f"/results/{uuid}").json()["status"] == "deleted"
    reply = user("robin").post(f"/results/{uuid}/update_status/", params={"request_id": uuid, "new_status": "amended"})
    assert reply.status_code == 200
    history = read_history(orm.load_node(uuid).pk)
    assert [(entry.who, entry.after) for entry in history] == [("user:robin", "deleted"), ("user:robin", "amended")]


@pytest.mark.parametrize("path", ["/requests/{}", "/results/{}", "/results_requested/{}"])
def test_what_is_unknown_is_null(user, path):
    """Published workflows test the reply for truth."""
    reply = user("alice").get(path.format("c7d3a0a4-3f2c-4d52-8f6a-5f0e5a3d9a11"))
    assert (reply.status_code, reply.json()) == (200, None)


def test_capabilities_are_those_that_a_tenant_offers(user):
    alice = user("alice")
    found = alice.get("/capabilities/").json()
    assert [(item["quantity"], item["method"]) for item in found] == [("conductivity", "two_electrode")]
    assert list(found[0]) == ["quantity", "method", "json_schema_specifications", "json_schema_result_output"]
    assert "formulation" in found[0]["json_schema_specifications"]["properties"]
    everything = alice.get("/capabilities", params={"currently_available": "False"}).json()
    assert len(everything) > 10
    assert alice.get("/capabilities", params={"currently_available": "abc"}).status_code == 422


def test_templates_are_as_published(user):
    """One that was observed on the published platform, letter by letter."""
    query = {"quantity": "cycling_channel", "method": "service", "currently_available": False}
    found = user("alice").get("/capabilities/templates/", params=query).json()
    assert found == {
        "cycling_channel-service": {
            "input_template": {
                "number_required_channels": "required, int",
                "cycling_protocol": "optional, str",
                "number_cycles": "optional, int",
            },
            "output_template": {"success": "required, bool", "reservation_id": "optional, str"},
        }
    }
    assert user("alice").get("/capabilities/templates", params={"quantity": "nothing"}).json() == {}


def test_limitations_of_several_tenants_stand_together(user):
    found = user("alice").get("/limitations").json()
    assert [list(item) for item in found] == [["quantity", "method", "limitations"]]
    ranges = sorted(item["temperature"][0]["min"] for item in found[0]["limitations"])
    assert ranges == [273.15, 290.0]


def test_tenants_are_listed_with_those_that_are_not_active(user, app):
    from aiida_finales.broker.registration import switch_tenant

    switch_tenant("other", is_active=False)
    found = {item["name"]: item for item in user("alice").get("/tenants/").json()}
    assert list(found["robot"]) == ["tenant_uuid", "name", "limitations", "contact_person", "is_active"]
    assert (found["robot"]["is_active"], found["other"]["is_active"]) == (True, False)
    assert list(found["robot"]["limitations"][0]) == ["quantity", "method", "limitations"]


def test_poster_and_tenant_are_in_the_history(user, posted):
    request: RequestData = orm.load_node(posted)
    assert read_history(request.pk)[0].who == "user:alice"
    assert request.requester == "00000000-0000-0000-0000-000000000000"
