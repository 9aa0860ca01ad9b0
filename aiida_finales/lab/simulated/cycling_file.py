"""The file of a cycled cell: HDF5, in the tree of the published cyclers, with units.

::

    /raw/{Cycle_Index, Step_Index, Testtime(s), Voltage(V), Current(A), charge_Energy(Wh), discharge_Energy(Wh)}
    /split/<part>/{t, I, V, chargeE, dischargeE, C}
    /features                     attributes: the features of the early cycles, and why one is missing

A part is ``Wettingtime``, ``FormationCycle_Charge_<i>``, ``FormationCycle_Discharge_<i>``, ``Rest`` or ``Cycle_<h>``
with ``h`` the number of a half cycle after formation: odd ones charge, even ones discharge. The published files have no
units, and their name for the last dataset says nothing: here ``C`` is the charge in Ah that has passed. Every dataset
has the attribute ``unit`` (ASCII of fixed length); the attributes of the file say which cell, request and protocol it
belongs to, and that it is simulated. A gap in the numbers of the half cycles is a gap in the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.lab.simulated.faults import draw
from aiida_finales.schemas import Json
from aiida_finales.science.ageing.cycling import EarlyFeatures, HalfCycle
from aiida_finales.science.array import Array

#: h of rest before and after formation
WETTING_TIME, REST_TIME = 6.0, 1.0
#: Of data without and with a defect.
RATING, MIN_RATING = 4, 1
#: V by which a voltage may be outside of the window.
TOLERANCE = 0.05
#: V that a broken sensor reports
_OPEN_CIRCUIT = 10.0
#: Share of the cycles that a restart costs.
_LOST = 0.1


#: By name of the dataset.
RAW_UNITS = {
    "Cycle_Index": "1",
    "Step_Index": "1",
    "Testtime(s)": "s",
    "Voltage(V)": "V",
    "Current(A)": "A",
    "charge_Energy(Wh)": "Wh",
    "discharge_Energy(Wh)": "Wh",
}
SPLIT_UNITS = {"t": "s", "I": "A", "V": "V", "chargeE": "Wh", "dischargeE": "Wh", "C": "Ah"}
#: Numbers of the steps in ``Step_Index``.
STEPS = {"rest": 1, "charge": 2, "discharge": 3}

_CYCLE = "Cycle_"


@dataclass(frozen=True)
class Part:
    """One step of a test.

    :param cycle: number of the cycle from 1 after formation, 0 before.
    """

    name: str
    step: str
    cycle: int
    record: HalfCycle


@dataclass(frozen=True)
class CyclingRecord:
    """All that was recorded of a cell.

    :param half_cycles: after formation, by number.
    :param formation: charge and discharge in turn.
    :param wetting: rest before formation, h; ``rest``: after it.
    :param attributes: of the file; what is neither text, number nor truth value is written as JSON.
    """

    half_cycles: Mapping[int, HalfCycle]
    formation: tuple[HalfCycle, ...] = ()
    wetting: float = 0.0
    rest: float = 0.0
    features: EarlyFeatures = field(default_factory=EarlyFeatures)
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write_cycling_file(path: Path | str, record: CyclingRecord) -> None:
    """Write the file as a whole: after a crash there is the old one or the new one."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    parts = list(_shift(_list_parts(record)))
    with _open(draft, "w", libver="v110") as file:
        for name, value in record.attributes.items():
            file.attrs[name] = value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
        _write_raw(file, parts)
        split = file.create_group("split")
        for part in parts:
            _write_part(split, part)
        group = file.create_group("features")
        for name, number in record.features.values().items():
            group.attrs[name] = np.nan if number is None else number
        for name, reason in record.features.reasons.items():
            group.attrs[f"{name}_reason"] = reason
        group.attrs["voltage_gap_charge_discharge_unit"] = "V"
        group.attrs["capacity_vector_variance_unit"] = "ln(Ah^2)"
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(target)


def read_attributes(path: Path | str) -> dict[str, Any]:
    """Return the attributes of the file."""
    with _open(path) as file:
        return {name: value.item() if hasattr(value, "item") else value for name, value in file.attrs.items()}


def _open(path: Path | str, mode: str = "r", **options: Any) -> Any:
    import h5py  # type: ignore[import-untyped]  # takes longer than a call may, where no file is needed

    return h5py.File(path, mode, **options)


def _list_parts(record: CyclingRecord) -> Iterator[Part]:
    first = record.formation[0] if record.formation else next(iter(record.half_cycles.values()))
    yield Part("Wettingtime", "rest", 0, _pause(record.wetting, float(first.voltage[0])))
    for index, half in enumerate(record.formation):
        word = "Discharge" if index % 2 else "Charge"
        yield Part(f"FormationCycle_{word}_{index // 2 + 1}", word.lower(), 0, half)
    before = record.formation[-1].voltage[-1] if record.formation else first.voltage[0]
    yield Part("Rest", "rest", 0, _pause(record.rest, float(before)))
    for number in sorted(record.half_cycles):
        step = "charge" if number % 2 else "discharge"
        yield Part(f"{_CYCLE}{number}", step, (number + 1) // 2, record.half_cycles[number])


def _pause(hours: float, voltage: float) -> HalfCycle:
    return HalfCycle(np.array([0.0, hours * 3600.0]), np.zeros(2), np.full(2, voltage))


def _shift(parts: Iterator[Part]) -> Iterator[Part]:
    """Let each part begin when the one before it ends."""
    now = 0.0
    for part in parts:
        half = part.record
        yield Part(part.name, part.step, part.cycle, HalfCycle(half.time + now, half.current, half.voltage))
        now += float(half.time[-1])


def _columns(part: Part) -> dict[str, Array]:
    half = part.record
    energy = half.energy()
    none = np.zeros_like(energy)
    energies = (energy, none) if part.step == "charge" else (none, energy)
    columns = (half.time, half.current, half.voltage, *energies, half.charge())
    return dict(zip(SPLIT_UNITS, columns, strict=True))


def _write_part(split: Any, part: Part) -> None:
    """Write one group; through the low interface of h5py, because there are thousands of datasets in a file."""
    from h5py import h5a, h5d, h5s, h5t

    group = split.create_group(part.name).id
    space, scalar = h5s.create_simple((len(part.record.time),)), h5s.create(h5s.SCALAR)
    for name, values in _columns(part).items():
        data = h5d.create(group, name.encode(), h5t.IEEE_F64LE, space)
        data.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values))
        unit = np.array(SPLIT_UNITS[name].encode())  # of fixed length: twice as fast as a text
        h5a.create(data, b"unit", h5t.py_create(unit.dtype), scalar).write(unit)


def _write_raw(file: Any, parts: list[Part]) -> None:
    lengths = [len(part.record.time) for part in parts]
    records = [_columns(part) for part in parts]
    columns = (
        np.repeat([part.cycle for part in parts], lengths),
        np.repeat([STEPS[part.step] for part in parts], lengths),
        *(np.concatenate([record[name] for record in records]) for name in ("t", "V", "I", "chargeE", "dischargeE")),
    )
    group = file.create_group("raw")
    for (name, unit), values in zip(RAW_UNITS.items(), columns, strict=True):
        data = group.create_dataset(name, data=values, compression="gzip", compression_opts=4, shuffle=True)
        data.attrs["unit"] = np.bytes_(unit)
    group.attrs["steps"] = json.dumps(STEPS)


def spoil(halves: dict[int, HalfCycle], fault: str | None, seed: str) -> dict[int, HalfCycle]:
    """Return the half cycles as they are after a fault; the rating looks at the data only, never at the fault.

    :param seed: determines which cycles it strikes.
    """
    n_cycles = len(halves) // 2
    first = 1 + int(draw(seed, fault) * n_cycles)
    if fault == "cycler_reboot":
        lost = range(first, min(first + max(int(_LOST * n_cycles), 1), n_cycles + 1))
        return {number: half for number, half in halves.items() if (number + 1) // 2 not in lost}
    if fault == "sensor_out_of_range":
        broken = {number: _break_sensor(halves[number]) for number in (2 * first - 1, 2 * first)}
        return halves | broken
    return halves


def _break_sensor(half: HalfCycle) -> HalfCycle:
    return HalfCycle(half.time, half.current, np.full_like(half.voltage, _OPEN_CIRCUIT))


def assess(halves: Mapping[int, HalfCycle], n_cycles: int, window: tuple[float, float]) -> Json:
    """Return success, rating and what is wrong.

    :param n_cycles: so many should be there.
    :param window: lowest and highest voltage of the protocol, V.
    """
    missing = [k for k in range(1, n_cycles + 1) if not {2 * k - 1, 2 * k} <= halves.keys()]
    low, high = window[0] - TOLERANCE, window[1] + TOLERANCE
    outside = sorted(
        {(number + 1) // 2 for number, half in halves.items() if np.any((half.voltage < low) | (half.voltage > high))}
    )
    empty = sorted({(number + 1) // 2 for number, half in halves.items() if not half.capacity() > 0})
    defects = (
        ("the data lack", missing),
        (f"the voltage leaves {window[0]:g} to {window[1]:g} V in", outside),
        ("no charge passed in", empty),
    )
    reasons = [f"{text} {_name_cycles(cycles)}" for text, cycles in defects if cycles]
    is_complete = not missing
    return {
        "success": is_complete,
        **({"reason": "; ".join(reasons)} if reasons else {}),
        "meta": {"success": is_complete, "rating": MIN_RATING if reasons else RATING},
        "missing_cycles": missing,
    }


def _name_cycles(cycles: list[int]) -> str:
    return f"cycle {cycles[0]}" if len(cycles) == 1 else f"{len(cycles)} cycles between {cycles[0]} and {cycles[-1]}"
