"""Series of points, cut into half cycles."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.record import CyclerRecord, cut_half_cycles, orient, unwind


@pytest.mark.parametrize(
    ("counter", "total"),
    [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]),
        ([0.0, 1.0, 2.0, 0.0, 0.5, 2.0], [0.0, 1.0, 2.0, 2.0, 2.5, 4.0]),
        ([0.0, 2.0, 0.3, 1.0], [0.0, 2.0, 2.3, 3.0]),
        ([0.0, 2.0, 1.5, 2.0], [0.0, 2.0, 3.5, 4.0]),
        ([5.0, 6.0], [0.0, 1.0]),
        ([0.0, 2.0, 1.9999, 3.0], [0.0, 2.0, 1.9999, 3.0]),
    ],
    ids=["never", "at zero", "after zero", "far from zero", "begun before", "noise"],
)
def test_counters_that_begin_anew_go_on(counter, total):
    assert unwind(np.array(counter)).tolist() == pytest.approx(total)


def make_record(current, sign=1):
    """An hour between points; the voltage follows what was charged."""
    current = np.array(current, dtype=float)
    time = 3600.0 * np.arange(len(current))
    return CyclerRecord(time, 3.0 + 0.1 * np.cumsum(sign * current), current)


def test_pulses_are_no_half_cycles():
    """A charge with a short pulse of discharge in it is one charge; one after a discharge begins a cycle."""
    record = make_record([1, 1, 1, -0.01, -0.01, 1, 1, -1, -1, -1, 1, 1])
    halves = cut_half_cycles(record)
    assert {number: half.capacity() for number, half in halves.items() if number != 2} == {1: 3.0, 3: 1.0}
    assert halves[2].capacity() == pytest.approx(2.01)


def test_a_record_that_begins_with_a_discharge_has_no_first_charge():
    assert set(cut_half_cycles(make_record([-1, -1, 1, 1, -1, -1]))) == {2, 3, 4}


def test_cycles_that_the_instrument_numbers_are_kept_with_their_gaps():
    record = make_record([0, 1, 1, -1, -1, 1, 1, -1, -1])
    numbered = CyclerRecord(record.time, record.voltage, record.current, cycle=np.array([0, 4, 4, 4, 4, 6, 6, 6, 6]))
    assert set(cut_half_cycles(numbered)) == {1, 2, 5, 6}


def test_current_follows_from_counters_where_none_was_recorded():
    time = np.array([0.0, 1800.0, 3600.0])
    record = CyclerRecord(time, np.array([3.0, 3.5, 4.0]), charged=np.array([0.0, 1.0, 2.0]), discharged=np.zeros(3))
    (half,) = cut_half_cycles(record).values()
    assert half.current.tolist() == [2.0, 2.0]
    assert half.capacity() == 2.0
    assert half.mean_voltage() == pytest.approx(3.625)


@pytest.mark.parametrize(("sign", "turned"), [(1, False), (-1, True)])
def test_voltage_rises_while_a_cell_is_charged(sign, turned):
    record, was_turned = orient(make_record([sign, sign, sign, -sign, -sign, -sign], sign))
    assert was_turned is turned
    assert record.current.tolist() == [1, 1, 1, -1, -1, -1]


def test_resting_cell_is_refused():
    with pytest.raises(InputError, match="resting cell"):
        cut_half_cycles(make_record([0, 0, 0]))
