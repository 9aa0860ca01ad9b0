"""Cells of cyclers' files that say what they are, and models that learn from them."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.broker.results import delete_result
from aiida_finales.calculations.gather import gather
from aiida_finales.calculations.lifetime_curve import read_cell
from aiida_finales.data.nodes import OPENNESS
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.openness import describe_profile
from aiida_finales.operations.importing.cells import add_cells
from aiida_finales.operations.importing.measurement import CYCLING, Told, import_files
from aiida_finales.operations.platform.lifetime_models import find_imported, gather_imported, train_model
from aiida_finales.schemas.access import Openness
from aiida_finales.science.lifetime.generator.records import find_record
from aiida_finales.science.lifetime.generator.table import read_cell_table

HEADER = ("cell_id,positive,negative,format,nominal_capacity_Ah,charge_rate_C,charge_protocol,discharge_rate_C,v_min,"
          "v_max,temperature_C,protocol_id,lab,dataset,licence,doi,redistributable")  # fmt: skip
#: what the table says of a cell, by column
CELL = {
    "positive": "LFP",
    "negative": "graphite (assumed)",
    "format": "cylindrical (18650)",
    "nominal_capacity_Ah": "1.1",
    "charge_rate_C": "3",
    "charge_protocol": "5.4C(50%)-3C to 80 % SoC",
    "discharge_rate_C": "4",
    "v_min": "2.0",
    "v_max": "3.6",
    "temperature_C": "30",
    "licence": "CC BY 4.0",
    "doi": "10.1/x",
    "lab": "ours",
    "dataset": "open",
}
N_CELLS = 14


def write_cells(path, cells):
    rows = [",".join({**CELL, "cell_id": name, **told}.get(key, "") for key in HEADER.split(","))
            for name, told in cells.items()]  # fmt: skip
    path.write_text("\n".join([HEADER, *rows]))
    return path


def write_capacities(path, lives):
    """Write cells that fall to 80 % along a straight line."""
    lines = [f"{name},{cycle},{1.1 - 0.22 * cycle / life}"
             for name, life in lives.items() for cycle in range(1, int(1.2 * life), 10)]  # fmt: skip
    path.write_text("\n".join(["cell_id,cycle,discharge_capacity_Ah", *lines]))
    return path


def take(file, table):
    return import_files(CYCLING, add_cells({file: {}}, table), Told({"method": "literature"})).results


@pytest.fixture(scope="module")
def imported(registered, tmp_path_factory):
    """Results of cells of seven protocols that may be passed on, and of a file with one that may not."""
    folder = tmp_path_factory.mktemp("cells")
    told = {f"cell-{n}": {"protocol_id": f"p{n // 2}", "charge_protocol": f"{1 + n // 2}C to 100 % SoC",
                          "charge_rate_C": f"{1 + n // 2}"} for n in range(N_CELLS)}  # fmt: skip
    told["closed"] = {"licence": "all rights reserved", "redistributable": "no", "dataset": "shut"}
    table = write_cells(folder / "cells.csv", told)
    lives = {f"cell-{n}": 600 - 50 * (n // 2) + 7 * (n % 2) for n in range(N_CELLS)}
    mine = take(write_capacities(folder / "open.csv", lives), table)
    shut = take(write_capacities(folder / "shut.csv", {"closed": 410}), table)
    return mine, shut


@pytest.fixture(scope="module")
def gathered(imported):
    return gather_imported()


def test_result_says_what_the_cell_is_in_the_words_of_a_request(imported) -> None:
    result = imported[0][0]
    told = result.parameters["aged_cell"]
    assert result.keeps_schema
    assert told["positive_electrode"] == {"material": "LFP", "working_ion": "Li"}
    assert (told["temperature"], told["laboratory"]) == (303.15, "ours")
    RequestData("lifetimeCurve", {"lifetime_generator": told}, "tester").store()
    assert result.parameters["cycling_protocol"] == "p0"
    origin = result.data["measurement"]
    assert (origin["licence"], origin["reference"], origin["dataset"]) == ("CC BY 4.0", "10.1/x", "open")


def test_form_is_read_as_the_table_was(imported, tmp_path) -> None:
    """Steps, highest rates, window and remarks: nothing is lost between table, result and training."""
    table = write_cells(tmp_path / "cells.csv", {"a": {}, "b": {"format": "coin", "v_min": ""}})
    for cell in read_cell_table(table, find_record).values():
        assert read_cell(cell.design.to_form()) == cell.design


def test_model_learns_from_results_and_is_closed_as_they_are(imported, gathered) -> None:
    cells, dataset = gathered
    assert (len(cells.cells), cells.description) == (N_CELLS + 1, "15 imported cells, open, shut")
    assert cells.cells[0].crossings[80] == pytest.approx(600, rel=0.03)  # the reference is smoothed
    assert cells.cells[0].early["100"]["capacity_difference"] == pytest.approx(0.22 / 1.1 * 97 / 600, rel=0.02)
    assert [cell.name for cell in cells.cells if not cell.is_open] == ["closed"]
    settings = {"method": "generator", "n_folds": 2, "n_trees": 5, "learners": ["boosting"], "group": "open"}
    model = train_model(cells, settings, dataset)
    assert "open, CC BY 4.0, 10.1/x" in model.training["data"]["licences"]
    assert model.base.extras.get(OPENNESS) == "restricted"
    query = orm.QueryBuilder().append(ResultData, tag="result", project="uuid")
    learned = query.append(type(model), filters={"uuid": model.uuid}, with_ancestors="result").all(flat=True)
    assert {result.uuid for part in imported for result in part} == set(learned)


def test_public_packages_have_neither_what_is_closed_nor_what_learned_from_it(imported, gathered) -> None:
    mine, shut = imported
    assert [result.base.extras.get(OPENNESS, None) for result in (mine[0], shut[0])] == [None, "restricted"]
    shown = str(describe_profile(Openness.PUBLIC))
    assert mine[0].uuid in shown
    assert shut[0].uuid not in shown
    assert gathered[1].uuid not in shown


def test_what_was_deleted_is_not_learned_from(imported, tmp_path) -> None:
    table = write_cells(tmp_path / "cells.csv", {"wrong": {}})
    (result,) = take(write_capacities(tmp_path / "wrong.csv", {"wrong": 300}), table)
    assert result.uuid in {item.uuid for item in find_imported()}
    delete_result(result.pk, "tester", "a wrong sensor")
    assert result.uuid not in {item.uuid for item in find_imported()}


def test_a_cell_counts_once(imported) -> None:
    with pytest.raises(InputError, match="both of the cell cell-0, accepted is one of each"):
        gather([imported[0][0], imported[0][0]])


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"other": {}, "another": {}}, "cell 'mine' is not in the table of cells"),
        ({"mine": {"charge_rate_C": "-3", "charge_protocol": ""}}, "accepted is one rate above 0"),
        ({"mine": {"temperature_C": "500"}}, "temperature_C of mine is 500 degC, accepted is"),
        ({"mine": {"format": "sphere"}}, "accepted are coin, cylindrical, pouch, prismatic"),
        ({"mine": {"redistributable": "perhaps"}}, "redistributable of mine is 'perhaps'"),
        ({"mine": {"nominal_capacity_Ah": ""}}, "nominal_capacity_Ah of mine is empty"),
    ],
)
def test_bad_tables_store_nothing(imported, tmp_path, cells, words) -> None:
    n_before = orm.QueryBuilder().append(ResultData).count()
    with pytest.raises(InputError, match=words):
        take(write_capacities(tmp_path / "mine.csv", {"mine": 300}), write_cells(tmp_path / "cells.csv", cells))
    assert orm.QueryBuilder().append(ResultData).count() == n_before


def test_rows_of_other_cells_are_refused(registered, tmp_path) -> None:
    """The lives of the table are those of the files, but for a stretch of rows that has slipped."""
    lives = {f"slip-{n:02d}": 200 + 31 * (n * 5 % 12) for n in range(12)}
    names = list(lives)
    told = [lives[names[n - 1 if n > 4 else n]] for n in range(12)]
    lines = [f"{name},{','.join(CELL.values())},{life},0.88 Ah" for name, life in zip(names, told, strict=True)]
    table = tmp_path / "cells.csv"
    table.write_text("\n".join([f"cell_id,{','.join(CELL)},published_life,published_life_criterion", *lines]))
    file = write_capacities(tmp_path / "slipped.csv", lives)
    with pytest.raises(InputError, match=r"nothing was stored: cells.csv: the rows of .* slip-05 .* look shifted"):
        import_files(CYCLING, add_cells({file: {}}, table), Told({"method": "literature"}, cell_table=table))
    sure = Told({"method": "literature"}, is_sure=True, is_dry=True, cell_table=table)
    assert len(import_files(CYCLING, add_cells({file: {}}, table), sure).measured) == 12


def test_no_table_of_cells(imported, tmp_path) -> None:
    with pytest.raises(InputError, match=r"cells\.csv is a table of capacities, accepted is one of cells"):
        take(tmp_path, write_capacities(tmp_path / "cells.csv", {"mine": 300}))
