"""The record of a cycler as one series of points, cut into the half cycles that everything else is computed from.

A point belongs to a charge or a discharge by the counters of the instrument where it has them, else by the sign of the
current. Half cycles of one cycle are one, however many steps (constant current, constant voltage) they consist of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cycling import HalfCycle
from aiida_finales.science.array import Array

#: share of the highest current below which a cell rests: noise of the instrument
_REST = 1e-3
#: share of the largest half cycle below which a change of direction is a pulse, not a half cycle; where no cycles are
#: numbered
_PULSE = 0.01
#: share of the range of voltages by which the end of a discharge is above the others, so that it was no end
_UNFINISHED = 0.1
#: a counter that falls below this share of what it was has begun anew, or by more than this share of its maximum; else
#: it is noise
_ANEW, _NOISE = 0.5, 0.01
_HOUR = 3600.0


@dataclass(frozen=True)
class CyclerRecord:
    """Points in the order of time; what the instrument did not record is ``None``.

    :param time: s; :param voltage: V.
    :param current: A, of either sign convention: see :func:`orient`.
    :param charged: Ah that went in since the first point; :param discharged: Ah that came out.
    :param cycle: number of the cycle.
    """

    time: Array
    voltage: Array
    current: Array | None = None
    charged: Array | None = None
    discharged: Array | None = None
    cycle: Array | None = None


def unwind(counter: Array) -> Array:
    """Return what a counter has counted in all since its first point, however often it begins anew.

    Neware begins anew at every step, others at every cycle, or never.

    :param counter: Ah, not negative.
    """
    steps = np.diff(counter, prepend=counter[:1])
    before = np.concatenate([counter[:1], counter[:-1]])
    anew = (steps < 0) & ((counter < _ANEW * before) | (-steps > _NOISE * counter.max()))
    steps[anew] = counter[anew]
    return np.cumsum(steps)


def orient(record: CyclerRecord) -> tuple[CyclerRecord, bool]:
    """Return the record with a current that is positive while charging, and whether it had to be turned.

    While a cell is charged its voltage rises. A record with counters needs no current to tell.

    :raises InputError: when neither counters nor the sign of the current tell charge from discharge.
    """
    if record.current is None or record.charged is not None:
        return record, False
    current = record.current
    if not ((current > 0).any() and (current < 0).any()):
        raise InputError(
            "the current has one sign only, and nothing else tells charge from discharge: accepted are signed "
            "currents, capacities of charge and discharge in columns of their own, or a column of the state (C, D)"
        )
    direction = _directions(current)
    same = (direction[1:] == direction[:-1]) & (direction[1:] != 0)
    rise = float(np.sum(np.diff(record.voltage)[same] * direction[1:][same]))
    return (replace(record, current=-current), True) if rise < 0 else (record, False)


def cut_half_cycles(record: CyclerRecord) -> dict[int, HalfCycle]:
    """Return the half cycles by number: odd ones charge, even ones discharge, cycle ``k`` is ``2k - 1`` and ``2k``.

    Cycles are those that the instrument numbers, the first that passed charge being 1; else a cycle is a charge and the
    discharge after it.

    :raises InputError: when no charge has passed.
    """
    passed, direction = _find_steps(record)
    if not direction.any():
        raise InputError("no charge has passed: the record is one of a resting cell")
    cycle = _count_cycles(passed, direction) if record.cycle is None else record.cycle
    moving = np.flatnonzero(direction)
    numbers = 2 * (cycle[moving] - cycle[moving].min() + 1) - (direction[moving] > 0)
    order = np.argsort(numbers, kind="stable")
    parts = np.split(moving[order], np.flatnonzero(np.diff(numbers[order])) + 1)
    halves = zip(np.unique(numbers), parts, strict=True)
    # a single point is no interval: nothing has passed that could be told
    return {int(number): _take(record, passed, rows) for number, rows in halves if len(rows) > 1}


def drop_unfinished(
    halves: Mapping[int, HalfCycle], record: CyclerRecord
) -> tuple[dict[int, HalfCycle], HalfCycle | None]:
    """Return half cycles without a last discharge that goes on where the record ends, and that one if there is one.

    It goes on where the voltage is still well above that at which the others ended: its capacity would be too low.
    """
    last = max(halves)
    ends = [half.voltage[-1] for number, half in halves.items() if number % 2 == 0 and number != last]
    if last % 2 or not ends or halves[last].time[-1] < record.time[-1]:
        return dict(halves), None
    above = halves[last].voltage[-1] - np.median(ends)
    if above <= _UNFINISHED * np.ptp(record.voltage):
        return dict(halves), None
    return {number: half for number, half in halves.items() if number != last}, halves[last]


def _find_steps(record: CyclerRecord) -> tuple[Array, npt.NDArray[np.int_]]:
    """Return the charge in Ah that passed since the point before, and 1, -1 or 0 for its direction."""
    if record.charged is not None and record.discharged is not None:
        charged, discharged = (np.diff(part, prepend=part[:1]) for part in (record.charged, record.discharged))
        return charged + discharged, np.sign(charged - discharged).astype(int)
    if record.current is None:
        raise InputError("neither a current nor capacities of charge and discharge were recorded")
    direction = _directions(record.current)
    steps = np.zeros(len(record.time))
    same = direction[1:] == direction[:-1]
    means = 0.5 * np.abs(record.current[1:] + record.current[:-1])
    steps[1:][same] = (means * np.diff(record.time))[same] / _HOUR
    return steps, direction


def _directions(current: Array) -> npt.NDArray[np.int_]:
    limit = _REST * float(np.abs(current).max())
    return np.where(np.abs(current) > limit, np.sign(current), 0).astype(int)


def _count_cycles(passed: Array, direction: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    """Return the number of the cycle of each point, from 1: a charge after a discharge begins one."""
    moving = np.flatnonzero(direction)
    starts = np.flatnonzero(np.diff(direction[moving])) + 1
    runs = np.split(moving, starts)
    amounts = np.array([float(passed[run].sum()) for run in runs])
    cycle = np.zeros(len(direction), dtype=int)
    number, before = 1, 0
    for run, amount in zip(runs, amounts, strict=True):
        sign = int(direction[run[0]])
        if amount >= _PULSE * amounts.max():
            number += sign == 1 and before == -1
            before = sign
        cycle[run] = number
    return cycle


def _take(record: CyclerRecord, passed: Array, rows: npt.NDArray[np.intp]) -> HalfCycle:
    """Return a half cycle; where no current was recorded, that which the counters mean."""
    time, amount = record.time[rows], np.cumsum(passed[rows])
    if record.current is not None:
        current = np.abs(record.current[rows])
    else:
        intervals = np.diff(record.time, prepend=record.time[0] - 1.0)[rows]
        current = passed[rows] * _HOUR / np.where(intervals > 0, intervals, np.inf)
    return HalfCycle(time, current, record.voltage[rows], amount)
