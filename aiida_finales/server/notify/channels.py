"""The ways to tell somebody: a webhook, a mail, a message to an MQTT broker. Each blocks, with a time limit."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage

import httpx

from aiida_finales.exceptions import FinalesError, InputError, MissingExtraError
from aiida_finales.schemas import Json
from aiida_finales.server.notify.settings import Mail, Mqtt, Notification, Webhook, read_secret

Send = Callable[[Json], None]

#: s for one attempt
TIMEOUT = 20.0


class UndeliveredError(FinalesError):
    """A message could not be delivered; it may be tried again."""


def make_sender(notification: Notification) -> Send:
    """Return the function that sends a message.

    :raises InputError: when a secret is not in the environment.
    """
    if notification.webhook is not None:
        return _webhook_sender(notification.webhook)
    if notification.mail is not None:
        return _mail_sender(notification.mail)
    if notification.mqtt is not None:
        return _mqtt_sender(notification.mqtt)
    raise InputError(f"notification {notification.name} has no way to send it: accepted is webhook, mail or mqtt")


def _webhook_sender(webhook: Webhook) -> Send:
    secret = read_secret(webhook.secret_env)

    def send(message: Json) -> None:
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json", "X-Finales-Id": message["id"]}
        if secret is not None:
            signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Finales-Signature"] = f"sha256={signature}"
        try:
            httpx.post(webhook.url, content=body, headers=headers, timeout=TIMEOUT).raise_for_status()
        except httpx.HTTPError as error:
            raise UndeliveredError(f"{type(error).__name__}: {error}") from error

    return send


def _mail_sender(mail: Mail) -> Send:
    password = read_secret(mail.password_env)

    def send(message: Json) -> None:
        letter = EmailMessage()
        letter["From"], letter["To"] = mail.sender, ", ".join(mail.to)
        # one line, whatever a reason contains
        letter["Subject"] = " ".join(message["text"].split())[:150]
        letter["Message-ID"] = f"<{message['id']}.{message['event']}@{mail.sender.partition('@')[2] or 'finales'}>"
        letter.set_content("\n".join(f"{key}: {value}" for key, value in message.items()))
        try:
            with smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT) as server:
                if mail.starttls:
                    server.starttls(context=ssl.create_default_context())
                if mail.user is not None:
                    server.login(mail.user, password or "")
                server.send_message(letter)
        except (OSError, smtplib.SMTPException) as error:
            raise UndeliveredError(f"{type(error).__name__}: {error}") from error

    return send


def _mqtt_sender(mqtt: Mqtt) -> Send:
    password = read_secret(mqtt.password_env)
    try:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise MissingExtraError("server", "telling an MQTT broker") from error

    def send(message: Json) -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect_timeout = TIMEOUT
        if mqtt.tls:
            client.tls_set()
        if mqtt.user is not None:
            client.username_pw_set(mqtt.user, password)
        try:
            client.connect(mqtt.host, mqtt.port)
            client.loop_start()
            sent = client.publish(f"{mqtt.topic}/{message['event']}", json.dumps(message), qos=1)
            sent.wait_for_publish(TIMEOUT)
            is_taken = sent.is_published()
        except (OSError, RuntimeError, ValueError) as error:
            raise UndeliveredError(f"{type(error).__name__}: {error}") from error
        finally:
            client.disconnect()
            client.loop_stop()
        if not is_taken:
            raise UndeliveredError(f"the broker did not confirm the message within {TIMEOUT:g} s")

    return send
