"""Files of instruments, written by the published definitions of their formats (see aiida_finales/lab/files/text.py)."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.science.electrolyte.impedance import circuit_impedance

#: ohm; of the electrolyte in all files here
RESISTANCE = 52.0


@pytest.fixture(scope="session")
def spectrum():
    """Frequencies (Hz) and impedance (ohm) of an electrolyte between blocking electrodes, highest frequency first."""
    frequency = np.geomspace(1e5, 10.0, 31)
    return frequency, circuit_impedance(frequency, RESISTANCE, 2e-5, 0.93, 1e-7)


def number(value, decimal="."):
    return f"{value:.9E}".replace(".", decimal)


def make_mpt(frequency, impedance, *, cycles=None, decimal=".", newline="\n"):
    """EC-Lab ASCII: the head says how many lines it has; headings end with a tab."""
    names = ["freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm", "<I>/mA", *([] if cycles is None else ["cycle number"])]
    head = ["EC-Lab ASCII FILE", "Nb header lines : 6", "", "Electrode surface area : 0.001 cm²",
            "Device : SP-150 (SN 1)"]  # fmt: skip
    columns = [frequency, impedance.real, -impedance.imag, np.full(len(frequency), 0.5)]
    columns += [] if cycles is None else [cycles]
    rows = ["\t".join(number(value, decimal) for value in row) for row in zip(*columns, strict=True)]
    return newline.join([*head, "\t".join(names) + "\t", *rows]) + newline


def make_dta(frequency, impedance, n_curves=1):
    """Gamry: a line of tag and TABLE, headings, units, rows, each indented by a tab."""
    head = ["EXPLAIN", "TAG\tEISPOT", "PSTAT\tPSTAT\tREF600-1\tPotentiostat", "OCVCURVE\tTABLE\t1",
            "\tPt\tT\tVf", "\t#\ts\tV vs. Ref.", "\t0\t0.5\t-0.1"]  # fmt: skip
    curve = ["ZCURVE\tTABLE", "\tPt\tTime\tFreq\tZreal\tZimag\tZsig\tZmod\tZphz", "\t#\ts\tHz\tohm\tohm\tV\tohm\t°"]
    for row, (hertz, ohm) in enumerate(zip(frequency, impedance, strict=True)):
        curve.append("\t" + "\t".join([str(row), "1", *map(number, (hertz, ohm.real, ohm.imag)), "1", "1", "1"]))
    return "\n".join([*head, *(curve * n_curves)]) + "\n"


def make_z(frequency, impedance):
    """ZPlot: a head until ``End Comments``, then nine columns without headings."""
    head = ["ZPLOT2 ASCII", "  Measured Data, ZPlot:       3.2c", "  End User Comments:          0", "End Comments"]
    rows = [
        "\t".join([*map(number, (hertz, 0.01, 0.0, 1.0, ohm.real, ohm.imag, 0.0)), "0", "4"])
        for hertz, ohm in zip(frequency, impedance, strict=True)
    ]
    return "\n".join([*head, *rows]) + "\n"


def make_csv(frequency, impedance, *, header="Frequency (Hz),Z' (Ohm),Z'' (Ohm)", delimiter=",", decimal=".", sign=1):
    rows = zip(frequency, impedance.real, sign * impedance.imag, strict=True)
    return "\n".join([header, *(delimiter.join(number(value, decimal) for value in row) for row in rows)]) + "\n"


#: Ah of the charges and discharges of the cell in all cycling files here
CHARGES, DISCHARGES = (0.0021, 0.0020, 0.0019), (0.0020, 0.0019, 0.0018)


def make_points():
    """Time (s), voltage (V), current (A), cycle, step, state, and Ah of the step; of three cycles."""
    points = []
    now = step = 0
    for cycle, (charge, discharge) in enumerate(zip(CHARGES, DISCHARGES, strict=True), start=1):
        parts = (("C", 0.8 * charge, 0.002, 3.0, 4.1), ("C", 0.2 * charge, 0.001, 4.1, 4.2),
                 ("R", 0.0, 0.0, 4.19, 4.15), ("D", discharge, -0.002, 4.1, 3.0))  # fmt: skip
        for state, amount, current, first, last in parts:
            step += 1
            length = 3600 * amount / abs(current) if current else 600.0
            for share in np.linspace(0, 1, 12):
                volt = first + (last - first) * share
                points.append((now + length * share, volt, current, cycle, step, state, amount * share))
            now += length
    return points
