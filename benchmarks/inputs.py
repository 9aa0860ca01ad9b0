"""What results at other temperatures and with other salts teach: errors of predictions, relative to the spread.

Prints one JSON row per figure: temperature as an input of the model against the rows at that temperature alone, and the
salt as a category against a model for each salt alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from pareto_surfaces import STOCKS, draw_weights, split
from rows import print_row
from surfaces import Array, conductivity

from aiida_finales.optimisation import (
    Category,
    Objective,
    Observation,
    OptimiserSettings,
    Problem,
    Source,
    Variable,
    predict,
)
from aiida_finales.schemas.limitations.region import Region

FIRST_SEED = 500
COMPONENTS = ("LiPF6", "EC", "EMC", "DMC")
NOISE = 0.02
#: K: where predictions are wanted with eight rows there, and where twenty and eight others are.
COLD, OTHERS = 263.15, (298.15, 313.15)
SALTS = ("first", "second", "third")
#: Rows of each salt.
N_EACH = 6


def at_temperature(x: Array, kelvin: Array) -> Array:
    """Return the conductivity (S/m) at temperatures (n): VFT, fitted to 600 published points of these solvents."""
    molality, shares = split(x)
    slope, zero = 265.49 - 88.72 * molality + 217.70 * shares[:, 0], 140.76 + 37.81 * molality
    return np.asarray(conductivity(x) * np.exp(-slope * (1 / (kelvin - zero) - 1 / (301.15 - zero))))


def of_salt(x: Array, salt: int) -> Array:
    """Return the conductivity with one of three salts: other height and place of the maximum."""
    moved = x.copy()
    moved[:, 0] *= (1.0, 0.75, 1.3)[salt]
    return np.asarray(conductivity(moved / moved.sum(axis=1, keepdims=True)) * (1.0, 1.15, 0.55)[salt])


def build_problem(settings: OptimiserSettings, transform: str, **inputs: object) -> Problem:
    """Return the problem of one source that can do everything."""
    sources = (Source("exp", (Region.from_hull(COMPONENTS, STOCKS),)),)
    return replace(Problem(COMPONENTS, sources, (Objective("y", "exp", transform=transform),), settings), **inputs)


def error(problem: Problem, rows: list[Observation], places: list, truth: Array) -> float:
    """Return the root mean square error of predictions over the spread of the true values."""
    told = np.array([item.mean for item in predict(problem, rows, places)["y"]])
    return float(np.sqrt(np.mean((told - truth) ** 2)) / truth.std())


def judge_temperature(seed: int, settings: OptimiserSettings, transform: str) -> dict[str, float]:
    """Return the errors at the low temperature."""
    rng = np.random.default_rng(seed)
    kelvin = np.repeat([COLD, *OTHERS], [8, 20, 8])
    x = draw_weights(len(kelvin), rng) @ STOCKS
    y = at_temperature(x, kelvin) * (1 + NOISE * rng.standard_normal(len(x)))
    rows = [
        Observation("exp", (*a.tolist(), t), v, f"{k:03d}", "")
        for k, (a, t, v) in enumerate(zip(x, kelvin, y, strict=True))
    ]
    wanted = draw_weights(300, rng) @ STOCKS
    truth = at_temperature(wanted, np.full(300, COLD))
    problem = build_problem(settings, transform, variables=(Variable("temperature", COLD, OTHERS[-1], "K"),))
    alone = [replace(row, x=row.x[:-1]) for row in rows[:8]]
    return {
        "temperature_input": error(problem, rows, [((*a, COLD), {}) for a in wanted.tolist()], truth),
        "temperature_alone": error(
            build_problem(settings, transform), alone, [(a, {}) for a in wanted.tolist()], truth
        ),
    }


def judge_salts(seed: int, settings: OptimiserSettings, transform: str) -> dict[str, float]:
    """Return the errors over all three salts, in units of the spread of all values."""
    rng = np.random.default_rng(seed)
    drawn = {k: draw_weights(N_EACH, rng) @ STOCKS for k in range(3)}
    rows = [
        Observation("exp", tuple(x.tolist()), float(of_salt(x[None], k)[0] * (1 + NOISE * rng.standard_normal())),
                    f"{k}{n}", "", {"salt": SALTS[k]})
        for k, places in drawn.items() for n, x in enumerate(places)
    ]  # fmt: skip
    wanted = {k: draw_weights(100, rng) @ STOCKS for k in range(3)}
    truth = np.concatenate([of_salt(wanted[k], k) for k in range(3)])
    problem = build_problem(settings, transform, categories=(Category("salt", SALTS),))
    places = [(a, {"salt": SALTS[k]}) for k in range(3) for a in wanted[k].tolist()]
    apart = []
    for k in range(3):
        own = [replace(row, category={}) for row in rows if row.category["salt"] == SALTS[k]]
        told = predict(build_problem(settings, transform), own, [(a, {}) for a in wanted[k].tolist()])["y"]
        apart += [item.mean for item in told]
    return {
        "salt_category": error(problem, rows, places, truth),
        "salt_alone": float(np.sqrt(np.mean((np.array(apart) - truth) ** 2)) / truth.std()),
    }


def main() -> None:
    """Read the command line and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--seeds", type=int, default=10, help="number of data sets")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the first data set")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="settings of the optimiser")
    options = parser.parse_args()
    settings = OptimiserSettings.from_dict(
        {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in options.set)}
    )
    seeds = range(options.first_seed, options.first_seed + (2 if options.quick else options.seeds))
    for transform in ("none", "log"):
        found = [
            judge_temperature(seed, settings, transform) | judge_salts(seed, settings, transform) for seed in seeds
        ]
        for figure in found[0]:
            print_row(
                "inputs",
                f"scale {transform}",
                f"error_over_spread_{figure}",
                float(np.mean([f[figure] for f in found])),
                "1",
            )


if __name__ == "__main__":
    main()
