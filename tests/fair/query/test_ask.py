"""Questions by meaning, asked of a small laboratory's history."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module

import pytest
from aiida import orm

from aiida_finales.data.training_set import read_members
from aiida_finales.exceptions import InputError, MissingExtraError, UnknownNodeError
from aiida_finales.fair.graph.terms import load_context
from aiida_finales.fair.query.ask import ask, find_question, list_questions, load_graph, spell_out
from tests.fair.conftest import CELLS

rdflib = pytest.importorskip("rdflib")
pytest.importorskip("oxrdflib")

from aiida_finales.fair.query.library import as_rdflib  # noqa: E402 - after the check for what it needs


@pytest.fixture(scope="module")
def answer(graph):
    """Return a function that answers a named question."""
    return lambda name, **given: ask(graph, find_question(name).fill(given)).rows


def test_there_are_ten_questions() -> None:
    """Each is a question in words, and says of what unit its numbers are."""
    questions = list_questions()
    assert len(questions) == 10
    for item in questions:
        assert item.title.endswith("?")
        for parameter in item.parameters:
            assert parameter.words
            assert f"${parameter.name}" in item.text


def test_conductivity(answer) -> None:
    """Above 0.9 S/m near 25 °C, really measured: one of the four of that kind, with who and at which molality."""
    (row,) = answer("conductivity")
    assert row["conductivity"] == pytest.approx(0.95)
    assert row["molality"] == pytest.approx(0.8795, rel=1e-3)
    assert (row["tenant"], row["method"], row["simulated"]) == ("bench", "two_electrode", False)
    assert len(answer("conductivity", minimum="0.5")) == 2
    assert answer("conductivity", warmest="298.0") == []
    modelled = answer("conductivity", minimum="0", kind="ModelledProperty", warmest="310")
    assert {row["method"] for row in modelled} == {"empirical_model", "two_electrode"}
    assert all(row["simulated"] for row in modelled if row["method"] == "two_electrode")


def test_cells_of_a_vial(answer, vial) -> None:
    assert [row["cell"] for row in answer("cells-of-vial", vial=vial["identifier"])] == list(CELLS)
    assert answer("cells-of-vial", vial="another") == []


def test_learned_from(answer, find) -> None:
    for suggestion in find("finales:Suggestion"):
        rows = answer("learned-from", suggestion=suggestion["@id"].removeprefix("urn:uuid:"))
        members = read_members(orm.load_node(suggestion["@id"].removeprefix("urn:uuid:")).creator)
        assert {row["result"] for row in rows} == {f"urn:uuid:{uuid}" for uuid in members}
    assert {row["status"] for row in rows} <= {"original", "amended", "deleted"}


def test_failed(answer) -> None:
    reasons = {row["status"]: row["reason"] for row in answer("failed")}
    assert reasons == {"no success": "a bubble in the cell", "retracted": "asked by mistake"}


def test_by_tenant(answer) -> None:
    rows = answer("by-tenant", tenant="bench")
    assert sorted(row["value"] for row in rows) == pytest.approx([0.2, 0.72, 0.95])
    assert len(answer("by-tenant", tenant="nobody")) == 0


def test_stocks_of_a_cell(answer, find, vial) -> None:
    """Down from the cell over the vial to the stock solutions that the robot took."""
    stocks = {row["sample"] for row in answer("stocks-of-cell", cell=CELLS[1])}
    assert stocks == set(vial["wasDerivedFrom"])
    assert 0 < len(stocks) <= len(find("finales:Sample", sampleKind="stock"))


def test_not_to_be_used(answer) -> None:
    rows = answer("not-to-be-used")
    assert {row["state"]: row["reason"] for row in rows} == {
        "deleted": "the wrong bottle",
        "amended": "a better one exists",
    }
    assert [row["instead"] is not None for row in rows] == [True, False]


def test_predicted_and_measured(answer) -> None:
    """Two formulations were measured and computed at the same temperature."""
    rows = answer("predicted-and-measured")
    assert sorted(row["measured"] for row in rows) == pytest.approx([0.72, 0.95])
    assert all(0.5 < row["predicted"] < 1.5 for row in rows)


def test_end_of_life(answer) -> None:
    (row,) = answer("end-of-life")
    assert (row["cycles"], row["uncertainty"], row["cell"]) == (412, 21, CELLS[0])
    assert answer("end-of-life", lowest="1.0") == []


def test_limitations_of(answer, find) -> None:
    request = next(item for item in find("finales:Request") if "two_electrode" in item["acceptsMethod"])
    rows = answer("limitations-of", request=request["@id"].removeprefix("urn:uuid:"))
    assert {(row["tenant"], row["version"]) for row in rows} == {("asab-simulated", 1), ("bench", 2)}
    assert json.loads(rows[0]["limitations"])


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("conductivty", {}, "did you mean conductivity"),
        ("conductivity", {"minimum": "much"}, "minimum is 'much', but accepted is a number"),
        ("conductivity", {"kind": "Kind> ?x ?y . <urn:x"}, "accepted is a word of the context"),
        ("conductivity", {"colour": "red"}, r"unknown: \['colour'\]"),
        ("cells-of-vial", {}, r"lacking: \['vial'\]"),
        ("learned-from", {"suggestion": "12"}, "a whole UUID"),
    ],
)
def test_bad_parameters_are_refused(name, given, words) -> None:
    with pytest.raises(InputError, match=words):
        find_question(name).fill(given)


def test_parameters_cannot_change_the_question(answer) -> None:
    assert answer("by-tenant", tenant='bench" . ?x ?y "') == []


def test_rdflib_says_the_same(graph, vial, find) -> None:
    """The graph of rdflib has the same triples, each found by its own terms, and the same answers to all questions."""
    wrapped = as_rdflib(graph)
    assert isinstance(wrapped, rdflib.Graph)
    assert len(wrapped) == len(graph)
    assert all(triple in wrapped for triple in wrapped)
    given = {"vial": vial["identifier"], "cell": CELLS[0], "tenant": "bench"}
    given |= {key: find(f"finales:{key.title()}")[0]["@id"] for key in ("suggestion", "request")}
    n_rows = 0
    for question in list_questions():
        text = question.fill({item.name: given[item.name] for item in question.parameters if item.name in given})
        expected = [tuple(row.values()) for row in ask(graph, text).rows]
        found = [tuple(map(plain, row)) for row in wrapped.query(text)]
        assert found == expected, question.name
        n_rows += len(found)
    assert n_rows > 10


def plain(term):
    """Return a number or truth value of rdflib as such, and any other term as its text."""
    value = term.toPython() if isinstance(term, rdflib.Literal) else None
    if term is None or isinstance(value, float | int):
        return value
    # rdflib writes six digits of a second, the store writes no zeros at their end: the same moment
    return re.sub(r"(\.\d*?)0*Z$", r"\1Z", str(term).replace("+00:00", "Z")).replace(".Z", "Z")


def test_rdflib_with_words_and_bindings(graph) -> None:
    """Questions know words and prefixes, take terms of rdflib, and see what is added; the copy only is changed."""
    own = as_rdflib(make_graph_anew(graph))
    (cell,) = set(own.query("SELECT ?x WHERE { ?x a term:CoinCell } LIMIT 1"))
    assert own.query("ASK { ?x a term:CoinCell }", initBindings={"x": cell.x}).askAnswer
    own.add((cell.x, rdflib.RDFS.comment, rdflib.Literal("looked at")))
    assert str(own.value(cell.x, rdflib.RDFS.comment)) == "looked at"
    assert own.query("ASK { ?x a term:CoinCell ; ?says 'looked at' }").askAnswer
    made = own.query("CONSTRUCT { ?x a ?y } WHERE { ?x a ?y, finales:Result }").graph
    assert len(set(made.subjects())) == 13
    assert "@prefix emmo:" in own.serialize(format="turtle")


def test_without_rdflib_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "oxrdflib", None)
    monkeypatch.delitem(sys.modules, as_rdflib.__module__)
    with pytest.raises(MissingExtraError, match="fair"):
        import_module(as_rdflib.__module__)


def make_graph_anew(graph):
    """Return a copy, which a test may change."""
    import pyoxigraph

    copy = pyoxigraph.Store()
    copy.extend(graph)
    return copy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT ?x WHERE { ?x a term:Temperature }", "near are ThermodynamicTemperature"),
        ("SELECT ?x WHERE {\n ?x ?y", "no SPARQL query at line 2"),
        ("SELECT", "no SPARQL query at line 1"),
        ("SELECT ?x WHERE { ?x a nowhere:Thing }", "nowhere:Thing }; the prefixes are emmo, echem"),
        ("CONSTRUCT { ?x a ?y } WHERE { ?x a ?y }", "accepted are SELECT and ASK"),
    ],
)
def test_bad_questions_are_refused(graph, text, words) -> None:
    with pytest.raises(InputError, match=words):
        ask(graph, text)
    if "CONSTRUCT" not in text:
        with pytest.raises(InputError, match=words):
            as_rdflib(graph).query(text)


def test_own_questions(graph) -> None:
    assert ask(graph, "ASK { ?x a term:CoinCell }").rows == [{"answer": True}]
    (row,) = ask(graph, "SELECT (COUNT(?x) AS ?number) WHERE { ?x a finales:Result }").rows
    assert row["number"] == 13
    assert set(load_context()) >= {"CoinCell"}
    assert "battery#" in spell_out("?x a term:CoinCell")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * WHERE { SERVICE <http://127.0.0.1:1/x> { ?a ?b ?c } }",
        "SELECT * WHERE { ?s ?p 1service SILENT <http://127.0.0.1:1/x> { ?a ?b ?c } }",
        "ASK { ?s ?p trueSERVICE ?s { ?a ?b ?c } }",
    ],
)
def test_other_computers_are_not_asked(graph, text) -> None:
    with pytest.raises(InputError, match="cannot ask other computers"):
        ask(graph, text)
    with pytest.raises(InputError, match="cannot ask other computers"):
        as_rdflib(graph).query(text)
    assert ask(graph, "SELECT ?service WHERE { ?service a schema:Service }").rows == []


def test_plain_sparql_is_for_other_programs(triples) -> None:
    """The spelled out question needs nothing of ours but the file."""
    text = find_question("conductivity").to_sparql({})
    assert " term:" not in text
    assert len(list(triples.query(text))) == 1


def test_the_published_example_question_works(graph, shared_data) -> None:
    """A question that was written for the pattern of EMMO, not for us."""
    text = (shared_data / "ontology" / "example-query.rq").read_text()
    values = [float(row[1].value) for row in graph.query(text)]
    assert any(value == pytest.approx(0.95) for value in values)
    assert all(value > 0.5 for value in values)


def test_graph_of_a_campaign(profile) -> None:
    """It has the campaign's results only."""
    from aiida_finales.data.campaign import CampaignGroup

    own = load_graph(CampaignGroup.find("first"))
    (row,) = ask(own, "SELECT (COUNT(?x) AS ?number) WHERE { ?x a finales:Result }").rows
    assert row["number"] == 3


def test_graph_from_python(profile) -> None:
    """``aiida_finales.graph`` takes a campaign, its name, or nothing, for the whole profile."""
    import aiida_finales

    count = "SELECT (COUNT(?x) AS ?number) WHERE { ?x a finales:Result }"
    for chosen, number in ((None, 13), ("first", 3), (aiida_finales.Campaign("first"), 3)):
        (row,) = aiida_finales.graph(chosen).query(count)
        assert row.number.toPython() == number
    with pytest.raises(UnknownNodeError, match="first"):
        aiida_finales.graph("furst")


def test_commands(profile, vial, run, run_json, tmp_path) -> None:
    """The same from the command line."""
    assert len(run_json("query", "--list")) == 10
    assert "minimum=0.9" in run("query", "--list").stdout
    (row,) = run_json("query", "--named", "cells-of-vial", "--param", f"vial={vial['identifier']}")[:1]
    assert row["cell"] == CELLS[0]
    assert "412" in run("query", "--named", "end-of-life").stdout
    assert run_json("query", "SELECT ?x WHERE { ?x a term:CoinCell }", "--campaign", "first") == []
    assert "PREFIX emmo:" in run("query", "--named", "failed", "--sparql").stdout
    for wrong in ((), ("--named", "failed", "SELECT"), ("SELECT", "--param", "a=b"), ("--named", "x", "--param", "a")):
        run("query", *wrong, exit_code=2)
    turtle, linked = tmp_path / "first.ttl", tmp_path / "all.jsonld"
    run("export", "graph", "first", "--output", turtle)
    run("export", "graph", "--all", "--format", "json-ld", "--output", linked)
    assert len(rdflib.Graph().parse(linked)) > len(rdflib.Graph().parse(turtle)) > 500
    assert run("export", "graph", "first").stdout == turtle.read_text()
    run("export", "graph", exit_code=2)
    run("export", "graph", "first", "--all", exit_code=2)
