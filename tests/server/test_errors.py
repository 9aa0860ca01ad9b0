"""What is refused, with which status and words; nothing of it is stored."""

from __future__ import annotations

import json

import pytest

from aiida_finales.server.app import create_app
from aiida_finales.server.settings import ServerSettings

FORM = "/user_management/authenticate"
UNKNOWN = "c7d3a0a4-3f2c-4d52-8f6a-5f0e5a3d9a11"


@pytest.fixture
def refused(count_nodes):
    """Return a function that checks a refusal: status, words, JSON, nothing stored meanwhile."""
    before = count_nodes()

    def check(reply, status, *words):
        assert reply.status_code == status, reply.text
        text = json.dumps(reply.json()["detail"])
        for word in words:
            assert word in text
        assert count_nodes() == before

    return check


def test_bodies_that_no_request_has(user, request_body, make_parameters, refused):
    alice, fine = user("alice"), make_parameters()
    cases = [
        ({"quantity": "zzz"}, 400, "No records for this quantity: zzz"),
        ({"methods": ["zzz"], "parameters": {"zzz": fine}}, 400, "No records for this method: zzz"),
        ({"methods": ["literature"]}, 400, "Method literature not found in parameters"),
        (
            {"methods": ["two_electrode"], "parameters": {"two_electrode": fine, "literature": fine}},
            400,
            "Method for params with key literature not found in list",
        ),
        ({"methods": [], "parameters": {}}, 400, "empty"),
        ({"parameters": {"two_electrode": 3}}, 400, "object"),
        ({"tenant_uuid": "not a uuid"}, 400, "badly formed hexadecimal UUID string", "tenant_uuid is 'not a uuid'"),
        ({"tenant_uuid": ""}, 400, "tenant_uuid is '', but accepted are 32 hexadecimal digits"),
        ({"parameters": {"two_electrode": {**fine, "temperature": "hot"}}}, 400, "temperature", "hot"),
        ({"parameters": {"two_electrode": {"temperature": 298.15}}}, 400, "formulation", "required"),
        ({"parameters": {"two_electrode": {**fine, "temperature": 1000.0}}}, 400, "no active tenant can serve"),
        ({"methods": "two_electrode"}, 422, "methods"),
        ({"parameters": [1]}, 422, "parameters"),
        ({"quantity": "nul\x00l"}, 422, "null character"),
        ({"parameters": {"two_electrode": {**fine, "huge": 10**30}}}, 422, "64 bits"),
    ]
    for changes, status, *words in cases:
        refused(alice.post("/requests/", json=request_body(**changes)), status, *words)
    for key in request_body():
        body = {name: value for name, value in request_body().items() if name != key}
        refused(alice.post("/requests/", json=body), 422, key)


def test_impossible_request_is_told_what_is_nearest(user, request_body, make_parameters):
    parameters = {"two_electrode": {**make_parameters(), "temperature": 400.0}}
    reply = user("alice").post("/requests/", json=request_body(parameters=parameters))
    assert reply.status_code == 400
    assert reply.json()["nearest"]["two_electrode"]["temperature"] == pytest.approx(333.15)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"quantity": NaN}', b"[" * 5000, b'{"quantity": "\\ud800"}'],
    ids=["nothing", "half", "null", "list", "no text", "NaN", "deep", "surrogate"],
)
@pytest.mark.parametrize("path", ["/requests/", "/results/", "/results/post_unsolicited_result", "/v1/requests/check"])
def test_bodies_that_are_no_document(user, refused, path, content):
    reply = user("robin").post(path, content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422)
    refused(reply, reply.status_code)


def test_number_that_json_has_not_is_refused(user, request_body, make_parameters, refused):
    body = json.dumps(request_body(parameters={"two_electrode": {**make_parameters(), "extra": float("inf")}}))
    headers = {"Content-Type": "application/json"}
    refused(user("alice").post("/requests/", content=body, headers=headers), 422, "JSON")


def test_results_that_fit_no_request(user, posted, result_body, make_parameters, refused):
    robin, fine = user("robin"), make_parameters()
    cases = [
        ({"request_uuid": UNKNOWN}, 400, f"Submitted result has no request: {UNKNOWN}"),
        ({"request_uuid": "zzz"}, 400, "request_uuid is 'zzz', but accepted are 32 hexadecimal digits"),
        ({"method": []}, 400, "Wrong length of method string"),
        ({"method": ["two_electrode", "literature"]}, 400, "Wrong length of method string"),
        ({"parameters": {}}, 400, "Wrong number of keys in passed parameters"),
        ({"parameters": {"literature": fine}}, 400, "literature"),
        ({"method": ["literature"], "parameters": {"literature": fine}}, 400, "the request asks for"),
        ({"quantity": "density"}, 400, "the request asks for conductivity"),
        ({"parameters": {"two_electrode": {**fine, "temperature": "hot"}}}, 400, "temperature"),
        ({"data": 3}, 422, "data"),
    ]
    for changes, status, *words in cases:
        refused(robin.post("/results/", json={**result_body(posted), **changes}), status, *words)
    assert robin.get(f"/requests/{posted}").json()["status"] == "pending"


def test_result_of_a_strict_capability_is_refused(user, app, posted, result_body, refused):
    context = app.state.context
    object.__setattr__(context.settings, "strict", frozenset({"conductivity.two_electrode"}))
    reply = user("robin").post("/results/", json=result_body(posted, data={"foo": "bar"}))
    refused(reply, 400, "conductivity", "run_info")
    assert all({"path", "given", "accepted", "msg"} <= set(item) for item in reply.json()["detail"])


def test_status_changes_that_no_client_makes(change, user, posted, refused):
    refused(change("robin", UNKNOWN, "reserved"), 400, f"No request with id: {UNKNOWN}")
    refused(change("robin", UNKNOWN, "deleted", what="result"), 400, f"No result with id: {UNKNOWN}")
    refused(change("robin", posted, "resolved"), 400, "handled entirely on the server side")
    refused(change("robin", posted, "unsolicited"), 400, "handled entirely on the server side")
    refused(change("robin", UNKNOWN, "original", what="result"), 400, "reserved only for the initial posting")
    refused(change("robin", posted, "lost"), 422, "new_status")
    refused(user("robin").post(f"/requests/{posted}/update_status/"), 422, "new_status")


def test_paths_and_methods_that_are_not_there(anyone, refused):
    refused(anyone.get("/nothing/here"), 404, "Not Found")
    reply = anyone.get(FORM)
    refused(reply, 405, "Method Not Allowed")
    assert reply.headers["allow"] == "POST"


def test_logins_that_are_refused(anyone, refused):
    for form in ({"username": "alice", "password": "wrong"}, {"username": "nobody", "password": "wrong"}):
        reply = anyone.post(FORM, data=form)
        refused(reply, 401, "Authentication failed. Wrong username or password.")
        assert reply.headers["www-authenticate"] == "Bearer"
    refused(anyone.post(FORM, data={"username": "alice"}), 422, "password")
    refused(anyone.post(FORM, json={"username": "alice", "password": "correct horse"}), 422)
    grant = {"username": "alice", "password": "correct horse", "grant_type": "client_credentials"}
    refused(anyone.post(FORM, data=grant), 422, "grant_type")


def test_body_that_is_too_long(app, anyone, user, refused):
    big = b'{"quantity": "' + b"x" * app.state.context.settings.body_limit + b'"}'
    refused(user("alice").post("/requests/", content=big), 413, "bytes")


@pytest.mark.parametrize("text", ["' OR 1=1 --", "x'; DROP TABLE db_dbnode; --", "../../etc/passwd", "%00", "\x00"])
def test_injections_find_nothing_and_break_nothing(user, posted, text):
    alice = user("alice")
    assert alice.get("/pending_requests/", params={"quantity": text, "method": text}).json() == []
    assert alice.get("/results_requested/", params={"quantity": text}).json() == []
    assert alice.get("/v1/requests", params={"method": text}).json() == []
    for path in ("/requests/", "/results/", "/results_requested/", "/v1/requests/", "/v1/results/"):
        assert alice.get(path + text.replace("/", "%2F").replace("\x00", "%00")).status_code in (400, 404)
    assert [item["uuid"] for item in alice.get("/all_requests/").json()].count(posted) == 1


def test_defect_of_the_server_is_json_and_tells_no_secret(app, user, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("secret")

    monkeypatch.setattr("aiida_finales.server.finales.registry.describe_tenants", fail)
    reply = user("alice").get("/tenants/")
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert reply.json()["detail"]


def test_key_that_others_may_read_is_refused(tmp_path):
    settings = ServerSettings(folder=tmp_path)
    create_app(settings)
    path = tmp_path / "signing-key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) >= 64
    path.chmod(0o644)
    with pytest.raises(ValueError, match="may be read by others"):
        create_app(settings)
    path.chmod(0o600)
    path.write_text("")
    with pytest.raises(ValueError, match="holds no key"):
        create_app(settings)
