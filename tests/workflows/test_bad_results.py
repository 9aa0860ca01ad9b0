"""More than a third of the published results were bad: left out, they cost evaluations and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.calculations.question import make_question
from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.optimisation import Observation, Problem, ask, recommend
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.training import choose_training

#: share of bad results in the published campaign
BAD = 0.37
#: relative standard deviation between two samples of the simulated robot
NOISE = 0.02
EVALUATIONS = 30
CAMPAIGN = {
    "name": "bad",
    "quantity": "conductivity",
    "fixed": {"temperature": 301.15},
    "sources": {"two_electrode": {}},
    "optimiser": {"n_hyper_samples": 8, "n_raw": 200, "keep": 16, "burn": 10, "n_starts": 8, "n_children": 10},
}
#: a source that is trusted blindly
TRUSTING = {**CAMPAIGN, "sources": {"two_electrode": {"min_rating": 0}}}


def measure(shares: dict[str, float], rng: np.random.Generator, *, is_honest: bool) -> ResultData:
    """Return a stored result; a bad one is anything up to twice the best, rated 1 or not successful.

    :param is_honest: whether a result that is not successful says so.
    """
    truth = benchmark_conductivity(shares, 301.15)
    is_bad = rng.random() < BAD
    is_failed = is_bad and rng.random() < 0.5
    value = float(rng.uniform(0, 2)) if is_bad else truth * (1 + NOISE * float(rng.standard_normal()))
    formulation = make_formulation(shares)
    meta = {"success": not (is_failed and is_honest), "rating": 1 if is_bad and not is_failed else 4}
    data = {
        "run_info": {"formulation": formulation, "internal_reference": "here"},
        "conductivity": {"values": [value], "temperature": 301.15, "meta": meta},
    }
    parameters = {"formulation": formulation, "temperature": 301.15}
    return ResultData(find_capability("conductivity", "two_electrode"), data, parameters).store()


def run_campaign(document: dict, seed: int, *, is_honest: bool = True) -> tuple[float, int]:
    """Return the true value at what is recommended after all evaluations, and how many results were left out."""
    campaign = parse_campaign({**document, "optimiser": {**document["optimiser"], "seed": seed}})
    built = build_problem(campaign)
    problem = Problem.from_dict(built["problem"])
    rng, results = np.random.default_rng(seed), []
    for step in range(EVALUATIONS):
        rows = read_rows(campaign, built, results)
        suggestion = ask(problem, rows, [], problem.target, step)
        shares = dict(zip(problem.components, suggestion.x, strict=True))
        results.append(measure(shares, rng, is_honest=is_honest))
    rows = read_rows(campaign, built, results)
    best = recommend(problem, rows).sources[problem.target]
    return benchmark_conductivity(dict(zip(problem.components, best.x, strict=True)), 301.15), EVALUATIONS - len(rows)


def read_rows(campaign, built: dict, results: list[ResultData]) -> list[Observation]:
    """Return what a campaign learns from."""
    used, _ = choose_training(campaign, results, built["problem"]["components"])
    question = make_question(built, used, [], source="two_electrode", step=0)
    return [Observation.from_dict(row) for row in question["observations"]]


@pytest.fixture
def optimum(laboratory) -> float:
    """The best true conductivity (S/m) that the robot can mix."""
    problem = Problem.from_dict(build_problem(parse_campaign(CAMPAIGN))["problem"])
    region = problem.sources[0].regions[0].reorder(problem.components)
    index = [problem.components.index(get_chemical(name).inchikey) for name in ("LiPF6", "EC", "EMC")]
    best = 0.0
    for salt in np.linspace(0.06, 0.11, 26):
        for ec in np.linspace(0.3, 0.54, 25):
            point = np.zeros(3)
            point[index] = salt, ec, 1 - salt - ec
            if region.contains(point, 1e-6):
                shares = dict(zip(problem.components, map(float, point), strict=True))
                best = max(best, benchmark_conductivity(shares, 301.15))
    return best


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_the_optimum_is_found_all_the_same(optimum, seed):
    found, n_left_out = run_campaign(CAMPAIGN, seed)
    assert n_left_out >= 5
    assert found >= 0.98 * optimum


@pytest.mark.slow
def test_without_the_ratings_it_is_not(optimum):
    """By chance one may find it: of seeds 1 to 6, 1 did, at 0.98; the others reached 0.36 to 0.97."""
    answers = [run_campaign(TRUSTING, seed, is_honest=False) for seed in (1, 2, 3)]
    assert {n_left_out for _, n_left_out in answers} == {0}
    found = np.array([value for value, _ in answers])
    assert found.mean() < 0.96 * optimum
    assert np.count_nonzero(found < 0.98 * optimum) >= 2
