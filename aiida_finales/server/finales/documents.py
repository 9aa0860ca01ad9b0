"""The bodies that clients send, in the published form; unknown keys are ignored as published."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from aiida_finales.exceptions import InputError

#: levels of a document; the deepest schema has seven
DEEPEST = 40
#: the largest whole number that every database and reader of JSON agrees about
LARGEST = 2**63 - 1


def demand_plain(value: Any) -> Any:
    """Return a value if every database can store it.

    :raises ValueError: when it has NaN or infinity, a number beyond 64 bits, a text that is no Unicode or has a null
        character, or too many levels.
    """
    _walk(value, 0)
    return value


def _walk(value: Any, level: int) -> None:
    if level > DEEPEST:
        raise ValueError(f"the document has more than {DEEPEST} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _walk(key, level + 1)
            _walk(item, level + 1)
    elif isinstance(value, list):
        for item in value:
            _walk(item, level + 1)
    elif isinstance(value, str):
        _demand_unicode(value)
    elif isinstance(value, (int, float)):
        _demand_number(value)


def _demand_number(value: float) -> None:
    json.dumps(value, allow_nan=False)
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ValueError("a whole number has more than 64 bits")


def _demand_unicode(text: str) -> None:
    if "\x00" in text:
        raise ValueError("a text has a null character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text is no Unicode: it has half of a surrogate pair") from error


PlainObject = Annotated[dict[str, Any], BeforeValidator(demand_plain)]
PlainText = Annotated[str, BeforeValidator(demand_plain)]


class RequestBody(BaseModel):
    """A request as it is posted."""

    quantity: PlainText = Field(description="what is asked for", examples=["conductivity"])
    methods: list[PlainText] = Field(description="acceptable methods, the preferred one first")
    parameters: PlainObject = Field(description="parameters per method")
    tenant_uuid: PlainText = Field(description="UUID of who asks")
    parent: PlainText | None = Field(None, description="UUID of the request that this one is a step of (not published)")


class ResultBody(BaseModel):
    """A result as it is posted."""

    data: PlainObject = Field(description="what was found")
    quantity: PlainText
    method: list[PlainText] = Field(description="exactly one")
    parameters: PlainObject = Field(description="the parameters really used, per method: exactly one")
    tenant_uuid: PlainText
    request_uuid: PlainText = Field(description="the request it answers")
    simulated: bool = Field(
        False, description="whether the numbers are those of a simulated laboratory (not published)"
    )


def read_uuid(text: str, whose: str = "") -> str:
    """Return a UUID, with or without dashes, as we write it.

    :param whose: the key of the body that has it; an address has none.
    :raises InputError: in the published words, with what is accepted where a key is at fault.
    """
    try:
        return str(UUID(text))
    except ValueError as error:
        words = "badly formed hexadecimal UUID string"
        accepted = f": {whose} is {text!r}, but accepted are 32 hexadecimal digits, with or without dashes"
        raise InputError(words + (accepted if whose else "")) from error
