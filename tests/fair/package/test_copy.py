"""The copy of nodes in a package is the archive that AiiDA itself would make of them."""

from __future__ import annotations

import sqlite3
import tempfile
import zipfile
from pathlib import Path

import pytest
from aiida import orm
from aiida.tools.archive import create_archive
from aiida.tools.graph.graph_traversers import get_nodes_export

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.fair.graph.selection import campaign_pks, profile_pks
from aiida_finales.fair.package.archive import DATABASE, REPOSITORY, read_archive
from aiida_finales.fair.package.copy import closure, copy_nodes
from aiida_finales.fair.package.draft import find_ended

#: of AiiDA's tables, with columns that are not the data's own
TABLES = ("user", "computer", "node", "link", "log", "comment", "group", "group_dbnodes", "authinfo")


def read_rows(archive: Path, folder: Path) -> dict[str, list[str]]:
    """Return all rows of an archive by table, and the contents of its files; links have no identity of their own."""
    with zipfile.ZipFile(archive) as bundle:
        (folder / DATABASE).write_bytes(bundle.read(DATABASE))
        files = sorted(f"{name} {bundle.read(name)!r}" for name in bundle.namelist() if name.startswith(REPOSITORY))
    connection = sqlite3.connect(folder / DATABASE)
    found = {"files": files}
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info(db_db{table})")]
        words = ", ".join(name for name in columns if (table, name) != ("link", "id"))
        found[table] = sorted(map(str, connection.execute(f"SELECT {words} FROM db_db{table}")))
    connection.close()
    return found


@pytest.fixture(scope="module")
def pks(profile) -> set[int]:
    return campaign_pks(CampaignGroup.find("first"))


@pytest.mark.parametrize("with_callers", [True, False])
@pytest.mark.slow
def test_closure_is_aiidas(pks, with_callers) -> None:
    """From the campaign, from all processes one by one, and from single data, with and without callers."""
    rules = {} if with_callers else {"call_calc_backward": False, "call_work_backward": False}
    everything = orm.QueryBuilder().append(orm.Node, project="id").all(flat=True)
    sizes = set()
    for start in (pks, *({pk} for pk in everything)):
        found = closure(start, with_callers=with_callers)
        assert found == get_nodes_export(starting_pks=start, **rules)["nodes"]
        sizes.add(len(found))
    assert min(sizes) < len(pks) < max(sizes) + 1


def test_rows_and_files_are_aiidas(pks, tmp_path) -> None:
    node = orm.load_node(max(closure(pks)))
    node.base.comments.add("looks right")
    create_archive([orm.load_node(pk) for pk in sorted(pks)], tmp_path / "theirs.aiida", compression=0)
    (tmp_path / "ours.aiida").write_text("what an interrupted attempt left")
    copy_nodes(closure(pks), tmp_path / "ours.aiida")
    ours, theirs = (read_rows(tmp_path / name, tmp_path) for name in ("ours.aiida", "theirs.aiida"))
    assert {name: len(rows) for name, rows in theirs.items() if rows}.keys() >= {"node", "link", "log", "comment"}
    assert ours == theirs


@pytest.mark.parametrize("kind", [orm.WorkChainNode, orm.CalcFunctionNode, orm.CalculationNode])
def test_what_has_ended_is_copied_while_a_process_runs(profile, tmp_path, kind) -> None:
    """Whatever runs, and wherever it stands: it, its callers and what it has made are left out, the rest is there."""
    everything = profile_pks()
    for pk in orm.QueryBuilder().append(kind, project="id").all(flat=True):
        process = orm.load_node(pk).backend_entity
        process.delete_attribute("sealed")
        try:
            found = find_ended(everything)
        finally:
            process.set_attribute("sealed", value=True)
        assert pk not in found
        assert found == closure(found, with_callers=False)
        assert len(found) > len(everything) / 2
    campaign = CampaignGroup.find("first")
    copy_nodes(found, tmp_path / "copy.aiida", {campaign.pk})
    archive = read_archive(tmp_path / "copy.aiida")
    assert len(archive.nodes) == len(found)
    assert [group.label for group in archive.groups] == [campaign.label]
    assert set(archive.groups[0].members) <= set(archive.by_uuid)


def test_nothing_that_runs_code_is_copied(profile, tmp_path) -> None:
    """A process that failed may have kept its checkpoint, which AiiDA would load."""
    process = orm.QueryBuilder().append(orm.WorkChainNode, project="id").first(flat=True)
    storage = orm.load_node(process).backend_entity
    storage.set_attribute(orm.ProcessNode.CHECKPOINT_KEY, "!!python/object:evil")
    try:
        copy_nodes(closure({process}), tmp_path / "ours.aiida")
    finally:
        storage.delete_attribute(orm.ProcessNode.CHECKPOINT_KEY)
    assert "evil" not in str(read_rows(tmp_path / "ours.aiida", tmp_path))


def test_what_cannot_be_written_leaves_nothing_behind(pks, tmp_path, monkeypatch) -> None:
    """AiiDA makes its database, which may be large, in the folder for temporary files before it opens the archive."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(FileNotFoundError):
        copy_nodes(closure(pks), tmp_path / "absent" / "whole.aiida")
    assert list(temporary.iterdir()) == []
