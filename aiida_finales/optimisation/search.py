"""The best composition of a design space: candidates that fill it, then ever smaller steps around the best of them.

Needs no gradient, has no convergence test, and looks at the same number of candidates every time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from aiida_finales.optimisation.acquisition import Acquisition
from aiida_finales.optimisation.settings import OptimiserSettings
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.science.array import Array

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
    if settings.n_faces:
        moved, their_parts = space.on_faces(settings.n_faces, rng)
        points, parts = np.vstack([points, moved]), np.concatenate([parts, their_parts])
    values = acquisition(points)
    for scale in SCALES:
        best = _choose_parents(points, values, space, settings)
        parents, their_parts = (
            np.repeat(points[best], settings.n_children, axis=0),
            np.repeat(parts[best], settings.n_children),
        )
        children = space.perturb(parents, their_parts, scale, rng, stays_on_faces=settings.n_faces > 0)
        points, parts = np.vstack([points, children]), np.concatenate([parts, their_parts])
        values = np.concatenate([values, acquisition(children)])
    order = rank(values)
    return Candidates(points[order], values[order])


def _choose_parents(
    points: Array, values: Array, space: DesignSpace, settings: OptimiserSettings
) -> npt.NDArray[np.int64]:
    """Return the numbers of those to refine: the best of all, and the best with each combination of options."""
    order = rank(values)
    best = order[: settings.n_top]
    n_options = space.choices.shape[1]
    if n_options == 0:
        return best
    _, first = np.unique(points[order, -n_options:], axis=0, return_index=True)
    return np.asarray(list(dict.fromkeys([*best.tolist(), *order[np.sort(first)].tolist()])))


def rank(values: Array) -> npt.NDArray[np.int64]:
    """Return the order of values (n), best first; see :data:`DECIMALS`."""
    return np.argsort(-values.round(DECIMALS), kind="stable")


def derive_seed(*parts: int | str) -> int:
    """Return a seed that depends on every part and on nothing else (``hash()`` differs between processes).

    48 bits, which JSON numbers hold exactly in every language.
    """
    return int.from_bytes(sha256(json.dumps(parts).encode()).digest()[:6], "big")


def place_initial(space: DesignSpace, seed: int, source: str, step: int) -> Array:
    """Return composition number ``step`` (shape d) of a space-filling sequence in the space of a source.

    A Kronecker sequence: multiples of irrational numbers, modulo 1, shifted by the seed (Niederreiter, Random Number
    Generation and Quasi-Monte Carlo Methods, 1992, chapter 3, doi:10.1137/1.9781611970081; the numbers are powers of
    the root of ``t^(k+1) = t + 1``). Unlike Sobol points, every second or third member of it still fills the space,
    which matters because several sources share the steps of one campaign.
    """
    width = max(polytope.dimension for polytope in space.polytopes) + 2
    shift = np.random.default_rng(derive_seed(seed, source, "initial")).random(width)
    # the first numbers fill best: they choose the place within a simplex, the last ones the simplex and the region
    cube = (shift + (step + 1) * _irrationals(width)) % 1.0
    number = int(cube[-1] * len(space.polytopes))
    polytope, side = space.polytopes[number], space.sides[number]
    within = cube[: polytope.dimension]
    composition = np.asarray(polytope.from_cube(np.concatenate([cube[-2:-1], within])[None])[0])
    more = len(space.box) + 1
    shares = (
        np.random.default_rng(derive_seed(seed, source, "beside")).random(more) + (step + 1) * _irrationals(more)
    ) % 1
    variables = side.box[:, 0] + shares[1:] * np.ptp(side.box, axis=1)
    options = side.choices[int(shares[0] * len(side.choices))]
    return np.concatenate([composition, variables, options])


def _irrationals(n: int) -> Array:
    """Return n numbers in (0, 1) whose multiples fill the n-dimensional unit cube evenly."""
    root = 2.0
    for _ in range(60):  # a contraction; 60 rounds reach the last digit for any n
        root = (1 + root) ** (1 / (n + 1))
    return np.asarray(root ** -np.arange(1.0, n + 1))
