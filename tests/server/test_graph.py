"""Questions by meaning over HTTP: answered by others than the server, in time, and of what is not confidential."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import json
import tempfile
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiida import orm

from aiida_finales.data.nodes import OPENNESS
from aiida_finales.fair.query import store as graph_store
from aiida_finales.fair.query.ask import list_questions
from aiida_finales.server.v1 import graph as server_graph

pytest.importorskip("pyoxigraph")

SELECT = "SELECT ?result WHERE { ?result a finales:Result }"
CSV, RESULTS = "text/csv", "application/sparql-results+json"
FRESH = {"Cache-Control": "no-cache"}
#: everything joined with everything, three times
ENDLESS = "SELECT (COUNT(*) AS ?n) WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"


@pytest.fixture
def measured(user, result_body):
    """UUID of a result that robin has stored."""
    reply = user("robin").post("/results/post_unsolicited_result", json=result_body("", value=0.987654321))
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture
def ask(user):
    """Return a function that asks for results in the graph as it is now, as a user."""

    def ask_as(name="alice", text=SELECT, **headers):
        reply = user(name).get("/v1/query", params={"query": text}, headers=FRESH | headers)
        assert reply.status_code == 200, reply.text
        return reply

    return ask_as


def found(reply):
    """Return the addresses of the results that an answer has."""
    return {row["result"]["value"] for row in reply.json()["results"]["bindings"]}


def test_answers_in_the_form_that_is_wanted(user, measured, ask):
    address = f"urn:uuid:{measured}"
    reply = ask()
    assert reply.headers["content-type"] == RESULTS
    assert reply.json()["head"] == {"vars": ["result"]}
    assert address in found(reply)
    rows = list(csv.DictReader(io.StringIO(ask(Accept=f"text/html;q=0.9, {CSV}").text)))
    assert address in {row["result"] for row in rows}
    assert ask(text="ASK { ?x a finales:Result }").json() == {"head": {}, "boolean": True}
    refused = user("alice").get("/v1/query", params={"query": SELECT}, headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert CSV in refused.json()["detail"]
    # the protocol has two more ways to ask
    by_get, alice = found(reply), user("alice")
    assert found(alice.post("/v1/query", data={"query": SELECT})) == by_get
    plain = alice.post("/v1/query", content=SELECT, headers={"Content-Type": "application/sparql-query"})
    assert found(plain) == by_get
    assert alice.post("/v1/query", json={"query": SELECT}).status_code == 415


def test_named_questions(user, measured):
    alice = user("alice")
    listed = alice.get("/v1/questions").json()
    assert [item["name"] for item in listed] == [item.name for item in list_questions()]
    opened = {
        item["name"]: item["default"]
        for item in listed
        if item["name"] == "conductivity"
        for item in item["parameters"]
    }
    assert "minimum" in opened
    url = "/v1/questions/conductivity"
    rows = alice.get(url, params={"minimum": "0.98"}, headers=FRESH).json()["results"]["bindings"]
    assert [row["result"]["value"] for row in rows] == [f"urn:uuid:{measured}"]
    assert alice.get(url, params={"minimum": "0.99"}).json()["results"]["bindings"] == []
    for path, status, words in (
        (f"{url}?colour=red", 400, "unknown: ['colour']"),
        (f"{url}?minimum=much", 400, "accepted is a number"),
        ("/v1/questions/conductivty", 404, "did you mean conductivity"),
    ):
        reply = alice.get(path)
        assert (reply.status_code, words in reply.json()["detail"]) == (status, True), reply.text


REFUSALS = [
    ({"query": " "}, "not empty"),
    ({"query": ["ASK { ?a ?b ?c }"] * 2}, "2 questions were given"),
    ({"query": "SELECT ?x WHERE {\n ?x ?y"}, "no SPARQL query at line 2"),
    ({"query": "SELECT * WHERE { ?x a term:Temperature }"}, "near are ThermodynamicTemperature"),
    ({"query": "CONSTRUCT WHERE { ?a ?b ?c }"}, "accepted are SELECT and ASK"),
    ({"query": "ASK { SERVICE <http://127.0.0.1:1/x> { ?a ?b ?c } }"}, "cannot ask other computers"),
    ({"query": "INSERT DATA { <urn:a> <urn:b> 1 }"}, "no SPARQL query at line 1"),
    ({"query": "LOAD <file:///etc/passwd>"}, "no SPARQL query at line 1"),
    ({"update": "DROP ALL"}, "updates are not accepted"),
    ({"query": SELECT, "default-graph-uri": "urn:x"}, "default-graph-uri is not accepted"),
    ({"query": "#" * 100_001}, "accepted are 100000"),
]


def test_refusals(user):
    """What cannot be accepted is a message, and nothing is changed or fetched."""
    alice = user("alice")
    assert "0 questions were given" in alice.get("/v1/query").json()["detail"]
    for fields, words in REFUSALS:
        reply = alice.post("/v1/query", data=fields)
        assert (reply.status_code, words in reply.json()["detail"]) == (400, True), (fields, reply.text)


def test_endless_question_ends_and_hinders_nobody(user, monkeypatch):
    """It is ended after its time, and who asks something else is answered."""
    monkeypatch.setattr(server_graph, "ASK_TIMEOUT", 2.0)
    reply = user("alice").get("/v1/query", params={"query": ENDLESS})
    assert reply.status_code == 400
    assert "takes more than 2 s" in reply.json()["detail"]
    assert user("bob").get("/v1/query", params={"query": "ASK { ?a ?b ?c }"}).json()["boolean"] is True


@pytest.mark.slow
def test_answers_have_a_bound(user, monkeypatch):
    """One without end is refused, as is sorting everything joined with everything, which takes all there is."""
    monkeypatch.setattr(server_graph, "ASK_TIMEOUT", 120.0)
    text = "SELECT * WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }"
    for query, words in ((text, "longer than 20 MB: ask for less"), (f"{text} ORDER BY ?a ?f", "GiB of memory")):
        reply = user("alice").get("/v1/query", params={"query": query})
        assert (reply.status_code, words in reply.json()["detail"]) == (400, True), reply.text[:500]


@pytest.mark.slow
def test_graph_is_renewed(user, ask, result_body, measured):
    """What is new is there at once for who asks so, and else when making it again is due; the answer says of when."""
    before = ask()
    body = result_body("", value=0.1234567)
    uuid = user("robin").post("/results/post_unsolicited_result", json=body).json()
    late = user("alice").get("/v1/query", params={"query": SELECT})
    assert found(late) == found(before)
    assert late.headers["last-modified"] == before.headers["last-modified"]
    after = ask()
    assert found(after) - found(before) == {f"urn:uuid:{uuid}"}
    moments = [parsedate_to_datetime(reply.headers["last-modified"]) for reply in (before, after)]
    assert moments[1] >= moments[0]


def test_confidential_is_not_there(user, ask, measured):
    """A marked result, what it was made of, and its number are in no answer; as soon as it is marked."""
    node = orm.load_node(measured)
    assert f"urn:uuid:{measured}" in found(ask())
    node.base.extras.set(OPENNESS, "confidential")
    assert f"urn:uuid:{measured}" not in found(ask())
    told = [ask("root", "SELECT * WHERE { ?a ?b ?c }").text]
    for kind in ("text/turtle", "application/ld+json"):
        told.append(user("oscar").get("/v1/graph", headers={"Accept": kind}).text)
    for secret in ("0.987654321", measured, node.creator.uuid):
        assert not [text for text in told if secret in text]
    node.base.extras.set(OPENNESS, "restricted")
    assert f"urn:uuid:{measured}" in found(ask())


@pytest.mark.slow
def test_whole_graph(user, measured):
    """For everybody, as questions to it are; Turtle and JSON-LD say the same."""
    rdflib = pytest.importorskip("rdflib")
    reply = user("oscar").get("/v1/graph", headers=FRESH)
    assert reply.headers["content-type"].startswith("text/turtle")
    turtle = rdflib.Graph().parse(data=reply.text, format="turtle")
    linked = user("oscar").get("/v1/graph", headers={"Accept": "application/ld+json"})
    assert len(rdflib.Graph().parse(data=linked.text, format="json-ld")) == len(turtle) > 100
    assert f"urn:uuid:{measured}" in {item["@id"] for item in json.loads(linked.text)["@graph"]}
    assert user("alice").get("/v1/graph", headers={"Accept": "application/ld+json"}).text == linked.text


def test_bounds_are_those_of_the_program():
    assert graph_store.MOST_CPU > server_graph.ASK_TIMEOUT


def test_a_graph_stays_while_somebody_waits_for_it(monkeypatch, tmp_path):
    """Also when more users who may each read something else have come meanwhile; one is made at a time."""
    at_once, most = [], []

    async def make(_timeout, _what, _profile, folder, _closed):
        at_once.append(folder)
        most.append(len(at_once))
        await asyncio.sleep(0.02)
        (Path(folder) / "made").touch()
        at_once.pop()

    async def ask(keepers, number):
        keeper = keepers.get(frozenset({number}))
        graph = await keeper.get()
        await asyncio.sleep(0.02)
        return (graph.folder / "made").exists(), graph.folder

    async def work():
        keepers = server_graph.Keepers(SimpleNamespace(call=read_nothing))
        found = await asyncio.gather(*(ask(keepers, number) for number in range(5)))
        gc.collect()
        kept = [folder.exists() for _, folder in found]
        keepers.close()
        return [is_there for is_there, _ in found], kept, [folder.exists() for _, folder in found]

    async def read_nothing(_):
        return (1,), "profile"

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(server_graph, "_demand", make)
    monkeypatch.setattr(server_graph, "MOST_GRAPHS", 2)
    made, kept, closed = asyncio.run(work())
    assert made == [True] * 5
    assert max(most) == 1
    assert kept == [False] * 3 + [True] * 2
    assert closed == [False] * 5
