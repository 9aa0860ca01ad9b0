"""The true optimum of a campaign, which only a simulated laboratory knows: figures and rehearsals compare with it."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.lab.simulated.laboratory import TRUTHS
from aiida_finales.operations.campaign.evaluation import Expected
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.platform.laboratory import TENANT_UUIDS
from aiida_finales.optimisation.problem import Problem
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.science.electrolyte.conductivity import BENCHMARK_TEMPERATURE

#: compositions that are tried at first, then around the best, and how far away from it in each round (mole fraction)
N_SAMPLES, N_AROUND, ROUNDS = 2000, 200, (0.03, 0.01, 0.003, 0.001)


def find_true_optimum(overview: Overview) -> Expected | None:
    """Return the best that the target can do in truth, or ``None`` where nobody knows it.

    It is known where all results of the target are of our simulated robot, whose truth is a formula of the composition;
    what varies beside it leaves more than one.
    """
    tenants = {item.tenant for item in overview.evaluations if item.source == overview.target}
    quantity = overview.campaign.quantity
    is_ours = quantity in TRUTHS and tenants == {TENANT_UUIDS["asab-simulated"]}
    varies = overview.campaign.variables or overview.campaign.categories
    is_named = any(goal.number for goal in overview.campaign.optimised.values())
    if not is_ours or varies or is_named or overview.problem is None:
        return None
    temperature = float(overview.campaign.fixed.get("temperature") or BENCHMARK_TEMPERATURE)
    try:
        return _search(quantity, json.dumps(overview.problem, sort_keys=True), temperature)
    except InputError:  # a chemical that the formula does not know
        return None


@lru_cache(maxsize=8)
def _search(quantity: str, document: str, temperature: float) -> Expected:
    problem = Problem.from_dict(json.loads(document))
    space, rng = DesignSpace.of_source(problem, problem.target), np.random.default_rng(0)

    def truth(point: np.ndarray) -> float:
        value = TRUTHS[quantity](dict(zip(problem.components, point.tolist(), strict=True)), temperature)
        return value if problem.maximise else -value

    best = max(np.vstack([space.corners, space.sample(N_SAMPLES, rng)[0]]), key=truth)
    for width in ROUNDS:
        steps = rng.normal(0.0, width, (N_AROUND, len(best)))
        points = best + steps - steps.mean(axis=1, keepdims=True)
        best = max([best, *points[space.contains(points)]], key=truth)
    value = abs(truth(best))
    return Expected(dict(zip(problem.components, best.tolist(), strict=True)), value, 0.0, value, value)
