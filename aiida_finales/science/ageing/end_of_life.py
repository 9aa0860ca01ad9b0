"""End of life: from which cycle on a cell holds too little."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError

#: Of the reference capacity.
THRESHOLD = 0.8
#: Numbers of a parabola: the fade of the last cycles is seldom a line.
_FITTED = 3
#: A capacity that equals the limit is not below it, whatever the last digit of ``threshold * reference`` is.
_ROUNDING = 1e-9


#: factor between a nominal capacity and the largest measured one beyond which they are of different cells, or units
FAR = 5.0
#: cycles before and after the end of life from which the fade and its scatter are judged
_AROUND = 10


def crossing_uncertainty(cycles: npt.ArrayLike, capacities: npt.ArrayLike, end_of_life: int) -> float:
    """Return the standard deviation of an end of life that was read off a record, in cycles; 1 at least.

    A cycle is counted whole, the life ended somewhere since the last cycle that was recorded before, and a capacity
    that scatters crosses the limit so much too early or too late as the fade needs to make up for it.

    :param cycles: numbers of the cycles that were recorded, ascending.
    :param capacities: of each of them, in any unit.
    :param end_of_life: one of the cycles.
    """
    x, y = np.asarray(cycles, dtype=float), np.asarray(capacities, dtype=float)
    index = int(np.searchsorted(x, end_of_life))
    spacing = x[index] - x[index - 1] if index else 1.0
    near = slice(max(0, index - _AROUND), index + _AROUND + 1)
    scatter = 0.0
    if len(x[near]) > _FITTED:
        fit, residuals, *_ = np.polyfit(x[near] - x[index], y[near], _FITTED - 1, full=True)
        noise = np.sqrt(residuals.sum() / (len(x[near]) - _FITTED)) if len(residuals) else 0.0
        scatter = min(noise / abs(fit[-2]), float(np.ptp(x[near]))) if fit[-2] else float(np.ptp(x[near]))
    return float(max(1.0, np.hypot(spacing, scatter)))


def explain_nominal(nominal: float, largest: float) -> str:
    """Return in words why a nominal capacity is not that of a cell; nothing where it may be.

    :param nominal: Ah.
    :param largest: discharge capacity that the cell gave, Ah.
    """
    if largest <= 0 or 1 / FAR <= nominal / largest <= FAR:
        return ""
    looks = f"; {nominal:g} looks like mAh" if 1 / FAR <= nominal / largest * 1e-3 <= FAR else ""
    return (
        f"the nominal capacity is {nominal:g} Ah, but the largest that the cell gave is {largest:.4g} Ah, and accepted "
        f"is up to {FAR:g} times as much or as little{looks}"
    )


def demand_likely(nominal: float | None, largest: float, cell: str) -> None:
    """Refuse a nominal capacity that a cell does not have.

    :param nominal: Ah; ``None`` where none is given.
    :param largest: discharge capacity that the cell gave, Ah.
    :param cell: its name.
    :raises InputError: naming both, and the unit that it looks like.
    """
    if nominal is not None and (words := explain_nominal(nominal, largest)):
        raise InputError(f"cell {cell}: {words}. Should it be right, say --yes-really")


def find_end_of_life(
    capacities: npt.ArrayLike,
    *,
    reference: float,
    threshold: float = THRESHOLD,
    persistence: int = 1,
    first_cycle: int = 1,
) -> int | None:
    """Return the first cycle from which the discharge capacity stays below the limit, or ``None`` if it never does.

    The end of the data is not the end of life: a cell that still holds enough, or that has not been below the limit for
    long enough, has none yet.

    :param capacities: discharge capacity of consecutive cycles, in the unit of the reference.
    :param reference: what the threshold refers to: the nominal capacity, or that of the first cycle at working rate.
    :param threshold: share of the reference, above 0.
    :param persistence: so many cycles in a row must be below; 3 passes over single outliers.
    :param first_cycle: number of the cycle of the first entry.
    :raises InputError: when a capacity is not a number, or the limit or the persistence make no sense.
    """
    values = np.asarray(capacities, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError("capacities with gaps were given, accepted is one number per cycle: fill or cut the gaps")
    if not (np.isfinite(reference) and reference > 0 and threshold > 0 and persistence >= 1):
        raise InputError(
            f"reference {reference}, threshold {threshold}, persistence {persistence}: accepted are a positive "
            "reference and threshold, and a persistence of 1 or more"
        )
    if len(values) < persistence:
        return None
    below = values < threshold * reference * (1 - _ROUNDING)
    runs = np.lib.stride_tricks.sliding_window_view(below, persistence).all(axis=1)
    return int(np.argmax(runs)) + first_cycle if runs.any() else None
