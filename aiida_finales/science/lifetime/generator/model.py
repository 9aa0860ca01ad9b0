"""The lifetime of a cell before its first cycle: from its electrodes, format, protocol and temperature.

Several kinds of regression learn the logarithm of the cycle at each per cent; which of them answer, and how wide the
interval is, is decided for each regime (:mod:`~aiida_finales.science.lifetime.generator.regime`) by cells left out so
that they were in it: single ones, whole protocols, whole laboratories, whole chemistries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cleaning import REFERENCE_RULE
from aiida_finales.science.ageing.end_of_life import THRESHOLD
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import (
    ELECTRODE_NAMES,
    NAMES,
    AgeingDataset,
    CellDesign,
    describe,
    describe_all,
)
from aiida_finales.science.lifetime.generator.domain import REGIMES, Domain, Place
from aiida_finales.science.lifetime.generator.learners import PERCENTS, Encoder, Learner, Lesson
from aiida_finales.science.lifetime.generator.left_out import (
    COVERAGE,
    DEFAULT_LEARNERS,
    LEARNERS,
    MIN_CELLS,
    SPLITS,
    judge,
    leave_out,
    log_cycles,
    validate,
)
from aiida_finales.science.lifetime.generator.reach import look_outside
from aiida_finales.science.lifetime.generator.regime import (
    JUDGED_FROM,
    Calibration,
    find_bounds,
    hold,
    is_judged,
)
from aiida_finales.science.lifetime.model import pack

METHOD = "lifetime_generator"
#: distance over that of most from which on it is told
_TOLD = 1.1
#: fewer protocols tell nothing of others
MIN_PROTOCOLS = 4
#: rating by the ratio of the interval's ends to its middle, at the best; and the best that a regime is given
_RATING_LIMITS = ((5, 1.3), (4, 1.6), (3, 2.2), (2, 4.0))
_BEST = {"known_protocol": 5, "known_family": 4, "new_protocol": 3, "new_cell": 2, "new_chemistry": 1}
#: when life ends, as a node says it
RULE = {"threshold": THRESHOLD, "reference_Ah": None, "persistence": 1, "reference": REFERENCE_RULE}
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
    :param calibrations: by regime, and by regime and kind of cells.
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
        known, taken = self.domain.complete(known, self.encoder)
        numbers = describe(known)[None]
        doubts = [*doubts, *taken, *look_outside(known, numbers[0], self.domain, self.encoder)]
        place = self.domain.locate(known, self.encoder.standardise(numbers)[0], laboratory)
        logs = self._logs(numbers, place.regime)[0]
        width = widen(place.regime) if doubts else place.regime
        place = replace(place, reasons=(*place.reasons, *doubts, *self._explain_stretch(place)))
        low, high = self._bounds(place, width, coverage)
        middle = np.interp(-100 * wanted, -PERCENTS.astype(float), logs)
        return Answer(
            wanted,
            np.exp(middle),
            np.exp(middle + low),
            np.exp(middle + high),
            np.interp(-100 * wanted, -PERCENTS.astype(float), self.reached).round().astype(int),
            place,
            rate(self._bounds(place, width, COVERAGE), width),
            self._contributions(numbers, place.regime),
        )

    def _bounds(self, place: Place, width: str, coverage: float) -> tuple[float, float]:
        """Return what is added to the logarithm for the ends of the interval; doubts never make it narrower."""
        kind = self.domain.find_kind(place)
        return find_bounds(self.calibrations, place, kind, coverage, width)

    def _explain_stretch(self, place: Place) -> list[str]:
        ratio = place.distance / self.calibrations[place.regime].reach
        away = f"{ratio:.2g} times as far from the nearest known cell"
        return [f"{away} as most by which such answers were judged"] if ratio > _TOLD else []

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
            "left_out": {regime: split for split, regimes in SPLITS.items() for regime in regimes},
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
            "reaches": {name: item.reach for name, item in self.calibrations.items() if math.isfinite(item.reach)},
            "errors": self.errors,
            "validation": self.validation,
            "settings": self.settings,
        }
        arrays |= {f"encoder_{name}": values for name, values in self.encoder.to_arrays().items()}
        arrays["reached"] = self.reached
        for kind, learner in self.learners.items():
            arrays |= {f"learner_{kind}_{name}": values for name, values in learner.to_arrays().items()}
        arrays |= {f"shares_{regime}": self.shares[regime] for regime in REGIMES}
        for name, item in sorted(self.calibrations.items()):
            arrays |= {f"errors_{name}": item.errors, f"weights_{name}": item.weights}
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
            {name: Calibration(arrays[f"errors_{name}"], arrays[f"weights_{name}"], n_groups,
                               header.get("reaches", {}).get(name, math.inf))
             for name, n_groups in header["groups"].items()},
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
    shares, calibrations, errors = judge(left_out, learners)
    return GeneratorModel(
        encoder,
        {kind: LEARNERS[kind][0](lesson) for kind in learners},
        Domain.of_cells(cells, numbers, encoder),
        shares,
        calibrations,
        errors,
        np.isfinite(logs).sum(axis=0).astype(np.float64),
        validate(left_out["protocol"], shares, cells),
        settings,
    )


def _check_training(dataset: AgeingDataset, learners: Sequence[str]) -> None:
    unknown = sorted(set(learners) - set(LEARNERS))
    if unknown or not learners:
        raise InputError(f"learners {list(learners)} were given, accepted are {', '.join(LEARNERS)}")
    fell = [cell for cell in dataset.cells if is_judged(cell)]
    n_protocols = len({cell.protocol for cell in fell})
    if len(fell) < MIN_CELLS or n_protocols < MIN_PROTOCOLS:
        raise InputError(
            f"{len(dataset.cells)} cells were given, of which {len(fell)} of {n_protocols} protocols fell to "
            f"{JUDGED_FROM} % of their reference or below; accepted are {MIN_CELLS} such cells of {MIN_PROTOCOLS} "
            "protocols or more: others cannot be told apart"
        )
