"""``aiida-finales model``."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.operations.platform.lifetime_models import train_model
from aiida_finales.science.lifetime.data import make_twin_dataset, read_dataset


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A file of simulated cells."""
    file = tmp_path_factory.mktemp("cells") / "cells.json"
    file.write_text(make_twin_dataset(40, 7).to_json())
    return file


@pytest.fixture(scope="module")
def model(registered, cells):
    """A trained model."""
    return train_model(read_dataset(cells), {"method": "gp"})


def test_train_list_show(registered, run, run_json) -> None:
    trained = run_json("model", "train", "--simulated", 40, "--seed", 3)
    assert trained["simulated"] is True
    assert trained["data"] == "40 simulated cells, seed 3"
    assert 0 < trained["mape_percent"] < 20
    listed = run_json("model", "list")
    assert listed[-1] == trained
    shown = run_json("model", "show", trained["pk"])
    assert shown["window"] == 40
    assert shown["training"]["seed"] == 3
    assert shown["needs"] == [
        "delta_coulombic_efficiency",
        "voltage_gap_charge_discharge",
        "capacity_vector_variance",
    ]
    assert "40 simulated cells" in run("model", "list").stdout
    assert run_json("model", "show", trained["uuid"])["pk"] == trained["pk"]


def test_evaluate(model, run, run_json, cells) -> None:
    (row,) = run_json("model", "evaluate", model.pk, cells)
    assert row["n_cells"] > 5
    assert 0 < row["mape_percent"] < 20
    assert 0 < row["coverage_1sd"] <= row["coverage_2sd"] <= 1
    assert "mape percent" in run("model", "evaluate", model.pk, cells).stdout


def test_train_from_a_file(registered, run_json, cells) -> None:
    made = run_json("model", "train", cells)
    assert made["data"] == "40 simulated cells, seed 7"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of capacities, as laboratories write it: a cell fades the faster the shorter it lives."""
    lines = ["cell_id;cycle;discharge_capacity_mAh"]
    for number, life in enumerate(range(60, 260, 10)):
        lines += [f"cell-{number};{k};{4.3 * (1 - 0.2 * (k / life) ** 1.5):.5f}" for k in range(1, life + 8)]
    file = tmp_path_factory.mktemp("table") / "own.csv"
    file.write_text("\n".join(lines))
    return file


def test_table_of_own_cells(registered, run_json, table) -> None:
    """Only the capacities are learned from; cells, lives and the rule follow from the table."""
    made = run_json("model", "train", table)
    assert (made["n_cells"], made["simulated"], made["can_be_offered"]) == (20, False, True)
    shown = run_json("model", "show", made["pk"])
    assert shown["needs"] == []
    assert shown["end_of_life_rule"]["persistence"] == 3
    (row,) = run_json("model", "evaluate", made["pk"], table)
    assert (row["n_cells"], row["not_reached"]) == (20, 0)
    assert row["mape_percent"] < 15


def test_files_of_own_cyclers(registered, run, tmp_path) -> None:
    """A file per cell; too few cells are refused in words, whatever the format."""
    files = []
    for number in (1, 2):
        files.append(tmp_path / f"cell_{number}.csv")
        files[-1].write_text("cycle,discharge_capacity_Ah\n1,0.0043\n2,0.0042\n")
    assert "accepted are 8 or more" in run("model", "train", *files, exit_code=1).stderr
    files[-1].write_text("cycle,discharge_capacity_Ah\n1,0.0043\n3,0.0042\n")
    assert "without gaps" in run("model", "train", *files, exit_code=1).stderr


def test_a_nominal_capacity_of_another_unit_is_refused(registered, run, run_json, table) -> None:
    train = ("model", "train", table, "--nominal-capacity")
    words = run(*train, "4.3", exit_code=1).stderr.replace("\n", " ")
    assert "the nominal capacity is 4.3 Ah" in words
    assert "4.3 looks like mAh" in words
    assert "accepted are a number above 0 and a unit" in run(*train, "4.3 F", exit_code=1).stderr
    made = run_json(*train, "4.3 mAh")
    assert made["n_cells"] == 20


def test_published_cells(registered, run_json, shared_data) -> None:
    """From the published tables to the figures that are reported."""
    file = shared_data / "cycling" / "matr_lfp83_capacity_per_cycle.csv.gz"
    made = run_json("model", "train", file, "--group", "train")
    assert (made["simulated"], made["group"], made["n_cells"]) == (False, "train", 41)
    rows = run_json("model", "evaluate", made["pk"], file)
    assert [(row["group"], row["n_cells"]) for row in rows] == [("train", 41), ("test1", 42)]
    assert rows[1]["mape_percent"] <= 10.0


@pytest.mark.slow
def test_networks(registered, run) -> None:
    """Progress goes to standard error."""
    pytest.importorskip("torch")
    from aiida_finales.science.lifetime import lstm

    settings = lstm.LstmSettings(n_networks=2, hidden=4, epochs=2, n_samples=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lstm, "_check_settings", lambda _given, _task: lstm.replace(settings, block=4))
        done = run("model", "train", "--simulated", 40, "--method", "lstm", "--format", "json")
    assert "network 2 of 2" in done.stderr
    assert "network" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "neither of a file and --simulated"),
        (["train", "--simulated", 5], "accepted are 8 or more"),
        (["train", "--simulated", 40, "--group", "test9"], "'test9' was asked for"),
        (["show", "nothing"], "no model 'nothing'"),
    ],
)
def test_bad_input(registered, run, arguments, words) -> None:
    assert words in run("model", *arguments, exit_code=1).stderr.replace("\n", " ")


def test_node_of_another_kind(registered, run) -> None:
    node = orm.Int(1).store()
    assert "is a Int" in run("model", "show", node.pk, exit_code=1).stderr


def test_cells_of_another_task(model, run, shared_data) -> None:
    file = shared_data / "cycling" / "matr_lfp83_capacity_per_cycle.csv.gz"
    message = run("model", "evaluate", model.pk, file, exit_code=1).stderr
    assert "begin with cycle 2" in message


def test_compare(model, run, run_json, cells) -> None:
    other = run_json("model", "train", cells, "--seed", 5)["pk"]
    rows = run_json("model", "compare", model.pk, other, "--cells", cells)
    assert [row["model"] for row in rows] == [str(model.pk), str(other)]
    assert rows[0]["n_cells"] == rows[1]["n_cells"]
    assert "two or more" in run("model", "compare", model.pk, model.pk, "--cells", cells, exit_code=1).stderr


@pytest.mark.slow
def test_compare_by_what_was_left_out(model, run, run_json, cells) -> None:
    """The same cells with another seed; cells of another table are refused, and a group needs a table."""
    first, other = (run_json("model", "train", cells, "--seed", seed)["pk"] for seed in (6, 7))
    rows = run_json("model", "compare", first, other)
    assert [row["model"] for row in rows] == [str(first), str(other)]
    assert {row["left_out"] for row in rows} == {"protocols, all cells"}
    assert min(rows, key=lambda row: row["mape_percent"])["is_best"]
    strange = run_json("model", "train", "--simulated", 40, "--seed", 9)["pk"]
    assert "models of different cells" in run("model", "compare", strange, other, exit_code=1).stderr
    assert "name files" in run("model", "compare", first, other, "--group", "a", exit_code=2).stderr


def test_answers_are_drawn_into_a_folder(model, run) -> None:
    assert "--figures DIR" in run("model", "show", model.pk, "--answer", 3, exit_code=2).stderr
