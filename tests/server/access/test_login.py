"""Who may do what; and that a stranger may change nothing."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from aiida import orm

from aiida_finales.broker.reservation import reserve_request
from aiida_finales.broker.state import read_state
from aiida_finales.client.client import is_loopback
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import LoginError, TooManyFailuresError
from aiida_finales.server.access.login import AFTER_END, Gate, RevokedTokens
from aiida_finales.server.access.users import UserStore
from aiida_finales.server.app import make_context
from aiida_finales.server.settings import ServerSettings

PASSWORD = "correct horse"


def test_everything_but_login_documentation_and_health_needs_a_token(app, anyone):
    open_paths = {"/user_management/authenticate", "/v1/health"}
    n_checked = 0
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            url = path.replace("{", "").replace("}", "")
            reply = anyone.request(method.upper(), url, json={})
            if path in open_paths:
                continue
            n_checked += 1
            assert reply.status_code == 401, (method, path)
            assert reply.json() == {"detail": "Not authenticated"}
            assert reply.headers["www-authenticate"] == "Bearer"
    assert n_checked > 30


def test_pages_of_other_sites_read_nothing(anyone):
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for reply in (anyone.options("/requests/", headers=asked), anyone.get("/v1/health", headers=asked)):
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_forged_expired_and_damaged_tokens_are_refused(app, anyone, settings):
    key = (settings.folder / "signing-key").read_text().strip()
    now = int(time.time())
    good = {"sub": "alice", "iat": now, "exp": now + 60, "gen": 0, "jti": "1"}
    forged = {
        "other key": jwt.encode(good, "0" * 64, algorithm="HS256"),
        "other algorithm": jwt.encode(good, key, algorithm="HS512"),
        "none": jwt.encode(good, "", algorithm="none"),
        "expired": jwt.encode({**good, "exp": now - 5}, key, algorithm="HS256"),
        **{
            f"without {left_out}": jwt.encode({name: good[name] for name in good if name != left_out}, key, "HS256")
            for left_out in good
        },
        "unknown": jwt.encode({**good, "sub": "mallory"}, key, algorithm="HS256"),
        "revoked": jwt.encode({**good, "gen": -1}, key, algorithm="HS256"),
        "damaged": jwt.encode(good, key, algorithm="HS256")[:-4] + "AAAA",
        "text": "abc",
        "dots": "..",
    }
    for name, token in forged.items():
        reply = anyone.get("/", headers={"Authorization": f"Bearer {token}"})
        assert reply.status_code == 401, name
    fine = jwt.encode(good, key, algorithm="HS256")
    assert anyone.get("/", headers={"Authorization": f"Bearer {fine}"}).status_code == 200
    assert anyone.get("/", headers={"Authorization": f"Basic {fine}"}).status_code == 401


def test_revocation_ends_tokens_and_remembered_logins_at_once(app, user, settings):
    alice = user("alice")
    store = UserStore(settings.folder)  # as another program would
    store.revoke("alice")
    assert alice.get("/").status_code == 401
    form = {"username": "alice", "password": PASSWORD}
    assert alice.post("/user_management/authenticate", data=form).status_code == 401
    bob = user("bob")
    store.revoke("bob", may_return=True)
    assert bob.get("/").status_code == 401
    assert bob.log_in("bob").get("/").status_code == 200


def test_logout_ends_one_session_for_good(app, user, settings):
    here, there = user("alice"), user("alice")
    assert here.post("/v1/logout/").json() == "logged out"
    assert here.get("/").status_code == 401
    assert here.post("/v1/logout").status_code == 401
    assert there.get("/").status_code == 200
    assert (settings.folder / "revoked-tokens.json").stat().st_mode & 0o777 == 0o600
    restarted = make_context(settings).gate
    with pytest.raises(LoginError):
        restarted.identify(token_of(here))
    assert restarted.identify(token_of(there)).name == "alice"
    assert here.log_in("alice").get("/").status_code == 200


def test_list_of_revoked_tokens_forgets_what_has_expired(tmp_path):
    revoked = RevokedTokens(tmp_path)
    revoked.add("old", time.time() - AFTER_END - 1.0)
    revoked.add("new", time.time() + 60.0)
    assert "new" in RevokedTokens(tmp_path)
    assert "old" not in RevokedTokens(tmp_path)


def test_a_clock_that_was_a_day_ahead_revives_no_token(tmp_path, monkeypatch):
    revoked, now = RevokedTokens(tmp_path), time.time()
    revoked.add("one", now + 60.0)
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: now + 86400.0)
        revoked.add("another", now + 2 * 86400.0)
    assert "one" in RevokedTokens(tmp_path)


def test_a_clock_that_is_set_back_sends_nobody_away(gate):
    """What expires counts, not since when it is: who has logged in a moment ago need not do so again."""
    token = gate.log_in("alice", PASSWORD, "here")
    claims = jwt.decode(token, "k" * 64, algorithms=["HS256"])
    later = jwt.encode({**claims, "iat": claims["iat"] + 3600}, "k" * 64, algorithm="HS256")
    assert gate.identify(later).name == "alice"
    gate.revoke(later)
    with pytest.raises(LoginError):
        gate.identify(later)


def token_of(client):
    return client.headers["Authorization"].removeprefix("Bearer ")


def test_passwords_are_hashed_and_files_private(app, settings):
    path = settings.folder / "users.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()
    assert "$argon2id$" in path.read_text()


@pytest.fixture
def gate(tmp_path):
    users = UserStore(tmp_path)
    users.add("alice", PASSWORD, ["requester"])
    return Gate(ServerSettings(tmp_path, failures_allowed=3), users, "k" * 64)


def test_right_login_is_remembered_and_a_wrong_one_never(gate, monkeypatch):
    gate.log_in("alice", PASSWORD, "here")
    monkeypatch.setattr(Gate, "_verify", lambda *_: pytest.fail("hashed again"))
    assert gate.identify(gate.log_in("alice", PASSWORD, "here")).name == "alice"
    monkeypatch.setattr(Gate, "_verify", lambda *_: False)
    with pytest.raises(LoginError):
        gate.log_in("alice", "wrong", "here")


def test_guessing_is_slowed_down(gate):
    for name in ("alice", "nobody", "alice"):
        with pytest.raises(LoginError):
            gate.log_in(name, "wrong", "there")
    with pytest.raises(TooManyFailuresError, match="try again in"):
        gate.log_in("alice", PASSWORD, "there")
    assert gate.log_in("alice", PASSWORD, "elsewhere")


def test_a_hash_is_computed_also_for_a_user_that_does_not_exist(gate, monkeypatch):
    hashed = []
    monkeypatch.setattr(Gate, "_verify", lambda _, stored, __: hashed.append(stored) or False)
    for name in ("alice", "nobody"):
        with pytest.raises(LoginError):
            gate.log_in(name, "wrong", "here")
    assert len(hashed) == 2
    assert hashed[0].rsplit("$", 2)[0] == hashed[1].rsplit("$", 2)[0]  # as much work


def test_stranger_changes_nothing(user, posted, change, result_body):
    uuid = user("robin").post("/results/post_unsolicited_result", json=result_body("", value=0.123)).json()
    assert change("robin", posted, "reserved").status_code == 200
    request, result = orm.load_node(posted), orm.load_node(uuid)
    before = (read_state(request.pk), read_state(result.pk), orm.QueryBuilder().append(orm.Node).count())
    for status in ("reserved", "pending", "retracted"):
        assert change("stranger", posted, status).status_code == 403, status
    assert user("stranger").post("/results/", json=result_body(posted)).status_code == 403
    assert user("stranger").post("/results/post_unsolicited_result", json=result_body("")).status_code == 403
    assert change("stranger", uuid, "deleted", what="result").status_code == 403
    assert user("stranger").post(f"/v1/requests/{posted}/heartbeat", json={"seconds": 60}).status_code == 403
    assert user("stranger").post(f"/v1/requests/{posted}/needs_operator", json={"why": "x"}).status_code == 403
    robot = find_tenant("robot")
    offers = {"offers": [{"quantity": "conductivity", "method": "two_electrode", "limitations": {}}]}
    assert user("stranger").put("/v1/tenants/robot/limitations", json=offers).status_code == 403
    assert user("stranger").post("/v1/tenants", json={"name": "robot", **offers}).status_code == 403
    assert find_tenant("robot").version == robot.version
    assert change("bob", posted, "retracted").status_code == 403
    assert user("alice").post("/results/", json=result_body(posted)).status_code == 403
    assert user("robin").get("/database_dump/key").status_code == 403
    assert (read_state(request.pk), read_state(result.pk), orm.QueryBuilder().append(orm.Node).count()) == before


def test_reservation_has_one_holder(user, posted, change, result_body):
    assert change("robin", posted, "reserved").status_code == 200
    assert change("robin", posted, "reserved").status_code == 200  # published clients do so
    reply = change("olga", posted, "reserved")
    assert reply.status_code == 409
    assert "user:robin" in reply.json()["detail"]
    assert change("olga", posted, "pending").status_code == 403
    assert user("olga").post("/results/", json=result_body(posted)).status_code == 409
    assert change("robin", posted, "pending").status_code == 200
    assert change("olga", posted, "reserved").status_code == 200
    assert change("oscar", posted, "pending", "looked").status_code == 200


def test_requester_takes_back_and_nobody_gets_it(user, posted, change, result_body):
    assert change("alice", posted, "retracted").status_code == 200
    assert change("alice", posted, "retracted").status_code == 200
    assert change("robin", posted, "reserved").status_code == 409
    assert user("robin").post("/results/", json=result_body(posted)).status_code == 409
    assert change("oscar", posted, "pending").status_code == 409


def test_answer_to_a_pending_request_reserves_it(user, posted, result_body):
    """A published tenant never reserves."""
    assert user("robin").post("/results/", json=result_body(posted)).status_code == 200
    state = read_state(orm.load_node(posted).pk)
    assert (state["status"], state["holder"], state["tenant"]) == (
        "reserved",
        "user:robin",
        find_tenant("robot").tenant_uuid,
    )
    assert user("olga").post("/results/", json=result_body(posted, value=0.5)).status_code == 409


def test_an_answer_resolves_the_request_at_once(user, posted, change, result_body):
    """The published server does it in the same call; here the process confirms it later, and nothing comes between."""
    assert user("robin").post("/results/", json=result_body(posted)).status_code == 200
    assert user("alice").get(f"/requests/{posted}").json()["status"] == "resolved"
    assert user("alice").get(f"/v1/requests/{posted}").json()["status"] == "resolved"
    listed = [item["uuid"] for item in user("alice").get("/v1/requests/status/resolved").json()]
    assert posted in listed
    assert posted not in [item["uuid"] for item in user("alice").get("/v1/requests/status/reserved").json()]
    for name, status in (("robin", "reserved"), ("robin", "pending"), ("oscar", "pending"), ("alice", "retracted")):
        assert change(name, posted, status).status_code == 409
    assert read_state(orm.load_node(posted).pk)["answer"]["data"]


def test_late_answer_is_kept_as_unsolicited(user, posted, change, result_body, candidate_of):
    pk = orm.load_node(posted).pk
    reserve_request(pk, "user:robin", candidate_of(pk, "robot"), lease=-1.0)
    assert change("olga", posted, "reserved").status_code == 200  # the lease of robin has run out
    reply = user("robin").post("/results/", json=result_body(posted, value=0.321))
    assert reply.status_code == 409
    uuid = reply.json()["detail"].split()[-1]
    kept: ResultData = orm.load_node(uuid)
    assert (kept.value, kept.request_uuid) == (0.321, None)
    assert kept.creator.inputs.posted["reason"].startswith(f"late answer to request {posted}")
    assert read_state(pk)["holder"] == "user:olga"
    assert user("olga").post("/results/", json=result_body(posted, value=0.4)).status_code == 200


def test_reservation_of_a_published_tenant_does_not_run_out(user, posted, change):
    assert change("robin", posted, "reserved").status_code == 200
    assert read_state(orm.load_node(posted).pk)["lease_until"] is None


def test_client_may_ask_for_a_lease(user, posted):
    path = f"/requests/{posted}/update_status/"
    for lease, status in ((0, 422), ("nan", 422), ("inf", 422), (60, 200)):
        reply = user("robin").post(path, params={"request_id": posted, "new_status": "reserved", "lease": lease})
        assert reply.status_code == status
    assert read_state(orm.load_node(posted).pk)["lease_until"] == pytest.approx(time.time() + 60, abs=10)


def test_one_account_for_everything(app, user, request_body, result_body):
    """It asks, reserves, and answers for the tenant that the result names, whichever could have reserved."""
    tenants = [find_tenant(name).tenant_uuid for name in ("robot", "other")]
    app.state.context.users.add("lab", "correct horse", ["requester", "tenant", "archiver"], tenants)
    lab = user("lab")
    for tenant, is_reserved in ((tenants[1], True), (tenants[0], True), (tenants[1], False)):
        uuid = lab.post("/requests/", json=request_body()).json()
        if is_reserved:
            params = {"request_id": uuid, "new_status": "reserved"}
            assert lab.post(f"/requests/{uuid}/update_status/", params=params).status_code == 200
        reply = lab.post("/results/", json=result_body(uuid, tenant_uuid=tenant, value=0.5 + tenants.index(tenant)))
        assert reply.status_code == 200, reply.text
        assert read_state(orm.load_node(uuid).pk)["tenant"] == tenant
        assert lab.get(f"/results_requested/{uuid}").json()["result"]["tenant_uuid"] == tenant


def test_users_of_an_old_file(app, user):
    """A file in which a user has one role, written as a text, and nothing about tenants."""
    store = app.state.context.users
    document = json.loads(store.path.read_text(encoding="utf-8"))
    for item in document:
        if item["name"] == "alice":
            item["role"] = item.pop("roles")[0]
            del item["tenants"]
    store.path.write_text(json.dumps(document), encoding="utf-8")
    assert user("alice").get("/test").json()["usergroups"] == ["requester"]


def test_sign_of_life_renews_the_lease(user, posted, change):
    change("robin", posted, "reserved")
    reply = user("robin").post(f"/v1/requests/{posted}/heartbeat", json={"seconds": 7200})
    assert reply.status_code == 200
    assert reply.json()["lease_until"] > time.time() + 7000


@pytest.mark.parametrize(
    ("host", "is_ours"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)]
)
def test_loopback(host, is_ours):
    assert is_loopback(host) is is_ours
