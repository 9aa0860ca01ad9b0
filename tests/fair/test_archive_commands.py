"""``aiida-finales archive`` as a person types it."""

from __future__ import annotations

import json

import pytest

from tests.fair.deposit.fake_invenio import TOKEN, serve
from tests.fair.deposit.test_deposit import METADATA, make_package


@pytest.fixture
def archive(monkeypatch):
    with serve() as fake:
        monkeypatch.setenv("AIIDA_FINALES_127_0_0_1_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def package(tmp_path):
    return make_package(tmp_path / "ocond")


def test_from_draft_to_next_version(archive, package, run, run_json) -> None:
    """A draft; a refusal at the question; publication; the status; a confidential package stays here."""
    drafted = run_json("archive", "deposit", package, "--archive", archive.url)
    assert (drafted["status"], drafted["files"]) == ("draft", 6)
    asked = run("archive", "deposit", package, "--archive", archive.url, "--publish", exit_code=1, answer="n\n")
    for shown in (METADATA["title"], "Lovelace, Ada", "CC-BY-4.0", "public: campaign.aiida", "cannot be undone"):
        assert shown in asked.stderr
    assert not archive.records[drafted["record"]].is_published
    published = run_json("archive", "deposit", package, "--archive", archive.url, "--publish", "--force")
    assert (published["record"], published["status"]) == (drafted["record"], "published")
    (row,) = run_json("archive", "status", package, "--ask")
    assert row["doi"] == published["doi"] == f"10.5072/{row['record']}"
    again = run("archive", "deposit", package, "--archive", archive.url, "--new-version-of", row["record"])
    assert "6/6" in again.stderr
    assert len(archive.records) == 2


def test_refusals(archive, package, run, monkeypatch) -> None:
    """Wrong archives, missing tokens and communities are messages, before anything is sent."""
    assert "accepted are" in run("archive", "deposit", package, "--archive", "zenudo", exit_code=1).stderr
    arguments = ("archive", "deposit", package, "--archive", "big-map", "--publish")
    assert "--community SLUG" in run(*arguments, exit_code=1).stderr
    (package / "metadata.json").write_text(json.dumps({**METADATA, "openness": "confidential"}))
    refused = run("archive", "deposit", package, "--archive", archive.url, exit_code=1)
    assert "openness is confidential" in refused.stderr
    assert archive.calls == []
    assert "is not deposited anywhere" in run("archive", "status", package).stderr


def test_token_is_not_shown(archive, package, run) -> None:
    """Nothing that a command prints has the token in it, even where the archive sends it back."""
    archive.plan("echo", "POST /api/records$")
    arguments = ("archive", "deposit", package, "--archive", archive.url, "--verbosity", "debug")
    failed = run(*arguments, exit_code=1)
    assert "bad headers" in failed.stderr
    assert TOKEN not in failed.output + failed.stderr


@pytest.mark.usefixtures("aiida_profile_clean")
def test_backup_and_schedule(run, run_json, tmp_path) -> None:
    """The back-up says where it is; the schedule is printed, nothing is installed."""
    made = run_json("archive", "backup", "--to", tmp_path / "backups")
    assert (tmp_path / "backups" / made["profile"] / "last" / "database.sqlite").is_file()
    printed = run("archive", "schedule", "--every", "weekly", "--to", tmp_path / "backups").stdout
    assert "[Timer]\nOnCalendar=Mon *-*-* 03:17:00" in printed
    assert f"--to {tmp_path / 'backups'} --keep 14" in printed
    assert set(run_json("archive", "schedule", "--to", tmp_path)) == {"name", "service", "timer", "cron"}
