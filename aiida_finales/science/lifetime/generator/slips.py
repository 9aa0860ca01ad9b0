"""Rows of a table that have slipped against another one: what they say of a cell is true of its neighbour.

What both tables know tells it: the life that a row states beside the cycle at which the series falls to the capacity
that ends it, the capacity of cycle 3 beside that of the voltages. One row that does not fit is a slip of the pen;
many in a stretch, of which each series fits the row so many further, are a column that has slipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.schemas.words import count
from aiida_finales.science.array import Array

Fits = npt.NDArray[np.bool_]
#: rows by which a table may have slipped, and how seldom chance may look like it
_STEPS, _BY_CHANCE = (1, -1, 2, -2), 1e-4
#: share of series that fit the row that is theirs
_FIT = 0.9
#: how far the ratio of two capacities of a cell may be off the usual one, and how far the life of a series may be off
#: that of its row: a share of it, or so many cycles
_SAME_CELL, _SAME_LIFE = 0.003, (0.005, 2.0)


@dataclass(frozen=True)
class Slip:
    """A stretch of rows that has slipped.

    :param cells: names in it, in the order of the table.
    :param by: so many rows further is the row that a series of the stretch fits.
    :param moved: names in it whose series fits the row so many further, by the name of that row.
    :param n_own: series of the stretch that fit their own.
    """

    cells: tuple[str, ...]
    by: int
    moved: Mapping[str, str]
    n_own: int

    def say(self, what: str) -> str:
        """Return it in words.

        :param what: the rows say of a cell.
        """
        rows = f"{count(abs(self.by), 'row')} {'further' if self.by > 0 else 'before'}"
        return (
            f"the rows of {count(len(self.cells), 'cell')}, {self.cells[0]} to {self.cells[-1]}, look shifted: {what} "
            f"fits the capacities of {self.n_own} of them, and {rows} those of {len(self.moved)}"
        )


def compare_capacities(series: Array, rows: Array) -> Fits:
    """Return which series fit which rows, shape ``(n, n)``: the ratio of both is about the usual one.

    Voltages may end before the cycler's discharge does, so that capacities differ by about the same in all cells.

    :param series: capacity of a cycle, Ah, shape ``(n,)``; :param rows: that of the same cycle in a row, likewise.
    """
    ratios = series[:, None] / rows
    return np.asarray(np.abs(ratios - np.median(np.diag(ratios))) <= _SAME_CELL)


def compare_lives(ends: Array, lasts: Array, rows: Array) -> Fits:
    """Return which series fit which rows, shape ``(n, n)``: they fall to the end of life when the row says so.

    :param ends: cycle at which a series fell, shape ``(n,)``; infinite where it did not: its cell lived on.
    :param lasts: last cycle of each series; :param rows: life that a row states.
    """
    share, least = _SAME_LIFE
    allowed = np.maximum(share * rows, least)
    reached = np.abs(ends[:, None] - rows) <= allowed
    return np.where(np.isinf(ends)[:, None], rows >= lasts[:, None] - allowed, reached)


def find_slip(names: Sequence[str], fits: Fits) -> Slip | None:
    """Return the stretch of rows that has slipped, or ``None``.

    It is the one of which a slip explains best which series fit which rows (the largest ratio of likelihoods), if
    chance hardly ever makes one like it.

    :param names: of cells, in the order of the table.
    :param fits: whether the series of a cell (first axis) fits a row (second axis), shape ``(n, n)``.
    """
    n, own = len(names), np.diag(fits)
    if own.all():
        return None
    chance = float(np.clip(fits[~np.eye(n, dtype=bool)].mean(), 1 / n, _FIT))
    best, found = math.log(len(_STEPS) * n * n / 2 / _BY_CHANCE), None
    for by in _STEPS:
        moved = np.array([0 <= place + by < n and fits[place, place + by] for place in range(n)])
        # how much likelier each row is where it has slipped than where it has not
        gain = _weigh(moved, chance) - _weigh(own, chance)
        total, begin, end = _find_stretch(gain)
        if total > best:
            while end < n and not own[end]:
                end += 1
            best = total
            fitting = {names[place]: names[place + by] for place in range(begin, end) if moved[place]}
            found = Slip(tuple(names[begin:end]), by, fitting, int(own[begin:end].sum()))
    return found


def _weigh(is_fitting: Fits, chance: float) -> Array:
    return np.where(is_fitting, math.log(_FIT / chance), math.log((1 - _FIT) / (1 - chance)))


def _find_stretch(gain: Array) -> tuple[float, int, int]:
    """Return the largest sum of neighbours, where they begin, and where they end."""
    best, running, begin = (0.0, 0, 0), 0.0, 0
    for place, value in enumerate(gain):
        if running <= 0:
            running, begin = 0.0, place
        running += float(value)
        best = max(best, (running, begin, place + 1), key=lambda item: item[0])
    return best
