"""The published evaluation of early cycles, to compare our simulated cells with published numbers."""

from __future__ import annotations

import numpy as np

from aiida_finales.science.ageing.cycling import (
    EARLY_CYCLE,
    FEATURES,
    LATE_CYCLE,
    VOLTAGE_WINDOW,
    EarlyFeatures,
    HalfCycles,
    _collect,
    _divide,
    _on_voltages,
)


def legacy_features(
    half_cycles: HalfCycles,
    *,
    cycles: tuple[int, int] = (EARLY_CYCLE, LATE_CYCLE),
    window: tuple[float, float] = VOLTAGE_WINDOW,
) -> EarlyFeatures:
    """Return the features as the published evaluation computes them, to compare with published numbers only.

    It takes half cycles ``2a + 1`` and ``2b + 1`` (21 and 81), which belong to cycles 11 and 41; energy in Wh for
    charge, so that the efficiency is one of energy; and means over samples, which depend on the logging. It returns 0
    for data of exactly 40 cycles: here the features are ``None`` then.
    """
    early, late = (k + 1 for k in cycles)
    missing = [number for k in (early, late) for number in (2 * k - 1, 2 * k) if number not in half_cycles]
    if missing:
        reason = f"the published evaluation needs half cycle {', '.join(map(str, missing))}"
        return EarlyFeatures(reasons=dict.fromkeys(FEATURES, reason))
    pairs = [(half_cycles[2 * k - 1], half_cycles[2 * k]) for k in (early, late)]
    efficiency = [_divide(float(out.energy()[-1]), float(into.energy()[-1])) for into, out in pairs]
    gap = [float(np.mean(into.voltage) - np.mean(out.voltage)) for into, out in pairs]
    curves = [_on_voltages(out, out.energy(), window) for _, out in pairs]
    return _collect(efficiency[1] - efficiency[0], gap[1] - gap[0], curves[0] - curves[1])
