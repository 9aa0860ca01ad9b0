"""What is computed from the cycling data of a cell: capacities, and features of the early cycles.

A *half cycle* is one charge or one discharge. Half cycles are numbered from 1 after formation: odd ones charge, even
ones discharge, so that cycle ``k`` consists of the half cycles ``2k - 1`` and ``2k``.

The features compare an early cycle ``a`` (10) with a later one ``b`` (40):

* ``delta_coulombic_efficiency``: CE(b) - CE(a) with CE = discharged over charged charge;
* ``voltage_gap_charge_discharge`` in V: gap(b) - gap(a), gap being the mean voltage of the charge minus that of the
  discharge, both weighted with charge, so that they do not depend on how often the cycler logs;
* ``capacity_vector_variance``: natural logarithm of the variance over 1000 voltages, from the highest to the lowest, of
  Q_a(V) - Q_b(V), with Q in Ah the charge discharged so far (K. A. Severson et al., Nature Energy 4 (2019) 383, use the
  decadic logarithm).

The published evaluation of the FINALES cyclers differs: it takes cycles 11 and 41, energy for charge, and means over
samples. What an instrument counted itself is taken instead of an integral; :mod:`.record` makes half cycles of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array

#: The two cycles that are compared, after formation.
EARLY_CYCLE, LATE_CYCLE = 10, 40
#: V, where Q(V) is compared, unless the protocol says otherwise.
VOLTAGE_WINDOW = (2.5, 4.2)
#: Number of voltages at which Q(V) is compared.
N_VOLTAGES = 1000
#: factor between a nominal capacity and the largest measured one beyond which they are of different cells, or units
FAR = 5.0

_HOUR = 3600.0
#: what the published cycler reports and its schema does not know, in 1/h
RATES = ("average_charging_rate", "maximum_charging_rate", "minimum_charging_rate")
FEATURES = ("delta_coulombic_efficiency", "voltage_gap_charge_discharge", "capacity_vector_variance")


@dataclass(frozen=True)
class HalfCycle:
    """One charge or one discharge as recorded.

    :param time: s, not decreasing.
    :param current: A, positive while charging.
    :param voltage: V.
    :param passed: Ah until each point as the instrument counted them; where it did not, the current is integrated.
    :raises InputError: when they differ in length or hold no interval.
    """

    time: Array
    current: Array
    voltage: Array
    passed: Array | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.time), len(self.current), len(self.voltage)}
        if len(lengths) != 1 or min(lengths) < 2:  # noqa: PLR2004 - two points make an interval
            raise InputError(
                f"a half cycle with {len(self.time)} times, {len(self.current)} currents, {len(self.voltage)} voltages "
                "was given, accepted are three equal lengths of 2 or more"
            )

    def charge(self) -> Array:
        """Return the charge in Ah that has passed until each point, positive in either direction."""
        return _integrate(np.abs(self.current), self.time) if self.passed is None else self.passed

    def energy(self) -> Array:
        """Return the energy in Wh that has passed until each point, positive in either direction."""
        if self.passed is not None:
            return np.asarray(_integrate(self.voltage, self.passed * _HOUR) + self.voltage[0] * self.passed[0])
        return _integrate(np.abs(self.current) * self.voltage, self.time)

    def capacity(self) -> float:
        """Return the charge in Ah of the whole half cycle."""
        return float(self.charge()[-1])

    def mean_voltage(self) -> float:
        """Return the mean voltage in V, weighted with charge; not a number where no charge has passed."""
        capacity = self.capacity()
        return float(self.energy()[-1]) / capacity if capacity > 0 else float("nan")


HalfCycles = Mapping[int, HalfCycle]


class CellLife(ABC):
    """A simulated cell that was cycled.

    :ivar name: of the model and its parameters.
    :ivar n_formation: formation cycles, which come first.
    :ivar n_cycles: cycles after formation.
    """

    name: str
    n_formation: int
    n_cycles: int

    @abstractmethod
    def charge_half(self, cycle: int, n_points: int = 100) -> HalfCycle:
        """Return the record of a charge.

        :param cycle: from 1 after formation; 0 and below are formation cycles.
        """

    @abstractmethod
    def discharge_half(self, cycle: int, n_points: int = 100) -> HalfCycle:
        """Return the record of a discharge.

        :param cycle: from 1 after formation; 0 and below are formation cycles.
        """

    def formation_halves(self, n_points: int = 100) -> tuple[HalfCycle, ...]:
        """Return the half cycles of the formation: charge and discharge in turn."""
        numbers = range(1 - self.n_formation, 1)
        return tuple(half(k, n_points) for k in numbers for half in (self.charge_half, self.discharge_half))

    def half_cycles(self, cycles: Iterable[int] | None = None, n_points: int = 100) -> dict[int, HalfCycle]:
        """Return half cycles after formation by number: odd ones charge, even ones discharge.

        :param cycles: which cycles; all when ``None``.
        """
        halves: dict[int, HalfCycle] = {}
        for cycle in range(1, self.n_cycles + 1) if cycles is None else cycles:
            halves[2 * cycle - 1] = self.charge_half(cycle, n_points)
            halves[2 * cycle] = self.discharge_half(cycle, n_points)
        return halves


@dataclass(frozen=True)
class EarlyFeatures:
    """The three features; ``None`` where one cannot be computed.

    :param reasons: by name, why a feature is ``None``.
    """

    delta_coulombic_efficiency: float | None = None
    voltage_gap_charge_discharge: float | None = None
    capacity_vector_variance: float | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    def values(self) -> dict[str, float | None]:
        """Return the features by name."""
        return {name: getattr(self, name) for name in FEATURES}


def capacity_list(half_cycles: HalfCycles) -> list[float]:
    """Return the capacities in Ah, charge and discharge in turn, as they come; a missing half cycle leaves no gap."""
    return [half_cycles[number].capacity() for number in sorted(half_cycles)]


def charging_rates(half_cycles: HalfCycles, capacity: float) -> dict[str, float]:
    """Return average, maximum and minimum of the charging rates in 1/h; nothing where there is no charge.

    The rate of a charge is its highest current, that of the step at constant current.

    :param capacity: Ah, what rates refer to.
    """
    numbers = sorted(number for number in half_cycles if number % 2)
    rates = [float(np.abs(half_cycles[number].current).max()) / capacity for number in numbers]
    if not rates:
        return {}
    return dict(zip(RATES, (sum(rates) / len(rates), max(rates), min(rates)), strict=True))


def early_features(
    half_cycles: HalfCycles,
    *,
    cycles: tuple[int, int] = (EARLY_CYCLE, LATE_CYCLE),
    window: tuple[float, float] = VOLTAGE_WINDOW,
) -> EarlyFeatures:
    """Return the features of the early cycles.

    :param half_cycles: by number, see the top of this module.
    :param cycles: the two cycles to compare.
    :param window: lowest and highest voltage in V of Q(V).
    """
    early, late = cycles
    missing = [number for k in cycles for number in (2 * k - 1, 2 * k) if number not in half_cycles]
    if missing:
        reason = f"needs cycles {early} and {late}, but the data lack half cycle {', '.join(map(str, missing))}"
        return EarlyFeatures(reasons=dict.fromkeys(FEATURES, reason))
    pairs = [(half_cycles[2 * k - 1], half_cycles[2 * k]) for k in cycles]
    efficiency = [_divide(out.capacity(), into.capacity()) for into, out in pairs]
    gap = [into.mean_voltage() - out.mean_voltage() for into, out in pairs]
    curves = [_on_voltages(out, out.charge(), window) for _, out in pairs]
    return _collect(efficiency[1] - efficiency[0], gap[1] - gap[0], curves[0] - curves[1])


def _collect(efficiency: float, gap: float, difference: Array) -> EarlyFeatures:
    variance = float(np.var(difference))
    numbers = (efficiency, gap, float(np.log(variance)) if variance > 0 else float("nan"))
    why = ("no charge passed", "no charge passed", "the two discharges are the same")
    values = {name: number if np.isfinite(number) else None for name, number in zip(FEATURES, numbers, strict=True)}
    reasons = {name: text for name, text in zip(FEATURES, why, strict=True) if values[name] is None}
    return EarlyFeatures(**values, reasons=reasons)


def _on_voltages(discharge: HalfCycle, passed: Array, window: tuple[float, float]) -> Array:
    """Return what has passed when the voltage falls to each of the voltages; noise must not make Q(V) ambiguous."""
    low, high = window
    falling = np.minimum.accumulate(discharge.voltage)
    return np.interp(np.linspace(high, low, N_VOLTAGES), falling[::-1], passed[::-1])


def _divide(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _integrate(values: Array, time: Array) -> Array:
    steps = 0.5 * (values[1:] + values[:-1]) * np.diff(time)
    return np.concatenate(([0.0], np.cumsum(steps))) / _HOUR


def explain_nominal(nominal: float, largest: float) -> str:
    """Return in words why a nominal capacity is not that of a cell; nothing where it may be.

    :param nominal: Ah; :param largest: that the cell gave, Ah.
    """
    ratio = nominal / largest if largest > 0 else 1.0
    if 1 / FAR <= ratio <= FAR:
        return ""
    looks = f"; {nominal:g} looks like mAh" if 1 / FAR <= ratio * 1e-3 <= FAR else ""
    return (
        f"the nominal capacity is {nominal:g} Ah, but the largest that the cell gave is {largest:.4g} Ah, and accepted "
        f"is up to {FAR:g} times as much or as little{looks}"
    )
