"""Ionic transport of a liquid from several independent cells: means, their errors, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit  # Student's t; scipy.stats takes half a second to import

from aiida_finales.exceptions import InputError
from aiida_finales.science.liquid.diffusion import CellTransport

#: probability that the interval of the mean covers the value to which more cells would lead
CONFIDENCE = 0.95
#: half width of that interval over the mean, up to which a simulation is precise
PRECISE = 0.25


@dataclass(frozen=True)
class Estimate:
    """A mean over cells, in the unit of the quantity.

    :param standard_deviation: between cells; ``None`` for one cell.
    :param standard_error: of the mean; ``None`` for one cell.
    :param half_width: of the 95 % interval of the mean (Student's t); ``None`` for one cell.
    :param n: number of cells.
    """

    mean: float
    standard_deviation: float | None
    standard_error: float | None
    half_width: float | None
    n: int


@dataclass(frozen=True)
class TransportSummary:
    """Ionic transport of a liquid.

    :param conductivity_nernst_einstein: S/m, of formal charges.
    :param conductivity_einstein: S/m, of formal charges; collective.
    :param haven_ratio: ratio of the two means; ``None`` where the collective one is not above 0.
    :param diffusion: m2/s, by species.
    :param transference: share of the Nernst-Einstein conductivity, by species.
    :param n_flagged: cells that are not diffusive, or drift.
    :param flags: what is wrong, by cell.
    :param rating: 1 to 4, see :func:`rate`.
    """

    conductivity_nernst_einstein: Estimate
    conductivity_einstein: Estimate
    haven_ratio: float | None
    diffusion: dict[str, Estimate]
    transference: dict[str, Estimate]
    n_flagged: int
    flags: tuple[str, ...]
    rating: int

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**asdict(self), "flags": list(self.flags)}


def summarise(cells: Iterable[CellTransport]) -> TransportSummary:
    """Return the means over cells; their order does not matter.

    Flagged cells count in the means: leaving the slow ones out would make every liquid faster than it is.

    :raises InputError: when there is no cell, or cells have different ions.
    """
    cells = sorted(cells, key=lambda cell: (cell.conductivity_nernst_einstein, cell.conductivity_einstein))
    species = {tuple(sorted(ion.species for ion in cell.ions)) for cell in cells}
    if len(species) != 1:
        given = " and ".join(", ".join(names) for names in sorted(species)) or "no cell"
        raise InputError(f"cells of one liquid have the same ions, but given were {given}")
    independent = estimate([cell.conductivity_nernst_einstein for cell in cells])
    collective = estimate([cell.conductivity_einstein for cell in cells])
    by_name = [{ion.species: ion for ion in cell.ions} for cell in cells]
    names = sorted(by_name[0])
    flagged = [cell for cell in cells if cell.flags]
    return TransportSummary(
        independent,
        collective,
        independent.mean / collective.mean if collective.mean > 0 else None,
        {name: estimate([ions[name].diffusion for ions in by_name]) for name in names},
        {name: estimate([ions[name].transference for ions in by_name]) for name in names},
        len(flagged),
        tuple("; ".join(cell.flags) for cell in flagged),
        rate(independent, len(flagged)),
    )


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean, standard error and 95 % interval of independent values.

    :raises InputError: when there is none.
    """
    if not values:
        raise InputError("a mean needs at least one value")
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, None, None, 1)
    deviation = float(np.std(values, ddof=1))
    error = deviation / math.sqrt(n)
    return Estimate(mean, deviation, error, float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error, n)


def rate(value: Estimate, n_flagged: int, *, precise: float = PRECISE) -> int:
    """Return how far a simulated value can be trusted.

    :param precise: half width of the 95 % interval over the mean, up to which the value is precise.

    == ========================================================================
    4  no cell is flagged and the value is precise (a conductivity: within 25 %)
    3  no cell is flagged; the value is not precise
    2  cells are flagged, but less than half of them
    1  half of the cells or more are flagged, or there is only one cell
    == ========================================================================

    5 is kept for measurements: the interval tells how well the force field was sampled, not how good it is.
    """
    if value.half_width is None or 2 * n_flagged >= value.n:
        return 1
    if n_flagged:
        return 2
    return 4 if value.half_width <= precise * abs(value.mean) else 3
