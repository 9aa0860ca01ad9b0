"""Reads campaign files, ours and F2Opt's, and says in words what is wrong with one."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from aiida_finales.exceptions import CampaignFileError, explain_os_error, explain_syntax_error
from aiida_finales.schemas.campaign.f2opt import convert_f2opt
from aiida_finales.schemas.campaign.file import REPLACED, STORED, CampaignFile

#: what to say instead of the nearest key, where that would not help
ADVICE = (
    dict.fromkeys(
        ("objective", "goal", "maximize", "minimise", "minimize", "direction"),
        "what is optimised is named under 'quantity', and whether it is to be large under 'maximise'; several under "
        "'objectives'; ",
    )
    | dict.fromkeys(
        ("budget", "limit", "max_evaluations", "evaluations", "iterations"), "what ends a campaign is under 'stop'; "
    )
    | dict.fromkeys(("temperature", "temperature_k"), "what all requests have in common is under 'fixed'; ")
)


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
        raise CampaignFileError(
            f"campaign file {path} is neither YAML nor JSON: {explain_syntax_error(error)}"
        ) from error
    return parse_campaign({**_demand_mapping(document, f"campaign file {path}"), **(changes or {})}, str(path))


def read_campaign_text(text: str) -> CampaignFile:
    """Read the text of a campaign that somebody sent, YAML or JSON; nothing of the server's files is read.

    :raises CampaignFileError: as :func:`read_campaign_file`, and when it names a file.
    """
    try:
        # JSON is YAML, too. An alias could stand for a billion of others
        document = yaml.load(text, Loader=_NoAliasLoader)  # noqa: S506 - a safe loader that takes even less
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CampaignFileError(f"the text is neither YAML nor JSON: {explain_syntax_error(error)}") from error
    document = _demand_mapping(document, "the text")
    if document.get("warm_start"):
        raise CampaignFileError(
            "warm_start names a file, which cannot be sent along: import it first ('aiida-finales import results'), "
            "and say 'learn_from: all' instead"
        )
    return parse_campaign(document, "the text")


class _NoAliasLoader(yaml.SafeLoader):
    """Reads YAML without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not accepted: write it out")
        return super().compose_node(parent, index)


def _demand_mapping(document: Any, origin: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        words = f"{origin} holds {type(document).__name__}, but accepted is a mapping of keys"
        raise CampaignFileError(words)
    return document


def parse_campaign(document: dict[str, Any], origin: str = "campaign", *, is_stored: bool = False) -> CampaignFile:
    """Return the campaign that a document describes.

    :param is_stored: whether it was started already: what is demanded of new ones only is not demanded then.
    :raises CampaignFileError: as :func:`read_campaign_file`.
    """
    if "tasks" in document and "objectives" in document and not isinstance(document["objectives"], dict):
        try:
            document = convert_f2opt(document)
        except KeyError as error:
            raise CampaignFileError(f"{origin}: key {error} is missing in what seems to be F2Opt's form") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise CampaignFileError(f"{origin} seems to be in F2Opt's form, but cannot be read: {error}") from error
    beside = [key for key in REPLACED if key in document] if document.get("objectives") is not None else []
    if beside and not is_stored:
        raise CampaignFileError(
            f"{origin}: {', '.join(beside)} beside 'objectives', which say what is optimised: leave out either"
        )
    try:
        return CampaignFile.model_validate(document, context={STORED: is_stored})
    except ValidationError as error:
        raise CampaignFileError(f"{origin}: " + "; ".join(map(_explain, error.errors()))) from error


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
        sections = _sections_in(field.annotation)
        model = sections[0] if sections else model
    return list(model.model_fields)


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections that a field may hold, whatever stands around them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]
