"""How much is gained by asking: of the target by finding a better point, of another source by learning about it.

All functions return natural logarithms, which order candidates also where the gain itself is too small to tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from aiida_finales.optimisation.coordinates import Coordinates
from aiida_finales.optimisation.hypervolume import Aim, list_cells, psi
from aiida_finales.optimisation.kernel import Points
from aiida_finales.optimisation.sampled import Sampled, draw_values
from aiida_finales.optimisation.surrogate import Process, Surrogate
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]

#: Nodes and weights on [-1, 1] with which chances are integrated, up to so many standard deviations above the mean.
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
FURTHEST_GAIN = 6.0
#: Smallest gain told from none.
SMALLEST_GAIN = 1e-300


class Acquisition(Protocol):
    """What is to be maximised over compositions (n x d)."""

    def __call__(self, compositions: Array) -> Array:
        """Return one value per composition (n)."""


class PosteriorMean:
    """The expected value of the target, in scaled units."""

    def __init__(self, surrogate: Surrogate, coordinates: Coordinates) -> None:
        self._surrogate = surrogate
        self._coordinates = coordinates

    def __call__(self, compositions: Array) -> Array:
        """Return the mean (n) of the target at compositions (n x d)."""
        points = self._coordinates.points(compositions, self._surrogate.kernel.target)
        total = np.zeros(len(points))
        for process in self._surrogate.processes:
            total += process.kernel.covariance(process.theta, points, process.points) @ process.weights
        return total / len(self._surrogate.processes)


class Separated:
    """Another acquisition, minus infinity close to what is under way.

    Two requests closer than the noise can tell apart are a replicate in all but name; apart, they hedge.

    :param apart_from: shape m x d, points under way at the source.
    :param distance: largest difference in mole fraction below which a point is too close.
    """

    def __init__(self, acquisition: Acquisition, apart_from: Array, distance: float, coordinates: Coordinates) -> None:
        self._acquisition = acquisition
        self._apart_from = apart_from
        self._distance = distance
        self._coordinates = coordinates

    def __call__(self, compositions: Array) -> Array:
        """Return one value per composition (n)."""
        values = self._acquisition(compositions)
        if len(self._apart_from) == 0:
            return values
        gaps = self._coordinates.gaps(compositions, self._apart_from).min(axis=1)
        return np.where(gaps < self._distance, -np.inf, values)


class NoisyExpectedImprovement:
    """Expected improvement over the best of the evaluated and pending points, whose true values are not known either.

    Letham, Karrer, Ottoni and Bakshy, Bayesian Analysis 14 (2019) 495, doi:10.1214/18-BA1110: joint samples of the true
    values at these points; given each, expected improvement has a closed form. Averaged over the samples and over the
    hyperparameters.

    :param baseline: shape b x d, compositions evaluated by or pending at the target.
    """

    def __init__(
        self, surrogate: Surrogate, coordinates: Coordinates, baseline: Array, rng: np.random.Generator
    ) -> None:
        self._coordinates = coordinates
        self._target = surrogate.kernel.target
        points = coordinates.points(baseline, self._target)
        n_pairs = surrogate.kernel.settings.n_pairs
        self._draws = []
        for process in surrogate.processes:
            half = rng.standard_normal((len(baseline), n_pairs))
            self._draws.append(Sampled.draw(process, points, np.hstack([half, -half])))

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the expected improvement (n), in scaled units."""
        points = self._coordinates.points(compositions, self._target)
        total = np.zeros(len(points))
        for sampled in self._draws:
            mean, spread = sampled.predict(points)
            gap = (mean - sampled.values.max(axis=0)) / spread[:, None]
            total += (spread[:, None] * (np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi) + gap * ndtr(gap))).mean(axis=1)
        return np.log(np.maximum(total / len(self._draws), SMALLEST_GAIN))


class NoisyHypervolumeImprovement:
    """Expected gain of the volume that the front dominates, whose evaluated and pending points are not known exactly.

    Daulton, Balandat and Bakshy, NeurIPS 2021, arXiv:2105.08195: joint samples of the true values at these points;
    each has a front, and given it the expectation is a sum over the boxes that the front does not dominate. Averaged
    over the samples and over the hyperparameters. With one objective it is the expected improvement.

    Where values have limits, a point of the baseline counts in the samples in which its values can be used, and a
    candidate with the probability that its own can.

    :param parts: model and aim of each objective.
    :param optimised: numbers of those that are more than a limit.
    :param baseline: shape b x d, points for which every target is known or pending.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Surrogate, Aim]],
        optimised: Sequence[int],
        coordinates: Coordinates,
        baseline: Array,
        rng: np.random.Generator,
    ) -> None:
        self._coordinates = coordinates
        self._aims = [aim for _, aim in parts]
        self._optimised = list(optimised)
        self._surrogates = [surrogate for surrogate, _ in parts]
        self._points = [coordinates.points(baseline, surrogate.kernel.target) for surrogate in self._surrogates]
        settings = self._surrogates[0].kernel.settings
        shape = (len(baseline), settings.n_pairs if len(self._optimised) == 1 else settings.n_front_pairs)
        self._draws = [
            self._draw(number, rng.standard_normal((len(parts), *shape))) for number in range(settings.n_hyper_samples)
        ]

    def _draw(self, number: int, half: Array) -> tuple[list[Sampled], list[tuple[Array, Array]]]:
        """Return the sampled process of each objective, and of each sample the free boxes."""
        states = [
            Sampled.draw(surrogate.processes[number], points, np.hstack([own, -own]))
            for surrogate, points, own in zip(self._surrogates, self._points, half, strict=True)
        ]
        values = [sampled.values for sampled in states]
        usable = np.logical_and.reduce([aim.is_usable(v) for aim, v in zip(self._aims, values, strict=True)])
        over = np.stack([self._aims[k].gain(values[k]) - self._aims[k].reference for k in self._optimised], axis=2)
        return states, [self._summarise(over[usable[:, sample], sample]) for sample in range(over.shape[1])]

    def _summarise(self, over: Array) -> tuple[Array, Array]:
        """Return what is to be improved upon: the boxes that gains over the references (b x m) leave free."""
        return list_cells(over)

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the expected gain of volume (n), in scaled units."""
        total, n_samples = np.zeros(len(compositions)), 0
        for number, (states, fronts) in enumerate(self._draws):
            means, sds, usable = [], [], np.ones(len(compositions))
            for part, surrogate in enumerate(self._surrogates):
                process = surrogate.processes[number]
                points = self._coordinates.points(compositions, surrogate.kernel.target)
                if self._aims[part].is_limited:
                    expected, w = process.predict(points)
                    chance = self._aims[part].probability_usable(expected, np.sqrt(process.variance(points, w)))
                    usable = usable * chance
                mean, sd = states[part].predict(points)
                means.append(mean)
                sds.append(sd)
            for sample, cells in enumerate(fronts):
                total += usable * self._expect([mean[:, sample] for mean in means], sds, cells)
            n_samples += len(fronts)
        return np.log(np.maximum(total / n_samples, SMALLEST_GAIN))

    def _expect(self, means: list[Array], sds: list[Array], cells: tuple[Array, Array]) -> Array:
        """Return the expected volume (n) that values add in the boxes that the front leaves free."""
        result = np.ones((len(sds[0]), len(cells[0])))
        for column, part in enumerate(self._optimised):
            aim, mean, sd = self._aims[part], means[part][:, None], sds[part][:, None]
            levels, where = np.unique(np.concatenate([corner[:, column] for corner in cells]), return_inverse=True)
            excess = aim.excess(mean, sd, levels + aim.reference)
            low, high = where[: len(cells[0])], where[len(cells[0]) :]
            result *= excess[:, low] - excess[:, high]
        return np.asarray(result.sum(axis=1))


class ScalarImprovement(NoisyHypervolumeImprovement):
    """Expected improvement of one number that is made of several objectives, as the published optimiser does.

    ``weights``: the weighted sum of the gains; ``chebyshev``: the smallest weighted gain, counted from the best values
    of all points. Weights that are drawn anew at each step lead along the front.

    :param weights: shape m.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Surrogate, Aim]],
        optimised: Sequence[int],
        coordinates: Coordinates,
        baseline: Array,
        rng: np.random.Generator,
    ) -> None:
        settings = parts[0][0].kernel.settings
        drawn = rng.dirichlet(np.ones(len(optimised)))
        self._weights = np.array(settings.weights) / sum(settings.weights) if settings.weights else drawn
        self._is_sum = settings.scalarise == "weights"
        super().__init__(parts, optimised, coordinates, baseline, rng)

    def _summarise(self, over: Array) -> tuple[Array, Array]:
        """Return the best values of each objective and the best number, in gains over the references."""
        known = over if len(over) else np.zeros((1, len(self._weights)))
        ideal = np.zeros(len(self._weights)) if self._is_sum else known.max(axis=0)
        parts = self._weights * (known - ideal)
        return ideal, (parts.sum(axis=1) if self._is_sum else parts.min(axis=1)).max(keepdims=True)

    def _expect(self, means: list[Array], sds: list[Array], state: tuple[Array, Array]) -> Array:
        """Return the expected improvement (n) of values."""
        ideal, best = state
        aims = [self._aims[part] for part in self._optimised]
        told = [(means[part], sds[part]) for part in self._optimised]
        centre = np.column_stack([aim.scale.expect(*normal) for aim, normal in zip(aims, told, strict=True)])
        spread = np.column_stack([aim.scale.deviate(*normal) for aim, normal in zip(aims, told, strict=True)])
        zero = ideal + np.array([aim.reference for aim in aims])
        if self._is_sum:
            total = ((centre - zero) * self._weights).sum(axis=1)
            return psi(total, np.sqrt(((spread * self._weights) ** 2).sum(axis=1)), best)
        top = [aim.expected_gain(*normal) for aim, normal in zip(aims, told, strict=True)]
        reach = (self._weights * (np.column_stack(top) + FURTHEST_GAIN * spread - zero)).min(axis=1)
        width = np.maximum(reach - best, 0.0)
        levels = best + width[:, None] * (NODES + 1) / 2
        chance = np.ones_like(levels)
        for k, (aim, (mean, sd)) in enumerate(zip(aims, told, strict=True)):
            chance *= aim.exceeds(mean[:, None], sd[:, None], zero[k] + levels / self._weights[k])
        return np.asarray(width / 2 * (chance @ NODE_WEIGHTS))


class ExpectedGain:
    """The expected gain of one objective, or the volume between the reference and the expected gains of several.

    Where values have limits, times the probability that they can be used.
    """

    def __init__(
        self, parts: Sequence[tuple[Surrogate, Aim]], optimised: Sequence[int], coordinates: Coordinates
    ) -> None:
        self._parts = parts
        self._optimised = list(optimised)
        self._coordinates = coordinates

    def gains(self, compositions: Array) -> tuple[Array, Array]:
        """Return the expected gains over the reference (n x m), and the probability that all can be used (n)."""
        return self._gains(compositions, Aim.expected_gain)

    def likely_gains(self, compositions: Array) -> tuple[Array, Array]:
        """Return the same with the gains that are as likely to be exceeded as not; see :meth:`.Aim.likely_gain`."""
        return self._gains(compositions, Aim.likely_gain)

    def _gains(self, compositions: Array, gain: Callable[[Aim, Array, Array], Array]) -> tuple[Array, Array]:
        gains, usable = [], np.ones(len(compositions))
        for number, (surrogate, aim) in enumerate(self._parts):
            mean, sd = surrogate.predict(self._coordinates.points(compositions, surrogate.kernel.target))
            if number in self._optimised:
                gains.append(gain(aim, mean, sd) - aim.reference)
            if aim.is_limited:
                usable = usable * aim.probability_usable(mean, sd)
        return np.column_stack(gains), usable

    def __call__(self, compositions: Array) -> Array:
        """Return one value per composition (n)."""
        gains, usable = self.gains(compositions)
        if gains.shape[1] > 1:
            return np.asarray(usable * np.maximum(gains, 0.0).prod(axis=1) + np.minimum(gains, 0.0).sum(axis=1))
        lowest = min(0.0, float(gains.min(initial=0.0)))
        return np.asarray(usable * (gains[:, 0] - lowest) + lowest)


class VarianceReduction:
    """By how much one measurement of a source narrows the comparison between likely optima of the target.

    Likely optima are those of sampled functions; what counts is the variance of the value at one of them relative to
    the mean over them. The source itself is not optimised.

    :param paths: shape g x d, compositions among which each sampled function has its optimum.
    :param best: numbers of these optima, of each hyperparameter sample; see :func:`draw_optima`.
    :param pending: points under way at any source; what they will tell is not counted twice.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        coordinates: Coordinates,
        source: int,
        paths: Array,
        best: Sequence[Labels],
        pending: Points,
    ) -> None:
        self._coordinates = coordinates
        self._source = source
        grid = coordinates.points(paths, surrogate.kernel.target)
        self._draws: list[tuple[Process, Points, Array]] = []
        for process, chosen in zip(surrogate.processes, best, strict=True):
            optima = grid.take(chosen)
            informed = process.extend(pending) if len(pending) else process
            self._draws.append((informed, optima, informed.predict(optima)[1]))

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the variance removed (n), in scaled units squared."""
        points = self._coordinates.points(compositions, self._source)
        total = np.zeros(len(points))
        for process, optima, w in self._draws:
            _, own_w = process.predict(points)
            shared = process.covariance(optima, w, points, own_w)
            contrast = shared - shared.mean(axis=0)
            total += (contrast**2).mean(axis=0) / (process.variance(points, own_w) + process.noise(self._source))
        return np.log(np.maximum(total / len(self._draws), SMALLEST_GAIN))


class Together:
    """Several gains, given as logarithms, added up."""

    def __init__(self, parts: Sequence[Acquisition]) -> None:
        self._parts = parts

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the sum (n)."""
        return np.asarray(np.logaddexp.reduce([part(compositions) for part in self._parts]))


def draw_optima(
    parts: Sequence[tuple[Surrogate, Aim]],
    optimised: Sequence[int],
    coordinates: Coordinates,
    paths: Array,
    rng: np.random.Generator,
) -> list[Labels]:
    """Return where sampled functions have their optimum: of each hyperparameter sample n_optima numbers of paths.

    With several objectives, the optimum of each sample is for weights of its own (the smallest weighted gain).
    """
    settings = parts[0][0].kernel.settings
    best = []
    for number in range(settings.n_hyper_samples):
        gains = []
        for part in optimised:
            surrogate, aim = parts[part]
            grid = coordinates.points(paths, surrogate.kernel.target)
            white = rng.standard_normal((len(grid), settings.n_optima))
            gains.append(aim.gain(draw_values(surrogate.processes[number], grid, white)))
        if len(gains) == 1:
            best.append(gains[0].argmax(axis=0))
            continue
        weights = rng.dirichlet(np.ones(len(gains)), settings.n_optima)
        over = (gain - gain.max(axis=0) for gain in gains)
        best.append(np.min([part * weights[:, k] for k, part in enumerate(over)], axis=0).argmax(axis=0))
    return best
