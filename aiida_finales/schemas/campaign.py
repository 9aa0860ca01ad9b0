"""The campaign file: objective, sources, design space, budget. Our YAML, and F2Opt's JSON as it is."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from aiida_finales.exceptions import CampaignFileError, explain_os_error
from aiida_finales.schemas.formulation import formulation_path
from aiida_finales.schemas.names import canonical_capability, check_name
from aiida_finales.schemas.structure import get_at
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.schemas.words import be, count

#: quantities whose values are positive and vary over decades: a model of the logarithm suits them
LOGARITHMIC = ("degradationEOL",)
#: key of the validation's context: the campaign was started already, perhaps before a rule was made
STORED = "is_stored"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SourceSection(_Section):
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


class StopSection(_Section):
    """When the campaign ends; the first condition that holds counts."""

    evaluations: int | None = Field(None, ge=1, description="results, over all sources")
    budget: float | None = Field(None, gt=0, description="sum of the costs of the requests made")
    gain_tolerance: float | None = Field(None, gt=0, description="expected gain, in units of the spread of the values")
    gain_patience: int = Field(3, ge=1, description="for so many suggestions in a row")
    failures: int = Field(5, ge=1, description="requests in a row to one source that brought nothing to learn from")


class WarmStartSection(_Section):
    """Existing data that the campaign starts with."""

    file: str = Field(description="CSV file, relative to the campaign file: see 'aiida-finales import results'")
    method: str = Field("literature", description="the method under which its rows are stored")
    reference: str = Field("", description="where the data come from (DOI)")


class CampaignFile(_Section):
    """A campaign, as its file says it."""

    name: str
    quantity: str = Field(description="the quantity that is optimised")
    maximise: bool = True
    transform: Literal["none", "log"] | None = Field(
        None, description="log: the model is one of the logarithm; default: log for degradationEOL, else none"
    )
    target: str | None = Field(None, description="the source whose values are optimised; default: the first")
    sources: dict[str, SourceSection]
    fixed: dict[str, Any] = Field(
        default_factory=dict, description="parameters that do not vary, e.g. temperature in K, or the electrodes"
    )
    temperature_tolerance: float = Field(1.0, ge=0, description="K; results at other temperatures are not learned from")
    initial: int | None = Field(None, ge=0, description="suggestions that fill the space before the model is used")
    learn_from: Literal["campaign", "all"] = Field(
        "campaign", description="own results and warm start, or all there are"
    )
    warm_start: WarmStartSection | None = None
    stop: StopSection = Field(default_factory=dict, validate_default=True)
    optimiser: dict[str, Any] = Field(default_factory=dict, description="settings of the optimiser, such as seed")

    @field_validator("sources", mode="before")
    @classmethod
    def _accept_nothing_to_say(cls, sources: Any) -> Any:
        """Take a source that is only named (``two_electrode:`` and nothing after it) with all defaults."""
        if not isinstance(sources, dict):
            return sources
        return {name: {} if section is None else section for name, section in sources.items()}

    @field_validator("fixed", mode="before")
    @classmethod
    def _accept_celsius(cls, fixed: Any) -> Any:
        """Take temperatures with their unit, as ``28 °C``; stored is K."""
        if not isinstance(fixed, dict):
            return fixed
        said = {key: value for key, value in fixed.items() if key.endswith("temperature") and isinstance(value, str)}
        return {**fixed, **{key: read_temperature(value, f"fixed.{key}") for key, value in said.items()}}

    @model_validator(mode="after")
    def _fill_in(self, info: ValidationInfo) -> CampaignFile:
        if not self.sources:
            message = "sources must name at least one method"
            raise ValueError(message)
        for name, source in self.sources.items():
            source.method = source.method or name
        self.target = self.target or next(iter(self.sources))
        if self.target not in self.sources:
            message = f"target is {self.target!r}, but the sources are {', '.join(self.sources)}"
            raise ValueError(message)
        if not any(source.ask for source in self.sources.values()):
            message = "no source may be asked: set 'ask: true' for one of them"
            raise ValueError(message)
        self.quantity = canonical_capability(self.quantity, "")[0]
        self.transform = self.transform or ("log" if self.quantity in LOGARITHMIC else "none")
        path = formulation_path(self.quantity)
        if get_at(self.fixed, path) is not None:
            message = f"fixed has {'.'.join(path)}, but the formulation is what the campaign varies: leave it out"
            raise ValueError(message)
        if not (info.context or {}).get(STORED):
            check_name(self.name, "name of a campaign")
            for name in self.sources:
                check_name(name, "name of a source")
            self._demand_distinct_sources()
        return self

    def _demand_distinct_sources(self) -> None:
        """Refuse two sources of one method: results say by which method they were made, not who was meant."""
        names: dict[str, str] = {}
        for name, source in self.sources.items():
            method = canonical_capability(self.quantity, str(source.method))[1]
            if method in names:
                message = (
                    f"sources {names[method]!r} and {name!r} have the same method {method!r}, and their results could "
                    "not be told apart: name one source for all tenants, with max_in_flight as their number"
                )
                raise ValueError(message)
            names[method] = name

    def to_dict(self) -> dict[str, Any]:
        """Return the campaign as plain JSON, with every default written out."""
        return self.model_dump(mode="json")


def read_campaign_file(path: Path, changes: dict[str, Any] | None = None) -> CampaignFile:
    """Read a campaign file: YAML of ours, or F2Opt's JSON.

    :param changes: keys that replace those of the file.
    :raises CampaignFileError: naming the key, what was given, what is accepted and the nearest right key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CampaignFileError(f"campaign file cannot be read: {explain_os_error(error, path)}") from error
    except UnicodeDecodeError as error:
        raise CampaignFileError(f"campaign file {path} is not in UTF-8: {error}") from error
    try:
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CampaignFileError(f"campaign file {path} is neither YAML nor JSON: {error}") from error
    if not isinstance(document, dict):
        raise CampaignFileError(
            f"campaign file {path} holds {type(document).__name__}, but accepted is a mapping of keys"
        )
    return parse_campaign({**document, **(changes or {})}, str(path))


def parse_campaign(document: dict[str, Any], origin: str = "campaign", *, is_stored: bool = False) -> CampaignFile:
    """Return the campaign that a document describes.

    :param is_stored: whether it was started already: what is demanded of new ones only is not demanded then.
    :raises CampaignFileError: as :func:`read_campaign_file`.
    """
    if "tasks" in document and "objectives" in document:
        try:
            document = convert_f2opt(document)
        except KeyError as error:
            raise CampaignFileError(f"{origin}: key {error} is missing in what seems to be F2Opt's form") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise CampaignFileError(f"{origin} seems to be in F2Opt's form, but cannot be read: {error}") from error
    try:
        return CampaignFile.model_validate(document, context={STORED: is_stored})
    except ValidationError as error:
        raise CampaignFileError(f"{origin}: " + "; ".join(map(_explain, error.errors()))) from error


def convert_f2opt(document: dict[str, Any]) -> dict[str, Any]:
    """Return F2Opt's configuration (``ocond.json``, ``oeol.json``) in our form.

    F2Opt learns from every result in the database, knows no end, and uses one random start per ``min_results_for_ml``;
    ``num_candidates`` and ``num_training_steps`` belong to its own model and have no counterpart.

    :raises CampaignFileError: when it has several objectives or a task several quantities.
    """
    objectives, tasks = document["objectives"], document["tasks"]
    if len(objectives) != 1:
        raise CampaignFileError(
            f"{count(len(objectives), 'objective')} {be(len(objectives), past=True)} given, but accepted is exactly one"
        )
    quantities = {quantity for task in tasks for quantity in task["quantities"]}
    if len(quantities) != 1:
        raise CampaignFileError(f"the tasks ask for {sorted(quantities)}, but accepted is one quantity")
    sources = {
        task["name"]: {
            "method": task["method"],
            "ask": task.get("request", True),
            "learn": task.get("source", True),
            "max_in_flight": task.get("max_queue_size", 1),
            "min_rating": task.get("min_data_rating", 0),
        }
        for task in tasks
    }
    return {
        "name": document["name"],
        "quantity": quantities.pop(),
        "maximise": objectives[0].get("maximize", True),
        "sources": sources,
        "initial": max(task.get("min_results_for_ml", 1) for task in tasks),
        "learn_from": "all",
        "temperature_tolerance": 1000.0,
    }


#: what to say instead of the nearest key, where that would not help
ADVICE = (
    dict.fromkeys(
        ("objective", "objectives", "goal", "maximize", "minimise", "minimize", "direction"),
        "a campaign has one objective: name it under 'quantity', and whether it is to be large under 'maximise'; ",
    )
    | dict.fromkeys(
        ("budget", "limit", "max_evaluations", "evaluations", "iterations"), "what ends a campaign is under 'stop'; "
    )
    | dict.fromkeys(("temperature", "temperature_k"), "what all requests have in common is under 'fixed'; ")
)


def _explain(error: Any) -> str:
    """Return one defect in words: the key, what was given, what is accepted."""
    words = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # of the whole file, which need not be repeated
        return str(words)
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        accepted, given = _accepted_keys(error["loc"]), str(error["loc"][-1])
        close = difflib.get_close_matches(given, accepted, n=1, cutoff=0.6)
        hint = ADVICE.get(given.lower()) or (f"did you mean '{close[0]}'? " if close else "")
        return f"unknown key '{path}': {hint}accepted are {', '.join(accepted)}"
    if error["type"] == "missing":
        return f"key '{path}' is missing"
    return f"{path} is {error['input']!r}: {words}"


def _accepted_keys(location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are accepted where an unknown one was found."""
    model: type[BaseModel] = CampaignFile
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # the name of a source
        sections = [
            item
            for item in (field.annotation, *get_args(field.annotation))
            if isinstance(item, type) and issubclass(item, BaseModel)
        ]
        model = sections[0] if sections else model
    return list(model.model_fields)
