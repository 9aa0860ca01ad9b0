"""Cycling data of instruments' files: the half cycles of a cell, or a table of its capacities.

Series of points come from BioLogic, Neware, Arbin, Maccor, the Battery Data Format
(https://battery-data-alliance.github.io/battery-data-format) and our own cycler; tables have a row per cycle.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aiida_finales import __version__
from aiida_finales.exceptions import InputError
from aiida_finales.lab.files.kinds import CYCLING, identify, open_file, unpack
from aiida_finales.lab.files.recording import Header, Recording
from aiida_finales.schemas import Json
from aiida_finales.schemas.words import count
from aiida_finales.science.ageing.cycling import HalfCycle
from aiida_finales.science.ageing.record import CyclerRecord, cut_half_cycles, drop_unfinished, orient, unwind
from aiida_finales.science.array import Array

#: names of columns, as :attr:`~.recording.Header.name` has them; those preferred first
_TIME = ("testtime", "totaltime", "elapsedtime", "test", "runtime", "time", "timehminsms", "relativetime",
         "testzeit", "gesamtzeit", "zeit")  # fmt: skip
_VOLTAGE = ("voltage", "ewe", "ecell", "volts", "vol", "cellvoltage", "potential", "u", "v", "e", "spannung",
            "zellspannung", "potenzial")  # fmt: skip
_CURRENT = ("current", "i", "amps", "cur", "cellcurrent", "strom")
_CHARGED = ("chargecapacity", "chargingcapacity", "qcharge", "chgcap", "capacitancechg", "capacitychg", "chargecap",
            "chgcapacity", "qc", "qch", "ladekapazitaet")  # fmt: skip
_DISCHARGED = ("dischargecapacity", "dischargingcapacity", "qdischarge", "dchgcap", "capacitancedchg", "capacitydchg",
               "dischargecap", "dchgcapacity", "qd", "qdis", "entladekapazitaet")  # fmt: skip
_NET = ("qqo",)
#: one column for either direction, which a column of the state tells
_EITHER = ("amphr", "capacity", "ah", "kapazitaet")
_STATE = ("state", "status", "md", "mode", "stepname", "steptype", "steptypename")
_CYCLE = ("cyclecount", "cycleindex", "cyclenumber", "cycle", "cyc#", "cycle#", "cycleno", "cycleid", "cyc",
          "zyklus", "zyklusnummer", "zyklusnr")  # fmt: skip
_CELL = ("cellid", "cell", "cellname", "barcode", "sample", "sampleid", "zelle")
_WORD_OF_CYCLE = re.compile(r"Cycle_(\d+)")


@dataclass(frozen=True)
class CycledCell:
    """What a file says of one cell.

    :param name: of the cell in the file; empty where it has none.
    :param cycles: their numbers.
    :param discharged: Ah of each cycle; :param charged: likewise, ``None`` where it is not known.
    :param halves: half cycles by number; empty where only capacities are known.
    :param source: what is kept of its origin: kind of the file, reader, instrument.
    :param notes: what was left out, assumed or turned, for people.
    :param is_simulated: whether the file says that nobody measured it.
    """

    name: str
    cycles: tuple[int, ...]
    discharged: Array
    charged: Array | None
    source: Json
    halves: Mapping[int, HalfCycle] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_simulated: bool = False


def read_cells(content: bytes, name: str) -> list[CycledCell]:
    """Return the cells of a file, in the order in which they stand there; most have one.

    :raises InputError: when it is no file of a cycler, is damaged, or has no cycles.
    :raises MissingExtraError: when a library is not installed.
    """
    content, name = unpack(content, name)
    if identify(content, name, CYCLING) == "HDF5":
        return [_read_own(content, name)]
    recordings = open_file(content, name, CYCLING)
    if recordings[0].find(_VOLTAGE, "V") is None:
        return list(_read_tables(recordings[0]))
    return [_read_series(recordings)]


def of_halves(halves: Mapping[int, HalfCycle], source: Json, notes: tuple[str, ...] = ()) -> CycledCell:
    """Return a cell of the cycles that have a discharge.

    :raises InputError: when there is none.
    """
    cycles = tuple(sorted(number // 2 for number in halves if number % 2 == 0))
    if not cycles:
        raise InputError("the record has no discharge")
    discharged = np.array([halves[2 * cycle].capacity() for cycle in cycles])
    charges = [halves.get(2 * cycle - 1) for cycle in cycles]
    charged = np.array([np.nan if half is None else half.capacity() for half in charges])
    return CycledCell("", cycles, discharged, charged, source, halves, notes)


def _read_series(recordings: Sequence[Recording]) -> CycledCell:
    notes: list[str] = []
    record, turned = orient(_join([_make_record(recording, notes) for recording in recordings]))
    if turned:
        notes.append("the voltage falls where the current is positive: taken as a discharge, and turned")
    first = recordings[0]
    source = {"kind": first.kind, "reader": first.reader, "instrument": first.instrument}
    halves, left = drop_unfinished(cut_half_cycles(record), record)
    if left is not None:
        notes.append(
            f"the last discharge goes on where the file ends, at {left.voltage[-1]:.4g} V: its "
            f"{left.capacity():.4g} Ah were left out"
        )
    return of_halves(halves, source, tuple(dict.fromkeys([*first.notes, *notes])))


def _make_record(recording: Recording, notes: list[str]) -> CyclerRecord:
    """Return the points of a table that have a time and a voltage.

    :raises InputError: when a column lacks, or states no unit although it is needed.
    """
    voltage = recording.numbers(*recording.demand("the voltage", _VOLTAGE, "V"))
    time = recording.numbers(*recording.demand("the time", _TIME, "s"))
    columns = {
        "current": _optional(recording, _CURRENT, "A"),
        "charged": _optional(recording, _CHARGED, "Ah"),
        "discharged": _optional(recording, _DISCHARGED, "Ah"),
        "net": _optional(recording, _NET, "Ah"),
        "either": _optional(recording, _EITHER, "Ah"),
        "cycle": _optional(recording, _CYCLE, "1"),
    }
    states = recording.find(_STATE, "1")
    direction = None if states is None else np.array([_read_state(cell) for cell in recording.columns[states[0]]])
    known = np.isfinite(time) & np.isfinite(voltage)
    for column in columns.values():
        known &= True if column is None else np.isfinite(column)
    if not known.any():
        raise InputError(f"{recording.kind} has no row in which every number is there")
    if not known.all():
        notes.append(f"rows without numbers were left out: {int((~known).sum())} of {len(known)}")
    kept = {key: None if column is None else column[known] for key, column in columns.items()}
    return _with_counters(
        CyclerRecord(_add_up(time[known]), voltage[known], kept["current"], cycle=kept["cycle"]),
        kept,
        None if direction is None else direction[known],
    )


def _with_counters(record: CyclerRecord, kept: Mapping[str, Any], direction: Array | None) -> CyclerRecord:
    """Return the record with what the instrument counted in either direction, and with signs from its states.

    Counters that stand still while a current flows were not kept: the current is integrated then.
    """
    current, counters = record.current, _find_counters(kept, direction)
    if counters is not None and (current is None or not current.any() or any(np.ptp(found) for found in counters)):
        return replace(record, charged=counters[0], discharged=counters[1])
    if current is not None and direction is not None and not (current < 0).any():
        current = current * direction
    return replace(record, current=current)


def _find_counters(kept: Mapping[str, Any], direction: Array | None) -> tuple[Array, Array] | None:
    """Return the charge in Ah that an instrument counted in either direction; ``None`` where it counted none."""
    if kept["charged"] is not None and kept["discharged"] is not None:
        return unwind(np.abs(kept["charged"])), unwind(np.abs(kept["discharged"]))
    if kept["net"] is not None:
        steps = np.diff(kept["net"], prepend=kept["net"][:1])
        return np.cumsum(np.maximum(steps, 0.0)), np.cumsum(np.maximum(-steps, 0.0))
    if kept["either"] is not None and direction is not None:
        steps = np.diff(unwind(np.abs(kept["either"])), prepend=0.0)
        return np.cumsum(steps * (direction > 0)), np.cumsum(steps * (direction < 0))
    return None


def _read_state(cell: Any) -> int:
    """Return 1 for a charge, -1 for a discharge and 0 for all else, as Maccor (C, D, R) and others (CC Chg) write."""
    word = str(cell).strip().lower()
    if word == "d" or "dch" in word or "disch" in word:
        return -1
    return 1 if word == "c" or "chg" in word or "charge" in word else 0


def _optional(recording: Recording, names: Sequence[str], dimension: str) -> Array | None:
    found = recording.find(names, dimension)
    if found is None:
        return None
    values = recording.numbers(*found)
    if not np.isfinite(values).any():  # the instrument has the column, but did not measure it
        return None
    _demand_unit(*found, dimension)
    return values


def _demand_unit(column: str, header: Header, dimension: str) -> None:
    if not header.unit and dimension in ("A", "Ah"):
        raise InputError(
            f"column {column!r} states no unit: accepted is a heading with one, as {column}({dimension}) or "
            f"{column}(m{dimension})"
        )


def _add_up(time: Array) -> Array:
    """Return a time that never falls, of one that begins anew with every step or file."""
    steps = np.diff(time, prepend=time[:1])
    steps[steps < 0] = np.maximum(time[steps < 0], 0.0)
    return time[:1] + np.cumsum(steps)


def _join(records: Sequence[CyclerRecord]) -> CyclerRecord:
    """Return one record of several that follow each other."""
    joined = records[0]
    for record in records[1:]:
        parts: dict[str, Any] = {}
        for name in ("time", "voltage", "current", "charged", "discharged", "cycle"):
            before, after = getattr(joined, name), getattr(record, name)
            known = before is not None and after is not None
            parts[name] = np.concatenate([before, after + _offset(name, before, after)]) if known else None
        joined = CyclerRecord(**parts)
    return joined


def _offset(name: str, before: Array, after: Array) -> float:
    """Return what is added to a part that begins anew; what goes on stays as it is."""
    if name in ("charged", "discharged"):  # they count from the first point of their part
        return float(before[-1])
    goes_on = name not in ("time", "cycle") or after[0] >= before[-1]
    return 0.0 if goes_on else float(before[-1])


def _read_tables(recording: Recording) -> Iterator[CycledCell]:
    """Yield the cells of a table with a row per cycle.

    :raises InputError: when a column lacks, states no unit, or has no numbers.
    """
    cycle = recording.numbers(*recording.demand("the cycle", _CYCLE, "1"))
    what = "the discharge capacity (or the voltage, of a series of points)"
    found = recording.demand(what, (*_DISCHARGED, *_EITHER), "Ah")
    _demand_unit(*found, "Ah")
    discharged, charged = np.abs(recording.numbers(*found)), _optional(recording, _CHARGED, "Ah")
    column = recording.find(_CELL, "1")
    names = [str(cell).strip() for cell in recording.columns[column[0]]] if column else [""] * len(cycle)
    source = {"kind": recording.kind, "reader": recording.reader, "instrument": recording.instrument}
    known = np.isfinite(cycle) & np.isfinite(discharged)
    notes = recording.notes
    if not known.all():
        notes = (*notes, f"rows without numbers were left out: {int((~known).sum())} of {len(known)}")
    if not known.any():
        raise InputError(f"{recording.kind} has no row with a cycle and a capacity")
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(known & (np.array(names) == name))
        rows = rows[np.argsort(cycle[rows], kind="stable")]
        if len(rows):
            yield _make_cell(name, cycle[rows], discharged[rows], None if charged is None else charged[rows],
                             (source, notes))  # fmt: skip


def _make_cell(
    name: str, cycle: Array, discharged: Array, charged: Array | None, about: tuple[Json, tuple[str, ...]]
) -> CycledCell:
    numbers = tuple(int(number) for number in cycle)
    if len(set(numbers)) < len(numbers) or list(numbers) != cycle.tolist():
        twice = sorted(number for number, n_rows in Counter(numbers).items() if n_rows > 1)
        words = f"cycle {twice[0]} is there more than once, as {count(len(twice), 'number')}" if twice else ""
        raise InputError(
            f"{f'{name}: ' if name else ''}{words or 'a cycle is no whole number'}: accepted is one row per cycle. "
            "Several cells need a column cell_id; of a part that begins to count anew, number the cycles on"
        )
    return CycledCell(name, numbers, discharged, charged, about[0], notes=about[1])


def _read_own(content: bytes, name: str) -> CycledCell:
    """Return the cell of the HDF5 file of our own cyclers: half cycles after formation.

    :raises InputError: when it is another HDF5 file.
    """
    import h5py  # type: ignore[import-untyped]  # takes longer than a call may, where no file is needed

    try:
        with h5py.File(io.BytesIO(content)) as file:
            halves = {}
            for part in file.get("split", {}):
                found = _WORD_OF_CYCLE.fullmatch(part)
                if found is not None:
                    group = file["split"][part]
                    halves[int(found[1])] = HalfCycle(*(group[key][()] for key in "tIV"))
            attributes = dict(file.attrs)
    except (OSError, KeyError) as error:
        raise InputError(f"{name} is damaged, or another HDF5 file than a cycler of ours writes: {error}") from error
    if not halves:
        raise InputError(f"{name} is HDF5 without the groups split/Cycle_<number> of our cyclers: nothing else is read")
    source = {"kind": "HDF5 of a cycler of ours", "reader": f"aiida-finales {__version__}",
              "instrument": str(attributes.get("device", ""))}  # fmt: skip
    cell = of_halves(halves, source)
    return replace(cell, name=str(attributes.get("cell", "")), is_simulated=bool(attributes.get("simulated", False)))
