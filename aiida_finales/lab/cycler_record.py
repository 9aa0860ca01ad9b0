"""What can be wrong with the data of a cycler: how faults spoil them, and how they are rated.

The rating looks at the data only, never at the fault that was ordered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiida_finales.lab.faults import draw
from aiida_finales.science.ageing.cycling import HalfCycle

Json = dict[str, Any]

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


def spoil(halves: dict[int, HalfCycle], fault: str | None, seed: str) -> dict[int, HalfCycle]:
    """Return the half cycles as they are after a fault.

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
