"""Impedance spectra of instruments' files."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.lab.files.spectrum import read_spectra
from aiida_finales.science.electrolyte.impedance import fit_resistance

from .conftest import RESISTANCE, make_csv, make_dta, make_mpt, make_z

FORMATS = {
    "cell.mpt": make_mpt,
    "cell.DTA": make_dta,
    "cell.z": make_z,
    "cell.csv": make_csv,
    "cell.txt": make_mpt,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_the_same(spectrum, name):
    (found,) = read_spectra(FORMATS[name](*spectrum).encode("latin-1"), name)
    np.testing.assert_allclose(found.frequency, spectrum[0], rtol=1e-8)
    np.testing.assert_allclose(found.impedance, spectrum[1], rtol=1e-8)
    assert fit_resistance(found.frequency, found.impedance).resistance == pytest.approx(RESISTANCE, rel=1e-4)
    assert found.source["reader"].startswith("aiida-finales ")


@pytest.mark.parametrize(
    ("header", "options", "factor"),
    [
        ("Frequency [kHz];Zre [mOhm];Zim [mOhm]", {"delimiter": ";"}, 1e3),
        ("Frequency / Hz\tReal Impedance / ohm\tImaginary Impedance / ohm", {"delimiter": "\t"}, 1.0),
        ("frequency_Hz;Re_Z_ohm;minus_Im_Z_ohm", {"delimiter": ";", "decimal": ",", "sign": -1}, 1.0),
        ("Freq(Hz),Re(Z)/Ohm,-Im(Z)/Ohm", {"sign": -1}, 1.0),
        ("# freq/Hz,Z_real (Ω),Z_imag (Ω)", {}, 1.0),
        ("Frequenz / Hz;Realteil / Ohm;Imaginärteil / Ohm", {"delimiter": ";", "decimal": ","}, 1.0),
    ],
    ids=["other units", "ours", "decimal comma", "minus", "comment", "German"],
)
def test_headings_say_unit_and_sign(spectrum, header, options, factor):
    text = make_csv(spectrum[0] / factor, spectrum[1] * factor, header=header, **options)
    (found,) = read_spectra(text.encode(), "a.csv")
    np.testing.assert_allclose(found.frequency, spectrum[0], rtol=1e-8)
    np.testing.assert_allclose(found.impedance, spectrum[1], rtol=1e-8)
    assert not found.notes


def test_sign_of_the_imaginary_part_is_found_and_said(spectrum):
    (found,) = read_spectra(make_csv(*spectrum, sign=-1).encode(), "a.csv")
    np.testing.assert_allclose(found.impedance, spectrum[1], rtol=1e-8)
    assert "turned" in found.notes[-1]


@pytest.mark.parametrize(
    ("header", "make"),
    [
        ("Freq,Zreal,Zimag\nHz,Ohm,Ohm", lambda f, z: f"{f!r},{z.real!r},{z.imag!r}"),
        ("Frequency (Hz);|Z| (Ohm);Phase (°)", lambda f, z: f"{f!r};{abs(z)!r};{float(np.degrees(np.angle(z)))!r}"),
        (
            "Thales export\nFrequency/Hz\tImpedance/Ohm\tPhase/deg",
            lambda f, z: f"{f!r}\t{abs(z)!r}\t{float(np.degrees(np.angle(z)))!r}",
        ),
        ("Freq(Hz)  Ampl  Z'(Ohm)  Z''(Ohm)", lambda f, z: f"{f!r}  0.01  {z.real!r}  {z.imag!r}"),
        ("Sample: A3\nmade by,me\n\nf/Hz,Re(Z)/Ohm,Im(Z)/Ohm\n# begin", lambda f, z: f"{f!r},{z.real!r},{z.imag!r}"),
    ],
    ids=["units below", "modulus and phase", "Zahner", "blanks", "lines before and comments"],
)
def test_tables_of_many_kinds(spectrum, header, make):
    rows = [make(*point) for point in zip(*(column.tolist() for column in spectrum), strict=True)]
    (found,) = read_spectra("\n".join([header, *rows]).encode(), "a.txt")
    np.testing.assert_allclose(found.impedance, spectrum[1], rtol=1e-8)
    assert not found.notes


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(spectrum, encoding):
    text = make_mpt(*spectrum, decimal=",", newline="\r\n")
    (found,) = read_spectra(text.encode(encoding), "a.mpt")
    np.testing.assert_allclose(found.frequency, spectrum[0], rtol=1e-8)
    assert found.source["instrument"] == "SP-150 (SN 1)"


def twice(values):
    return np.concatenate([values, values])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.mpt", lambda f, z: make_mpt(twice(f), twice(z), cycles=np.repeat([1.0, 2.0], len(f)))),
        ("a.mpt", lambda f, z: make_mpt(twice(f), twice(z), cycles=np.ones(2 * len(f)))),
        ("a.mpt", lambda f, z: make_mpt(f, z) * 2),
        ("a.DTA", lambda f, z: make_dta(f, z, n_curves=2)),
        ("a.csv", lambda f, z: make_csv(twice(f), twice(z))),
        ("a.csv", lambda f, z: make_csv(f, z) * 2),
    ],
    ids=["cycle number", "one cycle number", "files joined", "two curves", "sweeps", "headings again"],
)
def test_every_spectrum_of_a_file_is_one(spectrum, name, make):
    found = read_spectra(make(*spectrum).encode("latin-1"), name)
    assert [item.number for item in found] == [1, 2]
    for item in found:
        np.testing.assert_allclose(item.impedance, spectrum[1], rtol=1e-8)


def test_order_of_frequencies_does_not_matter(spectrum):
    order = np.random.default_rng(3).permutation(len(spectrum[0]))
    (found,) = read_spectra(make_csv(spectrum[0][order], spectrum[1][order], sign=-1).encode(), "a.csv")
    np.testing.assert_allclose(found.impedance, spectrum[1][order], rtol=1e-8)


def test_rows_without_numbers_and_a_cut_last_row_are_left_out_and_said(spectrum):
    lines = make_csv(*spectrum).splitlines()
    lines[4] = "NaN,NaN,NaN"
    lines[-1] = lines[-1].rpartition(",")[0]
    (found,) = read_spectra("\n".join(lines).encode(), "a.csv")
    assert len(found.frequency) == len(spectrum[0]) - 2
    assert "cut off" in found.notes[0]
    assert "left out: 1 (row 4" in found.notes[1]


def test_numbers_without_headings_are_taken_as_said(spectrum):
    text = "\n".join(make_csv(*spectrum).splitlines()[1:])
    (found,) = read_spectra(text.encode(), "a.csv")
    np.testing.assert_allclose(found.impedance, spectrum[1], rtol=1e-8)
    assert "no headings" in found.notes[0]


BAD = {
    "another format": ("a.mpt", b"EXPLAIN\nTAG\tEISPOT\n", r"suffix of BioLogic .mpt, but is a Gamry .DTA file"),
    "a workbook that is none": ("a.xlsx", b"freq/Hz,Re(Z)/Ohm\n1,2\n", r"suffix of Excel workbook, but is a table"),
    "PDF": ("a.csv", b"%PDF-1.7", r"a.csv is a PDF; accepted are BioLogic .mpt"),
    "cycler": ("a.nda", b"NEWARE\0\0", r"a.nda is a Neware .nda file; accepted are"),
    "empty": ("a.csv", b" \n", "a.csv is empty"),
    "no curve": ("a.DTA", b"EXPLAIN\nCURVE\tTABLE\t2\n\tPt\n", r"no table ZCURVE.*CURVE"),
    "no end": ("a.z", b"ZPLOT2 ASCII\n1\t2\n", "End Comments"),
    "head alone": ("a.mpt", b"EC-Lab ASCII FILE\nNb header lines : 60\n", "60 header lines and has 2"),
    "no unit": ("a.csv", b"f,x,y\n1,2,3\n", "headings that state units"),
    "other columns": ("a.csv", b"freq/Hz,Voltage/V\n1,2\n", r"no column of the real part in .*'Voltage/V'"),
    "siemens": ("a.csv", b"freq/Hz,Re(Z)/S,Im(Z)/S\n1,2,3\n", "no column of the real part in Ohm"),
    "row in the middle": ("a.csv", b"f/Hz,Re(Z)/Ohm,Im(Z)/Ohm\n1,2,3\n1,2\n1,2,3\n", "the first are 2"),
    "two signs": ("a.csv", b"f/Hz;Re(Z)/Ohm;Im(Z)/Ohm\n1,5;2.5;3\n", "one decimal sign"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_refused_with_what_was_found(case):
    name, content, message = BAD[case]
    with pytest.raises(InputError, match=message):
        read_spectra(content, name)


class TestGalvani:
    """BioLogic's binary files: read by a program of an environment of its own."""

    CONTENT = b"BIO-LOGIC MODULAR FILE"

    def test_absence_says_how_to_get_it(self, monkeypatch):
        monkeypatch.delenv("FINALES_GALVANI_PYTHON", raising=False)
        with pytest.raises(InputError, match=r"GPL.*pip install galvani.*FINALES_GALVANI_PYTHON"):
            read_spectra(self.CONTENT, "a.mpr")

    def test_program_that_is_none(self, monkeypatch):
        monkeypatch.setenv("FINALES_GALVANI_PYTHON", "/nowhere/python")
        with pytest.raises(InputError, match=r"FINALES_GALVANI_PYTHON=/nowhere/python cannot be used"):
            read_spectra(self.CONTENT, "a.mpr")

    def test_python_without_galvani(self, monkeypatch):
        monkeypatch.setenv("FINALES_GALVANI_PYTHON", sys.executable)
        with pytest.raises(InputError, match=r"cannot be read by galvani.*No module named 'galvani'"):
            read_spectra(self.CONTENT, "a.mpr")

    def test_a_reason_of_several_lines_is_told_whole(self, monkeypatch, tmp_path):
        program = tmp_path / "python"
        said = "Traceback:\n  File x\nOSError: Unexpected end of file\n      length read: 1\n      length expected: 2\n"
        program.write_text(f"#!/bin/sh\ncat >&2 <<E\n{said}E\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("FINALES_GALVANI_PYTHON", str(program))
        with pytest.raises(InputError, match=r": OSError: Unexpected end of file length read: 1 length expected: 2$"):
            read_spectra(self.CONTENT, "a.mpr")

    def test_its_table_is_read(self, monkeypatch, tmp_path, spectrum):
        """A stand-in writes what galvani's table has for an impedance: names and kinds of its columns."""
        program = tmp_path / "python"
        table = np.zeros(len(spectrum[0]), dtype=[("freq/Hz", "f4"), ("Re(Z)/Ohm", "f4"), ("-Im(Z)/Ohm", "f4")])
        table["freq/Hz"], table["Re(Z)/Ohm"], table["-Im(Z)/Ohm"] = spectrum[0], spectrum[1].real, -spectrum[1].imag
        np.save(tmp_path / "table.npy", table)
        program.write_text(f'#!/bin/sh\ncp "{tmp_path}/table.npy" "$4"\necho galvani 0.5.0\n')
        program.chmod(0o755)
        monkeypatch.setenv("FINALES_GALVANI_PYTHON", str(program))
        (found,) = read_spectra(self.CONTENT, "a.mpr")
        np.testing.assert_allclose(found.impedance, spectrum[1], rtol=1e-6)
        assert found.source["reader"] == "galvani 0.5.0"


@pytest.mark.parametrize(
    ("name", "sizes", "first"),
    [
        ("impedancepy_exampleDataBioLogic.mpt", [43], (1000.3201, 65.470886 - 0.38998979j)),
        ("impedancepy_exampleDataGamry.DTA", [72], (200015.6, 825.8584 - 1367.239j)),
        ("impedancepy_Circuit1_EIS_1.z", [48], (5e4, 29.036 + 0.63662j)),
        ("impedancepy_exampleData.csv", [66], (3.1623e-3, 0.04949989776 - 0.02043869854j)),
        ("coin_cell_peis.csv", [61, 61], (10002.23, 5.489287 - 1.240279j)),
    ],
)
def test_real_files(shared_data, name, sizes, first):
    found = read_spectra((shared_data / "eis" / name).read_bytes(), name)
    assert [len(item.frequency) for item in found] == sizes
    assert found[0].frequency[0] == pytest.approx(first[0])
    assert found[0].impedance[0] == pytest.approx(first[1], rel=1e-6)


def test_resistance_of_a_real_file_is_where_it_crosses_the_axis(shared_data):
    """Nobody published one: the imaginary part changes its sign between 31.5 and 25.1 kHz, at 29.07 to 29.09 ohm.

    Only the part above 5 kHz is that of the circuit; the residual and the CPE below leave half a per cent open.
    """
    (found,) = read_spectra((shared_data / "eis" / "impedancepy_Circuit1_EIS_1.z").read_bytes(), "a.z")
    part = found.within(5e3, None)
    assert fit_resistance(part.frequency, part.impedance).resistance == pytest.approx(29.08, rel=5e-3)
