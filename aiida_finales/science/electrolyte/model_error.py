"""How far published closed forms are from measurements of others, by region, and what follows for a single answer.

The tables hold the root mean square of ``measured / model - 1`` in regions of salt content and temperature, one matrix
per solvent that was measured. ``benchmarks/closed_forms.py`` derives them from CALiSol-23 (de Blasio et al., Sci. Data
11 (2024), doi:10.1038/s41597-024-03575-8; the laboratories are named there), without the measurements that a form was
fitted to; a test compares. What one laboratory measured, another one measures otherwise: :data:`LABORATORY` is added
to every region. Away from all regions the error grows with the distance to the nearest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Limits = tuple[float, float]
Matrix = tuple[tuple[float | None, ...], ...]

#: relative: by how much the means of the laboratories differ from the empirical model where it is at its best (EC share
#: 0.3 to 0.5, 0.6 to 1.8 mol/L, 283 to 308 K), root mean square
LABORATORY = 0.063
#: relative error per unit of distance to the nearest region; what regions left out of the tables ask for
GROWTH = 0.1
#: rating by the largest relative standard deviation that deserves it; 5 is kept for measurements
RATINGS = ((0.075, 4), (0.15, 3), (0.30, 2))


@dataclass(frozen=True)
class MeasuredSolvent:
    """What was measured in one solvent.

    :param solvent: its coordinates, in the order of :attr:`ErrorTable.scales` after salt content and temperature.
    :param salt: least and greatest salt content measured.
    :param temperature: lowest and highest, K.
    :param errors: relative error by region: rows by salt content, columns by temperature; ``None``: not measured.
    """

    solvent: tuple[float, ...]
    salt: Limits
    temperature: Limits
    errors: Matrix


@dataclass(frozen=True)
class ErrorTable:
    """The relative error of a closed form, by region.

    :param salt_edges: between the rows of all matrices, in the unit of the form's salt content.
    :param temperature_edges: between the columns, K.
    :param scales: distances at which another region says little: of salt content, temperature (K) and solvent.
    """

    salt_edges: tuple[float, ...]
    temperature_edges: tuple[float, ...]
    scales: tuple[float, ...]
    measured: tuple[MeasuredSolvent, ...]

    def relative_error(self, salt: float, temperature: float, solvent: Sequence[float]) -> float:
        """Return the standard deviation of what somebody measures from what the form says, as a share of the latter."""
        # half way between two regions the worse counts
        regions = self._regions((salt, temperature, *solvent))
        distance, error = min(regions, key=lambda region: (round(region[0], 6), -region[1]))
        return math.hypot(LABORATORY, error, GROWTH * distance)

    def _regions(self, point: Sequence[float]) -> Iterator[tuple[float, float]]:
        """Yield distance and error of every region in which somebody measured."""
        for item in self.measured:
            places = [(value, value) for value in item.solvent]
            for salt, row in zip(pairwise(self.salt_edges), item.errors, strict=True):
                for heat, error in zip(pairwise(self.temperature_edges), row, strict=True):
                    if error is not None:
                        box = [_common(salt, item.salt), _common(heat, item.temperature), *places]
                        yield _distance(point, box, self.scales), error


def rate(relative_error: float) -> int:
    """Return the rating, 1 to 4, of an answer with this relative standard deviation."""
    return next((rating for limit, rating in RATINGS if relative_error <= limit), 1)


def _common(first: Limits, second: Limits) -> Limits:
    return max(first[0], second[0]), min(first[1], second[1])


def _distance(point: Sequence[float], box: Sequence[Limits], scales: Sequence[float]) -> float:
    steps = (max(low - value, value - high, 0.0) for value, (low, high) in zip(point, box, strict=True))
    return math.hypot(*(step / scale for step, scale in zip(steps, scales, strict=True)))


#: of Landesfeind and Gasteiger for EC/EMC/DMC; salt content in mol/L; solvent: share of EC in it, and of DMC in DMC and
#: EMC, by mass. Nobody measured EMC and DMC together
EMPIRICAL_MODEL_ERRORS = ErrorTable(
    salt_edges=(0.0, 0.6, 1.2, 1.8, 3.0),
    temperature_edges=(263.0, 278.0, 308.0, 324.0),
    scales=(0.4, 30.0, 0.1, 0.5),
    measured=(
        MeasuredSolvent(
            solvent=(0.2, 0.0),
            salt=(0.47, 1.91),
            temperature=(263.1, 323.1),
            errors=((0.19, 0.23, 0.22), (0.13, 0.15, 0.16), (0.06, 0.03, 0.04), (0.08, 0.05, 0.04)),
        ),
        MeasuredSolvent(
            solvent=(0.2, 1.0),
            salt=(0.54, 1.99),
            temperature=(273.1, 313.1),
            errors=((0.1, 0.17, 0.24), (0.11, 0.05, 0.11), (0.4, 0.21, 0.05), (0.75, 0.43, 0.18)),
        ),
        MeasuredSolvent(
            solvent=(0.3, 0.0),
            salt=(0.2, 2.2),
            temperature=(263.1, 323.1),
            errors=((0.04, 0.04, 0.05), (0.06, 0.05, 0.03), (0.04, 0.03, 0.03), (0.16, 0.1, 0.15)),
        ),
        MeasuredSolvent(
            solvent=(0.3, 1.0),
            salt=(0.55, 2.03),
            temperature=(273.1, 313.1),
            errors=((0.02, 0.05, 0.05), (0.1, 0.05, 0.01), (0.43, 0.26, 0.15), (0.78, 0.53, 0.32)),
        ),
        MeasuredSolvent(
            solvent=(0.4, 0.0),
            salt=(0.46, 1.62),
            temperature=(263.1, 323.1),
            errors=((0.01, 0.03, 0.06), (0.06, 0.02, 0.06), (0.11, 0.03, 0.07), (None, None, None)),
        ),
        MeasuredSolvent(
            solvent=(0.5, 0.0),
            salt=(0.6, 1.89),
            temperature=(263.1, 323.1),
            errors=((None, None, None), (0.07, 0.04, 0.1), (0.16, 0.04, 0.09), (0.23, 0.05, 0.08)),
        ),
        MeasuredSolvent(
            solvent=(0.5, 1.0),
            salt=(1.0, 1.0),
            temperature=(263.2, 320.5),
            errors=((None, None, None), (0.05, 0.03, 0.05), (None, None, None), (None, None, None)),
        ),
    ),
)

#: of Rahmanian et al. for EC/PC/EMC; salt content: mass ratio LiPF6/(EC+PC); solvent: share of PC in EC and PC by mass.
#: Nobody else measured with PC at 65 to 75 % EMC
POLYNOMIAL_ERRORS = ErrorTable(
    salt_edges=(0.15, 0.35, 0.5, 0.7, 1.0),
    temperature_edges=(243.0, 248.0, 258.0, 268.0, 283.0, 308.0, 333.0),
    scales=(0.2, 15.0, 0.5),
    measured=(
        MeasuredSolvent(
            solvent=(0.0,),
            salt=(0.22, 0.82),
            temperature=(243.0, 323.1),
            errors=(
                (0.04, 0.02, 0.09, 0.11, 0.15, 0.12),
                (0.04, 0.03, 0.03, 0.05, 0.1, 0.07),
                (0.16, 0.14, 0.08, 0.02, 0.06, 0.05),
                (0.3, 0.24, 0.13, 0.07, 0.03, 0.03),
            ),
        ),
    ),
)
