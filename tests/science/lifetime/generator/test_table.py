"""Tables of cells to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.generator.cell import describe, name_material
from aiida_finales.science.lifetime.generator.files import is_ageing
from aiida_finales.science.lifetime.generator.records import find_record
from aiida_finales.science.lifetime.generator.slips import find_slip
from aiida_finales.science.lifetime.generator.table import read_ageing, read_cell_table

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


def test_cells_of_one_protocol_are_left_out_together_where_nobody_named_it(tmp_path) -> None:
    """Each was a protocol of its own: equal cells on both sides made a model look four times as good as it is."""
    files = write(tmp_path)
    text = files[0].read_text().splitlines()
    files[0].write_text("\n".join([*text[:-1], text[-1].replace(",2,1,30", ",3,1,30")]))
    protocols = [cell.protocol for cell in read_ageing(files, find_record).cells]
    assert len(set(protocols[:-1])) == 1
    assert protocols[-1] not in protocols[:-1]


def test_a_cell_under_two_names_is_one(tmp_path) -> None:
    """One of them was learned from and the other one judged by."""
    files = write(tmp_path, extra=",redistributable", value=",yes")
    table = files[1].read_text()
    files[1].write_text(table + "\n" + "\n".join(
        line.replace("cell-0", "copy") for line in table.splitlines() if line.startswith("cell-0")))  # fmt: skip
    row = next(line for line in files[0].read_text().splitlines() if line.startswith("cell-0"))
    files[0].write_text(files[0].read_text() + "\n" + row.replace("cell-0", "copy").replace(",yes", ",no"))
    dataset = read_ageing(files, find_record)
    assert dataset.description.endswith("left out as the same series under another name: copy as cell-0")
    assert len(dataset.cells) == N_CELLS
    assert [cell.name for cell in dataset.cells if not cell.is_open] == ["cell-0"]


def test_two_cycles_of_one_crossing_are_refused(tmp_path) -> None:
    files = write(tmp_path)
    lines = [f"cell-{number},{percent},{10 * (100 - percent) + number}"
             for number in range(N_CELLS) for percent in (99, 98, 97)]  # fmt: skip
    crossings = tmp_path / "crossings.csv"
    crossings.write_text("\n".join(["cell_id,soh_percent,cycle", *lines, "cell-0,98,20"]))
    assert len(read_ageing([files[0], crossings], find_record).cells) == N_CELLS
    crossings.write_text(crossings.read_text() + "\ncell-0,98,24")
    with pytest.raises(InputError, match="soh_percent 98 of cell-0 is there twice, at cycle 20 and 24"):
        read_ageing([files[0], crossings], find_record)


def write_lives(folder, *, slipped=range(0), names=None):
    """Write cells that live otherwise, with the life that their rows state; in a stretch it is that of the cell before.

    :param slipped: numbers of the rows of the stretch; the first has the life of a cell that is not there.
    """
    names = names or [f"cell-{number:02d}" for number in range(16)]
    lives = {name: 300 + 37 * (number * 7 % 16) for number, name in enumerate(names)}
    head = "cell_id,positive,negative,format,nominal_capacity_Ah,charge_rate_C,discharge_rate_C,temperature_C"
    told = [lives[names[number - 1]] if number in slipped else lives[name] for number, name in enumerate(names)]
    rates = [1 + 0.1 * (number - (number in slipped)) for number in range(len(names))]
    if slipped:
        told[slipped[0]] = 101
    rows = [f"{name},LFP,graphite,cylindrical,1.1,{rate:g},1,30,{life},0.88 Ah"
            for name, life, rate in zip(names, told, rates, strict=True)]  # fmt: skip
    (folder / "cells.csv").write_text("\n".join([f"{head},published_life,published_life_criterion", *rows]))
    points = [(name, cycle, 1.1 * (1 - 0.2 * cycle / life)) for name, life in lives.items()
              for cycle in range(1, life + 20, 4)]  # fmt: skip
    lines = [f"{name},{cycle},{capacity:.5f}" for name, cycle, capacity in points]
    (folder / "capacity.csv").write_text("\n".join(["cell_id,cycle,discharge_capacity_Ah", *lines]))
    return [folder / "cells.csv", folder / "capacity.csv"]


class TestSlips:
    def test_rows_that_slipped_go_to_the_cells_that_they_are_true_of(self, tmp_path) -> None:
        """Row 6 tells of a cell that is not there, row 7 of cell 6, and so on; of cell 11 nothing is told."""
        dataset = read_ageing(write_lives(tmp_path, slipped=range(6, 12)), find_record)
        rates = {cell.name: round(cell.design.charging[0].rate, 6) for cell in dataset.cells}
        assert rates == {f"cell-{number:02d}": round(1 + 0.1 * number, 6) for number in range(16) if number != 11}
        assert "the rows of 6 cells, cell-06 to cell-11, look shifted" in dataset.description
        assert dataset.description.endswith("fits the capacities of 0 of them, and 1 row further those of 5, to which "
                                            "they were given; left out as none fits: 1")  # fmt: skip

    def test_rows_that_are_right_stay(self, tmp_path) -> None:
        assert read_ageing(write_lives(tmp_path), find_record).description == "16 cells"

    def test_a_single_slip_of_the_pen_moves_nothing(self, tmp_path) -> None:
        dataset = read_ageing(write_lives(tmp_path, slipped=range(6, 8)), find_record)
        assert dataset.description == "16 cells"

    def test_equal_lives_show_no_slip(self) -> None:
        assert find_slip(list("abcdefghijkl"), np.ones((12, 12), dtype=bool) & ~np.eye(12, dtype=bool)) is None

    def test_voltages_alone_are_left_out(self, tmp_path) -> None:
        """Which cell a row of voltages is of, a capacity alone does not say surely enough."""
        files = write_lives(tmp_path)
        (tmp_path / "cells.csv").write_text((tmp_path / "cells.csv").read_text().replace("0.88 Ah", ""))
        names = [f"cell-{number:02d}" for number in range(16)]
        lines = (tmp_path / "capacity.csv").read_text().splitlines()[1:]
        first = [1.08 + 0.01 * (number * 5 % 16) for number in range(16)]
        scaled = [f"{name},{cycle},{float(capacity) * first[int(name[-2:])] / 1.1:.5f}"
                  for name, cycle, capacity in (line.split(",") for line in lines)]  # fmt: skip
        (tmp_path / "capacity.csv").write_text("\n".join(["cell_id,cycle,discharge_capacity_Ah", *scaled]))
        told = [0.98 * first[number - 1 if number > 5 else number] for number in range(16)]
        rows = [f"{name},{value:.5f},0.04,0.15,-4.0" for name, value in zip(names, told, strict=True)]
        head = "cell_id,q3_Ah,dq_3_100_Ah,darea_3_100_Wh,log10_var_dQ_100_10"
        (tmp_path / "voltages.csv").write_text("\n".join([head, *rows]))
        dataset = read_ageing([*files, tmp_path / "voltages.csv"], find_record)
        known = [cell.name for cell in dataset.cells if "log10_var_dQ" in cell.early["100"]]
        assert known == names[:6]
        assert "cell-06 to cell-15, look shifted" in dataset.description


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("cells.csv", "nominal_capacity_Ah", "capacity", "as a table of cells it lacks nominal_capacity_Ah"),
        ("cells.csv", ",charge_rate_C,", ",rate,", "lacks charge_rate_C. Accepted are tables of cells"),
        ("cells.csv", "LFP,graphite,cylindrical,1.1", "LFP,graphite,cylindrical,1100", "1100 looks like mAh"),
        ("cells.csv", "1,30,", "1,303.15,", "303.15 degC, accepted is -60 to 100 degC; it looks like K"),
        ("cells.csv", "cell-1,", "cell-0,", "cell-0 is there more than once"),
        ("cells.csv", "cell-0,LFP,graphite,cylindrical", "cell-0,LFP,graphite,round", "format of cell-0 is 'round'"),
        ("cells.csv", "cylindrical,1.1,2,", "cylindrical,1.1,0,", r"cell-0: charging is \[0.0\] per hour"),
        ("capacity.csv", "discharge_capacity_Ah", "charge", "as a table of .* it lacks "),
        ("capacity.csv", "cell-0,6,", "cell-0,1,", "capacities of cell-0: a cycle is given twice"),
        ("capacity.csv", "cell-0,6,", "cell-0,six,", "cycle of cell-0 is 'six', accepted is a number"),
    ],
)
def test_refuses_in_words(tmp_path, file, old, new, words) -> None:
    files = write(tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words):
        read_ageing(files, find_record)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("cell-0,0.97,100\ncell-0,0.9,300", "accepted are whole per cent from 99 to 40, which looks like a share"),
        ("cell-0,97.5,100", "soh_percent of cell-0 is 97.5"),
        ("cell-0,97,100\ncell-0,90,50", "numbers above 0 that rise"),
    ],
)
def test_crossings_are_cycles_at_whole_per_cent(tmp_path, rows, words) -> None:
    cells = write(tmp_path)[0]
    (tmp_path / "crossings.csv").write_text(f"cell_id,soh_percent,cycle\n{rows}")
    with pytest.raises(InputError, match=words):
        read_ageing([cells, tmp_path / "crossings.csv"], find_record)


def test_other_units_columns_and_signs_are_read(tmp_path) -> None:
    """As a spreadsheet of another laboratory writes the same cells."""
    ours = read_ageing(write(tmp_path), find_record).cells
    text = (tmp_path / "cells.csv").read_text().replace("nominal_capacity_Ah", "nominal_capacity_mAh")
    text = text.replace("temperature_C", "temperature_K").replace(",1.1,2,1,30,", ",1100,2,1,303.15,")
    (tmp_path / "cells.csv").write_text(text.replace(",", ";").replace(".", ","))
    lines = [line.split(",") for line in (tmp_path / "capacity.csv").read_text().splitlines()]
    turned = [f"{cell},{cycle},{1e3 * float(capacity):.6f},note" for cell, cycle, capacity in lines[1:]]
    (tmp_path / "capacity.csv").write_text("\n".join(["cell_id,cycle,discharge_capacity_mAh,remark", *turned]))
    theirs = read_ageing([tmp_path / "cells.csv", tmp_path / "capacity.csv"], find_record).cells
    assert [cell.design.temperature for cell in theirs] == pytest.approx([cell.design.temperature for cell in ours])
    assert [cell.design.nominal_capacity for cell in theirs] == pytest.approx([1.1] * N_CELLS)
    assert [cell.crossings[80] for cell in theirs] == pytest.approx([cell.crossings[80] for cell in ours])


def test_published_cells(shared_data) -> None:
    """The rows of the second batch of test1 are those of their neighbours; one other cell has an odd capacity."""
    folder = shared_data / "ageing"
    names = ("cells", "electrodes", "soh_crossings", "capacity", "voltage_features")
    dataset = read_ageing([next(folder.glob(f"{name}.csv*")) for name in names], find_record)
    cells = dataset.of_group("MATR").cells
    assert "MATR-test1-22 to MATR-test1-42, look shifted" in dataset.description
    assert "1 row further those of 15" in dataset.description
    assert len(cells) == 64
    assert {cell.name for cell in cells if "log10_var_dQ" not in cell.early["100"]} == {"MATR-train-28"}


def respell(folder, cells, capacity, change=lambda text: text):
    """Write the tables again with other headings."""
    first, *rows = (folder / "cells.csv").read_text().splitlines()
    (folder / "cells.csv").write_text("\n".join([cells, *(change(row) for row in rows)]), encoding="utf-8")
    _, *rows = (folder / "capacity.csv").read_text().splitlines()
    (folder / "capacity.csv").write_text("\n".join([capacity, *rows]), encoding="utf-8")
    return first


@pytest.mark.parametrize(
    ("cells", "capacity", "change"),
    [
        (
            "Cell ID,Cathode,Anode,Form factor,Nominal capacity [mAh],Charge C-rate,Discharge C-rate,Temperature (K),"
            "Data set",
            "Cell,Cycle number,Discharge capacity (Ah)",
            lambda row: row.replace(",cylindrical,1.1,2,1,30,", ",18650,1100,2C,C/1,303.15,"),
        ),
        (
            "cell,positive electrode,negative electrode,Format,rated_capacity / Ah,charging rate / 1/h,"
            "discharging rate / 1/h,temp,dataset",
            "cell name,cycle,discharged capacity / Ah",
            lambda row: row.replace("cylindrical", "Cylindrical 18650"),
        ),
        (
            "CELL_ID,cathode material,anode_material,housing,nominal capacity (Ah),charge_rate [C],discharge rate [C],"
            "temperature,dataset",
            "cell_id,Cycle Index,Discharge_Capacity(Ah)",
            lambda row: row.replace(",30,", ",303.15,"),
        ),
    ],
    ids=["kelvin-mAh", "slashes", "no-unit"],
)
def test_headings_as_others_write_them(tmp_path, cells, capacity, change) -> None:
    ours = read_ageing(write(tmp_path)[:2], find_record).cells
    respell(tmp_path, cells, capacity, change)
    files = [tmp_path / "cells.csv", tmp_path / "capacity.csv"]
    assert is_ageing(files)
    theirs = read_ageing(files, find_record).cells
    for one, other in zip(ours, theirs, strict=True):
        assert describe(other.design) == pytest.approx(describe(one.design), nan_ok=True)
        assert other.crossings == one.crossings
        assert (other.name, other.dataset) == (one.name, one.dataset)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nominal_capacity_Ah", "Nominal capacity", "'Nominal capacity' states no unit, accepted are Ah, mAh"),
        ("nominal_capacity_Ah", "Nominal capacity [kAh]", "is 'kAh', accepted are Ah, mAh"),
        ("temperature_C", "temperature (F)", "is 'F', accepted are degC, K: write it as in temperature \\[degC\\]"),
        ("dataset", "cathode,anode", None),
        ("positive,", "cathode,", None),
        ("dataset", "Cell name", None),
        ("positive,negative", "cathode,positive electrode", "'cathode' and 'positive electrode' say the same"),
    ],
)
def test_headings_are_not_guessed(tmp_path, old, new, words) -> None:
    files = write(tmp_path, extra=",remark" if new == "cathode,anode" else "", value="")
    text = (tmp_path / "cells.csv").read_text()
    if new == "cathode,anode":  # our own names count where they are there as well
        text = text.replace("dataset,remark", new)
        text = "\n".join(line if number == 0 else f"{line},x" for number, line in enumerate(text.splitlines()))
    else:
        text = text.replace(old, new, 1)
    (tmp_path / "cells.csv").write_text(text)
    if words is None:
        assert read_ageing(files[:2], find_record).cells[0].design.positive.material == "LFP"
        return
    with pytest.raises(InputError, match=words):
        read_ageing(files, find_record)


def test_shares_and_per_cent_of_crossings(tmp_path) -> None:
    cells = write(tmp_path)[0]
    rows = "\n".join(
        f"cell-{number},{soh},{cycle}"
        for number in range(N_CELLS)
        for soh, cycle in ((0.97, 90), (0.9, 300), (0.57, 900))
    )
    (tmp_path / "crossings.csv").write_text(f"Cell,State of health,Cycle\n{rows}")
    assert read_ageing([cells, tmp_path / "crossings.csv"], find_record).cells[0].crossings == {
        97: 90,
        90: 300,
        57: 900,
    }


@pytest.mark.parametrize(
    ("said", "form"),
    [("4680", "cylindrical"), ("2170", "cylindrical"), ("21700", "cylindrical"), ("CR2032", "coin"), ("2450", "coin")],
)
def test_codes_of_round_cells(tmp_path, said, form) -> None:
    cells, capacity, _ = write(tmp_path)
    cells.write_text(cells.read_text().replace("cylindrical", said))
    assert read_ageing([cells, capacity], find_record).cells[0].design.form == form


def test_electrodes_of_a_table_have_the_names_of_their_records(tmp_path) -> None:
    """A request for LiFePO4 asks for LFP, and found no cell of a table that calls it LiFePO4."""
    cells, capacity, _ = write(tmp_path)
    cells.write_text(cells.read_text().replace("cell-0,LFP", "cell-0,LiFePO4"))
    (tmp_path / "electrodes.csv").write_text("material,working_ion,practical_capacity\nLiFePO4,Li,150\nmine,Li,9\n")
    found = read_ageing([cells, capacity, tmp_path / "electrodes.csv"], find_record).cells
    assert {cell.design.positive.material for cell in found} == {"LFP"}
    assert {cell.design.positive.properties["practical_capacity"] for cell in found} == {150}


def test_tables_may_be_called_txt(tmp_path) -> None:
    cells = write(tmp_path)[0]
    assert is_ageing([cells.rename(tmp_path / "cells.txt")])


def test_a_formula_is_no_remark() -> None:
    assert [name_material(word) for word in ("LiFe(PO4)", "graphite (assumed)")] == ["LiFe(PO4)", "graphite"]


class TestWorkbooks:
    """Tables of cells are kept in spreadsheets, as other tables are that are read here."""

    def make(self, folder, files, *more):
        """Write the tables of files as the sheets of one workbook, numbers as numbers."""
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for title, rows in more:
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        for file in files:
            sheet = book.create_sheet(file.stem)
            for line in file.read_text().splitlines():
                sheet.append([float(word) if word.replace(".", "").isdigit() else word for word in line.split(",")])
        book.save(folder / "book.xlsx")
        return folder / "book.xlsx"

    def test_sheets_say_what_text_says(self, tmp_path) -> None:
        files = write(tmp_path, stranger=2)
        notes = ("notes", [["who", "when"], ["somebody", "last year"]])
        book = self.make(tmp_path, files, notes, ("remarks", [["# of our own"]]))
        assert is_ageing([book])
        ours, theirs = (read_ageing(given, find_record) for given in ([book], files))
        assert ours.description == theirs.description
        assert [(cell.name, cell.design) for cell in ours.cells] == [(cell.name, cell.design) for cell in theirs.cells]
        assert ours.cells[0].crossings == pytest.approx(theirs.cells[0].crossings)
        assert ours.cells[0].early["100"] == pytest.approx(theirs.cells[0].early["100"])
        assert list(read_cell_table(book, find_record)) == [f"cell-{number}" for number in range(N_CELLS)]

    def test_what_lacks_is_said_of_its_sheet(self, tmp_path) -> None:
        files = write(tmp_path)
        files[0].write_text(files[0].read_text().replace("format", "shape"))
        with pytest.raises(InputError, match=r"book\.xlsx, sheet 'cells' has the columns .* it lacks format"):
            read_ageing([self.make(tmp_path, files)], find_record)

    def test_no_workbook(self, tmp_path) -> None:
        pytest.importorskip("openpyxl")
        (tmp_path / "book.xlsx").write_text("cell_id,positive")
        with pytest.raises(InputError, match=r"book\.xlsx is no whole Excel workbook: BadZipFile"):
            read_ageing([tmp_path / "book.xlsx"], find_record)
        book = self.make(tmp_path, [], ("empty", [["only one column"], [1]]))
        with pytest.raises(InputError, match="no sheet with a header of two names"):
            read_ageing([book], find_record)
