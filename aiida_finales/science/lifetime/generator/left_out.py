"""Cells as predicted without them: alone, or with all of their protocol, laboratory or chemistry.

Which kinds of regression answer in a regime, and how wide its interval is, is chosen by them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import AgeingCell, AgeingDataset, describe_all
from aiida_finales.science.lifetime.generator.domain import REGIMES, Domain, name_kind
from aiida_finales.science.lifetime.generator.learners import (
    PERCENTS,
    ChargedTrees,
    Encoder,
    Learner,
    Lesson,
    Process,
    Trees,
    learn_boosting,
    learn_charged_forest,
    learn_forest,
    learn_process,
)
from aiida_finales.science.lifetime.generator.networks import Network, learn_network_embedding, learn_network_pca
from aiida_finales.science.lifetime.generator.regime import (
    BY_KIND,
    GROUPED,
    KNOWN_PROTOCOL,
    Calibration,
    LeftOut,
    calibrate_kinds,
    hold,
    measure,
    name_calibration,
)

#: kinds of regression that a model learns with unless it is told otherwise
DEFAULT_LEARNERS = ("boosting", "forest", "charged_forest")
#: tells how lives go on beyond the protocols that are known: where it is among the learners, it answers alone of a
#: protocol that is like none, and as one of all of a protocol near a known one. To choose by the few protocols that
#: there are costs more than it brings
_BEYOND = "charged_forest"
#: by name: how each kind learns, and what its arrays are
LEARNERS: Mapping[str, tuple[Callable[[Lesson], Learner], type[Any]]] = {
    "boosting": (learn_boosting, Trees),
    "forest": (learn_forest, Trees),
    "process": (learn_process, Process),
    "charged_forest": (learn_charged_forest, ChargedTrees),
    "network_pca": (learn_network_pca, Network),
    "network_embedding": (learn_network_embedding, Network),
}
#: fewer cells tell nothing of others
MIN_CELLS = 12
#: how cells are left out, and the regimes that are judged by it; the narrow ones by what is nearest to being asked
SPLITS: Mapping[str, tuple[str, ...]] = {
    "cell": ("known_protocol",),
    "protocol": ("known_family", "new_protocol"),
    "laboratory": ("new_cell",),
    "chemistry": ("new_chemistry",),
}
#: coverage of the intervals that ratings and figures are of
COVERAGE = 0.8


def log_cycles(cells: Sequence[AgeingCell]) -> Array:
    """Return the logarithm of the cycle at each of the per cents, shape ``(n, 40)``; not a number where not reached."""
    cycles = np.array([[cell.crossings.get(int(percent), math.nan) for percent in PERCENTS] for cell in cells])
    return np.asarray(np.log(np.maximum(cycles, 1.0)))


def leave_out(
    dataset: AgeingDataset,
    *,
    learners: Sequence[str] = DEFAULT_LEARNERS,
    n_folds: int = 5,
    seed: int = 0,
    n_trees: int = 120,
    splits: Sequence[str] = tuple(SPLITS),
) -> dict[str, list[LeftOut]]:
    """Return every cell as predicted without it, by how cells were left out.

    :param splits: ``cell``, ``protocol``, ``laboratory``, ``chemistry``.
    """
    cells = dataset.cells
    numbers, logs = describe_all([cell.design for cell in cells]), log_cycles(cells)
    found: dict[str, list[LeftOut]] = {}
    for split in splits:
        names = [group_of(cell, split) for cell in cells]
        found[split] = []
        for fold in divide(names, n_folds if split in ("cell", "protocol") else len(set(names)), seed):
            known = np.flatnonzero(~fold)
            if len(known) < MIN_CELLS // 2:
                continue
            encoder = Encoder.of_cells(numbers[known])
            lesson = Lesson(numbers[known], logs[known], encoder, seed, n_trees)
            domain = Domain.of_cells([cells[number] for number in known], numbers[known], encoder)
            out = np.flatnonzero(fold)
            said = np.array([LEARNERS[kind][0](lesson).predict(numbers[out], encoder) for kind in learners])
            points = encoder.standardise(numbers[out])
            for place, number in enumerate(out):
                if np.isfinite(logs[number]).any():
                    found_at = domain.locate(cells[number].design, points[place], cells[number].laboratory)
                    found[split].append(
                        LeftOut(
                            found_at.regime,
                            names[number],
                            cells[number].dataset,
                            logs[number],
                            said[:, place],
                            cells[number].name,
                            cells[number].protocol,
                            name_kind(
                                cells[number].design.chemistry, cells[number].design.form, cells[number].laboratory
                            ),
                            found_at.distance,
                        )
                    )
    return found


def group_of(cell: AgeingCell, split: str) -> str:
    """Return which cells are left out with a cell."""
    return {
        "cell": cell.name,
        "protocol": cell.protocol,
        "laboratory": cell.laboratory or cell.dataset,
        "chemistry": cell.design.chemistry,
    }[split]


def divide(names: Sequence[str], n_folds: int, seed: int) -> list[npt.NDArray[np.bool_]]:
    """Return which cells are in each fold; those of one name are in the same one."""
    distinct = np.array(sorted(set(names)))
    if len(distinct) < 2:  # noqa: PLR2004 - nothing would be left to learn from
        return []
    order = np.random.default_rng(seed).permutation(distinct)
    return [np.isin(names, part) for part in np.array_split(order, min(n_folds, len(distinct)))]


def judge(
    left_out: Mapping[str, Sequence[LeftOut]], learners: Sequence[str]
) -> tuple[dict[str, Array], dict[str, Calibration], dict[str, dict[str, float]]]:
    """Return for each regime the shares of the learners, the calibration of the intervals, and the figures.

    Where cells or protocols were left out, there is also a calibration of each kind of cells
    (:func:`~aiida_finales.science.lifetime.generator.regime.find_calibration`).
    A regime that no cell left out was in is as the nearest wider one that some were in, else as the nearest narrower
    one; its figures say ``n_cells`` 0.

    :param learners: names of those that predicted.
    """
    of_regime = {
        regime: _judged_by(left_out[split], split, regime) for split, regimes in SPLITS.items() for regime in regimes
    }
    shares, calibrations, errors = {}, {}, {}
    beyond = np.array([kind == _BEYOND for kind in learners], dtype=np.float64)
    near, new = BY_KIND
    told = {near: np.full(len(learners), 1 / len(learners)), new: beyond} if beyond.any() else {}
    for place, regime in enumerate(REGIMES):
        order = (*REGIMES[place:], *reversed(REGIMES[:place]))
        source = next(name for name in order if of_regime[name])
        items = of_regime[source]
        if regime in GROUPED and source not in GROUPED:
            # of one laboratory alone all errors are those of one: what another does is hardly known
            items = [replace(item, group="") for item in items]
        shares[regime] = told[regime] if regime in told else _choose_shares(items, len(learners))
        calibrations[regime] = Calibration.of_cells(items, shares[regime])
        own = measure(of_regime[regime], shares[regime]) if of_regime[regime] else {"n_cells": 0.0}
        errors[regime] = {**own, "factor_80": calibrations[regime].factor(COVERAGE)}
    others = [replace(item, group=item.protocol) for item in left_out["protocol"] if item.regime in BY_KIND]
    for regime, items in {KNOWN_PROTOCOL: of_regime[KNOWN_PROTOCOL], **dict.fromkeys(BY_KIND, others)}.items():
        for kind, calibration in calibrate_kinds(items, shares[regime]).items():
            calibrations[name_calibration(regime, kind)] = calibration
    for name in sorted({item.dataset for item in left_out["protocol"]}):
        items = [
            replace(item, found=(shares[item.regime] @ item.found)[None])
            for item in left_out["protocol"]
            if item.dataset == name
        ]
        errors[f"set {name or 'unnamed'}"] = measure(items, np.ones(1))
    return shares, calibrations, errors


def _judged_by(items: Sequence[LeftOut], split: str, regime: str) -> list[LeftOut]:
    """Return the cells that judge a regime; whole laboratories that were left out are of whatever regime they were."""
    if split == "laboratory":
        return list(items)
    found = [item for item in items if item.regime == regime]
    return found if regime in GROUPED else [replace(item, group=f"{number}") for number, item in enumerate(found)]


def _choose_shares(items: Sequence[LeftOut], n_learners: int) -> Array:
    """Return the mixture of learners that is least wrong: one, or equal parts of some.

    Judged by the mean of the absolute error of the logarithm, each group as one.
    """
    mixtures = [
        np.array(bits, dtype=np.float64) / sum(bits)
        for bits in itertools.product((0, 1), repeat=n_learners)
        if any(bits)
    ]
    sizes: dict[str, int] = {}
    for item in items:
        sizes[item.group] = sizes.get(item.group, 0) + 1

    def error(shares: Array) -> float:
        each = [np.nanmean(np.abs(hold(shares @ item.found) - item.logs)) / sizes[item.group] for item in items]
        return float(sum(each))

    return min(mixtures, key=error)


def validate(items: Sequence[LeftOut], shares: Mapping[str, Array], cells: Sequence[AgeingCell]) -> dict[str, float]:
    """Return how good the model is on protocols left out, beside always saying the typical curve of all cells."""
    answers = [replace(item, found=(shares[item.regime] @ item.found)[None]) for item in items]
    one = np.ones(1)
    typical = np.nanmedian(log_cycles(cells)[:, : PERCENTS[0] - 84], axis=0)
    constant = [
        replace(item, found=np.r_[typical, np.full(len(PERCENTS) - len(typical), typical[-1])][None]) for item in items
    ]
    found = measure(answers, one)
    lives = [(math.exp(a.found[0][level]), math.exp(a.logs[level])) for a in answers
             if math.isfinite(a.logs[level := int(np.flatnonzero(np.isfinite(a.logs))[-1])])]  # fmt: skip
    rmse = math.sqrt(np.mean([(said - true) ** 2 for said, true in lives]))
    return {**found, "rmse": rmse, "mape_constant": measure(constant, one)["mape"]}
