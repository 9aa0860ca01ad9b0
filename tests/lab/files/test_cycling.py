"""Cycling data of instruments' files: whatever they count and however, the capacities of a cell are the same."""

from __future__ import annotations

import builtins
import gzip
import io
import os
from importlib import import_module

import numpy as np
import pytest

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.lab.files.cycled_cell import cycling_output, find_features
from aiida_finales.lab.files.cycling import read_cells
from aiida_finales.lab.files.recording import read_cell
from aiida_finales.lab.simulated.cycling_file import CyclingRecord, write_cycling_file
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.science.ageing.cycling import capacity_list, early_features
from aiida_finales.science.ageing.twin import Life, make_cell, standard_protocol

from .conftest import CHARGES, DISCHARGES, make_points

#: trapezoids of a constant current are exact; what is integrated lacks nothing
EXACT = 1e-9


def table(header, make, delimiter=","):
    return "\n".join([header, *(delimiter.join(map(str, make(*point))) for point in make_points())]) + "\n"


def counters(points):
    """Charged and discharged Ah of each point since the begin of the test."""
    charged = discharged = 0.0
    found = []
    for index, (*_, step, state, amount) in enumerate(points):
        before = points[index - 1] if index and points[index - 1][4] == step else None
        more = amount - (before[6] if before else 0.0)
        charged, discharged = charged + more * (state == "C"), discharged + more * (state == "D")
        found.append((charged, discharged))
    return found


def make_bdf():
    return table("Test Time / s,Voltage / V,Current / A,Cycle Count / 1", lambda t, v, i, cycle, *_: (t, v, i, cycle))


def make_bdf_names():
    """The machine-readable names of the Battery Data Format; the instrument's own counters; no cycles."""
    header = "test_time_second,voltage_volt,current_ampere,charging_capacity_ah,discharging_capacity_ah"
    points = make_points()
    rows = zip(points, counters(points), strict=True)
    return "\n".join([header, *(",".join(map(str, (*point[:3], *counted))) for point, counted in rows)])


def make_arbin():
    """Counters that begin anew with each cycle."""
    header = ("Data_Point,Test_Time(s),Date_Time,Step_Time(s),Step_Index,Cycle_Index,Current(A),Voltage(V),"
              "Charge_Capacity(Ah),Discharge_Capacity(Ah)")  # fmt: skip
    points = make_points()
    counted = counters(points)
    begin = {cycle: counted[index] for index, (*_, cycle, _, _, _) in reversed(list(enumerate(points)))}
    rows = []
    for number, ((t, v, i, cycle, step, *_), (charged, discharged)) in enumerate(zip(points, counted, strict=True)):
        own = charged - begin[cycle][0], discharged - begin[cycle][1]
        rows.append((number, t, "2026-01-02 03:04:05", 0, step, cycle, i, v, *own))
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)])


def make_maccor():
    """Unsigned current and one counter, which begins anew with each step; a state says which way; times as a clock."""
    header = "Today's Date\t11/28/2026\nRec#\tCyc#\tStep\tTestTime\tAmp-hr\tAmps\tVolts\tState"

    def row(t, v, i, *others):
        cycle, step, state, amount = others
        clock = f"{int(t // 3600):02d}:{int(t % 3600 // 60):02d}:{t % 60:06.3f}"
        return (1, cycle, step, clock, amount, abs(i), v, state)

    return table(header, row, "\t")


def make_neware():
    """mA and mAh, and counters that begin anew with each step."""
    header = "Cycle Index;Step Index;Total Time;Current(mA);Voltage(V);Chg. Cap.(mAh);DChg. Cap.(mAh)"

    def row(t, v, i, *others):
        cycle, step, state, amount = others
        clock = f"{int(t // 3600)}:{int(t % 3600 // 60):02d}:{t % 60:06.3f}"
        return (cycle, step, clock, 1e3 * i, v, 1e3 * amount * (state == "C"), 1e3 * amount * (state == "D"))

    return table(header, row, ";")


def make_bt_lab():
    """The same of BT-Lab."""
    return make_ec_lab().replace("EC-Lab", "BT-Lab")


def make_ec_lab():
    """The net charge, and a current in mA; no cycles."""
    names = "time/s\tcontrol/V/mA\tEwe/V\t<I>/mA\t(Q-Qo)/mA.h\thalf cycle\t"
    head = "EC-Lab ASCII FILE\nNb header lines : 3\n" + names
    points = make_points()
    rows = [
        "\t".join(f"{value:.12E}".replace(".", ",") for value in (t, 0.0, v, 1e3 * i, 1e3 * (charged - discharged), 0))
        for (t, v, i, *_), (charged, discharged) in zip(points, counters(points), strict=True)
    ]
    return "\n".join([head, *rows]) + "\n"


FORMATS = {
    "cell.bdf.csv": make_bdf,
    "bdf_names.csv": make_bdf_names,
    "arbin.csv": make_arbin,
    "maccor.txt": make_maccor,
    "neware.csv": make_neware,
    "biologic.mpt": make_ec_lab,
    "bt_lab.mpt": make_bt_lab,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_capacities(name):
    (cell,) = read_cells(FORMATS[name]().encode("latin-1"), name)
    assert cell.cycles == (1, 2, 3)
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES, rel=EXACT)
    assert cell.charged.tolist() == pytest.approx(CHARGES, rel=EXACT)
    assert not cell.notes


def test_steps_that_begin_anew_are_added_up():
    """The maximum of a counter that begins anew at each step would lack a fifth of the charge."""
    (cell,) = read_cells(make_neware().encode(), "neware.csv")
    assert max(cell.charged) > 1.2 * 0.8 * min(CHARGES)
    assert (cell.discharged / cell.charged).max() < 1.0


def test_current_of_the_other_sign_is_found_and_said():
    text = table("Test Time / s,Voltage / V,Current / A", lambda t, v, i, *_: (t, v, -i))
    (cell,) = read_cells(text.encode(), "a.csv")
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES, rel=EXACT)
    assert "turned" in cell.notes[0]


def test_parts_that_follow_each_other_are_one_record():
    """Each part counts and begins anew, as EC-Lab's do."""
    (cell,) = read_cells((make_ec_lab() * 2).encode("latin-1"), "a.mpt")
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES * 2, rel=EXACT)


def test_columns_that_were_not_measured_do_not_matter():
    text = table("Test Time / s,Voltage / V,Current / A,Cycle Count / 1,Charging Capacity / Ah",
                 lambda t, v, i, *_: (t, v, i, "", ""))  # fmt: skip
    (cell,) = read_cells(text.encode(), "a.csv")
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES, rel=EXACT)


@pytest.mark.parametrize(
    ("clock", "seconds"), [("1 day, 0:00:10", 86410), ("1d 00:00:10.5", 86410.5), ("25:01:00", 90060)]
)
def test_times_as_a_clock(clock, seconds):
    assert read_cell(clock) == seconds


def test_a_discharge_that_the_file_breaks_off_is_left_out_and_said():
    """A file of a test that still runs: its last capacity would end the life of the cell."""
    lines = make_bdf().splitlines()
    (cell,) = read_cells("\n".join(lines[: int(0.95 * len(lines))]).encode(), "a.csv")
    assert cell.cycles == (1, 2)
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES[:2], rel=EXACT)
    assert cell.notes[0].startswith("the last discharge goes on where the file ends, at 3.")


def test_counters_that_were_not_kept_do_not_matter():
    text = table("Test Time / s,Voltage / V,Current / A,Charging Capacity / Ah,Discharging Capacity / Ah",
                 lambda t, v, i, *_: (t, v, i, 0, 0))  # fmt: skip
    (cell,) = read_cells(text.encode(), "a.csv")
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES, rel=EXACT)


def test_rows_without_numbers_are_left_out_and_said():
    lines = make_bdf().splitlines()
    lines.insert(5, "nan,nan,nan,nan")
    (cell,) = read_cells("\n".join([*lines, "1,2"]).encode(), "a.csv")
    assert cell.discharged.tolist() == pytest.approx(DISCHARGES, rel=EXACT)
    assert [note[:9] for note in cell.notes] == ["the last ", "rows with"]


def test_parquet_and_workbook_say_what_the_csv_says():
    pandas = import_module("pandas")
    names = ["Test Time / s", "Voltage / V", "Current / A", "Cycle Count / 1"]
    frame = pandas.DataFrame([point[:4] for point in make_points()], columns=names)
    parquet, book = io.BytesIO(), io.BytesIO()
    frame.to_parquet(parquet)
    with pandas.ExcelWriter(book) as writer:
        pandas.DataFrame({"Serial": ["7"]}).to_excel(writer, sheet_name="Global_Info", index=False)
        frame[:50].to_excel(writer, sheet_name="Channel_1-7_1", index=False)
        frame[50:].to_excel(writer, sheet_name="Channel_1-7_2", index=False)
        frame[:3].to_excel(writer, sheet_name="Statistics_1-7", index=False)
    for name, stream in (("a.bdf.parquet", parquet), ("a.xlsx", book)):
        (cell,) = read_cells(stream.getvalue(), name)
        assert cell.discharged.tolist() == pytest.approx(DISCHARGES, rel=EXACT), name


class TestTable:
    """A row per cycle."""

    def test_capacities_of_a_cell(self):
        (cell,) = read_cells(b"cycle,discharge_capacity_mAh\n2,3.8\n1,4.3\n", "a.csv")
        assert (cell.cycles, cell.discharged.tolist(), cell.charged) == ((1, 2), [0.0043, 0.0038], None)

    def test_cells_are_told_apart(self):
        text = b"cell_id;cycle;Discharge Capacity (Ah)\na;1;1,1\nb;1;1,2\na;2;1,0\n"
        cells = read_cells(gzip.compress(text), "a.csv.gz")
        assert [(cell.name, cell.discharged.tolist()) for cell in cells] == [("a", [1.1, 1.0]), ("b", [1.2])]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("cycle,discharge capacity,time (s)\n1,2,3\n", "states no unit: accepted is"),
            ("cycle,discharge_capacity_Ah\n1,1\n1,2\n", "cycle 1 is there more than once.*cell_id"),
            ("cycle,discharge_capacity_Ah\n1,1\n2,1\n1,1\n2,1\n", "as 2 numbers: .* count anew, number the cycles on"),
            ("cycle,discharge_capacity_Ah\n1.5,1\n2,2\n", "a cycle is no whole number"),
            ("cycle,discharge capacity (mAh/g)\n1,1\n", "per gram needs the mass: give the capacity of the cell"),
            ("cycle,discharge_capacity_Wh,time_s\n1,1,1\n", "no column of the discharge capacity"),
            ("cycle,discharge_capacity_Ah\n1,\n", "no row with a cycle and a capacity"),
        ],
        ids=["unit", "twice", "restart", "half", "gravimetric", "energy", "nothing"],
    )
    def test_what_cannot_be_used_is_refused(self, text, message):
        with pytest.raises(InputError, match=message):
            read_cells(text.encode(), "a.csv")


BAD = {
    "one sign": ("Test Time / s,Voltage / V,Current / A\n0,3,1\n9,4,1\n", "one sign only"),
    "rest": ("Test Time / s,Voltage / V,Current / A,State\n0,3,0,R\n9,3,0,R\n", "one sign only"),
    "no unit": ("Test Time / s,Voltage / V,Current\n0,3,1\n9,4,-1\n", r"'Current' states no unit.*Current\(mA\)"),
    "thousands": (
        'Test Time / s,Voltage / V,Current / A\n9,3,1\n"1,009.5",4,-1\n',
        "'1,009.5' in the column 'Test Time",
    ),
    "no time": ("Voltage / V,Current / A\n3,1\n4,-1\n", "no column of the time"),
    "nothing to integrate": ("Test Time / s,Voltage / V\n3,1\n4,-1\n", "neither a current nor capacities"),
}


@pytest.mark.parametrize("case", BAD)
def test_series_that_cannot_be_used(case):
    text, message = BAD[case]
    with pytest.raises(InputError, match=message):
        read_cells(text.encode(), "a.csv")


@pytest.mark.parametrize(
    ("name", "library", "content"),
    [("a.parquet", "pyarrow", b"PAR1"), ("a.nda", "NewareNDA", b"NEWARE"), ("a.xlsx", "openpyxl", b"PK\x03\x04xl/")],
)
def test_missing_library_names_the_extra(monkeypatch, name, library, content):
    real = builtins.__import__

    def refuse(wanted, *others):
        if wanted.startswith(library):
            raise ImportError(wanted)
        return real(wanted, *others)

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(MissingExtraError, match=r"aiida-finales\[instruments\]"):
        read_cells(content, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.nda", b"NEWARE" + bytes(200)), ("a.parquet", b"PAR1" + bytes(50)), ("a.xlsx", b"PK\x03\x04xl/" + bytes(50)),
     ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50))],
)  # fmt: skip
def test_damaged_files_are_refused(name, content):
    with pytest.raises(InputError, match=f"^{name} "):
        read_cells(content, name)


@pytest.fixture(scope="module")
def life():
    fractions = {find_chemical(name).inchikey: x for name, x in {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}.items()}
    cell = make_cell(fractions, mass_loading=1.0, size=1.5, seed=1)
    return Life(cell, standard_protocol(0.0015), 45)


@pytest.fixture(scope="module")
def content(life, tmp_path_factory):
    path = tmp_path_factory.mktemp("cycler") / "cycling.h5"
    attributes = {"cell": "cell-7", "simulated": True, "device": "finales-cycler"}
    write_cycling_file(path, CyclingRecord(life.half_cycles(), life.formation_halves(), attributes=attributes))
    return path.read_bytes()


class TestOwnFile:
    """The HDF5 file that our own cyclers write."""

    def test_it_is_read_as_it_was_written(self, content, life):
        (cell,) = read_cells(content, "cycling.h5")
        output = cycling_output(cell, {}, "cycling.h5")
        assert output["capacity_list"] == pytest.approx(capacity_list(life.half_cycles()), rel=1e-9)
        assert (cell.name, cell.is_simulated, cell.source["instrument"]) == ("cell-7", True, "finales-cycler")

    def test_features_are_those_of_the_driver(self, content, life):
        (cell,) = read_cells(content, "cycling.h5")
        halves = life.half_cycles()
        low, high = (float(np.median([half.voltage[end] for half in list(halves.values())[1::2]])) for end in (-1, 0))
        assert find_features(cell).values() == pytest.approx(
            early_features(halves, window=(low, high)).values(), rel=1e-6
        )


class TestOutput:
    """What a driver would have written of the same cell."""

    def test_formation_is_set_apart(self):
        (cell,) = read_cells(make_bdf().encode(), "a.csv")
        output = cycling_output(cell, {"formation_cycles": 1}, "a.csv")
        assert output["formation"]["capacities"] == pytest.approx([CHARGES[0], DISCHARGES[0]])
        assert (output["cycles"], output["capacity_list"][1::2]) == ([1, 2], pytest.approx(DISCHARGES[1:]))
        with pytest.raises(InputError, match="3 cycles of formation were given, but the file has 3"):
            cycling_output(cell, {"formation_cycles": 3}, "a.csv")

    def test_end_of_life_is_none_where_it_was_not_reached(self):
        (cell,) = read_cells(make_bdf().encode(), "a.csv")
        assert cycling_output(cell, {}, "a.csv")["end_of_life"] is None
        reached = cycling_output(cell, {"threshold": 0.96, "persistence": 1}, "a.csv")
        assert reached["end_of_life"] == 2
        assert reached["end_of_life_rule"]["reference"] == pytest.approx(DISCHARGES[0])

    def test_gaps_and_broken_sensors_lower_the_rating(self):
        points = make_points()
        (cell,) = read_cells(make_bdf().encode(), "a.csv")
        assert cycling_output(cell, {}, "a.csv")["meta"] == {"success": True, "rating": 4}
        gap = [",".join(map(str, point[:4])) for point in points if point[3] != 2]
        (cell,) = read_cells(
            "\n".join(["Test Time / s,Voltage / V,Current / A,Cycle Count / 1", *gap]).encode(), "a.csv"
        )
        output = cycling_output(cell, {}, "a.csv")
        assert (output["meta"]["rating"], output["reason"]) == (1, "the data lack cycle 2")


class TestRealFiles:
    """Files of cyclers, and the published capacities."""

    def test_neware(self, shared_data):
        """Added up over the steps the Coulombic efficiency is below 1.01; their maximum gives a false 1.14."""
        path = shared_data / "cycling" / "aurora_nw4-120-6-1-36.ndax"
        (cell,) = read_cells(path.read_bytes(), path.name)
        # the counters at the end of each step, as fastnda reads them, added up by hand; they have single precision
        assert (1e3 * cell.discharged).tolist() == pytest.approx(
            [38.302391, 37.992073, 37.933529, 37.962219, 38.024254], rel=1e-6
        )
        assert (1e3 * cell.charged).tolist() == pytest.approx(
            [4.682713, 37.753395, 37.856663, 37.915001, 37.986118], rel=1e-6
        )
        assert (cell.discharged / cell.charged)[1:].max() < 1.01

    def test_biologic(self, shared_data):
        """The charge of each half cycle is what EC-Lab counted itself, in its column Q charge/discharge."""
        if "FINALES_GALVANI_PYTHON" not in os.environ:
            pytest.skip("FINALES_GALVANI_PYTHON names no Python with galvani")
        path = shared_data / "cycling" / "aurora_250116_kigr_gen6_01_02_GCPL_CD8.mpr"
        (cell,) = read_cells(path.read_bytes(), path.name)
        assert (1e3 * cell.charged).tolist() == pytest.approx([2.35010816, 1.88157456, 1.87007647], rel=1e-7)
        assert (1e3 * cell.discharged).tolist() == pytest.approx([1.78959233, 1.84958605, 1.84633938], rel=1e-7)
        assert cell.source["reader"].startswith("galvani ")

    def test_published_lives(self, shared_data):
        """The published life is the first cycle below 0.88 Ah wherever the file gets there; else none is reached."""
        folder = shared_data / "cycling"
        name = "matr_lfp83_capacity_per_cycle.csv.gz"
        cells = read_cells((folder / name).read_bytes(), name)
        rows = [line.split(",") for line in (folder / "matr_lfp83_labels.csv").read_text().splitlines()]
        place = rows[0].index("cell_id"), rows[0].index("published_cycle_life")
        labels = {row[place[0]]: float(row[place[1]]) for row in rows[1:]}
        about = {"nominal_capacity_Ah": 1.1, "persistence": 1}
        lives = {cell.name: cycling_output(cell, about, name)["end_of_life"] for cell in cells}
        reached = {cell: life for cell, life in lives.items() if life is not None}
        assert len(cells) == 83
        assert len(reached) > 10
        assert all(labels[cell] == life for cell, life in reached.items())


@pytest.mark.parametrize(
    "text",
    [
        "Zyklus;Entladekapazität [mAh];Ladekapazität [mAh]\n1;4,3;4,4\n2;4,1;4,2\n",
        "cycle,discharge_capacity_Ah,charge_capacity_Ah\n1,0.0043,0.0044\n2,0.0041,0.0042\n",
    ],
    ids=["German", "English"],
)
def test_capacities_under_headings_of_two_languages(text):
    (cell,) = read_cells(text.encode("utf-8-sig"), "a.csv")
    assert (cell.cycles, cell.discharged.tolist()) == ((1, 2), pytest.approx([0.0043, 0.0041]))
    assert cell.charged.tolist() == pytest.approx([0.0044, 0.0042])
