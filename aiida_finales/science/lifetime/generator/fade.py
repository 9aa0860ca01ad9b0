"""The fade of a capacity from the first cycles: a Gaussian process on what these, and the design of the cell, say.

As published, the differences of the capacity and of the area under the discharge curve between cycles 3 and 100 are
read; where the variance of the difference of the discharge curves is known, that too. Each set of numbers, and each
number of first cycles, has a process of its own; the richest that a request can feed answers.

A cell is answered about with the errors on protocols left out where cells like it were learned from, first of all those
on cells of its kind; else with those on laboratories left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import AgeingCell, AgeingDataset, CellDesign, describe, describe_all
from aiida_finales.science.lifetime.generator.domain import Domain, name_kind
from aiida_finales.science.lifetime.generator.early import FEATURE_SETS, WINDOWS, describe_early
from aiida_finales.science.lifetime.generator.learners import PERCENTS, Encoder, Process, fit_process
from aiida_finales.science.lifetime.generator.left_out import COVERAGE, MIN_CELLS, divide, group_of, log_cycles
from aiida_finales.science.lifetime.generator.model import RULE, Answer, check_coverage, check_shares, rate
from aiida_finales.science.lifetime.generator.reach import look_outside
from aiida_finales.science.lifetime.generator.reader import Reader, join_points
from aiida_finales.science.lifetime.generator.regime import (
    Calibration,
    LeftOut,
    calibrate_kinds,
    find_calibration,
    hold,
    is_judged,
    measure,
    name_calibration,
)
from aiida_finales.science.lifetime.generator.seen import FirstCycles, Seen, read_first_cycles
from aiida_finales.science.lifetime.model import pack

METHOD = "capacity_fade"
#: what is left out to find how wrong answers are, for cells like those learned from and for others
_SPLITS = ("protocol", "laboratory")
#: parts of the protocols of which each is without a say in its own intervals
_N_PARTS = 5
#: numbers of the first cycles that the capacities do not tell
_MORE = ("area_difference", "log10_var_dQ")


@dataclass(frozen=True)
class FadeModel:
    """A trained model.

    :param readers: the richest first.
    """

    encoder: Encoder
    domain: Domain
    readers: tuple[Reader, ...]
    reached: Array
    validation: Mapping[str, float]
    settings: Mapping[str, Any]

    method = METHOD
    needs: tuple[str, ...] = ("early_cycles",)

    def predict(
        self,
        design: CellDesign,
        early_cycles: Mapping[str, Any],
        state_of_health: Sequence[float] | Array,
        coverage: float = COVERAGE,
        doubts: Sequence[str] = (),
        laboratory: str = "",
    ) -> tuple[Answer, Reader]:
        """Return the cycles at which a cell will have fallen to some shares of its reference, and what told it.

        :param early_cycles: ``cycle``, ``capacity`` (Ah); may have ``area_difference`` (Wh), ``log10_var_dQ``.
        :raises InputError: when they are too few, or unlike those that were learned from.
        """
        first = read_first_cycles(early_cycles)
        seen = first.see()
        try:
            reader, early = self._choose(first, early_cycles, design.nominal_capacity)
            found = self._answer(design, (reader, early, seen), state_of_health, coverage, (doubts, laboratory))
        except InputError as error:
            if seen is None or not (words := seen.say()):
                raise
            raise InputError(f"{error}; {words}") from error
        found = replace(found, place=replace(found.place, reasons=(*found.place.reasons, *first.notes)))
        unread = [name for name in _MORE if early_cycles.get(name) is not None and name not in reader.names]
        if unread:
            words = f"{' and '.join(unread)} not read: no cell learned from has it beside {', '.join(reader.names)}"
            found = replace(found, place=replace(found.place, reasons=(*found.place.reasons, words)))
        return found, reader

    def predict_numbers(
        self,
        design: CellDesign,
        early: Mapping[str, Mapping[str, float]],
        state_of_health: Sequence[float] | Array,
        laboratory: str = "",
    ) -> Answer:
        """Return the same from numbers of the first cycles that are known already, by window.

        :raises InputError: when no reader can use them.
        """
        for reader in self.readers:
            numbers = early.get(str(reader.window), {})
            if set(reader.names) <= set(numbers):
                return self._answer(design, (reader, numbers, None), state_of_health, COVERAGE, ((), laboratory))
        raise InputError("its first cycles are not known")

    def _answer(
        self,
        design: CellDesign,
        read: tuple[Reader, Mapping[str, float], Seen | None],
        state_of_health: Sequence[float] | Array,
        coverage: float,
        unlike: tuple[Sequence[str], str],
    ) -> Answer:
        doubts, laboratory = unlike
        wanted = check_shares(state_of_health)
        check_coverage(coverage)
        known = replace(
            design, positive=self.domain.resolve(design.positive), negative=self.domain.resolve(design.negative)
        )
        reader, early, seen = read
        known, taken = self.domain.complete(known, self.encoder)
        numbers = describe(known)[None]
        doubts = [*doubts, *taken, *reader.check(early), *look_outside(known, numbers[0], self.domain, self.encoder)]
        place = self.domain.locate(known, self.encoder.standardise(numbers)[0], laboratory)
        logs = reader.logs(np.array([[early[name] for name in reader.names]]), self.encoder.points(numbers))[0]
        kind = self.domain.find_kind(place)

        def bounds(share: float) -> tuple[float, float]:
            return reader.bounds(place.regime, kind, share, is_doubtful=bool(doubts))

        low, high = bounds(coverage)
        stars = rate(bounds(COVERAGE), place.regime)
        at = -100 * wanted, -PERCENTS.astype(float)
        middle = np.interp(*at, logs)
        ends, reasons = (middle, middle + low, middle + high), tuple[str, ...]()
        if seen is not None:
            ends, outlived, reasons = seen.bound(wanted, (middle, low, high), coverage)
            stars = min(stars, rate((-outlived, outlived), place.regime))
        place = replace(place, reasons=(*place.reasons, *doubts, *reasons))
        reached = np.interp(*at, self.reached).round().astype(int)
        return Answer(wanted, np.exp(ends[0]), np.exp(ends[1]), np.exp(ends[2]), reached, place, stars, {})

    def _choose(self, first: FirstCycles, given: Mapping[str, Any], nominal: float) -> tuple[Reader, dict[str, float]]:
        cycles = first.cycles
        more = {name: given[name] for name in _MORE if given.get(name) is not None}
        if given.get("capacity_difference") is not None:
            more["capacity_difference"] = given["capacity_difference"] / nominal
        for reader in self.readers:
            early = describe_early(cycles, first.capacities, nominal, reader.window)
            if early is not None and set(reader.names) <= {*early, *more}:
                return reader, {**early, **more}
        last = f"{cycles.max():g}" if len(cycles) else "none"
        raise InputError(
            f"{len(cycles)} first cycles were given, the last is {last}; accepted are 6 or more from about cycle 3 to "
            f"at least {min(reader.window for reader in self.readers)}: ask lifetime_generator without"
        )

    def describe(self) -> dict[str, Any]:
        """Return what a node says of its model."""
        return {
            "method": self.method,
            "end_of_life_rule": RULE,
            "first_cycle": 1,
            "window": self.readers[0].window,
            "horizon": None,
            "needs": list(self.needs),
            "domain": {"electrodes": sorted(self.domain.electrodes)},
            "errors": {f"{reader.name}; {split} left out": dict(figures)
                       for reader in self.readers for split, figures in reader.errors.items()},
            "validation": dict(self.validation),
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        """Return the model as an ``.npz`` archive."""
        about, arrays = self.domain.to_parts()
        arrays |= {f"encoder_{name}": values for name, values in self.encoder.to_arrays().items()}
        arrays["reached"] = self.reached
        readers = []
        for place, reader in enumerate(self.readers):
            own = {name: getattr(reader, name) for name in ("mean", "scale", "low", "high")}
            own |= {f"process_{name}": values for name, values in reader.process.to_arrays().items()}
            for split, item in reader.calibrations.items():
                own |= {f"errors_{split}": item.errors, f"weights_{split}": item.weights}
            arrays |= {f"reader_{place}_{name}": values for name, values in own.items()}
            readers.append({"window": reader.window, "names": list(reader.names), "has_design": reader.has_design,
                            "groups": {split: item.n_groups for split, item in reader.calibrations.items()},
                            "errors": reader.errors})  # fmt: skip
        header = {
            "method": self.method,
            "domain": about,
            "readers": readers,
            "validation": self.validation,
            "settings": self.settings,
        }
        return pack(header, arrays)

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> FadeModel:
        """Return the model that :meth:`to_bytes` described."""

        def of(prefix: str) -> dict[str, Array]:
            return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}

        readers = []
        for place, about in enumerate(header["readers"]):
            own = of(f"reader_{place}_")
            calibrations = {
                split: Calibration(own[f"errors_{split}"], own[f"weights_{split}"], n)
                for split, n in about["groups"].items()
            }
            process = Process(**of(f"reader_{place}_process_"))
            mean, scale, low, high = (own[name] for name in ("mean", "scale", "low", "high"))
            names, has_design, errors = tuple(about["names"]), about["has_design"], about["errors"]
            readers.append(
                Reader(about["window"], names, mean, scale, low, high, has_design, process, calibrations, errors)
            )
        domain = Domain.from_parts(header["domain"], arrays)
        return cls(
            Encoder(**of("encoder_")),
            domain,
            tuple(readers),
            arrays["reached"],
            header["validation"],
            header["settings"],
        )


def train_fade(
    dataset: AgeingDataset, *, seed: int = 0, n_folds: int = 5, windows: Sequence[int] = WINDOWS
) -> FadeModel:
    """Return a model.

    :param windows: numbers of first cycles that answers are given from.
    :raises InputError: when too few cells have first cycles.
    :raises MissingExtraError: when scikit-learn is not installed.
    """
    numbers = describe_all([cell.design for cell in dataset.cells])
    encoder = Encoder.of_cells(numbers)
    readers = [
        reader
        for window in sorted(windows, reverse=True)
        for names in FEATURE_SETS.values()
        if (reader := _learn(_Task(dataset.cells, encoder, window, names), n_folds, seed)) is not None
    ]
    if not readers:
        raise InputError(
            f"{len(dataset.cells)} cells were given, accepted are {MIN_CELLS} or more with capacities of the first "
            f"{min(windows)} cycles or more that live on after them"
        )
    best = min(readers, key=lambda reader: reader.errors["protocol"]["mape"])
    domain = Domain.of_cells(dataset.cells, numbers, encoder)
    reached = np.isfinite(log_cycles(dataset.cells)).sum(axis=0).astype(np.float64)
    validation = {**best.errors["protocol"], "rmse": best.errors["protocol"]["rmse"]}
    return FadeModel(
        encoder,
        domain,
        tuple(readers),
        reached,
        validation,
        {"seed": seed, "n_folds": n_folds, "windows": list(windows)},
    )


@dataclass(frozen=True)
class _Task:
    cells: tuple[AgeingCell, ...]
    encoder: Encoder
    window: int
    names: tuple[str, ...]

    def usable(self) -> list[AgeingCell]:
        """Return the cells that have all numbers and live on after the window."""
        key = str(self.window)
        return [
            cell
            for cell in self.cells
            if set(self.names) <= set(cell.early.get(key, {}))
            and max(cell.crossings.values(), default=0.0) > 1.5 * self.window
        ]


def _learn(task: _Task, n_folds: int, seed: int) -> Reader | None:
    """Return the reader of a set of numbers; it reads the design if that is less wrong on protocols left out."""
    cells = task.usable()
    judged = [cell for cell in cells if is_judged(cell)]
    if len(judged) < MIN_CELLS or len({cell.protocol for cell in judged}) < 4:  # noqa: PLR2004 - folds of protocols
        return None
    early = np.array([[cell.early[str(task.window)][name] for name in task.names] for cell in cells])
    design = task.encoder.points(describe_all([cell.design for cell in cells]))
    logs = log_cycles(cells)
    logs = np.where(logs > math.log(task.window), logs, math.nan)
    said = {
        has_design: {
            split: _leave_out(cells, (early, design, logs), split, n_folds, seed, has_design=has_design)
            for split in _SPLITS
        }
        for has_design in (False, True)
    }
    has_design = min(said, key=lambda choice: measure(said[choice]["protocol"], np.ones(1))["mape"])
    left_out = said[has_design]
    # of one laboratory alone all errors are those of one: what another does is hardly known
    left_out["laboratory"] = left_out["laboratory"] or [replace(item, group="") for item in left_out["protocol"]]
    calibrations = {split: Calibration.of_cells(items, np.ones(1)) for split, items in left_out.items()}
    errors = {
        split: {**measure(items, np.ones(1)), **_ends(items, logs), "factor_80": calibrations[split].factor(COVERAGE)}
        for split, items in left_out.items()
    }
    errors["protocol"]["coverage_80"] = _cover(left_out["protocol"], seed)
    calibrations |= _of_kinds(left_out["protocol"])
    scaling = _scaling(early)
    process = fit_process(join_points(early, design, scaling, has_design=has_design), logs)
    return Reader(
        task.window,
        task.names,
        *scaling,
        early.min(axis=0),
        early.max(axis=0),
        has_design,
        process,
        calibrations,
        errors,
    )


def _scaling(early: Array) -> tuple[Array, Array]:
    return early.mean(axis=0), np.maximum(early.std(axis=0), 1e-6)


def _leave_out(
    cells: Sequence[AgeingCell],
    known: tuple[Array, Array, Array],
    split: str,
    n_folds: int,
    seed: int,
    *,
    has_design: bool,
) -> list[LeftOut]:
    early, design, logs = known
    names = [group_of(cell, split) for cell in cells]
    found = []
    for fold in divide(names, n_folds if split == "protocol" else len(set(names)), seed):
        if (~fold).sum() < MIN_CELLS // 2:
            continue
        scaling = _scaling(early[~fold])
        process = fit_process(join_points(early[~fold], design[~fold], scaling, has_design=has_design), logs[~fold])
        said = process.say(join_points(early[fold], design[fold], scaling, has_design=has_design))
        for number, one in zip(map(int, np.flatnonzero(fold)), said, strict=True):
            group = names[number] if split == "laboratory" else cells[number].name
            cell = cells[number]
            kind = name_kind(cell.design.chemistry, cell.design.form, cell.laboratory)
            found.append(
                LeftOut("new_protocol", group, cell.dataset, logs[number], one[None], cell.name, cell.protocol, kind)
            )
    return found


def _ends(items: Sequence[LeftOut], logs: Array) -> dict[str, float]:
    """Return the errors of the last cycle of each series, and those of always saying the median one."""
    lasts = np.array([item.logs[np.flatnonzero(np.isfinite(item.logs))[-1]] for item in items])
    said = np.array([hold(item.found[0])[np.flatnonzero(np.isfinite(item.logs))[-1]] for item in items])
    constant = np.nanmedian([row[np.isfinite(row)][-1] for row in logs if np.isfinite(row).any()])
    return {
        "end_of_life_mape": float(100 * np.mean(np.abs(np.expm1(said - lasts)))),
        "rmse": float(np.sqrt(np.mean((np.exp(said) - np.exp(lasts)) ** 2))),
        "mape_constant": float(100 * np.mean(np.abs(np.expm1(constant - lasts)))),
    }


def _of_kinds(items: Sequence[LeftOut]) -> dict[str, Calibration]:
    of_protocols = [replace(item, group=item.protocol) for item in items]
    return {name_calibration("protocol", kind): own for kind, own in calibrate_kinds(of_protocols, np.ones(1)).items()}


def _cover(items: Sequence[LeftOut], seed: int) -> float:
    """Return the share of the truth within intervals that were chosen without the protocol of the cell."""
    inside = []
    for part in divide([item.protocol for item in items], _N_PARTS, seed):
        others = [item for item, is_own in zip(items, part, strict=True) if not is_own]
        known = {"protocol": Calibration.of_cells(others, np.ones(1)), **_of_kinds(others)}
        for item in (item for item, is_own in zip(items, part, strict=True) if is_own):
            low, high = find_calibration(known, "protocol", item.kind).bounds(COVERAGE)
            error = item.logs - hold(item.found[0])
            error = error[np.isfinite(error)]
            inside.append(float(np.mean((error >= low) & (error <= high))))
    return float(np.mean(inside))
