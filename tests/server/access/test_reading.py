"""Who may read what, tried on every path that the server has: a new one is tried too."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from aiida import orm
from aiida.common import NotExistent
from aiida.common.links import LinkType
from fastapi.routing import APIRoute

from aiida_finales.broker.requests import post_request
from aiida_finales.broker.samples import register_sample
from aiida_finales.broker.sight import Hidden, without
from aiida_finales.broker.state import read_state
from aiida_finales.data.campaign import ACCESS, CampaignGroup
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.fair.graph.selection import own_pks
from aiida_finales.fair.package.archive import read_archive
from aiida_finales.schemas.access import Access
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.server.access import reading
from aiida_finales.server.access.reading import Reading
from aiida_finales.server.access.users import User
from aiida_finales.server.export import export_ended
from aiida_finales.server.feed import last_event, read_events

pytest.importorskip("pyoxigraph")

NAME, SAMPLE, VALUE = "secret-mission", "vial-of-the-mission", 0.123456789
EVERYTHING = "SELECT * WHERE { ?a ?b ?c }"
#: waits for ever; starts a program that reads the profile, which this test has in memory alone
APART = {"/v1/events", "/pages/events", "/database_dump/{access_key}"}
#: where a reader finds something of the campaign: proof that the others would, too
TELLING = {
    "/requests/{object_id}", "/all_requests", "/pending_requests", "/results/{object_id}", "/results_requested",
    "/v1/requests", "/v1/requests/status/{status}", "/v1/results", "/v1/results/status/{status}", "/v1/requests/{uuid}",
    "/v1/requests/{uuid}/history", "/v1/results/{uuid}", "/v1/results/{uuid}/why", "/v1/campaigns",
    "/v1/campaigns/{name}", "/v1/samples", "/v1/samples/{identity}", "/v1/query", "/v1/graph", "/pages",
    "/pages/campaigns",
    "/pages/campaigns/{name}", "/pages/requests", "/pages/results", "/pages/requests/{uuid}", "/pages/results/{uuid}",
    "/pages/nodes/{pk}", "/pages/samples", "/pages/samples/{identity:path}",
}  # fmt: skip


@pytest.fixture
def mission(user, result_body, make_request, app):
    """A campaign that ``lena`` alone may read: a request, a result, a sample; and what would give each away."""
    add = app.state.context.users.add
    add("lena", "correct horse", ["requester", "archiver"])
    add("mallory", "correct horse", ["requester", "tenant", "operator", "archiver"], [find_tenant("robot").tenant_uuid])
    request = make_request(temperature=285.0).store()
    post_request(request, "cli")
    result = user("robin").post("/results/post_unsolicited_result", json=result_body("", value=VALUE)).json()
    sample = register_sample(SAMPLE, "stock", {"address": "ASAB"}, simulated=True)
    group = CampaignGroup.create_for(NAME, Access(openness="restricted", readers=("lena",)))
    group.add_nodes([request, orm.load_node(result), sample, make_process()])
    return {"request": request, "result": orm.load_node(result), "sample": sample, "group": group}


def make_process(document=None):
    """Return the process of the campaign, which failed: so it is on every list."""
    file = {"name": NAME, "quantity": "conductivity", "sources": {"two_electrode": {}}}
    document = document or parse_campaign(file).to_dict()
    process = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    process.base.links.add_incoming(orm.Dict(document).store(), LinkType.INPUT_WORK, "campaign")
    process.store()
    process.set_process_state("finished")
    process.set_exit_status(430)
    process.set_exit_message("nothing to learn from")
    return process


@pytest.fixture(autouse=True)
def _forget(registered):
    yield
    for group in orm.QueryBuilder().append(CampaignGroup, filters={"label": NAME}).all(flat=True):
        CampaignGroup.collection.delete(group.pk)


def secrets_of(mission):
    uuids = [mission[key].uuid for key in ("request", "result", "sample")]
    return {NAME, SAMPLE, str(VALUE), *uuids}


def routes_of(app):
    found = []

    def walk(routes):
        for route in routes:
            if isinstance(route, APIRoute):
                found.append(route)
            elif hasattr(route, "original_router"):  # as FastAPI keeps what is included
                walk(route.original_router.routes)

    walk(app.routes)
    return found


def fill(path, mission):
    """Return addresses of a path in which every place names something of the campaign, or else what there is."""
    nodes = [mission[key] for key in ("request", "result", "sample")]
    uuids = [node.uuid for node in nodes]
    values = {
        "object_id": uuids, "uuid": uuids, "request_id": uuids, "pk": [str(node.pk) for node in nodes],
        "identity": [SAMPLE], "status": ["pending", "original"], "figure": ["progress"], "identifier": ["robot"],
        "quantity": ["conductivity"], "method": ["two_electrode"], "name": [NAME, "best-formulations", "pages.css"],
        "access_key": ["x"], "path": ["no/page"],
    }  # fmt: skip
    names = re.findall(r"{(\w+)(?::\w+)?}", path)
    for chosen in itertools.product(*(values[name] for name in names)):
        address = path
        for name, value in zip(names, chosen, strict=True):
            address = re.sub(rf"{{{name}(:\w+)?}}", value, address, count=1)
        yield address


def log_in_everywhere(client, app, name):
    """Give a client the cookie of the pages beside its token."""
    gate = app.state.context.gate
    client.cookies.set("finales_session", gate.issue(app.state.context.users.all()[name]), path="/pages")
    return client


def told(client, method, address, mission):
    """Return what of the campaign an answer tells that was not in its address."""
    query = {"query": EVERYTHING, "new_status": "retracted", "complete": "true"}
    headers = {"Cache-Control": "no-cache"}
    kinds = {} if method == "GET" else {"json": {"reason": "x", "why": "x", "seconds": 5}}
    reply = client.request(method, address, params=query, headers=headers, follow_redirects=False, **kinds)
    assert reply.status_code < 500, (address, reply.text)
    text = reply.text + str(reply.headers)
    return {secret for secret in secrets_of(mission) if secret in text and secret not in address}, reply


def test_no_path_tells_a_stranger_and_each_tells_a_reader(app, user, mission, monkeypatch):
    """Reading: nothing of the campaign is anywhere; for its reader it is, on all paths that could tell it."""
    set_candidates(mission["request"], [])
    stranger, reader = (log_in_everywhere(user(name), app, name) for name in ("mallory", "lena"))
    telling, n_tried = set(), 0
    for route in routes_of(app):
        if "GET" not in route.methods or route.path in APART:
            continue
        for address in fill(route.path, mission):
            n_tried += 1
            found, reply = told(stranger, "GET", address, mission)
            assert not found, (address, found, reply.text[:300])
            others, known = told(reader, "GET", address, mission)
            is_unknown = reply.status_code >= 400 or reply.text == "null"
            if others or (is_unknown and known.status_code < 400 and known.text != reply.text):
                telling.add(route.path)
    assert n_tried > 80
    assert TELLING - telling == set()


def test_no_path_lets_a_stranger_change_what_is_hidden(app, user, mission):
    set_candidates(mission["request"], [])
    stranger = log_in_everywhere(user("mallory"), app, "mallory")
    before, n_tried = read_state(pk_of(mission["request"])), 0
    for route in routes_of(app):
        for method in route.methods - {"GET", "HEAD"} if "{" in route.path else ():
            for address in fill(route.path, mission):
                if "robot" in address:
                    continue  # a tenant belongs to no campaign
                n_tried += 1
                found, reply = told(stranger, method, address, mission)
                assert not found, (address, reply.text)
                assert 400 <= reply.status_code < 500, (address, reply.text)
    assert n_tried >= 20
    assert read_state(pk_of(mission["request"])) == before


def test_no_body_names_what_is_hidden(user, mission, request_body, result_body):
    """What a body names is answered as if it were not there, in the same words; who could serve it sees it."""
    set_candidates(mission["request"], [])
    mallory, hidden, none = user("mallory"), mission["request"].uuid, "0d1a9a3e-26a5-4b3e-9d8f-4f6f4b8f3c11"

    def told(uuid):
        bodies = [
            ("/results", result_body(uuid)),
            ("/results", result_body(uuid, method="four_electrode")),
            ("/requests", request_body(parent=uuid)),
        ]
        replies = [mallory.post(path, json=body) for path, body in bodies]
        return [(reply.status_code, reply.text.replace(uuid, "")) for reply in replies]

    assert told(hidden) == told(none)
    posted = user("lena").post("/requests", json=request_body()).json()
    mission["group"].add_nodes([orm.load_node(posted)])
    assert user("robin").post("/results", json=result_body(posted)).status_code == 200


def test_what_runs_for_a_hidden_campaign_is_hidden(app, user, mission):
    """A process that has not ended is in no package; it is told to nobody all the same."""
    process = orm.WorkChainNode(process_type="aiida.workflows:finales.serve_request")
    process.base.links.add_incoming(mission["request"], LinkType.INPUT_WORK, "request")
    process.store()
    process.set_process_state("running")
    for name, status in (("mallory", 404), ("lena", 200)):
        viewer = log_in_everywhere(user(name), app, name)
        assert viewer.get(f"/pages/nodes/{process.pk}").status_code == status


def set_candidates(request, candidates):
    state = dict(request.base.extras.get("finales"))
    request.base.extras.set("finales", {**state, "candidates": candidates})


def test_who_can_serve_or_asked_sees_that_alone(user, mission, request_body, app):
    """A tenant needs the request that it is to serve, and whoever posted something finds it again."""
    posted = user("alice").post("/requests", json=request_body()).json()
    mission["group"].add_nodes([orm.load_node(posted)])
    set_candidates(orm.load_node(posted), [])  # that mallory's tenant could serve it, too, is not what is tested
    for name, own, foreign in (
        ("mallory", mission["request"].uuid, posted),
        ("alice", posted, mission["request"].uuid),
    ):
        listed = {item["uuid"] for item in user(name).get("/all_requests").json()}
        assert own in listed
        assert foreign not in listed
        assert user(name).get(f"/v1/results/{mission['result'].uuid}").status_code == 404


def test_open_campaigns_and_admins_are_as_ever(user, mission):
    """By default every account reads everything; an admin always does."""
    uuid = mission["result"].uuid
    assert user("root").get(f"/v1/results/{uuid}").status_code == 200
    assert user("alice").get(f"/v1/results/{uuid}").status_code == 404
    mission["group"].set_access(Access())
    assert user("alice").get(f"/v1/results/{uuid}").status_code == 200
    mission["group"].base.extras.delete(ACCESS)
    assert user("alice").get(f"/v1/results/{uuid}").status_code == 200
    mission["group"].base.extras.set(ACCESS, {"openness": "a word of a later version"})
    assert user("alice").get(f"/v1/results/{uuid}").status_code == 404


@pytest.mark.parametrize("openness", ["restricted", "confidential"])
def test_an_embargo_ends_by_itself(openness):
    today = datetime.now(UTC).date()
    access = Access(openness="public", readers=("lena",), embargo=today + timedelta(days=1))
    assert not access.admits("alice")
    assert access.admits("lena")
    assert access.admits("alice", today + timedelta(days=1))
    closed = Access(openness=openness, embargo=today - timedelta(days=1))
    assert not closed.admits("alice", today + timedelta(days=999))


def test_events_of_hidden_nodes_are_nobody_elses(mission):
    context = [event for event in read_events(0) if event["uuid"] == mission["request"].uuid]
    assert context
    stranger = User("mallory", "", ("operator",))
    assert context[0]["pk"] in Reading().find_hidden(stranger).nodes
    assert context[0]["pk"] not in Reading().find_hidden(User("lena", "", ("requester",))).nodes
    assert Reading().find_hidden(None).nodes  # nobody is logged in
    assert last_event() >= context[0]["id"]


def test_the_copy_of_everything_is_without_it(mission, tmp_path, user, result_body):
    other = user("robin").post("/results/post_unsolicited_result", json=result_body("", value=0.5)).json()
    hidden = Reading().find_hidden(User("mallory", "", ("archiver",)))
    for name, (nodes, groups) in {"all": ((), ()), "some": (hidden.nodes, hidden.groups)}.items():
        export_ended(tmp_path / f"{name}.aiida", nodes, groups)
    whole, part = (read_archive(tmp_path / f"{name}.aiida") for name in ("all", "some"))
    kept = {node.uuid for node in part.nodes}
    assert {node.uuid for node in whole.nodes} >= {other, mission["result"].uuid}
    assert other in kept
    assert not kept & {mission[key].uuid for key in ("request", "result", "sample")}
    assert str(VALUE) not in json.dumps([node.attributes for node in part.nodes])
    assert [group.label for group in part.groups if group.label == NAME] == []


def test_queries_of_every_kind_are_narrowed(mission):
    """Also those that somebody will write tomorrow: by entity, by column, counted, joined, by group, by link."""
    result, group = mission["result"], mission["group"]
    everything = Hidden(frozenset({pk_of(result), pk_of(mission["request"])}), frozenset({group.pk}))
    maker = result.creator

    def look():
        by_group = (
            orm.QueryBuilder().append(CampaignGroup, tag="group").append(orm.Node, with_group="group", project="id")
        )
        by_link = orm.QueryBuilder().append(orm.CalculationNode, filters={"id": maker.pk}, tag="maker")
        by_link.append(orm.Data, with_incoming="maker", project="id")
        return [
            result.pk in orm.QueryBuilder().append(orm.Node, project="id").all(flat=True),
            result.uuid in [node.uuid for node in orm.QueryBuilder().append(type(result)).all(flat=True)],
            orm.QueryBuilder().append(orm.Node, filters={"id": result.pk}).count() == 1,
            result.pk in by_group.all(flat=True),
            result.pk in by_link.all(flat=True),
            result.pk in [node.pk for node in maker.base.links.get_outgoing().all_nodes()],
            mission["request"].pk in orm.QueryBuilder().append(RequestData, project="id").all(flat=True),
            NAME in orm.QueryBuilder().append(CampaignGroup, project="label").all(flat=True),
        ]

    assert all(look())
    with without(everything):
        assert not any(look())
        with pytest.raises(NotExistent):
            orm.load_node(result.uuid)
    assert all(look())


def test_what_is_hidden_is_found_once_for_all_users(mission, user, count_statements, monkeypatch):
    """A poll of each of many tenants must not read the closed campaigns again; nor must each reservation."""
    found = []
    monkeypatch.setattr(reading, "own_pks", lambda group: found.append(group.pk) or own_pks(group))
    eye, others = Reading(), [User(f"user{number}", "", ("requester",)) for number in range(5)]
    hidden = {eye.find_hidden(other).nodes for other in others}
    assert len(hidden) == len(found) == 1
    assert count_statements(lambda: eye.find_hidden(User("another", "", ("requester",)))) <= 3
    request = pk_of(mission["request"])
    assert request in next(iter(hidden))
    assert user("root").post(f"/requests/{mission['request'].uuid}/update_status", params={"new_status": "retracted"})
    assert request in eye.find_hidden(others[0]).nodes
    assert len(found) == 1  # a status makes nothing another campaign's
    process = orm.WorkChainNode()
    process.base.links.add_incoming(mission["request"], LinkType.INPUT_WORK, "request")
    assert process.store().pk in eye.find_hidden(others[0]).nodes
    mission["group"].remove_nodes([mission["result"]])
    assert pk_of(mission["result"]) not in eye.find_hidden(others[0]).nodes
