"""What is expected once the true values at some points are known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.optimisation import Observation, Problem
from aiida_finales.optimisation.sampled import SAMPLE_JITTER, SIGNAL_JITTER, Sampled
from aiida_finales.optimisation.study import Study


def test_one_matrix_gives_what_two_steps_do(problem: Problem, rows: list[Observation]) -> None:
    """First given the measured values, then given the true ones too, by the formulas of the conditional normal."""
    rng = np.random.default_rng(7)
    study = Study.of_rows(problem, [*rows, Observation("robot", rows[0].x, 0.5, "again", "again")], ())
    surrogate = study.fit(0, np.random.default_rng(1))
    baseline = study.points(np.vstack([study.evaluated(0), study.target_space.sample(2, rng)[0]]), 0)
    asked = study.points(study.target_space.sample(20, rng)[0], 0)
    white = rng.standard_normal((len(baseline), 6))
    for process in surrogate.processes[:3]:
        sampled = Sampled.draw(process, baseline, white)
        jitter = SAMPLE_JITTER + SIGNAL_JITTER * process.kernel.amplitude(process.theta, "signal") ** 2
        expected, w = process.predict(baseline)
        first = process.covariance(baseline, w, baseline, w) + jitter * np.eye(len(baseline))
        mean, own_w = process.predict(asked)
        cross = process.covariance(baseline, w, asked, own_w)
        gain = np.linalg.solve(first, cross).T
        assert sampled.values == pytest.approx(expected[:, None] + np.linalg.cholesky(first) @ white, abs=1e-8)
        told, sd = sampled.predict(asked)
        assert told == pytest.approx(mean[:, None] + gain @ (sampled.values - expected[:, None]), abs=1e-6)
        variance = process.variance(asked, own_w) - (gain.T * cross).sum(axis=0)
        assert sd**2 == pytest.approx(variance, abs=1e-8)
        assert len(sampled.places) == len(study.results) - 1 + 2  # what was measured again is no place of its own
