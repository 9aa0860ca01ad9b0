"""Reads campaign files, ours and F2Opt's, and says in words what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aiida_finales.exceptions import CampaignFileError, InputError
from aiida_finales.schemas.campaign.f2opt import convert_f2opt
from aiida_finales.schemas.campaign.file import REPLACED, STORED, CampaignFile
from aiida_finales.schemas.defects import spell_defect
from aiida_finales.schemas.document import demand_keys, parse_document, read_document

#: of a line of a campaign file
EXAMPLE = "quantity: conductivity"

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
    name = f"campaign file {path}"
    document = _read(lambda: demand_keys(read_document(path, what="campaign file"), name, EXAMPLE))
    return parse_campaign({**document, **(changes or {})}, str(path))


def read_campaign_text(text: str) -> CampaignFile:
    """Read the text of a campaign that somebody sent, YAML or JSON; nothing of the server's files is read.

    :raises CampaignFileError: as :func:`read_campaign_file`, and when it names a file.
    """
    # JSON is YAML, too
    document = _read(lambda: demand_keys(parse_document(text, "the text", has_aliases=False), "the text", EXAMPLE))
    if document.get("warm_start"):
        raise CampaignFileError(
            "warm_start names a file, which cannot be sent along: import it first ('aiida-finales import results'), "
            "and say 'learn_from: all' instead"
        )
    return parse_campaign(document, "the text")


def _read(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except InputError as error:
        raise CampaignFileError(str(error)) from error


def parse_campaign(document: dict[str, Any], origin: str = "campaign", *, is_stored: bool = False) -> CampaignFile:
    """Return the campaign that a document describes.

    :param is_stored: whether it was started already: what is demanded of new ones only is not demanded then.
    :raises CampaignFileError: as :func:`read_campaign_file`.
    """
    if "tasks" in document and "objectives" in document and not isinstance(document["objectives"], dict):
        try:
            document = convert_f2opt(document)
        except CampaignFileError as error:
            raise CampaignFileError(f"{origin}, which seems to be in F2Opt's form: {error}") from error
    beside = [key for key in REPLACED if key in document] if document.get("objectives") is not None else []
    if beside and not is_stored:
        raise CampaignFileError(
            f"{origin}: {', '.join(beside)} beside 'objectives', which say what is optimised: leave out either"
        )
    try:
        return CampaignFile.model_validate(document, context={STORED: is_stored})
    except ValidationError as error:
        raise CampaignFileError(
            f"{origin}: " + "; ".join(spell_defect(CampaignFile, item, ADVICE) for item in error.errors())
        ) from error
