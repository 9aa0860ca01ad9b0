"""What an optimiser is asked: components, sources, what is known, what is under way, and how to go about it.

Everything here is frozen and turns into plain JSON, so that a step can run in another process and be replayed later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.objective import Objective, require
from aiida_finales.schemas.limitations.region import Region

#: Mean and standard deviation of the natural logarithm of a hyperparameter under its prior.
LogNormal = tuple[float, float]

KERNELS = ("rbf", "matern")
ENGINES = ("plain", "botorch")
SCALARS = (None, "weights", "chebyshev")
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
    :param n_front_pairs: the same where several objectives are traded for each other.
    :param n_optima: sampled optima per hyperparameter sample when another source is placed.
    :param n_paths: points on which the sampled functions are compared then.
    :param n_listed: candidates reported with a suggestion.
    :param n_faces: further candidates on edges and faces of the space, beside all its corners.
    :param n_front: points at most of a predicted front.
    :param n_chain_rows: rows at most from which the hyperparameters are sampled; every prediction is given all rows.
        ``None``: no limit.
    :param n_quadratic: inputs at most up to which the trend is quadratic; with more it is linear.
    :param scalarise: ``weights`` or ``chebyshev``: make one number of several objectives instead of looking for the
        front; ``None``: look for the front.
    :param weights: of the objectives when they are made one number, in their order; empty: drawn anew at each step.
    :param allow_replicates: whether a composition may be asked for that is known or pending for the same source.
    :param length_prior: of the length scale of each free component.
    :param variable_length_prior: the same of each variable, in units of its range; most properties follow it smoothly.
    :param signal_prior: of the amplitude of the common function beyond its quadratic trend.
    :param discrepancy_prior: of the amplitude by which another source departs from the target beyond a constant.
    :param ratio_prior: of the factor by which another source measures the target; ``None``: 1.
    :param noise_prior: of the noise of each source.
    :param category_prior: of the amplitude by which an option of a category departs beyond a constant and a trend.
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
    n_front_pairs: int = 2
    n_optima: int = 16
    n_paths: int = 250
    n_listed: int = 5
    n_faces: int = 200
    n_front: int = 50
    n_chain_rows: int | None = 200
    n_quadratic: int = 6
    scalarise: str | None = None
    weights: tuple[float, ...] = ()
    allow_replicates: bool = False
    length_prior: LogNormal = (0.0, 0.75)
    variable_length_prior: LogNormal = (float(np.log(3.0)), 0.75)
    signal_prior: LogNormal = (float(np.log(0.7)), 0.8)
    discrepancy_prior: LogNormal = (float(np.log(0.15)), 0.8)
    ratio_prior: LogNormal | None = (0.0, 0.3)
    noise_prior: LogNormal = (float(np.log(0.1)), 1.0)
    category_prior: LogNormal = (float(np.log(0.3)), 0.8)
    discrepancy_length: float = 1.5
    slope_sd: float = 0.3
    max_evaluations: int | None = None
    budget: float | None = None
    gain_tolerance: float | None = None
    gain_patience: int = 3

    def __post_init__(self) -> None:
        """Refuse what no step could work with."""
        require("kernel", self.kernel, self.kernel in KERNELS, f"one of {KERNELS}")
        require("engine", self.engine, self.engine in ENGINES, f"one of {ENGINES}")
        require("scalarise", self.scalarise, self.scalarise in SCALARS, f"one of {SCALARS}")
        require("weights", self.weights, all(weight > 0 for weight in self.weights), "numbers above 0")
        require("margin", self.margin, 0 <= self.margin < HALF, "a mole fraction from 0 to 0.5")
        require("separation", self.separation, 0 <= self.separation < HALF, "a share from 0 to 0.5")
        steps = round(1 / self.resolution) if 0 < self.resolution <= HALF else 0
        divides = steps > 0 and abs(steps * self.resolution - 1) < EXACT
        require("resolution", self.resolution, divides, "a mole fraction that divides 1, such as 0.0001")
        for name in (
            "n_hyper_samples",
            "n_starts",
            "n_raw",
            "n_top",
            "n_pairs",
            "n_optima",
            "n_paths",
            "gain_patience",
            "n_front",
            "n_quadratic",
        ):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require(
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
                require(name, value, not is_number or isinstance(value, (int, float)), "a number")
            msg = f"settings {dict(data)} cannot be used: {error}"
            raise InputError(msg) from error


#: Settings that older problems do not have, with the values that give the answers of then.
OF_OLD: dict[str, Any] = {"ratio_prior": None}
#: The same, of problems that know one objective.
OF_OLDEST: dict[str, Any] = {**OF_OLD, "n_faces": 0, "n_chain_rows": None, "n_quadratic": 1000}


@dataclass(frozen=True)
class Variable:
    """What varies beside the composition, such as the temperature.

    :param lower: in its unit.
    :param upper: in its unit.
    """

    name: str
    lower: float
    upper: float
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        limits = (self.lower, self.upper)
        is_range = all(map(isfinite, limits)) and self.lower < self.upper
        require(f"range of variable {self.name!r}", limits, is_range, "two finite numbers, the lower one first")


@dataclass(frozen=True)
class Category:
    """What is one of several things, such as the salt or the electrode.

    :param options: at least two.
    """

    name: str
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what leaves no choice."""
        is_choice = len(self.options) == len(set(self.options)) > 1
        require(f"options of category {self.name!r}", self.options, is_choice, "at least two, each once")


@dataclass(frozen=True)
class Source:
    """A quantity and method that a campaign learns from and may ask of.

    :param regions: alternatives; what lies in any of them can be asked. A component a region does not name is absent.
    :param cost: of one evaluation, in any unit common to all sources.
    :param measures: names of the objectives that its results tell about; empty: the only one.
    :param variables: range of each variable that it can do, by name; the others have their whole range.
    :param options: options of each category that it can do, by name; of the others all.
    """

    name: str
    regions: tuple[Region, ...]
    cost: float = 1.0
    measures: tuple[str, ...] = ()
    variables: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a source that could never be asked."""
        require(f"regions of source {self.name!r}", self.regions, len(self.regions) > 0, "at least one region")
        require(f"cost of source {self.name!r}", self.cost, self.cost > 0, "a number above 0")


@dataclass(frozen=True)
class Observation:
    """A result that counts.

    :param x: mole fractions in the order of :attr:`Problem.components`, then the variables in their order.
    :param values: by name of the objective, in its natural unit; a bare number is of the only objective.
    :param ctime: time of creation; only orders the rows.
    :param category: option by name of the category.
    """

    source: str
    x: tuple[float, ...]
    values: Mapping[str, float] | float
    uuid: str
    ctime: str
    category: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Observation:
        """Return a row of a question; the only value of older ones is called ``y``."""
        values = row["values"] if "values" in row else row["y"]
        return cls(row["source"], tuple(row["x"]), values, row["uuid"], row["ctime"], dict(row.get("category") or {}))


@dataclass(frozen=True)
class Pending:
    """What has been asked for and not been answered, whether or not somebody works on it.

    :param x: mole fractions in the order of :attr:`Problem.components`, then the variables in their order.
    :param category: option by name of the category.
    """

    source: str
    x: tuple[float, ...]
    uuid: str
    category: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Pending:
        """Return a row of a question."""
        return cls(row["source"], tuple(row["x"]), row["uuid"], dict(row.get("category") or {}))


@dataclass(frozen=True)
class Problem:
    """What is wanted, over the compositions (and variables and categories) that the target sources can do.

    :param components: names that the regions of the sources use, in the order of every composition.
    :param objectives: what is wanted, at least one with a direction; each name once.
    """

    components: tuple[str, ...]
    sources: tuple[Source, ...]
    objectives: tuple[Objective, ...]
    settings: OptimiserSettings = field(default_factory=OptimiserSettings)
    variables: tuple[Variable, ...] = ()
    categories: tuple[Category, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that do not fit together."""
        names = [source.name for source in self.sources]
        require("sources", names, len(names) == len(set(names)) > 0, "at least one, each name once")
        wanted = [objective.name for objective in self.objectives]
        require("objectives", wanted, len(wanted) == len(set(wanted)) > 0, "at least one, each name once")
        require("directions of the objectives", None, bool(self.optimised), "at least one that is not None")
        distinct = len(self.components) == len(set(self.components)) > 1
        require("components", self.components, distinct, "at least two, each once")
        more = [variable.name for variable in self.variables] + [category.name for category in self.categories]
        require("variables and categories", more, len(more) == len(set(more)), "each name once")
        self._check_weights()
        for source in self.sources:
            self._check_source(source)
        for objective in self.objectives:
            can = [source.name for source in self.sources if objective.name in self.measures(source)]
            require("target", objective.target, objective.target in can, f"one of the sources {can}")

    def _check_weights(self) -> None:
        """Refuse weights that are not one for each objective, and a sum of what has no sum."""
        weights, wanted = self.settings.weights, [objective.name for objective in self.optimised]
        require("weights", weights, len(weights) in (0, len(wanted)), f"one for each of {wanted}, or none")
        wants_plain = self.settings.scalarise is not None or (len(wanted) == 1 and not self.is_plain)
        accepted = "'plain' with scalarise, and where a single objective has limits or a value to reach"
        require("engine", self.settings.engine, self.settings.engine == "plain" or not wants_plain, accepted)
        reached = [objective.name for objective in self.optimised if objective.direction == "reach"]
        is_sum = self.settings.scalarise == "weights" and len(wanted) > 1
        accepted = f"'chebyshev' or None: {reached} are to be reached"
        require("scalarise", self.settings.scalarise, not (is_sum and reached), accepted)

    def _check_source(self, source: Source) -> None:
        """Refuse a source that speaks of what the problem does not have."""
        wanted = [objective.name for objective in self.objectives]
        known = bool(self.measures(source)) and set(self.measures(source)) <= set(wanted)
        require(f"measures of source {source.name!r}", source.measures, known, f"some of {wanted}")
        ranges = {variable.name: variable for variable in self.variables}
        for name, (low, high) in source.variables.items():
            fits = name in ranges and ranges[name].lower <= low <= high <= ranges[name].upper
            require(f"{name} of source {source.name!r}", (low, high), fits, "a part of the range of a variable")
        choices = {category.name: category.options for category in self.categories}
        for name, options in source.options.items():
            fits = name in choices and len(options) > 0 and set(options) <= set(choices[name])
            require(f"{name} of source {source.name!r}", options, fits, f"some options of {choices}")

    @property
    def optimised(self) -> tuple[Objective, ...]:
        """Return the objectives that are more than a limit."""
        return tuple(objective for objective in self.objectives if objective.direction is not None)

    @property
    def is_plain(self) -> bool:
        """Whether there is one objective without limits of which as much or as little as can be is wanted."""
        first = self.objectives[0]
        return len(self.objectives) == 1 and first.direction != "reach" and not first.is_limited

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the names of the sources that are the target of an objective, in the order of the sources."""
        wanted = {objective.target for objective in self.objectives}
        return tuple(source.name for source in self.sources if source.name in wanted)

    @property
    def target(self) -> str:
        """Return the target of the first objective."""
        return self.objectives[0].target

    @property
    def maximise(self) -> bool:
        """Return whether more is better of the first objective."""
        return self.objectives[0].direction != "minimise"

    def measures(self, source: Source) -> tuple[str, ...]:
        """Return the names of the objectives that the results of a source tell about."""
        if not source.measures and len(self.objectives) == 1:
            return (self.objectives[0].name,)
        return tuple(source.measures)

    def index(self, source: str) -> int:
        """Return the number of a source.

        :raises InputError: when the problem has no source of that name.
        """
        names = [candidate.name for candidate in self.sources]
        if source not in names:
            msg = f"source {source!r} is not part of the problem, which has {names}"
            raise InputError(msg)
        return names.index(source)

    def values(self, row: Observation) -> dict[str, float]:
        """Return the values of a row on the scales of the models, by name of the objective.

        :raises InputError: when one is of an objective that its source does not measure, or has no logarithm.
        """
        measured = self.measures(self.sources[self.index(row.source)])
        if not isinstance(row.values, Mapping):
            require(f"values of row {row.uuid}", row.values, len(measured) == 1, f"a number for each of {measured}")
            given = {measured[0]: float(row.values)}
        else:
            given = dict(row.values)
        known = set(given) <= set(measured)
        require(f"values of row {row.uuid}", sorted(given), known, f"some of {measured} from source {row.source!r}")
        scales = {objective.name: objective for objective in self.objectives}
        return {name: scales[name].to_model(value) for name, value in given.items()}

    def encode(self, row: Observation | Pending) -> list[float]:
        """Return fractions, variables and the number of the option of each category of a row.

        :raises InputError: when it does not say all of them.
        """
        n_numbers = len(self.components) + len(self.variables)
        accepted = f"{len(self.components)} fractions and {len(self.variables)} variables, finite"
        is_usable = len(row.x) == n_numbers and all(map(isfinite, row.x))
        require(f"row {row.uuid}: x", row.x, is_usable, accepted)
        codes = []
        for category in self.categories:
            option = row.category.get(category.name)
            fits = option in category.options
            require(f"row {row.uuid}: {category.name}", option, fits, f"one of {category.options}")
            codes.append(float(category.options.index(str(option))))
        return [*row.x, *codes]

    def decode(self, point: Sequence[float]) -> tuple[tuple[float, ...], dict[str, str] | None]:
        """Return fractions and variables of what :meth:`encode` returns, and the options."""
        n_numbers = len(self.components) + len(self.variables)
        codes = zip(self.categories, point[n_numbers:], strict=True)
        options = {category.name: category.options[round(code)] for category, code in codes}
        return tuple(float(number) for number in point[:n_numbers]), options or None

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as plain JSON; ``target`` and ``maximise`` are for readers that know one objective."""
        return {
            "components": list(self.components),
            "sources": [_source_to_dict(source) for source in self.sources],
            "objectives": [asdict(objective) for objective in self.objectives],
            "target": self.target,
            "maximise": self.maximise,
            "variables": [asdict(variable) for variable in self.variables],
            "categories": [{"name": item.name, "options": list(item.options)} for item in self.categories],
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.settings).items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Problem:
        """Return the problem that :meth:`to_dict` wrote, or did before there were several objectives."""
        sources = tuple(_source_from_dict(entry) for entry in data["sources"])
        if "objectives" not in data:
            direction = "maximise" if data["maximise"] else "minimise"
            objective = Objective("y", data["target"], direction, modelled="none")
            settings = OptimiserSettings.from_dict({**OF_OLDEST, **data["settings"]})
            return cls(tuple(data["components"]), sources, (objective,), settings)
        return cls(
            tuple(data["components"]),
            sources,
            tuple(Objective.from_dict({"modelled": entry["transform"], **entry}) for entry in data["objectives"]),
            OptimiserSettings.from_dict({**OF_OLD, **data["settings"]}),
            tuple(Variable(**entry) for entry in data.get("variables", ())),
            tuple(Category(entry["name"], tuple(entry["options"])) for entry in data.get("categories", ())),
        )


def _source_to_dict(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "cost": source.cost,
        "regions": [_region_to_dict(region) for region in source.regions],
        "measures": list(source.measures),
        "variables": {name: list(limits) for name, limits in source.variables.items()},
        "options": {name: list(options) for name, options in source.options.items()},
    }


def _source_from_dict(data: Mapping[str, Any]) -> Source:
    return Source(
        data["name"],
        tuple(_region_from_dict(region) for region in data["regions"]),
        data["cost"],
        tuple(data.get("measures", ())),
        {name: (low, high) for name, (low, high) in data.get("variables", {}).items()},
        {name: tuple(options) for name, options in data.get("options", {}).items()},
    )


def _region_to_dict(region: Region) -> dict[str, Any]:
    arrays = {key: getattr(region, key).tolist() for key in ("lower", "upper", "matrix", "bound")}
    return {"names": list(region.names), **arrays}


def _region_from_dict(data: Mapping[str, Any]) -> Region:
    names = tuple(data["names"])
    matrix = np.array(data["matrix"], dtype=float).reshape(-1, len(names))
    lower, upper, bound = (np.array(data[key], dtype=float) for key in ("lower", "upper", "bound"))
    return Region(names, lower, upper, matrix, bound)
