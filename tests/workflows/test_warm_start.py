"""A campaign starts from published measurements: of one quantity, which saves evaluations, or of several."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from aiida import orm

from aiida_finales.calculations.question import make_question
from aiida_finales.calculations.unsolicited import import_results
from aiida_finales.operations.campaign.start import campaign_inputs, plan_campaign
from aiida_finales.optimisation.problem import Observation, Problem
from aiida_finales.optimisation.suggest import ask
from aiida_finales.schemas.campaign import read_campaign_file
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.training import choose_training

EXAMPLES = Path(__file__).parents[2] / "examples"
#: relative standard deviation between two samples of the simulated robot
NOISE = 0.02
#: share of the true optimum that counts as found
FOUND = 0.99
MOST = 30


def count_evaluations(example: str, results: list, seed: int) -> int:
    """Return how many evaluations of the target come within 1 % of the true optimum of its design space."""
    document = build_problem(read_campaign_file(EXAMPLES / example))
    problem = Problem.from_dict(document["problem"])
    problem = replace(problem, settings=replace(problem.settings, seed=seed))
    question = make_question(document, results, [], source=problem.target, step=0)
    rows = [Observation.from_dict(row) for row in question["observations"]]
    noise, top = np.random.default_rng(seed), find_optimum(problem)
    for step in range(MOST):
        suggestion = ask(problem, rows, [], problem.target, step)
        truth = conductivity(problem, suggestion.x)
        if truth >= FOUND * top:
            return step + 1
        value = truth * (1 + NOISE * noise.standard_normal())
        rows.append(Observation(problem.target, suggestion.x, value, f"own-{step:03d}", "2026-01-01"))
    return MOST + 1


def conductivity(problem: Problem, point) -> float:
    """Return the true conductivity (S/m) of the simulated laboratory at 28 °C."""
    return benchmark_conductivity(dict(zip(problem.components, map(float, point), strict=True)), 301.15)


def find_optimum(problem: Problem) -> float:
    """Return the best true conductivity (S/m) on a grid around the middle of the target's design space."""
    region = problem.sources[problem.index(problem.target)].regions[0].reorder(problem.components)
    salt, ec = (problem.components.index(get_chemical(name).inchikey) for name in ("LiPF6", "EC"))
    best = 0.0
    for x_salt in np.linspace(0.06, 0.11, 26):
        for x_ec in np.linspace(0.3, 0.54, 25):
            point = np.full(3, 1 - x_salt - x_ec)
            point[salt], point[ec] = x_salt, x_ec
            if region.contains(point, 1e-6):
                best = max(best, conductivity(problem, point))
    return best


@pytest.mark.slow
def test_warm_start_needs_fewer_evaluations(laboratory):
    file = orm.SinglefileData(EXAMPLES / "data" / "calisol23_lipf6_ec_emc_20.csv")
    settings = orm.Dict({"quantity": "conductivity", "method": "literature"})
    known = list(import_results(file, settings).values())
    assert len(known) == 20
    seeds = (700, 703)
    warm = [count_evaluations("warm_start.yaml", known, seed) for seed in seeds]
    cold = [count_evaluations("cold_start.yaml", [], seed) for seed in seeds]
    assert all(first < second for first, second in zip(warm, cold, strict=True)), (warm, cold)


def test_each_of_several_objectives_has_a_table_of_its_own(laboratory, tmp_path):
    """Every row teaches one number; with both known the first suggestion is one of the model."""
    goals, tables = {}, []
    for quantity, unit, direction, values in (
        ("density", "g_cm3", "maximise", (1.16, 1.20, 1.24, 1.28)),
        ("viscosity", "mPa_s", "minimise", (1.5, 2.2, 3.1, 4.4)),
    ):
        shares = zip(values, (0.02, 0.04, 0.06, 0.08), strict=True)
        rows = [f"298.15,{value},{salt},0.3,{0.7 - salt:.2f}" for value, salt in shares]
        head = f"temperature_K,{quantity}_{unit},x_LiPF6,x_EC,x_DMC"
        (tmp_path / f"{quantity}.csv").write_text("\n".join([head, *rows]))
        tables.append({"file": f"{quantity}.csv", "quantity": quantity})
        goals[quantity] = {"direction": direction, "sources": {"literature": {"ask": False}}}
    goals["density"] |= {"target": "vibrating_tube_densimetry"}
    goals["density"]["sources"]["vibrating_tube_densimetry"] = {}
    goals["viscosity"]["target"] = "vibrating_tube_densimetry"
    file = {"name": "both", "fixed": {"temperature": 298.15}, "objectives": goals, "warm_start": tables, "initial": 0}
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump(file))
    plan = plan_campaign(path)
    known = list(campaign_inputs(plan)["known"].values())
    document = build_problem(plan.campaign)
    used, excluded = choose_training(plan.campaign, known, document["problem"]["components"])
    assert (len(used), excluded) == (8, {})
    question = make_question(document, used, [], source="vibrating_tube_densimetry", step=0)
    problem = Problem.from_dict(question["problem"])
    quick = replace(problem.settings, n_hyper_samples=2, burn=2, keep=4, n_starts=4, n_raw=50)
    rows = [Observation.from_dict(row) for row in question["observations"]]
    assert Counter(tuple(row.values) for row in rows) == {("density",): 4, ("viscosity",): 4}
    suggestion = ask(replace(problem, settings=quick), rows, [], problem.target, 0)
    assert not suggestion.is_initial
    assert set(suggestion.predictions) == {"density", "viscosity"}
