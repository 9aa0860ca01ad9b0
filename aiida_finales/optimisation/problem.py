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
from aiida_finales.optimisation.settings import OF_OLD, OF_OLDEST, OptimiserSettings
from aiida_finales.schemas.limitations.region import Region


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
class Beside:
    """What goes with one region of a source; what is not named here is as the source says.

    :param pieces: the ranges of a variable, by name.
    :param options: of a category, by name.
    """

    pieces: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A quantity and method that a campaign learns from and may ask of.

    :param regions: alternatives; what lies in any of them can be asked. A component a region does not name is absent.
    :param cost: of one evaluation, in any unit common to all sources.
    :param measures: names of the objectives that its results tell about; empty: the only one.
    :param variables: range of each variable that it can do, by name; the others have their whole range.
    :param options: options of each category that it can do, by name; of the others all.
    :param pieces: of a variable of which it cannot do all of that range: the ranges that it can, by name.
    :param beside: of each region, in their order, what goes with it; empty: everything goes with every region.
    """

    name: str
    regions: tuple[Region, ...]
    cost: float = 1.0
    measures: tuple[str, ...] = ()
    variables: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pieces: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    beside: tuple[Beside, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a source that could never be asked."""
        require(f"regions of source {self.name!r}", self.regions, len(self.regions) > 0, "at least one region")
        is_whole = len(self.beside) in (0, len(self.regions))
        require(f"beside of source {self.name!r}", len(self.beside), is_whole, "one for each region, or none")
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
    :param one_of: components that stand for one another, by what they are (salt): each mixture has one of them. What is
        learned of one tells about the others, as with the options of a category.
    """

    components: tuple[str, ...]
    sources: tuple[Source, ...]
    objectives: tuple[Objective, ...]
    settings: OptimiserSettings = field(default_factory=OptimiserSettings)
    variables: tuple[Variable, ...] = ()
    categories: tuple[Category, ...] = ()
    one_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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
        grouped = [component for group in self.one_of.values() for component in group]
        fits = len(grouped) == len(set(grouped)) and set(grouped) <= set(self.components)
        fits = fits and all(len(group) > 1 for group in self.one_of.values())
        require("one_of", dict(self.one_of), fits, "two components or more each, each once")
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
        for given in (Beside(source.pieces, source.options), *source.beside):
            for name, parts in given.pieces.items():
                low, high = source.variables.get(name, (0.0, 0.0))
                fits = name in source.variables and all(low <= part[0] <= part[1] <= high for part in parts)
                accepted = "parts of its range of the variable"
                require(f"pieces of {name} of source {source.name!r}", parts, fits, accepted)
            for name, options in given.options.items():
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

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Return the numbers of the components that stand for one another."""
        return tuple(tuple(map(self.components.index, group)) for group in self.one_of.values())

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
            **({"one_of": _to_lists(self.one_of)} if self.one_of else {}),
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
            {name: tuple(group) for name, group in data.get("one_of", {}).items()},
        )


def _source_to_dict(source: Source) -> dict[str, Any]:
    beside = [{"pieces": _pieces_to_dict(item.pieces), "options": _to_lists(item.options)} for item in source.beside]
    return {
        "name": source.name,
        "cost": source.cost,
        "regions": [_region_to_dict(region) for region in source.regions],
        "measures": list(source.measures),
        "variables": _to_lists(source.variables),
        "options": _to_lists(source.options),
        **({"pieces": _pieces_to_dict(source.pieces)} if source.pieces else {}),
        **({"beside": beside} if beside else {}),
    }


def _source_from_dict(data: Mapping[str, Any]) -> Source:
    return Source(
        data["name"],
        tuple(_region_from_dict(region) for region in data["regions"]),
        data["cost"],
        tuple(data.get("measures", ())),
        {name: (low, high) for name, (low, high) in data.get("variables", {}).items()},
        _options_from_dict(data),
        _pieces_from_dict(data),
        tuple(Beside(_pieces_from_dict(item), _options_from_dict(item)) for item in data.get("beside", ())),
    )


def _to_lists(named: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: list(items) for name, items in named.items()}


def _pieces_to_dict(pieces: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, list[list[float]]]:
    return {name: [list(part) for part in parts] for name, parts in pieces.items()}


def _pieces_from_dict(data: Mapping[str, Any]) -> dict[str, tuple[tuple[float, float], ...]]:
    return {name: tuple((low, high) for low, high in parts) for name, parts in data.get("pieces", {}).items()}


def _options_from_dict(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(options) for name, options in data.get("options", {}).items()}


def _region_to_dict(region: Region) -> dict[str, Any]:
    arrays = {key: getattr(region, key).tolist() for key in ("lower", "upper", "matrix", "bound")}
    return {"names": list(region.names), **arrays}


def _region_from_dict(data: Mapping[str, Any]) -> Region:
    names = tuple(data["names"])
    matrix = np.array(data["matrix"], dtype=float).reshape(-1, len(names))
    lower, upper, bound = (np.array(data[key], dtype=float) for key in ("lower", "upper", "bound"))
    return Region(names, lower, upper, matrix, bound)
