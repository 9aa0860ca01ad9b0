"""Whatever is missing, changed or cut off in a package is found."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import zipfile

import pytest

from aiida_finales import __version__
from aiida_finales.exceptions import InputError
from aiida_finales.fair.package import checksums, verify
from aiida_finales.fair.package.archive import DATABASE
from aiida_finales.fair.package.export import Wishes, export_campaign
from aiida_finales.fair.package.receive import receive_package
from aiida_finales.fair.package.verify import verify_package
from tests.fair.package.test_export import make_metadata


@pytest.fixture(scope="module")
def whole(profile, tmp_path_factory):
    return export_campaign("first", make_metadata(), tmp_path_factory.mktemp("packages"), Wishes(scrub=True))


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole.folder, tmp_path / "copy")


def change_line(path, number, before, after):
    lines = path.read_text().splitlines(keepends=True)
    assert before in lines[number]
    lines[number] = lines[number].replace(before, after)
    path.write_text("".join(lines))


def change_archive(folder, *statements):
    """Change the database in the archive, and let the checksums agree, as somebody would who knows how."""
    archive = folder / "campaign.aiida"
    with zipfile.ZipFile(archive) as bundle:
        content = {name: bundle.read(name) for name in bundle.namelist()}
    database = folder.parent / "database"
    database.write_bytes(content[DATABASE])
    connection = sqlite3.connect(database)
    with connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    connection.close()
    content[DATABASE] = database.read_bytes()
    with zipfile.ZipFile(archive, "w") as bundle:
        for name, item in content.items():
            bundle.writestr(name, item)
    checksums.write_checksums(folder)


def test_whole_package_is_whole(whole):
    assert verify_package(whole.folder) == []
    assert verify_package(whole.zip) == []


def test_package_of_another_version_is_whole_where_that_makes_the_same(folder, monkeypatch):
    monkeypatch.setattr(verify, "__version__", "9.9.9")
    assert verify_package(folder) == []


def test_what_another_version_may_make_otherwise_is_told_as_such(folder, monkeypatch):
    """Before what differs from what this version makes; what no version may change is told before it."""
    table = folder / "tables" / "conductivity.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    before = verify_package(folder)
    monkeypatch.setattr(verify, "__version__", "9.9.9")
    *changed, words, different = verify_package(folder)
    assert [*changed, different] == before
    assert any("conductivity.csv" in item for item in changed)
    assert f"version {__version__} wrote the package" in words
    assert "is missing: " in different


def test_every_file_is_missed(whole, tmp_path):
    """Each file of a package is missed when it is removed, even from the list of checksums, too."""
    for path in checksums.list_paths(whole.folder):
        copy = shutil.copytree(whole.folder, tmp_path / "copy")
        (copy / path).unlink()
        if path != checksums.FILE:
            checksums.write_checksums(copy)
        assert any(path in words for words in verify_package(copy)), path
        shutil.rmtree(copy)


def test_removed_line_of_the_checksums(folder):
    lines = (folder / checksums.FILE).read_text().splitlines(keepends=True)
    (folder / checksums.FILE).write_text("".join(lines[1:]))
    assert verify_package(folder) == [f"{lines[0].split('  ')[1].strip()} is there, but not listed in {checksums.FILE}"]


@pytest.mark.parametrize("is_hidden", [False, True], ids=["as it is", "checksums renewed"])
def test_changed_number(folder, is_hidden):
    table = folder / "tables" / "conductivity.csv"
    (row, *_) = csv.DictReader(table.open())
    value = row["conductivity / S/m"]
    change_line(table, 1, value, f"{float(value) + 1e-9!r}")
    if is_hidden:
        checksums.write_checksums(folder)
    assert any("row 1, conductivity / S/m: has" in words for words in verify_package(folder))


def test_missing_row(folder):
    table = folder / "tables" / "conductivity.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    checksums.write_checksums(folder)
    assert any("is missing: " in words and "conductivity.csv" in words for words in verify_package(folder))


def test_missing_thing_in_the_graph(folder):
    path = folder / "graph.jsonld"
    document = json.loads(path.read_text())
    gone = document["@graph"].pop()
    path.write_text(json.dumps(document))
    checksums.write_checksums(folder)
    assert f"graph.jsonld: {gone['@id']} is missing" in verify_package(folder)


def test_cut_link_in_the_crate(folder):
    """An action that no longer says what it used or made."""
    path = folder / "ro-crate-metadata.json"
    document = json.loads(path.read_text())
    action = next(item for item in document["@graph"] if item["@type"] == "CreateAction" and item.get("result"))
    action.pop("result")
    path.write_text(json.dumps(document))
    checksums.write_checksums(folder)
    assert any(f"result of {action['@id']} is null" in words for words in verify_package(folder))


def test_cut_link_in_the_archive(folder):
    change_archive(folder, "DELETE FROM db_dblink WHERE type = 'create'")
    words = verify_package(folder)
    assert any("has no process that made it" in item for item in words)
    assert any("tables/links.csv" in item for item in words)


def test_missing_node_in_the_archive(folder):
    result = "(SELECT max(id) FROM db_dbnode WHERE node_type LIKE '%Result%')"
    change_archive(
        folder,
        f"DELETE FROM db_dblink WHERE output_id = {result} OR input_id = {result}",
        f"DELETE FROM db_dbgroup_dbnodes WHERE dbnode_id = {result}",
        f"DELETE FROM db_dbnode WHERE id = {result}",
    )
    words = verify_package(folder)
    assert any("tables/conductivity.csv" in item for item in words)
    assert any("is in no campaign.aiida" in item for item in words)


def test_changed_number_in_the_archive(folder):
    change_archive(
        folder,
        "UPDATE db_dbnode SET attributes = json_set(attributes, '$.value', 0.5) WHERE node_type LIKE '%Result%'",
    )
    assert any("conductivity / S/m" in words for words in verify_package(folder))


def test_damaged_package_is_not_imported(folder):
    (folder / "tenants.json").unlink()
    with pytest.raises(InputError, match=r"is not whole, nothing was imported: .*tenants.json"):
        receive_package(folder)


def test_no_package(tmp_path):
    (tmp_path / "text.zip").write_text("nothing")
    with pytest.raises(InputError, match="is no package"):
        verify_package(tmp_path / "text.zip")
