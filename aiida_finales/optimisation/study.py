"""The rows of a campaign as arrays, the spaces of its sources, and the model of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.acquisition import PosteriorMean
from aiida_finales.optimisation.kernel import Kernel, Points
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.search import search
from aiida_finales.optimisation.space import Coordinates, DesignSpace
from aiida_finales.optimisation.suggestion import Prediction, Recommendation, Training, UnderWay
from aiida_finales.optimisation.surrogate import Surrogate
from aiida_finales.schemas.chemicals import SUM_TOLERANCE
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Study:
    """What one step works with.

    :param spaces: of every source, in their order.
    """

    problem: Problem
    training: Training
    pending: UnderWay
    spaces: tuple[DesignSpace, ...]
    coordinates: Coordinates

    @classmethod
    def of_rows(cls, problem: Problem, observations: Sequence[Observation], pending: Sequence[Pending]) -> Study:
        """Return the study of these rows, in canonical order: the rounding of a fit depends on the order.

        :raises InputError: when a row names no source of the problem, or has a number that cannot be.
        """
        results = sorted(observations, key=lambda row: (row.source, row.ctime, row.uuid))
        requests = sorted(pending, key=lambda row: (row.source, row.uuid))
        rows: list[Observation | Pending] = [*results, *requests]
        for row in rows:
            _check_composition(problem, row)
        spaces = tuple(DesignSpace.of_source(problem, source.name) for source in problem.sources)
        coordinates = Coordinates.of_spaces(spaces[problem.index(problem.target)], spaces)
        return cls(problem, _collect(problem, results), _collect_pending(problem, requests), spaces, coordinates)

    @property
    def target(self) -> int:
        """Return the number of the target."""
        return self.problem.index(self.problem.target)

    @property
    def x(self) -> Array:
        """Return the evaluated compositions, n x d."""
        return np.array(self.training.x, dtype=float).reshape(-1, len(self.problem.components))

    @property
    def pending_x(self) -> Array:
        """Return the compositions under way, m x d."""
        return np.array(self.pending.x, dtype=float).reshape(-1, len(self.problem.components))

    @property
    def values(self) -> Array:
        """Return the values (n) in scaled units: more is better."""
        return (np.array(self.training.y) - self.training.offset) / self.training.scale

    @property
    def n_known(self) -> int:
        """Return how many evaluations were made or are under way."""
        return len(self.training.uuids) + len(self.pending.uuids)

    def evaluated(self, source: int) -> Array:
        """Return the compositions (n x d) evaluated by a source."""
        return np.asarray(self.x[np.array(self.training.sources, dtype=int) == source])

    def pending_at(self, source: int) -> Array:
        """Return the compositions (m x d) under way at a source."""
        return np.asarray(self.pending_x[np.array(self.pending.sources, dtype=int) == source])

    def occupied(self, source: int) -> Array:
        """Return the compositions evaluated by or under way at a source."""
        return np.vstack([self.evaluated(source), self.pending_at(source)])

    def separation(self, source: int) -> float:
        """Return the distance, in mole fraction, to keep between requests under way at a source."""
        widest = float(np.ptp(self.spaces[source].corners, axis=0).max())
        return max(self.problem.settings.separation * widest, self.problem.settings.resolution)

    def is_occupied(self, composition: Array, source: int) -> bool:
        """Return whether a composition (d) is known or pending for a source, within the resolution."""
        distance = np.abs(self.occupied(source) - composition).max(axis=1)
        return bool((distance < 0.999 * self.problem.settings.resolution).any())

    def points(self, compositions: Array, sources: Labels | int) -> Points:
        """Return compositions (n x d) at sources as the kernel sees them."""
        return Points.of_source(self.coordinates.scale(compositions), sources)

    def pending_points(self) -> Points:
        """Return what is under way as the kernel sees it."""
        return self.points(self.pending_x, np.array(self.pending.sources, dtype=np.int64))

    def kernel(self, asked: int) -> Kernel:
        """Return the kernel for the sources that have rows, the target and the one asked."""
        present = {*self.training.sources, *self.pending.sources, self.target, asked}
        return Kernel.of_settings(
            len(self.coordinates.free), self.target, tuple(sorted(present)), self.problem.settings
        )

    def fit(self, asked: int, rng: np.random.Generator) -> Surrogate:
        """Return the model.

        :raises FitError: when it cannot be fitted.
        """
        points = self.points(self.x, np.array(self.training.sources, dtype=np.int64))
        return Surrogate.fit(self.kernel(asked), points, self.values, rng)

    def predict(self, surrogate: Surrogate, composition: Array, source: int) -> Prediction:
        """Return what a source would give, noise aside, at a composition (d), in the unit of the quantity."""
        mean, sd = surrogate.predict(self.points(composition[None], source))
        scale = self.training.scale
        return Prediction(
            tuple(composition.tolist()), float(self.training.offset + scale * mean[0]), float(abs(scale) * sd[0])
        )

    def recommend(self, surrogate: Surrogate, rng: np.random.Generator) -> Recommendation:
        """Return where the target is expected to be best."""
        acquisition = PosteriorMean(surrogate, self.coordinates)
        best = {}
        for source, space in zip(self.problem.sources, self.spaces, strict=True):
            found = search(acquisition, space, self.x, self.problem.settings, rng)
            best[source.name] = self.predict(surrogate, space.round(found.points[0])[0], self.target)
        sign = 1.0 if self.problem.maximise else -1.0
        return Recommendation(best, max(best.values(), key=lambda prediction: sign * prediction.mean))


def _check_composition(problem: Problem, row: Observation | Pending) -> None:
    """Raise :class:`InputError` when a row cannot be used."""
    problem.index(row.source)
    values = np.array([*row.x, *(problem.values(row).values() if isinstance(row, Observation) else ())], dtype=float)
    if len(row.x) != len(problem.components) or not np.isfinite(values).all():
        msg = f"row {row.uuid}: x is {row.x}, accepted are {len(problem.components)} finite fractions, and y"
        raise InputError(msg)
    if abs(sum(row.x) - 1) > SUM_TOLERANCE:
        msg = f"row {row.uuid}: the fractions {row.x} sum to {sum(row.x):g}, accepted is 1"
        raise InputError(msg)


def _collect(problem: Problem, rows: Sequence[Observation]) -> Training:
    """Return the rows in the form of a suggestion, with one scale for all sources."""
    sources = tuple(problem.index(row.source) for row in rows)
    y = np.array([problem.values(row)[problem.objectives[0].name] for row in rows], dtype=float)
    own = y[np.array(sources, dtype=int) == problem.index(problem.target)]
    reference = own if len(own) else y
    offset = float(reference.mean()) if len(reference) else 0.0
    scale = _spread(y) * (1.0 if problem.maximise else -1.0)
    uuids = tuple(row.uuid for row in rows)
    return Training(uuids, sources, tuple(row.x for row in rows), tuple(y.tolist()), offset, scale)


def _collect_pending(problem: Problem, rows: Sequence[Pending]) -> UnderWay:
    sources = tuple(problem.index(row.source) for row in rows)
    return UnderWay(tuple(row.uuid for row in rows), sources, tuple(row.x for row in rows))


def _spread(y: Array) -> float:
    """Return the standard deviation of values (n), or their size where they do not differ."""
    size = float(np.abs(y).max(initial=0.0))
    deviation = float(y.std()) if len(y) else 0.0
    return deviation if deviation > 1e-9 * size else size or 1.0
