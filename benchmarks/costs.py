"""Whether a cheap, biased source pays: three policies with the same budget, on one and two objectives.

``target`` asks the expensive source alone; ``turns`` asks both in turn; ``information`` asks whose answer is worth most
for its cost (``choose_source``). Prints one JSON row per figure: the mean regret over all seeds, and for policies that
ask the cheap source the probability (Wilcoxon, paired by seed) of so large a difference from ``target`` by chance, and
in how many seeds it was better.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import optimiser
import pareto
from pareto_surfaces import CASES, STOCKS, draw_weights
from rows import print_row
from scipy.stats import wilcoxon
from surfaces import COMPOSITION_BIAS, TWO_SOURCES, Source, Surface

from aiida_finales.optimisation import Observation, OptimiserSettings, Problem, ask, choose_source, recommend

FIRST_SEED = 500
POLICIES = ("target", "turns", "information")
#: What may be spent, in evaluations of the expensive source.
BUDGET = 15.0
#: Random evaluations of each source at the start; the cheap one gets no more than cost one of the other.
N_EXPENSIVE, MOST_CHEAP = 5, 10
#: Evaluations of the cheap source at most: so many more would tell nothing, and each needs a suggestion.
ENOUGH = 40
#: A cheap source that says next to nothing.
USELESS = Surface(
    TWO_SOURCES.components,
    TWO_SOURCES.truth,
    {**TWO_SOURCES.sources, "sim": Source(TWO_SOURCES.sources["sim"].limits, 0.5)},
)
SURFACES: dict[str, Surface] = {"constant-bias": TWO_SOURCES, "composition-bias": COMPOSITION_BIAS, "useless": USELESS}


def spend(
    problem: Problem, rows: list[Observation], policy: str, measure: Callable[[str, np.ndarray, int], Observation]
) -> list[Observation]:
    """Return all evaluations when the budget is spent."""
    cost = {source.name: source.cost for source in problem.sources}
    while sum(cost[row.source] for row in rows) < BUDGET - 1e-9:
        step, left = len(rows), BUDGET - sum(cost[row.source] for row in rows) + 1e-9
        n_cheap = sum(row.source == "sim" for row in rows)
        names = [name for name in cost if cost[name] <= left and (name == "exp" or n_cheap < ENOUGH)]
        if not names:
            return rows
        turn = names[step % len(names)]
        name = choose_source(problem, rows, (), step, names) if policy == "information" else turn
        rows = [*rows, measure(name, np.array(ask(problem, rows, (), name, step).x), step)]
    return rows


def plan_start(policy: str, ratio: float, draw: Callable[[str, int], np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Return the random evaluations with which every policy starts; what the cheap ones cost, ``target`` adds."""
    expensive = draw("exp", N_EXPENSIVE + 1)
    n_cheap = max(1, min(round(ratio), MOST_CHEAP))
    more = [("exp", expensive[-1])] if policy == "target" else [("sim", x) for x in draw("sim", n_cheap)]
    return [("exp", x) for x in expensive[:-1]] + more


def run_one(surface: Surface, policy: str, ratio: float, seed: int, settings: OptimiserSettings) -> float:
    """Return the regret of the recommended composition of a campaign with one objective."""
    noise, start = np.random.default_rng(seed + 10**6), np.random.default_rng(seed)
    whole = optimiser.build_problem(surface, seed, settings)
    priced = tuple(replace(source, cost=1.0 if source.name == "exp" else 1 / ratio) for source in whole.sources)
    problem = replace(whole, sources=priced[:1] if policy == "target" else priced)

    def measure(name: str, x: np.ndarray, number: int) -> Observation:
        return optimiser.observe(surface, name, x, number, noise)

    plan = plan_start(policy, ratio, lambda name, n: surface.draw(name, n, start))
    rows = spend(problem, [measure(name, x, k) for k, (name, x) in enumerate(plan)], policy, measure)
    best = np.array([recommend(problem, rows).sources["exp"].x])
    return 1 - float(surface.truth(best)[0]) / surface.optimum


def run_two(transform: str, policy: str, ratio: float, seed: int, settings: OptimiserSettings) -> float:
    """Return the regret of the experiments of a campaign with two objectives."""
    case = CASES["dense-thin"]
    noise, start = np.random.default_rng(seed + 10**6), np.random.default_rng(seed)
    costs = (1.0,) if policy == "target" else (1.0, 1 / ratio)
    problem = pareto.build_problem(case, replace(settings, seed=seed, n_initial=1), transform, costs)

    def measure(name: str, x: np.ndarray, number: int) -> Observation:
        return pareto.observe(case, name, x, number, noise)

    plan = plan_start(policy, ratio, lambda _, n: draw_weights(n, start) @ STOCKS)
    rows = spend(problem, [measure(name, x, k) for k, (name, x) in enumerate(plan)], policy, measure)
    return pareto.regret(case, np.array([row.x for row in rows if row.source == "exp"]))


@cache
def run(case: str, policy: str, ratio: float, seed: int, settings: OptimiserSettings) -> float:
    """Return the regret of one campaign."""
    if case in SURFACES:
        return run_one(SURFACES[case], policy, ratio, seed, settings)
    return run_two(case.removeprefix("dense-thin-"), policy, ratio, seed, settings)


def main() -> None:
    """Read the command line and print the rows."""
    cases = [*SURFACES, "dense-thin-none", "dense-thin-log"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one campaign of one case, less than a minute")
    parser.add_argument("--seeds", type=int, default=10, help="number of campaigns per case")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first campaign")
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--ratios", type=float, nargs="+", default=[1.0, 10.0, 100.0], help="cost of the expensive one")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="settings of the optimiser")
    options = parser.parse_args()
    settings = OptimiserSettings.from_dict(
        {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in options.set)}
    )
    if options.quick:
        options.cases, options.ratios, options.seeds, options.policies = cases[:1], [1.0], 1, POLICIES[:2]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for case in options.cases:
        for ratio in options.ratios:
            found: dict[str, list[float]] = {}
            for policy in options.policies:
                # what the cheap source costs is nothing to who does not ask it
                paid = ratio if policy != "target" else 1.0
                found[policy] = [run(case, policy, paid, seed, settings) for seed in seeds]
                print(case, ratio, policy, np.round(found[policy], 5).tolist(), file=sys.stderr)
                print_row("costs", f"{case} {ratio:g}:1", f"regret_{policy}_mean", float(np.mean(found[policy])), "1")
                if policy != "target" and "target" in found and len(seeds) > 1:
                    p = float(wilcoxon(found[policy], found["target"]).pvalue)
                    n_better = int((np.array(found[policy]) < found["target"]).sum())
                    print_row("costs", f"{case} {ratio:g}:1", f"p_{policy}_target", p, "1")
                    print_row("costs", f"{case} {ratio:g}:1", f"n_{policy}_better", n_better, "seeds")


if __name__ == "__main__":
    main()
