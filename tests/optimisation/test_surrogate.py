"""The model: exact where it can be computed by hand, honest where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from aiida_finales.exceptions import FitError
from aiida_finales.optimisation import Observation, OptimiserSettings, Problem
from aiida_finales.optimisation.acquisition import NoisyExpectedImprovement, VarianceReduction, draw_optima
from aiida_finales.optimisation.kernel import Kernel, Points
from aiida_finales.optimisation.study import Study
from aiida_finales.optimisation.surrogate import JITTER, Likelihood, Process, Surrogate, draw_chain

RNG = np.random.default_rng
# two lengths, signal, noise of 0; noise, discrepancy and factor of 1
THETA = np.log([0.8, 1.1, 0.7, 0.1, 0.2, 0.3, 1.2])


def make_kernel(**knobs: object) -> Kernel:
    return Kernel.of_settings(2, 0, (0, 1), OptimiserSettings(**knobs))


def covariance_by_hand(u: np.ndarray, s: np.ndarray, w: np.ndarray, t: np.ndarray, slope: float) -> float:
    """The formula of the module, one number at a time."""
    v, q = 2 * u - 1, 2 * w - 1
    trend = 1 + v @ q + sum(v[i] * v[j] * q[i] * q[j] for i in range(2) for j in range(i, 2))
    square = ((u - w) ** 2 / np.array([0.8, 1.1]) ** 2).sum()
    bias = 1 + 0.3**2 * np.exp(-0.5 * square / 1.5**2) + slope**2 * (v @ q) if s == t == 1 else 0
    return 1.2 ** (s + t) * (trend + 0.7**2 * np.exp(-0.5 * square)) + bias


@pytest.mark.parametrize("slope", [0.0, 0.4])
def test_covariance_is_the_formula(slope: float) -> None:
    kernel, rng = make_kernel(slope_sd=slope), RNG(0)
    first = Points.of_source(rng.random((4, 2)), np.array([0, 1, 1, 0]))
    second = Points.of_source(rng.random((3, 2)), np.array([1, 0, 1]))
    expected = [
        [covariance_by_hand(u, s, w, t, slope) for w, t in zip(second.scaled, second.source, strict=True)]
        for u, s in zip(first.scaled, first.source, strict=True)
    ]
    assert kernel.covariance(THETA, first, second) == pytest.approx(np.array(expected))
    assert kernel.variance(THETA, first) == pytest.approx(np.diag(kernel.covariance(THETA, first, first)))


@pytest.mark.parametrize("kind", ["rbf", "matern"])
def test_prediction_is_the_textbook_posterior(kind: str) -> None:
    """Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equations 2.23 to 2.26 and 2.30."""
    kernel, rng = make_kernel(kernel=kind), RNG(1)
    points = Points.of_source(rng.random((7, 2)), np.array([0, 0, 0, 1, 1, 1, 1]))
    values, new = rng.standard_normal(7), Points.of_source(rng.random((5, 2)), 1)
    process = Process.condition(kernel, points, values, THETA)
    noise = np.diag(np.array([0.1**2] * 3 + [0.2**2] * 4) + JITTER)
    total = kernel.covariance(THETA, points, points) + noise
    cross = kernel.covariance(THETA, points, new)
    mean, w = process.predict(new)
    assert mean == pytest.approx(cross.T @ np.linalg.solve(total, values))
    expected = kernel.covariance(THETA, new, new) - cross.T @ np.linalg.solve(total, cross)
    assert process.covariance(new, w, new, w) == pytest.approx(expected)
    assert process.variance(new, w) == pytest.approx(np.diag(expected))
    height = -0.5 * values @ np.linalg.solve(total, values) - 0.5 * np.linalg.slogdet(total)[1]
    assert Likelihood(kernel, points, values)((THETA - kernel.mean) / kernel.sd) == pytest.approx(height)


def test_what_follows_a_variable_by_a_factor_has_this_covariance() -> None:
    rng = RNG(4)
    plain, growing = (
        Kernel.of_settings(2, 0, (0, 1), OptimiserSettings(growth_prior=prior), n_variables=1)
        for prior in (None, (0.0, 1.0))
    )
    assert [name for name in growing.names if name not in plain.names] == ["growth_0"]
    theta = np.append(THETA, 1.4)
    first, second = (Points.of_source(rng.random((n, 2)), rng.integers(0, 2, n)) for n in (4, 3))
    # c_s and d_s of the other source do not grow, nor does the constant that all share
    bias = plain.covariance(THETA, first, second)
    common = plain.covariance(THETA, replace(first, source=0 * first.source), replace(second, source=0 * second.source))
    bias = bias - common * 1.2 ** (first.source[:, None] + second.source)
    steps = 1.4 * (first.scaled[:, 1, None] - 0.5 + second.scaled[:, 1] - 0.5)
    expected = common * 1.2 ** (first.source[:, None] + second.source) * np.exp(steps) + bias + 1
    assert growing.covariance(theta, first, second) == pytest.approx(expected)
    assert growing.variance(theta, first) == pytest.approx(np.diag(growing.covariance(theta, first, first)))
    values = rng.standard_normal(4)
    total = growing.covariance(theta, first, first) + np.diag(growing.noise(theta, first.source) + JITTER)
    height = -0.5 * values @ np.linalg.solve(total, values) - 0.5 * np.linalg.slogdet(total)[1]
    assert Likelihood(growing, first, values)((theta - growing.mean) / growing.sd) == pytest.approx(height)


def test_rows_at_other_temperatures_teach_a_factor() -> None:
    """Few rows at one end, more at the other, where all is up to five times as much."""
    errors, (x, t) = [], RNG(5).random((2, 24))
    t[:18] = 0.6 + 0.4 * t[:18]
    t[18:] = 0.0

    def truth(x: np.ndarray, t: np.ndarray | float) -> np.ndarray:
        return np.asarray((1 + np.sin(4 * x)) * np.exp(1.6 * t))

    y = truth(x, t) * (1 + 0.02 * RNG(6).standard_normal(24))
    wanted = np.linspace(0, 1, 50)
    for prior in (None, (0.0, 1.0)):
        kernel = Kernel.of_settings(2, 0, (0,), OptimiserSettings(growth_prior=prior), n_variables=1)
        points = Points.of_source(np.column_stack([x, t]), 0)
        surrogate = Surrogate.fit(kernel, points, (y - y.mean()) / y.std(), RNG(0))
        mean, _ = surrogate.predict(Points.of_source(np.column_stack([wanted, 0 * wanted]), 0))
        errors.append(np.abs(y.mean() + y.std() * mean - truth(wanted, 0.0)).mean())
    assert errors[1] < 0.8 * errors[0]


def test_extended_process_keeps_its_mean_and_knows_more() -> None:
    kernel, rng = make_kernel(), RNG(2)
    points = Points.of_source(rng.random((6, 2)), 0)
    process = Process.condition(kernel, points, rng.standard_normal(6), THETA)
    new = Points.of_source(rng.random((4, 2)), 1)
    extended = process.extend(new)
    (mean, w), (later_mean, later_w) = process.predict(new), extended.predict(new)
    assert later_mean == pytest.approx(mean, abs=1e-6)
    assert (extended.variance(new, later_w) < process.variance(new, w)).all()


def test_elliptical_slice_sampling_reaches_a_known_posterior() -> None:
    """Prior N(0, 1), one value 1.5 with standard deviation 0.5: posterior N(1.2, 0.2)."""
    chain, _ = draw_chain(lambda u: float(norm.logpdf(1.5, u[0], 0.5)), 1, 4000, 4, RNG(0))
    assert chain.mean() == pytest.approx(1.2, abs=0.04)
    assert chain.var() == pytest.approx(0.2, rel=0.15)


def test_impossible_likelihood_is_a_fit_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Likelihood, "__call__", lambda *_: -1e10)
    points = Points.of_source(RNG(0).random((3, 2)), 0)
    with pytest.raises(FitError, match="no hyperparameters explain 3 values"):
        Surrogate.fit(make_kernel(), points, np.zeros(3), RNG(0))


def test_recorded_samples_give_the_same_predictions(problem: Problem, rows: list[Observation]) -> None:
    study = Study.of_rows(problem, rows, ())
    surrogate = study.fit(0, RNG(0))
    samples = [process.theta.tolist() for process in surrogate.processes]
    points = study.points(study.x, np.array(study.training.sources))
    again = Surrogate.restore(surrogate.kernel, points, study.values, samples)
    for there, here in zip(again.predict(points), surrogate.predict(points), strict=True):
        assert there == pytest.approx(here, rel=1e-9)


def test_noisy_improvement_is_the_textbook_one_where_nothing_is_noisy() -> None:
    """With one evaluated point and next to no noise: Jones, Schonlau and Welch (1998), equation 15."""
    settings = OptimiserSettings(noise_prior=(np.log(1e-4), 0.01), n_pairs=64)
    kernel = Kernel.of_settings(1, 0, (0,), settings)
    identity = type("Identity", (), {"points": staticmethod(Points.of_source)})()
    points, values = Points.of_source(np.array([[0.2], [0.9]]), 0), np.array([0.5, -0.3])
    surrogate = Surrogate.fit(kernel, points, values, RNG(0))
    acquisition = NoisyExpectedImprovement(surrogate, identity, points.scaled, RNG(0))
    candidates = np.array([[0.4], [0.6]])
    expected = np.zeros(2)
    for process in surrogate.processes:
        mean, w = process.predict(Points.of_source(candidates, 0))
        sd = np.sqrt(process.variance(Points.of_source(candidates, 0), w))
        z = (mean - 0.5) / sd
        expected += sd * (norm.pdf(z) + z * norm.cdf(z)) / len(surrogate.processes)
    assert np.exp(acquisition(candidates)) == pytest.approx(expected, rel=0.02)


def test_a_measurement_under_way_is_worth_less(problem: Problem, rows: list[Observation]) -> None:
    study = Study.of_rows(problem, rows, ())
    surrogate = study.fit(1, RNG(0))
    paths, _ = study.spaces[0].sample(40, RNG(1))
    place = paths[:1]
    nothing, twice = study.points(np.empty((0, 3)), 1), study.points(np.repeat(place, 3, axis=0), 1)
    best = draw_optima([(surrogate, study.aim(0))], (0,), study.coordinates, paths, RNG(2))
    worth = [VarianceReduction(surrogate, study.coordinates, 1, paths, best, p)(place)[0] for p in (nothing, twice)]
    assert worth[1] < worth[0]


@pytest.mark.parametrize("y", [0.0, 0.7])
def test_equal_values_are_no_problem(make_problem: Callable[..., Problem], y: float) -> None:
    problem = make_problem()
    rows = [Observation("robot", (0.1 - 0.01 * k, 0.3, 0.6 + 0.01 * k), y, str(k), "") for k in range(5)]
    study = Study.of_rows(problem, rows, ())
    assert np.isfinite(study.fit(0, RNG(0)).predict(study.points(study.x, 0))[0]).all()


def test_a_chain_of_some_rows_predicts_from_all(
    make_problem: Callable[..., Problem], make_rows: Callable[..., list[Observation]]
) -> None:
    """The hyperparameters are those of some rows; the predictions are as sure as all rows make them."""
    predicted = []
    for most in (20, None):
        problem = make_problem()
        problem = make_problem(replace(problem.settings, n_chain_rows=most))
        study = Study.of_rows(problem, make_rows(problem, "robot", 60, noise=0.05), ())
        surrogate = study.fit(0, RNG(0))
        assert len(surrogate.processes[0].values) == 60
        predicted.append(surrogate.predict(study.points(study.spaces[0].sample(50, RNG(1))[0], 0)))
    assert predicted[0][0] == pytest.approx(predicted[1][0], abs=0.3)
    assert np.median(predicted[0][1]) == pytest.approx(np.median(predicted[1][1]), rel=0.6)


def test_intervals_cover_the_truth(
    make_problem: Callable[..., Problem],
    make_rows: Callable[..., list[Observation]],
    truth: Callable[[np.ndarray], np.ndarray],
) -> None:
    problem, inside = make_problem(), []
    for seed in range(6):
        study = Study.of_rows(problem, make_rows(problem, "robot", 6, seed, 0.05), ())
        x, _ = study.spaces[0].sample(100, RNG(seed))
        mean, sd = study.fit(0, RNG(seed)).predict(study.points(x, 0))
        expected = (truth(x) - study.training.offset) / study.training.scale
        inside.append((np.abs(expected - mean) < 1.96 * sd).mean())
    assert 0.8 < np.mean(inside) <= 1.0
