"""Tables as instruments and spreadsheets write them; what can be read in two ways is refused."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.result_table import read_row, read_rows
from aiida_finales.schemas.table import Dialect, decode, read_number, read_table

TEXT = "T (°C);sigma\n25;9.1\n"
HEAD = "temperature_K,conductivity_mS_cm,x_EC\n"


def cells(text, **dialect):
    return [dict(row) for _, row in read_table(text, Dialect(**dialect)).rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(encoding):
    assert decode(TEXT.encode(encoding), "a.csv") == TEXT


def test_utf_16_of_either_order():
    assert decode(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "a.csv") == TEXT


def test_other_encodings_are_said():
    old = TEXT.encode("cp1252")
    with pytest.raises(InputError, match=r"a.csv is not utf-8: 0xb0 in line 1.*'T \(°C\);sigma'.*'encoding'"):
        decode(old, "a.csv")
    assert decode(old, "a.csv", "cp1252") == TEXT


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"PK\x03\x04rest", None, "an Excel workbook or another zip, but accepted is a text file"),
        (TEXT.encode("utf-16-le"), None, "zero bytes"),
        (b"\x7fELF\xd0\0\0", None, "zero bytes: it is no text"),
        (b"\x7fELF\xd0\0\0", "cp1252", "zero bytes, also as cp1252"),
        ("T;s\n1;2\n".encode("utf-16-le"), None, "zero bytes.*utf-16-le"),
        (b"\x1f\x8b\x08", None, "packed by gzip"),
        (b"T;s", "klingon", "encoding 'klingon' is not known"),
    ],
    ids=["xlsx", "utf-16", "program", "program as cp1252", "utf-16 plain", "gzip", "unknown"],
)
def test_what_is_no_text_is_named(content, encoding, words):
    with pytest.raises(InputError, match=words):
        decode(content, "a.csv", encoding)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_ends_of_lines(ends):
    assert decode(TEXT.replace("\n", ends).encode(), "a.csv") == TEXT


def test_comments_are_lines_between_rows_only():
    text = '# made by hand\na,b\n\n# half\n"#1, of\n# two",2\n'
    assert cells(text) == [{"a": "#1, of\n# two", "b": "2"}]


@pytest.mark.parametrize("tail", ["", "\n", ",\n", "\n,\n\n,\n", " , \n"])
def test_rows_without_text_are_skipped(tail):
    assert cells("a,b\n1,2\n" + tail) == [{"a": "1", "b": "2"}]


def test_empty_columns_without_name_are_left_out():
    assert cells("a,b,,\n1,2,,\n") == [{"a": "1", "b": "2"}]
    with pytest.raises(InputError, match="column 3 has no name, but '7' in row 2"):
        cells("a,b,\n1,2,\n1,2,7\n")


BAD = {
    "more": (
        "a,b\n1,2\n298,15,9\n",
        "1 of 2 rows cannot.*row 2 has 3 cells, but the header names 2: a, b.*decimal",
    ),
    "empty surplus": ("a,b\n1,2,\n", "row 1 has 3 cells"),
    "fewer": ("a;b\n1\n", "row 1 has 1 cell, but the header names 2"),
    "fewer, with commas": ("a,b\n1\n", "row 1 has 1 cell, but the header names 2: a, b$"),
    "twice": ("a,b,a\n1,2,3\n", r"columns \['a'\] are there more than once"),
    "no header": ("298.15,0.9\n300,0.8\n", "has only numbers: accepted is a line with the names"),
    "nothing": ("", "the file has no rows"),
    "header only": ("a,b\n", r"no rows.*the header is \['a', 'b'\]"),
    "quotes": ('a,b\n"1,2\n', "cannot be read"),
    "two delimiters": ("a (b, c);d\n1;2\n", "split by comma .2 columns. and semicolon .2 columns.*'delimiter'"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_bad_tables(text, words):
    with pytest.raises(InputError, match=words):
        read_table(text)


@pytest.mark.parametrize(("sign", "word"), [(",", ","), (";", ";"), ("\t", "\t"), ("\t", "tab")])
def test_delimiters(sign, word):
    text = f"a{sign}b\n1{sign}2\n"
    assert cells(text) == cells(text, delimiter=word) == [{"a": "1", "b": "2"}]


def test_a_decimal_comma_is_seen_where_it_can_be_nothing_else():
    table = read_table("T;s\n298,15;0,9\n300;1,234\n")
    assert (table.decimal, [table.plain(row["s"]) for _, row in table.rows]) == (",", ["0.9", "1.234"])


@pytest.mark.parametrize("rows", ["298,150;1,234\n", "298.15;0,9\n"], ids=["thousands", "both"])
def test_commas_that_may_mean_something_else_are_refused(rows):
    with pytest.raises(InputError, match=r"has a comma .*'decimal'"):
        read_table(f"T;s\n{rows}")
    assert read_table("T;s\n298,150;1,234\n", Dialect(decimal=",")).plain("298,150") == "298.150"


def test_a_point_in_a_table_of_commas_is_refused():
    text = "temperature_K;conductivity_mS_cm;x_EC\n298,15;9,1;1\n298.15;9,1;1\n"
    with pytest.raises(InputError, match=r"row 2: '298.15' has a point"):
        read_rows(text, "conductivity", Dialect(decimal=","))


@pytest.mark.parametrize(
    "dialect", [{"decimal": ";"}, {"delimiter": "||"}, {"delimiter": ",", "decimal": ","}], ids=str
)
def test_impossible_dialects(dialect):
    with pytest.raises(InputError, match=r"delimiter|decimal"):
        Dialect(**dialect)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("n/a", "leave a cell empty"),
        ("-", "leave a cell empty"),
        ("NaN", "leave a cell empty"),
        ("1,234.5", "without separators of thousands"),
        ("1.234,5", "without separators of thousands"),
        ("1 234", "without separators of thousands"),
        ("9,1", "'decimal'"),
        ("25 °C", "alone: units"),
        ("0.9±0.1", "alone: units"),
        ("1_000", "is a number"),
        ("1e999", "is a number"),
        ("much", "but accepted is a number$"),
    ],
)
def test_cells_that_are_no_number_say_why(word, words):
    with pytest.raises(InputError, match=words):
        read_number(word, "conductivity")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_written(number):
    assert read_number(repr(number), "x") == number
    assert read_table("a;b\n1;2\n", Dialect(decimal=",")).plain(repr(number).replace(".", ",")) in (
        repr(number), repr(number).replace(".", ","))  # fmt: skip


def test_headers_are_named():
    with pytest.raises(InputError, match=r"no column conductivity_S_per_m or .*; it has T, x_EC"):
        read_rows("T,x_EC\n1,2\n", "conductivity")


@pytest.mark.parametrize(
    ("header", "cells", "value", "kelvin"),
    [
        ("conductivity [mS/cm];T [°C]", "8.9;25", 0.89, 298.15),
        ("Conductivity (mS cm⁻¹);Temperature (K)", "8.9;298.15", 0.89, 298.15),
        ("ionic conductivity / S cm-1;T / K", "0.0089;300", 0.89, 300.0),
        ("conductivity_S_per_m;conductivity [mS/cm];temp (C)", "0.89;1;25", 0.89, 298.15),
        ("conductivity [mS/cm];density [lb/ft3];T [K]", "8.9;80;300", 0.89, 300.0),
    ],
)
def test_a_heading_may_state_its_unit(header, cells, value, kelvin):
    [(number, row)] = read_rows(f"{header};x_LiPF6 [%];x_EC (mol/mol)\n{cells};8;0.92\n", "conductivity")
    data = read_row(row, number, "conductivity", is_one_cell=False).data
    assert data["conductivity"]["values"] == [pytest.approx(value)]
    assert data["conductivity"]["temperature"] == pytest.approx(kelvin)
    assert [item["fraction"] for item in data["run_info"]["formulation"]] == pytest.approx([0.08, 0.92])


@pytest.mark.parametrize(
    ("quantity", "header", "value"),
    [
        ("density", "density (kg m^-3)", 1.21),
        ("viscosity", "viscosity [Pa·s]", 1210000.0),
        ("density", "density [g/mL]", 1210),
    ],
)
def test_other_quantities_state_their_units_too(quantity, header, value):
    [(_, row)] = read_rows(f"{header},T [K],x_EC\n1210,300,1\n", quantity)
    assert [float(cell) for name, cell in row.items() if name.startswith(quantity)] == [pytest.approx(value)]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("conductivity [S/ft],T [K],x_EC", r"column 'conductivity \[S/ft\]' is 'S/ft', but accepted are S/m, mS/cm"),
        ("conductivity [mS/cm],T [F],x_EC", r"column 'T \[F\]' is 'F', but accepted are K, degC"),
        ("conductivity [mS/cm],T [K],x_EC [ppm]", r"'ppm', but accepted are mol/mol, %"),
        ("conductivity [mS/cm],conductivity [S/m],T [K],x_EC", "say the same: leave out one"),
        ("conductivity [mS/cm],T [K],temperature [°C],x_EC", "say the same: leave out one"),
    ],
)
def test_headings_that_state_no_usable_unit(header, words):
    with pytest.raises(InputError, match=words):
        read_rows(f"{header}\n{','.join('1' * len(header.split(',')))}\n", "conductivity")


def read_first(header, cells):
    [(number, row), *_] = read_rows(f"{header},conductivity_mS_cm\n{cells},8.9\n", "conductivity")
    return read_row(row, number, "conductivity", is_one_cell=False)


@pytest.mark.parametrize(
    ("header", "cells", "mixture"),
    [
        ("temperature_C,x_LiPF6,x_EC,x_EMC", "25 °C,8 %,30%,62 %", {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}),
        ("temperature_K,w_LiPF6,w_EC,w_EMC", "25 degC,12 %,26 %,62 %", "LiPF6 12 wt%, EC 26 wt%, EMC 62 wt%"),
        ("temperature_C,electrolyte", "298.15 K,1 m LiPF6 in EC:EMC 3:7 w/w", "1 m LiPF6 in EC:EMC 3:7 w/w"),
    ],
    ids=["mole", "mass", "words"],
)
def test_a_cell_may_say_its_unit(header, cells, mixture):
    found = read_first(header, cells)
    assert found.data["conductivity"]["temperature"] == pytest.approx(298.15)
    wanted = make_formulation(read_mixture(mixture).fractions)
    shares = {part["chemical"]["InChIKey"]: part["fraction"] for part in found.data["run_info"]["formulation"]}
    assert shares == {part["chemical"]["InChIKey"]: pytest.approx(part["fraction"]) for part in wanted}


@pytest.mark.parametrize(
    ("header", "cells", "words"),
    [
        ("temperature_C,x_LiPF6,x_lipf6,x_EC", "25,0.1,0.1,0.8", "columns x_LiPF6 and x_lipf6 are one chemical"),
        ("temperature_C,electrolyte", "25,", "it says no mixture: .*electrolyte is empty"),
        ("temperature_C,x_EC", "25 F,1", "temperature_C is '25 F', but accepted is a number alone"),
        ("temperature_C,x_EC", "25,8 wt%", "x_EC is '8 wt', but accepted is a number"),
    ],
    ids=["twice", "nothing", "unit", "basis"],
)
def test_rows_that_cannot_be_read_are_named(header, cells, words):
    with pytest.raises(InputError, match=words):
        read_first(header, cells)
