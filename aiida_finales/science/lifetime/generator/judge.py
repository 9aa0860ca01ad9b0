"""How good a model is on cells that it never saw: by data set and regime, and how often its intervals hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import AgeingCell, AgeingDataset
from aiida_finales.science.lifetime.generator.learners import PERCENTS
from aiida_finales.science.lifetime.generator.model import COVERAGE, GeneratorModel, divide, judge, log_cycles
from aiida_finales.science.lifetime.generator.regime import LeftOut, hold, measure

#: what is asked about of each cell
_SHARES = PERCENTS[2:] / 100


def evaluate_generator(model: Any, dataset: AgeingDataset) -> list[dict[str, Any]]:
    """Return the figures of the cells of each data set in each regime, and of all.

    :raises InputError: when none of the cells can be predicted; the first reason is told.
    """
    logs = log_cycles(dataset.cells)[:, 2:]
    found: list[tuple[AgeingCell, str, Array, Array, Array, Array]] = []
    reasons = []
    for cell, true in zip(dataset.cells, logs, strict=True):
        try:
            answer = _ask(model, cell)
        except InputError as error:
            reasons.append(f"{cell.name}: {error}")
            continue
        if np.isfinite(true).any():
            found.append(
                (
                    cell,
                    answer.place.regime,
                    true,
                    *(np.log(ends) for ends in (answer.cycles, answer.lower, answer.upper)),
                )
            )
    if not found:
        raise InputError(f"none of {len(dataset.cells)} cells can be predicted; {next(iter(reasons), 'none has aged')}")
    groups = dict.fromkeys((cell.dataset, regime) for cell, regime, *_ in found)
    rows = [
        _row(name, regime, [item for item in found if (item[0].dataset, item[1]) == (name, regime)])
        for name, regime in groups
    ]
    whole = _row("all", "all", found)
    return [*rows, {**whole, "refused": len(reasons)}]


def _ask(model: Any, cell: AgeingCell) -> Any:
    if isinstance(model, GeneratorModel):
        return model.predict(cell.design, _SHARES)
    return model.predict_numbers(cell.design, cell.early, _SHARES)


def _row(group: str, regime: str, found: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    blank = np.full(2, math.nan)
    items = [
        LeftOut(regime, cell.name, cell.dataset, np.r_[blank, true], np.r_[said[:1], said[:1], said][None])
        for cell, _, true, said, _, _ in found
    ]
    figures = measure(items, np.ones(1))
    inside = [np.mean((true >= low)[known] & (true <= high)[known])
              for _, _, true, _, low, high in found if (known := np.isfinite(true)).any()]  # fmt: skip
    return {
        "group": group,
        "regime": regime,
        "n_cells": int(figures["n_cells"]),
        "mape_percent": figures["mape"],
        "median_percent": figures["median"],
        "mape_at_90_percent": figures["mape_at_90"],
        "mape_at_80_percent": figures["mape_at_80"],
        f"coverage_{round(100 * COVERAGE)}": float(np.mean(inside)),
        "curve_rmse_percent": figures["window_rmse"],
        "refused": 0,
    }


def judge_honestly(
    left_out: Mapping[str, Sequence[LeftOut]], split: str, n_parts: int, seed: int = 0
) -> dict[str, float]:
    """Return the figures of one split, mixtures and intervals chosen without the cells that they are judged by.

    :param left_out: every cell as predicted without it, by split.
    :param n_parts: into which the groups of the split are divided for that; all groups on their own where they are few.
    """
    items = left_out[split]
    answers, inside = [], []
    for part in divide([item.group for item in items], n_parts, seed):
        own = [item for item, is_own in zip(items, part, strict=True) if is_own]
        names = {item.name for item in own}
        others = {key: [item for item in values if item.name not in names] for key, values in left_out.items()}
        shares, calibrations, _ = judge(others, len(own[0].found))
        for item in own:
            said = hold(shares[item.regime] @ item.found)
            low, high = calibrations[item.regime].bounds(COVERAGE)
            error = item.logs - said
            error = error[np.isfinite(error)]
            inside.append(float(np.mean((error >= low) & (error <= high))))
            answers.append(replace(item, found=said[None]))
    return {**measure(answers, np.ones(1)), "coverage_80": float(np.mean(inside))}
