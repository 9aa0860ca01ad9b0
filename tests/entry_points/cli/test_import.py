"""``aiida-finales import spectra`` and ``import cycling``: what is said, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "docs" / "how-to" / "files"
ABOUT = ("--cell-constant", "1.02 1/cm", "--temperature", "25 degC", "--formulation", "LiPF6=0.08,EC=0.3,EMC=0.62")


def test_spectra(registered, run, run_json) -> None:
    """Both spectra of the file; a second time nothing is stored."""
    arguments = ("import", "spectra", FILES / "cell_3.mpt", *ABOUT, "--simulated")
    assert "would be stored: 2 results" in run(*arguments, "--dry-run").stderr
    rows = run_json(*arguments)
    # 102 1/m over the resistances that the file was made with
    assert [row["value"] for row in rows] == pytest.approx([102 / 102.3, 102 / 102.6], rel=2e-3)
    assert [(row["method"], row["simulated"], row["rating"] > 3) for row in rows] == [("two_electrode", True, True)] * 2
    again = run(*arguments)
    assert "was imported before" in again.stderr
    assert str(rows[0]["pk"]) in again.stdout


def test_cycling(registered, run, run_json, tmp_path) -> None:
    (row,) = run_json("import", "cycling", FILES / "cell_07.bdf.csv", "--simulated", "--formation", 1)
    assert (row["quantity"], row["cell"], row["cycles"], row["rating"]) == ("capacity", "cell_07.bdf", 4, 4)
    assert row["first_Ah"] == pytest.approx(0.0043, rel=1e-4)
    file = tmp_path / "cap.csv"
    file.write_text("cycle,discharge_capacity_Ah\n1,0.0043\n2,0.0038\n")
    assert "0.0043" in run("import", "cycling", file).stdout
    # the other command says which one it is
    assert "import cycling" in run("import", "results", file, "--quantity", "capacity", exit_code=1).stderr


def test_rows_of_a_table_are_shown_before_they_are_stored(registered, run, run_json, count_nodes, tmp_path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("temperature_C,electrolyte,conductivity_mS_cm\n25,1 m NaFSI in G2,8.9;9.1\n")
    arguments, before = ("import", "results", file, "--quantity", "conductivity"), count_nodes()
    (row,) = run_json(*arguments, "--dry-run")
    assert (row["value"], row["temperature_K"]) == (pytest.approx(0.9), 298.15)
    assert count_nodes() == before
    (stored,) = run_json(*arguments)
    assert {key: stored[key] for key in row} == pytest.approx(row)
    assert "would be stored: 0 results; here before: 1" in run(*arguments, "--dry-run").stderr


def test_bad_input(registered, run, tmp_path) -> None:
    file = tmp_path / "a.mpr"
    file.write_bytes(b"BIO-LOGIC MODULAR FILE")
    assert "galvani" in run("import", "cycling", file, exit_code=1).stderr
    assert "name FILES" in run("import", "cycling", exit_code=2).stderr
    assert (
        "accepted is a number in K, or a text as"
        in run("import", "spectra", file, *ABOUT[:3], "25 Fahrenheit", exit_code=1).stderr
    )


def test_data_of_others_say_what_may_be_done_with_them(registered, run_json, tmp_path) -> None:
    """What must not be passed on is marked, with its file; the licence is an input of what made the result."""
    from aiida import orm

    from aiida_finales.data.nodes import OPENNESS

    file = tmp_path / "theirs.csv"
    file.write_text("cell_id,cycle,discharge_capacity_mAh\n" + "".join(f"z,{n},{5.3 - n}\n" for n in range(1, 5)))
    (row,) = run_json("import", "cycling", file, "--reference", "10.1/x", "--licence", "all rights", "--restricted")
    result = orm.load_node(row["uuid"])
    assert result.base.extras.get(OPENNESS) == "restricted"
    inputs = result.creator.base.links.get_incoming().all_nodes()
    (raw,) = (node for node in inputs if isinstance(node, orm.SinglefileData))
    assert raw.base.extras.get(OPENNESS) == "restricted"
    (settings,) = (node for node in inputs if isinstance(node, orm.Dict))
    assert settings.get_dict()["licence"] == "all rights"
