"""The best composition of a design space: many random candidates, then ever smaller steps around the best of them.

Needs no gradient, has no convergence test, and looks at the same number of candidates every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.optimisation.acquisition import Acquisition
from aiida_finales.optimisation.problem import OptimiserSettings
from aiida_finales.optimisation.space import DesignSpace

Array = npt.NDArray[np.float64]

#: Size of the steps of each round, as a share of the extent of the region; the last is about one dosing step.
SCALES = (0.1, 0.03, 0.01, 0.003)
#: Distance (largest difference in mole fraction) below which two candidates count as the same place in the report.
SAME_PLACE = 0.005
#: Decimals to which candidates are compared, of a logarithm or in units of the spread of the values. Below, the last
#: digits of the processor's arithmetic would choose among those on a flat top; what is equal keeps its order.
DECIMALS = 6


@dataclass(frozen=True)
class Candidates:
    """Compositions (n x d) with their acquisition values (n), best first."""

    points: Array
    values: Array

    def spread(self, n: int) -> Candidates:
        """Return up to n of the best that are at different places and not excluded."""
        chosen: list[int] = []
        for k, point in enumerate(self.points):
            if len(chosen) == n or np.isneginf(self.values[k]):
                break
            if all(np.abs(point - self.points[other]).max() > SAME_PLACE for other in chosen):
                chosen.append(k)
        return Candidates(self.points[chosen], self.values[chosen])


def search(
    acquisition: Acquisition, space: DesignSpace, known: Array, settings: OptimiserSettings, rng: np.random.Generator
) -> Candidates:
    """Return all candidates that were looked at.

    :param known: shape k x d, compositions worth a look because they have been evaluated; moved into the space.
    """
    points, parts = space.sample(settings.n_raw, rng)
    if len(known):
        moved, their_parts = space.admit(known)
        points, parts = np.vstack([points, moved]), np.concatenate([parts, their_parts])
    values = acquisition(points)
    for scale in SCALES:
        best = rank(values)[: settings.n_top]
        parents, their_parts = (
            np.repeat(points[best], settings.n_children, axis=0),
            np.repeat(parts[best], settings.n_children),
        )
        children = space.perturb(parents, their_parts, scale, rng)
        points, parts = np.vstack([points, children]), np.concatenate([parts, their_parts])
        values = np.concatenate([values, acquisition(children)])
    order = rank(values)
    return Candidates(points[order], values[order])


def rank(values: Array) -> npt.NDArray[np.int64]:
    """Return the order of values (n), best first; see :data:`DECIMALS`."""
    return np.argsort(-values.round(DECIMALS), kind="stable")
