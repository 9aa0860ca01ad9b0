"""A simulated lithium-ion cell that ages: NMC811 against graphite, half-cell slippage, numpy only.

It is a twin for rehearsals and tests. Its numbers say nothing new about cells; what it is fitted to, and how well, is
written at :data:`~aiida_finales.science.ageing.cell.PUBLISHED_COIN_CELL`.

**State.** ``q`` is the charge (Ah) in the negative electrode. The open-circuit voltage ``U_p(y) - U_n(x)`` follows from
``x = q / Q_n`` and ``y = (n - q) / Q_p`` with ``n`` the lithium that still takes part; the curves are those of C.-H.
Chen et al., J. Electrochem. Soc. 167 (2020) 080534, without the silicon of their negative electrode.

**One half cycle.** Under a current ``I`` the surfaces of the particles are ahead by ``I * lag``, and a resistance
takes ``I * R``: the cut-off voltages give ``q`` at both ends of a discharge, and the constant-voltage part of a charge
follows from the same equation with the current as the parameter. So current, voltage and charge belong together, and
every feature computed from them is consistent.

**Ageing.** After ``k`` cycles the lithium lost is ``square_root * sqrt(k) + early * (1 - exp(-k / early_cycles)) +
linear * k + 0.1 * (k / knee)**3`` of the capacity. The share ``side_reaction`` of it is consumed while charging, and
seen in the Coulombic efficiency; the rest leaves with isolated positive material. The resistance grows with what is
lost. The loss depends on the formulation by :func:`~aiida_finales.science.ageing.cell.ageing_rate`.

**Reproducible.** The state is a function of the cell, the protocol and the number of the cycle: cycling to 40, and
later to 200, gives the same first 40 cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cell import (
    PUBLISHED_COIN_CELL,
    AgeingParameters,
    CellDesign,
    TwinCell,
    make_cell,
)
from aiida_finales.science.ageing.cycling import (
    EARLY_CYCLE,
    LATE_CYCLE,
    CellLife,
    EarlyFeatures,
    HalfCycle,
    early_features,
)
from aiida_finales.science.ageing.end_of_life import find_end_of_life
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.composition import EC, EMC, fractions_from_molality

#: Charges over which the formation loss decays.
_FORMATION_CYCLES = 0.45
#: Lost in addition at the knee.
_KNEE_LOSS = 0.1
#: No cell loses more of its lithium than this.
_GREATEST_LOSS = 0.97
#: Share of the capacity: a cell that never gives as much is not cycled in a window that fits it.
_LEAST = 0.02
#: Points of the open-circuit voltage.
_N_GRID = 500
_HOUR, _DAY = 3600.0, 86400.0


def negative_potential(x: npt.ArrayLike) -> Array:
    """Return the potential in V of graphite against lithium at a filling ``x`` (0 to 1)."""
    z = np.asarray(x, dtype=float)
    steps = -0.0909 * np.tanh(29.8538 * (z - 0.1234)) - 0.04478 * np.tanh(14.9159 * (z - 0.2769))
    return np.asarray(1.9793 * np.exp(-39.3631 * z) + 0.2482 + steps - 0.0205 * np.tanh(30.4444 * (z - 0.6103)))


def positive_potential(y: npt.ArrayLike) -> Array:
    """Return the potential in V of NMC811 against lithium at a filling ``y`` (0.2 to 1)."""
    z = np.asarray(y, dtype=float)
    steps = -17.7326 * np.tanh(15.7890 * (z - 0.3117)) + 17.5842 * np.tanh(15.9308 * (z - 0.3120))
    return np.asarray(-0.8090 * z + 4.4875 - 0.0428 * np.tanh(18.5138 * (z - 0.5542)) + steps)


#: The cell where no other is said. Potentials of the positive electrode are known from a filling of 0.2 on.
NMC_GRAPHITE = CellDesign(
    positive=1.60,
    negative=1.25,
    carriers=1.55,
    formation_loss=0.10,
    positive_potential=lambda filling: positive_potential(np.clip(filling, 0.2, 1.0)),
    negative_potential=negative_potential,
)


@dataclass(frozen=True)
class Stage:
    """How a cell is charged and discharged.

    :param charge, discharge: currents, A.
    :param cutoff: current in A that ends the constant-voltage part of a charge; as high as ``charge``: there is none.
    :param low, high: voltages, V.
    :raises InputError: when a current is not positive, or the voltages are not in order.
    """

    charge: float
    discharge: float
    cutoff: float
    low: float = 2.5
    high: float = 4.2

    def __post_init__(self) -> None:
        if not (self.charge > 0 and self.discharge > 0 and self.cutoff > 0):
            raise InputError(
                f"charge {self.charge} A, discharge {self.discharge} A, cut-off {self.cutoff} A: accepted are currents "
                "above 0"
            )
        if not self.low < self.high:
            raise InputError(f"a window from {self.low} to {self.high} V was given, accepted is low below high")


def standard_stage(capacity: float, rate: float, low: float = 2.5, high: float = 4.2) -> Stage:
    """Return charge and discharge at one C-rate (1/h), constant voltage down to C/20."""
    return Stage(rate * capacity, rate * capacity, capacity / 20.0, low, high)


@dataclass(frozen=True)
class Protocol:
    """What is done to a cell: formation cycles, then as many others as one likes."""

    formation: Stage
    cycling: Stage
    n_formation: int = 3


def standard_protocol(capacity: float) -> Protocol:
    """Return three formation cycles at C/10, then 1C, between 2.5 and 4.2 V."""
    return Protocol(standard_stage(capacity, 0.1), standard_stage(capacity, 1.0))


class Life(CellLife):
    """A cell that was cycled; everything about its cycles.

    Arrays have one entry per cycle, the formation cycles first. ``charge`` and ``discharge`` are the capacities in Ah.

    :param n_cycles: cycles after formation.
    """

    def __init__(self, cell: TwinCell, protocol: Protocol, n_cycles: int) -> None:
        if n_cycles < 0 or protocol.n_formation < 0:
            raise InputError(f"{n_cycles} cycles after {protocol.n_formation}, accepted are numbers from 0")
        self.cell, self.protocol, self.name = cell, protocol, cell.parameters.name
        self.design = cell.design or NMC_GRAPHITE
        self.n_cycles, self.n_formation = n_cycles, protocol.n_formation
        self._age()
        self._solve()

    def discharge_capacities(self) -> Array:
        """Return the capacities in Ah of the discharges after formation."""
        return self.discharge[self.n_formation :]

    def charge_half(self, cycle: int, n_points: int = 100) -> HalfCycle:
        """Return the record of a charge.

        :param cycle: from 1 after formation; 0 and below are formation cycles.
        """
        i, stage = self._locate(cycle)
        start = self._bottom[i - 1] if i else 0.0
        n_constant_voltage = n_points // 4
        current, q = self._constant_voltage(i, stage, start, n_constant_voltage)
        q = np.concatenate((np.linspace(start, q[0], n_points - n_constant_voltage + 1)[:-1], q))
        current = np.concatenate((np.full(n_points - n_constant_voltage, current[0]), current))
        voltage = np.minimum(self._open(i, q + current * self._lag[i]) + current * self._resistance[i], stage.high)
        # part of the charge that flows is consumed, evenly, before it arrives
        flown = (q - start) * (self.charge[i] / max(q[-1] - start, 1e-30))
        steps = np.diff(flown) / (0.5 * (current[1:] + current[:-1]))
        return HalfCycle(np.concatenate(([0.0], np.cumsum(steps))) * _HOUR, current, voltage)

    def discharge_half(self, cycle: int, n_points: int = 100) -> HalfCycle:
        """Return the record of a discharge.

        :param cycle: from 1 after formation; 0 and below are formation cycles.
        """
        i, stage = self._locate(cycle)
        q = np.linspace(self._top[i], self._bottom[i], n_points)
        voltage = self._open(i, q - stage.discharge * self._lag[i]) - stage.discharge * self._resistance[i]
        time = (q[0] - q) / stage.discharge * _HOUR
        return HalfCycle(time, np.full(n_points, -stage.discharge), voltage)

    def _locate(self, cycle: int) -> tuple[int, Stage]:
        first, last = 1 - self.n_formation, self.n_cycles
        if not first <= cycle <= last:
            raise InputError(f"cycle {cycle} was asked for, accepted is {first} to {last}")
        return cycle + self.n_formation - 1, self.protocol.cycling if cycle > 0 else self.protocol.formation

    def _age(self) -> None:
        """Set lithium, positive capacity, lag and resistance of each cycle."""
        cell, kind = self.cell, self.cell.parameters
        number = np.arange(self.n_formation + self.n_cycles)
        k = np.maximum(number - self.n_formation, 0.0)
        loss = kind.square_root * np.sqrt(k) + kind.early * (1 - np.exp(-k / kind.early_cycles))
        loss = np.minimum(cell.rate * (loss + kind.linear * k + _KNEE_LOSS * (k / kind.knee) ** 3), _GREATEST_LOSS)
        formation = self.design.formation_loss * (1 - np.exp(-(number + 1.0) / _FORMATION_CYCLES))
        isolated = (1 - kind.side_reaction) * loss
        # Ah of lithium that a side reaction consumes in each charge
        self._consumed = np.diff(kind.side_reaction * loss + formation, prepend=0.0) * cell.capacity
        self._lithium = (self.design.carriers - loss - formation) * cell.capacity
        self._positive = (self.design.positive - isolated) * cell.capacity
        generator = np.random.default_rng([cell.seed, 1])
        stage = self.protocol.cycling
        duration = cell.capacity * (1 / stage.charge + 1 / stage.discharge) * _HOUR
        phase = 2 * np.pi * (k * duration / _DAY + generator.random())
        warmth = kind.wobble * np.sin(phase)
        self._lag = cell.lag * np.maximum(1 - warmth + kind.noise * generator.standard_normal(len(k)), 0.0)
        # half of it are contacts, which a warmer room does not help
        self._resistance = cell.resistance * (1 + kind.resistance_growth * loss) * (1 - 0.5 * warmth)

    def _solve(self) -> None:
        """Find the charge in the negative electrode at both ends of each cycle, and the capacities."""
        n = len(self._lag)
        design, whole = self.design, self.design.negative * self.cell.capacity
        # of an electrode in excess only what the other one can fill
        self._grid = np.linspace(0.0, min(whole, design.carriers * self.cell.capacity), _N_GRID)
        filling = (self._lithium[:, None] - self._grid) / self._positive[:, None]
        self._curves = design.positive_potential(filling) - design.negative_potential(self._grid / whole)
        self._top, self._bottom = np.empty(n), np.empty(n)
        for i in range(n):
            stage = self.protocol.cycling if i >= self.n_formation else self.protocol.formation
            last = min(stage.cutoff, stage.charge)
            before = self._bottom[i - 1] if i else 0.0
            self._top[i] = max(self._reach(i, stage.high, last), before)
            self._bottom[i] = min(max(self._reach(i, stage.low, -stage.discharge), 0.0), self._top[i])
        before = np.concatenate(([0.0], self._bottom[:-1]))
        gained = self._top - before
        self.charge = np.where(gained > 0, gained + self._consumed, 0.0)
        self.discharge = self._top - self._bottom
        if not np.any(self.discharge > _LEAST * self.cell.capacity):
            fresh = self._curves[0][filling[0] > 0]
            low, high = float(fresh.min()), float(fresh.max())
            stage = self.protocol.cycling
            raise InputError(
                f"between {stage.low:g} and {stage.high:g} V nothing flows: the open-circuit voltage of this cell lies "
                f"between {low:.2f} and {high:.2f} V"
            )

    def _reach(self, i: int, voltage: npt.ArrayLike, current: npt.ArrayLike) -> Array:
        """Return the charge in the negative electrode at a voltage under a current (positive: charge)."""
        amperes = np.asarray(current, dtype=float)
        surface = np.interp(np.asarray(voltage) - amperes * self._resistance[i], self._curves[i], self._grid)
        return np.asarray(surface - amperes * self._lag[i])

    def _open(self, i: int, surface: Array) -> Array:
        """Return the open-circuit voltage for the charge at the surface of the negative electrode."""
        return np.asarray(np.interp(surface, self._grid, self._curves[i]))

    def _constant_voltage(self, i: int, stage: Stage, start: float, n_points: int) -> tuple[Array, Array]:
        """Return falling currents and the rising charge while the voltage is held at its highest."""
        last = min(stage.cutoff, stage.charge)
        current = np.geomspace(stage.charge, last, n_points)
        q = self._reach(i, stage.high, current)
        if q[0] < start:  # the voltage is there at once: the current never was as high
            highest = np.interp(start, np.maximum.accumulate(q), current)
            current = np.geomspace(max(highest, last), last, n_points)
            q = np.maximum(self._reach(i, stage.high, current), start)
        return current, np.maximum.accumulate(q)


@dataclass(frozen=True)
class SampledCell:
    """A simulated cell with a life, to train models of the lifetime on.

    :param fractions: mole fractions of the electrolyte by InChIKey.
    :param salt_molality: mol/kg of solvent.
    :param capacities: of the discharges after formation, Ah.
    :param end_of_life: first cycle that stays below 80 % of the first one for three cycles; ``None``: not reached.
    """

    fractions: Mapping[str, float]
    salt_molality: float
    capacities: Array
    features: EarlyFeatures
    end_of_life: int | None


def sample_cells(  # noqa: PLR0913 - what a person may vary
    n: int,
    seed: int,
    *,
    molality_range: tuple[float, float] = (0.3, 1.6),
    ec_range: tuple[float, float] = (0.1, 0.5),
    n_cycles: int = 300,
    parameters: AgeingParameters = PUBLISHED_COIN_CELL,
    mass_loading: float = 2.0,
) -> list[SampledCell]:
    """Return simulated cells with LiPF6 in EC and EMC, cycled by the standard protocol; they are no measurements.

    Cell ``i`` of a seed is the same whatever ``n`` is.

    :param molality_range: mol/kg of solvent, uniform.
    :param ec_range: share of EC in the mass of the solvent, uniform.
    :param mass_loading: of the positive electrode, mAh/cm².
    :raises InputError: when there are too few cycles for the features.
    """
    if n_cycles < LATE_CYCLE:
        raise InputError(f"{n_cycles} cycles were asked for, accepted are {LATE_CYCLE} or more: the features need them")
    ranges = (molality_range, ec_range)
    return [_sample_cell((seed, i), ranges, n_cycles, parameters, mass_loading) for i in range(n)]


def _sample_cell(
    seed: tuple[int, int],
    ranges: tuple[tuple[float, float], tuple[float, float]],
    n_cycles: int,
    parameters: AgeingParameters,
    loading: float,
) -> SampledCell:
    generator = np.random.default_rng(seed)
    salt, ec = (float(generator.uniform(*bounds)) for bounds in ranges)
    fractions = fractions_from_molality(salt, {EC: ec, EMC: 1 - ec})
    size = 1.5386  # cm2: a disc of 14 mm
    identity = int(generator.integers(2**63))
    cell = make_cell(fractions, mass_loading=loading, size=size, seed=identity, parameters=parameters)
    life = Life(cell, standard_protocol(loading * size * 1e-3), n_cycles)
    capacities = life.discharge_capacities()
    return SampledCell(
        fractions=fractions,
        salt_molality=salt,
        capacities=capacities,
        features=early_features(life.half_cycles((EARLY_CYCLE, LATE_CYCLE))),
        end_of_life=find_end_of_life(capacities, reference=float(capacities[0]), persistence=3),
    )
