"""What first cycles show already, and what they leave to be predicted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cleaning import find_formation
from aiida_finales.science.lifetime.generator.seen import read_first_cycles

SHARES = np.array([0.97, 0.9, 0.8])
#: an answer of 300, 600 and 900 cycles, times and divided by 1.5
ANSWER = np.log([300.0, 600.0, 900.0]), -math.log(1.5), math.log(1.5)


def fall(n_cycles, per_cycle=1e-4):
    """Return the cycles of a cell that loses a share in each."""
    cycles = np.arange(1.0, n_cycles + 1)
    return {"cycle": cycles, "capacity": 1.1 * (1 - per_cycle * cycles)}


def bound(given):
    found, outlived, reasons = read_first_cycles(given).see().bound(SHARES, ANSWER, 0.8)
    return np.exp(found), outlived, reasons


def test_cycles_long_before_the_answer_change_nothing() -> None:
    (middle, low, high), outlived, reasons = bound(fall(50))
    assert middle == pytest.approx([300, 600, 900], rel=1e-3)
    assert low == pytest.approx(middle / 1.5, rel=1e-2)
    assert high == pytest.approx(middle * 1.5, rel=1e-2)
    assert outlived == 0
    assert reasons == ()


def test_what_is_seen_is_no_prediction() -> None:
    (middle, low, high), _, reasons = bound(fall(500, 3e-4))
    assert middle[0] == low[0] == high[0] == pytest.approx(100, rel=0.05)
    assert middle[1] == pytest.approx(333, rel=0.05)
    assert low[2] > 500
    assert reasons[0] == "seen in the first cycles, not predicted: 97 %, 90 %"


def test_a_cell_that_goes_on_is_not_said_to_have_ended() -> None:
    """It was said to have lost a tenth at cycle 600, with all 1200 cycles given."""
    (middle, low, high), outlived, reasons = bound(fall(1200, 1e-5))
    assert (low >= 1200).all()
    assert (low < middle).all()
    assert (middle < high).all()
    assert (np.diff(middle) >= 0).all()
    assert outlived == pytest.approx(math.log(4))
    # as unsure, at least, as it is off
    assert high[0] / low[0] > 4**0.8
    assert reasons == ("it has outlived the answer to its first cycles by 300%",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cycle, capacity: (cycle % 50, capacity), "cycle 0 is given twice"),
        (lambda cycle, capacity: (cycle, 0 * capacity), "none of 100 first cycles has a capacity above 0"),
        (lambda cycle, capacity: (cycle, np.where(cycle < 4, 1.2, capacity)), "of the first [23] cycles lie above"),
        (lambda cycle, capacity: (cycle[:9], capacity), "9 cycles and 100 capacities were given"),
    ],
    ids=["restart", "zeros", "formation", "uneven"],
)
def test_what_is_no_series_is_refused(change, words) -> None:
    cycle, capacity = change(*fall(100).values())
    with pytest.raises(InputError, match=words):
        read_first_cycles({"cycle": cycle, "capacity": capacity})


def test_cycles_without_a_capacity_are_left_out_and_said() -> None:
    given = fall(100)
    given["capacity"][19::20] = 0
    first = read_first_cycles(given)
    assert len(first.cycles) == 95
    assert first.notes == ("left out as they have no capacity: 5 cycles",)


def test_formation_is_a_step_and_no_fast_fade() -> None:
    steady = np.full(30, 1.1)
    assert find_formation(steady) == 0
    assert find_formation(1.1 - 0.01 * np.arange(30.0)) == 0
    assert find_formation(np.r_[1.2, steady]) == 0  # one cycle is a slip
    assert find_formation(np.r_[1.2, 1.19, 1.19, steady]) == 3
