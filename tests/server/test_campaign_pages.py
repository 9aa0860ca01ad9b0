"""Campaigns on the pages: who may start and steer them, what is checked before, and how figures are sent."""

from __future__ import annotations

import html
import json
import re

import pytest
import yaml
from aiida import orm

from aiida_finales.data.campaign import STARTER, STOP, CampaignGroup, list_queued
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign import memory, reading
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.server.pages import campaigns, steering
from aiida_finales.server.pages.page import HEADERS

from .access.test_reading import make_process
from .test_pages import browser, headings

__all__ = ["browser"]

FILE = """
name: from-a-file
quantity: conductivity
fixed: {temperature: 298.15}
sources: {empirical_model: {}}
stop: {evaluations: 4}
"""
MOST = {"LiPF6": 0.15, "EC": 0.5, "EMC": 1.0}
LIMITATIONS = {
    "formulation": [
        [{**make_formulation({name: 1.0})[0], "fraction": [{"min": 0.0, "max": most}]} for name, most in MOST.items()]
    ],
    "temperature": [{"min": 293.15, "max": 313.15}],
}


@pytest.fixture(autouse=True)
def _mixer(app, add_offer):
    """The others of this server say nothing of compositions: a campaign has nothing to vary there."""
    add_offer("mixer", "empirical_model", limitations=LIMITATIONS)


@pytest.fixture
def watched(registered):
    """A campaign that bob started."""
    group = CampaignGroup.create_for("watched")
    group.base.extras.set(STARTER, "user:bob")
    document = parse_campaign(yaml.safe_load(FILE.replace("from-a-file", "watched"))).to_dict()
    process = make_process(document)
    group.add_nodes([process])
    yield group, process
    CampaignGroup.collection.delete(group.pk)


def send(someone, path, form, **typed):
    """Send a form to a path with the proof that stands on a page."""
    found = re.search(r'name="csrf" value="(\w+)"', someone.get(form).text)
    return someone.post(path, data={"csrf": found[1], **typed}, follow_redirects=False)


def words_of(reply):
    return html.unescape(re.sub(r"<[^>]+>", " ", reply.text))


def test_a_form_is_made_of_what_tenants_offer(browser, registered):
    """The methods of active tenants, with their temperatures; the dearest is the target."""
    page = browser("alice").get("/pages/new-campaign").text
    assert 'name="ask-empirical_model" value="yes" checked' in page
    assert re.search(r'name="temperature"[^>]* value="\d+(\.\d+)?"', page)
    assert "by mixer, cost 1, 293.15 to 313.15 K" in html.unescape(page)
    assert "ask-two_electrode" not in page


def test_a_form_is_checked_before_it_is_started(browser, registered):
    """What would be looked for is said in words and drawn; nothing is stored by it."""
    alice = browser("alice")
    before = orm.QueryBuilder().append(orm.Node).count()
    typed = {"quantity": "conductivity", "name": "mine", "direction": "maximise", "target": "empirical_model"}
    typed |= {"ask-empirical_model": "yes", "temperature": "298.15", "evaluations": "12"}
    reply = send(alice, "/pages/new-campaign", "/pages/new-campaign", act="draft", **typed)
    assert reply.status_code == 200, words_of(reply)
    assert "mine can be started" in words_of(reply)
    assert "source empirical_model: asked, served by mixer" in words_of(reply)
    assert "evaluations: 12" in words_of(reply)
    drawn = json.loads(html.unescape(re.search(r'data-given="([^"]+)"', reply.text)[1]))
    assert [item["kind"] for item in drawn["charts"][0]["series"]].count("area") >= 1
    assert orm.QueryBuilder().append(orm.Node).count() == before


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"act": "check", "text": "quantity: ["}, "the text is no YAML: "),
        ({"act": "check", "text": ""}, "nothing was given"),
        ({"act": "check", "text": "- a"}, "the text holds a list, but accepted are lines with key and value"),
        ({"act": "check", "text": "a" * 200_001}, "has 200001 characters, but accepted are 200000"),
        ({"act": "check", "text": "a: &x [1]\nb: *x"}, "aliases (*name) are not accepted"),
        ({"act": "check", "text": FILE + "warm_start: {file: /etc/passwd}"}, "warm_start names a file"),
        ({"act": "check", "text": FILE.replace("quantity", "qantity")}, "qantity"),
        ({"act": "draft", "quantity": "conductivity", "evaluations": "many", "ask-empirical_model": "yes",
          "target": "empirical_model"}, "evaluations is 'many', but accepted is a whole number"),
        ({"act": "draft", "quantity": "conductivity"}, "no source was chosen"),
    ],
    ids=["broken", "empty", "list", "long", "alias", "file-of-the-server", "unknown-key", "no-number", "nobody"],
)  # fmt: skip
def test_what_is_wrong_is_said_and_kept(browser, registered, typed, words):
    """Each is refused in words, and what was typed stands in the page again."""
    reply = send(browser("alice"), "/pages/new-campaign", "/pages/new-campaign", **typed)
    assert reply.status_code == 422
    assert words in words_of(reply)
    assert typed.get("text", "") in html.unescape(reply.text)


def test_a_file_of_ones_own_computer_is_read(browser, registered):
    alice = browser("alice")
    found = re.search(r'name="csrf" value="(\w+)"', alice.get("/pages/new-campaign").text)
    files = {"file": ("mine.yaml", FILE.encode())}
    reply = alice.post("/pages/new-campaign", data={"csrf": found[1], "act": "check"}, files=files)
    assert "from-a-file can be started" in words_of(reply)


def test_without_a_daemon_nothing_is_started(browser, registered):
    """The page says that there is none; no campaign is there then."""
    reply = send(browser("alice"), "/pages/new-campaign", "/pages/new-campaign", act="start", text=FILE)
    assert reply.status_code == 422
    assert "daemon" in words_of(reply)
    assert orm.QueryBuilder().append(CampaignGroup, filters={"label": "from-a-file"}).count() == 0


def test_whoever_starts_a_campaign_is_remembered(browser, registered, monkeypatch):
    """The page leads to the campaign, and the one who started it may steer it."""
    started = []
    monkeypatch.setattr(steering, "start_campaign", lambda plan, starter: started.append((plan.campaign.name, starter)))
    reply = send(browser("alice"), "/pages/new-campaign", "/pages/new-campaign", act="start", text=FILE)
    assert (reply.status_code, reply.headers["location"]) == (303, "/pages/campaigns/from-a-file")
    assert started == [("from-a-file", "user:alice")]


def test_a_form_that_another_site_sent_is_refused_also_with_the_proof(browser, registered):
    """The browser says where it came from."""
    alice = browser("alice")
    proof = re.search(r'name="csrf" value="(\w+)"', alice.get("/pages/new-campaign").text)[1]
    typed = {"csrf": proof, "act": "check", "text": FILE}
    here, there = (
        alice.post("/pages/new-campaign", data=typed, headers={"Sec-Fetch-Site": site}).status_code
        for site in ("same-origin", "cross-site")
    )
    assert (here, there) == (200, 403)


@pytest.mark.parametrize("name", ["robin", "olga"])
def test_a_tenant_starts_no_campaign(browser, registered, name):
    """Without the role requester or operator there is neither button nor form."""
    someone = browser(name)
    assert "Start a campaign" not in someone.get("/pages/campaigns").text
    assert someone.get("/pages/new-campaign").status_code == 403
    assert send(someone, "/pages/new-campaign", "/pages/tasks", act="start", text=FILE).status_code == 403


def test_a_form_of_another_site_starts_nothing(browser, registered):
    reply = browser("alice").post("/pages/new-campaign", data={"act": "start", "text": FILE, "csrf": "0"})
    assert reply.status_code == 403
    assert "did not come from here" in words_of(reply)


@pytest.mark.parametrize("action", ["stop", "continue", "points"])
def test_others_steer_no_campaign(browser, watched, action):
    """Neither another requester, nor a tenant, nor a form without proof; the page has no form for them."""
    typed = {"reason": "x", "point": "LiPF6=0.1"}
    for name in ("alice", "robin"):
        assert "Steer it" not in browser(name).get("/pages/campaigns/watched").text
        reply = send(browser(name), f"/pages/campaigns/watched/{action}", "/pages/tasks", **typed)
        assert reply.status_code == 403, (name, words_of(reply))
    assert browser("bob").post(f"/pages/campaigns/watched/{action}", data=typed).status_code == 403
    assert watched[1].base.extras.get(STOP, None) is None


@pytest.mark.parametrize("name", ["bob", "oscar", "root"])
def test_who_started_it_and_operators_stop_it(browser, watched, name):
    """A running one is asked to stop, with the reason; without a reason it is not."""
    process = watched[1]
    process.set_process_state("running")
    someone = browser(name)
    assert "Steer it" in headings(someone.get("/pages/campaigns/watched"))
    refused = send(someone, "/pages/campaigns/watched/stop", "/pages/tasks", reason=" ")
    assert "no reason was given" in words_of(refused)
    reply = send(someone, "/pages/campaigns/watched/stop", "/pages/tasks", reason="good enough")
    assert (reply.status_code, reply.headers["location"]) == (303, "/pages/campaigns/watched")
    assert orm.load_node(process.pk).base.extras.get(STOP) == "good enough"
    assert "asked to stop: good enough" in someone.get("/pages/campaigns/watched").text


def test_a_point_of_a_person_is_asked_next(browser, watched):
    """It waits in the queue with who added it and why; what cannot be read is refused in words."""
    bob = browser("bob")
    path, home = "/pages/campaigns/watched/points", "/pages/campaigns/watched"
    refused = send(bob, path, home, point="LiPF6=much")
    assert "cannot be read" in words_of(refused)
    reply = send(bob, path, home, point="LiPF6=0.08 EC=0.30 EMC=0.62", reason="the standard")
    assert reply.status_code == 303, words_of(reply)
    queued = list_queued("watched")
    assert [(entry["who"], entry["why"]) for _, entry in queued] == [("user:bob", "the standard")]
    refused = words_of(send(bob, path, home, point="LiPF6=0.08 EC=0.9 EMC=0.02"))
    assert "fraction of EC in formulation is 0.9, but mixer accepts 0 to 0.5" in refused
    assert "the nearest it can do: formulation LiPF6" in refused


def test_what_was_refused_of_a_form_stands_in_the_form(browser, watched):
    """On the page of the campaign as it is now, unfolded, with everything that was typed; others see none of it."""
    bob, home = browser("bob"), "/pages/campaigns/watched"
    watched[1].set_process_state("running")
    typed = {"point": "LiPF6=much", "source": "empirical_model", "reason": 'as "said"'}
    reply = send(bob, f"{home}/points", home, **typed)
    assert reply.status_code == 400
    form = re.search(r'<form method="post" action="[^"]*/points".*?</form>', reply.text, re.DOTALL)[0]
    assert re.search(r'<p class="error" role="alert"[^>]*autofocus>[^<]*cannot be read', form)
    assert ('value="LiPF6=much"' in form, 'value="as &#34;said&#34;"' in form) == (True, True)
    assert "<option selected>empirical_model" in form
    assert '<details class="panel" open>' in reply.text
    assert (reply.text.count("cannot be read"), "data-refused" in reply.text) == (1, False)
    assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    stop = send(bob, f"{home}/stop", home, reason=" ", now="yes").text
    assert re.search(r'name="now" value="yes" checked', stop)
    assert send(browser("alice"), f"{home}/points", "/pages/tasks", **typed).status_code == 403


def test_a_form_that_is_gone_meanwhile_is_told_above_all(browser, watched):
    """It was stopped in another window and has ended: there is nothing to stop, and the page says why."""
    bob, home = browser("bob"), "/pages/campaigns/watched"
    process = watched[1]
    process.set_process_state("finished")
    process.set_exit_status(0)
    reply = send(bob, f"{home}/stop", home, reason="good enough")
    assert reply.status_code == 409
    assert reply.text.index("has ended already") < reply.text.index("<h1>")
    assert (reply.text.count("has ended already"), "Go on with it" in reply.text) == (1, True)


def test_a_campaign_goes_on_with_more_evaluations(browser, watched, monkeypatch):
    """What was typed arrives as the end of the campaign; what is no number is refused."""
    asked = []
    monkeypatch.setattr(steering, "continue_campaign", lambda name, changes: asked.append((name, changes)))
    bob, path = browser("bob"), "/pages/campaigns/watched/continue"
    assert "accepted is a whole number" in words_of(send(bob, path, "/pages/tasks", evaluations="more"))
    assert send(bob, path, "/pages/tasks", evaluations="40").status_code == 303
    assert asked == [("watched", {"stop.evaluations": 40})]


def test_figures_are_sent_once(browser, watched, monkeypatch):
    """As long as nothing changes the answer is made once and not sent again; a change makes it anew."""
    made = []
    monkeypatch.setattr(campaigns, "_make_charts", lambda name: made.append(name) or [])
    bob, path = browser("bob"), "/pages/campaigns/watched/charts.json"
    reply = bob.get(path)
    assert reply.json()["charts"] == []
    assert "no-store" not in reply.headers["cache-control"]
    again = bob.get(path, headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert bob.get(path).headers["etag"] == reply.headers["etag"]
    assert made == ["watched"]
    watched[1].base.extras.set("changed", value=1)
    assert bob.get(path).headers["etag"] != reply.headers["etag"]
    assert made == ["watched"] * 2


def test_a_campaign_is_read_again_only_when_it_has_changed(watched, monkeypatch):
    """Neither a second look nor something elsewhere reads it; a change of a member or a note does."""
    group, process = watched
    n_read = []
    read = memory.read_overviews
    monkeypatch.setattr(memory, "read_overviews", lambda *given: n_read.append(1) or read(*given))
    memory.recall_overview(group)
    orm.Int(1).store()
    memory.recall_overview(group)
    assert len(n_read) == 1
    process.base.extras.set("changed", value=2)
    memory.recall_overview(group)
    group.base.extras.set("noted", value=3)
    assert memory.recall_overview(group).name == "watched"
    assert len(n_read) == 3


def test_the_list_asks_for_a_large_campaign_when_it_is_seen(browser, watched, monkeypatch):
    """The list reads what is small together; a large one it does not, but its row does, and then the list knows it."""
    monkeypatch.setattr(memory, "_KEPT", type(memory._KEPT)())
    bob, asked = browser("bob"), 'hx-get="/pages/campaigns/watched/row" hx-trigger="revealed'
    memory._KEPT.clear()  # the first page reads campaigns, too
    with monkeypatch.context() as small:
        small.setattr(campaigns, "MOST_MEMBERS", 0)
        assert asked in bob.get("/pages/campaigns").text
        assert not memory._KEPT
        assert "nothing to learn from" in bob.get("/pages/campaigns/watched/row").text
        assert "nothing to learn from" in bob.get("/pages/campaigns").text
    memory._KEPT.clear()
    page = bob.get("/pages/campaigns").text
    assert "nothing to learn from" in page
    assert asked not in page


def test_a_campaign_that_cannot_be_read_says_so_in_its_row(browser, watched, monkeypatch):
    """The list is there, and asks for that row no more."""
    monkeypatch.setattr(memory, "_KEPT", type(memory._KEPT)())

    def refuse(*_, **__):
        raise CampaignFileError("quantity is 3")

    monkeypatch.setattr(reading, "parse_campaign", refuse)
    page = browser("bob").get("/pages/campaigns").text
    assert "quantity is 3" in page
    assert 'hx-trigger="revealed' not in page


def test_what_is_wrong_with_a_file_stands_beside_the_file(browser, registered):
    """With its name, and its content is shown where it can be corrected."""
    alice = browser("alice")
    found = re.search(r'name="csrf" value="(\w+)"', alice.get("/pages/new-campaign").text)
    files = {"file": ("mine.yaml", FILE.replace("quantity", "qantity").encode())}
    page = alice.post("/pages/new-campaign", data={"csrf": found[1], "act": "check"}, files=files).text
    assert "mine.yaml: " in html.unescape(re.search(r'id="file-error">([^<]*)', page)[1])
    assert "qantity: conductivity" in page
    assert 'id="text-error"' not in page


def test_a_file_of_megabytes_is_not_sent_back(browser, registered):
    """What is wrong stands beside it; the page stays short."""
    alice = browser("alice")
    found = re.search(r'name="csrf" value="(\w+)"', alice.get("/pages/new-campaign").text)
    files = {"file": ("large.yaml", b"a: " + b"x" * 300_000)}
    reply = alice.post("/pages/new-campaign", data={"csrf": found[1], "act": "check"}, files=files)
    assert "large.yaml: the campaign file has 300003 characters, but accepted are 200000" in words_of(reply)
    assert len(reply.text) < 100_000
