"""The heat capacity of a liquid from the fluctuations of its energy, as classical mechanics has it.

In the canonical ensemble momenta and positions are independent: every degree of freedom of motion contributes half a
gas constant, exactly, and the rest is the variance of the potential energy over R T^2; at constant pressure that of
potential energy and p V together. Vibrations are classical here, so each holds more heat than a real one, whose
quantum is larger than k T: the heat capacity of a flexible model is far above the measured one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.constants import Avogadro, gas_constant

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.words import count
from aiida_finales.science.array import Array
from aiida_finales.science.liquid.transport_summary import Estimate, estimate

#: kJ/(mol K)
R = gas_constant / 1000.0
#: kJ/(mol K) per g/mol in J/(kg K); g/mol per g/cm3 nm3; kJ/mol per bar nm3
J_PER_KG, GRAM_PER_MOL, KJ_PER_BAR_NM3 = 1e6, 1e-21 * Avogadro, 1e-25 * Avogadro
#: independent values in all cells together below which a variance is not known: its relative error is (2/n)^(1/2)
LEAST_INDEPENDENT = 32
#: a series that rises or falls over its length by so many of its standard deviations has not settled
MOST_DRIFT = 2.0
#: by kind the setting with the length of its stage, and the part of it that counts
SETTINGS = {"isobaric": ("npt_ps", 0.5), "isochoric": ("production_ps", 1.0)}
#: fewer energies say nothing
LEAST_VALUES = 10
MODEL = (
    "classical: quantum effects are neglected, so that it is far above a measured one; molecules are flexible, with "
    "constrained bonds to hydrogen"
)


@dataclass(frozen=True)
class Fluctuation:
    """The heat capacity of one cell in one stage.

    :param value: J/(kg K).
    :param standard_error: of it, by the number of independent values, J/(kg K).
    :param n_independent: values of the energy that are independent of one another.
    :param length: ps, of the series.
    :param drift: by how many standard deviations the energy rises or falls over the series.
    """

    value: float
    standard_error: float
    n_independent: float
    length: float
    drift: float

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def find_heat_capacity(columns: Mapping[str, Array], pressure: float) -> Fluctuation:
    """Return the heat capacity of one cell; at constant pressure where its volume changes, else at constant volume.

    :param columns: ``potential_kJ_mol`` and ``kinetic_kJ_mol`` (per mol of cells), ``temperature_K``, ``volume_nm3``,
        ``density_g_cm3``, and ``time_ps`` in even steps.
    :param pressure: bar, of the barostat.
    :raises InputError: when there are fewer than ten values, or they do not change.
    """
    potential, time, volume = (columns[name] for name in ("potential_kJ_mol", "time_ps", "volume_nm3"))
    if len(potential) < LEAST_VALUES or not np.isfinite(potential).all():
        raise InputError(f"{len(potential)} energies are too few for a heat capacity: needed are ten finite ones")
    mean = float(columns["temperature_K"].mean())
    freedom = 2.0 * float(columns["kinetic_kJ_mol"].mean()) / (R * mean)
    mass = float((columns["density_g_cm3"] * volume).mean()) * GRAM_PER_MOL
    energy = potential + pressure * volume * KJ_PER_BAR_NM3
    spread = float(energy.std())
    if not spread > 0:
        raise InputError("the potential energy does not change: there are no fluctuations to take a heat capacity from")
    n_independent = count_independent(energy)
    # the mean of correlated values follows them: the variance around it is too small by one of the independent ones
    variance = spread**2 / (1.0 - min(0.5, 1.0 / n_independent))
    configuration = variance / (R * mean**2)
    factor = J_PER_KG / mass
    drift = float(np.polyfit(np.linspace(-0.5, 0.5, len(energy)), energy, 1)[0]) / spread
    return Fluctuation(
        value=factor * (freedom * R / 2.0 + configuration),
        standard_error=factor * configuration * math.sqrt(2.0 / n_independent),
        n_independent=n_independent,
        length=float(time[-1] - time[0]) * len(time) / (len(time) - 1),
        drift=abs(drift),
    )


def count_independent(series: Array) -> float:
    """Return the number of independent values in a series: its length over that of its correlation, at least 1.

    The correlation is summed up to where it first falls below 0, as beyond that there is noise.
    """
    deviations = series - series.mean()
    spectrum = np.fft.rfft(deviations, n=2 * len(series))
    products = np.fft.irfft(spectrum * spectrum.conj(), n=2 * len(series))[: len(series)]
    correlation = products / np.arange(len(series), 0, -1)
    below = np.flatnonzero(correlation <= 0)
    end = int(below[0]) if len(below) else len(series)
    length = 1.0 + 2.0 * float(correlation[1:end].sum() / correlation[0])
    return max(1.0, len(series) / length)


@dataclass(frozen=True)
class HeatCapacity:
    """The heat capacity of a liquid from several cells.

    :param estimate: mean over cells, J/(kg K); of one cell its error is that of the fluctuations.
    :param reason: why it is not known well enough, with the length of the stage that would do; ``None`` where it is.
    """

    values: tuple[float, ...]
    errors: tuple[float, ...]
    estimate: Estimate
    n_independent: float
    reason: str | None


def join_heat_capacities(cells: Sequence[Fluctuation], kind: str) -> HeatCapacity:
    """Return the heat capacity of a liquid.

    :param kind: ``isobaric`` or ``isochoric``, see :data:`SETTINGS`.
    :raises InputError: when there is no cell.
    """
    found = estimate([cell.value for cell in cells])
    n_independent = sum(cell.n_independent for cell in cells)
    setting, part = SETTINGS[kind]
    longest = max(cell.length for cell in cells)
    drifting = [cell for cell in cells if cell.drift > MOST_DRIFT]
    reason = None
    if n_independent < LEAST_INDEPENDENT:
        needed = longest / part * LEAST_INDEPENDENT / n_independent
        reason = (
            f"{count(len(cells), 'cell')} of {longest:.3g} ps hold {n_independent:.1f} independent energies, but "
            f"needed are {LEAST_INDEPENDENT}: {setting} {needed:.2g} would do, or more cells"
        )
    elif 2 * len(drifting) >= len(cells):
        reason = (
            f"the energy of {len(drifting)} of {len(cells)} cells still rises or falls as much as it fluctuates: their "
            f"liquid has not settled within {longest:.3g} ps: take a longer {setting}"
        )
    values, errors = tuple(cell.value for cell in cells), tuple(cell.standard_error for cell in cells)
    return HeatCapacity(values, errors, found, n_independent, reason)
