"""Stops a simulation that runs away, while it runs: entry point of AiiDA's monitors of calculations."""

from __future__ import annotations

import csv
import math
import tempfile
from pathlib import Path

from aiida import orm
from aiida.transports import Transport

from aiida_finales.calculations.molecular_dynamics import CELL_FOLDER
from aiida_finales.md.output import LOG

#: entry point of :func:`stop_runaway`, and s between two looks
MONITOR, MONITOR_INTERVAL = "finales.molecular_dynamics", 60
#: a mean over so many lines of a stage is the thermostat's temperature, within this part of it, or something is wrong
TEMPERATURE_PART, N_LINES = 0.15, 20


def stop_runaway(node: orm.CalcJobNode, transport: Transport) -> str | None:
    """Return why a simulation is to be stopped, or ``None``.

    The program stops by itself what blows up within a frame. This finds what goes wrong slowly: a temperature that the
    thermostat no longer holds, an energy that is no number.
    """
    remote = str(Path(node.get_remote_workdir()) / CELL_FOLDER / LOG)
    if not transport.isfile(remote):
        return None  # still packing
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / LOG
        transport.getfile(remote, str(local))
        rows = [row for row in csv.reader(local.read_text(encoding="utf-8").splitlines()) if row]
    return find_runaway(rows, float(node.inputs.parameters["temperature_K"]))


def find_runaway(rows: list[list[str]], wanted: float) -> str | None:
    """Return what is wrong with the last lines of a log, or ``None``.

    :param rows: of the log: stage, ps, K, g/cm3, nm3, kJ/mol, kJ/mol; the last one may be written in part.
    :param wanted: temperature asked for, K.
    """
    stage = rows[-1][0] if rows else ""
    lines = [row for row in rows[:-1] if row[0] == stage and len(row) == len(rows[0])][-N_LINES:]
    if any(not math.isfinite(float(row[5])) for row in lines):
        return f"the potential energy is {lines[-1][5]} kJ/mol in stage {stage}"
    if len(lines) < N_LINES or stage == "nvt":  # it is warmed up there
        return None
    mean = math.fsum(float(row[2]) for row in lines) / len(lines)
    if abs(mean - wanted) > TEMPERATURE_PART * wanted:
        return f"the temperature is {mean:.1f} K in stage {stage}, asked were {wanted:g} K"
    return None
