"""How long a cell will live, told from its first cycles: what every method of prediction shares.

A model learns from cells whose end of life is known (:class:`CellRecord`) and predicts it, with the capacity until
then, from a window of first cycles. The methods are in :mod:`aiida_finales.science.lifetime.gp` (Gaussian process,
milliseconds) and :mod:`aiida_finales.science.lifetime.lstm` (ensemble of recurrent networks). A model is bytes: an
``.npz`` archive of arrays and a JSON header, without pickles.

What cannot be predicted is refused by :mod:`aiida_finales.science.lifetime.checks`; how good predictions are tells
:mod:`aiida_finales.science.lifetime.score`.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.end_of_life import THRESHOLD, find_end_of_life
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.checks import check_capacities, demand_features
from aiida_finales.science.lifetime.domain import Domain, Seen
from aiida_finales.science.lifetime.features import clean


@dataclass(frozen=True)
class EndOfLifeRule:
    """What counts as the end of life.

    :param threshold: share of the reference.
    :param reference: Ah; ``None``: the capacity of the first cycle given, the first at working rate after formation.
    :param persistence: so many cycles in a row must be below.
    """

    threshold: float = THRESHOLD
    reference: float | None = None
    persistence: int = 3

    def reference_of(self, capacities: Sequence[float] | Array) -> float:
        """Return the reference of a cell in Ah."""
        return float(capacities[0]) if self.reference is None else self.reference

    def find(self, capacities: Sequence[float] | Array, first_cycle: int = 1) -> int | None:
        """Return the cycle of the end of life, or ``None`` when it is not within the data."""
        return find_end_of_life(
            capacities,
            reference=self.reference_of(capacities),
            threshold=self.threshold,
            persistence=self.persistence,
            first_cycle=first_cycle,
        )


@dataclass(frozen=True)
class Task:
    """What is predicted from what; part of every model.

    :param rule: what counts as the end of life.
    :param window: the last cycle that a prediction is made from.
    :param inputs: what a Gaussian process sees: names of features of the curve and of features that come with a cell.
    :param covariates: features that come with a cell and that a network sees beside the curve.
    :param first_cycle: number of the first cycle of every list of capacities.
    """

    rule: EndOfLifeRule
    window: int
    inputs: tuple[str, ...]
    covariates: tuple[str, ...]
    first_cycle: int = 1

    @property
    def n_window(self) -> int:
        """How many capacities a prediction needs."""
        return self.window - self.first_cycle + 1

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Task:
        """Return the task that :func:`dataclasses.asdict` described."""
        return cls(
            EndOfLifeRule(**document["rule"]),
            int(document["window"]),
            tuple(document["inputs"]),
            tuple(document["covariates"]),
            int(document["first_cycle"]),
        )


@dataclass(frozen=True)
class CellRecord:
    """A cell and what became of it.

    :param capacities: discharge capacity in Ah of each cycle.
    :param features: features of the first cycles that the capacities do not tell, by name.
    :param end_of_life: cycle number; ``None``: not known.
    :param group: of which part of the data it is, e.g. ``train``.
    :param protocol: how it was cycled; cells of one protocol are left out together where a model is judged.
    """

    name: str
    capacities: Array
    features: Mapping[str, float]
    end_of_life: int | None = None
    group: str = ""
    protocol: str = ""

    def see(self, task: Task) -> Seen:
        """Return the cell at the end of the window."""
        return see(self.capacities[: task.n_window], self.features, task.rule)


@dataclass(frozen=True)
class Forecast:
    """What a method says about one cell.

    :param life: cycle number, not rounded; infinite when it is not reached within the horizon.
    :param sd: its standard deviation in cycles.
    :param relative: capacity over reference of the coming cycles, until the end of life or the horizon.
    :param relative_sd: standard deviation of each.
    """

    life: float
    sd: float
    relative: Array
    relative_sd: Array


@dataclass(frozen=True)
class LifetimePrediction:
    """The end of life of a cell and the way to it.

    :param end_of_life: cycle number; ``None``: not reached within the horizon of the model.
    :param sd: standard deviation in cycles; ``None``: not reached, so there is nothing that could deviate.
    :param trajectory: Ah, from the first cycle to the end of life or the horizon; begins with what was measured.
    :param trajectory_sd: Ah; 0 for what was measured.
    :param method: ``gp`` or ``lstm``, or ``observed`` when the end of life was within the data.
    :param reached: whether the end of life is within the horizon.
    """

    end_of_life: int | None
    sd: float | None
    trajectory: list[float]
    trajectory_sd: list[float]
    method: str
    reached: bool


class Describable(Protocol):
    """A trained model of any kind, as a node keeps it."""

    def describe(self) -> dict[str, Any]:
        """Return what a node says of it: method, rule of the end of life, window, needs, domain, validation."""

    def to_bytes(self) -> bytes:
        """Return the model as an ``.npz`` archive."""


class LifetimeModel(Describable, Protocol):
    """A trained model that predicts from first cycles."""

    @property
    def method(self) -> str:
        """``gp`` or ``lstm``."""

    @property
    def task(self) -> Task:
        """What is predicted from what."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names of the features that must come with a cell."""

    @property
    def horizon(self) -> int:
        """Return the last cycle that is predicted."""

    @property
    def domain(self) -> Domain:
        """What it was trained on."""

    @property
    def validation(self) -> Mapping[str, float]:
        """How good it is on protocols left out of the training: see :func:`lifetime_score.judge_left_out`."""

    def forecast(self, cells: Sequence[Seen]) -> list[Forecast]:
        """Predict cells within the domain whose end of life is not within the data."""


def describe_model(model: LifetimeModel) -> dict[str, Any]:
    """Return what a node says of a model that predicts from first cycles."""
    rule = model.task.rule
    return {
        "method": model.method,
        "end_of_life_rule": {
            "threshold": rule.threshold,
            "reference_Ah": rule.reference,
            "persistence": rule.persistence,
        },
        "first_cycle": model.task.first_cycle,
        "window": model.task.window,
        "horizon": model.horizon,
        "needs": list(model.needs),
        "domain": model.domain.ranges(),
        "validation": dict(model.validation),
    }


def predict(
    model: LifetimeModel,
    capacities: Sequence[float] | Array,
    features: Mapping[str, float | None] | None = None,
) -> LifetimePrediction:
    """Predict one cell.

    :param capacities: discharge capacities in Ah from the model's first cycle on, at least to the end of its window.
    :param features: what the model needs beside, see ``model.needs``.
    :raises InputError: when the capacities are too few or not those of a cell, or in another unit than those that the
        model was trained on, or the end of life is not among them, or is a limit in Ah, and the cell is of another
        size, or it is not among them and a feature lacks or the cell is unlike those in another way.
    """
    return predict_cells(model, [(capacities, features or {})])[0]


def predict_cells(
    model: LifetimeModel, cells: Sequence[tuple[Sequence[float] | Array, Mapping[str, float | None]]]
) -> list[LifetimePrediction]:
    """Predict several cells at once; the same as one by one.

    :raises InputError: as :func:`predict`.
    """
    checked = [check_capacities(capacities, model.task) for capacities, _ in cells]
    for values in checked:  # of another size, or in another unit, it may be below a limit in Ah from the first cycle on
        model.domain.check_size(see(values, {}, model.task.rule), takes_any=model.task.rule.reference is None)
    known = [model.task.rule.find(values, model.task.first_cycle) for values in checked]
    open_cells = [number for number, life in enumerate(known) if life is None]
    seen = [
        see(checked[number], demand_features(cells[number][1], model.needs), model.task.rule) for number in open_cells
    ]
    for cell in seen:
        model.domain.check(cell)
    forecasts = dict(zip(open_cells, forecast_cells(model, seen) if seen else [], strict=True))
    return [
        _complete(model, values, forecasts[number]) if life is None else _observe(values, life, model.task.first_cycle)
        for number, (values, life) in enumerate(zip(checked, known, strict=True))
    ]


def forecast_cells(model: LifetimeModel, cells: Sequence[Seen]) -> list[Forecast]:
    """Return what a model says of cells, the less sure the further they are from those that it was trained on."""
    factors = [_widening(model, cell) for cell in cells]
    return [
        replace(found, sd=factor * found.sd, relative_sd=factor * found.relative_sd)
        for factor, found in zip(factors, model.forecast(cells), strict=True)
    ]


def _widening(model: LifetimeModel, cell: Seen) -> float:
    """Return the factor on the standard deviations of a cell.

    A given feature outside of what was learned from tells nothing: the answer is as unsure as with that known value of
    it which makes it least sure, and more. So no value outside makes an answer surer than one inside.
    """
    domain = model.domain
    own, outside = domain.widening(cell), domain.outside(cell)
    if not outside:
        return own
    variants = [cell, *domain.vary(cell, tuple(outside))]
    found = model.forecast(variants)
    shares = [domain.widening(item) * one.sd / one.life for item, one in zip(variants, found, strict=True)]
    least_sure = max(shares) / shares[0] if shares[0] > 0 else 1.0
    return (1.0 + sum(outside.values())) * own * least_sure


def see(capacities: Array, features: Mapping[str, float], rule: EndOfLifeRule) -> Seen:
    """Return a cell as a method sees it.

    :param capacities: Ah.
    """
    return Seen(relative(capacities, rule), features, rule.reference_of(capacities))


def relative(capacities: Array, rule: EndOfLifeRule) -> Array:
    """Return capacities over the reference, single outliers replaced."""
    return clean(capacities) / rule.reference_of(capacities)


def _observe(values: Array, life: int, first_cycle: int) -> LifetimePrediction:
    until = values[: life - first_cycle + 1]
    return LifetimePrediction(life, 0.0, _round(until), [0.0] * len(until), "observed", reached=True)


def _complete(model: LifetimeModel, values: Array, forecast: Forecast) -> LifetimePrediction:
    reference = model.task.rule.reference_of(values)
    reached = math.isfinite(forecast.life) and forecast.life <= model.horizon
    return LifetimePrediction(
        end_of_life=round(forecast.life) if reached else None,
        sd=float(forecast.sd) if reached else None,
        trajectory=_round(np.concatenate([values, forecast.relative * reference])),
        trajectory_sd=[0.0] * len(values) + _round(forecast.relative_sd * reference),
        method=model.method,
        reached=reached,
    )


def _round(values: Array) -> list[float]:
    """Return a list without digits that nobody measured."""
    return [float(f"{value:.6g}") for value in values]


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return a header and arrays as bytes; equal content gives equal bytes."""
    text = json.dumps(header, sort_keys=True).encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=np.frombuffer(text, dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return header and arrays.

    :raises InputError: when these are not the bytes of a model.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
    except (ValueError, OSError, EOFError, KeyError, BadZipFile) as error:
        raise InputError(
            f"these bytes are no model of a lifetime ({error}), accepted is what to_bytes() made"
        ) from error
    return header, arrays
