"""What an earlier version stored opens, lists, explains and exports with this one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aiida_finales.fair.package.metadata import metadata_template

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "archives" / "before_0_1.aiida"


@pytest.fixture(scope="module")
def stored(aiida_profile):
    """The profile of an earlier version: see the file beside the archive."""
    from aiida.tools.archive import import_archive

    aiida_profile.reset_storage()
    import_archive(ARCHIVE)
    return aiida_profile


def test_everything_is_listed(stored, run_json) -> None:
    (campaign,) = run_json("campaign", "list")
    # the result that was deleted since counts no more
    assert (campaign["name"], campaign["state"], campaign["evaluations"]) == ("before", "finished", "5 of 6")
    requests = run_json("request", "list", "--limit", "100")
    assert {row["quantity"] for row in requests} >= {"conductivity", "electrolyte", "cell_assembly", "capacity"}
    statuses = [row["status"] for row in run_json("result", "list", "--limit", "100")]
    assert statuses.count("deleted") == 1


def test_every_result_is_shown_and_explained(stored, run_json, run) -> None:
    rows = run_json("result", "list", "--limit", "100")
    for row in rows:
        shown = run_json("result", "show", str(row["pk"]))
        assert shown["quantity"] == row["quantity"]
        assert row["quantity"] in run("why", str(row["pk"])).output


def test_processes_are_known_by_their_classes(stored) -> None:
    from aiida import orm

    nodes = orm.QueryBuilder().append(orm.ProcessNode).all(flat=True)
    kinds = {node.process_type for node in nodes if ":finales." in str(node.process_type)}
    assert len(kinds) > 8
    for node in nodes:
        if node.process_type in kinds:
            assert node.process_class is not None


def test_the_campaign_is_packaged_and_replayed(stored, run, run_json, tmp_path) -> None:
    """The package is in order; what another version would suggest is named."""
    document = {**yaml.safe_load(metadata_template("before")), "date_published": "2026-01-31"}
    metadata = tmp_path / "meta.yaml"
    metadata.write_text(yaml.safe_dump(document))
    run("export", "campaign", "before", "--metadata", metadata, "--output", tmp_path / "out", "--scrub")
    run("export", "verify", tmp_path / "out" / "before.zip")
    # the compositions that fill the space are chosen otherwise since
    rows = run_json("campaign", "replay", "before", exit_code=1)
    assert len(rows) == 7
    assert all(row["is_same"] or " then and " in row["what"] for row in rows)
