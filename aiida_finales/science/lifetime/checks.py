"""What the lifetime of a cell may be predicted from: a wrong input gets a reason, not a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.features import CURVE_FEATURES

if TYPE_CHECKING:
    from aiida_finales.science.lifetime.model import Task


#: Ah; no single cell holds more.
LARGEST_CAPACITY = 1000.0
#: Relative to the median of the window: capacities outside are not those of one cell at one rate.
PLAUSIBLE_RANGE = (0.3, 2.0)
#: Capacity at the end of the window over that at its begin; cells gain some percent at first, never so much.
LARGEST_GAIN = 1.15
#: Median relative change from one cycle to the next; cyclers and rooms make below 1 %.
LARGEST_SCATTER = 0.03


def check_capacities(capacities: Sequence[float] | Array, task: Task) -> Array:
    """Return the capacities as an array.

    :raises InputError: when they are too few or cannot be those of one cell at one rate.
    """
    values = np.asarray(capacities, dtype=np.float64)
    # a list that begins with cycle 1 may be as long as the window: its last cycles then lack, too few to matter
    least = task.n_window - (task.first_cycle - 1)
    if values.ndim != 1 or len(values) < least:
        raise InputError(
            f"{values.size} cycles were given, accepted are {task.n_window} or more, from cycle {task.first_cycle} to "
            f"at least {task.window}: the model was trained on these"
        )
    if not np.isfinite(values).all() or values.min() <= 0 or values.max() > LARGEST_CAPACITY:
        raise InputError(
            f"capacities from {values.min():g} to {values.max():g} Ah were given, accepted are numbers above 0 up to "
            f"{LARGEST_CAPACITY:g} Ah" + (": are these mAh?" if values.max() > LARGEST_CAPACITY else "")
        )
    _check_plausible(values, task)
    return values


def _check_plausible(values: Array, task: Task) -> None:
    window = values[: task.n_window]
    low, high = (factor * float(np.median(window)) for factor in PLAUSIBLE_RANGE)
    if task.rule.find(window, task.first_cycle) is None and not ((window > low) & (window < high)).all():
        raise InputError(
            f"capacities from {window.min():g} to {window.max():g} Ah were given, accepted within the first "
            f"{len(window)} cycles is {low:g} to {high:g} Ah: give discharge capacities at one rate, without formation"
        )
    scatter = float(np.median(np.abs(np.diff(window))) / np.median(window))
    if scatter > LARGEST_SCATTER:
        raise InputError(
            f"the capacity changes by {100 * scatter:.2g} % from one cycle to the next, accepted is up to "
            f"{100 * LARGEST_SCATTER:g} %: charge and discharge may be mixed up, or these are no capacities"
        )
    tenth = max(1, len(window) // 10)
    gain = float(np.median(window[-tenth:]) / np.median(window[:tenth]))
    if gain > LARGEST_GAIN:
        raise InputError(f"the capacity grows to {gain:.3g} of what it was, accepted is up to {LARGEST_GAIN:g}")


def demand_features(features: Mapping[str, float | None], needs: Sequence[str]) -> dict[str, float]:
    """Return the features that a model needs.

    :raises InputError: when one lacks or is not a finite number.
    """
    values = {name: features.get(name) for name in needs}
    odd = [f"{name} is {value!r}" for name, value in values.items() if value is not None and not _is_number(value)]
    if odd:
        raise InputError(f"{', '.join(odd)}, accepted is a finite number")
    lacking = [name for name, value in values.items() if value is None]
    if lacking:
        raise InputError(
            f"features given: {sorted(name for name, value in features.items() if value is not None)}, but the model "
            f"also needs {', '.join(lacking)}: give them, or train a model without"
        )
    return {name: float(value) for name, value in values.items() if value is not None}


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def given_features(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return which inputs must come with a cell; the others follow from its capacities."""
    return tuple(name for name in inputs if name not in CURVE_FEATURES)
