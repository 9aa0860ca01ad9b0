"""Packages as a person makes, checks and opens them on the command line; and what is said to wrong input."""

from __future__ import annotations

import json
import random
import re
import shutil

import pytest
from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.result import ResultData
from aiida_finales.fair.package import checksums
from aiida_finales.fair.package.metadata import metadata_template
from aiida_finales.schemas.values import format_value

NAME = "first"


@pytest.fixture(scope="module")
def folder(profile, tmp_path_factory):
    """Where the packages of this module are."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture
def meta(tmp_path):
    """Return a function that writes a file with metadata, as the template has it but for changes."""

    def write(before="", after="", text=None):
        path = tmp_path / "meta.yaml"
        template = metadata_template(NAME)
        assert before in template
        path.write_text(template.replace(before, after) if text is None else text)
        return path

    return write


@pytest.fixture
def package(folder, meta, run_json):
    """A package, made once by the command."""
    if not (folder / NAME).exists():
        made = run_json("export", "campaign", NAME, "--metadata", meta(), "--output", folder, "--scrub")
        assert (made["folder"], made["zip"]) == (str(folder / NAME), str(folder / f"{NAME}.zip"))
    return folder / NAME


@pytest.fixture
def copy(package, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(package, tmp_path / "copy")


def test_steps_are_told(package, run, meta, tmp_path) -> None:
    """Who waits sees what is done, and what was replaced."""
    told = run("export", "campaign", NAME, "--metadata", meta(), "--output", tmp_path / "out", "--scrub").stderr
    steps = ("looks for the nodes", "copies ", "writes the archive", "writes tables", "writes raw data",
             "draws figures", "describes the files", "writes the zip", "replaced: ", "package ")  # fmt: skip
    places = [told.index(words) for words in steps]
    assert places == sorted(places)
    assert "meta.yaml is still the one of the template: say who it was" in told.replace("\n", " ")


def test_private_things_are_listed(profile, run, meta, tmp_path) -> None:
    """Before anything leaves, each of them is named with the two ways out; nothing is written."""
    said = run("export", "campaign", NAME, "--metadata", meta(), "--output", tmp_path / "out", exit_code=1).stderr
    assert re.search("private things? would leave", said)
    assert "--scrub" in said
    assert "--accept-privacy" in said
    assert not (tmp_path / "out").exists()
    accepted = ("--output", tmp_path / "out", "--accept-privacy")
    told = run("export", "campaign", NAME, "--metadata", meta(), *accepted).stderr
    assert "left: " in told


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("title: Data of the campaign first\n", "", "key 'title' is missing"),
        ("0000-0002-1825-0097", "0000-0002-1825-0098", "orcid of Josiah"),
        ("licence: CC-BY-4.0", "licence: mine", "licence is 'mine'"),
        ("openness: public", "openness: secret", "openness is 'secret'"),
        ("openness: public", "openness: restricted\nembargo: 1", "unknown key 'embargo': did you mean"),
        ("embargo_until: null", "embargo_until: soon", "embargo_until is 'soon'"),
        ("keywords: [electrolyte, battery, materials acceleration platform]", "keywords: [one]", "keywords"),
    ],
)
@pytest.mark.usefixtures("profile")
def test_wrong_metadata(run, meta, tmp_path, before, after, words) -> None:
    """The key that is wrong is named, with what was given and what is accepted."""
    arguments = ("--metadata", meta(before, after), "--output", tmp_path / "out")
    assert words in run("export", "campaign", NAME, *arguments, exit_code=1).stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty, but accepted are lines with key and value"),
        ("- a list", "holds a list, but accepted are lines with key and value"),
        ("title: [", "is no YAML: line 1, column 9"),
        ("\x00", "has zero bytes: it is no text"),
    ],
)
def test_metadata_that_is_none(profile, run, meta, tmp_path, text, words) -> None:
    """A file that has no keys and values is said to have none."""
    said = run("export", "campaign", NAME, "--metadata", meta(text=text), "--output", tmp_path, exit_code=1).stderr
    assert words in said


def test_wrong_use(package, run, meta) -> None:
    """What is missing or unknown is named."""
    assert "--metadata" in run("export", "campaign", NAME, exit_code=2).stderr
    assert "does not exist" in run("export", "campaign", NAME, "--metadata", "nowhere.yaml", exit_code=2).stderr
    unknown = run("export", "campaign", "second", "--metadata", meta(), exit_code=1).stderr
    assert "no campaign 'second'; there are first" in unknown
    arguments = ("--metadata", meta(), "--output", package.parent)
    there = run("export", "campaign", NAME, *arguments, "--scrub", exit_code=1).stderr
    assert f"{package} is there already: remove it, or choose another folder" in there
    said = run("export", "campaign", NAME, *arguments, "--confidential", "nothing", exit_code=1).stderr
    assert "no node 'nothing'" in said
    assert "there are first" in run("export", "graph", "second", exit_code=1).stderr
    assert "there are first" in run("query", "ASK { ?a ?b ?c }", "--campaign", "second", exit_code=1).stderr
    assert "did you mean conductivity" in run("query", "--named", "conductivty", exit_code=1).stderr
    assert "no SPARQL query at line 1" in run("query", "give me all", exit_code=1).stderr


def test_file_in_the_way(package, run, meta, tmp_path) -> None:
    """A place where no folder can be made is an error that names it."""
    (tmp_path / "file").write_text("")
    arguments = ("--metadata", meta(), "--output", tmp_path / "file", "--scrub")
    assert "file" in run("export", "campaign", NAME, *arguments, exit_code=2).stderr


def test_verify(package, copy, run, run_json) -> None:
    """A whole package is said to be whole; of a spoilt one each defect is a row, and the exit status is 1."""
    assert run_json("export", "verify", package) == []
    assert "is whole" in run("export", "verify", package.parent / f"{NAME}.zip").stderr
    (copy / "tenants.json").unlink()
    (copy / "CITATION.cff").write_text("title: mine\n")
    defects = [row["defect"] for row in run_json("export", "verify", copy, exit_code=1)]
    assert any("tenants.json" in words for words in defects)
    assert any("CITATION.cff" in words for words in defects)
    assert "does not exist" in run("export", "verify", copy / "nowhere", exit_code=2).stderr


def test_broken_packages(package, copy, run) -> None:
    """What is no package, or half of one, is refused before anything is imported."""
    n_nodes = orm.QueryBuilder().append(orm.Node).count()
    half = copy.parent / "half.zip"
    half.write_bytes((package.parent / f"{NAME}.zip").read_bytes()[:5000])
    (copy.parent / "empty").mkdir()
    (copy.parent / "text.aiida").write_text("nothing")
    (copy / "campaign.aiida").write_bytes((copy / "campaign.aiida").read_bytes()[:-100])
    checksums.write_checksums(copy)
    for path, words in (
        (half, "is no package"),
        (copy.parent / "empty", "campaign.aiida is missing"),
        (copy.parent / "text.aiida", "text.aiida is no AiiDA archive"),
        (copy, "is no AiiDA archive"),
    ):
        assert words in run("import", "archive", path, exit_code=1).stderr, path
    assert orm.QueryBuilder().append(orm.Node).count() == n_nodes


def test_flipped_bits_are_found(package, copy, run) -> None:
    """Wherever in the archive of a package a bit is another one, it is a defect and no crash."""
    archive, draw = copy / "campaign.aiida", random.Random(1)
    whole = archive.read_bytes()
    for _ in range(12):
        spoilt = bytearray(whole)
        spoilt[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        archive.write_bytes(spoilt)
        assert "campaign.aiida" in run("export", "verify", copy, exit_code=1).stdout


def test_imported_campaign_is_told_of(package, aiida_profile, run, run_json, tmp_path) -> None:
    """In a new profile all that reads works as where it was made: why, query, report, show, export."""
    results = {
        node.uuid: format_value(node.value, node.uncertainty)
        for node in CampaignGroup.find(NAME).nodes
        if isinstance(node, ResultData)
    }
    stories = {uuid: run_json("why", uuid) for uuid in results}
    before = run_json("query", "--named", "by-tenant", "--param", "tenant=empirical_model", "--campaign", NAME)
    aiida_profile.reset_storage()
    imported = run_json("import", "archive", package.parent / f"{NAME}.zip")
    assert imported["campaigns"] == [NAME]
    group = CampaignGroup.find(NAME)
    members = {node.uuid for node in group.nodes}
    group.remove_nodes([node for node in group.nodes if node.uuid in results])  # as if a snapshot had been here before
    assert run_json("import", "archive", package)["new_nodes"] == 0
    assert {node.uuid for node in group.nodes} == members
    for uuid, value in results.items():
        story = run_json("why", uuid)
        assert story["result"]["uuid"] == uuid
        assert set(story) == set(stories[uuid])
        assert value in run("why", uuid).stdout
    asked = run_json("query", "--named", "by-tenant", "--param", "tenant=empirical_model", "--campaign", NAME)
    assert sorted(map(str, asked)) == sorted(map(str, before))
    rows = run_json("query", "SELECT ?r WHERE { ?r a finales:Result }", "--campaign", NAME)
    assert {row["r"] for row in rows} >= {f"urn:uuid:{uuid}" for uuid in results}
    shown = run_json("campaign", "show", NAME)
    assert shown["name"] == NAME
    run("campaign", "report", NAME, "--output", tmp_path / "report")
    tables = [path.read_text() for path in (tmp_path / "report").glob("*.csv")]
    assert tables
    assert list((tmp_path / "report").glob("*.png"))
    turtle = tmp_path / "graph.ttl"
    run("export", "graph", NAME, "--output", turtle)
    assert all(uuid in turtle.read_text() for uuid in results)


def test_withheld_nodes_are_imported(profile, aiida_profile, run, run_json, meta, tmp_path) -> None:
    """A package that tells of confidential nodes only that they exist can be opened, asked, and exported again."""
    results = [node for node in CampaignGroup.find(NAME).nodes if isinstance(node, ResultData)]
    secret = max(results, key=lambda item: item.ctime).uuid
    arguments = ("export", "campaign", NAME, "--metadata", meta(), "--scrub", "--confidential", secret, "--output")
    run(*arguments, tmp_path / "first")
    assert read_counts(tmp_path / "first")["withheld"] > 1
    aiida_profile.reset_storage()
    run("import", "archive", tmp_path / "first" / f"{NAME}.zip")
    assert f"urn:uuid:{secret}" not in run("export", "graph", "--all").stdout
    assert "no result" in run("why", secret, exit_code=1).stderr
    run("campaign", "show", NAME)
    run("campaign", "report", NAME, "--output", tmp_path / "report")
    run(*arguments[:-3], "--output", tmp_path / "again")
    assert read_counts(tmp_path / "again") == read_counts(tmp_path / "first")
    assert run_json("export", "verify", tmp_path / "again" / NAME) == []


def read_counts(folder):
    return json.loads((folder / NAME / "metadata.json").read_text())["counts"]
