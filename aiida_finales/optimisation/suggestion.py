"""What a step answers, with everything needed to understand it and to compute it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from threadpoolctl import threadpool_info

from aiida_finales import __version__

#: What can change the last digits of a suggestion.
PACKAGES = ("numpy", "scipy", "torch", "botorch", "gpytorch")
#: Keys that are left out of the JSON where they say nothing: what reads suggestions of one objective knows them not.
OPTIONAL = ("low", "high", "category", "front", "probability_feasible", "trainings", "models")
#: Largest difference, in any mole fraction, between two answers that count as the same. A processor of another kind
#: rounds the last digits otherwise; where the top is flat, another of the last, smallest steps of the search is then
#: the best. No device doses finer, and no measurement tells them apart.
SAME_COMPOSITION = 1e-3


@dataclass(frozen=True)
class Prediction:
    """What the model expects of the true value, without the noise of a measurement.

    On a logarithmic scale ``mean`` is the median, ``low`` and ``high`` are the ends of the central 68 %, and ``sd`` is
    half of what lies between.

    :param x: mole fractions, then variables.
    :param mean: in the unit of the quantity.
    :param sd: its standard deviation, in the unit of the quantity.
    :param category: option by name of the category.
    """

    x: tuple[float, ...]
    mean: float
    sd: float
    low: float | None = None
    high: float | None = None
    category: dict[str, str] | None = None


@dataclass(frozen=True)
class Candidate:
    """A composition that was considered, with the value of its acquisition function."""

    x: tuple[float, ...]
    value: float
    category: dict[str, str] | None = None


@dataclass(frozen=True)
class Recommendation:
    """The compositions with the best expected value of the target.

    :param sources: best within what each source can do, by its name.
    :param overall: best within what any source can do.
    """

    sources: dict[str, Prediction]
    overall: Prediction


@dataclass(frozen=True)
class Training:
    """The rows that were learned from, in the order used, and how their values were scaled: (y - offset) / scale.

    :param scale: negative when the property is minimised.
    """

    uuids: tuple[str, ...]
    sources: tuple[int, ...]
    x: tuple[tuple[float, ...], ...]
    y: tuple[float, ...]
    offset: float
    scale: float


@dataclass(frozen=True)
class UnderWay:
    """The pending rows that were taken into account, in the order used."""

    uuids: tuple[str, ...]
    sources: tuple[int, ...]
    x: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ModelState:
    """The model in full: with the training rows it gives the same predictions again.

    :param names: of the hyperparameters, length p.
    :param samples: s x p, natural logarithms.
    :param log_likelihoods: length s.
    :param noise_sd: standard deviation of one measurement of the source asked, in the unit of the quantity.
    """

    name: str
    engine: str
    kernel: str
    names: tuple[str, ...]
    samples: tuple[tuple[float, ...], ...]
    log_likelihoods: tuple[float, ...]
    noise_sd: float


@dataclass(frozen=True)
class Suggestion:
    """What to ask next, and why.

    :param x: mole fractions, then variables.
    :param category: option by name of the category.
    :param asks: names of the target sources that are to be asked there: those whose answer is missing.
    :param predicted: what the model expects there of the source asked; ``None`` without a model.
    :param acquisition: name of the function that was maximised, ``space filling`` without a model.
    :param value: of that function (a logarithm, see :mod:`.acquisition`).
    :param candidates: the best places that were considered, best first.
    :param predictions: what the model expects there of the target of each objective, by its name.
    :param probability_feasible: with which all limits of the objectives hold there; ``None`` where there are none.
    :param front: with several objectives what they are traded for: ``measured`` (x, values, uuids), ``predicted`` (x,
        mean and sd of each objective), ``reference``, ``hypervolume`` and ``hypervolume_sd`` of the measured points.
    :param trainings: of each objective, where there are several; ``training`` is that of the first.
    :param models: of each objective, where there are several; ``model`` is that of the first.
    :param expected_gain: expected improvement over the best point known, in the unit of the quantity; target only.
    :param relative_gain: the same, in units of the spread of all values.
    :param is_initial: chosen to fill the space before the model is used.
    :param is_fallback: chosen to fill the space because the model failed; ``reason`` says how.
    :param is_replicate: the same composition is known or pending for this source already.
    :param is_rounded: in whole steps of the resolution; false where the space is thinner than a step.
    :param environment: versions, and the linear algebra with the kind of processor it is for.
    :param timing: seconds; the only part that differs between two runs.
    """

    x: tuple[float, ...]
    source: str
    step: int
    seed: int
    acquisition: str
    reason: str
    training: Training
    pending: UnderWay
    predicted: Prediction | None = None
    value: float | None = None
    candidates: tuple[Candidate, ...] = ()
    recommendation: Recommendation | None = None
    model: ModelState | None = None
    expected_gain: float | None = None
    relative_gain: float | None = None
    is_initial: bool = False
    is_fallback: bool = False
    is_replicate: bool = False
    is_rounded: bool = True
    environment: dict[str, Any] | None = None
    timing: dict[str, float] | None = None
    asks: tuple[str, ...] = ()
    category: dict[str, str] | None = None
    predictions: dict[str, Prediction] | None = None
    probability_feasible: float | None = None
    front: dict[str, Any] | None = None
    trainings: dict[str, Training] | None = None
    models: dict[str, ModelState] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the suggestion as plain JSON."""
        plain: dict[str, Any] = _to_lists(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Suggestion:
        """Return the suggestion that :meth:`to_dict` wrote."""
        fields: dict[str, Any] = {key: _to_tuples(value) for key, value in data.items()}
        for key, kind in (
            ("training", Training),
            ("pending", UnderWay),
            ("predicted", Prediction),
            ("model", ModelState),
        ):
            fields[key] = kind(**fields[key]) if fields[key] is not None else None
        by_name: tuple[tuple[str, Any], ...] = (
            ("predictions", Prediction),
            ("trainings", Training),
            ("models", ModelState),
        )
        for key, kind in by_name:
            if fields.get(key) is not None:
                fields[key] = {name: kind(**entry) for name, entry in fields[key].items()}
        fields["candidates"] = tuple(Candidate(**entry) for entry in fields["candidates"])
        if fields["recommendation"] is not None:
            sources = {name: Prediction(**entry) for name, entry in fields["recommendation"]["sources"].items()}
            fields["recommendation"] = Recommendation(sources, Prediction(**fields["recommendation"]["overall"]))
        return cls(**fields)


def describe_environment() -> dict[str, Any]:
    """Return versions of the packages that compute (``None`` where one is missing) and of their linear algebra."""
    versions: dict[str, str | None] = {"aiida_finales": __version__}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    blas = {f"{library['internal_api']} {library['version']} {library.get('architecture')}" for library in _list_blas()}
    return {"versions": versions, "linear_algebra": " and ".join(sorted(blas))}


def _list_blas() -> list[dict[str, Any]]:
    return [library for library in threadpool_info() if library["user_api"] == "blas"]


def _to_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_lists(entry) for key, entry in value.items() if entry is not None or key not in OPTIONAL}
    if isinstance(value, list | tuple):
        return [_to_lists(entry) for entry in value]
    return value


def _to_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_tuples(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_to_tuples(entry) for entry in value)
    return value
