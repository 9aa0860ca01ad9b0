"""The campaign file: objectives, sources, design space, budget."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from aiida_finales.schemas.access import Access
from aiida_finales.schemas.campaign.space import CategorySection, Section, VariableSection, WithinSection, read_one_of
from aiida_finales.schemas.formulation import formulation_path
from aiida_finales.schemas.names import canonical_capability, check_name
from aiida_finales.schemas.structure import get_at
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.schemas.values import unit_of

#: quantities whose values are positive and vary over decades: a model of the logarithm suits them
LOGARITHMIC = ("degradationEOL",)
#: quantities of which mixtures take the geometric rather than the arithmetic mean of their parts: of the viscosity
#: Grunberg and Nissan 1949, 10.1038/164799b0
GEOMETRIC = frozenset({"viscosity"})
#: keys that say what is optimised where there are no ``objectives``, which say it themselves
REPLACED = ("quantity", "maximise", "transform", "target")
#: key of the validation's context: the campaign was started already, perhaps before a rule was made
STORED = "is_stored"


class SourceSection(Section):
    """One source: a method that the campaign learns from and may ask of."""

    method: str | None = Field(None, description="the method; default: the name of the source")
    ask: bool = Field(True, description="whether requests are made of it")
    learn: bool = Field(True, description="whether its results are learned from")
    cost: float | None = Field(
        None,
        gt=0,
        description="cost of one evaluation, in any unit common to all sources; default: what tenants declare, or 1",
    )
    evaluations: int | None = Field(
        None, ge=1, description="results of it at most; default: as many as the campaign has"
    )
    max_in_flight: int = Field(1, ge=1, description="requests under way at the same time")
    min_rating: int = Field(2, ge=0, le=5, description="results rated lower are not learned from")
    quantity: str | None = Field(
        None, description="the quantity that it is asked for; default: that of its objective, or of the campaign"
    )


class ObjectiveSection(Section):
    """What is wanted of one number: as much, as little, as close to a value as can be, or only within limits."""

    quantity: str | None = Field(None, description="the quantity; default: the name of the objective")
    number: str | None = Field(
        None,
        description="which number of its result, as dotted keys of its data, in a list the place (-1 is the last); "
        "default: the values of the quantity",
    )
    direction: Literal["maximise", "minimise", "reach"] | None = Field(
        None, description="`maximise`, `minimise` or `reach`; without, only the limits below hold"
    )
    value: float | None = Field(None, description="what is to be reached, in the unit of the quantity")
    transform: Literal["none", "log"] | None = Field(
        None, description="log: the model is one of the logarithm; default: `log` for `degradationEOL`, else `none`"
    )
    reference: float | None = Field(
        None,
        description="the worst value that counts in the hypervolume; fixed; default: worse than the first results",
    )
    at_least: float | None = Field(None, description="lower values cannot be used")
    at_most: float | None = Field(None, description="higher values cannot be used")
    target: str | None = Field(None, description="the source whose values count; default: its first")
    sources: dict[str, SourceSection] = Field(
        default_factory=dict, description="its sources by name, as below; default: those above of this quantity"
    )

    @property
    def usual(self) -> str:
        """Return the scale on which the quantity is expected to be modelled, as far as it is none of the gains."""
        return "log" if self.quantity in GEOMETRIC else "none"

    @field_validator("sources", mode="before")
    @classmethod
    def _accept_nothing_to_say(cls, sources: Any) -> Any:
        return _fill_sources(sources)

    @model_validator(mode="after")
    def _fit_together(self) -> ObjectiveSection:
        if self.direction is None and self.at_least is None and self.at_most is None:
            message = "it wants nothing: give a direction (maximise, minimise or reach), at_least, or at_most"
            raise ValueError(message)
        if (self.direction == "reach") != (self.value is not None):
            message = "a value goes with 'direction: reach', and only with it"
            raise ValueError(message)
        return self

    @property
    def unit(self) -> str:
        """The symbol of the unit of the number that is wanted; empty where there is none."""
        return unit_of(str(self.quantity), self.number)


#: how sources are chosen where a campaign does not say
POLICY: Literal["turns", "information", "target"] = "turns"


class StopSection(Section):
    """When the campaign ends; the first condition that holds counts."""

    evaluations: int | None = Field(None, ge=1, description="results, over all sources")
    budget: float | None = Field(
        None, gt=0, description="sum of the costs of the requests made; what an earlier run answers costs the same"
    )
    gain_tolerance: float | None = Field(None, gt=0, description="expected gain, in units of the spread of the values")
    gain_patience: int = Field(3, ge=1, description="for so many suggestions in a row")
    failures: int = Field(5, ge=1, description="requests in a row to one source that brought nothing to learn from")


class WarmStartSection(Section):
    """Existing data that the campaign starts with."""

    file: str = Field(description="CSV file, relative to the campaign file: see 'aiida-finales import results'")
    method: str = Field("literature", description="the method under which its rows are stored")
    reference: str = Field("", description="where the data come from (DOI)")
    quantity: str | None = Field(None, description="the quantity of its rows; default: that of the campaign")


def _fill_sources(sources: Any) -> Any:
    if not isinstance(sources, dict):
        return sources
    return {name: {} if section is None else section for name, section in sources.items()}


def _in_kelvin(given: Any, keys: tuple[str, ...], whose: str) -> Any:
    """Return an object in which the temperatures under some keys, which may be texts with a unit, are in K."""
    if not isinstance(given, dict):
        return given
    read = {key: read_temperature(given[key], f"{whose}.{key}") for key in keys if isinstance(given.get(key), str)}
    return {**given, **read}


def _read_range_of_temperature(name: str, section: Any) -> Any:
    """Return the section of a variable with its ends in K, where it is a temperature; others as they are."""
    section = {} if section is None else section
    if not isinstance(section, dict) or str(section.get("path") or name).rpartition(".")[2] != "temperature":
        return section
    unit = str(section.get("unit") or "K")
    said = {key: section[key] for key in ("min", "max") if section.get(key) is not None}
    if unit != "K":
        said = {key: f"{end} {unit}" if str(end).strip()[-1:].isdigit() else end for key, end in said.items()}
    return {**section, **_in_kelvin(said, ("min", "max"), f"variables.{name}"), "unit": "K"}


class CampaignFile(Section):
    """A campaign, as its file says it."""

    name: str
    quantity: str = Field("", description="the quantity that is optimised; required, unless there are `objectives`")
    maximise: bool = True
    transform: Literal["none", "log"] | None = Field(
        None, description="log: the model is one of the logarithm; default: log for degradationEOL, else none"
    )
    target: str | None = Field(None, description="the source whose values are optimised; default: the first")
    objectives: dict[str, ObjectiveSection] | None = Field(
        None, description="several objectives by name, instead of `quantity`, `maximise`, `transform`, `target`; below"
    )
    sources: dict[str, SourceSection] = Field(
        default_factory=dict, description="the sources by name; required, unless the objectives have them"
    )
    variables: dict[str, VariableSection] = Field(
        default_factory=dict, description="what varies beside the composition, such as the temperature; below"
    )
    categories: dict[str, CategorySection] = Field(
        default_factory=dict, description="what is one of several things, such as the electrode; below"
    )
    one_of: Annotated[dict[str, list[str]], BeforeValidator(read_one_of)] = Field(
        default_factory=dict, description="chemicals of which each mixture has one, such as the salt; below"
    )
    fixed: dict[str, Any] = Field(
        default_factory=dict, description="parameters that do not vary, e.g. temperature in K, or the electrodes"
    )
    within: WithinSection | None = Field(
        None, description="where to look, within what tenants offer: ranges, fixed fractions, constraints; see below"
    )
    temperature_tolerance: float = Field(1.0, ge=0, description="K; results at other temperatures are not learned from")
    initial: int | None = Field(None, ge=0, description="suggestions that fill the space before the model is used")
    learn_from: Literal["campaign", "all"] = Field(
        "campaign", description="own results and warm start, or all there are"
    )
    policy: Literal["turns", "information", "target"] | None = Field(
        None, description="which source is asked next, of those with room: see below; default: `turns`"
    )
    scalarise: Literal["weights", "chebyshev"] | None = Field(
        None, description="make one number of several objectives instead of looking for the front: see below"
    )
    weights: dict[str, float] = Field(
        default_factory=dict, description="of every objective with a direction; default: drawn anew at each step"
    )
    warm_start: list[WarmStartSection] = Field(
        default_factory=list, description="existing data that the campaign starts with, of one table or several"
    )
    stop: StopSection = Field(default_factory=dict, validate_default=True)
    optimiser: dict[str, Any] = Field(default_factory=dict, description="settings of the optimiser, such as seed")
    access: Access = Field(default_factory=Access, description="who may read it: see below; default: all accounts")
    is_sure: bool = Field(False, description="numbers that are not to be expected are right, as a temperature of 25 K")

    @field_validator("sources", mode="before")
    @classmethod
    def _accept_nothing_to_say(cls, sources: Any) -> Any:
        """Take a source that is only named (``two_electrode:`` and nothing after it) with all defaults."""
        return _fill_sources(sources)

    @field_validator("warm_start", mode="before")
    @classmethod
    def _accept_one_table(cls, sections: Any) -> Any:
        """Take one table without the brackets of a list, or none."""
        return [] if sections is None else [sections] if isinstance(sections, dict) else sections

    @field_validator("fixed", mode="before")
    @classmethod
    def _accept_celsius(cls, fixed: Any) -> Any:
        """Take temperatures with their unit, as ``28 °C``; stored is K."""
        return _in_kelvin(fixed, ("temperature",), "fixed")

    @field_validator("categories", mode="before")
    @classmethod
    def _accept_celsius_of_options(cls, categories: Any) -> Any:
        for section in categories.values() if isinstance(categories, dict) else ():
            options = section.get("options") if isinstance(section, dict) else None
            if isinstance(options, dict):
                read = {name: _in_kelvin(item, ("temperature",), f"option {name}") for name, item in options.items()}
                section["options"] = read
        return categories

    @field_validator("variables", mode="before")
    @classmethod
    def _accept_celsius_of_variables(cls, variables: Any) -> Any:
        """Take a temperature that varies from ``10 °C`` to ``40 °C``, or in the unit °C; stored is K."""
        if not isinstance(variables, dict):
            return variables
        return {name: _read_range_of_temperature(name, section) for name, section in variables.items()}

    @model_validator(mode="after")
    def _fill_in(self, info: ValidationInfo) -> CampaignFile:
        if self.objectives is not None:
            self._take_objectives(self.objectives)
        self._fill_sources()
        for name, goal in (self.objectives or {}).items():
            self._find_target(name, goal)
        self._demand_free_places()
        self._demand_weights()
        # what was begun before there was a choice goes on as it began
        self.policy = self.policy or ("turns" if (info.context or {}).get(STORED) else POLICY)
        if not (info.context or {}).get(STORED):
            check_name(self.name, "name of a campaign")
            for name in self.sources:
                check_name(name, "name of a source")
            self._demand_distinct_sources()
            self._demand_use_of_tables()
        return self

    def _fill_sources(self) -> None:
        """Write out what follows from other keys."""
        for key in ("quantity", "sources"):
            if not getattr(self, key):
                is_given = key in self.model_fields_set
                message = f"{key} must name at least one method" if is_given else f"key '{key}' is missing"
                raise ValueError(message)
        self.quantity = canonical_capability(self.quantity, "")[0]
        for name, source in self.sources.items():
            source.method = source.method or name
            source.quantity = canonical_capability(source.quantity, "")[0] if source.quantity else None
        self.target = self.target or next(iter(self.sources))
        if self.target not in self.sources:
            message = f"target is {self.target!r}, but the sources are {', '.join(self.sources)}"
            raise ValueError(message)
        if not any(source.ask for source in self.sources.values()):
            message = "no source may be asked: set 'ask: true' for one of them"
            raise ValueError(message)
        self.transform = self.transform or ("log" if self.quantity in LOGARITHMIC else "none")

    def _demand_weights(self) -> None:
        """Refuse weights that are not one for each objective, and what has no two objectives to weigh."""
        wanted = list(self.optimised)
        if self.scalarise and len(wanted) < 2:  # noqa: PLR2004 - one number is one already
            message = f"scalarise is {self.scalarise!r}, but there is one objective with a direction: leave it out"
            raise ValueError(message)
        if not self.weights:
            return
        if self.scalarise is None:
            message = "weights are for one number of several objectives: say 'scalarise' as well"
            raise ValueError(message)
        if sorted(self.weights) != sorted(wanted) or min(self.weights.values()) <= 0:
            message = f"weights are {self.weights}, but accepted is a number above 0 for each of {', '.join(wanted)}"
            raise ValueError(message)

    def _demand_free_places(self) -> None:
        """Refuse to fix what varies."""
        for name in self.variables:
            if get_at(self.fixed, tuple(self.path_of(name).split("."))) is not None:
                message = f"{name} is a variable and fixed: leave one out"
                raise ValueError(message)
        path = formulation_path(self.quantity)
        if get_at(self.fixed, path) is not None:
            message = f"fixed has {'.'.join(path)}, but the formulation is what the campaign varies: leave it out"
            raise ValueError(message)
        for name, section in self.categories.items():
            section.demand_free(name, self.fixed, path)

    def _take_objectives(self, objectives: dict[str, ObjectiveSection]) -> None:
        """Move the sources of objectives to those of the campaign, and let the first objective stand for all."""
        wanted = [name for name, goal in objectives.items() if goal.direction is not None]
        if not wanted:
            message = "objectives has no direction: at least one is to be maximised, minimised or reached"
            raise ValueError(message)
        for name, goal in objectives.items():
            goal.quantity = canonical_capability(goal.quantity or name, "")[0]
            goal.transform = goal.transform or ("log" if goal.quantity in LOGARITHMIC else "none")
            own = {}
            for key, source in goal.sources.items():
                own[key] = key if key not in self.sources else f"{name}_{key}"
                source.quantity, source.method = goal.quantity, source.method or key
                self.sources[own[key]] = source
            goal.sources = {}
            goal.target = own.get(goal.target, goal.target) if goal.target else next(iter(own.values()), None)
        # what is optimised comes first, limits after it
        self.objectives = {name: objectives[name] for name in sorted(objectives, key=lambda key: key not in wanted)}
        first = objectives[wanted[0]]
        if self.quantity and canonical_capability(self.quantity, "")[0] != first.quantity:
            message = f"quantity is {self.quantity!r}, but the first of the objectives is one of {first.quantity}"
            raise ValueError(message)
        self.quantity, self.maximise = str(first.quantity), first.direction != "minimise"
        self.transform, self.target = first.transform, first.target or self.target

    def _find_target(self, name: str, goal: ObjectiveSection) -> None:
        """Give an objective without sources of its own one that is asked for its quantity."""
        able = [key for key in self.sources if self.quantity_of(key) == goal.quantity]
        goal.target = goal.target or next(iter(able), None)
        if goal.target not in self.sources:
            given = f"has target {goal.target!r}" if goal.target else f"has no source that is asked for {goal.quantity}"
            message = (
                f"objective {name!r} {given}; sources of {goal.quantity} are {', '.join(able) or 'none'}: give it "
                "'sources', or a 'target' whose results tell it"
            )
            raise ValueError(message)

    @property
    def goals(self) -> dict[str, ObjectiveSection]:
        """What is wanted, by name, what is optimised first; of one without ``objectives`` the name is the quantity."""
        if self.objectives is not None:
            return self.objectives
        direction = "maximise" if self.maximise else "minimise"
        section = {"direction": direction, "transform": self.transform, "target": self.target}
        return {self.quantity: ObjectiveSection.model_validate({"quantity": self.quantity, **section})}

    @property
    def optimised(self) -> dict[str, ObjectiveSection]:
        """The objectives that are more than a limit."""
        return {name: goal for name, goal in self.goals.items() if goal.direction is not None}

    @property
    def targets(self) -> list[str]:
        """The sources that are the target of an objective: they are asked for the same points."""
        return list(dict.fromkeys(str(goal.target) for goal in self.goals.values()))

    def quantity_of(self, source: str) -> str:
        """Return the quantity that a source is asked for."""
        return self.sources[source].quantity or self.quantity

    def capability_of(self, source: str) -> tuple[str, str]:
        """Return quantity and method of a source."""
        return canonical_capability(self.quantity_of(source), str(self.sources[source].method))

    def path_of(self, variable: str) -> str:
        """Return where a variable stands in the parameters, as dotted keys."""
        return self.variables[variable].path or variable

    def _demand_distinct_sources(self) -> None:
        """Refuse two sources of one method: results say by which method they were made, not who was meant."""
        names: dict[tuple[str, str], str] = {}
        for name in self.sources:
            capability = self.capability_of(name)
            if capability in names:
                message = (
                    f"sources {names[capability]!r} and {name!r} have the same method {capability[1]!r}, and their "
                    "results could not be told apart: name one source for all tenants, with max_in_flight as their "
                    "number"
                )
                raise ValueError(message)
            names[capability] = name

    def _demand_use_of_tables(self) -> None:
        """Refuse a table that no source learns from."""
        known = [self.capability_of(name) for name, source in self.sources.items() if source.learn]
        for section in self.warm_start:
            quantity, method = canonical_capability(section.quantity or self.quantity, section.method)
            if (quantity, method) not in known:
                message = (
                    f"warm_start has {section.file} of {quantity}/{method}, but no source learns from that: add a "
                    f"source with 'method: {method}' and 'ask: false', or name another method"
                )
                raise ValueError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return the campaign as plain JSON, with every default written out."""
        return self.model_dump(mode="json", exclude=set(REPLACED) if self.objectives is not None else None)
