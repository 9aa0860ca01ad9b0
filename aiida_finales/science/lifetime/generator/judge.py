"""How good a model is on cells that it never saw: by data set and regime, and how often its intervals hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import AgeingCell, AgeingDataset
from aiida_finales.science.lifetime.generator.learners import PERCENTS
from aiida_finales.science.lifetime.generator.left_out import COVERAGE, DEFAULT_LEARNERS, divide, judge, log_cycles
from aiida_finales.science.lifetime.generator.model import GeneratorModel
from aiida_finales.science.lifetime.generator.regime import LeftOut, find_bounds, hold, measure

#: what is asked about of each cell
_SHARES = PERCENTS[2:] / 100


@dataclass(frozen=True)
class _Found:
    """A cell and what was said of it: logarithms of the cycle, shape ``(38,)`` each."""

    cell: AgeingCell
    regime: str
    true: Array
    said: Array
    low: Array
    high: Array


def evaluate_generator(model: Any, dataset: AgeingDataset) -> list[dict[str, Any]]:
    """Return the figures of the cells of each data set in each regime, and of all.

    :raises InputError: when none of the cells can be predicted; the first reason is told.
    """
    found, reasons = _predict(model, dataset)
    if not found:
        raise InputError(f"none of {len(dataset.cells)} cells can be predicted; {next(iter(reasons), 'none has aged')}")
    return _rows(list(found.values()), len(reasons))


def compare_generators(models: Mapping[str, Any], dataset: AgeingDataset) -> list[dict[str, Any]]:
    """Return the figures of models on the same cells: those that none has learned from, and that all can predict.

    :param models: by name, which is ``model`` of each row. Regimes are those in which each model finds a cell.
    :raises InputError: when there is no such cell.
    """
    learned = {str(cell["name"]) for model in models.values() for cell in model.domain.cells}
    others = replace(dataset, cells=tuple(cell for cell in dataset.cells if cell.name not in learned))
    answers = {name: _predict(model, others)[0] for name, model in models.items()} if others.cells else {}
    common = set.intersection(*(set(found) for found in answers.values())) if answers else set()
    if not common:
        n_learned = len(dataset.cells) - len(others.cells)
        raise InputError(
            f"{len(dataset.cells)} cells were given, of which one of the models has learned from {n_learned}, and none "
            "of the others can be predicted by all: accepted are cells that no model knows"
        )
    n_refused = len(others.cells) - len(common)
    return [
        {"model": name, **row}
        for name, found in answers.items()
        for row in _rows([item for key, item in found.items() if key in common], n_refused)
    ]


def _predict(model: Any, dataset: AgeingDataset) -> tuple[dict[str, _Found], list[str]]:
    """Return what a model says of cells that have aged, by name, and why it says nothing of others."""
    found, reasons = {}, []
    for cell, true in zip(dataset.cells, log_cycles(dataset.cells)[:, 2:], strict=True):
        try:
            answer = _ask(model, cell)
        except InputError as error:
            reasons.append(f"{cell.name}: {error}")
            continue
        if np.isfinite(true).any():
            said, low, high = (np.log(ends) for ends in (answer.cycles, answer.lower, answer.upper))
            found[cell.name] = _Found(cell, answer.place.regime, true, said, low, high)
    return found, reasons


def _rows(found: Sequence[_Found], n_refused: int) -> list[dict[str, Any]]:
    groups = dict.fromkeys((item.cell.dataset, item.regime) for item in found)
    rows = [
        _row(name, regime, [item for item in found if (item.cell.dataset, item.regime) == (name, regime)])
        for name, regime in groups
    ]
    return [*rows, {**_row("all", "all", found), "refused": n_refused}]


def _ask(model: Any, cell: AgeingCell) -> Any:
    if isinstance(model, GeneratorModel):
        return model.predict(cell.design, _SHARES, laboratory=cell.laboratory)
    return model.predict_numbers(cell.design, cell.early, _SHARES, cell.laboratory)


def _row(group: str, regime: str, found: Sequence[_Found]) -> dict[str, Any]:
    blank = np.full(2, math.nan)
    items = [
        LeftOut(
            regime,
            item.cell.name,
            item.cell.dataset,
            np.r_[blank, item.true],
            np.r_[item.said[:1], item.said[:1], item.said][None],
        )
        for item in found
    ]
    figures = measure(items, np.ones(1))
    inside = [np.mean(((item.true >= item.low) & (item.true <= item.high))[np.isfinite(item.true)]) for item in found]
    return {
        "group": group,
        "regime": regime,
        "n_cells": int(figures["n_cells"]),
        "mape_percent": figures["mape"],
        "median_percent": figures["median"],
        "mape_at_90_percent": figures.get("mape_at_90"),
        "mape_at_80_percent": figures.get("mape_at_80"),
        f"coverage_{round(100 * COVERAGE)}": float(np.mean(inside)),
        "curve_rmse_percent": figures["window_rmse"],
        "refused": 0,
    }


def judge_honestly(
    left_out: Mapping[str, Sequence[LeftOut]],
    split: str,
    n_parts: int,
    seed: int = 0,
    learners: Sequence[str] = DEFAULT_LEARNERS,
) -> dict[str, float]:
    """Return the figures of one split, mixtures and intervals chosen without the cells that they are judged by.

    :param left_out: every cell as predicted without it, by split.
    :param n_parts: into which the groups of the split are divided for that; all groups on their own where they are few.
    :param learners: names of those that predicted.
    """
    items = left_out[split]
    answers, inside = [], []
    for part in divide([item.group for item in items], n_parts, seed):
        own = [item for item, is_own in zip(items, part, strict=True) if is_own]
        names = {item.name for item in own}
        others = {key: [item for item in values if item.name not in names] for key, values in left_out.items()}
        shares, calibrations, _ = judge(others, learners)
        for item in own:
            said = hold(shares[item.regime] @ item.found)
            low, high = find_bounds(calibrations, item, item.kind, COVERAGE)
            error = item.logs - said
            error = error[np.isfinite(error)]
            inside.append(float(np.mean((error >= low) & (error <= high))))
            answers.append(replace(item, found=said[None]))
    return {**measure(answers, np.ones(1)), "coverage_80": float(np.mean(inside))}
