"""From the numbers of a cell to the logarithm of the cycle at each per cent: the kinds of regression.

scikit-learn and torch do the learning; what was learned is arrays, so that a model needs no pickles. Trees, networks
and processes predict with numpy alone.

One kind learns the cycle times the charging rate: where nothing else is known of a faster charge, the life falls as the
rate rises. Trees that learn the cycle itself know no trend beyond their cells.

What electrodes, scales and embeddings are was fixed when a model was trained (:class:`Encoder`): an electrode that
becomes known later, or a property that changes, moves no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from aiida_finales.exceptions import MissingExtraError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import ELECTRODE_NAMES, NAMES
from aiida_finales.science.lifetime.gp import GaussianProcess, covariance

#: per cent at which every learner tells the logarithm of the cycle
PERCENTS = np.arange(99, 59, -1)
#: dimensions that the properties of both electrodes are reduced to
N_EMBEDDED = 3
#: shapes that curves are made of
N_SHAPES = 2
#: least step of the logarithm from one per cent to the next
_LEAST_STEP = 5e-3
#: shares of the numbers that each branch of a forest may look at, for cells of known protocols and of others
_HALF, _FEW = 0.5, 0.1
IS_ELECTRODE = np.array([name in ELECTRODE_NAMES for name in NAMES])


#: scale of a number that is the same in all cells: what is much for a rate (its logarithm), a temperature (1000 K over
#: it: 5 K at room temperature) or a voltage (V); else a cell at any other temperature would pass for one like these
_USUAL = np.array([
    0.056 if name == "inverse_temperature" else 0.25 if name.startswith("voltage_") or "_rate" in name else 1.0
    for name in NAMES
])  # fmt: skip


@dataclass(frozen=True)
class Encoder:
    """How numbers of cells are scaled and what is put where one is not known; fixed by the cells of the training.

    :param centre: put where a number is not known, shape ``(d,)``; :param mean: likewise; :param scale: likewise.
    :param axes: principal axes of the standardised properties, over their standard deviations, shape ``(3, 12)``.
    :param told: share of the cells of which each number is known, shape ``(d,)``.
    """

    centre: Array
    mean: Array
    scale: Array
    axes: Array
    told: Array = field(default_factory=lambda: np.ones(len(NAMES)))

    @classmethod
    def of_cells(cls, numbers: Array) -> Encoder:
        """Return the encoder of some cells.

        :param numbers: shape ``(n, d)``.
        """
        known = np.isfinite(numbers)
        centre = np.array(
            [np.median(column[fine]) if fine.any() else 0.0 for column, fine in zip(numbers.T, known.T, strict=True)]
        )
        filled = np.where(known, numbers, centre)
        scale = filled.std(axis=0)
        scale = np.where(scale > 1e-9 * (1 + np.abs(centre)), scale, _USUAL)
        mean = filled.mean(axis=0)
        properties = ((filled - mean) / scale)[:, IS_ELECTRODE]
        _, sizes, axes = np.linalg.svd(properties, full_matrices=False)
        spread = np.maximum(sizes[:N_EMBEDDED] / np.sqrt(len(numbers)), 1e-3)
        axes = axes[:N_EMBEDDED] * np.sign(axes[:N_EMBEDDED, :1] + 1e-12)
        return cls(centre, mean, scale, axes / spread[: len(axes), None], known.mean(axis=0))

    def fill(self, numbers: Array) -> Array:
        """Return numbers without gaps, shape ``(n, d)``."""
        return np.where(np.isfinite(numbers), numbers, self.centre)

    def standardise(self, numbers: Array) -> Array:
        """Return filled numbers in standard deviations, shape ``(n, d)``."""
        return np.asarray((self.fill(numbers) - self.mean) / self.scale)

    def embed(self, numbers: Array) -> Array:
        """Return where the electrodes of cells are on their map, shape ``(n, 3)``."""
        return np.asarray(self.standardise(numbers)[:, IS_ELECTRODE] @ self.axes.T)

    @property
    def map_axes(self) -> Array:
        """The first two axes over all standardised numbers, shape ``(2, d)``."""
        axes = np.zeros((2, len(NAMES)))
        axes[: min(2, len(self.axes)), IS_ELECTRODE] = self.axes[:2]
        return axes

    def points(self, numbers: Array) -> Array:
        """Return what the Gaussian process and the published network read, shape ``(n, m)``."""
        return np.column_stack([self.standardise(numbers)[:, ~IS_ELECTRODE], self.embed(numbers)])

    def to_arrays(self) -> dict[str, Array]:
        """Return its arrays by name."""
        return {"centre": self.centre, "mean": self.mean, "scale": self.scale, "axes": self.axes,
                "told": self.told}  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """Cells to learn from.

    :param numbers: shape ``(n, d)``.
    :param logs: natural logarithm of the cycle at each of :data:`PERCENTS`, shape ``(n, 40)``; not a number where a
        cell did not get so far.
    :param n_trees: of boosting and forest.
    """

    numbers: Array
    logs: Array
    encoder: Encoder
    seed: int = 0
    n_trees: int = 120

    def rows(self) -> tuple[Array, Array, Array]:
        """Return points with the per cent as last number, their logarithms, and weights: cells weigh the same."""
        cell, level = np.nonzero(np.isfinite(self.logs))
        weight = 1.0 / np.isfinite(self.logs).sum(axis=1)[cell]
        points = np.column_stack([self.encoder.fill(self.numbers)[cell], PERCENTS[level]])
        return points, self.logs[cell, level], weight * len(weight) / weight.sum()


class Learner(Protocol):
    """Something that has learned."""

    def predict(self, numbers: Array, encoder: Encoder) -> Array:
        """Return logarithms of the cycle, shape ``(n, 40)``."""

    def to_arrays(self) -> dict[str, Array]:
        """Return its arrays by name."""


@dataclass(frozen=True)
class Trees:
    """A sum of decision trees.

    :param nodes: of all trees: feature (-1: a leaf), threshold, left, right, value; shape ``(m, 5)``.
    :param roots: place of the first node of each tree.
    :param base: added to the sum.
    """

    nodes: Array
    roots: Array
    base: Array

    def predict(self, numbers: Array, encoder: Encoder) -> Array:
        """Return logarithms of the cycle, shape ``(n, 40)``."""
        n_levels = len(PERCENTS)
        points = np.column_stack([np.repeat(encoder.fill(numbers), n_levels, axis=0), np.tile(PERCENTS, len(numbers))])
        return (self._sum(points) + float(self.base[0])).reshape(-1, n_levels)

    def _sum(self, points: Array) -> Array:
        at = np.repeat(self.roots[None], len(points), axis=0)
        features, sides = self.nodes[:, 0].astype(np.int64), self.nodes[:, 2:4].astype(np.int64)
        rows = np.arange(len(points))[:, None]
        while (inner := features[at] >= 0).any():
            right = points[rows, np.maximum(features[at], 0)] > self.nodes[at, 1]
            at = np.where(inner, sides[at, right.astype(np.int64)], at)
        return np.asarray(self.nodes[at, 4].sum(axis=1))

    def to_arrays(self) -> dict[str, Array]:
        """Return its arrays by name."""
        return {"nodes": self.nodes, "roots": self.roots, "base": self.base}


def _plant(trees: list[Array], base: float) -> Trees:
    """Return trees whose nodes count from 0 as one."""
    sizes = np.cumsum([0, *(len(tree) for tree in trees)])
    nodes = []
    for tree, begin in zip(trees, sizes[:-1], strict=True):
        moved = tree.copy()
        moved[:, 2:4] += begin
        nodes.append(moved)
    return Trees(np.vstack(nodes), sizes[:-1].astype(np.int64), np.array([base]))


def learn_boosting(lesson: Lesson) -> Trees:
    """Gradient boosting, falling with the state of health.

    :raises MissingExtraError: when scikit-learn is not installed.
    """
    _demand_sklearn()
    from sklearn.ensemble import HistGradientBoostingRegressor

    points, values, weights = lesson.rows()
    model = HistGradientBoostingRegressor(
        max_iter=lesson.n_trees,
        learning_rate=0.06,
        min_samples_leaf=5,
        max_leaf_nodes=15,
        max_features=0.4,
        l2_regularization=1.0,
        monotonic_cst=[0] * (points.shape[1] - 1) + [-1],
        random_state=lesson.seed,
        early_stopping=False,
    ).fit(points, values, sample_weight=weights)
    trees = []
    for (tree,) in model._predictors:  # noqa: SLF001 - the only way to its trees without a pickle; a test compares
        nodes = tree.nodes
        feature = np.where(nodes["is_leaf"], -1, nodes["feature_idx"])
        trees.append(np.column_stack([feature, nodes["num_threshold"], nodes["left"], nodes["right"], nodes["value"]]))
    return _plant([tree.astype(np.float64) for tree in trees], float(np.ravel(model._baseline_prediction)[0]))  # noqa: SLF001


def learn_forest(lesson: Lesson, share: float = _HALF) -> Trees:
    """Extremely randomised trees; held to fall afterwards: a constraint on such trees costs more than it brings.

    :param share: of the numbers that each branch may look at.
    :raises MissingExtraError: when scikit-learn is not installed.
    """
    _demand_sklearn()
    from sklearn.ensemble import ExtraTreesRegressor

    points, values, weights = lesson.rows()
    points = points.astype(np.float32).astype(np.float64)
    n_trees = max(lesson.n_trees // 2, 1)
    model = ExtraTreesRegressor(
        n_estimators=n_trees,
        min_samples_leaf=5,
        max_features=share,
        random_state=lesson.seed,
    ).fit(points, values, sample_weight=weights)
    trees = []
    for one in model.estimators_:
        tree = one.tree_
        sides = np.maximum(np.column_stack([tree.children_left, tree.children_right]), 0)
        value = tree.value[:, 0, 0] / n_trees
        feature = np.where(tree.children_left < 0, -1, tree.feature)
        trees.append(np.column_stack([feature, tree.threshold, sides, value]).astype(np.float64))
    return _plant(trees, 0.0)


@dataclass(frozen=True)
class ChargedTrees(Trees):
    """Trees that have learned the logarithm of the cycle times the charging rate."""

    def predict(self, numbers: Array, encoder: Encoder) -> Array:
        """Return logarithms of the cycle, shape ``(n, 40)``."""
        return super().predict(numbers, encoder) - charging_logs(numbers)


def learn_charged_forest(lesson: Lesson) -> ChargedTrees:
    """Extremely randomised trees on the cycle times the charging rate, which look at few numbers in turn.

    So no number that tells the known protocols apart by chance speaks for all others.

    :raises MissingExtraError: when scikit-learn is not installed.
    """
    charged = replace(lesson, logs=lesson.logs + charging_logs(lesson.numbers))
    return ChargedTrees(**learn_forest(charged, share=_FEW).to_arrays())


def charging_logs(numbers: Array) -> Array:
    """Return the logarithm of the mean charging rate, shape ``(n, 1)``.

    :param numbers: of cells, shape ``(n, d)``.
    """
    return np.asarray(numbers[:, [NAMES.index("log_charging_rate")]])


@dataclass(frozen=True)
class Process:
    """Gaussian processes on how much of each shape is in a curve.

    :param points: standardised, shape ``(n, m)``.
    :param weights: of each point in each amount, shape ``(n, k)``.
    :param hyper: of each process, as :class:`~aiida_finales.science.lifetime.gp.GaussianProcess` has them; ``(k, 4)``.
    :param mean: of the curves, shape ``(40,)``; :param shapes: times their typical amount, shape ``(k, 40)``.
    """

    points: Array
    weights: Array
    hyper: Array
    mean: Array
    shapes: Array

    def predict(self, numbers: Array, encoder: Encoder) -> Array:
        """Return logarithms of the cycle, shape ``(n, 40)``."""
        return self.say(encoder.points(numbers))

    def say(self, points: Array) -> Array:
        """Return logarithms of the cycle at points, shape ``(n, 40)``."""
        amounts = [
            covariance(points, self.points, hyper) @ weight
            for hyper, weight in zip(self.hyper, self.weights.T, strict=True)
        ]
        return np.asarray(self.mean + np.column_stack(amounts) @ self.shapes)

    def to_arrays(self) -> dict[str, Array]:
        """Return its arrays by name."""
        return {name: getattr(self, name) for name in ("points", "weights", "hyper", "mean", "shapes")}


def learn_process(lesson: Lesson) -> Process:
    """Gaussian processes with one length for all scaled numbers: so few cells tell no more."""
    return fit_process(lesson.encoder.points(lesson.numbers), lesson.logs)


def fit_process(points: Array, logs: Array) -> Process:
    """Return the process of points, shape ``(n, m)``, and curves, shape ``(n, 40)``."""
    curves = complete_curves(logs)
    mean = curves.mean(axis=0)
    _, _, shapes = np.linalg.svd(curves - mean, full_matrices=False)
    amounts = (curves - mean) @ shapes[:N_SHAPES].T
    typical = np.maximum(amounts.std(axis=0), 1e-6)
    fitted = [GaussianProcess.fit(points, amount) for amount in (amounts / typical).T]
    return Process(
        points,
        np.column_stack([one.inverse @ amount for one, amount in zip(fitted, (amounts / typical).T, strict=True)]),
        np.array([one.hyper for one in fitted]),
        mean,
        shapes[:N_SHAPES] * typical[:, None],
    )


def complete_curves(logs: Array) -> Array:
    """Return curves without gaps: beyond where a cell got they go on as others do at that per cent.

    Where no cell got, they go on as they did before: a cell that fell fast does not stop falling at its last point.
    """
    curves = logs.copy()
    steps = np.diff(logs, axis=1)
    known = [place for place, column in enumerate(steps.T) if np.isfinite(column).any()]
    medians = [float(np.nanmedian(steps[:, place])) for place in known]
    usual = np.maximum(np.interp(np.arange(steps.shape[1]), known or [0], medians or [0.0]), _LEAST_STEP)
    for level in range(1, curves.shape[1]):
        gap = ~np.isfinite(curves[:, level])
        curves[gap, level] = curves[gap, level - 1] + usual[level - 1]
    for level in range(curves.shape[1] - 2, -1, -1):
        gap = ~np.isfinite(curves[:, level])
        curves[gap, level] = curves[gap, level + 1] - usual[level]
    return curves


def _demand_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("lifetime", "a lifetime generator") from error
