"""``aiida-finales cycling``."""

from __future__ import annotations

from aiida import orm


def test_clean_keeps_what_was_changed(registered, run_json, tmp_path) -> None:
    lines = ["cell_id,cycle,discharge_capacity_Ah"]
    lines += [f"cell 7,{k},{0.0 if k == 50 else 1.1 * (1 - 0.25 * (k / 300) ** 2):.5f}" for k in range(1, 301)]
    file = tmp_path / "own.csv"
    file.write_text("\n".join(lines))
    (row,) = run_json("cycling", "clean", file, "--output", tmp_path / "out")
    assert (row["cell"], row["n_points"], row["n_outliers"]) == ("cell 7", 300, 1)
    assert abs(row["cycle_at_80"] - 268) < 8
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cell_7_cleaned.png", "own_cleaned.csv"]
    process = (
        orm.QueryBuilder()
        .append(orm.CalcFunctionNode)
        .order_by({orm.CalcFunctionNode: {"id": "desc"}})
        .first(flat=True)
    )
    assert process.outputs.changes.get_dict()["cells"]["cell 7"]["outlier_cycles"] == [50.0]
    assert process.inputs.file.filename == "own.csv"


def test_clean_refuses_in_words(registered, run, tmp_path) -> None:
    file = tmp_path / "short.csv"
    file.write_text("cell_id,cycle,discharge_capacity_Ah\na,1,1.1\na,2,1.1\n")
    answer = run("cycling", "clean", file, "--output", tmp_path, exit_code=1)
    assert "accepted are 5 or more" in answer.stderr
    assert "cell a: 2 cycles" in answer.stderr
    answer = run("cycling", "clean", file, "--cell", "b", "--output", tmp_path, exit_code=1)
    assert "short.csv has no cell 'b', but a" in answer.stderr
    names = [f"NASA-B00{n}" for n in range(45, 60)]
    file.write_text("\n".join(["cell_id,cycle,discharge_capacity_Ah", *(f"{name},1,1.1" for name in names)]))
    answer = run("cycling", "clean", file, "--cell", "NASA-B49", "--output", tmp_path, exit_code=1)
    assert "but 15 cells; it is most like NASA-B0049" in answer.stderr
    answer = run("cycling", "clean", file, "--window", 4, "--output", tmp_path, exit_code=1)
    assert "odd number" in answer.stderr


def test_one_cell_that_is_too_short_does_not_stop_the_others(registered, run, tmp_path) -> None:
    lines = [f"a,{k},{1.1 - 0.001 * k:.4f}" for k in range(1, 101)] + ["b,1,1.1"]
    lines += [f"c,{k},{1500 - k}" for k in range(1, 9)]
    file = tmp_path / "own.csv"
    file.write_text("\n".join(["cell_id,cycle,discharge_capacity_Ah", *lines]))
    answer = run("cycling", "clean", file, "--output", tmp_path)
    words = " ".join(answer.stderr.split())
    assert "left out: cell b: 1 cycles have a capacity above 0" in words
    assert "left out: cell c: its capacities go up to 1499 Ah, accepted are" in words
    assert "that looks like mAh" in words
    assert [line.split()[0] for line in answer.stdout.splitlines()[2:]] == ["a"]


def test_formation_is_set_apart(registered, run, run_json, tmp_path) -> None:
    values = [1.3] * 3 + [1.1 * (1 - 0.25 * k / 300) for k in range(1, 301)]
    file = tmp_path / "own.csv"
    file.write_text("\n".join(["cycle,discharge_capacity_Ah", *(f"{k},{q:.5f}" for k, q in enumerate(values, 1))]))
    answer = run("cycling", "clean", file, "--output", tmp_path, exit_code=1)
    assert "--formation 3" in answer.stderr
    (row,) = run_json("cycling", "clean", file, "--formation", 3, "--output", tmp_path)
    assert (row["n_points"], round(row["cycle_at_80"])) == (300, 242)
