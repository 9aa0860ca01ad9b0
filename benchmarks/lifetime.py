"""How well the end of life of a cell is predicted from its first cycles.

Prints one JSON row per figure and nothing else on stdout. The published cells (Severson et al., Nature Energy 4 (2019)
383) are left out where their files are absent; simulated cells say how well a method works, nothing about real cells.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from rows import print_row

from aiida_finales.science.lifetime.data import (
    LifetimeDataset,
    make_twin_dataset,
    read_dataset,
    read_protocols,
)
from aiida_finales.science.lifetime.features import OneFeatureModel
from aiida_finales.science.lifetime.generator.early import WINDOWS
from aiida_finales.science.lifetime.generator.fade import train_fade
from aiida_finales.science.lifetime.generator.judge import judge_honestly
from aiida_finales.science.lifetime.generator.left_out import COVERAGE, DEFAULT_LEARNERS, LEARNERS, group_of, leave_out
from aiida_finales.science.lifetime.generator.records import find_record
from aiida_finales.science.lifetime.generator.regime import Calibration, LeftOut, hold, measure
from aiida_finales.science.lifetime.generator.table import read_ageing
from aiida_finales.science.lifetime.gp import train_gp
from aiida_finales.science.lifetime.methods import train
from aiida_finales.science.lifetime.model import LifetimeModel, predict
from aiida_finales.science.lifetime.score import divide, divide_by_group, score

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cycling"
NAME = "lifetime"
AGEING = DATA.parent / "ageing"
#: how the cells of many designs are left out: case by split
SPLITS = {
    "random-by-cell": "cell",
    "grouped-by-protocol": "protocol",
    "leave-one-laboratory-out": "laboratory",
    "leave-one-chemistry-out": "chemistry",
}
FIGURES = {
    "mape": "mape_percent",
    "median": "median_percent",
    **{f"mape_at_{percent}": f"mape_at_{percent}_percent" for percent in (90, 85, 80)},
    "window_rmse": "curve_rmse_percent",
}
#: cells of the first batch in each split of the published cells: the others are of a second one
FIRST_BATCH = {"train": 20, "test1": 21}
#: seeds of more divisions of the protocols into five parts, over which the figures of the generator are means
DIVISIONS = (1, 2, 3)
#: twice the trees of each forest of few laboratories
N_TREES_OF_FEW = 40
#: divisions into five parts that the figures of the fade are means over, and the figures
FADE_SEEDS = range(5)
FADE_FIGURES = {
    "end_of_life_mape_percent": ("end_of_life_mape", "%"),
    "mape_percent": ("mape", "%"),
    "curve_rmse_percent": ("window_rmse", "% of 20 points"),
    "factor_80": ("factor_80", "1"),
    "coverage_80": ("coverage_80", "1"),
}
#: simulated cells to learn from and to judge by, and their seeds
TWINS = ((120, 1), (60, 7))


def judge_one_feature_model(capacities: LifetimeDataset) -> None:
    """Print the errors of the published model with a single feature.

    :param capacities: the cells of test1 of which the capacities are known.
    """
    with (DATA / "matr_lfp84_early_features.csv").open() as file:
        rows = list(csv.DictReader(file))
    parts = {split: [row for row in rows if row["split"] == split] for split in ("train", "test1")}
    feature, life = (
        {split: np.array([float(row[column]) for row in part]) for split, part in parts.items()}
        for column in ("log10_var_dQ_100_10", "cycle_life")
    )
    model = OneFeatureModel.fit(feature["train"], life["train"])
    for split in parts:
        error = model.predict(feature[split]) - life[split]
        print_row(NAME, "one-feature", f"{split}_rmse", round(float(np.sqrt(np.mean(error**2))), 2), "cycles")
        mape = 100 * np.mean(np.abs(error) / life[split])
        print_row(NAME, "one-feature", f"mape_{split}", round(float(mape), 2), "%")
    # the table of capacities lacks one cell: what compares with the other methods
    both = np.array([(cell.features["log10_var_dQ"], cell.end_of_life) for cell in capacities.cells])
    error = model.predict(both[:, 0]) - both[:, 1]
    print_row(NAME, "one-feature-same-cells", "test1_rmse", round(float(np.sqrt(np.mean(error**2))), 2), "cycles")
    mape = 100 * np.mean(np.abs(error) / both[:, 1])
    print_row(NAME, "one-feature-same-cells", "mape_test1", round(float(mape), 2), "%")


def judge(case: str, method: str, parts: tuple[LifetimeDataset, LifetimeDataset], suffix: str) -> None:
    """Print the figures of a model that learns from the first part, on the second."""
    begin = time.process_time()
    model = train(parts[0], method)
    seconds = time.process_time() - begin
    figures = score(model, parts[1].cells)
    print_row(NAME, case, "mape_cross_validation", round(model.validation["mape"], 2), "%")
    print_row(NAME, case, f"mape_{suffix}", round(figures.mape, 2), "%")
    print_row(NAME, case, f"rmse_{suffix}", round(figures.rmse, 1), "cycles")
    print_row(NAME, case, "coverage_1sd", round(figures.coverage, 3), "1")
    print_row(NAME, case, "coverage_2sd", round(figures.coverage_2sd, 3), "1")
    print_row(NAME, case, "curve_rmse", round(figures.curve_rmse, 2), "% of the reference")
    print_row(NAME, case, "n_cells", figures.n_cells, "1")
    print_row(NAME, case, "train_cpu", round(seconds, 1), "s")
    print_row(NAME, case, "predict_one", round(_time(model, parts[1]), 2), "ms")


def judge_left_out_parts(case: str, cells: LifetimeDataset, folds: Sequence[Sequence[int]]) -> None:
    """Print how often the intervals cover the lives of cells of parts that the model does not know."""
    figures = [
        score(
            train_gp([cell for number, cell in enumerate(cells.cells) if number not in fold], cells.task),
            [cells.cells[number] for number in fold],
        )
        for fold in folds
    ]
    weights = [figure.n_cells for figure in figures]
    for name in ("mape", "coverage", "coverage_2sd", "n_refused"):
        values = [float(getattr(figure, name)) for figure in figures]
        mean = sum(values) if name == "n_refused" else float(np.average(values, weights=weights))
        print_row(NAME, case, name, round(mean, 3), "%" if name == "mape" else "1")


def name_batches(cells: LifetimeDataset) -> LifetimeDataset:
    """Return the published cells with the batch of each for its group: each split begins with the first batch."""
    counts: Counter[str] = Counter()
    named = []
    for cell in cells.cells:
        named.append(replace(cell, group="first" if counts[cell.group] < FIRST_BATCH[cell.group] else "second"))
        counts[cell.group] += 1
    return replace(cells, cells=tuple(named))


def judge_batches(published: LifetimeDataset) -> None:
    """Print the coverages of protocols and of batches that are left out, without and with named batches."""
    protocols = DATA.parent / "ageing" / "cells.csv.gz"
    if protocols.is_file():
        published = read_protocols(published, protocols)
    judge_left_out_parts("published-gp-protocols", published, divide(published.cells, 5, 0))
    batches = name_batches(published)
    judge_left_out_parts("published-gp-batches", batches, divide_by_group(batches.cells, 8))
    judge_left_out_parts("published-gp-named-batches", batches, divide(batches.cells, 5, 0))


def find_tables() -> list[Path]:
    """Return the tables of cells of many designs."""
    names = ("cells", "electrodes", "soh_crossings", "capacity", "voltage_features")
    return [next(AGEING.glob(f"{name}.csv*")) for name in names]


def judge_generator(*, is_quick: bool) -> None:
    """Print the figures of the generator on cells, protocols, laboratories and chemistries left out.

    Mixtures of learners and widths of intervals are chosen without the cells that they are judged by.
    """
    cells = read_ageing(find_tables(), find_record)
    how = {"n_folds": 3, "n_trees": 40, "learners": ("boosting", "forest")} if is_quick else {}
    begin = time.process_time()
    left_out = leave_out(cells, **how)
    print_row(NAME, "generator", "leave_out_cpu", round(time.process_time() - begin, 1), "s")
    for case, split in SPLITS.items():
        # few protocols have many cells: which of them are left out together moves the figures by several per cent
        others = DIVISIONS if split == "protocol" and not is_quick else ()
        all_left_out = [left_out, *({**left_out, **leave_out(cells, splits=(split,), seed=seed)} for seed in others)]
        parts = 5 if split in ("cell", "protocol") else 100
        learned = how.get("learners", DEFAULT_LEARNERS)
        found = [judge_honestly(item, split, parts, learners=learned) for item in all_left_out]
        sys.stderr.write("".join(f"{case}: {item}\n" for item in found))
        _print_figures(case, {name: float(np.mean([item[name] for item in found])) for name in found[0]})


def judge_few_laboratories() -> None:
    """Print how often the interval of a model of few laboratories covers what another one measured.

    Of each set of three to six laboratories every one is predicted by a forest from the others, and the interval is
    that of the errors on these, each without itself: the one predicted has no say in it.
    """
    cells = read_ageing(find_tables(), find_record)
    names = sorted({group_of(cell, "laboratory") for cell in cells.cells})

    @cache
    def leave_each(chosen: frozenset[str]) -> list[LeftOut]:
        own = tuple(cell for cell in cells.cells if group_of(cell, "laboratory") in chosen)
        how = {"learners": ("forest",), "splits": ("laboratory",), "n_trees": N_TREES_OF_FEW}
        return leave_out(replace(cells, cells=own), **how)["laboratory"]

    for size in range(3, len(names) + 1):
        inside, factors = [], []
        for chosen in itertools.combinations(names, size):
            for other in chosen:
                known = Calibration.of_cells(leave_each(frozenset(chosen) - {other}), np.ones(1))
                low, high = known.bounds(COVERAGE)
                errors = [
                    item.logs - hold(item.found[0]) for item in leave_each(frozenset(chosen)) if item.group == other
                ]
                inside.append(
                    np.mean([np.nanmean((low <= one) & (one <= high), where=np.isfinite(one)) for one in errors])
                )
                factors.append(known.factor(COVERAGE))
        print_row(NAME, f"few-laboratories: {size - 1}", "coverage_80", round(float(np.mean(inside)), 3), "1")
        print_row(NAME, f"few-laboratories: {size - 1}", "factor_80", round(float(np.median(factors)), 1), "1")


def judge_learners() -> None:
    """Print the figures of each kind of regression alone, cells and protocols left out; networks take minutes."""
    cells = read_ageing(find_tables(), find_record)
    for case, split in list(SPLITS.items())[:2]:
        for kind in LEARNERS:
            found = leave_out(cells, learners=(kind,), splits=(split,))[split]
            _print_figures(f"{case}: {kind}", measure(found, np.ones(1)))


def _print_figures(case: str, found: Mapping[str, float]) -> None:
    for figure, name in FIGURES.items():
        if figure in found:  # else no cell got so far
            print_row(NAME, case, name, round(found[figure], 2), "%")
    if "coverage_80" in found:
        print_row(NAME, case, "coverage_80", round(found["coverage_80"], 3), "1")
    print_row(NAME, case, "n_cells", int(found["n_cells"]), "1")


def judge_fade() -> None:
    """Print the figures of the fade from the first cycles, protocols left out; the capacities are thinned out here.

    Of all cells, also how wide intervals are by the number of first cycles: what one is told who asks for longer.
    """
    cells = read_ageing(find_tables(), find_record)
    for case, chosen, seeds in (
        ("fade-grouped", cells.of_group("MATR"), FADE_SEEDS),
        ("fade-grouped-all", cells, FADE_SEEDS[:1]),
    ):
        windows = (100,) if len(seeds) > 1 else WINDOWS
        models = [train_fade(chosen, windows=windows, seed=seed) for seed in seeds]
        for place, reader in enumerate(models[0].readers):
            errors = [model.readers[place].errors["protocol"] for model in models]
            name = case if not place else f"{case}: {reader.window} cycles, {', '.join(reader.names)}"
            for figure, (own, unit) in FADE_FIGURES.items():
                print_row(NAME, name, figure, round(float(np.mean([item[own] for item in errors])), 3), unit)
            print_row(NAME, name, "n_cells", int(errors[0]["n_cells"]), "1")


def _time(model: LifetimeModel, cells: LifetimeDataset, repeats: int = 10) -> float:
    """Return the time of one prediction in ms."""
    cell = next(item for item in cells.cells if (item.end_of_life or 0) > model.task.window)
    seen = cell.capacities[: model.task.n_window]
    begin = time.process_time()
    for _ in range(repeats):
        predict(model, seen, cell.features)
    return 1e3 * (time.process_time() - begin) / repeats


def main() -> None:
    """Run the cases; the recurrent networks take minutes and are left out by ``--quick``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parts = {
        "generator": lambda: judge_generator(is_quick=said.quick),
        "fade": judge_fade,
        "few-laboratories": judge_few_laboratories,
        "learners": judge_learners,
        "one-design": lambda: judge_one_design(("gp",) if said.quick else ("gp", "lstm")),
    }
    parser.add_argument("--only", choices=list(parts), help="one part of it; the learners, and few "
                        "laboratories, are run only when asked for")  # fmt: skip
    said = parser.parse_args()
    usual = ("generator", "one-design") if said.quick else ("generator", "fade", "one-design")
    for name in (said.only,) if said.only else usual:
        if name == "one-design" or AGEING.is_dir():
            parts[name]()


def judge_one_design(methods: Sequence[str]) -> None:
    """Print the figures of cells of one design: the published ones, and simulated ones."""
    if DATA.is_dir():
        published = read_dataset(DATA / "matr_lfp83_capacity_per_cycle.csv.gz")
        judge_one_feature_model(published.of_group("test1"))
        judge_batches(published)
        for method in methods:
            judge(f"published-{method}", method, (published.of_group("train"), published.of_group("test1")), "test1")
    else:
        sys.stderr.write(f"the published cells are absent: {DATA}\n")
    known, others = (make_twin_dataset(n_cells, seed) for n_cells, seed in TWINS)
    for method in methods:
        judge(f"simulated-{method}", method, (known, others), "test")


if __name__ == "__main__":
    main()
