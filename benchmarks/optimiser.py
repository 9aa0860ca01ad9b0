"""How fast and how surely the optimiser finds the best composition.

Prints one JSON row per figure and nothing else on stdout. Regret is 1 - (best true value evaluated)/(true optimum); a
campaign that never comes within 1 % counts as one evaluation more than were made in the longest case (41) in the mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import numpy.typing as npt
from rows import print_row
from surfaces import COMPOSITION_BIAS, FOUR_COMPONENTS, ONE_SOURCE, TWO_SOURCES, Surface

from aiida_finales.optimisation import (
    Objective,
    Observation,
    OptimiserSettings,
    Pending,
    Problem,
    Source,
    ask,
    recommend,
)
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.optimisation.study import Study
from aiida_finales.schemas.limitations.region import Region

Array = npt.NDArray[np.float64]

#: Seeds that were not used in development.
FIRST_SEED = 500
#: What a failure counts in the mean number of evaluations.
FAILURE = 41
CONVERGED = 0.01
#: S/m; what has no logarithm is as good as nothing.
SMALLEST = 1e-6
#: Numbers of results with which a suggestion must stay affordable.
MANY = (400, 1000)


@dataclass(frozen=True)
class Case:
    """A campaign: random evaluations of each source, then one suggestion for each in turn.

    :param n_random: of each source.
    :param n_evaluations: of all sources together.
    """

    surface: Surface
    n_random: int
    n_evaluations: int


CASES = {
    "three-components": Case(ONE_SOURCE, 10, 40),
    "four-components": Case(FOUR_COMPONENTS, 5, 30),
    "two-sources": Case(TWO_SOURCES, 5, 30),
    "two-sources-composition-bias": Case(COMPOSITION_BIAS, 5, 30),
}


@dataclass(frozen=True)
class Outcome:
    """What one campaign achieved."""

    evaluations: float
    evaluations_half: float
    final_regret: float
    recommended_regret: float
    coverage: float
    cpu_seconds: float


def build_problem(surface: Surface, seed: int, settings: OptimiserSettings) -> Problem:
    """Return the problem of a surface; its random evaluations are the benchmark's own."""
    sources = tuple(
        Source(name, (Region.from_box(dict(zip(surface.components, source.limits, strict=True))),))
        for name, source in surface.sources.items()
    )
    return Problem(surface.components, sources, (Objective("y", "exp"),), replace(settings, seed=seed, n_initial=1))


def draw_random(surface: Surface, n: int, rng: np.random.Generator) -> list[Observation]:
    """Return n random evaluations of each source, one of each in turn."""
    drawn = {name: surface.draw(name, n, rng) for name in surface.sources}
    return [
        observe(surface, name, drawn[name][k], len(surface.sources) * k + i, rng)
        for k in range(n)
        for i, name in enumerate(surface.sources)
    ]


def observe(surface: Surface, source: str, x: Array, number: int, rng: np.random.Generator) -> Observation:
    """Return evaluation ``number`` of a campaign."""
    y = float(surface.measure(x[None], source, rng)[0])
    return Observation(source, tuple(x.tolist()), y, f"{number:06d}", f"{number:06d}")


def run_campaign(case: Case, seed: int, settings: OptimiserSettings) -> Outcome:
    """Return what a campaign with this seed achieves."""
    rng = np.random.default_rng(seed)
    problem = build_problem(case.surface, seed, settings)
    rows = draw_random(case.surface, case.n_random, rng)
    cpu = []
    while len(rows) < case.n_evaluations:
        for name in case.surface.sources:
            suggestion = ask(problem, rows, (), name, len(rows))
            if suggestion.is_fallback:
                print(f"seed {seed}: {suggestion.reason}", file=sys.stderr)
            cpu.append(suggestion.timing["cpu_s"] if suggestion.timing else 0.0)
            rows = [*rows, observe(case.surface, name, np.array(suggestion.x), len(rows), rng)]
    return judge(case, problem, rows[: case.n_evaluations], float(np.mean(cpu)))


def judge(case: Case, problem: Problem, rows: list[Observation], cpu_seconds: float) -> Outcome:
    """Return the figures of a finished campaign."""
    surface, lower, upper = case.surface, *np.array(case.surface.sources["exp"].limits).T
    x = np.array([row.x for row in rows])
    feasible = ((x >= lower - 1e-9) & (x <= upper + 1e-9)).all(axis=1) & np.array([row.source == "exp" for row in rows])
    regret = 1 - np.maximum.accumulate(np.where(feasible, surface.truth(x), 0)) / surface.optimum
    best = recommend(problem, rows).sources["exp"]
    recommended = 1 - float(surface.truth(np.array([best.x]))[0]) / surface.optimum
    first, half = (_first_below(regret, level) for level in (CONVERGED, CONVERGED / 2))
    return Outcome(first, half, float(regret[-1]), recommended, measure_coverage(surface, problem, rows), cpu_seconds)


def measure_coverage(surface: Surface, problem: Problem, rows: list[Observation]) -> float:
    """Return the share of uniform compositions at which the 95 % interval of the target holds the truth."""
    rng = np.random.default_rng(0)
    study = Study.of_rows(problem, rows, ())
    surrogate = study.fit(study.target, rng)
    x, _ = DesignSpace.of_source(problem, "exp").sample(500, rng)
    mean, sd = surrogate.predict(study.points(x, study.target))
    wanted = study.problem.objectives[0]
    truth = np.array([wanted.to_model(value) for value in np.maximum(surface.truth(x), SMALLEST)])
    truth = (truth - study.training.offset) / study.training.scale
    return float((np.abs(truth - mean) < 1.96 * sd).mean())


def _first_below(regret: Array, level: float) -> float:
    """Return the number of evaluations after which the regret is below a level, or infinity."""
    below = np.flatnonzero(regret < level)
    return float(below[0] + 1) if len(below) else float("inf")


def report_campaigns(case: Case, seeds: range, settings: OptimiserSettings) -> Iterator[tuple[str, float, str]]:
    """Yield figure, value and unit over all seeds."""
    outcomes = []
    for seed in seeds:
        outcomes.append(run_campaign(case, seed, settings))
        print(seed, outcomes[-1], file=sys.stderr)
    evaluations = np.array([outcome.evaluations for outcome in outcomes])
    half = np.array([outcome.evaluations_half for outcome in outcomes])
    final = np.array([outcome.final_regret for outcome in outcomes])
    yield "evaluations_to_1pct_median", float(np.median(evaluations)), "evaluations"
    yield "evaluations_to_1pct_mean", float(np.minimum(evaluations, FAILURE).mean()), "evaluations"
    yield "fails", int(np.isinf(evaluations).sum()), "campaigns"
    yield "evaluations_to_half_pct_mean", float(np.minimum(half, FAILURE).mean()), "evaluations"
    yield "fails_half_pct", int(np.isinf(half).sum()), "campaigns"
    yield "final_regret_median", float(np.median(final)), "1"
    yield "final_regret_mean", float(final.mean()), "1"
    yield "recommended_regret_mean", float(np.mean([outcome.recommended_regret for outcome in outcomes])), "1"
    yield "coverage_95", float(np.mean([outcome.coverage for outcome in outcomes])), "1"
    yield "cpu_seconds", float(np.mean([outcome.cpu_seconds for outcome in outcomes])), "s"


def report_queue(seeds: range, settings: OptimiserSettings) -> Iterator[tuple[str, float, str]]:
    """Yield the figures of four requests that are out at the same time, from 12 random evaluations."""
    surface = ONE_SOURCE
    distances, best, cpu = [], [], []
    for seed in seeds:
        rows = draw_random(surface, 12, np.random.default_rng(seed))
        problem = build_problem(surface, seed, settings)
        queue: list[Pending] = []
        for k in range(4):
            suggestion = ask(problem, rows, queue, "exp", len(rows) + k)
            queue.append(Pending("exp", suggestion.x, f"pending {k}"))
            cpu.append(suggestion.timing["cpu_s"] if suggestion.timing else 0.0)
        x = np.array([pending.x for pending in queue])
        distances.append(min(np.abs(x[i] - x[j]).max() for i in range(4) for j in range(i)))
        best.append(float(surface.truth(x).max()) / surface.optimum)
        print(seed, distances[-1], best[-1], file=sys.stderr)
    yield "smallest_distance", float(np.median(distances)), "mole fraction"
    yield "best_of_four", float(np.median(best)), "share of optimum"
    yield "cpu_seconds", float(np.mean(cpu)), "s"


def report_many(seeds: range, settings: OptimiserSettings) -> Iterator[tuple[str, float, str]]:
    """Yield processor time of a suggestion with many results, and how good what is recommended then is."""
    surface = TWO_SOURCES
    for n in MANY:
        cpu, recommended, covered = [], [], []
        for seed in seeds:
            rows = draw_random(surface, n // 2, np.random.default_rng(seed))
            problem = build_problem(surface, seed, settings)
            suggestion = ask(problem, rows, (), "exp", n)
            cpu.append(suggestion.timing["cpu_s"] if suggestion.timing else 0.0)
            best = suggestion.recommendation.sources["exp"].x if suggestion.recommendation else suggestion.x
            recommended.append(1 - float(surface.truth(np.array([best]))[0]) / surface.optimum)
            covered.append(measure_coverage(surface, problem, rows))
        print(n, cpu, recommended, covered, file=sys.stderr)
        yield f"cpu_seconds_at_{n}", float(np.mean(cpu)), "s"
        yield f"recommended_regret_at_{n}_mean", float(np.mean(recommended)), "1"
        yield f"coverage_95_at_{n}", float(np.mean(covered)), "1"


OTHERS = {"queue-of-four": report_queue, "many-results": report_many}


def main() -> None:
    """Read the command line and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one campaign per case, less than a minute")
    parser.add_argument("--seeds", type=int, default=10, help="number of campaigns per case")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first campaign")
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=[*CASES, "queue-of-four", "many-results"],
        help="default: all; with --quick the four main ones",
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="settings of the optimiser")
    options = parser.parse_args()
    settings = OptimiserSettings.from_dict(
        {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in options.set)}
    )
    seeds = range(options.first_seed, options.first_seed + (1 if options.quick else options.seeds))
    everything = [*CASES, "queue-of-four"]
    usual = [name for name in everything if not (options.quick and name == "two-sources-composition-bias")]
    for name in options.cases or usual:
        started = time.process_time()
        figures = OTHERS[name](seeds, settings) if name in OTHERS else report_campaigns(CASES[name], seeds, settings)
        for figure, value, unit in figures:
            print_row("optimiser", name, figure, value, unit)
        print(f"{name}: {time.process_time() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
