"""Tables of cells to learn from."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.generator.records import find_record
from aiida_finales.science.lifetime.generator.table import read_ageing

CELLS = "cell_id,positive,negative,format,nominal_capacity_Ah,charge_rate_C,discharge_rate_C,temperature_C,dataset"
N_CELLS = 5


def write(folder, *, stranger=None, extra="", value=""):
    """Write cells that fall by a fifth in 500 cycles, and what their voltages say of cycles 3 and 100.

    :param stranger: number of a cell whose voltages are those of another one.
    """
    names = [f"cell-{number}" for number in range(N_CELLS)]
    rows = [f"{name},LFP,graphite,cylindrical,1.1,2,1,30,own{value}" for name in names]
    (folder / "cells.csv").write_text("\n".join([CELLS + extra, *rows]))
    points = {name: [(cycle, 1.1 + 0.01 * number - 4.4e-4 * cycle) for cycle in range(1, 601, 5)]
              for number, name in enumerate(names)}  # fmt: skip
    lines = [f"{name},{cycle},{capacity}" for name, series in points.items() for cycle, capacity in series]
    (folder / "capacity.csv").write_text("\n".join(["cell_id,cycle,discharge_capacity_Ah", *lines]))
    # the voltages end a little earlier than the discharge
    first = {number: 1.085 + 0.01 * number for number in range(N_CELLS)}
    if stranger is not None:
        first[stranger] += 0.02
    lines = [f"cell-{number},{capacity},0.0427,0.15,-4.0" for number, capacity in first.items()]
    head = "cell_id,q3_Ah,dq_3_100_Ah,darea_3_100_Wh,log10_var_dQ_100_10"
    (folder / "voltages.csv").write_text("\n".join([head, *lines]))
    return [folder / name for name in ("cells.csv", "capacity.csv", "voltages.csv")]


def test_voltages_come_with_the_capacities(tmp_path) -> None:
    dataset = read_ageing(write(tmp_path), find_record)
    assert [cell.early["100"]["log10_var_dQ"] for cell in dataset.cells] == [-4.0] * N_CELLS
    assert dataset.cells[0].early["100"]["capacity_difference"] == pytest.approx(0.0427 / 1.1)
    assert dataset.cells[0].early["30"]["capacity_difference"] == pytest.approx(4.4e-4 * 27 / 1.1, rel=0.1)
    assert dataset.description == f"{N_CELLS} cells, own"


def test_voltages_of_another_cell_are_left_out_and_said(tmp_path) -> None:
    """A column that slipped by a row would teach wrong things in silence."""
    dataset = read_ageing(write(tmp_path, stranger=2), find_record)
    told = ["log10_var_dQ" in cell.early["100"] for cell in dataset.cells]
    assert told == [True, True, False, True, True]
    assert dataset.description.endswith("voltages of 1 are not those of its capacities, and left out")


def test_what_must_not_be_passed_on_is_yes_or_no(tmp_path) -> None:
    files = write(tmp_path, extra=",redistributable", value=",no")
    assert not read_ageing(files, find_record).is_open
    with pytest.raises(InputError, match="redistributable of cell-0 is 'perhaps'"):
        read_ageing(write(tmp_path, extra=",redistributable", value=",perhaps"), find_record)


def test_published_cells(shared_data) -> None:
    """Cells of the second batch of test1 have the voltages of their neighbours; one other has an odd capacity."""
    folder = shared_data / "ageing"
    names = ("cells", "electrodes", "soh_crossings", "capacity", "voltage_features")
    dataset = read_ageing([next(folder.glob(f"{name}.csv*")) for name in names], find_record).of_group("MATR")
    strange = {cell.name for cell in dataset.cells if "log10_var_dQ" not in cell.early["100"]}
    slipped = {name for name in strange if name.startswith("MATR-test1-") and int(name[-2:]) >= 22}
    assert len(dataset.cells) == 67
    assert len(slipped) == 13
    assert len(strange - slipped) == 1
