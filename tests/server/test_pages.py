"""The pages for people: who may see and do what, what they show, and that nothing hostile gets through."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import post_request
from aiida_finales.broker.samples import register_sample
from aiida_finales.broker.state import Entry, read_state
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.sample import SampleData
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.export import result_json_schema
from aiida_finales.schemas.formulation import fractions
from aiida_finales.server.pages import campaigns, form, records, samples
from aiida_finales.server.pages.form import Reader
from aiida_finales.server.pages.page import HEADERS, own_path

from .conftest import PASSWORD, Caller

EVIL = "<script>alert(1)</script>"
TEXT = {"type": "string"}
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"
#: what nobody may overlook beside a number that was not measured
LABEL = '<span class="simulated">simulated</span>'


class Browser(Caller):
    """A client that keeps cookies and sends forms with their proof, as a browser does."""

    def sign_in(self, name: str, password: str = PASSWORD) -> Browser:
        found = re.search(r'name="csrf" value="(\w+)"', self.get("/pages/login").text)
        typed = {"csrf": found[1], "username": name, "password": password}
        # the first page, to which it leads, is the dearest of all
        reply = self.post("/pages/login", data=typed, follow_redirects=False)
        assert reply.status_code == 303, reply.text
        return self

    def fill(self, path: str, *, proof: str | None = None, **typed: str):
        """Send the form of a page, with the proof that is on it unless another is given."""
        found = re.search(r'name="csrf" value="(\w+)"', self.get(path).text)
        return self.post(path, data={"csrf": found[1] if proof is None else proof, **typed})


@pytest.fixture
def browser(app, thread, anyone):
    """Return a function that gives the browser of a user."""
    return lambda name=None: Browser(app, thread).sign_in(name) if name else Browser(app, thread)


@pytest.fixture
def carrier(app):
    """A person who carries samples, for whom carla acts."""
    offers = [{"quantity": "transport", "method": "transport_service"}]
    offers.append({"quantity": "conductivity", "method": "two_electrode"})
    person = add_tenant("carrier", offers, kind="human")
    app.state.context.users.add("carla", PASSWORD, ["tenant"], [person.tenant_uuid])
    return person


@pytest.fixture
def transport(carrier):
    """Return a function that asks for a transport."""

    def ask(*samples):
        places = {"origin": {"address": "ASAB"}, "destination": {"address": "AutoBASS"}, "samples": list(samples)}
        return post_request(RequestData("transport", {"transport_service": places}, "tests"), "tests")

    return ask


def answer_of(request):
    """Return what was handed in for a request."""
    return (read_state(request.pk).get("answer") or {}).get("data")


def headings(reply):
    return re.findall(r"<h[12][^>]*>(.*?)</h[12]>", reply.text)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/requests?offset=100000", 'No request is like this.</strong></p><p><a href="/pages/requests">'),
        ("/results?status=deleted&offset=100000", 'No result is like this.</strong></p><p><a href="/pages/results">'),
        ("/samples?at=nowhere", 'No sample is like this.</strong></p><p><a href="/pages/samples">'),
        ("/campaigns?offset=100000", 'No campaign is like this.</strong></p><p><a href="/pages/campaigns">'),
    ],
)
def test_a_list_of_nothing_like_that_leads_to_all(browser, path, words):
    assert words in browser("alice").get(f"/pages{path}").text


def test_lists_of_nothing_say_what_to_do(browser, monkeypatch):
    """Each names the next step of whoever looks; the list of campaigns shows the first one without being loaded."""
    for module, name in ((records, "list_request_rows"), (records, "list_result_rows"), (campaigns, "list_rows")):
        monkeypatch.setattr(module, name, lambda *_: [])
    monkeypatch.setattr(samples, "describe_samples", lambda *_, **__: [])
    alice, robin = browser("alice"), browser("robin")
    assert "Ask for something with the button above" in alice.get("/pages/requests").text
    assert "Somebody with the role requester or operator asks" in robin.get("/pages/requests").text
    assert "aiida-finales import results" in alice.get("/pages/results").text
    assert "aiida-finales sample add" in alice.get("/pages/samples").text
    assert 'data-live hx-get="/pages/campaigns?offset=0" hx-trigger="finales:news' in alice.get("/pages/campaigns").text


@pytest.mark.parametrize("path", ["", "/tasks", "/campaigns", "/requests", "/results", "/samples", "/nodes/1"])
def test_login_comes_first(browser, path):
    """Without login every page leads to the login, and from there back."""
    reply = browser().get(f"/pages{path}", follow_redirects=False)
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("/pages/login?next=%2Fpages")


def test_login_leads_back_to_what_was_shown(browser):
    """With the query of the address; of a part of a page to that page; of a form that was sent to where it is."""
    someone, what = browser(), "/pages/requests/new?what=conductivity%2Ftwo_electrode"
    back = "next=%2Fpages%2Frequests%2Fnew%3Fwhat%3Dconductivity%252Ftwo_electrode"
    assert someone.get(what, follow_redirects=False).headers["location"].endswith(back)
    part = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{what}"}
    assert someone.get("/pages/live/laboratory", headers=part).headers["HX-Redirect"].endswith(back)
    evil = {"HX-Request": "true", "HX-Current-URL": "http://evil.org/other"}
    assert someone.get("/pages/live/laboratory", headers=evil).headers["HX-Redirect"] == "/pages/login?next=%2Fpages"
    reply = someone.post("/pages/requests/1/retract", data={"reason": "x"}, follow_redirects=False)
    assert reply.headers["location"] == "/pages/login?next=%2Fpages%2Frequests%2F1%2Fretract"
    sent = browser("alice").get("/pages/requests/1/retract", follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, "/pages/requests/1")


def test_login_and_logout(browser):
    """The cookie is for this server alone; after the logout it is gone, and a copy of it is worth nothing."""
    someone = browser()
    assert someone.fill("/pages/login", username="alice", password="wrong one").status_code == 401
    someone.get("/pages/login")
    found = re.search(r'name="csrf" value="(\w+)"', someone.get("/pages/login?next=/pages/samples").text)
    typed = {"csrf": found[1], "username": "alice", "password": PASSWORD, "next": "/pages/samples"}
    reply = someone.post("/pages/login", data=typed, follow_redirects=False)
    assert reply.headers["location"] == "/pages/samples"
    cookie = next(item for item in reply.headers.get_list("set-cookie") if item.startswith("finales_session"))
    assert {"HttpOnly", "SameSite=strict", "Path=/pages", "Max-Age=28800"} <= set(cookie.split("; "))
    assert headings(someone.get("/pages/samples")) == ["Samples"]
    assert someone.post("/pages/logout", data={"csrf": "0"}).status_code == 403
    found = re.search(r'name="csrf" value="(\w+)"', someone.get("/pages").text)
    copy = {"Cookie": cookie.split(";")[0]}
    assert headings(someone.post("/pages/logout", data={"csrf": found[1]})) == ["Log in"]
    assert headings(someone.get("/pages")) == ["Log in"]
    assert headings(browser().get("/pages", headers=copy)) == ["Log in"]


def test_login_of_another_site_is_refused(browser):
    """A form without proof logs nobody in."""
    reply = browser().post("/pages/login", data={"username": "alice", "password": PASSWORD})
    assert reply.status_code == 403
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("given", ["//evil.org", "https://evil.org", "/pages/../x", "/pages\\evil", "/pagesx", ""])
def test_login_leads_nowhere_else(given):
    """Another site is never where the login leads."""
    assert own_path(given) == "/pages"


def test_headers(browser):
    """No script or style inside of the page, in nobody's frame; the files of the page are there."""
    someone = browser()
    reply = someone.get("/pages/login")
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-frame-options"] == "DENY"
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", reply.text)
    for path in re.findall(r'(?:src|href)="(/pages/static/[^"]+)"', reply.text):
        assert someone.get(path).status_code == 200, path
    assert someone.get("/pages/static/..%2fpage.py").status_code == 404


def test_description_of_the_interface_takes_nothing_from_elsewhere(anyone):
    """It has the headers of every page, its scripts are here, and it says how one logs in."""
    reply = anyone.get("/docs")
    assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', reply.text)
    assert len(addresses) >= 4
    for address in addresses:
        assert address.startswith("/"), address
        assert anyone.get(address).status_code == 200, address
    described = anyone.get("/openapi.json").json()
    (scheme,) = described["components"]["securitySchemes"].values()
    assert scheme["flows"]["password"]["tokenUrl"] == "user_management/authenticate"
    assert described["paths"]["/requests"]["post"]["security"]
    assert "security" not in described["paths"]["/v1/health"]["get"]


def test_laboratory(browser, transport, make_request):
    """It says what runs and waits, what is wrong first, and what somebody must do."""
    transport("vial-1")
    post_request(make_request(), "tests")
    reply = browser("carla").get("/pages")
    assert headings(reply)[1:3] == ["Somebody must look", "Devices and tenants"]
    assert "carry vial-1 from ASAB to AutoBASS" in reply.text
    assert '<span class="much">2</span> waiting' in reply.text
    assert "<strong>Daemon:</strong>" in reply.text  # tests have none
    assert "/pages/tasks/" not in browser("alice").get("/pages").text


def test_task_done(browser, transport):
    """What is written on the sample is typed, and the request has its answer."""
    request = transport("vial-1")
    carla = browser("carla")
    assert request.uuid in carla.get("/pages/tasks").text
    shown = carla.get(f"/pages/tasks/{request.uuid}").text
    assert re.search(r'<textarea id="samples"[^>]*>\s*</textarea>', shown)  # never filled in beforehand
    reply = carla.fill(f"/pages/tasks/{request.uuid}", outcome="done", samples="vial-1\n")
    assert reply.status_code == 200
    assert "The answer of carrier is there" in reply.text
    found = answer_of(request)
    assert found["success"] is True
    assert found["executant"] == "user:carla"
    assert found["actual_new_location"]["address"] == "AutoBASS"
    assert carla.get(f"/pages/tasks/{request.uuid}").status_code == 409


def test_task_done_elsewhere(browser, transport):
    """The place that was typed is where the samples are."""
    request = transport("vial-1")
    typed = {"outcome": "elsewhere", "samples": "vial-1", "actual_new_location.address": "Cycler"}
    typed["actual_new_location.detail_1"] = "tray 2"
    assert browser("carla").fill(f"/pages/tasks/{request.uuid}", **typed).status_code == 200
    assert answer_of(request)["actual_new_location"] == {"address": "Cycler", "detail_1": "tray 2", "detail_2": None}


def test_task_refused(browser, transport):
    """A refusal needs a reason, and then is the answer."""
    request = transport("vial-1")
    carla = browser("carla")
    assert carla.fill(f"/pages/tasks/{request.uuid}", outcome="refused", reason=" ").status_code == 422
    carla.fill(f"/pages/tasks/{request.uuid}", outcome="refused", reason=f"it fell {EVIL}")
    assert answer_of(request)["success"] is False
    assert EVIL not in carla.get(f"/pages/requests/{request.uuid}").text


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"outcome": "done", "samples": "vial-2"}, "samples", "this task is about vial-1: look at the label"),
        ({"outcome": "done"}, "samples", "lacking: vial-1"),
        ({"samples": "vial-1"}, "outcome", "nothing was chosen"),
        ({"outcome": "elsewhere", "samples": "vial-1"}, "field-actual-new-location-address", "accepted is a text"),
    ],
    ids=["wrong sample", "no sample", "no outcome", "no place"],
)
def test_errors_stand_beside_the_field(browser, transport, typed, field, words):
    """The error says what is accepted, nothing that was typed is lost, and nothing is handed in."""
    request = transport("vial-1")
    typed = {**typed, "reason": f"kept {EVIL}", "actual_new_location.detail_1": "kept as well"}
    reply = browser("carla").fill(f"/pages/tasks/{request.uuid}", **typed)
    assert reply.status_code == 422
    error = re.search(rf'id="{field}-error">(.*?)</p>', reply.text)[1]
    assert words in error
    assert f"kept {ESCAPED}" in reply.text
    assert EVIL not in reply.text
    assert 'value="kept as well"' in reply.text
    assert answer_of(request) is None


def test_form_of_another_site_is_refused(browser, transport):
    """A right answer without the right proof changes nothing."""
    request = transport("vial-1")
    reply = browser("carla").fill(f"/pages/tasks/{request.uuid}", proof="0" * 64, outcome="done", samples="vial-1")
    assert reply.status_code == 403
    assert answer_of(request) is None


def test_stranger_may_not_answer(browser, transport):
    """Who does not act for the person sees the task, but neither its form nor its answer."""
    request = transport("vial-1")
    robin = browser("robin")
    assert "you do not act for carrier" in robin.get("/pages/tasks").text
    assert robin.get(f"/pages/tasks/{request.uuid}").status_code == 403
    proof = re.search(r'name="csrf" value="(\w+)"', robin.get("/pages").text)[1]
    typed = {"csrf": proof, "outcome": "done", "samples": "vial-1"}
    assert robin.post(f"/pages/tasks/{request.uuid}", data=typed).status_code == 403
    assert answer_of(request) is None
    assert browser("oscar").get(f"/pages/tasks/{request.uuid}").status_code == 200


def test_task_of_any_capability(browser, carrier, make_request):
    """The form is made of the schema: what is wrong is said field by field, and then the answer is complete."""
    request = post_request(make_request(), "tests")
    carla, path = browser("carla"), f"/pages/tasks/{request.uuid}"
    shown = carla.get(path).text
    assert 'name="run_info.formulation[2].fraction" value="' in shown  # as it was asked for
    assert "siemens" not in shown
    assert "(K)" in shown
    typed = {
        name: value.replace("&#39;", "'")
        for name, value in re.findall(r'name="(run_info[^"]+)" value="([^"]*)"', shown)
    }
    typed |= {"outcome": "done", "run_info.internal_reference": "page 7", "conductivity.values": "0.9\n0,91"}
    typed |= {"conductivity.temperature": "298.15", "conductivity.meta.success": "yes", "conductivity.meta.rating": "4"}
    for key in re.findall(r'name="(run_info.formulation\[\d\].fraction_type)"', shown):
        typed[key] = "molPerMol"
    refused = carla.fill(path, **typed)
    assert refused.status_code == 422
    assert "0,91" in re.search(r'id="field-conductivity-values-error">(.*?)</p>', refused.text)[1]
    more = carla.fill(path, **typed, more="run_info.formulation")
    assert 'name="run_info.formulation[3].fraction"' in more.text
    assert answer_of(request) is None
    assert 'name="run_info.formulation~"' in carla.get(path).text
    said = {"conductivity.values": "0.9\n91", "run_info.formulation~": SAID}
    assert "91 looks like mS/cm" in carla.fill(path, **{**typed, **said}).text
    reply = carla.fill(path, **{**typed, **said, "sure": "yes"})
    assert reply.status_code == 200, re.findall(r'class="error".*?</', reply.text, re.DOTALL)
    assert answer_of(request)["conductivity"]["values"] == [0.9, 91]
    run = answer_of(request)["run_info"]
    assert run["given"]["run_info.formulation"]["density"] == {"value": 1.21, "source": "given"}
    assert fractions(run["formulation"]) == pytest.approx(read_mixture(SAID).fractions)


def test_reading_keeps_types():
    """Numbers, choices, optional groups and lists are read as the schema says; blank is absent."""
    schema = {
        "type": "object",
        "required": ["n", "ok"],
        "properties": {
            "n": {"type": "integer"},
            "ok": {"type": "boolean"},
            "kind": {"enum": ["a", "b"]},
            "group": {
                "type": "object",
                "required": ["x"],
                "properties": {"x": {"type": "number"}, "y": {"type": "string"}},
            },
            "items": {"type": "array", "items": {"type": "object", "properties": {"z": {"type": "number"}}}},
            "free": {},
        },
    }
    typed = {"n": "3", "ok": "no", "items#": "3", "items[0].z": "1e3", "items[2].z": "2", "free": '{"a": [1]}'}
    reader = Reader(schema, typed)
    assert reader.read() == {"n": 3, "ok": False, "items": [{"z": 1000.0}, {"z": 2.0}], "free": {"a": [1]}}
    assert reader.errors == {}
    reader = Reader(schema, {"n": "3.5", "ok": "maybe", "group.y": "typed", "free": "{"})
    reader.read()
    assert set(reader.errors) == {"n", "ok", "group.x", "free"}
    assert json.loads(form.type_document({"a": [1.5]}, "")["a[0]"]) == 1.5


SAID = "1 M LiPF6 in EC:EMC 3:7 w/w, 1.21 g/cm3"


def test_a_mixture_in_words_counts_instead_of_its_components():
    schema = result_json_schema("conductivity", "two_electrode")
    place, name = ("run_info", "formulation"), "run_info.formulation"
    assert form.make_field(schema, place, {}).is_mixture
    reader = Reader(schema, {f"{name}~": SAID, f"{name}#": "1", f"{name}[0].fraction": "no number"})
    found = reader.read(place)
    assert fractions(found) == pytest.approx(read_mixture(SAID).fractions)
    assert (reader.errors, reader.given[name]["given"]) == ({}, SAID)
    reader = Reader(schema, {f"{name}~": "1 M LiPF6 in EC:EMC 3:7"})
    assert reader.read(place) is form.NOTHING
    assert "Say w/w (mass)" in reader.errors[name]


def test_lists_and_records(browser, make_request, make_result, app):
    request = post_request(make_request(requester=EVIL), f"user:{EVIL}")
    result = make_result(request_uuid=request.uuid).store()
    alice = browser("alice")
    for path, title in (("/requests", "Requests"), ("/results", "Results")):
        reply = alice.get(f"/pages{path}")
        assert headings(reply)[0] == title
        assert (request.uuid if path == "/requests" else result.uuid) in reply.text
    shown = alice.get(f"/pages/requests/{request.uuid}")
    assert headings(shown)[0].startswith(f"Request {request.pk}: conductivity ")
    assert EVIL not in shown.text
    assert ESCAPED in shown.text
    assert re.search(r"temperature</th>\s*<td[^>]*>298.15</td>\s*<td[^>]*>K</td>", shown.text)
    assert f"/pages/results/{result.uuid}" in shown.text
    shown = alice.get(f"/pages/results/{result.uuid}")
    assert f"/pages/requests/{request.uuid}" in shown.text
    assert "Where it comes from" in headings(shown)
    assert EVIL not in shown.text
    assert alice.get(f"/pages/nodes/{result.pk}").url.path == f"/pages/results/{result.uuid}"
    assert alice.get("/pages/requests/00000000-0000-0000-0000-000000000000").status_code == 404
    assert alice.get("/pages/nodes/99999999").status_code == 404
    assert alice.get(f"/pages/results/{request.pk}").url.path == f"/pages/requests/{request.uuid}"
    refused = alice.get("/pages/results/nothing")
    assert (refused.status_code, headings(refused)) == (400, ["No such address"])
    assert "in the form" not in refused.text


def test_a_result_that_is_promised_leads_to_its_request(browser, user, posted, result_body):
    promised = user("robin").post("/results/", json=result_body(posted)).json()
    shown = browser("alice").get(f"/pages/results/{promised}")
    assert shown.url.path == f"/pages/requests/{posted}"
    assert "is there. The result is made as soon as" in shown.text
    assert "There is none yet." in shown.text
    assert "<dd>alice</dd>" in shown.text  # who posted it, where a client asks for nobody
    assert browser("alice").get(f"/pages/results/{posted}").status_code == 404


def test_whatever_is_simulated_says_so(browser, make_result):
    """Nobody takes a simulated number for a measured one."""
    from aiida_finales.data.capability import find_capability
    from aiida_finales.data.result import ResultData

    real = make_result().store()
    made = ResultData(
        find_capability("conductivity", "two_electrode"), real.data, real.parameters, simulated=True
    ).store()
    alice = browser("alice")
    assert "Simulated data" in alice.get(f"/pages/results/{made.uuid}").text
    assert "Simulated data" not in alice.get(f"/pages/results/{real.uuid}").text
    sample = register_sample("stock of nowhere", "stock", {"address": "ASAB"}, simulated=True)
    assert LABEL in alice.get(f"/pages/samples/{sample.uuid}").text
    for path, simulated, others in (("results", made, [real]), ("samples?kind=stock", sample, [])):
        rows = alice.get(f"/pages/{path}").text.split("<tr>")
        assert [LABEL in row for row in rows if simulated.uuid in row] == [True]
        assert not any(LABEL in row for row in rows for node in others if node.uuid in row)


def test_samples(browser, registered):
    """A sample shows where it is; its name is text and no markup."""
    place = {"address": "ASAB", "detail_1": EVIL}
    sample = SampleData(f"stock {EVIL}", "stock", location=place).store()  # as a device may name one
    alice = browser("alice")
    reply = alice.get("/pages/samples?kind=stock")
    assert sample.uuid in reply.text
    assert sample.uuid not in alice.get("/pages/samples?kind=cell").text
    shown = alice.get(f"/pages/samples/{sample.uuid}")
    assert headings(shown)[0] == f"Sample stock {ESCAPED}"
    assert EVIL not in reply.text + shown.text
    assert alice.get("/pages/samples/nothing").status_code == 404


def test_the_content_of_a_sample_has_units_and_names(registered):
    """What a cell is made of: no formulas of chemicals, and no number without its unit."""
    parts = [{"chemical": {"SMILES": "C1COC(=O)O1", "InChIKey": "KMTRUDSVKNLOMY-UHFFFAOYSA-N"}, "fraction": 1.0,
              "fraction_type": "molPerMol"}]  # fmt: skip
    carbon = [{"chemical": {"SMILES": "[C]", "InChIKey": "OKTJSMMVPCPJKN-UHFFFAOYSA-N"}, "fraction": 1.0,
               "fraction_type": "molPerMol"}]  # fmt: skip
    anode = {"size": 1.5, "material": carbon}
    cell = {"electrolyte_volume": 35.0, "battery_chemistry": {"electrolyte": parts, "anode": anode}}
    SampleData("cell-of-units", "cell", location={"address": "Cycler"}, content={"cell": cell}).store()
    told = {line.name: (line.value, line.unit) for line in samples._find("cell-of-units")["content"]}
    assert told == {
        "cell.electrolyte_volume": ("35", "µL"),
        "cell.battery_chemistry.electrolyte: EC": ("1.0000", "mol/mol"),
        "cell.battery_chemistry.anode.size": ("1.5", "cm²"),
        "cell.battery_chemistry.anode.material: graphite": ("1.0000", "mol/mol"),
    }


def test_a_history_names_nodes_by_their_numbers(registered, make_result):
    """Of who did something, and of why; what is nowhere stays as it is."""
    result, nowhere = make_result().store(), "00000000-0000-4000-8000-000000000000"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    entries = [Entry(moment, f"process:{result.uuid}", None, "resolved", f"result {result.uuid}, not {nowhere}")]
    (told,) = records.name_people(entries)
    assert (told.who, told.why) == (f"process <{result.pk}>", f"result <{result.pk}>, not {nowhere}")
    key = f"settle it with --key {result.uuid}-two_electrode-1"  # to be copied
    (told,) = records.name_people([replace(entries[0], why=key)])
    assert told.why == key


def test_of_much_the_first_is_shown_and_the_rest_on_demand(browser, registered, monkeypatch):
    """A bottle from which hundreds of vials were made is no page of seventeen screens."""
    SampleData("bottle", "stock", location={"address": "ASAB"}).store()
    lines = [{"depth": depth, "words": f"thing {number}", "simulated": False}
             for number in range(30) for depth in (1, 2)]  # fmt: skip
    monkeypatch.setattr(samples, "trace_forward", lambda _: lines)
    page = browser("alice").get("/pages/samples/bottle").text
    assert "and 10 more" in page
    assert page.count("what follows") == 30
    assert "thing 29" in page


def test_a_campaign_or_a_request_that_failed_is_on_top_with_the_cure(browser, registered, posted_that_failed):
    alice = browser("alice")
    page = alice.get("/pages").text
    assert "Nothing failed." not in page
    assert page.index("Somebody must look") < page.index(">starved<") < page.index("Devices and tenants")
    assert "2 requests in a row brought nothing" in page
    assert "&#39;aiida-finales campaign continue starved&#39; goes on" in page
    assert "given up after 3 attempts" in page


@pytest.fixture
def posted_that_failed(registered, make_request):
    """A campaign and the process of a request, both failed."""
    request = make_request().store()
    campaign = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    serving = orm.WorkChainNode(process_type="aiida.workflows:finales.serve")
    serving.base.links.add_incoming(request, LinkType.INPUT_WORK, "request")
    for node, status, message in (
        (campaign, 430, "2 requests in a row brought nothing to learn from"),
        (serving, 412, "given up after 3 attempts"),
    ):
        node.store()
        node.set_process_state("finished")
        node.set_exit_status(status)
        node.set_exit_message(message)
    group = CampaignGroup.create_for("starved")
    group.add_nodes([campaign])
    yield
    CampaignGroup.collection.delete(group.pk)


def test_the_front_of_several_objectives(browser, registered, monkeypatch):
    """Both fronts are tables, the objectives are columns, and their figures are there."""
    from aiida_finales.server.pages import campaigns
    from tests.operations.campaign.test_front import make_overview

    CampaignGroup.create_for("traded")
    monkeypatch.setattr(campaigns, "recall_overview", lambda group: make_overview("density", "viscosity"))
    reply = browser("alice").get("/pages/campaigns/traded")
    expected = {"Front measured (3)", "Front that the model predicts, ± 1 standard deviation (3)"}
    assert expected <= set(headings(reply))
    page = reply.text
    assert "1.200 ± 0.010 g/cm³" in page
    assert '<th scope="col">Viscosity</th>' in page
    assert "Molality / mol/kg" in page
    assert "None" not in re.sub(r"<[^>]+>", " ", page)
    names = [chart["name"] for chart in browser("alice").get("/pages/campaigns/traded/charts.json").json()["charts"]]
    assert names == ["front", "hypervolume", "parallel"]


def test_campaign_that_has_not_started(browser, registered):
    """A campaign without process says so, and has no figure."""
    CampaignGroup.create_for("early")
    alice = browser("alice")
    assert alice.get("/pages/campaigns/early").status_code == 200
    assert alice.get("/pages/campaigns/none").status_code == 404
    assert alice.get("/pages/campaigns").status_code == 200
