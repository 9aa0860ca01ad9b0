"""Problems and rows shared by the tests of the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from aiida_finales.optimisation import Objective, Observation, OptimiserSettings, Problem, Source
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.schemas.limitations.region import Region

ROBOT = {"LiPF6": (0.0, 0.12), "EC": (0.0, 0.54), "EMC": (0.4, 1.0)}
SIMULATION = {"LiPF6": (0.0, 0.3), "EC": (0.0, 1.0), "EMC": (0.0, 1.0)}
#: Enough for assertions about the logic of a step, a fifth of the time.
FAST = OptimiserSettings(
    burn=10, keep=16, n_hyper_samples=8, n_starts=8, n_raw=200, n_paths=60, n_children=10, n_initial=1
)


def bowl(x: np.ndarray) -> np.ndarray:
    """A smooth property with its maximum, 1, at LiPF6 0.07 and EC 0.3."""
    return 1 - ((x[:, 0] - 0.07) / 0.12) ** 2 - ((x[:, 1] - 0.3) / 0.54) ** 2


def build_problem(settings: OptimiserSettings = FAST, **changes: object) -> Problem:
    sources = tuple(
        Source(name, (Region.from_box(limits),))
        for name, limits in (("robot", ROBOT), ("simulation", SIMULATION), ("literature", SIMULATION))
    )
    return replace(Problem(tuple(ROBOT), sources, (Objective("y", "robot"),), settings), **changes)


def observe(problem: Problem, source: str, n: int, seed: int = 0, noise: float = 0.01) -> list[Observation]:
    """Return n noisy values of the bowl, the simulation a fifth too high."""
    rng = np.random.default_rng([seed, problem.index(source)])
    x, _ = DesignSpace.of_source(problem, source).sample(n, rng)
    y = bowl(x) * (1.2 if source == "simulation" else 1.0) + noise * rng.standard_normal(n)
    return [
        Observation(source, tuple(point), float(value), f"{source}-{k}", f"2024-01-01T00:00:{k:02d}")
        for k, (point, value) in enumerate(zip(x.tolist(), y, strict=True))
    ]


@pytest.fixture
def problem() -> Problem:
    return build_problem()


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    return build_problem


@pytest.fixture
def make_rows() -> Callable[..., list[Observation]]:
    return observe


@pytest.fixture
def rows(problem: Problem) -> list[Observation]:
    return observe(problem, "robot", 8) + observe(problem, "simulation", 6)


@pytest.fixture
def truth() -> Callable[[np.ndarray], np.ndarray]:
    return bowl
