"""What differs between simulated cells: how fast they age, how well they conduct, how much they hold.

The model that uses it is :mod:`~aiida_finales.science.ageing.twin`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import molality
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.composition import EC, LIPF6, check_fractions
from aiida_finales.science.electrolyte.conductivity import benchmark_surface

#: mol/kg, where cells last longest: the published campaign found its optimum near 1 mol/kg.
BEST_MOLALITY = 1.05
#: mol/kg; with less a cell is as bad as with so much.
LEAST_MOLALITY = 0.02
#: Of badly assembled cells: resistance and ageing, relative to good ones. A guess.
DEFECT_RESISTANCE, DEFECT_RATE = 2.0, 3.0


@dataclass(frozen=True)
class AgeingParameters:
    """How fast the cells of one kind age.

    :param square_root: lithium lost per square root of cycles (share of the capacity), the growth of a passive layer.
    :param early: what is lost soon in addition, with the decay ``early_cycles``.
    :param linear: lithium lost per cycle.
    :param knee: cycles until another tenth is lost, by the third power.
    :param side_reaction: share of the loss that is consumed while charging.
    :param resistance: ohm times Ah of nominal capacity; so much voltage is lost at 1C (V), whatever the size.
    :param electrolyte_share: share of the resistance that goes with the conductivity of the electrolyte.
    :param resistance_growth: relative growth per lithium lost.
    :param lag: h by which the surface is ahead of the bulk.
    :param wobble: relative amplitude of lag and resistance over a day, as the room's temperature changes.
    :param noise: relative standard deviation of the lag from cycle to cycle.
    :param scatter: standard deviation between cells of the logarithm of loss, resistance and capacity.
    """

    name: str
    square_root: float
    early: float
    early_cycles: float
    linear: float
    knee: float
    side_reaction: float
    resistance: float
    electrolyte_share: float
    resistance_growth: float
    lag: float
    wobble: float = 0.06
    noise: float = 0.01
    scatter: tuple[float, float, float] = (0.15, 0.10, 0.02)


#: Fitted to the one published trajectory of the FINALES cyclers (BIG-MAP/FINALES2_schemas, example result of
#: ``capacity`` by ``cycling``, 250 cycles of a graphite/LNO coin cell).
#:
#: By least squares: ``square_root``, ``early`` and ``early_cycles`` to its discharge capacities relative to the second
#: entry (the first is much higher, as if it were the last formation cycle): rms 0.006, greatest deviation 0.019, end of
#: life (80 %) at cycle 46 against 45.
#:
#: By hand: ``side_reaction`` to the mean Coulombic efficiency, 0.999; ``lag`` to the first 1C capacity, 3.76 against
#: 3.78 mAh; ``resistance_growth`` to the growth of the voltage gap from cycle 10 to 40. Evaluated as published, the
#: median of 100 cells grows by 0.047 V against 0.051 V; the logarithmic variance is -15.3 against -15.1, the
#: difference of the efficiencies -0.008 (standard deviation between cells 0.009) against -0.002.
#:
#: Not known, and guessed: C-rate, area and electrolyte of that cell; so the absolute resistance and its dependence on
#: the electrolyte are guesses too.
PUBLISHED_COIN_CELL = AgeingParameters(
    name="published_coin_cell",
    square_root=0.0222,
    early=0.087,
    early_cycles=34.0,
    linear=0.0,
    knee=450.0,
    side_reaction=0.35,
    resistance=0.10,
    electrolyte_share=0.3,
    resistance_growth=2.1,
    lag=0.10,
)

#: Fitted to nothing: end of life near 200 cycles at best, as in the published campaign, with a knee.
LONG_LIFE = AgeingParameters(
    name="long_life",
    square_root=0.009,
    early=0.0,
    early_cycles=8.0,
    linear=2e-4,
    knee=230.0,
    side_reaction=0.35,
    resistance=0.05,
    electrolyte_share=0.3,
    resistance_growth=1.5,
    lag=0.04,
    scatter=(0.20, 0.10, 0.02),
)

PARAMETER_SETS = {kind.name: kind for kind in (PUBLISHED_COIN_CELL, LONG_LIFE)}


def ageing_rate(salt_molality: float, ec_share: float) -> float:
    """Return how much faster than at its best a cell ages; 1 at 1.05 mol/kg and 35 % EC.

    By hand, after the published campaign: end of life rises up to about 1 mol/kg and falls beyond; too little EC makes
    a poor layer on graphite.

    :param salt_molality: mol/kg of solvent.
    :param ec_share: mole fraction of EC in the solvent.
    """
    u = np.log(max(salt_molality, LEAST_MOLALITY) / BEST_MOLALITY)
    weight = 0.5 if u < 0 else 1.5
    return float((1.0 + weight * u**2 / (1.0 + u**2 / 6.0)) * (1.0 + 0.8 * (ec_share - 0.35) ** 2))


@dataclass(frozen=True)
class CellDesign:
    """Balance and potentials of the electrodes of a cell; capacities relative to the nominal one.

    :param positive, negative: capacities of the electrodes.
    :param carriers: lithium, sodium ... at assembly.
    :param formation_loss: what the first charge consumes of it.
    :param positive_potential, negative_potential: V at a filling from 0 to 1.
    """

    positive: float
    negative: float
    carriers: float
    formation_loss: float
    positive_potential: Callable[[Array], Array]
    negative_potential: Callable[[Array], Array]


@dataclass(frozen=True)
class TwinCell:
    """One cell, as it really is.

    :param capacity: nominal capacity, Ah.
    :param rate: how much faster than the median cell of its kind at the best formulation it ages.
    :param resistance: ohm, when it is new.
    :param lag: h by which the surface of the particles is ahead.
    :param seed: of what differs from cycle to cycle.
    :param design: its electrodes; ``None``: NMC811 against graphite, as the twin has them.
    """

    capacity: float
    rate: float
    resistance: float
    lag: float
    seed: int
    parameters: AgeingParameters
    design: CellDesign | None = None


def check_cell(fractions: Mapping[str, float], mass_loading: float, size: float) -> None:
    """Refuse what no cell can be made of; arguments as of :func:`make_cell`.

    :raises InputError: when the electrolyte is none, or the electrode holds nothing.
    """
    check_fractions(fractions)
    if not (mass_loading > 0 and size > 0):
        raise InputError(f"mass loading {mass_loading} mAh/cm², size {size} cm²: accepted are numbers above 0")


def make_cell(
    fractions: Mapping[str, float],
    *,
    mass_loading: float,
    size: float,
    seed: int,
    parameters: AgeingParameters = PUBLISHED_COIN_CELL,
    defective: bool = False,
) -> TwinCell:
    """Return a cell with its scatter.

    :param fractions: true mole fractions of the electrolyte by InChIKey.
    :param mass_loading: of the positive electrode, mAh/cm².
    :param size: area of the positive electrode, cm².
    :param seed: identity of the cell: the same seed is the same cell.
    :param defective: assembled badly: a higher resistance, and it ages faster.
    :raises InputError: when the electrolyte is none, or the electrode holds nothing.
    """
    check_cell(fractions, mass_loading, size)
    loss, resistance, capacity = draw_scatter(seed, parameters)
    nominal = mass_loading * size * 1e-3
    concentration = molality(fractions)
    solvent = sum(value for key, value in fractions.items() if key != LIPF6)
    ec_share = fractions.get(EC, 0.0) / solvent
    slowness = _slowness(concentration, ec_share)
    share = parameters.electrolyte_share
    return TwinCell(
        capacity=nominal * capacity,
        rate=ageing_rate(concentration, ec_share) * loss * (DEFECT_RATE if defective else 1.0),
        resistance=float(parameters.resistance / nominal * (1 - share + share * slowness) * resistance)
        * (DEFECT_RESISTANCE if defective else 1.0),
        lag=float(parameters.lag * (1 - share + share * slowness)),
        seed=seed,
        parameters=parameters,
    )


def draw_scatter(seed: int, parameters: AgeingParameters) -> tuple[float, float, float]:
    """Return by which factors loss, resistance and capacity of a cell differ from those of the median one."""
    loss, resistance, capacity = np.exp(np.random.default_rng(seed).standard_normal(3) * parameters.scatter)
    return float(loss), float(resistance), float(capacity)


def _slowness(salt_molality: float, ec_share: float) -> float:
    """Return the resistance of the electrolyte relative to the best one, at most 4: the cell has other paths too."""
    share = min(max(ec_share, 0.05), 0.56)  # the surface is fitted there
    return min(1.0 / max(float(benchmark_surface(salt_molality, share)), 1e-6), 4.0)
