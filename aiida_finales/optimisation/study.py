"""The rows of a campaign as arrays, the spaces of its sources, and the models of them, one for each objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.acquisition import Acquisition, ExpectedGain, PosteriorMean
from aiida_finales.optimisation.coordinates import Coordinates
from aiida_finales.optimisation.hypervolume import BEYOND, Aim
from aiida_finales.optimisation.kernel import Kernel, Points
from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.search import search
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.optimisation.suggestion import Prediction, Recommendation, Training, UnderWay
from aiida_finales.optimisation.surrogate import Surrogate
from aiida_finales.optimisation.transform import predict_naturally
from aiida_finales.schemas.chemicals import SUM_TOLERANCE
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]

#: Largest difference in mole fraction (or share of a variable's range) between answers that are of one place: what a
#: device doses differs a little from what it was asked for.
SAME_PLACE = 0.005
#: One model for each objective, and what is wanted of it.
Parts = list[tuple[Surrogate, Aim]]


@dataclass(frozen=True)
class Study:
    """What one step works with.

    :param results: in canonical order.
    :param requests: under way, in canonical order.
    :param trainings: of each objective.
    :param spaces: of every source, in their order.
    :param target_space: what all targets can do.
    """

    problem: Problem
    results: tuple[Observation, ...]
    requests: tuple[Pending, ...]
    trainings: tuple[Training, ...]
    spaces: tuple[DesignSpace, ...]
    target_space: DesignSpace
    coordinates: Coordinates

    @classmethod
    def of_rows(
        cls,
        problem: Problem,
        observations: Sequence[Observation],
        pending: Sequence[Pending],
    ) -> Study:
        """Return the study of these rows, in canonical order: the rounding of a fit depends on the order.

        Each objective is on the scale that the problem says; :func:`.learn_scales` finds the one that suits it.

        :raises InputError: when a row names no source of the problem, or has a number that cannot be.
        """
        results = tuple(sorted(observations, key=lambda row: (row.source, row.ctime, row.uuid)))
        requests = tuple(sorted(pending, key=lambda row: (row.source, row.uuid)))
        rows: list[Observation | Pending] = [*results, *requests]
        for row in rows:
            _check_row(problem, row)
        spaces = tuple(DesignSpace.of_source(problem, source.name) for source in problem.sources)
        targets = problem.targets
        shared = spaces[problem.index(targets[0])] if len(targets) == 1 else DesignSpace.shared(problem, targets)
        more = problem.variables, problem.groups, problem.settings.n_quadratic
        coordinates = Coordinates.of_spaces(shared, spaces, *more)
        trainings = tuple(_collect(problem, objective, results) for objective in problem.objectives)
        return cls(problem, results, requests, trainings, spaces, shared, coordinates)

    def remodel(self, objective: int, scale: str) -> Study:
        """Return the study with an objective modelled on a scale."""
        objectives, trainings = list(self.problem.objectives), list(self.trainings)
        objectives[objective] = replace(objectives[objective], modelled=scale)
        problem = replace(self.problem, objectives=tuple(objectives))
        trainings[objective] = _collect(problem, objectives[objective], self.results)
        return replace(self, problem=problem, trainings=tuple(trainings))

    @property
    def training(self) -> Training:
        """Return the rows of the first objective."""
        return self.trainings[0]

    @property
    def pending(self) -> UnderWay:
        """Return what is under way."""
        sources = tuple(self.problem.index(row.source) for row in self.requests)
        places = tuple(row.x for row in self.requests)
        return UnderWay(tuple(row.uuid for row in self.requests), sources, places, _options(self.requests))

    @property
    def target(self) -> int:
        """Return the number of the target of the first objective."""
        return self.problem.index(self.problem.target)

    @property
    def targets(self) -> tuple[int, ...]:
        """Return the numbers of the targets of all objectives."""
        return tuple(self.problem.index(name) for name in self.problem.targets)

    @property
    def optimised(self) -> tuple[int, ...]:
        """Return the numbers of the objectives that are more than a limit."""
        return tuple(k for k, objective in enumerate(self.problem.objectives) if objective.direction is not None)

    @property
    def is_plain(self) -> bool:
        """Whether there is one objective without limits of which as much or as little as can be is wanted."""
        return self.problem.is_plain

    @cached_property
    def x(self) -> Array:
        """Return the evaluated points, n x (d + v + c)."""
        return self._encode(self.results)

    @cached_property
    def pending_x(self) -> Array:
        """Return the points under way, m x (d + v + c)."""
        return self._encode(self.requests)

    def _encode(self, rows: Sequence[Observation | Pending]) -> Array:
        width = len(self.problem.components) + len(self.problem.variables) + len(self.problem.categories)
        return np.array([self.problem.encode(row) for row in rows], dtype=float).reshape(len(rows), width)

    @property
    def values(self) -> Array:
        """Return the values (n) of the first objective in scaled units: more is better."""
        return self.scaled_values(0)

    def scaled_values(self, objective: int) -> Array:
        """Return the values (n) of an objective in scaled units: more is better."""
        training = self.trainings[objective]
        return (np.array(training.y) - training.offset) / training.scale

    @property
    def n_known(self) -> int:
        """Return how many evaluations were made or are under way."""
        return len(self.results) + len(self.requests)

    def evaluated(self, source: int) -> Array:
        """Return the points evaluated by a source."""
        return np.asarray(self.x[[self.problem.index(row.source) == source for row in self.results]])

    def pending_at(self, source: int) -> Array:
        """Return the points under way at a source."""
        return np.asarray(self.pending_x[[self.problem.index(row.source) == source for row in self.requests]])

    def occupied(self, source: int) -> Array:
        """Return the points evaluated by or under way at a source."""
        return np.vstack([self.evaluated(source), self.pending_at(source)])

    def complete(self, *, with_pending: bool = True) -> Array:
        """Return the points for which every target is known (or pending)."""
        found = [self.occupied(target) if with_pending else self.evaluated(target) for target in self.targets]
        first = found[0]
        for other in found[1:]:
            near = self.coordinates.gaps(first, other) <= SAME_PLACE
            first = first[near.any(axis=1)]
        return first

    def separation(self, source: int) -> float:
        """Return the distance, in mole fraction, to keep between requests under way at a source."""
        widest = float(np.ptp(self.spaces[source].corners, axis=0).max())
        return max(self.problem.settings.separation * widest, self.problem.settings.resolution)

    def is_occupied(self, point: Array, source: int) -> bool:
        """Return whether a point is known or pending for a source, within the resolution."""
        gaps = self.coordinates.gaps(self.occupied(source), point[None])
        return bool((gaps < 0.999 * self.problem.settings.resolution).any())

    def missing(self, point: Array) -> tuple[str, ...]:
        """Return the names of the targets for which a point is neither known nor pending."""
        return tuple(name for name in self.problem.targets if not self.is_occupied(point, self.problem.index(name)))

    def points(self, points: Array, sources: Labels | int) -> Points:
        """Return points at sources as the kernel sees them."""
        return self.coordinates.points(points, sources)

    def pending_points(self, objective: int = 0) -> Points:
        """Return what is under way and will tell of an objective, as the kernel sees it."""
        return self._select(self.requests, self.pending_x, self._measured_by(self.requests, objective))

    def _measured_by(self, rows: Sequence[Observation | Pending], objective: int) -> list[bool]:
        name = self.problem.objectives[objective].name
        measures = {source.name: name in self.problem.measures(source) for source in self.problem.sources}
        return [measures[row.source] for row in rows]

    def _select(self, rows: Sequence[Observation | Pending], points: Array, chosen: Sequence[bool]) -> Points:
        sources = np.array([self.problem.index(row.source) for row in rows], dtype=np.int64)
        return self.points(points, sources).take(np.flatnonzero(np.array(chosen, dtype=bool)))

    def kernel(self, asked: int, objective: int = 0) -> Kernel:
        """Return the kernel for the sources that have rows, the target and the one asked."""
        name, target = self.problem.objectives[objective].name, self.target_of(objective)
        told = zip(self.requests, self._measured_by(self.requests, objective), strict=True)
        pending = {self.problem.index(row.source) for row, is_measured in told if is_measured}
        present = {*self.trainings[objective].sources, *pending, target}
        if name in self.problem.measures(self.problem.sources[asked]):
            present.add(asked)
        n_categories = len(self.problem.categories) + len(self.problem.groups)
        more = {"n_variables": len(self.problem.variables), "n_categories": n_categories}
        settings, y = self.problem.settings, self.trainings[objective].y
        if self.problem.objectives[objective].scale == "log" or min(y, default=0.0) <= 0:
            settings = replace(settings, growth_prior=None)  # nothing grows by a factor that may be below 0
        return Kernel.of_settings(len(self.coordinates.free), target, tuple(sorted(present)), settings, **more)

    def target_of(self, objective: int) -> int:
        """Return the number of the target of an objective."""
        return self.problem.index(self.problem.objectives[objective].target)

    def fit(self, asked: int, rng: np.random.Generator, objective: int = 0) -> Surrogate:
        """Return the model of an objective.

        :raises FitError: when it cannot be fitted.
        """
        points = self.told_points(objective)
        return Surrogate.fit(self.kernel(asked, objective), points, self.scaled_values(objective), rng)

    def told_points(self, objective: int) -> Points:
        """Return where the values of an objective were measured, as the kernel sees it."""
        name = self.problem.objectives[objective].name
        return self._select(self.results, self.x, [name in self.problem.values(row) for row in self.results])

    def fit_all(self, asked: int, rng: np.random.Generator) -> Parts:
        """Return the model of each objective, and what is wanted of it.

        :raises FitError: when one cannot be fitted.
        """
        return [(self.fit(asked, rng, number), self.aim(number)) for number in range(len(self.problem.objectives))]

    def aim(self, objective: int) -> Aim:
        """Return what is wanted of an objective, in scaled units."""
        training, wanted = self.trainings[objective], self.problem.objectives[objective]
        modelled = training.offset, training.scale
        return Aim.of_objective(wanted, self.reference(objective), modelled, self.gained(objective))

    def gained(self, objective: int) -> tuple[float, float]:
        """Return offset and unit of the gains of an objective, on the scale on which they count."""
        training, wanted = self.trainings[objective], self.problem.objectives[objective]
        if wanted.scale == wanted.transform:
            return training.offset, training.scale
        values = [wanted.to_gain(wanted.to_natural(value)) for value in training.y]
        return measure_scale(values, training.sources, self.target_of(objective), wanted.sign)

    def reference(self, objective: int) -> float:
        """Return the worst value that counts, on the scale on which gains do.

        Where none is given it is a little worse than the worst of the first results of the target, as many as there
        are initial evaluations: later ones do not move it.
        """
        wanted, settings = self.problem.objectives[objective], self.problem.settings
        if wanted.reference is not None:
            return wanted.to_gain(wanted.reference)
        n_first = 5 + len(self.problem.components) if settings.n_initial is None else max(settings.n_initial, 2)
        own = sorted(
            (row for row in self.results if row.source == wanted.target), key=lambda row: (row.ctime, row.uuid)
        )
        told = [self.problem.values(row) for row in own]
        values = [wanted.to_gain(wanted.to_natural(row[wanted.name])) for row in told if wanted.name in row]
        first = np.array(values[:n_first] or [self.gained(objective)[0]])
        margin = BEYOND * (float(np.ptp(first)) or abs(float(first[0])) or 1.0)
        if wanted.direction == "reach":
            goal = wanted.to_gain(wanted.value or 0.0)
            return goal + float(np.abs(first - goal).max()) + margin
        return float(first.max()) + margin if wanted.direction == "minimise" else float(first.min()) - margin

    def predict(self, surrogate: Surrogate, point: Array, source: int, objective: int = 0) -> Prediction:
        """Return what a source would give, noise aside, at a point, in the unit of the quantity."""
        mean, sd = surrogate.predict(self.points(point[None], source))
        return self.translate(point, float(mean[0]), float(sd[0]), objective)

    def translate(self, point: Array, mean: float, sd: float, objective: int) -> Prediction:
        """Return mean and standard deviation in scaled units as a prediction in the unit of the quantity."""
        training = self.trainings[objective]
        x, category = self.problem.decode(point.tolist())
        own_mean, own_sd = training.offset + training.scale * mean, abs(training.scale) * sd
        if self.problem.objectives[objective].scale == "none":
            return Prediction(x, own_mean, own_sd, category=category)
        return Prediction(x, **predict_naturally(own_mean, own_sd), category=category)

    def predict_targets(self, parts: Parts, point: Array) -> dict[str, Prediction]:
        """Return what the target of each objective would give at a point, by its name."""
        return {
            objective.name: self.predict(parts[number][0], point, self.target_of(number), number)
            for number, objective in enumerate(self.problem.objectives)
        }

    def merit(self, parts: Parts) -> Acquisition:
        """Return how good a point is expected to be, all objectives together."""
        if self.is_plain:
            return PosteriorMean(parts[0][0], self.coordinates)
        return ExpectedGain(parts, self.optimised, self.coordinates)

    def recommend(self, parts: Parts, rng: np.random.Generator) -> Recommendation:
        """Return where the target is expected to be best; with several objectives a compromise between them.

        The compromise is the point with the largest product of gains over the references; the whole front says more.
        """
        acquisition, settings, target = self.merit(parts), self.problem.settings, self.target_of(0)
        if len(self.optimised) > 1:
            found = search(acquisition, self.target_space, self.x, settings, rng)
            best = self.predict(parts[0][0], self.target_space.round(found.points[0])[0], target)
            return Recommendation(dict.fromkeys(self.problem.targets, best), best)
        places = {}
        for source, space in zip(self.problem.sources, self.spaces, strict=True):
            places[source.name] = space.round(search(acquisition, space, self.x, settings, rng).points[0])[0]
        best_of = {name: self.predict(parts[0][0], place, target) for name, place in places.items()}
        sign = self.problem.objectives[0].sign
        merit = {name: sign * prediction.mean for name, prediction in best_of.items()}
        if not self.is_plain:
            merit = {name: float(acquisition(place[None])[0]) for name, place in places.items()}
        return Recommendation(best_of, best_of[max(merit, key=lambda name: merit[name])])


def _check_row(problem: Problem, row: Observation | Pending) -> None:
    """Raise :class:`InputError` when a row cannot be used."""
    problem.index(row.source)
    values = problem.values(row) if isinstance(row, Observation) else {}
    if not np.isfinite([*problem.encode(row), *values.values()]).all():
        msg = f"row {row.uuid}: x is {row.x} with values {values}, accepted are finite numbers"
        raise InputError(msg)
    total = sum(row.x[: len(problem.components)])
    if abs(total - 1) > SUM_TOLERANCE:
        msg = f"row {row.uuid}: the fractions {row.x[: len(problem.components)]} sum to {total:g}, accepted is 1"
        raise InputError(msg)


def _collect(problem: Problem, objective: Objective, results: Sequence[Observation]) -> Training:
    """Return the rows that tell of an objective in the form of a suggestion, with one scale for all sources."""
    known = [(row, problem.values(row)) for row in results]
    rows = [(row, values[objective.name]) for row, values in known if objective.name in values]
    sources, y = tuple(problem.index(row.source) for row, _ in rows), tuple(value for _, value in rows)
    offset, scale = measure_scale(y, sources, problem.index(objective.target), objective.sign)
    uuids, places = tuple(row.uuid for row, _ in rows), tuple(row.x for row, _ in rows)
    return Training(uuids, sources, places, y, offset, scale, _options([row for row, _ in rows]))


def measure_scale(
    values: Sequence[float], sources: Sequence[int], target: int, sign: float = 1.0
) -> tuple[float, float]:
    """Return offset and unit of values (n): the mean of the target, and the spread of all."""
    y = np.array(values, dtype=float)
    own = y[np.array(sources, dtype=int) == target]
    reference = own if len(own) else y
    return float(reference.mean()) if len(reference) else 0.0, _spread(y) * sign


def _options(rows: Sequence[Observation | Pending]) -> tuple[dict[str, str], ...] | None:
    """Return the options of each row, or ``None`` where there are no categories."""
    return tuple(dict(row.category) for row in rows) if any(row.category for row in rows) else None


def _spread(y: Array) -> float:
    """Return the standard deviation of values (n), or their size where they do not differ."""
    size = float(np.abs(y).max(initial=0.0))
    deviation = float(y.std()) if len(y) else 0.0
    return deviation if deviation > 1e-9 * size else size or 1.0
