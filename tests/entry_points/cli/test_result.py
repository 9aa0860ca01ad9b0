"""Results: listed, imported once, amended, deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[3] / "examples" / "data" / "calisol23_lipf6_ec_emc_20.csv"


@pytest.fixture
def imported(lab, run_json) -> list[dict]:
    """The rows of the example, as results."""
    return run_json("import", "results", TABLE, "--quantity", "conductivity", "--reference", "10.1/x", "--rating", 4)


def test_import_once(imported, run, run_json) -> None:
    """A file is stored once, whatever it is called; each row is a result with its rating."""
    assert len(imported) == 20
    assert imported[0]["value"] == pytest.approx(0.71619)
    assert imported[0]["rating"] == 4
    assert imported[0]["molality"] == pytest.approx(0.6178, abs=1e-3)
    again = run("import", "results", TABLE, "--quantity", "conductivity")
    assert "was imported before" in again.stderr
    assert len(run_json("result", "list", "--method", "literature")) == 20
    assert len(run_json("result", "list", "--limit", 3)) == 3
    of_one = ("result", "list", "--method", "literature", "--limit", 3)
    assert "the latest 3 of 20 results" in run(*of_one).stderr


def test_bad_table(lab, run, run_json, write) -> None:
    """A row that cannot be used stops the import before anything is stored."""
    n_before = len(run_json("result", "list"))
    table = "temperature_K,conductivity_S_per_m,x_EC,x_EMC\n300,1,0.5,0.5\n300,much,0.5,0.5\n300,1,0.5,0.2\n"
    refused = run("import", "results", write(table, "bad.csv"), "--quantity", "conductivity", exit_code=1).stderr
    assert "2 of 3 rows cannot be used, nothing was stored: row 2: conductivity_S_per_m is 'much'" in refused
    unknown = ("import", "results", TABLE, "--quantity", "conductivity", "--method", "guess")
    assert "no active capability conductivity/guess" in run(*unknown, exit_code=1).stderr
    assert len(run_json("result", "list")) == n_before


def test_say_what_the_values_are(lab, run, write) -> None:
    """What a table is of is said once: by options, or by the map."""
    refused = run("import", "results", TABLE, exit_code=2).stderr
    assert "--quantity, or --map" in refused
    table_map = write("quantity: conductivity\ncolumns: {temperature_K: T}\n", "map.yaml")
    both = run("import", "results", TABLE, "--map", table_map, "--rating", 3, exit_code=2).stderr
    assert "--rating is for a table without map" in both


def test_show(imported, run, run_json) -> None:
    """A result is shown with its data."""
    shown = run_json("result", "show", imported[0]["uuid"][:13])
    assert shown["data"]["conductivity"]["values"] == [pytest.approx(0.71619)]
    assert "LiPF6 0.0584" in run("result", "show", imported[0]["pk"]).stdout
    assert "see 'aiida-finales result list'" in run("result", "show", "nothing", exit_code=1).stderr


def test_amend_and_delete(imported, run, run_json) -> None:
    """A result is amended and deleted for a reason, which stays in its history."""
    first, second = imported[0]["pk"], imported[1]["pk"]
    run("result", "amend", first, "--reason", "unit was wrong", "--replacement", second)
    shown = run_json("result", "show", first)
    assert shown["status"] == "amended"
    assert shown["replacement"] == imported[1]["uuid"]
    run("result", "delete", second, "--reason", "bubble", answer="n\n", exit_code=1)
    run("result", "delete", second, "--reason", "bubble", "--force")
    assert run_json("result", "show", second)["status"] == "deleted"
    assert "deleted" in run("result", "delete", second, "--reason", "again", "--force", exit_code=1).stderr
    assert "bubble" in run("result", "show", second).stdout


def test_why_of_existing_data(imported, run, run_json) -> None:
    """The story of an imported value ends at its file and row."""
    told = run("why", imported[4]["pk"]).stdout
    assert "nobody: it is an unsolicited result" in told
    assert "from file calisol23_lipf6_ec_emc_20.csv" in told
    story = run_json("why", imported[4]["pk"])
    assert story["request"] is None
    assert story["result"]["simulated"] is False
