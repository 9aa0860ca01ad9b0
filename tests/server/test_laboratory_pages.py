"""Pages by which people act: ask, take back, settle, declare wrong, administer; each by role, from here alone."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
from aiida import orm

from aiida_finales.broker.requests import list_requests, post_request
from aiida_finales.broker.reservation import mark_needs_operator, reserve_request
from aiida_finales.broker.results import is_usable
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.tenant import find_tenant
from aiida_finales.server.pages import administration

from .conftest import PASSWORD
from .test_pages import Browser

MIXTURE = "LiPF6 8 mol%, EC 30 mol%, EMC 62 mol%"
WHAT = "/pages/requests/new?what=conductivity/two_electrode"


@pytest.fixture
def browser(app, thread, anyone):
    """Return a function that gives the browser of a user."""
    return lambda name=None: Browser(app, thread).sign_in(name) if name else Browser(app, thread)


def send(someone, page, path, **typed):
    """Send a form of a page to another path, with the proof of the page."""
    proof = re.search(r'name="csrf" value="(\w+)"', someone.get(page).text)[1]
    return someone.post(path, data={"csrf": proof, **typed})


def ask(someone, act="post", mixture=MIXTURE, temperature="25 °C"):
    typed = {"what": "conductivity/two_electrode", "act": act, "formulation~": mixture, "temperature": temperature}
    return send(someone, WHAT, "/pages/requests/new", **typed)


def test_a_request_is_checked_then_posted(browser):
    """Who can do it is said before anything is stored; then it is posted in the name of who is logged in."""
    alice = browser("alice")
    assert "conductivity by two_electrode" in alice.get("/pages/requests/new").text
    before = len(list_requests())
    checked = ask(alice, act="check")
    assert checked.status_code == 200
    assert "yes: 2 tenants can serve this request" in checked.text
    assert f'value="{MIXTURE}"' in checked.text
    assert len(list_requests()) == before
    reply = ask(alice)
    assert "LiPF6 0.0800" in reply.text
    node, state = list_requests()[-1]
    assert len(list_requests()) == before + 1
    assert (state["poster"], node.requester) == ("user:alice", "alice")
    assert node.parameters["two_electrode"]["temperature"] == 298.15
    assert node.given["two_electrode.formulation"]["given"] == MIXTURE


def test_the_same_may_be_asked_of_several_methods(browser, add_offer):
    """One form, one request: whoever can do it by one of them may answer."""
    add_offer("calculator", "empirical_model")
    alice = browser("alice")
    assert 'name="also-empirical_model"' in alice.get(WHAT).text
    typed = {"what": "conductivity/two_electrode", "act": "post", "formulation~": MIXTURE, "temperature": "298.15"}
    send(alice, WHAT, "/pages/requests/new", **typed, **{"also-empirical_model": "yes"})
    node, _ = list_requests()[-1]
    assert set(node.parameters) == {"two_electrode", "empirical_model"}
    assert node.parameters["two_electrode"] == node.parameters["empirical_model"]


def test_what_nobody_can_do_is_refused_with_what_is_nearest(browser):
    """The tenants go to 333.15 K; the form takes over the nearest by a button, and nothing is posted before."""
    alice, before = browser("alice"), len(list_requests())
    reply = ask(alice, temperature="400")
    assert "no: 0 tenants can serve this request" in reply.text
    assert "the nearest it can do" in reply.text
    taken = ask(alice, act="nearest", temperature="400")
    assert 'name="temperature" value="333.15"' in taken.text
    assert "yes: " in taken.text
    assert len(list_requests()) == before


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"mixture": "1 M LiPF6 in EC:EMC 3:7"}, "Say w/w (mass)"),
        ({"temperature": "warm"}, "accepted is a number in K"),
        ({"mixture": ""}, "nothing was given"),
        ({"mixture": "LiPF6 8 mol%, unobtainium 92 mol%"}, "unobtainium"),
        ({"mixture": "x" * 5000}, f"{'x' * 400}"),
    ],
)
def test_what_cannot_be_read_is_said_and_kept(browser, typed, words):
    reply = ask(browser("alice"), **typed)
    assert reply.status_code == 422
    assert words in reply.text
    said = re.search(r'id="field-[\w-]+-error">([^<]*)', reply.text)[1]
    assert len(html.unescape(said)) <= 601  # what was typed stands in the field already


def test_a_temperature_that_is_none_is_told_at_its_field(browser):
    """Beside what else is wrong: both at once, each where it is to be mended."""
    page = html.unescape(ask(browser("alice"), temperature="hot", mixture="").text)
    said = dict(re.findall(r'<p class="error" id="field-([\w-]+)-error">([^<]*)', page))
    assert said["formulation"] == "nothing was given, accepted is a mixture in words, or its components"
    assert not any(name.startswith("formulation-") for name in said)
    assert said["temperature"].startswith("temperature is 'hot', but accepted is a number in K, or a text as '25 °C'")
    assert 'name="temperature" value="hot"' in page


def test_who_may_ask(browser):
    """Archivers and tenants ask for nothing; without the proof of our own page nobody does."""
    assert browser("robin").get("/pages/requests/new").status_code == 403
    assert "Ask for something" not in browser("robin").get("/pages/requests").text
    alice, before = browser("alice"), len(list_requests())
    typed = {"what": "conductivity/two_electrode", "act": "post", "formulation~": MIXTURE, "temperature": "298.15"}
    assert alice.post("/pages/requests/new", data={"csrf": "0" * 64, **typed}).status_code == 403
    assert len(list_requests()) == before


@pytest.fixture
def request_of_alice(browser):
    ask(browser("alice"))
    return list_requests()[-1][0]


def test_who_asked_takes_it_back_with_a_reason(browser, request_of_alice):
    """Others see no such form, and are refused when they send it all the same."""
    path = f"/pages/requests/{request_of_alice.uuid}"
    bob = browser("bob")
    assert "Take it back" not in bob.get(path).text
    assert send(bob, path, f"{path}/retract", reason="not mine").status_code == 403
    alice = browser("alice")
    assert send(alice, path, f"{path}/retract", reason=" ").status_code == 400
    assert alice.post(f"{path}/retract", data={"csrf": "0" * 64, "reason": "x"}).status_code == 403
    assert read_state(request_of_alice.pk)["status"] == "pending"
    reply = send(alice, path, f"{path}/retract", reason="it is not needed")
    assert "it is not needed" in reply.text
    assert read_state(request_of_alice.pk)["status"] == "retracted"
    last = read_history(request_of_alice.pk)[-1]
    assert (last.who, last.why) == ("user:alice", "it is not needed")


def test_an_operator_offers_again_what_somebody_holds(browser, request_of_alice, candidate_of):
    pk, path = request_of_alice.pk, f"/pages/requests/{request_of_alice.uuid}"
    reserve_request(pk, "client", candidate_of(pk, "robot"))
    assert "Offer it again" not in browser("alice").get(path).text
    oscar = browser("oscar")
    assert "Offer it again" in oscar.get(path).text
    send(oscar, path, f"{path}/release", reason="the robot is switched off")
    assert read_state(pk)["status"] == "pending"


def test_only_an_operator_settles_and_chooses_what_was_found(browser, request_of_alice, candidate_of):
    pk, path = request_of_alice.pk, f"/pages/requests/{request_of_alice.uuid}"
    reserve_request(pk, "process:x", candidate_of(pk, "robot"))
    mark_needs_operator(pk, "process:x", "it may have dosed")
    assert "Settle what the device did" not in browser("alice").get(path).text
    assert send(browser("alice"), path, f"{path}/settle", outcome="done", reason="x").status_code == 403
    oscar = browser("oscar")
    assert "Settle what the device did" in oscar.get(path).text
    refused = send(oscar, path, f"{path}/settle", outcome="perhaps", reason="I looked")
    assert refused.status_code == 400
    assert re.search(r'role="alert"[^>]*>what was found is not chosen.*value="I looked"', refused.text, re.DOTALL)
    reply = send(oscar, path, f"{path}/settle", outcome="not-done", reason="nothing was dosed")
    assert reply.status_code == 409  # an external tenant has no driver here
    assert "has no driver here" in reply.text


def test_what_was_done_in_another_window_is_told(browser, request_of_alice, user, result_body):
    """The second of two windows does not believe that its reason was kept; it is shown what became of the request."""
    path = f"/pages/requests/{request_of_alice.uuid}"
    alice = browser("alice")
    assert send(alice, path, f"{path}/retract", reason="not needed").status_code == 200
    reply = send(alice, path, f"{path}/retract", reason="another reason")
    assert reply.status_code == 409
    assert re.search(r"nothing was changed: it is retracted already, since [^<]*: not needed<", reply.text)
    assert reply.text.index("nothing was changed") < reply.text.index("<h1>Request")
    assert "another reason" not in reply.text
    uuid = user("robin").post("/results/post_unsolicited_result", json=result_body("")).json()
    path = f"/pages/results/{uuid}"
    robin = browser("robin")
    assert send(robin, path, f"{path}/delete", reason="the wrong bottle").status_code == 200
    reply = send(robin, path, f"{path}/delete", reason="the wrong vial")
    assert (reply.status_code, "it is deleted already" in reply.text) == (409, True)
    assert read_state(orm.load_node(uuid).pk)["reason"] == "the wrong bottle"


def test_a_result_is_declared_wrong_by_whose_it_is(browser, user, result_body):
    uuid = user("robin").post("/results/post_unsolicited_result", json=result_body("")).json()
    path = f"/pages/results/{uuid}"
    assert "Declare it wrong" not in browser("alice").get(path).text
    assert send(browser("alice"), path, f"{path}/delete", reason="x").status_code == 403
    reply = send(browser("robin"), path, f"{path}/delete", reason="the wrong bottle")
    assert "Do not rely on it:" in reply.text
    assert "the wrong bottle" in reply.text
    assert "Declare it corrected" in reply.text
    # 0.08 mol in 0.30 mol of EC (88.06 g/mol) and 0.62 mol of EMC (104.1 g/mol)
    assert "0.879 mol salt per kg of solvent" in reply.text


def test_a_result_with_another_rating_replaces_one(browser, user, result_body):
    """The number of the other one, or its UUID; a result cannot replace itself."""
    post = "/results/post_unsolicited_result"
    poor, good = (user("robin").post(post, json=result_body("", value=value)).json() for value in (0.8, 0.9))
    path = f"/pages/results/{poor}"
    refused = send(browser("robin"), path, f"{path}/amend", reason="rated", replacement=poor)
    assert "is the same result, but accepted is another result of conductivity" in html.unescape(refused.text)
    reply = send(browser("robin"), path, f"{path}/amend", reason="rated by eye", replacement=good)
    assert f'replaced by <a href="/pages/results/{good}">' in reply.text
    assert not is_usable(read_state(orm.load_node(poor).pk))


def test_the_numbers_behind_a_result_are_sent_as_files(browser, make_result):
    """Tables as CSV, all of them as HDF5 with names and units; what is not there is said."""
    import h5py

    result = make_result()
    data = result.base.attributes.get("data")
    result.base.attributes.set("data", {**data, "cycles": [1, 2], "discharge_capacities": [0.004, 0.003]})
    path, alice = f"/pages/results/{result.store().uuid}", browser("alice")
    assert f"{path}/raw/capacities-1.csv" in alice.get(path).text
    reply = alice.get(f"{path}/raw/capacities-1.csv")
    assert reply.text.splitlines() == ["cycle,discharge capacity / Ah", "1,0.004", "2,0.003"]
    assert reply.headers["content-disposition"].startswith("attachment")
    with h5py.File(io.BytesIO(alice.get(f"{path}/raw/all.h5").content)) as file:
        dataset = file["capacities-1/discharge capacity in Ah"]
        assert (list(dataset), dataset.attrs["name"]) == ([0.004, 0.003], "discharge capacity / Ah")
        assert file.attrs["result"] == result.uuid
    assert alice.get(f"{path}/raw/nothing.csv").status_code == 404
    assert alice.get(f"{path}/raw/all.exe").status_code == 404
    assert browser().get(f"{path}/raw/all.h5").url.path == "/pages/login"


def test_limitations_are_weighed_before_they_count(browser, request_of_alice):
    """Narrower ones would leave the request to nobody: that is said, and nothing changes before it is saved."""
    path = f"/pages/tenants/{find_tenant('robot').tenant_uuid}"
    robin = browser("robin")
    narrow = [{"quantity": "conductivity", "method": "two_electrode",
               "limitations": {"temperature": [{"min": 320.0, "max": 333.15}]}}]  # fmt: skip
    weighed = send(robin, path, path, act="check", offers=json.dumps(narrow))
    assert weighed.status_code == 200
    assert "1 it could serve no longer" in weighed.text
    before = find_tenant("robot").version
    hot = [{"quantity": "conductivity", "method": "two_electrode", "limitations": {"temperature": "hot"}}]
    dear = [{**narrow[0], "cost": 2.0}]
    nobodys = [{"quantity": "conductivity", "method": "by_ear"}]
    for text in ("{", "[]", '[{"quantity": "conductivity"}]', *map(json.dumps, (hot, dear, nobodys))):
        for act in ("check", "save"):
            assert send(robin, path, path, act=act, offers=text, version=str(before)).status_code == 422, text
    slip = json.dumps(narrow).replace("temperature", "temprature")
    assert (
        "temprature of conductivity/two_electrode is about no parameter"
        in send(robin, path, path, act="check", offers=slip).text
    )
    assert find_tenant("robot").version == before
    assert "Change the limitations" not in browser("olga").get(path).text
    assert send(browser("olga"), path, path, act="save", offers=json.dumps(narrow)).status_code == 403
    send(robin, path, path, act="save", offers=json.dumps(narrow), version=str(before))
    assert find_tenant("robot").version == before + 1
    late = send(robin, path, path, act="save", offers=json.dumps(narrow).replace("320", "321"), version=str(before))
    assert f"meanwhile somebody saved version {before + 1}" in late.text
    assert "321" in re.search(r"<textarea.*?</textarea>", late.text, re.DOTALL)[0]
    assert find_tenant("robot").version == before + 1


def test_an_admin_switches_a_tenant_off_and_on(browser):
    uuid = find_tenant("robot").tenant_uuid
    path = f"/pages/tenants/{uuid}"
    assert "Give it no new requests" not in browser("robin").get(path).text
    assert send(browser("robin"), path, f"{path}/switch", to="off").status_code == 403
    root = browser("root")
    assert send(root, path, f"{path}/switch", to="perhaps").status_code == 400
    assert find_tenant(uuid).is_active
    send(root, path, f"{path}/switch", to="off")
    assert not find_tenant(uuid).is_active
    assert "Give it requests again" in root.get(path).text
    send(root, path, f"{path}/switch", to="on")
    assert find_tenant(uuid).is_active


@pytest.mark.parametrize("name", ["alice", "robin", "oscar"])
def test_administration_is_for_admins(browser, name):
    someone = browser(name)
    assert "/pages/administration" not in someone.get("/pages").text
    for path in ("", "/health"):
        reply = someone.get(f"/pages/administration{path}")
        assert (reply.status_code, "needs the role admin<" in reply.text) == (403, True)
    for path in ("users", "revoke", "cure"):
        assert send(someone, "/pages/tasks", f"/pages/administration/{path}", name="alice").status_code == 403


def test_users_are_added_changed_and_locked_out(browser, app):
    root, here = browser("root"), "/pages/administration"
    shown = root.get(here).text
    assert "alice" in shown
    refused = send(root, here, f"{here}/users", name="newcomer", password="short", role="requester")
    assert refused.status_code == 422
    assert "the password has 5 characters" in refused.text
    robot = find_tenant("robot").tenant_uuid
    send(root, here, f"{here}/users", name="newcomer", password=PASSWORD, role="tenant", tenant=robot)
    found = app.state.context.users.all()["newcomer"]
    assert (found.roles, found.tenants) == (("tenant",), (robot,))
    newcomer = browser("newcomer")
    send(root, here, f"{here}/revoke", name="newcomer", what="tokens")
    assert newcomer.get("/pages", follow_redirects=False).status_code == 303
    assert browser("newcomer").get("/pages").status_code == 200
    send(root, here, f"{here}/revoke", name="newcomer", what="all")
    assert app.state.context.users.find("newcomer") is None
    assert send(root, here, f"{here}/revoke", name="root", what="all").status_code == 400
    assert send(root, here, f"{here}/users", name="root", password=PASSWORD, role="requester").status_code == 422


def test_the_doctor_is_asked_and_its_cure_is_a_button(browser, monkeypatch):
    """Both run as programs; what they say is shown, and a second cure waits for the first."""
    asked = []

    async def run(profile, timeout, *options):
        asked.append(options)
        check = {"name": "daemon", "is_well": False, "words": "no daemon is running", "cure": ["verdi daemon start"]}
        said = json.dumps({"checks": [{**check, "needs_person": False}]})
        return (1, said) if "json" in options else (0, "verdi daemon start\n")

    monkeypatch.setattr(administration, "run_doctor", run)
    root, here = browser("root"), "/pages/administration"
    assert "Cure what a program can cure" in root.get(f"{here}/health").text
    reply = send(root, here, f"{here}/cure")
    assert asked[-1] == ("--cure", "--force")
    assert "cure" in reply.text
    assert "all is well" in root.get(here).text


def test_a_campaigns_time_is_drawn(browser):
    """A campaign that is not there is said not to be."""
    assert browser("alice").get("/pages/timeline/nowhere").status_code == 404
    assert "Who did what" in browser("alice").get("/pages?span=hour").text
    assert browser("alice").get("/pages?span=century").status_code == 200


def test_the_first_page_names_a_request_in_doubt_first(browser, make_request, candidate_of):
    request = post_request(make_request(), "tests")
    reserve_request(request.pk, "client", candidate_of(request.pk, "robot"))
    mark_needs_operator(request.pk, "client", "the needle broke")
    text = browser("oscar").get("/pages").text
    assert text.index("the needle broke") < text.index("Devices and tenants")
    assert "is-bad-edge" in text


def test_many_troubles_of_one_kind_are_counted_and_a_few_are_named(browser, make_request, candidate_of):
    """As the doctor tells them: a page of the same line again and again hides what else is wrong."""
    for _ in range(6):
        request = post_request(make_request(), "tests")
        reserve_request(request.pk, "client", candidate_of(request.pk, "robot"))
        mark_needs_operator(request.pk, "client", "the needle broke")
    text = browser("oscar").get("/pages").text
    troubles = text[text.index("Somebody must look") : text.index("Devices and tenants")]
    number = int(re.search(r"(\d+) requests need an operator", troubles)[1])
    assert number >= 6
    assert troubles.count("the needle broke") == 3
