"""What an optimiser is asked: components, sources, what is known, what is under way, and how to go about it.

Everything here is frozen and turns into plain JSON, so that a step can run in another process and be replayed later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.limitations.region import Region

#: Mean and standard deviation of the natural logarithm of a hyperparameter under its prior.
LogNormal = tuple[float, float]

KERNELS = ("rbf", "matern")
ENGINES = ("plain", "botorch")
#: A margin or a step of half of everything leaves nothing to choose.
HALF = 0.5
#: Largest error of a number of steps of the resolution, which is one of arithmetic.
EXACT = 1e-9


@dataclass(frozen=True)
class OptimiserSettings:
    """Every knob of the optimiser.

    Lengths are in units of the target's range of each component, amplitudes in units of the standard deviation of all
    values; a prior is (mean, standard deviation) of the natural logarithm.

    :param seed: of the campaign; each step derives its own from it, the step number and the source.
    :param n_initial: space-filling points before the model is used, over all sources; ``None`` is 5 + components.
    :param kernel: ``rbf`` for smooth properties, ``matern`` (5/2) for rough ones.
    :param engine: ``plain`` (numpy, scipy) or ``botorch`` (the same model under qLogNEI; needs the extra ``optimise``).
    :param margin: mole fraction kept from every limit except absence (0) and purity (1), which are exact.
    :param resolution: step in mole fraction to which compositions are rounded; must divide 1.
    :param separation: kept between requests that are under way at one source, as a share of the widest range that its
        space leaves to a component; given up where nothing else is left.
    :param n_hyper_samples: posterior samples of the hyperparameters that every prediction averages over.
    :param burn: elliptical slice steps thrown away.
    :param keep: elliptical slice steps the samples are thinned from.
    :param n_starts: draws from the prior of which the likeliest starts the chain.
    :param n_raw: random candidates scored before the refinement.
    :param n_top: candidates refined in each round.
    :param n_children: perturbations of each of them per round.
    :param n_pairs: antithetic pairs of joint samples at the evaluated points, per hyperparameter sample.
    :param n_optima: sampled optima per hyperparameter sample when another source is placed.
    :param n_paths: points on which the sampled functions are compared then.
    :param n_listed: candidates reported with a suggestion.
    :param allow_replicates: whether a composition may be asked for that is known or pending for the same source.
    :param length_prior: of the length scale of each free component.
    :param signal_prior: of the amplitude of the common function beyond its quadratic trend.
    :param discrepancy_prior: of the amplitude by which another source departs from the target beyond a constant.
    :param noise_prior: of the noise of each source.
    :param discrepancy_length: length scale of the departure relative to that of the common function.
    :param slope_sd: prior standard deviation of the linear trend of the departure, per half range of a component.
    :param max_evaluations: stop after so many results; ``None``: no limit.
    :param budget: stop when the costs of the results reach this; ``None``: no limit.
    :param gain_tolerance: stop when the expected gain stays below this share of the spread of the values.
    :param gain_patience: for so many suggestions in a row.
    """

    seed: int = 0
    n_initial: int | None = None
    kernel: str = "rbf"
    engine: str = "plain"
    margin: float = 0.0
    resolution: float = 1e-4
    separation: float = 0.04
    n_hyper_samples: int = 16
    burn: int = 60
    keep: int = 160
    n_starts: int = 48
    n_raw: int = 1000
    n_top: int = 5
    n_children: int = 30
    n_pairs: int = 8
    n_optima: int = 16
    n_paths: int = 250
    n_listed: int = 5
    allow_replicates: bool = False
    length_prior: LogNormal = (0.0, 0.75)
    signal_prior: LogNormal = (float(np.log(0.7)), 0.8)
    discrepancy_prior: LogNormal = (float(np.log(0.15)), 0.8)
    noise_prior: LogNormal = (float(np.log(0.1)), 1.0)
    discrepancy_length: float = 1.5
    slope_sd: float = 0.3
    max_evaluations: int | None = None
    budget: float | None = None
    gain_tolerance: float | None = None
    gain_patience: int = 3

    def __post_init__(self) -> None:
        """Refuse what no step could work with."""
        _require("kernel", self.kernel, self.kernel in KERNELS, f"one of {KERNELS}")
        _require("engine", self.engine, self.engine in ENGINES, f"one of {ENGINES}")
        _require("margin", self.margin, 0 <= self.margin < HALF, "a mole fraction from 0 to 0.5")
        _require("separation", self.separation, 0 <= self.separation < HALF, "a share from 0 to 0.5")
        steps = round(1 / self.resolution) if 0 < self.resolution <= HALF else 0
        divides = steps > 0 and abs(steps * self.resolution - 1) < EXACT
        _require("resolution", self.resolution, divides, "a mole fraction that divides 1, such as 0.0001")
        for name in (
            "n_hyper_samples",
            "n_starts",
            "n_raw",
            "n_top",
            "n_pairs",
            "n_optima",
            "n_paths",
            "gain_patience",
        ):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require(
            "keep", self.keep, self.keep >= self.n_hyper_samples, f"at least n_hyper_samples = {self.n_hyper_samples}"
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OptimiserSettings:
        """Return the settings written by :func:`dataclasses.asdict` and read back from JSON."""
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            msg = f"settings {unknown} are unknown; known are {sorted(cls.__dataclass_fields__)}"
            raise InputError(msg)
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:  # a comparison of what is no number
            defaults = cls()
            for name, value in fields.items():
                is_number = isinstance(getattr(defaults, name), (int, float))
                _require(name, value, not is_number or isinstance(value, (int, float)), "a number")
            msg = f"settings {dict(data)} cannot be used: {error}"
            raise InputError(msg) from error


@dataclass(frozen=True)
class Source:
    """A quantity and method that a campaign learns from and may ask of.

    :param regions: alternatives; what lies in any of them can be asked. A component a region does not name is absent.
    :param cost: of one evaluation, in any unit common to all sources.
    """

    name: str
    regions: tuple[Region, ...]
    cost: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a source that could never be asked."""
        _require(f"regions of source {self.name!r}", self.regions, len(self.regions) > 0, "at least one region")
        _require(f"cost of source {self.name!r}", self.cost, self.cost > 0, "a number above 0")


@dataclass(frozen=True)
class Observation:
    """A result that counts.

    :param x: mole fractions, in the order of :attr:`Problem.components`.
    :param y: the value, in the unit of the quantity.
    :param ctime: time of creation; only orders the rows.
    """

    source: str
    x: tuple[float, ...]
    y: float
    uuid: str
    ctime: str


@dataclass(frozen=True)
class Pending:
    """What has been asked for and not been answered, whether or not somebody works on it.

    :param x: mole fractions, in the order of :attr:`Problem.components`.
    """

    source: str
    x: tuple[float, ...]
    uuid: str


@dataclass(frozen=True)
class Problem:
    """A property to be made as large (or small) as possible over the compositions that a target source can do.

    :param components: names that the regions of the sources use, in the order of every composition.
    :param target: name of the source whose values are optimised; the others only teach.
    """

    components: tuple[str, ...]
    sources: tuple[Source, ...]
    target: str
    maximise: bool = True
    settings: OptimiserSettings = field(default_factory=OptimiserSettings)

    def __post_init__(self) -> None:
        """Refuse names that do not fit together."""
        names = [source.name for source in self.sources]
        _require("sources", names, len(names) == len(set(names)) > 0, "at least one, each name once")
        _require("target", self.target, self.target in names, f"one of the sources {names}")
        distinct = len(self.components) == len(set(self.components)) > 1
        _require("components", self.components, distinct, "at least two, each once")

    def index(self, source: str) -> int:
        """Return the number of a source.

        :raises InputError: when the problem has no source of that name.
        """
        names = [candidate.name for candidate in self.sources]
        if source not in names:
            msg = f"source {source!r} is not part of the problem, which has {names}"
            raise InputError(msg)
        return names.index(source)

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as plain JSON."""
        return {
            "components": list(self.components),
            "sources": [
                {"name": source.name, "cost": source.cost, "regions": [_region_to_dict(r) for r in source.regions]}
                for source in self.sources
            ],
            "target": self.target,
            "maximise": self.maximise,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.settings).items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Problem:
        """Return the problem that :meth:`to_dict` wrote."""
        sources = tuple(
            Source(entry["name"], tuple(_region_from_dict(r) for r in entry["regions"]), entry["cost"])
            for entry in data["sources"]
        )
        settings = OptimiserSettings.from_dict(data["settings"])
        return cls(tuple(data["components"]), sources, data["target"], data["maximise"], settings)


def _require(name: str, given: object, is_acceptable: bool, accepted: str) -> None:
    """Raise :class:`InputError` with what was given and what is accepted."""
    if not is_acceptable:
        msg = f"{name} is {given!r}, accepted is {accepted}"
        raise InputError(msg)


def _region_to_dict(region: Region) -> dict[str, Any]:
    arrays = {key: getattr(region, key).tolist() for key in ("lower", "upper", "matrix", "bound")}
    return {"names": list(region.names), **arrays}


def _region_from_dict(data: Mapping[str, Any]) -> Region:
    names = tuple(data["names"])
    matrix = np.array(data["matrix"], dtype=float).reshape(-1, len(names))
    lower, upper, bound = (np.array(data[key], dtype=float) for key in ("lower", "upper", "bound"))
    return Region(names, lower, upper, matrix, bound)
