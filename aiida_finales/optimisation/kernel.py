"""The covariance between what several biased sources say about one property.

With v the free components scaled to -1 ... 1 over the range of the target, the target measures
``f(x) = b_0 + sum b_i v_i + sum b_ij v_i v_j + g(x)``, and another source s measures
``r_s f(x) + c_s + d_s(x)``. All terms are Gaussian, so that each is only a term of the kernel:

* ``b ~ N(0, 1)``: a quadratic trend, which carries over to where few data are;
* ``g ~ GP(0, a^2 R(l))``: what the trend does not describe; R is stationary, one length scale per component;
* ``r_s``: a factor; with ``c_s``, which takes the rest, it makes a constant factor between two sources exact;
* ``c_s ~ N(0, 1)``: a constant bias;
* ``d_s ~ GP(0, a_s^2 R(q l)) + h_s v``: a bias that depends on the composition, ``h_s ~ N(0, slope_sd^2)``.

Where there are categories (salt, electrode), each option departs from what they share in the same way: to rows of one
option the kernel adds a constant, a linear trend and a Gaussian process. A variable t (temperature), scaled to 0 ... 1,
is one more input. Much of what follows a temperature does so by a factor: what all sources measure is then
``exp(gamma (t - 1/2)) f + k`` with ``k ~ N(0, 1)``, because values are counted from their mean and not from nothing.

A discrepancy of this kind is that of Kennedy and O'Hagan, J. R. Stat. Soc. B 63 (2001) 425,
doi:10.1111/1467-9868.00294. All values share one scale: scaling each source by its own spread would destroy a constant
factor between sources that were measured in different regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from aiida_finales.optimisation.settings import OptimiserSettings
from aiida_finales.science.array import Array

Labels = npt.NDArray[np.int64]

#: Of the range of a variable: where its factor is 1.
MIDDLE = 0.5


@dataclass(frozen=True)
class Points:
    """Places at which sources are asked, as the kernel sees them.

    :param scaled: shape n x f, free components in units of the target's range.
    :param source: shape n, number of the source.
    :param features: shape n x (f + f (f + 1) / 2), the linear and quadratic terms of the trend; or the linear ones.
    :param category: shape n x c, number of the option of each category.
    """

    scaled: Array
    source: Labels
    features: Array
    category: Labels

    @classmethod
    def of_source(
        cls, scaled: Array, source: Labels | int, category: Array | None = None, *, is_quadratic: bool = True
    ) -> Points:
        """Return points (n x f) of one source, or of one source per point (n)."""
        centred = 2 * scaled - 1
        first, second = np.triu_indices(scaled.shape[1])
        features = np.hstack([centred, centred[:, first] * centred[:, second]]) if is_quadratic else centred
        codes = np.zeros((len(scaled), 0)) if category is None else category
        sources = np.broadcast_to(np.asarray(source, dtype=np.int64), len(scaled))
        return cls(scaled, sources, features, codes.round().astype(np.int64))

    def take(self, chosen: Labels) -> Points:
        """Return the points of these numbers."""
        return Points(self.scaled[chosen], self.source[chosen], self.features[chosen], self.category[chosen])

    def __len__(self) -> int:
        return len(self.scaled)


@dataclass(frozen=True)
class Kernel:
    """The covariance as a function of p hyperparameters, and their prior.

    Hyperparameters are natural logarithms: f length scales, the amplitude a, then for each source its noise and, unless
    it is the target, its discrepancy a_s and factor r_s, then the amplitude of each category, and the factor by which f
    grows over the range of each variable. The prior is normal and independent.

    :param n_free: f.
    :param target: number of the source that measures f.
    :param sources: numbers of all sources the model speaks of.
    :param n_categories: c.
    :param n_growing: how many of the inputs, the last ones, f may grow with by a factor.
    :param names: shape p.
    :param mean: shape p.
    :param sd: shape p.
    """

    n_free: int
    target: int
    sources: tuple[int, ...]
    names: tuple[str, ...]
    mean: Array
    sd: Array
    settings: OptimiserSettings
    n_categories: int = 0
    n_growing: int = 0

    @classmethod
    def of_settings(
        cls,
        n_free: int,
        target: int,
        sources: tuple[int, ...],
        settings: OptimiserSettings,
        *,
        n_variables: int = 0,
        n_categories: int = 0,
    ) -> Kernel:
        """Return the kernel for these sources with the priors of the settings.

        :param n_variables: how many of the inputs, the last ones, are no fractions.
        """
        names = [f"length_{k}" for k in range(n_free)] + ["signal"]
        priors = [settings.length_prior] * (n_free - n_variables) + [settings.variable_length_prior] * n_variables
        priors.append(settings.signal_prior)
        for source in sources:
            names.append(f"noise_{source}")
            priors.append(settings.noise_prior)
            if source != target:
                names.append(f"discrepancy_{source}")
                priors.append(settings.discrepancy_prior)
                if settings.ratio_prior is not None:
                    names.append(f"ratio_{source}")
                    priors.append(settings.ratio_prior)
        names += [f"category_{number}" for number in range(n_categories)]
        priors += [settings.category_prior] * n_categories
        n_growing = 0
        if settings.growth_prior is not None:
            n_growing = n_variables
            names += [f"growth_{number}" for number in range(n_growing)]
            priors += [settings.growth_prior] * n_growing
        mean, sd = np.array(priors).T
        return cls(n_free, target, sources, tuple(names), mean, sd, settings, n_categories, n_growing)

    @property
    def correlate(self) -> Callable[[Array], Array]:
        """Return the correlation as a function of squared distances in units of the length scales."""
        return _STATIONARY[self.settings.kernel]

    def amplitude(self, theta: Array, name: str) -> float:
        """Return the hyperparameter of a name out of logarithms of shape p."""
        return float(np.exp(theta[self.names.index(name)]))

    def covariance(self, theta: Array, first: Points, second: Points) -> Array:
        """Return the covariance (n x m) of noise-free values under the hyperparameters theta (shape p).

        With many rows the time is that of memory, so that as few arrays of this shape are made as can be.
        """
        lengths = np.exp(theta[: self.n_free])
        squares = cdist(first.scaled / lengths, second.scaled / lengths, "sqeuclidean")
        result = self.correlate(squares)
        result *= np.exp(2 * theta[self.n_free])
        result += self.common_trend(first, second)
        if self.n_categories:
            departure = self.correlate(squares / self.settings.discrepancy_length**2)
            for number, same in enumerate(self.same_option(first, second)):
                result += same * self.amplitude(theta, f"category_{number}") ** 2 * departure
        scale_rows(result, self.factors(theta, first), self.factors(theta, second))
        if self.n_growing:
            result += 1.0
        for source, block, bias in self.biases(first, second):
            size = self.amplitude(theta, f"discrepancy_{source}") ** 2
            result[block] += bias + size * self.correlate(squares[block] / self.settings.discrepancy_length**2)
        return result

    def factors(self, theta: Array, points: Points) -> Array:
        """Return by which factor the common function is measured at points (n)."""
        result = np.ones(len(points))
        for number in self.sources:
            if f"ratio_{number}" in self.names:
                result[points.source == number] = self.amplitude(theta, f"ratio_{number}")
        if self.n_growing:
            result *= np.exp(self.steps(points) @ theta[-self.n_growing :])
        return result

    def steps(self, points: Points) -> Array:
        """Return how far points are from the middle of each variable that f may grow with, n x g, in ranges."""
        return np.asarray(points.scaled[:, self.n_free - self.n_growing :] - MIDDLE)

    def same_option(self, first: Points, second: Points) -> list[npt.NDArray[np.bool_]]:
        """Return of each category which pairs (n x m) are of one option."""
        return [
            first.category[:, number, None] == second.category[None, :, number] for number in range(self.n_categories)
        ]

    def common_trend(self, first: Points, second: Points) -> Array:
        """Return the terms (n x m) of what all sources measure that no hyperparameter changes."""
        result = first.features @ second.features.T
        result += 1.0
        if self.n_categories:
            result += sum(self.same_option(first, second)) * (1.0 + self._slopes(first, second))
        return np.asarray(result)

    def biases(self, first: Points, second: Points) -> Iterator[tuple[int, tuple[Labels, Labels], Array]]:
        """Yield each source other than the target, its rows and columns as an index, and its constant and trend."""
        for source in self.sources:
            rows, columns = np.flatnonzero(first.source == source), np.flatnonzero(second.source == source)
            if source != self.target and len(rows) and len(columns):
                bias = 1.0 + self._slopes(first.take(rows), second.take(columns))
                yield source, (rows[:, None], columns[None, :]), bias

    def _slopes(self, first: Points, second: Points) -> Array:
        return np.asarray(
            self.settings.slope_sd**2 * (first.features[:, : self.n_free] @ second.features[:, : self.n_free].T)
        )

    def variance(self, theta: Array, points: Points) -> Array:
        """Return the diagonal (n) of :meth:`covariance`."""
        result = 1.0 + (points.features**2).sum(axis=1) + np.exp(2 * theta[self.n_free])
        slopes = self.settings.slope_sd**2 * (points.features[:, : self.n_free] ** 2).sum(axis=1)
        for number in range(self.n_categories):
            result = result + 1.0 + self.amplitude(theta, f"category_{number}") ** 2 + slopes
        result = result * self.factors(theta, points) ** 2 + (1.0 if self.n_growing else 0.0)
        for source in self.sources:
            if source != self.target:
                size = self.amplitude(theta, f"discrepancy_{source}") ** 2
                result = result + (points.source == source) * (1.0 + size + slopes)
        return np.asarray(result)

    def noise(self, theta: Array, source: Labels) -> Array:
        """Return the noise variance (n) of measurements by these sources (n)."""
        result = np.zeros(len(source))
        for number in self.sources:
            result[source == number] = self.amplitude(theta, f"noise_{number}") ** 2
        return result


def scale_rows(matrix: Array, rows: Array, columns: Array) -> None:
    """Multiply a matrix (n x m), in place, by a factor of each row (n) and of each column (m)."""
    if (columns != 1.0).any():
        matrix *= rows[:, None] * columns
    elif (rows != 1.0).any():
        matrix *= rows[:, None]


def _rbf(squares: Array) -> Array:
    result = -0.5 * squares
    return np.exp(result, out=result)


def _matern(squares: Array) -> Array:
    scaled = np.sqrt(5 * squares)
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


_STATIONARY: dict[str, Callable[[Array], Array]] = {"rbf": _rbf, "matern": _matern}
