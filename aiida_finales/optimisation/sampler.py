"""Seeds of the steps, and space-filling compositions that need no model and no torch."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from aiida_finales.optimisation.space import DesignSpace

Array = npt.NDArray[np.float64]


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
    polytope = space.polytopes[int(cube[-1] * len(space.polytopes))]
    within = cube[: polytope.dimension]
    return np.asarray(polytope.from_cube(np.concatenate([cube[-2:-1], within])[None])[0])


def _irrationals(n: int) -> Array:
    """Return n numbers in (0, 1) whose multiples fill the n-dimensional unit cube evenly."""
    root = 2.0
    for _ in range(60):  # a contraction; 60 rounds reach the last digit for any n
        root = (1 + root) ** (1 / (n + 1))
    return np.asarray(root ** -np.arange(1.0, n + 1))
