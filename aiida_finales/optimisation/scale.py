"""On which scale an objective is modelled where the campaign does not say it: as it is, or by its logarithm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aiida_finales.exceptions import FitError
from aiida_finales.optimisation.hypervolume import LN_10
from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.study import Study
from aiida_finales.optimisation.surrogate import ONE_THREAD, Surrogate, thin

#: Results from which a scale is learned: at least, and at most, which are enough.
FEWEST, MOST = 8, 100
#: By how much the logarithm of the density of left-out results has to be larger to take the logarithm where nothing
#: speaks for it, and not to take it where it is expected.
CLEARLY, AGAINST = 1.0, 3.0
KELVIN = "K"
#: The chain that tells. That a property grows by a factor is the best reason for a logarithm, so that it does without.
QUICK: dict[str, Any] = {"n_hyper_samples": 4, "burn": 20, "keep": 24, "n_starts": 24, "growth_prior": None}


def learn_scales(study: Study) -> Study:
    """Return the study with each objective on the scale on which its results are predicted better.

    Which one that is has to be clear to depart from what is expected: the logarithm of what the problem says is usually
    modelled so, and where a temperature varies; otherwise the values as they are. One objective over compositions alone
    stays on its own scale: a logarithm gained nothing there.
    """
    if study.is_plain and not (study.problem.variables or study.problem.categories):
        return study
    for number, wanted in enumerate(study.problem.objectives):
        y = np.array(study.trainings[number].y)
        if wanted.modelled is None and wanted.transform == "none" and (y > 0).all():
            with threadpool_limits(ONE_THREAD):
                study = _choose(study, number, wanted, len(y))
    return study


def _choose(study: Study, number: int, wanted: Objective, n_results: int) -> Study:
    """Return the study with one objective on the scale that suits its results, all above 0."""
    logarithmic = study.remodel(number, "log")
    if n_results < FEWEST:
        return logarithmic if wanted.usual == "log" else study
    is_expected = wanted.usual == "log" or _is_arrhenius(study)
    usual, other, margin = (logarithmic, study, AGAINST) if is_expected else (study, logarithmic, CLEARLY)
    (error, surprise), (its_error, its_surprise) = judge(usual, number), judge(other, number)
    return other if its_error < error and its_surprise < surprise - margin else usual


def _is_arrhenius(study: Study) -> bool:
    """Return whether a temperature varies, which most properties follow by a factor."""
    return study.problem.settings.arrhenius and any(item.unit == KELVIN for item in study.problem.variables)


def judge(study: Study, objective: int) -> tuple[float, float]:
    """Return how wrong results of an objective are predicted from all others.

    The root mean square error in the unit of the quantity, and minus the logarithm of the density of all of them.
    """
    training, wanted = study.trainings[objective], study.problem.objectives[objective]
    chosen = thin(len(training.y), MOST)
    problem = replace(study.problem, settings=replace(study.problem.settings, **QUICK))
    kernel = replace(study, problem=problem).kernel(study.target_of(objective), objective)
    points, values = study.told_points(objective).take(chosen), study.scaled_values(objective)[chosen]
    try:
        mean, sd = Surrogate.fit(kernel, points, values, np.random.default_rng(0)).leave_out()
    except FitError:
        return np.inf, np.inf
    expected, given = (training.offset + training.scale * scaled for scaled in (mean, values))
    slope = LN_10 * given + np.log(LN_10) if wanted.scale == "log" else 0.0
    surprise = 0.5 * ((values - mean) / sd) ** 2 + np.log(sd * abs(training.scale)) + slope
    if wanted.scale == "log":
        expected, given = 10**expected, 10**given
    return float(np.sqrt(np.mean((expected - given) ** 2))), float(surprise.sum())
