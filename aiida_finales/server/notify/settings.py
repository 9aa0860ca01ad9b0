"""Who is to be told of what: the file ``notifications.yaml`` beside the users of the server.

::

    notifications:
      - name: chat                       # names the stored position: keep it
        events: [request-resolved, campaign-ended]
        webhook: {url: https://chat.example.org/hook, secret_env: CHAT_SECRET}
      - name: people
        events: [needs-operator, task-waiting, result-doubtful]
        mail: {host: smtp.example.org, sender: map@example.org, to: [ada@example.org], user: map, password_env: SMTP_PW}
      - name: bus
        events: [request-resolved]
        mqtt: {host: broker.example.org, topic: finales, user: map, password_env: MQTT_PW}

Secrets are in the environment of the server; the file has the names of the variables.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.defects import spell_defect
from aiida_finales.schemas.document import read_document

FILENAME = "notifications.yaml"

EventName = Literal["request-resolved", "needs-operator", "task-waiting", "campaign-ended", "result-doubtful"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Webhook(_Section):
    """A program that takes POST with JSON.

    :param secret_env: variable with the secret that signs the body (HMAC-SHA256, header ``X-Finales-Signature``).
    """

    url: str = Field(pattern=r"^https?://")
    secret_env: str | None = None


class Mail(_Section):
    """People who are written to.

    :param starttls: leave it on, unless the server is on this machine.
    """

    host: str
    port: int = Field(587, ge=1, le=65535)
    sender: str
    to: tuple[str, ...] = Field(min_length=1)
    starttls: bool = True
    user: str | None = None
    password_env: str | None = None

    @model_validator(mode="after")
    def _no_open_password(self) -> Self:
        if self.user is not None and not self.starttls:
            raise ValueError("a password travels with starttls only")
        return self


class Mqtt(_Section):
    """A broker; the event's name is added to the topic.

    :param tls: leave it on, unless the broker is on this machine.
    """

    host: str
    port: int = Field(8883, ge=1, le=65535)
    topic: str = Field("finales", min_length=1, pattern=r"^[^#+]*$")
    tls: bool = True
    user: str | None = None
    password_env: str | None = None


class Notification(_Section):
    """Who is told of what, in one way."""

    name: str = Field(pattern=r"^[\w-]+$")
    events: tuple[EventName, ...] = Field(min_length=1)
    webhook: Webhook | None = None
    mail: Mail | None = None
    mqtt: Mqtt | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.webhook, self.mail, self.mqtt)) != 1:
            raise ValueError("accepted is one of webhook, mail, mqtt")
        return self


class _File(_Section):
    notifications: tuple[Notification, ...] = ()


def read_notifications(folder: Path) -> tuple[Notification, ...]:
    """Return who is to be told of what; empty when there is no file.

    :raises InputError: when the file makes no sense.
    """
    path = folder / FILENAME
    if not path.exists():
        return ()
    try:
        found = _File.model_validate(read_document(path) or {}).notifications
    except ValidationError as error:
        words = "; ".join(spell_defect(_File, item) for item in error.errors())
        raise InputError(f"{path}: {words}") from error
    twice = [name for name, number in Counter(item.name for item in found).items() if number > 1]
    if twice:
        raise InputError(f"{path}: {', '.join(twice)} is there twice, accepted is each name once")
    return found


def read_secret(variable: str | None) -> str | None:
    """Return a secret from the environment.

    :raises InputError: when the variable is not set.
    """
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise InputError(f"{FILENAME} names {variable}, which is not set: set it where the server is started")
    return os.environ[variable]
