"""The lifetime of a cell before its first cycle: from its electrodes, format, protocol and temperature.

Several kinds of regression learn the logarithm of the cycle at each per cent; which of them answer, and how wide the
interval is, is decided for each regime (:mod:`~aiida_finales.science.lifetime.generator.regime`) by cells left out so
that they were in it: single ones, whole protocols, whole laboratories, whole chemistries.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cleaning import REFERENCE_RULE
from aiida_finales.science.ageing.end_of_life import THRESHOLD
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import (
    ELECTRODE_NAMES,
    NAMES,
    AgeingCell,
    AgeingDataset,
    CellDesign,
    describe,
    describe_all,
)
from aiida_finales.science.lifetime.generator.learners import (
    PERCENTS,
    Encoder,
    Learner,
    Lesson,
    Process,
    Trees,
    learn_boosting,
    learn_forest,
    learn_process,
)
from aiida_finales.science.lifetime.generator.networks import Network, learn_network_embedding, learn_network_pca
from aiida_finales.science.lifetime.generator.regime import (
    GROUPED,
    REGIMES,
    Calibration,
    Domain,
    LeftOut,
    Place,
    hold,
    measure,
)
from aiida_finales.science.lifetime.model import pack

METHOD = "lifetime_generator"
#: kinds of regression that a model learns with unless it is told otherwise
DEFAULT_LEARNERS = ("boosting", "forest", "process")
#: by name: how each kind learns, and what its arrays are
LEARNERS: Mapping[str, tuple[Callable[[Lesson], Learner], type[Any]]] = {
    "boosting": (learn_boosting, Trees),
    "forest": (learn_forest, Trees),
    "process": (learn_process, Process),
    "network_pca": (learn_network_pca, Network),
    "network_embedding": (learn_network_embedding, Network),
}
#: fewer cells or protocols tell nothing of others
MIN_CELLS, MIN_PROTOCOLS = 12, 4
#: how cells are left out, and the regimes that are judged by it; the narrow ones by what is nearest to being asked
_SPLITS: Mapping[str, tuple[str, ...]] = {
    "cell": ("known_protocol",),
    "protocol": ("known_family", "new_protocol"),
    "laboratory": ("new_cell",),
    "chemistry": ("new_chemistry",),
}
#: rating by the ratio of the interval's ends to its middle, at the best; and the best that a regime is given
_RATING_LIMITS = ((5, 1.3), (4, 1.6), (3, 2.2), (2, 4.0))
_BEST = {"known_protocol": 5, "known_family": 4, "new_protocol": 3, "new_cell": 2, "new_chemistry": 1}
#: when life ends, as a node says it
RULE = {"threshold": THRESHOLD, "reference_Ah": None, "persistence": 1, "reference": REFERENCE_RULE}
#: coverage of the intervals that ratings and figures are of
COVERAGE = 0.8
#: what each input of a request is among the numbers of a cell
_INPUTS: Mapping[str, Callable[[str], bool]] = {
    "positive electrode": lambda name: name in ELECTRODE_NAMES and name.startswith("positive"),
    "negative electrode": lambda name: name in ELECTRODE_NAMES and name.startswith("negative"),
    "format and capacity": lambda name: name.startswith("is_") or name == "log_nominal_capacity",
    "charging": lambda name: "_charging" in name,
    "discharging": lambda name: "_discharging" in name,
    "temperature": lambda name: name == "inverse_temperature",
    "voltage window": lambda name: name.startswith("voltage_m"),
}


@dataclass(frozen=True)
class Answer:
    """What a model says of a cell.

    :param cycles: at each state of health asked for; :param lower: end of the interval; :param upper: likewise.
    :param reached_by: how many of the cells learned from got so far.
    :param contributions: factor on the cycle at the end of life that each input makes, against a typical cell.
    """

    state_of_health: Array
    cycles: Array
    lower: Array
    upper: Array
    reached_by: Array
    place: Place
    rating: int
    contributions: Mapping[str, float]


@dataclass(frozen=True)
class GeneratorModel:
    """A trained model.

    :param shares: of each learner in the answer, by regime.
    :param errors: figures of each regime, and of each data set, on cells left out.
    :param reached: cells that got to each of the per cents.
    """

    encoder: Encoder
    learners: Mapping[str, Learner]
    domain: Domain
    shares: Mapping[str, Array]
    calibrations: Mapping[str, Calibration]
    errors: Mapping[str, Mapping[str, float]]
    reached: Array
    validation: Mapping[str, float]
    settings: Mapping[str, Any]

    method = METHOD
    needs: tuple[str, ...] = ()

    def predict(
        self,
        design: CellDesign,
        state_of_health: Sequence[float] | Array,
        coverage: float = COVERAGE,
        doubts: Sequence[str] = (),
        laboratory: str = "",
    ) -> Answer:
        """Return the cycles at which a cell has fallen to some shares of its reference, with an interval.

        :param state_of_health: from 0.99 to 0.6.
        :param coverage: of the interval, 0.5 to 0.95.
        :param doubts: what the cells learned from do not vary and this one does: the interval is that of the next wider
            regime.
        :param laboratory: who cycles it, where that is known.
        :raises InputError: when one of them, or the design, is not what the model can answer.
        """
        wanted = check_shares(state_of_health)
        check_coverage(coverage)
        known = replace(
            design, positive=self.domain.resolve(design.positive), negative=self.domain.resolve(design.negative)
        )
        numbers = describe(known)[None]
        place = self.domain.locate(known, self.encoder.standardise(numbers)[0], laboratory)
        logs = self._logs(numbers, place.regime)[0]
        width = widen(place.regime) if doubts else place.regime
        place = replace(place, reasons=(*place.reasons, *doubts))
        low, high = self.calibrations[width].bounds(coverage)
        middle = np.interp(-100 * wanted, -PERCENTS.astype(float), logs)
        return Answer(
            wanted,
            np.exp(middle),
            np.exp(middle + low),
            np.exp(middle + high),
            np.interp(-100 * wanted, -PERCENTS.astype(float), self.reached).round().astype(int),
            place,
            rate(self.calibrations[width].bounds(COVERAGE), width),
            self._contributions(numbers, place.regime),
        )

    def _logs(self, numbers: Array, regime: str) -> Array:
        said = np.array([learner.predict(numbers, self.encoder) for learner in self.learners.values()])
        return hold(np.tensordot(self.shares[regime], said, axes=1))

    def _contributions(self, numbers: Array, regime: str) -> dict[str, float]:
        """Return by what factor the cycle at the end of life differs because of each input.

        Each is exchanged for that of a typical cell, the others stay: what is left over is what inputs do together.
        """
        variants = np.repeat(numbers, len(_INPUTS) + 1, axis=0)
        for row, is_of in zip(variants[1:], _INPUTS.values(), strict=True):
            taken = np.array([is_of(name) for name in NAMES])
            row[taken] = self.encoder.centre[taken]
        logs = self._logs(variants, regime)[:, PERCENTS[0] - round(100 * THRESHOLD)]
        return {name: float(np.exp(logs[0] - other)) for name, other in zip(_INPUTS, logs[1:], strict=True)}

    def describe(self) -> dict[str, Any]:
        """Return what a node says of its model."""
        names = sorted({f"{cell['chemistry']} {cell['form']} {cell['capacity']:g} Ah" for cell in self.domain.cells})
        return {
            "method": self.method,
            "end_of_life_rule": RULE,
            "first_cycle": 1,
            "window": 0,
            "horizon": None,
            "needs": [],
            "domain": {"cells": names, "electrodes": sorted(self.domain.electrodes)},
            "left_out": {regime: split for split, regimes in _SPLITS.items() for regime in regimes},
            "errors": {name: dict(figures) for name, figures in self.errors.items()},
            "learners": {regime: dict(zip(self.learners, map(float, share), strict=True))
                         for regime, share in self.shares.items()},
            "validation": dict(self.validation),
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        """Return the model as an ``.npz`` archive."""
        about, arrays = self.domain.to_parts()
        header = {
            "method": self.method,
            "domain": about,
            "learners": list(self.learners),
            "groups": {regime: item.n_groups for regime, item in self.calibrations.items()},
            "errors": self.errors,
            "validation": self.validation,
            "settings": self.settings,
        }
        arrays |= {f"encoder_{name}": values for name, values in self.encoder.to_arrays().items()}
        arrays["reached"] = self.reached
        for kind, learner in self.learners.items():
            arrays |= {f"learner_{kind}_{name}": values for name, values in learner.to_arrays().items()}
        for regime in REGIMES:
            arrays[f"shares_{regime}"] = self.shares[regime]
            arrays[f"errors_{regime}"] = self.calibrations[regime].errors
            arrays[f"weights_{regime}"] = self.calibrations[regime].weights
        return pack(header, arrays)

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> GeneratorModel:
        """Return the model that :meth:`to_bytes` described."""

        def of(prefix: str) -> dict[str, Array]:
            return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}

        return cls(
            Encoder(**of("encoder_")),
            {kind: LEARNERS[kind][1](**of(f"learner_{kind}_")) for kind in header["learners"]},
            Domain.from_parts(header["domain"], arrays),
            of("shares_"),
            {regime: Calibration(arrays[f"errors_{regime}"], arrays[f"weights_{regime}"], header["groups"][regime])
             for regime in REGIMES},
            header["errors"],
            arrays["reached"],
            header["validation"],
            header["settings"],
        )  # fmt: skip


def check_shares(given: Sequence[float] | Array) -> Array:
    """Return shares of the reference as an array.

    :raises InputError: when one is not among those that models know.
    """
    values = np.asarray(given, dtype=np.float64)
    low, high = PERCENTS[-1] / 100, PERCENTS[0] / 100
    if values.ndim != 1 or not len(values) or not ((values >= low) & (values <= high)).all():
        raise InputError(
            f"state_of_health is {np.asarray(given).tolist()}, accepted are shares of the reference from {low:g} to "
            f"{high:g}"
        )
    return values


def check_coverage(coverage: float) -> None:
    """Refuse what the few cells left out cannot tell.

    :raises InputError: naming it.
    """
    if not 0.5 <= coverage <= 0.95:  # noqa: PLR2004 - said in the message
        raise InputError(f"coverage is {coverage}, accepted is 0.5 to 0.95")


def widen(regime: str) -> str:
    """Return the next wider regime; the widest is the last."""
    return REGIMES[min(REGIMES.index(regime) + 1, len(REGIMES) - 1)]


def rate(ends: tuple[float, float], regime: str) -> int:
    """Return a rating from 1 (poor) to 5 (good).

    :param ends: of the interval of 80 %, logarithms over the answer.
    """
    ratio = math.exp((ends[1] - ends[0]) / 2)
    return min(next((stars for stars, limit in _RATING_LIMITS if ratio <= limit), 1), _BEST[regime])


def train_generator(
    dataset: AgeingDataset,
    *,
    seed: int = 0,
    learners: Sequence[str] = DEFAULT_LEARNERS,
    n_folds: int = 5,
    n_trees: int = 120,
) -> GeneratorModel:
    """Return a model.

    :param learners: names of :data:`~.learners.LEARNERS`.
    :raises InputError: when a learner is not known, or the cells are too few.
    :raises MissingExtraError: when scikit-learn (or torch, for networks) is not installed.
    """
    _check_training(dataset, learners)
    settings = {"seed": seed, "learners": list(learners), "n_folds": n_folds, "n_trees": n_trees}
    cells = dataset.cells
    numbers, logs = describe_all([cell.design for cell in cells]), log_cycles(cells)
    left_out = leave_out(dataset, learners=learners, n_folds=n_folds, seed=seed, n_trees=n_trees)
    encoder = Encoder.of_cells(numbers)
    lesson = Lesson(numbers, logs, encoder, seed, n_trees)
    shares, calibrations, errors = judge(left_out, len(learners))
    return GeneratorModel(
        encoder,
        {kind: LEARNERS[kind][0](lesson) for kind in learners},
        Domain.of_cells(cells, numbers, encoder),
        shares,
        calibrations,
        errors,
        np.isfinite(logs).sum(axis=0).astype(np.float64),
        _validate(left_out["protocol"], shares, cells),
        settings,
    )


def _check_training(dataset: AgeingDataset, learners: Sequence[str]) -> None:
    unknown = sorted(set(learners) - set(LEARNERS))
    if unknown or not learners:
        raise InputError(f"learners {list(learners)} were given, accepted are {', '.join(LEARNERS)}")
    n_protocols = len({cell.protocol for cell in dataset.cells})
    if len(dataset.cells) < MIN_CELLS or n_protocols < MIN_PROTOCOLS:
        raise InputError(
            f"{len(dataset.cells)} cells of {n_protocols} protocols were given, accepted are {MIN_CELLS} cells of "
            f"{MIN_PROTOCOLS} protocols or more: others cannot be told apart"
        )


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
    splits: Sequence[str] = tuple(_SPLITS),
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
                    # where whole laboratories are left out, that this is another one is known
                    laboratory = cells[number].laboratory if split == "laboratory" else ""
                    regime = domain.locate(cells[number].design, points[place], laboratory).regime
                    found[split].append(
                        LeftOut(
                            regime,
                            names[number],
                            cells[number].dataset,
                            logs[number],
                            said[:, place],
                            cells[number].name,
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
    left_out: Mapping[str, Sequence[LeftOut]], n_learners: int
) -> tuple[dict[str, Array], dict[str, Calibration], dict[str, dict[str, float]]]:
    """Return for each regime the shares of the learners, the calibration of the intervals, and the figures.

    A regime that no cell left out was in is as the nearest wider one that some were in, else as the nearest narrower
    one; its figures say ``n_cells`` 0.
    """
    of_regime = {
        regime: _judged_by(left_out[split], split, regime) for split, regimes in _SPLITS.items() for regime in regimes
    }
    shares, calibrations, errors = {}, {}, {}
    for place, regime in enumerate(REGIMES):
        order = (*REGIMES[place:], *reversed(REGIMES[:place]))
        items = next(of_regime[name] for name in order if of_regime[name])
        shares[regime] = _choose_shares(items, n_learners)
        calibrations[regime] = Calibration.of_cells(items, shares[regime])
        low, high = calibrations[regime].bounds(COVERAGE)
        own = measure(of_regime[regime], shares[regime]) if of_regime[regime] else {"n_cells": 0.0}
        errors[regime] = {**own, "factor_80": math.exp((high - low) / 2)}
    for name in sorted({item.dataset for item in left_out["protocol"]}):
        items = [item for item in left_out["protocol"] if item.dataset == name]
        errors[f"set {name or 'unnamed'}"] = measure(items, shares["new_protocol"])
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


def _validate(items: Sequence[LeftOut], shares: Mapping[str, Array], cells: Sequence[AgeingCell]) -> dict[str, float]:
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
