"""Two objectives at once: how much of the front is found, and how well it is predicted.

Prints one JSON row per figure and nothing else on stdout. Regret is 1 - (volume dominated by the true values of the
points)/(largest volume in the whole space); both objectives count from a fixed reference. The viscosity is made up so
far as its salt terms go: it compares optimisers and predicts nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import numpy.typing as npt
from pareto_surfaces import CASES, STOCKS, Case, draw_weights
from rows import print_row

from aiida_finales.optimisation import Objective, Observation, OptimiserSettings, Problem, Source, ask
from aiida_finales.optimisation.acquisition import ExpectedGain
from aiida_finales.optimisation.front import find_front
from aiida_finales.optimisation.hypervolume import is_on_front
from aiida_finales.optimisation.scale import learn_scales
from aiida_finales.optimisation.study import Study
from aiida_finales.schemas.campaign.file import GEOMETRIC
from aiida_finales.schemas.limitations.region import Region

Array = npt.NDArray[np.float64]

#: Seeds that were not used in development.
FIRST_SEED = 500
COMPONENTS = ("LiPF6", "EC", "EMC", "DMC")
#: Evaluations: random ones, then where the regret is told.
N_RANDOM, LEVELS = 9, (15, 20, 30)


def build_problem(case: Case, settings: OptimiserSettings, transform: str, costs: tuple[float, ...]) -> Problem:
    """Return the problem: one source measures both, a second one both wrongly."""
    region = Region.from_hull(COMPONENTS, STOCKS)
    told = tuple(item.name for item in case.objectives)
    sources = tuple(Source(name, (region,), cost, told) for name, cost in zip(("exp", "sim"), costs, strict=False))
    objectives = tuple(
        Objective(item.name, "exp", "maximise" if item.sign > 0 else "minimise", reference=item.reference,
                  transform=transform if item.name == "viscosity" else "none",
                  usual="log" if item.name in GEOMETRIC else "none")
        for item in case.objectives
    )  # fmt: skip
    return Problem(COMPONENTS, sources, objectives, settings)


def observe(case: Case, source: str, x: Array, number: int, rng: np.random.Generator) -> Observation:
    """Return evaluation ``number``."""
    values = case.measure(x[None], source, rng)[0]
    told = {item.name: float(value) for item, value in zip(case.objectives, values, strict=True)}
    return Observation(source, tuple(x.tolist()), told, f"{number:06d}", f"{number:06d}")


def regret(case: Case, x: Array) -> float:
    """Return the regret of points (n x 4)."""
    return 1 - case.volume(x) / case.largest


def run_campaign(case: Case, seed: int, settings: OptimiserSettings, transform: str) -> dict[str, float]:
    """Return the figures of one campaign: 9 random evaluations of both, then 21 that were asked for."""
    noise = np.random.default_rng(seed + 10**6)
    start = draw_weights(N_RANDOM, np.random.default_rng(seed)) @ STOCKS
    problem = build_problem(case, replace(settings, seed=seed, n_initial=1), transform, (1.0,))
    rows = [observe(case, "exp", x, k, noise) for k, x in enumerate(start)]
    figures, cpu = {}, []
    while len(rows) < LEVELS[-1]:
        suggestion = ask(problem, rows, (), "exp", len(rows))
        cpu.append(suggestion.timing["cpu_s"] if suggestion.timing else 0.0)
        rows.append(observe(case, "exp", np.array(suggestion.x), len(rows), noise))
        if len(rows) in LEVELS:
            x = np.array([row.x for row in rows])
            figures[f"regret_{len(rows)}"] = regret(case, x)
        if len(rows) == LEVELS[0]:
            figures |= judge_front(case, problem, rows)
    return {**figures, "cpu_seconds": float(np.mean(cpu))}


def judge_front(case: Case, problem: Problem, rows: list[Observation]) -> dict[str, float]:
    """Return regret of the true values of the predicted front, on a fixed list and of a search; and coverage."""
    rng = np.random.default_rng(0)
    wider = replace(problem, settings=replace(problem.settings, n_front=400))
    study = learn_scales(Study.of_rows(wider, rows, ()))
    parts = study.fit_all(0, rng)
    shares = np.random.default_rng(0)
    listed = np.vstack([shares.dirichlet(np.full(4, a), 1000) for a in (1.0, 0.3, 0.1)] + [
        np.linalg.lstsq(STOCKS.T, np.array([row.x for row in rows]).T, rcond=None)[0].T]) @ STOCKS  # fmt: skip
    gains, _ = ExpectedGain(parts, study.optimised, study.coordinates).likely_gains(listed)
    uniform = draw_weights(300, np.random.default_rng(1)) @ STOCKS
    inside = []
    for (surrogate, _), training, item, values in zip(
        parts, study.trainings, study.problem.objectives, case.truth(uniform).T, strict=True
    ):
        mean, sd = surrogate.predict(study.points(uniform, 0))
        truth = (np.array([item.to_model(value) for value in values]) - training.offset) / training.scale
        inside.append(float((np.abs(truth - mean) < 1.96 * sd).mean()))
    return {
        "front_on_list_15": regret(case, listed[is_on_front(gains)]),
        "front_list_floor": regret(case, listed),
        "front_searched_15": regret(case, find_front(study, parts, rng)),
        "coverage_15": float(np.mean(inside)),
    }


def report(name: str, seeds: range, settings: OptimiserSettings, transform: str) -> Iterator[tuple[str, float, str]]:
    """Yield figure, value and unit over all seeds."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        for figure, value in run_campaign(CASES[name], seed, settings, transform).items():
            found.setdefault(figure, []).append(value)
        print(seed, {figure: round(values[-1], 4) for figure, values in found.items()}, file=sys.stderr)
    for figure, values in found.items():
        yield f"{figure}_mean", float(np.mean(values)), "s" if figure.startswith("cpu") else "1"


def main() -> None:
    """Read the command line and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one campaign, less than a minute")
    parser.add_argument("--seeds", type=int, default=10, help="number of campaigns per case")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first campaign")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["dense-thin"])
    parser.add_argument(
        "--transforms", nargs="+", choices=["none", "log"], default=["none", "log"], help="of viscosity"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="settings of the optimiser")
    options = parser.parse_args()
    settings = OptimiserSettings.from_dict(
        {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in options.set)}
    )
    seeds = range(options.first_seed, options.first_seed + (1 if options.quick else options.seeds))
    for name in options.cases:
        for transform in options.transforms[: 1 if options.quick else None]:
            started = time.process_time()
            label = f"{name}, viscosity {transform}"
            for figure, value, unit in report(name, seeds, settings, transform):
                print_row("pareto", label, figure, value, unit)
            print(f"{label}: {time.process_time() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
